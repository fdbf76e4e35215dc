//! A snapshot of the database in a data directory, also while a server writes to it.

use std::path::Path;

use lumos_engine::ports::{PortError, Row, Value};
use rusqlite::{Connection, types::ToSqlOutput};

use super::{SqliteStore, connect, value};
use crate::{
    OpenError,
    snapshot::{SnapshotError, seal},
};

impl SqliteStore {
    /// Writes the database of the data directory `dir` to the new file `file` as it is at this moment. Who writes to it
    /// is not held up. What was erased is not in it: only what the tables hold is copied, not their pages.
    ///
    /// # Errors
    /// [`SnapshotError`] when there is no database, it cannot be read, or the file cannot be written.
    pub fn snapshot(dir: &Path, file: &Path) -> Result<(), SnapshotError> {
        let copy = || -> rusqlite::Result<()> {
            let source = connect::copier(&dir.join("lumos.db"))?;
            source.execute("VACUUM INTO $1", [file.to_string_lossy()])?;
            Ok(())
        };
        copy().map_err(OpenError::database(format!(
            "copying the database of `{}`",
            dir.display()
        )))?;
        seal(file)
    }
}

/// A new database without any rows, in a transaction that whoever fills it ends. If it is cut short the file is of no
/// use, so nothing is written twice.
pub(crate) fn blank(file: &Path, schema: &[&str]) -> Result<Connection, SnapshotError> {
    let mut connection = connect::writer(file)?;
    connect::migrate(&mut connection, schema)?;
    connection
        .execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; BEGIN")
        .map_err(SnapshotError::database("preparing the snapshot"))?;
    Ok(connection)
}

/// A value as a parameter.
pub(crate) fn to_sql(value: &Value) -> ToSqlOutput<'_> {
    value::output(value, 0)
}

/// The columns of a row that is carried over.
pub(crate) fn from_sql(row: &rusqlite::Row<'_>, columns: usize) -> Result<Row, SnapshotError> {
    let read = value::row(row, columns);
    Ok(read.map_err(|error| PortError::new("reading the snapshot", error))?)
}
