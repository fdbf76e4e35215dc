use std::sync::{
    Mutex,
    atomic::{AtomicU8, Ordering},
};

use async_trait::async_trait;
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

fn held(note: &[u8]) -> Held {
    Held {
        note: note.to_vec(),
        tag: String::from_utf8_lossy(note).into_owned(),
    }
}

#[async_trait]
impl Anchor for Memory {
    fn place(&self) -> String {
        "a test".to_owned()
    }

    async fn load(&self) -> Result<Option<Held>, PortError> {
        Ok(self.kept.lock().unwrap().as_deref().map(held))
    }

    async fn replace(&self, seen: Option<&Held>, checkpoint: &[u8]) -> Result<Held, AnchorError> {
        let fault = self.fault.swap(0, Ordering::SeqCst);
        let mut kept = self.kept.lock().unwrap();
        if kept.as_deref() != seen.map(|seen| &*seen.note) {
            return Err(AnchorError::Moved);
        }
        if fault != FAILS {
            *kept = Some(checkpoint.to_vec());
        }
        match fault {
            0 => Ok(held(checkpoint)),
            _ => Err(PortError::new("writing", "the disk is full").into()),
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

async fn open(anchor: &Arc<Memory>) -> Result<Witness, WitnessError> {
    let cosigner = Cosigner::from_seed("witness.acme.example/one", &[9; 32]).unwrap();
    let followed = Followed {
        keys: vec![log_key().verifier_key().clone()],
        anchor: anchor.clone(),
    };
    let logs = [(ORIGIN.to_owned(), followed)];
    Witness::open(cosigner, Arc::new(At(1_700_000_000)), logs).await
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

#[tokio::test]
async fn a_cosignature_holds_and_is_kept_before_it_is_given() {
    let anchor = Arc::new(Memory::default());
    let witness = open(&anchor).await.unwrap();
    let asked = asks(0, 5, 99);
    let line = witness.add_checkpoint(&asked).await.unwrap();
    let own = std::slice::from_ref(witness.verifier_key());
    let note = Note::parse(asked.checkpoint.as_bytes()).unwrap();
    let verified = note.with(line).unwrap();
    let [verified] = verified.verify(own).unwrap()[..] else {
        panic!("one key, one signature");
    };
    assert_eq!(verified.time, Some(1_700_000_000));
    let kept = anchor.load().await.unwrap().unwrap().note;
    assert_eq!(witness.latest(ORIGIN).await.unwrap(), kept);
    assert_eq!(own_words(&kept, &own[0]).unwrap().1.size, 5);
}

#[tokio::test]
async fn no_second_history_is_cosigned_not_even_after_a_restart() {
    let anchor = Arc::new(Memory::default());
    let witness = open(&anchor).await.unwrap();
    witness.add_checkpoint(&asks(0, 5, 99)).await.unwrap();
    let again = open(&anchor).await.unwrap();
    for witness in [&witness, &again] {
        assert_eq!(status(witness.add_checkpoint(&asks(5, 5, 2)).await), 422);
        assert_eq!(status(witness.add_checkpoint(&asks(5, 9, 2)).await), 422);
        assert_eq!(status(witness.add_checkpoint(&asks(0, 9, 2)).await), 409);
        assert_eq!(status(witness.add_checkpoint(&asks(3, 4, 99)).await), 409);
        witness.add_checkpoint(&asks(5, 5, 99)).await.unwrap();
    }
    witness.add_checkpoint(&asks(5, 300, 99)).await.unwrap();
}

#[tokio::test]
async fn what_could_not_be_kept_is_not_cosigned() {
    for (fault, latest) in [(FAILS, 0), (FAILS_BUT_KEEPS, 5)] {
        let anchor = Arc::new(Memory::default());
        let witness = open(&anchor).await.unwrap();
        anchor.fault.store(fault, Ordering::SeqCst);
        let failed = witness.add_checkpoint(&asks(0, 5, 99)).await.unwrap_err();
        assert_eq!(failed.code(), "witness-store-failed");
        // What the disk holds counts, whatever it said: another history is judged against that.
        let answer = witness.add_checkpoint(&asks(9, 10, 99)).await.unwrap_err();
        let WitnessError::Refused(Refusal::Conflict { latest: size }) = answer else {
            panic!("{answer}");
        };
        assert_eq!(size, latest);
        witness.add_checkpoint(&asks(latest, 7, 99)).await.unwrap();
    }
}

#[tokio::test]
async fn foreign_logs_and_foreign_state_are_refused() {
    let anchor = Arc::new(Memory::default());
    let witness = open(&anchor).await.unwrap();
    let mut asked = asks(0, 5, 99);
    asked.checkpoint = asked.checkpoint.replacen(ORIGIN, "acme.example/other", 1);
    assert_eq!(status(witness.add_checkpoint(&asked).await), 404);
    // The log alone signed this; a witness that believed it would start from what it never saw.
    *anchor.kept.lock().unwrap() = Some(asks(0, 5, 99).checkpoint.into_bytes());
    let refused = open(&anchor).await.err().unwrap();
    assert_eq!(refused.code(), "witness-state-unreadable");
}
