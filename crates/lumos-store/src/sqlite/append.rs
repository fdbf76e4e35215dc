//! One append inside the writer's transaction: the read set, the entries, what projections make of them.
//! It knows nothing of batches, commits or callers.

use lumos_engine::ports::{AppendError, Appended, Statement};
use lumos_ledger::Hash;
use rusqlite::{Connection, OptionalExtension as _, ffi};

use super::{
    erase,
    value::{self, ValueError},
    writer::JobError,
};
use crate::ready::{self, Ready, ReadyEntry};

/// What an append did, to be kept once its transaction is.
pub(super) struct Done {
    pub(super) appended: Appended,
    pub(super) leaves: Vec<Hash>,
    pub(super) kinds: Vec<&'static str>,
}

impl Ready {
    /// Compares the read set with what is there, and writes nothing: a conflict leaves nothing behind to
    /// undo. A command that was done before is answered, whatever became of its read set since.
    pub(super) fn check(
        &self,
        connection: &Connection,
        known: impl Fn(&str) -> Option<u64>,
    ) -> Result<Option<Appended>, JobError> {
        for seen in &self.reads {
            let now = match known(&seen.name) {
                Some(version) => version,
                None => version(connection, &seen.name)?,
            };
            if now != seen.version {
                return match landed(connection, &self.command_id)? {
                    Some(appended) => Ok(Some(appended)),
                    None => Err(ready::conflict(&seen.stream, seen.version, now).into()),
                };
            }
        }
        Ok(None)
    }

    /// Writes the append behind entry `first - 1`. After an error, what it wrote must be rolled back.
    pub(super) fn write(
        &self,
        connection: &Connection,
        first: u64,
        known: impl Fn(&str) -> bool,
    ) -> Result<Done, JobError> {
        if let Some(appended) = self.claim(connection, first)? {
            return Ok(Done {
                appended,
                leaves: Vec::new(),
                kinds: Vec::new(),
            });
        }
        if let Some(lease) = &self.lease {
            let held = value::run(connection, lease.sql, &lease.params, None);
            if held.map_err(|error| error.into_job(lease.sql))? != 1 {
                return Err(AppendError::LeaseLost.into());
            }
        }
        let mut kinds = Vec::new();
        for (entry, index) in self.entries.iter().zip(first..) {
            entry.write(connection, super::int(index)?)?;
            if !known(entry.kind) && !kinds.contains(&entry.kind) {
                connection
                    .prepare_cached("INSERT INTO kinds (kind) VALUES ($1) ON CONFLICT DO NOTHING")?
                    .execute([entry.kind])?;
                kinds.push(entry.kind);
            }
        }
        for sealed in &self.sealed {
            connection
                .prepare_cached(
                    "INSERT INTO sealed (commitment, salt, value) VALUES ($1, $2, $3)
                     ON CONFLICT DO NOTHING",
                )?
                .execute((sealed.commitment.hex(), sealed.salt, &sealed.value))?;
        }
        if !self.erase.is_empty() {
            erase::erase(connection, &self.erase)?;
        }
        Ok(Done {
            appended: Appended {
                first,
                count: self.count(),
                repeated: false,
            },
            leaves: self.entries.iter().map(|entry| entry.leaf).collect(),
            kinds,
        })
    }

    /// Takes the command id, or says where the command landed that had it before.
    fn claim(&self, connection: &Connection, first: u64) -> Result<Option<Appended>, JobError> {
        let claimed = connection
            .prepare_cached(
                "INSERT INTO commands (command_id, first, count) VALUES ($1, $2, $3)
                 ON CONFLICT DO NOTHING",
            )?
            .execute((
                &self.command_id,
                super::int(first)?,
                super::int(self.count())?,
            ))?;
        if claimed == 1 {
            return Ok(None);
        }
        landed(connection, &self.command_id)
    }
}

impl ReadyEntry {
    fn write(&self, connection: &Connection, index: i64) -> Result<(), JobError> {
        let version = super::int(self.version)?;
        let moved = if self.version == 1 {
            connection
                .prepare_cached(
                    "INSERT INTO streams (stream, version) VALUES ($1, 1) ON CONFLICT DO NOTHING",
                )?
                .execute([&self.name])?
        } else {
            connection
                .prepare_cached(
                    "UPDATE streams SET version = $1 WHERE stream = $2 AND version = $3",
                )?
                .execute((version, &self.name, version - 1))?
        };
        if moved == 0 {
            let now = self::version(connection, &self.name)?;
            return Err(ready::conflict(&self.stream, self.version - 1, now).into());
        }
        connection
            .prepare_cached(
                "INSERT INTO entries (idx, stream, version, kind, bytes, leaf)
                 VALUES ($1, $2, $3, $4, $5, $6)",
            )?
            .execute((
                index,
                &self.name,
                version,
                self.kind,
                &self.bytes,
                self.leaf.as_bytes(),
            ))?;
        for projection in &self.projections {
            project(connection, projection, index)?;
        }
        Ok(())
    }
}

/// Applies one projection of the entry at `index`.
pub(super) fn project(
    connection: &Connection,
    projection: &Statement,
    index: i64,
) -> Result<(), JobError> {
    match value::run(connection, projection.sql, &projection.params, Some(index)) {
        Ok(_) => Ok(()),
        Err(ValueError::Database(error)) if is_taken(&error) => {
            Err(JobError::Append(AppendError::Taken))
        }
        Err(error) => Err(error.into_job(projection.sql)),
    }
}

/// The version a stream has; 0 when it has no entry.
pub(super) fn version(connection: &Connection, stream: &str) -> Result<u64, JobError> {
    let version: Option<i64> = connection
        .prepare_cached("SELECT version FROM streams WHERE stream = $1")?
        .query_row([stream], |row| row.get(0))
        .optional()?;
    super::count(version.unwrap_or(0))
}

/// Where the command landed that has this id.
pub(super) fn landed(
    connection: &Connection,
    command_id: &str,
) -> Result<Option<Appended>, JobError> {
    let found: Option<(i64, i64)> = connection
        .prepare_cached("SELECT first, count FROM commands WHERE command_id = $1")?
        .query_row([command_id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    found
        .map(|(first, count)| {
            Ok(Appended {
                first: super::count(first)?,
                count: super::count(count)?,
                repeated: true,
            })
        })
        .transpose()
}

fn is_taken(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| {
        matches!(
            error.extended_code,
            ffi::SQLITE_CONSTRAINT_UNIQUE
                | ffi::SQLITE_CONSTRAINT_PRIMARYKEY
                | ffi::SQLITE_CONSTRAINT_ROWID
        )
    })
}
