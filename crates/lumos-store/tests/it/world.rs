//! What the tests stand on: tables, entries and appends of the fictional company Acme.

use lumos_domain::{
    id::CommandId,
    seal::{Sealed, SealedValue},
    stream::Stream,
};
use lumos_engine::ports::{Append, NewEntry, Statement, Store, Value};
use lumos_ledger::{Hash, tree};
use lumos_store::{PostgresSettings, PostgresStore, SqliteStore};
use tempfile::TempDir;

use crate::cluster::Cluster;

/// Tables beside the ledger, as an engine would define them.
pub(crate) const SCHEMA: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS logins (login TEXT NOT NULL PRIMARY KEY, entry INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS seen (entry INTEGER NOT NULL PRIMARY KEY, stream TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS leases (name TEXT NOT NULL PRIMARY KEY, until BIGINT)",
];

pub(crate) fn open(dir: &TempDir) -> SqliteStore {
    SqliteStore::open(dir.path(), SCHEMA).unwrap()
}

impl Cluster {
    /// How to open the database as its owner.
    pub(crate) fn settings(&self, database: &str) -> PostgresSettings {
        PostgresSettings {
            url: self.url("lumos", database),
            owner_url: None,
            accept_loss: false,
        }
    }

    /// A store with the test's tables.
    pub(crate) async fn open(&self, database: &str) -> PostgresStore {
        PostgresStore::open(&self.settings(database), SCHEMA)
            .await
            .unwrap()
    }
}

pub(crate) fn stream(name: &str) -> Stream {
    name.parse().unwrap()
}

pub(crate) fn id(text: &str) -> CommandId {
    text.parse().unwrap()
}

pub(crate) fn entry(name: &str, version: u64) -> NewEntry {
    NewEntry {
        stream: stream(name),
        version,
        kind: "lumos.test.happened.v1",
        bytes: format!("{name} {version}").into_bytes(),
        projections: vec![Statement {
            sql: "INSERT INTO seen (entry, stream) VALUES ($1, $2)",
            params: vec![Value::Index, name.into()],
        }],
    }
}

/// An append of entries to streams, each at its version, that read what it writes and `reads`.
pub(crate) fn append(command: &str, entries: &[(&str, u64)], reads: &[(&str, u64)]) -> Append {
    Append {
        command_id: id(command),
        reads: reads
            .iter()
            .map(|(name, version)| (stream(name), *version))
            .collect(),
        entries: entries
            .iter()
            .map(|(name, version)| entry(name, *version))
            .collect(),
        sealed: Vec::new(),
        erase: Vec::new(),
        lease: None,
    }
}

pub(crate) fn with_login(mut append: Append, login: &str) -> Append {
    append.entries[0].projections.push(Statement {
        sql: "INSERT INTO logins (login, entry) VALUES ($1, $2)",
        params: vec![login.into(), Value::Index],
    });
    append
}

pub(crate) fn with_sealed(mut append: Append, salt: u8, value: &str) -> Append {
    append
        .sealed
        .push(SealedValue::new([salt; 32], value.to_owned()));
    append
}

pub(crate) fn with_erased(mut append: Append, sealed: &[Sealed]) -> Append {
    append.erase.extend_from_slice(sealed);
    append
}

/// Checks what must hold of any store at any time: indices without a gap, leaf hashes and root over the
/// stored bytes, streams in order, tables in step. Returns the number of entries.
pub(crate) async fn check_whole(store: &dyn Store) -> u64 {
    let entries = store.entries(0, u32::MAX).await.unwrap();
    let mut leaves: Vec<Hash> = Vec::new();
    for (entry, index) in entries.iter().zip(0..) {
        assert_eq!(entry.index, index);
        leaves.push(tree::leaf_hash(&entry.bytes));
    }
    let size = leaves.len() as u64;
    let frontier = store.frontier().await.unwrap();
    assert_eq!(
        (frontier.size(), frontier.root()),
        (size, tree::root(&leaves))
    );
    assert_eq!(store.leaves(0, size).await.unwrap(), leaves);
    assert_eq!(*store.committed().borrow(), size);
    let seen = store
        .query("SELECT entry, stream FROM seen ORDER BY entry", vec![])
        .await
        .unwrap();
    assert_eq!(seen.len(), entries.len(), "the projection is in step");
    let mut names: Vec<_> = seen.iter().map(|row| row.text(1).to_owned()).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let of_stream = store.stream(&stream(&name)).await.unwrap();
        let version = store.stream_version(&stream(&name)).await.unwrap();
        assert_eq!(of_stream.len() as u64, version, "{name}");
        for (entry, version) in of_stream.iter().zip(1..) {
            assert_eq!(entry.bytes, format!("{name} {version}").into_bytes());
        }
    }
    size
}
