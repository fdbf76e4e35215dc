//! Opening connections to the database, and bringing its tables up to date. Migrations only add: a file
//! under `migrations/sqlite/` that was released once is never edited.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, TransactionBehavior};

use crate::OpenError;

/// Applied in order; the schema version is how many were.
const MIGRATIONS: &[&str] = &[include_str!("../../migrations/sqlite/0001-ledger.sql")];

/// What holds for the writing connection.
const WRITER: &str = include_str!("../../migrations/sqlite/connection.sql");

const READER: &str = "PRAGMA busy_timeout = 5000; PRAGMA query_only = ON;
                      PRAGMA temp_store = MEMORY; PRAGMA cache_size = -4096;";

/// Statements kept prepared per connection; the engine has about this many projections and queries.
const PREPARED: usize = 256;

/// The connection that writes; there is one per data directory.
pub(super) fn writer(path: &Path) -> Result<Connection, OpenError> {
    let connection = Connection::open(path).map_err(OpenError::database("opening its file"))?;
    connection.set_prepared_statement_cache_capacity(PREPARED);
    connection
        .execute_batch(WRITER)
        .map_err(OpenError::database("setting up the writing connection"))?;
    Ok(connection)
}

/// A connection that cannot write.
pub(super) fn reader(path: &Path) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.set_prepared_statement_cache_capacity(PREPARED);
    connection.execute_batch(READER)?;
    Ok(connection)
}

/// A connection that copies the whole database elsewhere.
pub(super) fn copier(path: &Path) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    Ok(connection)
}

/// Applies the migrations that are missing, then the engine's own tables, each step whole or not at all.
pub(super) fn migrate(connection: &mut Connection, schema: &[&str]) -> Result<(), OpenError> {
    connection
        .execute_batch(
            "CREATE TABLE IF NOT EXISTS meta (key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL)
             STRICT, WITHOUT ROWID",
        )
        .map_err(OpenError::database("reading its schema version"))?;
    let known = MIGRATIONS.len();
    let found = version(connection)?;
    let done = usize::try_from(found)
        .ok()
        .filter(|done| *done <= known)
        .ok_or(OpenError::Newer {
            found,
            known: i64::try_from(known).unwrap_or(i64::MAX),
        })?;
    for (number, sql) in (1_i64..).zip(MIGRATIONS).skip(done) {
        tracing::info!(number, "migrating the database");
        step(connection, sql, Some(number))
            .map_err(OpenError::database(format!("applying migration {number}")))?;
    }
    for sql in schema {
        step(connection, sql, None).map_err(OpenError::database("defining the engine's tables"))?;
    }
    Ok(())
}

fn version(connection: &Connection) -> Result<i64, OpenError> {
    connection
        .query_row(
            "SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'schema_version'",
            [],
            |row| row.get(0),
        )
        .optional()
        .map(|version| version.unwrap_or(0))
        .map_err(OpenError::database("reading its schema version"))
}

fn step(connection: &mut Connection, sql: &str, version: Option<i64>) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(sql)?;
    if let Some(version) = version {
        transaction.execute(
            "INSERT INTO meta (key, value) VALUES ('schema_version', $1)
             ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            [version.to_string()],
        )?;
    }
    transaction.commit()
}
