//! The store of one node: SQLite in the data directory, written by one at a time, read by a few.

mod append;
mod connect;
mod erase;
mod head;
mod queue;
mod readers;
mod rebuild;
mod snapshot;
mod value;
mod versions;
mod writer;

use std::path::Path;

use async_trait::async_trait;
use lumos_domain::{id::CommandId, seal::Sealed, stream::Stream};
use lumos_engine::ports::{
    Append, AppendError, Appended, PortError, Row, Statement, Store, StoredEntry, Value,
};
use lumos_ledger::{Frontier, Hash};
use rusqlite::{Connection, OptionalExtension as _};
use tokio::sync::watch;

use crate::{OpenError, durable, lock::DirLock, ready::Ready};
use queue::Queue;
use readers::Readers;
pub(crate) use snapshot::{blank, from_sql, to_sql};
use value::ValueError;
use writer::{JobError, Outcome, Work, Writer};

/// The ledger and its tables in `DIR/lumos.db`.
///
/// Dropping it waits for the work that was handed in, then lets go of the data directory.
pub struct SqliteStore {
    queue: Queue,
    readers: Readers,
    committed: watch::Receiver<u64>,
}

impl SqliteStore {
    /// Opens or makes the store in `dir`, which only one process may hold at a time. `schema` is DDL that
    /// may run at each start (`CREATE TABLE IF NOT EXISTS …`); it must not defer foreign keys, since a
    /// deferred failure would take down every append of the same commit.
    ///
    /// # Errors
    /// [`OpenError`] when the directory is in use or cannot be used, the database refuses, a newer version
    /// wrote it, or the head of the ledger contradicts its entries.
    pub fn open(dir: &Path, schema: &[&str]) -> Result<Self, OpenError> {
        let unusable = |doing| {
            move |source| OpenError::Unusable {
                dir: dir.to_owned(),
                doing,
                source,
            }
        };
        durable::make_dir(dir).map_err(unusable("making it"))?;
        let lock = DirLock::take(dir)?;
        let path = dir.join("lumos.db");
        let mut connection = connect::writer(&path)?;
        connect::migrate(&mut connection, schema)?;
        durable::sync_dir(dir).map_err(unusable("making its files durable"))?;
        head::check(&connection)?;
        let frontier = head::load(&connection).map_err(|error| OpenError::Head {
            problem: error.to_string(),
        })?;
        let (announce, committed) = watch::channel(frontier.size());
        let writer = Writer::new(connection, announce, lock);
        let queue = Queue::start(writer).map_err(unusable("starting its writer"))?;
        Ok(Self {
            queue,
            readers: Readers::new(path),
            committed,
        })
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let work = Work::Append(Ready::new(append)?);
        match self
            .queue
            .submit(work)
            .await
            .map_err(JobError::into_append)?
        {
            Outcome::Appended(appended) => Ok(appended),
            Outcome::Changed(_) | Outcome::Rebuilt => Err(JobError::Stopped.into_append()),
        }
    }

    async fn appended(&self, command_id: &CommandId) -> Result<Option<Appended>, PortError> {
        let id = command_id.to_string();
        self.readers
            .read("looking up a command", move |db| append::landed(db, &id))
            .await
    }

    async fn stream(&self, stream: &Stream) -> Result<Vec<StoredEntry>, PortError> {
        let name = stream.to_string();
        let sql = "SELECT idx, bytes FROM entries WHERE stream = $1 ORDER BY version";
        self.readers
            .read("reading a stream", move |db| stored(db, sql, [name]))
            .await
    }

    async fn stream_version(&self, stream: &Stream) -> Result<u64, PortError> {
        let name = stream.to_string();
        self.readers
            .read("reading a stream's version", move |db| {
                append::version(db, &name)
            })
            .await
    }

    async fn entries(&self, from: u64, max: u32) -> Result<Vec<StoredEntry>, PortError> {
        let sql = "SELECT idx, bytes FROM entries WHERE idx >= $1 ORDER BY idx LIMIT $2";
        self.readers
            .read("reading entries", move |db| {
                stored(db, sql, (clamp(from), max))
            })
            .await
    }

    async fn kinds(&self) -> Result<Vec<String>, PortError> {
        self.readers
            .read("reading the event types", |db| {
                db.prepare_cached("SELECT kind FROM kinds ORDER BY kind")?
                    .query_map([], |row| row.get(0))?
                    .collect::<rusqlite::Result<_>>()
            })
            .await
    }

    async fn frontier(&self) -> Result<Frontier, PortError> {
        self.readers.read("reading the head", head::load).await
    }

    async fn leaves(&self, from: u64, to: u64) -> Result<Vec<Hash>, PortError> {
        let sql = "SELECT leaf FROM entries WHERE idx >= $1 AND idx < $2 ORDER BY idx";
        let read = move |db: &Connection| -> Result<_, JobError> {
            let leaves = db
                .prepare_cached(sql)?
                .query_map([clamp(from), clamp(to)], |row| {
                    Ok(Hash::new(row.get::<_, [u8; Hash::SIZE]>(0)?))
                })?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            if leaves.len() as u64 == to.saturating_sub(from) {
                Ok(leaves)
            } else {
                let problem = format!("there are no {from} to {to}");
                Err(JobError::refused("reading leaf hashes", problem))
            }
        };
        self.readers.read("reading leaf hashes", read).await
    }

    async fn unseal(&self, sealed: &[Sealed]) -> Result<Vec<Option<String>>, PortError> {
        let keys: Vec<_> = sealed.iter().map(Sealed::hex).collect();
        self.readers
            .read("unsealing", move |db| {
                let sql = "SELECT value FROM sealed WHERE commitment = $1";
                let mut statement = db.prepare_cached(sql)?;
                keys.iter()
                    .map(|key| statement.query_row([key], |row| row.get(0)).optional())
                    .collect::<rusqlite::Result<_>>()
            })
            .await
    }

    async fn query(&self, sql: &'static str, params: Vec<Value>) -> Result<Vec<Row>, PortError> {
        let read = move |db: &Connection| -> Result<_, ValueError> {
            let mut statement = db.prepare_cached(sql)?;
            let columns = statement.column_count();
            value::bind(&mut statement, &params, None)?;
            let mut rows = statement.raw_query();
            let mut answer = Vec::new();
            while let Some(row) = rows.next()? {
                answer.push(value::row(row, columns)?);
            }
            Ok(answer)
        };
        self.readers.read("running a query", read).await
    }

    async fn execute(&self, statements: Vec<Statement>) -> Result<Vec<u64>, PortError> {
        let doing = "changing operational state";
        match self.queue.submit(Work::Execute(statements)).await {
            Ok(Outcome::Changed(changed)) => Ok(changed),
            Ok(_) => Err(JobError::Stopped.into_port(doing)),
            Err(error) => Err(error.into_port(doing)),
        }
    }

    fn committed(&self) -> watch::Receiver<u64> {
        self.committed.clone()
    }
}

fn stored(
    db: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
) -> Result<Vec<StoredEntry>, JobError> {
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        entries.push(StoredEntry {
            index: count(row.get(0)?)?,
            bytes: row.get(1)?,
        });
    }
    Ok(entries)
}

/// A count for a column.
fn int(number: u64) -> Result<i64, JobError> {
    i64::try_from(number)
        .map_err(|_| JobError::refused("writing a number", format!("{number} is over 2^63 - 1")))
}

/// A count from a column.
fn count(number: i64) -> Result<u64, JobError> {
    u64::try_from(number).map_err(|_| JobError::Damaged(format!("{number} entries")))
}

/// An index to compare with: none is higher than the highest of a column.
fn clamp(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
