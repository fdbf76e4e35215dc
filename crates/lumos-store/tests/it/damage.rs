//! Full disks, damaged files, a second opener, a newer version: refused with the right code, and nothing
//! half-written.

use std::{path::Path, process::Command};

use lumos_engine::ports::{AppendError, Statement, Store};
use lumos_store::{OpenError, SqliteStore};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::world::{SCHEMA, append, check_whole, id, open, with_sealed};

fn opening(dir: &Path) -> Result<(), OpenError> {
    SqliteStore::open(dir, SCHEMA).map(drop)
}

#[tokio::test]
async fn a_directory_has_one_holder() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let error = opening(dir.path()).unwrap_err();
    assert_eq!(error.code(), "data-dir-in-use");
    let us = std::process::id();
    assert!(matches!(error, OpenError::InUse { pid: Some(pid), .. } if pid == us));
    store
        .append(append("c1", &[("org", 1)], &[]))
        .await
        .unwrap();
    drop(store);
    assert_eq!(check_whole(&open(&dir)).await, 1);
}

/// A store with seven entries, closed, and changed by `sql` behind its back.
async fn damaged(sql: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    for version in 1..=7 {
        let command = format!("c{version}");
        store
            .append(append(&command, &[("org", version)], &[]))
            .await
            .unwrap();
    }
    drop(store);
    Connection::open(dir.path().join("lumos.db"))
        .unwrap()
        .execute_batch(sql)
        .unwrap();
    dir
}

#[tokio::test]
async fn damage_is_met_at_the_start() {
    for (sql, code) in [
        ("UPDATE head SET size = size", ""),
        ("DELETE FROM entries WHERE idx = 6", "ledger-head-damaged"),
        ("DELETE FROM entries WHERE idx = 3", "ledger-head-damaged"),
        ("UPDATE head SET size = 6", "ledger-head-damaged"),
        ("UPDATE head SET frontier = x'00'", "ledger-head-damaged"),
        ("DELETE FROM head", "database-failed"),
        (
            "UPDATE entries SET bytes = x'00' WHERE idx = 0",
            "ledger-head-damaged",
        ),
        (
            "UPDATE entries SET bytes = x'00' WHERE idx = 6",
            "ledger-head-damaged",
        ),
        (
            "INSERT INTO entries SELECT 7, stream, 8, kind, bytes, leaf FROM entries WHERE idx = 6",
            "ledger-head-damaged",
        ),
        (
            "UPDATE meta SET value = '999' WHERE key = 'schema_version'",
            "data-dir-newer",
        ),
        (
            "UPDATE meta SET value = '-1' WHERE key = 'schema_version'",
            "data-dir-newer",
        ),
    ] {
        let dir = damaged(sql).await;
        let found = opening(dir.path()).err().map_or("", |error| error.code());
        assert_eq!(found, code, "{sql}");
    }
}

#[test]
fn what_is_no_data_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("lumos.db"),
        "this is a text, not a database ".repeat(99),
    )
    .unwrap();
    assert_eq!(opening(dir.path()).unwrap_err().code(), "database-failed");
    let file = dir.path().join("lumos.db");
    assert_eq!(opening(&file).unwrap_err().code(), "data-dir-unusable");
    let broken = SqliteStore::open(&dir.path().join("b"), &["CREATE TABLE"]).map(drop);
    assert_eq!(broken.unwrap_err().code(), "database-failed");
}

/// Fills the store until it has no room; returns the number of appends that were answered.
pub(crate) async fn fill(store: &dyn Store) -> u64 {
    for number in 0..10_000 {
        match store.append(large(number)).await {
            Ok(_) => {}
            Err(AppendError::Store(_)) => return number,
            Err(error) => panic!("{error}"),
        }
    }
    panic!("it never filled up");
}

fn large(number: u64) -> lumos_engine::ports::Append {
    let append = append(
        &format!("c{number}"),
        &[("org", number + 1)],
        &[("org", number)],
    );
    with_sealed(
        append,
        u8::try_from(number % 251).unwrap(),
        &format!("{number}").repeat(10_000),
    )
}

/// After the store was full at append `full`: nothing of it is there, and once there is room it goes
/// through under its own command id.
pub(crate) async fn recovers(store: &dyn Store, full: u64) {
    let refused = large(full);
    let command = id(&format!("c{full}"));
    assert_eq!(store.appended(&command).await.unwrap(), None);
    assert_eq!(
        store.unseal(&[refused.sealed[0].commitment]).await.unwrap(),
        [None]
    );
    assert_eq!(check_whole(store).await, full);
    store.append(refused).await.unwrap();
    assert_eq!(check_whole(store).await, full + 1);
}

#[tokio::test]
async fn a_full_database_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let pragma = |sql| {
        vec![Statement {
            sql,
            params: vec![],
        }]
    };
    store
        .execute(pragma("PRAGMA max_page_count = 100"))
        .await
        .unwrap();
    let full = fill(&store).await;
    assert!(full > 0, "some went through");
    store.append(large(full)).await.unwrap_err();
    store
        .execute(pragma("PRAGMA max_page_count = 1000000"))
        .await
        .unwrap();
    recovers(&store, full).await;
    drop(store);
    assert_eq!(check_whole(&open(&dir)).await, full + 1);
}

#[expect(
    clippy::disallowed_methods,
    reason = "mounts a disk that is small enough to fill"
)]
fn run(program: &str, args: &[&str]) -> bool {
    Command::new(program)
        .args(args)
        .output()
        .is_ok_and(|output| output.status.success())
}

struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_str()?;
        run("mount", &["-t", "tmpfs", "-o", "size=4m", "tmpfs", path]).then_some(Self(dir))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if let Some(path) = self.0.path().to_str() {
            run("umount", &[path]);
        }
    }
}

#[tokio::test]
async fn a_full_disk_recovers() {
    let Some(disk) = SmallDisk::mount() else {
        println!("skipped: a small disk can be mounted only by root with CAP_SYS_ADMIN");
        return;
    };
    let ballast = disk.0.path().join("ballast");
    std::fs::write(&ballast, vec![1; 1 << 20]).unwrap();
    let store = open(&disk.0);
    let full = fill(&store).await;
    assert!(full > 0, "some went through");
    store.append(large(full)).await.unwrap_err();
    std::fs::remove_file(&ballast).unwrap();
    recovers(&store, full).await;
    drop(store);
    assert_eq!(check_whole(&open(&disk.0)).await, full + 1);
}
