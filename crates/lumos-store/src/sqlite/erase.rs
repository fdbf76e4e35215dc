//! Erasing sealed values so that their bytes are gone from the data directory, not only from the table.
//!
//! `secure_delete` overwrites what is deleted where it lies. But when a page of the tree was divided, earlier, copies
//! of its rows may have stayed in the unused part of the other page, and nothing overwrites those. So the table is
//! written anew without the rows, and the pages it had are given back, which overwrites them whole. What is left
//! then is the write-ahead log, which is copied into the database and cut to nothing once no reader needs it.

use lumos_domain::seal::Sealed;
use rusqlite::{Connection, OptionalExtension as _};

use super::writer::JobError;

/// The same table as in the first migration.
const WRITE_ANEW: &str = "
    CREATE TABLE sealed_kept (
      commitment TEXT NOT NULL PRIMARY KEY,
      salt       BLOB NOT NULL,
      value      TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    INSERT INTO sealed_kept (commitment, salt, value)
      SELECT commitment, salt, value FROM sealed ORDER BY commitment;
    DROP TABLE sealed;
    ALTER TABLE sealed_kept RENAME TO sealed;
    INSERT INTO meta (key, value) VALUES ('scrub', 'owed') ON CONFLICT DO NOTHING;";

/// Deletes the salts and values of `sealed`, in the caller's transaction, and notes that a scrub is owed.
pub(super) fn erase(connection: &Connection, sealed: &[Sealed]) -> Result<(), JobError> {
    let mut delete = connection.prepare_cached("DELETE FROM sealed WHERE commitment = $1")?;
    for sealed in sealed {
        delete.execute([sealed.hex()])?;
    }
    drop(delete);
    Ok(connection.execute_batch(WRITE_ANEW)?)
}

/// Whether erased bytes may still lie in the write-ahead log.
pub(super) fn is_scrub_owed(connection: &Connection) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM meta WHERE key = 'scrub'")?
        .query_row([], |_| Ok(()))
        .optional()
        .map(|found| found.is_some())
}

/// Empties the write-ahead log after an erasure was committed; false while a reader still needs it.
pub(super) fn scrub(connection: &Connection) -> rusqlite::Result<bool> {
    let busy: i64 =
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if busy == 0 {
        connection.execute("DELETE FROM meta WHERE key = 'scrub'", [])?;
    }
    Ok(busy == 0)
}
