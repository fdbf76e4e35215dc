//! Making the tables beside the ledger anew from its entries. The engine says what each entry means;
//! this wipes, replays in chunks, and remembers in the database that it is not finished.

use lumos_engine::ports::{PortError, Statement, Store as _, StoredEntry};
use rusqlite::{Connection, OptionalExtension as _};

use super::{
    SqliteStore,
    append::project,
    writer::{JobError, Work},
};
use crate::rebuild::may_be_wiped;

const DOING: &str = "rebuilding the tables beside the ledger";

/// Entries that are replayed in one transaction.
const CHUNK: u32 = 512;

impl SqliteStore {
    /// Empties `tables`, in this order, and runs over every entry what `meaning` says it means. While it
    /// runs nothing is appended; when it is cut short, nothing is until one has run to its end, so that no
    /// decision is taken from half a table ([`Self::needs_rebuild`]).
    ///
    /// # Errors
    /// [`PortError`] when a name is not that of a table beside the ledger, a statement is refused, or the
    /// database fails.
    pub async fn rebuild(
        &self,
        tables: &[&str],
        mut meaning: impl FnMut(&StoredEntry) -> Vec<Statement> + Send,
    ) -> Result<(), PortError> {
        if let Some(name) = tables.iter().find(|name| !may_be_wiped(name)) {
            return Err(PortError::new(
                DOING,
                format!("`{name}` is no table beside the ledger"),
            ));
        }
        let tables = tables.iter().map(|&name| name.to_owned()).collect();
        self.step(Step::Wipe(tables)).await?;
        let mut from = 0;
        loop {
            let entries = self.entries(from, CHUNK).await?;
            let Some(last) = entries.last() else { break };
            from = last.index + 1;
            let replay = entries
                .iter()
                .map(|entry| Ok((super::int(entry.index)?, meaning(entry))))
                .collect::<Result<_, JobError>>()
                .map_err(|error| error.into_port(DOING))?;
            self.step(Step::Replay(replay)).await?;
        }
        self.step(Step::Finish).await
    }

    /// Whether a rebuild was cut short: nothing can be appended until one has run to its end.
    ///
    /// # Errors
    /// [`PortError`] when the database fails.
    pub async fn needs_rebuild(&self) -> Result<bool, PortError> {
        self.readers
            .read("asking whether a rebuild is unfinished", is_unfinished)
            .await
    }

    async fn step(&self, step: Step) -> Result<(), PortError> {
        self.queue
            .submit(Work::Rebuild(step))
            .await
            .map(|_| ())
            .map_err(|error| error.into_port(DOING))
    }
}

/// One transaction of a rebuild.
pub(super) enum Step {
    /// Marks the tables as unfinished and empties them.
    Wipe(Vec<String>),
    /// Applies what each entry, by its index, means.
    Replay(Vec<(i64, Vec<Statement>)>),
    /// Takes the mark away.
    Finish,
}

impl Step {
    pub(super) fn is_last(&self) -> bool {
        matches!(self, Self::Finish)
    }

    pub(super) fn apply(&self, connection: &Connection) -> Result<(), JobError> {
        match self {
            Self::Wipe(tables) => {
                connection.execute(
                    "INSERT INTO meta (key, value) VALUES ('rebuild', 'unfinished')
                     ON CONFLICT DO NOTHING",
                    [],
                )?;
                for table in tables {
                    connection.execute(&format!("DELETE FROM {table}"), [])?;
                }
            }
            Self::Replay(entries) => {
                for (index, statements) in entries {
                    for statement in statements {
                        project(connection, statement, *index)?;
                    }
                }
            }
            Self::Finish => {
                connection.execute("DELETE FROM meta WHERE key = 'rebuild'", [])?;
            }
        }
        Ok(())
    }
}

/// Whether a rebuild was begun and not finished.
pub(super) fn is_unfinished(connection: &Connection) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM meta WHERE key = 'rebuild'")?
        .query_row([], |_| Ok(()))
        .optional()
        .map(|found| found.is_some())
}
