use std::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use jiff::Timestamp;
use lumos_domain::{
    actor::Actor,
    event::{ClockSourceNamed, LogReviewed},
    id::CommandId,
    seal::{Sealed, SealedValue},
    stream::Stream,
    words::{Finding, Grade},
};
use lumos_ledger::{NoteSigner, tree};
use tokio::sync::{Semaphore, watch};

use super::*;
use crate::{
    ports::{Append, AppendError, Appended, Row, Statement, Value},
    record::{Context, entry_bytes},
};

const ORIGIN: &str = "ledger.acme.example";

/// The rows of a database, which whoever administrates it may change.
struct Rows {
    entries: Mutex<Vec<Vec<u8>>>,
    leaves: Mutex<Vec<Hash>>,
    /// How many reads of entries are answered.
    answers: Semaphore,
    read: AtomicU64,
}

fn entry(n: u64, source: &str) -> Vec<u8> {
    let named = ClockSourceNamed {
        source: source.to_owned(),
    };
    bytes(n, &named.into())
}

fn bytes(n: u64, event: &Event) -> Vec<u8> {
    let id: CommandId = format!("c-{n}").parse().unwrap();
    let context = Context {
        origin: ORIGIN,
        time: Timestamp::from_second(i64::try_from(n).unwrap()).unwrap(),
        actor: &Actor::Clock,
        command_id: &id,
        causation: None,
        sandbox: false,
    };
    entry_bytes(&context, 0, &Stream::Org, n + 1, event).unwrap()
}

impl Rows {
    fn of(size: u64) -> Self {
        let entries: Vec<_> = (0..size).map(|n| entry(n, "ntp")).collect();
        let leaves = entries.iter().map(|bytes| leaf_hash(bytes)).collect();
        Self {
            entries: Mutex::new(entries),
            leaves: Mutex::new(leaves),
            answers: Semaphore::new(1_000),
            read: AtomicU64::new(0),
        }
    }

    /// The checkpoint over the first `size` of them, as it was signed.
    fn signed(&self, size: usize) -> Published {
        let leaves = self.leaves.lock().unwrap();
        let root = tree::root(&leaves[..size]);
        let signer = NoteSigner::from_seed(ORIGIN, &[7; 32]).unwrap();
        let checkpoint = Checkpoint::new(ORIGIN, size as u64, root).unwrap();
        let note = checkpoint.sign(&signer).unwrap().to_string();
        Published {
            size: size as u64,
            note: Arc::from(note.into_bytes()),
        }
    }

    /// Entries read since this was asked last.
    fn read(&self) -> u64 {
        self.read.swap(0, Ordering::Relaxed)
    }
}

fn not_here() -> PortError {
    PortError::new("asking the rows of a test", "they do not know")
}

#[async_trait]
impl Store for Rows {
    async fn append(&self, _: Append) -> Result<Appended, AppendError> {
        Err(not_here().into())
    }

    async fn appended(&self, _: &CommandId) -> Result<Option<Appended>, PortError> {
        Err(not_here())
    }

    async fn stream(&self, _: &Stream) -> Result<Vec<StoredEntry>, PortError> {
        Err(not_here())
    }

    async fn stream_version(&self, _: &Stream) -> Result<u64, PortError> {
        Err(not_here())
    }

    async fn entries(&self, from: u64, max: u32) -> Result<Vec<StoredEntry>, PortError> {
        self.answers.acquire().await.unwrap().forget();
        let entries = self.entries.lock().unwrap();
        let rows = (0..)
            .zip(entries.iter())
            .skip(usize::try_from(from).unwrap());
        let rows = rows.take(max as usize).map(|(index, bytes)| StoredEntry {
            index,
            bytes: bytes.clone(),
        });
        let rows: Vec<_> = rows.collect();
        self.read.fetch_add(rows.len() as u64, Ordering::Relaxed);
        Ok(rows)
    }

    async fn kinds(&self) -> Result<Vec<String>, PortError> {
        Err(not_here())
    }

    async fn frontier(&self) -> Result<Frontier, PortError> {
        let mut frontier = Frontier::new();
        let leaves = self.leaves.lock().unwrap();
        leaves.iter().for_each(|leaf| frontier.append(*leaf));
        Ok(frontier)
    }

    async fn leaves(&self, from: u64, to: u64) -> Result<Vec<Hash>, PortError> {
        let at = |index: u64| usize::try_from(index).unwrap();
        Ok(self.leaves.lock().unwrap()[at(from)..at(to)].to_vec())
    }

    async fn unseal(&self, _: &[Sealed]) -> Result<Vec<Option<String>>, PortError> {
        Err(not_here())
    }

    /// The signatures before an entry, the newest first.
    async fn query(&self, _: &'static str, params: Vec<Value>) -> Result<Vec<Row>, PortError> {
        let [Value::Int(before), Value::Int(max)] = params[..] else {
            return Err(not_here());
        };
        let entries = self.entries.lock().unwrap();
        let rows: Vec<_> = (0..before).zip(entries.iter()).collect();
        let rows = rows.into_iter().rev();
        let signed = rows.filter(|(_, bytes)| String::from_utf8_lossy(bytes).contains("signed.v1"));
        let row = |(index, bytes): (i64, &Vec<u8>)| {
            Row(vec![Value::Int(index), Value::Bytes(bytes.clone())])
        };
        Ok(signed
            .take(usize::try_from(max).unwrap())
            .map(row)
            .collect())
    }

    async fn execute(&self, _: Vec<Statement>) -> Result<Vec<u64>, PortError> {
        Err(not_here())
    }

    fn committed(&self) -> watch::Receiver<u64> {
        watch::channel(0).1
    }
}

/// A reader behind a proxy that waits for no answer: each time they come, more is looked through, until all of it is.
#[tokio::test]
async fn what_was_looked_through_is_kept_when_its_reader_goes_away() {
    let size = 2 * STEP + 100;
    let rows = Rows::of(size);
    let span = Span { from: 3, size };
    let examiner = Examiner::default();
    // Answers for one step and a half; then the reader is gone.
    rows.answers.forget_permits(1_000);
    rows.answers.add_permits(24);
    tokio::select! {
        biased;
        _ = examiner.examine(&rows, span) => panic!("there were no answers for all of it"),
        () = std::future::ready(()) => {}
    }
    assert_eq!(rows.read(), 24 * CHUNK);
    rows.answers.add_permits(1_000);
    let examined = examiner.examine(&rows, span).await.unwrap();
    assert_eq!(rows.read(), size - span.from - STEP);
    let at_once = Examiner::default().examine(&rows, span).await.unwrap();
    assert_eq!(examined, at_once);
    assert_eq!(rows.read(), size - span.from);
    // Who asks for the same, or for less of what somebody asked for before, has nothing read.
    examiner.examine(&rows, span).await.unwrap();
    assert_eq!(rows.read(), 0);
    let known = examiner.known.lock().await.len();
    assert_eq!(known, 1, "the ways to it are not kept");
}

/// Rows that are changed while somebody looks, and put back before anybody verifies.
#[tokio::test]
async fn rows_that_are_not_those_that_were_signed_have_another_root() {
    let rows = Rows::of(700);
    let (shown, earlier) = (rows.signed(700), rows.signed(500));
    let examine = async |size| {
        let span = Span { from: 300, size };
        let examined = Examiner::default().examine(&rows, span).await;
        examined.unwrap().root()
    };
    let root_under = async |shown: &Published, size| {
        let vouched = vouched(&rows, &Hashes::default(), shown, size).await;
        vouched.map_err(|error| error.code())
    };
    let honest = [examine(700).await, examine(500).await];
    for (shown, size, root) in [
        (&shown, 700, honest[0]),
        (&shown, 500, honest[1]),
        (&earlier, 500, honest[1]),
    ] {
        assert_eq!(root_under(shown, size).await, Ok(root), "{size}");
    }
    assert_eq!(root_under(&earlier, 700).await, Err("log-range"));

    // What somebody did is swapped for what nobody would look at.
    let forged = entry(400, "nothing to see");
    rows.entries.lock().unwrap()[400] = forged.clone();
    for (size, root) in [(700, honest[0]), (500, honest[1])] {
        assert_ne!(examine(size).await, root);
        assert_eq!(root_under(&shown, size).await, Ok(root), "{size}");
    }
    // With every hash made to fit, it is what was signed that does not.
    rows.leaves.lock().unwrap()[400] = leaf_hash(&forged);
    assert_eq!(root_under(&shown, 700).await, Ok(honest[0]));
    assert_ne!(examine(700).await, honest[0]);
    assert_eq!(root_under(&shown, 500).await, Err("log-range"));
    // Before the range, where no entry is read, a leaf that was changed is found the same way.
    *rows.entries.lock().unwrap() = (0..700).map(|n| entry(n, "ntp")).collect();
    let leaf = leaf_hash(&entry(400, "ntp"));
    rows.leaves.lock().unwrap()[400] = leaf;
    assert_eq!(examine(700).await, honest[0]);
    rows.leaves.lock().unwrap()[7] = leaf;
    assert_ne!(examine(700).await, honest[0]);
}

/// Whoever has the entries makes what was signed for again.
#[tokio::test]
async fn a_signature_that_its_entries_do_not_give_is_named() {
    let rows = Rows::of(20);
    let span = Span { from: 3, size: 20 };
    let examined = Examiner::default().examine(&rows, span).await.unwrap();
    let signed = LogReviewed {
        person: "p-1".parse().unwrap(),
        role: "auditor".parse().unwrap(),
        from: span.from,
        size: span.size,
        root: examined.root(),
        record: examined.record(),
        until: examined.until(),
        finding: Finding::Nothing,
        reason: SealedValue::new([0; 32], String::new()).commitment,
        meaning: String::new(),
        grade: Grade::Recorded,
        next: Timestamp::UNIX_EPOCH,
    };
    let other = Digest::of(b"something else");
    let differ = |change: &dyn Fn(&mut LogReviewed)| {
        let mut signed = signed.clone();
        change(&mut signed);
        signed
    };
    let all = [
        signed.clone(),
        differ(&|s| s.record = other),
        differ(&|s| s.root = other),
        differ(&|s| s.from = 4),
        differ(&|s| s.size = 19),
        differ(&|s| s.size = 1_000),
        signed.clone(),
    ];
    for (n, signed) in (20..).zip(all) {
        let bytes = bytes(n, &signed.into());
        rows.leaves.lock().unwrap().push(leaf_hash(&bytes));
        rows.entries.lock().unwrap().push(bytes);
    }
    let found = signatures(&rows).await.unwrap();
    assert_eq!((found.all, found.differing), (7, (21..26).collect()));
}

/// Nobody has all of the ledger read for what is not in it.
#[tokio::test]
async fn one_request_looks_so_far_and_says_where_to_go_on() {
    let rows = Rows::of(STEP + 10);
    let span = |from| Span {
        from,
        size: STEP + 10,
    };
    let rare = about(&rows, span(0), Matter::Keys, 10).await.unwrap();
    assert!(rare.entries.is_empty());
    assert_eq!((rare.next, rows.read()), (Some(STEP), STEP));
    let rest = about(&rows, span(STEP), Matter::Keys, 10).await.unwrap();
    assert_eq!(rest.next, None);
    let common = about(&rows, span(5), Matter::Clock, 10).await.unwrap();
    assert_eq!((common.entries.len(), common.next), (10, Some(15)));
    for from in [STEP + 10, u64::MAX] {
        let beyond = about(&rows, span(from), Matter::Clock, 10).await.unwrap();
        assert_eq!((beyond.entries.len(), beyond.next), (0, None), "{from}");
    }
}
