use std::sync::atomic::{AtomicU8, Ordering};

use jiff::Timestamp;
use lumos_ledger::{
    NoteSigner,
    proof::{MemoryHashes, consistency},
    tree,
};

use super::*;

const ORIGIN: &str = "lumos.acme.example/main";

/// An anchor in memory, which can fail as disks do.
#[derive(Default)]
struct Memory {
    kept: Mutex<Option<Vec<u8>>>,
    fault: AtomicU8,
}

const FAILS: u8 = 1;
const FAILS_BUT_KEEPS: u8 = 2;

impl Anchor for Memory {
    fn load(&self) -> Result<Option<Vec<u8>>, PortError> {
        Ok(self.kept.lock().unwrap().clone())
    }

    fn store(&self, checkpoint: &[u8]) -> Result<(), PortError> {
        let fault = self.fault.swap(0, Ordering::SeqCst);
        if fault != FAILS {
            *self.kept.lock().unwrap() = Some(checkpoint.to_vec());
        }
        match fault {
            0 => Ok(()),
            _ => Err(PortError::new("writing", "the disk is full")),
        }
    }
}

struct At(i64);

impl Clock for At {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.0).unwrap()
    }
}

fn log_key() -> NoteSigner {
    NoteSigner::from_seed(ORIGIN, &[7; 32]).unwrap()
}

fn open(anchor: &Arc<Memory>) -> Result<Witness, WitnessError> {
    let cosigner = Cosigner::from_seed("witness.acme.example/one", &[9; 32]).unwrap();
    let followed = Followed {
        keys: vec![log_key().verifier_key().clone()],
        anchor: anchor.clone(),
    };
    let logs = [(ORIGIN.to_owned(), followed)];
    Witness::open(cosigner, Arc::new(At(1_700_000_000)), logs)
}

/// What the log asks for its first `new` entries; those from `forked` on differ from the ordinary history.
fn asks(old: u64, new: u64, forked: u64) -> AddCheckpoint {
    let leaf = |n: u64| tree::leaf_hash(format!("{n} {}", n >= forked).as_bytes());
    let hashes: MemoryHashes = (0..new).map(leaf).collect();
    let checkpoint = Checkpoint::new(ORIGIN, new, hashes.frontier().root()).unwrap();
    AddCheckpoint {
        old,
        proof: consistency(old, new, &hashes).unwrap(),
        checkpoint: checkpoint.sign(&log_key()).unwrap().to_string(),
    }
}

fn status(answer: Result<SignatureLine, WitnessError>) -> u16 {
    match answer {
        Err(WitnessError::Refused(refusal)) => refusal.status(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_cosignature_holds_and_is_kept_before_it_is_given() {
    let anchor = Arc::new(Memory::default());
    let witness = open(&anchor).unwrap();
    let asked = asks(0, 5, 99);
    let line = witness.add_checkpoint(&asked).unwrap();
    let own = std::slice::from_ref(witness.verifier_key());
    let note = Note::parse(asked.checkpoint.as_bytes()).unwrap();
    let verified = note.with(line).unwrap();
    let [verified] = verified.verify(own).unwrap()[..] else {
        panic!("one key, one signature");
    };
    assert_eq!(verified.time, Some(1_700_000_000));
    let kept = anchor.load().unwrap().unwrap();
    assert_eq!(witness.latest(ORIGIN).unwrap()[..], kept);
    assert_eq!(own_words(&kept, &own[0]).unwrap().1.size, 5);
}

#[test]
fn no_second_history_is_cosigned_not_even_after_a_restart() {
    let anchor = Arc::new(Memory::default());
    let witness = open(&anchor).unwrap();
    witness.add_checkpoint(&asks(0, 5, 99)).unwrap();
    let again = open(&anchor).unwrap();
    for witness in [&witness, &again] {
        assert_eq!(status(witness.add_checkpoint(&asks(5, 5, 2))), 422);
        assert_eq!(status(witness.add_checkpoint(&asks(5, 9, 2))), 422);
        assert_eq!(status(witness.add_checkpoint(&asks(0, 9, 2))), 409);
        assert_eq!(status(witness.add_checkpoint(&asks(3, 4, 99))), 409);
        witness.add_checkpoint(&asks(5, 5, 99)).unwrap();
    }
    witness.add_checkpoint(&asks(5, 300, 99)).unwrap();
}

#[test]
fn what_could_not_be_kept_is_not_cosigned() {
    for (fault, latest) in [(FAILS, 0), (FAILS_BUT_KEEPS, 5)] {
        let anchor = Arc::new(Memory::default());
        let witness = open(&anchor).unwrap();
        anchor.fault.store(fault, Ordering::SeqCst);
        let failed = witness.add_checkpoint(&asks(0, 5, 99)).unwrap_err();
        assert_eq!(failed.code(), "witness-store-failed");
        // What the disk holds counts, whatever it said: another history is judged against that.
        let answer = witness.add_checkpoint(&asks(9, 10, 99)).unwrap_err();
        let WitnessError::Refused(Refusal::Conflict { latest: size }) = answer else {
            panic!("{answer}");
        };
        assert_eq!(size, latest);
        witness.add_checkpoint(&asks(latest, 7, 99)).unwrap();
    }
}

#[test]
fn foreign_logs_and_foreign_state_are_refused() {
    let anchor = Arc::new(Memory::default());
    let witness = open(&anchor).unwrap();
    let mut asked = asks(0, 5, 99);
    asked.checkpoint = asked.checkpoint.replacen(ORIGIN, "acme.example/other", 1);
    assert_eq!(status(witness.add_checkpoint(&asked)), 404);
    // The log alone signed this; a witness that believed it would start from what it never saw.
    anchor.store(asks(0, 5, 99).checkpoint.as_bytes()).unwrap();
    let refused = open(&anchor).err().unwrap();
    assert_eq!(refused.code(), "witness-state-unreadable");
}
