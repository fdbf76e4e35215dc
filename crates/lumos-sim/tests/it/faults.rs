//! Each write as *failed* and as *failed but happened*: asking by command id tells them apart.

use std::sync::Arc;

use lumos_domain::id::CommandId;
use lumos_engine::ports::{Append, AppendError, NewEntry, Statement, Store as _};
use lumos_sim::{After, Fault, Plan, fault::FaultyStore, wait::finish};
use lumos_store::SqliteStore;
use tempfile::TempDir;
use tokio::runtime::Runtime;

const SCHEMA: &[&str] = &["CREATE TABLE IF NOT EXISTS leases (name TEXT NOT NULL PRIMARY KEY)"];

fn store(faults: &[(usize, Fault)]) -> (Runtime, TempDir, FaultyStore) {
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let faults = faults
        .iter()
        .map(|(n, fault)| (*n, *fault, After::Returned));
    let inner = SqliteStore::open(dir.path(), SCHEMA).unwrap();
    let store = FaultyStore::new(Arc::new(inner), Arc::new(Plan::new(faults)));
    (runtime, dir, store)
}

fn id(text: &str) -> CommandId {
    text.parse().unwrap()
}

fn append(command: &str, reads: &[(&str, u64)]) -> Append {
    let reads = reads.iter();
    Append {
        command_id: id(command),
        reads: reads
            .map(|(stream, version)| (stream.parse().unwrap(), *version))
            .collect(),
        entries: vec![NewEntry {
            stream: "org".parse().unwrap(),
            version: 1,
            kind: "lumos.test.happened.v1",
            bytes: command.into(),
            projections: Vec::new(),
        }],
        sealed: Vec::new(),
        erase: Vec::new(),
        lease: None,
    }
}

#[test]
fn an_append_that_failed_can_be_told_from_one_that_happened() {
    let (runtime, _dir, store) = store(&[
        (0, Fault::Failed),
        (1, Fault::Persisted),
        (3, Fault::Persisted),
    ]);
    let _entered = runtime.enter();
    let first = || append("c1", &[("org", 0)]);

    let failed = finish(store.append(first()));
    assert!(matches!(failed, Err(AppendError::Store(_))));
    assert_eq!(finish(store.appended(&id("c1"))).unwrap(), None);

    let lost = finish(store.append(first()));
    assert!(matches!(lost, Err(AppendError::Store(_))));
    assert!(finish(store.appended(&id("c1"))).unwrap().is_some());

    let again = finish(store.append(first())).unwrap();
    assert!(again.repeated, "it is not done again");
    let stale = finish(store.append(append("c2", &[])));
    assert!(
        matches!(stale, Err(AppendError::Conflict { .. })),
        "a refusal is never lost"
    );
    assert_eq!(finish(store.entries(0, 9)).unwrap().len(), 1);
}

#[test]
fn an_operational_change_fails_before_or_after() {
    let (runtime, _dir, store) = store(&[(0, Fault::Failed), (1, Fault::Persisted)]);
    let _entered = runtime.enter();
    let insert = || Statement {
        sql: "INSERT INTO leases (name) VALUES ($1)",
        params: vec!["a".into()],
    };
    for leases in [0, 1] {
        finish(store.execute(vec![insert()])).unwrap_err();
        let rows = finish(store.query("SELECT name FROM leases", vec![])).unwrap();
        assert_eq!(rows.len(), leases);
    }
}
