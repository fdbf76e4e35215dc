//! What was erased is in no file of the store any more: not in the database, not in its log, not in a page that was
//! divided long ago.

use std::{collections::HashSet, fs, path::Path};

use lumos_domain::seal::SealedValue;
use lumos_engine::ports::Store;
use tempfile::TempDir;

use crate::world::{append, check_whole, open, with_erased};

/// Enough of a salt or text to know it by.
const BEGIN: usize = 16;

/// Numbers without a pattern, the same in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn salt(&mut self) -> [u8; 32] {
        let mut salt = [0; 32];
        for part in salt.chunks_exact_mut(8) {
            part.copy_from_slice(&self.next().to_le_bytes());
        }
        salt
    }
}

/// Values of every length, from a word to several pages; one in ten belongs to somebody who is erased.
async fn fill(store: &dyn Store, numbers: &mut Numbers, count: usize) -> Vec<SealedValue> {
    let mut theirs = Vec::new();
    for n in 1..=count {
        let length = [5, 40, 300, 3_000, 9_000][usize::try_from(numbers.next() % 5).unwrap()];
        let is_theirs = n % 10 == 0;
        let text = if is_theirs {
            format!("{:016x}{}", numbers.next(), "v".repeat(length))
        } else {
            "x".repeat(length)
        };
        let value = SealedValue::new(numbers.salt(), text);
        if is_theirs {
            theirs.push(value.clone());
        }
        let version = n as u64;
        let mut one = append(&format!("c{n}"), &[("person/a", version)], &[]);
        one.sealed.push(value);
        store.append(one).await.unwrap();
    }
    theirs
}

async fn erase(store: &dyn Store, values: &[SealedValue]) {
    let version = store
        .stream_version(&"person/a".parse().unwrap())
        .await
        .unwrap()
        + 1;
    let sealed: Vec<_> = values.iter().map(|value| value.commitment).collect();
    let command = format!("erase-{version}");
    let erase = with_erased(append(&command, &[("person/a", version)], &[]), &sealed);
    store.append(erase).await.unwrap();
}

/// How many of the values' salts and texts stand in any file of a folder, by their first bytes.
fn left(dir: &Path, values: &[SealedValue]) -> usize {
    let begins = |bytes: &[u8]| <[u8; BEGIN]>::try_from(&bytes[..BEGIN]).unwrap();
    let both = |value: &SealedValue| [begins(&value.salt), begins(value.value.as_bytes())];
    let wanted: HashSet<_> = values.iter().flat_map(both).collect();
    let mut left = HashSet::new();
    for file in fs::read_dir(dir).unwrap() {
        let bytes = fs::read(file.unwrap().path()).unwrap();
        let windows = bytes.windows(BEGIN).map(begins);
        left.extend(windows.filter(|window| wanted.contains(window)));
    }
    left.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn erased_bytes_are_in_no_file() {
    for seed in [1, 7] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir);
        let theirs = fill(&store, &mut Numbers(seed), 400).await;
        assert!(left(dir.path(), &theirs) > 0, "they were written");
        erase(&store, &theirs).await;
        assert_eq!(left(dir.path(), &theirs), 0, "while the store is open");
        let sealed: Vec<_> = theirs.iter().map(|value| value.commitment).collect();
        let values = store.unseal(&sealed).await.unwrap();
        assert!(values.iter().all(Option::is_none));
        assert_eq!(check_whole(&store).await, 401);
        drop(store);
        assert_eq!(left(dir.path(), &theirs), 0, "once it is closed");
        assert_eq!(check_whole(&open(&dir)).await, 401);
    }
}

/// A reader from outside keeps the log from being emptied. The erasure holds all the same, and the bytes go as soon
/// as the reader is gone and something is written: at the latest at the next start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_reader_holds_back_goes_with_the_next_commit() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let theirs = fill(&store, &mut Numbers(3), 60).await;
    let reader = reads(&dir);
    erase(&store, &theirs).await;
    let sealed = [theirs[0].commitment];
    assert_eq!(store.unseal(&sealed).await.unwrap(), [None]);
    assert!(left(dir.path(), &theirs) > 0, "the reader still sees them");
    drop(reader);
    store
        .append(append("next", &[("org", 1)], &[]))
        .await
        .unwrap();
    assert_eq!(left(dir.path(), &theirs), 0);
    assert_eq!(check_whole(&store).await, 62);
}

/// The process dies between the commit of an erasure and the emptying of the log: the next one does it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scrub_that_was_cut_short_is_done_after_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let theirs = fill(&store, &mut Numbers(5), 60).await;
    let reader = reads(&dir);
    erase(&store, &theirs).await;
    // The files as a process that dies now leaves them.
    let copy = tempfile::tempdir().unwrap();
    for file in ["lumos.db", "lumos.db-wal"] {
        fs::copy(dir.path().join(file), copy.path().join(file)).unwrap();
    }
    drop(reader);
    assert!(left(copy.path(), &theirs) > 0);
    let store = open(&copy);
    assert_eq!(store.unseal(&[theirs[0].commitment]).await.unwrap(), [None]);
    store
        .append(append("start", &[("org", 1)], &[]))
        .await
        .unwrap();
    assert_eq!(left(copy.path(), &theirs), 0);
    assert_eq!(check_whole(&store).await, 62);
}

/// Somebody who reads the database from outside and does not let go of what they see.
fn reads(dir: &TempDir) -> rusqlite::Connection {
    let reader = rusqlite::Connection::open(dir.path().join("lumos.db")).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    let count: i64 = reader
        .query_row("SELECT count(*) FROM sealed", [], |row| row.get(0))
        .unwrap();
    assert!(count > 0);
    reader
}
