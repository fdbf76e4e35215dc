//! A disk that fails as it is told to: I/O errors on writing and on syncing, no room, read-only, half of a page written
//! before the power goes. Laid under a process from outside, so that what is tested is what is shipped.

use std::{
    fs,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use lumos_domain::id::Digest;
use lumos_engine::ports::{Anchor as _, AnchorError, AppendError, Blobs as _, Store};
use lumos_store::{DirBlobs, FileAnchor, SqliteStore};
use tempfile::TempDir;

use crate::{
    crash::{PLACE, all_is_there, env, writes},
    laid_under::{BrokenDisk, CONTROL, breaks},
    world::{SCHEMA, append, check_whole, id, open},
};

/// What a test that [`run`] started leaves in its folder as the last thing.
const ENDED: &str = "ended";

/// Runs a test of this binary, to its end, in a process of its own on this disk.
fn run(disk: &BrokenDisk, test: &str, place: &Path) {
    let mut child = program(std::env::current_exe().unwrap());
    child.args(["--exact", test, "--ignored", "--nocapture"]);
    child.env(PLACE, place).envs(disk.env());
    let status = child.status().unwrap();
    // A name that matches no test ends well, too.
    let ended = fs::remove_file(place.join(ENDED)).is_ok();
    assert!(status.success() && ended, "{test}: {status}");
}

#[expect(
    clippy::disallowed_methods,
    reason = "a disk is broken under another process"
)]
fn program(program: impl AsRef<std::ffi::OsStr>) -> Command {
    Command::new(program)
}

/// How a disk fails on which every write goes to.
const HOWS: [&str; 5] = [
    "write EIO",
    "write ENOSPC",
    "write EROFS",
    "sync EIO",
    "any EROFS",
];

#[test]
fn a_disk_that_fails_loses_nothing_and_is_waited_for() {
    let Some(disk) = BrokenDisk::new() else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    for test in ["entries_on_it", "files_on_it"] {
        run(&disk, &format!("broken_disk::{test}"), dir.path());
    }
}

/// The folder to work in and what the disk reads, in a process that [`run`] started.
fn within() -> Option<(PathBuf, PathBuf)> {
    Some((env(PLACE)?.into(), env(CONTROL)?.into()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "runs in a process whose disk fails"]
async fn entries_on_it() {
    let Some((dir, control)) = within() else {
        return;
    };
    let (place, dir) = (dir.clone(), dir.join("data"));
    let open = || SqliteStore::open(&dir, SCHEMA);
    let mut version = 0;
    for how in HOWS {
        let store = open().unwrap();
        let next = |version: u64| append(&format!("c{version}"), &[("org", version)], &[]);
        version += 1;
        store.append(next(version)).await.unwrap();

        breaks(&control, &format!("{how} */lumos.db-wal"));
        version += 1;
        let failed = store.append(next(version)).await;
        assert!(
            matches!(failed, Err(AppendError::Store(_))),
            "{how}: {failed:?}"
        );
        // What was acknowledged is still read, and nothing of the other one.
        assert_eq!(check_whole(&store).await, version - 1, "{how}");
        let failed = store.append(next(version)).await;
        assert!(
            matches!(failed, Err(AppendError::Store(_))),
            "{how}: {failed:?}"
        );
        fs::remove_file(&control).unwrap();
        store.append(next(version)).await.unwrap();
        assert_eq!(check_whole(&store).await, version, "{how}");

        // While pages cannot be brought from the log into the database, the log keeps them.
        breaks(&control, &format!("{how} */lumos.db"));
        for _ in 0..200 {
            version += 1;
            store.append(next(version)).await.unwrap();
        }
        drop(store);
        let refused = open().err();
        fs::remove_file(&control).unwrap();
        // What a start needs to write is refused with a code; what it only reads is not missed.
        let code = refused.map(|error| error.code());
        assert!(
            matches!(code, None | Some("database-failed")),
            "{how}: {code:?}"
        );
        assert_eq!(check_whole(&open().unwrap()).await, version, "{how}");
    }
    breaks(&control, &format!("any EROFS {}/*", place.display()));
    let code = open().err().map(|error| error.code());
    let elsewhere = SqliteStore::open(&dir.with_file_name("new"), SCHEMA).err();
    fs::remove_file(&control).unwrap();
    assert_eq!(code, Some("data-dir-unusable"));
    assert_eq!(elsewhere.unwrap().code(), "data-dir-unusable");
    assert_eq!(check_whole(&open().unwrap()).await, version);
    fs::write(place.join(ENDED), "").unwrap();
}

#[tokio::test]
#[ignore = "runs in a process whose disk fails"]
async fn files_on_it() {
    let Some((dir, control)) = within() else {
        return;
    };
    let data = dir.join("files");
    let blobs = DirBlobs::open(&data).unwrap();
    let anchor = FileAnchor::beside(&data).unwrap();
    let mut seen = None;
    for how in HOWS.into_iter().chain(["name EROFS", "name EIO"]) {
        let bytes = format!("a report while: {how}").repeat(99).into_bytes();
        let digest = Digest::of(&bytes);
        breaks(&control, &format!("{how} */blobs/*"));
        let refused = blobs.put(bytes.clone()).await;
        assert!(refused.is_err(), "{how}");
        let there = blobs.get(&digest).await.unwrap();
        assert!(there.is_none_or(|there| there == bytes), "{how}: by half");
        fs::remove_file(&control).unwrap();
        assert_eq!(blobs.put(bytes.clone()).await.unwrap(), digest);
        assert_eq!(blobs.get(&digest).await.unwrap(), Some(bytes));

        breaks(&control, &format!("{how} *.anchor/*"));
        let moved = anchor.replace(seen.as_ref(), how.as_bytes()).await;
        assert!(
            matches!(moved, Err(AnchorError::Port(_))),
            "{how}: {moved:?}"
        );
        fs::remove_file(&control).unwrap();
        let held = anchor.load().await.unwrap();
        if held.as_ref().is_none_or(|held| held.note != how.as_bytes()) {
            assert_eq!(
                held, seen,
                "{how}: what it held before, or what it was given"
            );
            anchor.replace(seen.as_ref(), how.as_bytes()).await.unwrap();
        }
        seen = anchor.load().await.unwrap();
        assert_eq!(seen.as_ref().unwrap().note, how.as_bytes());
    }
    fs::write(dir.join(ENDED), "").unwrap();
}

/// Writes on a disk that fails as said until the process ends, and compares what is found then with what it said.
async fn check_after(disk: &BrokenDisk, dir: &TempDir, how: &str, torn: bool) {
    disk.breaks(how);
    let mut child = writes(dir.path().to_str().unwrap());
    child.command.envs(disk.env());
    let (answers, status) = child.until_it_ends();
    disk.mends();
    assert_eq!(status.signal(), torn.then_some(9), "{how}: {status}");
    assert!(!status.success(), "{how}");
    all_is_there(&open(dir), &answers).await;
}

/// The power goes in the middle of a page: in the log, and while pages are brought from there into the database.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_is_torn_is_whole_after_the_start() {
    let Some(disk) = BrokenDisk::new() else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    for after in [0, 1, 2, 5, 40, 41, 42, 333] {
        check_after(
            &disk,
            &dir,
            &format!("write TORN */lumos.db-wal {after}"),
            true,
        )
        .await;
    }
    for after in [0, 1, 7, 30] {
        check_after(&disk, &dir, &format!("write TORN */lumos.db {after}"), true).await;
    }
}

/// What a sync failed on may be on the disk or not. Who was told neither asks by command id.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_could_not_be_synced_was_not_acknowledged() {
    let Some(disk) = BrokenDisk::new() else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    for after in [20, 21, 35] {
        check_after(
            &disk,
            &dir,
            &format!("sync EIO */lumos.db-wal {after}"),
            false,
        )
        .await;
    }
}

/// A page of the database itself, half as it is and half as it was, with nothing in the log to mend it: whoever reads
/// the whole ledger finds out, or nothing that counts was on it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_stays_torn_is_found() {
    const PAGE: usize = 4096;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("lumos.db");
    let fill = async |versions: std::ops::RangeInclusive<u64>| {
        let store = open(&dir);
        for version in versions {
            let next = append(&format!("c{version}"), &[("org", version)], &[]);
            store.append(next).await.unwrap();
        }
        drop(store);
        // Whoever closes last leaves no log behind.
        assert!(!dir.path().join("lumos.db-wal").exists());
        fs::read(&file).unwrap()
    };
    let (old, new) = (fill(1..=60).await, fill(61..=120).await);
    let sound = open(&dir).entries(0, u32::MAX).await.unwrap();
    let (mut torn, mut found) = (0, 0);
    for at in (0..old.len()).step_by(PAGE) {
        let half = at + PAGE / 2;
        if old[half..at + PAGE] == new[half..at + PAGE] {
            continue;
        }
        torn += 1;
        let mut page = new.clone();
        page[half..at + PAGE].copy_from_slice(&old[half..at + PAGE]);
        fs::write(&file, page).unwrap();
        let read = async {
            let store = SqliteStore::open(dir.path(), SCHEMA).ok()?;
            let entries = store.entries(0, u32::MAX).await.ok()?;
            let size = store.frontier().await.ok()?.size();
            let leaves = store.leaves(0, size).await.ok()?;
            let whole = leaves.len() == entries.len();
            let hashed = entries.iter().zip(&leaves);
            let whole = whole
                && hashed
                    .clone()
                    .all(|(entry, leaf)| lumos_ledger::tree::leaf_hash(&entry.bytes) == *leaf);
            whole.then_some((entries, store.appended(&id("c1")).await.ok()?))
        };
        match read.await {
            None => found += 1,
            Some((entries, _)) => assert_eq!(entries, sound, "page {}", at / PAGE),
        }
    }
    fs::write(&file, new).unwrap();
    assert_eq!(check_whole(&open(&dir)).await, 120);
    assert!(torn > 5 && found > torn / 3, "{found} of {torn} pages");
}

/// A bit that flips on its way from where it was hashed to where it is kept is not committed, and so never signed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bit_that_flips_before_the_commit_is_not_committed() {
    for column in ["bytes", "leaf"] {
        let dir = tempfile::tempdir().unwrap();
        drop(open(&dir));
        let flips = format!(
            "CREATE TRIGGER flips AFTER INSERT ON entries WHEN NEW.idx = 1 BEGIN
               UPDATE entries SET {column} = x'00' || substr({column}, 2) WHERE idx = NEW.idx; END"
        );
        let run = |sql: &str| {
            let file = rusqlite::Connection::open(dir.path().join("lumos.db")).unwrap();
            file.execute_batch(sql).unwrap();
        };
        run(&flips);
        let store = open(&dir);
        let next = |version: u64| append(&format!("c{version}"), &[("org", version)], &[]);
        store.append(next(1)).await.unwrap();
        let refused = store.append(next(2)).await;
        assert!(matches!(refused, Err(AppendError::Store(_))), "{refused:?}");
        assert_eq!(check_whole(&store).await, 1, "{column}");
        run("DROP TRIGGER flips");
        store.append(next(2)).await.unwrap();
        assert_eq!(check_whole(&store).await, 2);
        drop(store);
        assert_eq!(check_whole(&open(&dir)).await, 2);
    }
}
