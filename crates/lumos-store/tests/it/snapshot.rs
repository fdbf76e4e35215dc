//! A snapshot is the ledger at one moment, whole, and either store can be made from it; one that was changed is
//! refused, whatever was changed.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use lumos_domain::seal::SealedValue;
use lumos_engine::ports::{Row, Store, Value};
use lumos_ledger::Hash;
use lumos_store::{DirLock, SnapshotError, SqliteStore, snapshot};

use crate::{
    cluster::Cluster,
    world::{SCHEMA, append, check_whole, id, open, with_erased, with_login, with_sealed},
};

/// Enough entries for full and partial subtrees, with every kind of row.
async fn fill(store: &dyn Store) {
    for n in 1..=300_u64 {
        let mut one = append(&format!("c{n}"), &[("model/a", n)], &[]);
        if n % 7 == 0 {
            one = with_login(one, &format!("login{n}"));
        }
        if n % 5 == 0 {
            one = with_sealed(one, u8::try_from(n % 251).unwrap(), &format!("name {n}"));
        }
        store.append(one).await.unwrap();
    }
    let erased = SealedValue::new([5; 32], "name 5".to_owned()).commitment;
    let last = append("c301", &[("model/b", 1)], &[("model/a", 300)]);
    store.append(with_erased(last, &[erased])).await.unwrap();
    let lease = lumos_engine::ports::Statement {
        sql: "INSERT INTO leases (name, until) VALUES ($1, $2)",
        params: vec!["scanner".into(), Value::Null],
    };
    store.execute(vec![lease]).await.unwrap();
}

/// Every row that is carried over, in an order of its own.
async fn rows(store: &dyn Store) -> Vec<Vec<Row>> {
    let mut all = Vec::new();
    for sql in [
        "SELECT idx, stream, version, kind, bytes, leaf FROM entries ORDER BY idx",
        "SELECT stream, version FROM streams ORDER BY stream",
        "SELECT kind FROM kinds ORDER BY kind",
        "SELECT size, frontier FROM head",
        "SELECT command_id, first, count FROM commands ORDER BY first",
        "SELECT commitment, salt, value FROM sealed ORDER BY commitment",
        "SELECT login, entry FROM logins ORDER BY entry",
        "SELECT entry, stream FROM seen ORDER BY entry",
        "SELECT name, until FROM leases",
    ] {
        all.push(store.query(sql, vec![]).await.unwrap());
    }
    all
}

async fn root(store: &dyn Store) -> (u64, Hash) {
    let frontier = store.frontier().await.unwrap();
    (frontier.size(), frontier.root())
}

fn restore(file: &Path, dir: &Path, forget: &[&str]) -> Result<(), SnapshotError> {
    fs::create_dir_all(dir).unwrap();
    let held = DirLock::take(dir)?;
    snapshot::restore(file, dir, &held, forget, false)
}

#[tokio::test]
async fn a_ledger_that_is_written_to_is_copied_whole_and_made_again() {
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = new.path().join("copy.db");
    let store = open(&old);
    fill(&store).await;
    let (size, hash) = root(&store).await;
    // The store stays open and goes on: the copy is of this moment.
    SqliteStore::snapshot(old.path(), &file).unwrap();
    let after = append("c302", &[("model/b", 2)], &[]);
    store.append(after).await.unwrap();
    let checked = snapshot::check(&file, 255).unwrap();
    assert_eq!((checked.head.size(), checked.head.root()), (size, hash));
    let leaves = store.leaves(0, 255).await.unwrap();
    assert_eq!(
        checked.earlier.unwrap().root(),
        lumos_ledger::tree::root(&leaves)
    );
    assert!(snapshot::check(&file, size + 1).unwrap().earlier.is_none());
    let bytes = fs::read(&file).unwrap();
    let holds = |part: &[u8]| bytes.windows(part.len()).any(|found| found == part);
    assert!(holds(b"name 10") && !holds(&[5; 32]));

    let dir = new.path().join("data");
    restore(&file, &dir, &["leases", "unknown"]).unwrap();
    let again = SqliteStore::open(&dir, SCHEMA).unwrap();
    assert_eq!(root(&again).await, (size, hash));
    assert_eq!(check_whole(&again).await, size);
    // What the caller said to forget is the one difference.
    let found = rows(&again).await;
    assert!(found.last().unwrap().is_empty());
    assert!(again.appended(&id("c301")).await.unwrap().is_some());
    assert!(again.appended(&id("c302")).await.unwrap().is_none());
    let after = append("c302", &[("model/b", 2)], &[]);
    assert_eq!(again.append(after).await.unwrap().first, size);

    // Nothing is put over a ledger, nor beside the log of another one.
    drop(again);
    let refused = |found| matches!(found, Err(SnapshotError::NotEmpty { .. }));
    assert!(refused(restore(&file, &dir, &[])));
    fs::remove_file(dir.join("lumos.db")).unwrap();
    fs::write(dir.join("lumos.db-wal"), "left").unwrap();
    assert!(refused(restore(&file, &dir, &[])));
    fs::remove_file(dir.join("lumos.db-wal")).unwrap();
    // One that was cut short is in nobody's way.
    fs::write(dir.join("lumos.db.unfinished"), "half").unwrap();
    restore(&file, &dir, &[]).unwrap();
    assert!(!dir.join("lumos.db.unfinished").exists());
    let again = SqliteStore::open(&dir, SCHEMA).unwrap();
    assert_eq!(check_whole(&again).await, size);
    assert!(matches!(
        restore(&file, &dir, &[]),
        Err(SnapshotError::Open(_))
    ));
}

#[tokio::test]
async fn what_was_changed_in_a_snapshot_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("copy.db");
    let store = open(&dir);
    fill(&store).await;
    SqliteStore::snapshot(dir.path(), &file).unwrap();
    snapshot::check(&file, 0).unwrap();
    for sql in [
        "UPDATE entries SET bytes = x'00' WHERE idx = 7",
        "UPDATE entries SET leaf = zeroblob(32) WHERE idx = 300",
        "UPDATE entries SET bytes = 'text' WHERE idx = 7",
        "DELETE FROM entries WHERE idx = 300",
        "DELETE FROM entries WHERE idx = 0",
        "UPDATE entries SET idx = 1000 WHERE idx = 300",
        "UPDATE entries SET version = 900 WHERE idx = 299",
        "UPDATE head SET size = 300",
        "UPDATE head SET frontier = x'00'",
        "DELETE FROM head",
        "DELETE FROM streams WHERE stream = 'model/b'",
        "UPDATE streams SET version = 299 WHERE stream = 'model/a'",
        "INSERT INTO streams (stream, version) VALUES ('model/c', 1)",
        "UPDATE sealed SET value = 'mallory' WHERE value = 'name 10'",
        "UPDATE sealed SET salt = zeroblob(32) WHERE value = 'name 10'",
        "UPDATE sealed SET salt = x'00' WHERE value = 'name 10'",
        "DROP TABLE sealed",
        "CREATE TRIGGER t AFTER INSERT ON entries BEGIN DELETE FROM seen; END",
        "CREATE VIEW v AS SELECT * FROM sealed",
        "CREATE TABLE \"entries FROM PROGRAM 'id' --*/\" (\"1 AS a /*\" TEXT)",
    ] {
        let changed = dir.path().join("changed.db");
        fs::copy(&file, &changed).unwrap();
        run(&changed, sql);
        let found = snapshot::check(&changed, 0);
        assert!(found.is_err(), "{sql}");
        let problem = found.unwrap_err().to_string();
        assert!(
            problem.starts_with("reading") || problem.starts_with("opening"),
            "{problem}"
        );
    }
}

/// Runs SQL that no type of SQLite's strict tables refuses, or nothing if one does: then it could not happen.
fn run(file: &Path, sql: &str) {
    let text = sql.replace("'text'", "x'74657874'");
    rusqlite::Connection::open(file)
        .unwrap()
        .execute(&text, [])
        .unwrap();
}

#[tokio::test]
async fn a_snapshot_that_is_no_whole_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("copy.db");
    let store = open(&dir);
    fill(&store).await;
    SqliteStore::snapshot(dir.path(), &file).unwrap();
    let whole = fs::read(&file).unwrap();
    let cut = dir.path().join("cut.db");
    for length in (0..whole.len())
        .step_by(whole.len() / 40)
        .chain([whole.len() - 1])
    {
        fs::write(&cut, &whole[..length]).unwrap();
        assert!(snapshot::check(&cut, 0).is_err(), "{length} bytes");
    }
    assert!(snapshot::check(&dir.path().join("absent.db"), 0).is_err());
    assert!(SqliteStore::snapshot(&dir.path().join("absent"), &cut).is_err());
    // Nothing is written over what is there.
    assert!(SqliteStore::snapshot(dir.path(), &file).is_err());
    assert_eq!(fs::read(&file).unwrap(), whole);
}

#[tokio::test]
async fn real_postgres_and_sqlite_hold_the_same_ledger_either_way() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("there.db");
    let here = open(&dir);
    fill(&here).await;
    SqliteStore::snapshot(dir.path(), &file).unwrap();

    let name = cluster.database();
    let there = cluster.open(&name).await;
    let loaded = there.load(&file, &[], false).await.unwrap();
    assert_eq!((loaded.size(), loaded.root()), root(&here).await);
    drop(there);
    let there = cluster.open(&name).await;
    assert_eq!(rows(&there).await, rows(&here).await);
    assert_eq!(check_whole(&there).await, loaded.size());
    assert!(matches!(
        there.load(&file, &[], false).await,
        Err(SnapshotError::NotEmpty { .. })
    ));
    let after = append("c302", &[("model/b", 2)], &[]);
    there.append(after.clone()).await.unwrap();
    here.append(after).await.unwrap();

    let back = dir.path().join("back.db");
    there.snapshot(&back, SCHEMA).await.unwrap();
    let checked = snapshot::check(&back, 0).unwrap();
    assert_eq!(checked.head.root(), root(&here).await.1);
    let data = dir.path().join("data");
    restore(&back, &data, &[]).unwrap();
    let again = SqliteStore::open(&data, SCHEMA).unwrap();
    assert_eq!(rows(&again).await, rows(&here).await);
}

#[tokio::test]
async fn real_postgres_takes_all_of_a_snapshot_or_nothing() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("copy.db");
    let here = open(&dir);
    fill(&here).await;
    SqliteStore::snapshot(dir.path(), &file).unwrap();
    let there = cluster.open(&cluster.database()).await;
    // A snapshot that nobody checked: its last entry is not what its head was signed for.
    let changed = dir.path().join("changed.db");
    fs::copy(&file, &changed).unwrap();
    run(&changed, "UPDATE entries SET bytes = x'00' WHERE idx = 300");
    assert!(there.load(&changed, &[], false).await.is_err());
    fs::copy(&file, &changed).unwrap();
    run(&changed, "DROP TABLE logins");
    run(&changed, "CREATE TABLE logins (login TEXT, other TEXT)");
    assert!(there.load(&changed, &[], false).await.is_err());
    assert_eq!(root(&there).await.0, 0);
    assert!(rows(&there).await[0].is_empty());
    // And the whole one goes in afterwards.
    there.load(&file, &[], false).await.unwrap();
    assert_eq!(rows(&there).await, rows(&here).await);
}

#[tokio::test]
async fn real_a_snapshot_of_postgres_is_of_one_moment() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let store = cluster.open(&cluster.database()).await;
    let written = AtomicBool::new(false);
    let write = async {
        for n in 1..=400 {
            let one = append(&format!("c{n}"), &[("model/a", n)], &[]);
            store.append(one).await.unwrap();
        }
        written.store(true, Ordering::Relaxed);
    };
    let dir = tempfile::tempdir().unwrap();
    let copy = async {
        let mut sizes = Vec::new();
        while !written.load(Ordering::Relaxed) {
            let file = dir.path().join(format!("{}.db", sizes.len()));
            store.snapshot(&file, SCHEMA).await.unwrap();
            let frontier = snapshot::check(&file, 0).unwrap().head;
            let leaves = store.leaves(0, frontier.size()).await.unwrap();
            assert_eq!(lumos_ledger::tree::root(&leaves), frontier.root());
            sizes.push(frontier.size());
        }
        sizes
    };
    let ((), sizes) = tokio::join!(write, copy);
    assert!(sizes.is_sorted() && sizes.len() > 1, "{sizes:?}");
}
