//! The store of several equal replicas: PostgreSQL, appended to by whoever holds the lock of the head.

mod appender;
mod blobs;
mod connect;
mod failure;
mod gather;
mod head;
mod insertion;
mod look;
mod migrate;
mod pipeline;
mod plan;
mod rebuild;
mod rows;
mod safety;
mod snapshot;
mod value;
mod version;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use deadpool_postgres::{ClientWrapper, Object, Pool};
use lumos_domain::{id::CommandId, seal::Sealed, stream::Stream};
use lumos_engine::ports::{
    Append, AppendError, Appended, PortError, Row, Statement, Store, StoredEntry, Value,
};
use lumos_ledger::{Frontier, Hash};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time,
};
use tokio_postgres::types::ToSql;

use crate::{OpenError, ready::Ready};
use appender::{Appender, Job, WAITING};
pub use blobs::PostgresBlobs;
pub use connect::PostgresSettings;
use connect::{Address, Use};
use failure::Failure;
pub use safety::Hazard;
pub(crate) use safety::listed;
use version::Tables;

/// Queries that run at once; the server has its own limit over all replicas.
const READERS: usize = 8;
/// Changes of operational state that run at once.
const CHANGES: usize = 4;
/// How often the head is looked at for what other replicas appended.
const LOOK: Duration = Duration::from_millis(100);
/// Attempts at a change that the database rolled back for another one's sake.
const ATTEMPTS: usize = 3;

/// The ledger and its tables in one database, which other replicas may hold open as well.
pub struct PostgresStore {
    address: Address,
    readers: Pool,
    changes: Pool,
    jobs: mpsc::Sender<Job>,
    committed: watch::Receiver<u64>,
    tables: Arc<Tables>,
    /// What appends and what looks for the appends of others; they end with the store.
    _tasks: JoinSet<()>,
}

impl PostgresStore {
    /// Opens the store, making or changing its tables where that is needed and the role may. `schema` is DDL that
    /// may run more than once (`CREATE TABLE IF NOT EXISTS …`).
    ///
    /// # Errors
    /// [`OpenError`] when the server cannot be reached, is not fit or could lose acknowledged entries, a newer
    /// version wrote the database, its tables are missing and the role may not make them, or the head of the ledger
    /// contradicts its entries.
    pub async fn open(settings: &PostgresSettings, schema: &[&str]) -> Result<Self, OpenError> {
        let address = Address::parse(&settings.url)?;
        let client = address.connect(Use::Change).await?;
        safety::check(&client, settings.accept_loss).await?;
        if !migrate::is_current(&client, schema).await? {
            match &settings.owner_url {
                None => migrate::run(&client, schema).await?,
                Some(url) => {
                    let owner = Address::parse(url)?.connect(Use::Change).await?;
                    migrate::run(&owner, schema).await?;
                }
            }
        }
        let frontier = head::check(&client).await?;
        let tables = Arc::new(Tables::default());
        let (readers, changes) = (
            address.pool(Use::Read, READERS)?,
            address.pool(Use::Change, CHANGES)?,
        );
        let (announce, committed) = watch::channel(frontier.size());
        let announce = Arc::new(announce);
        let (jobs, waiting) = mpsc::channel(WAITING);
        let appender = Appender::new(
            address.clone(),
            settings.accept_loss,
            frontier,
            Arc::clone(&announce),
            Arc::clone(&tables),
        );
        let mut tasks = JoinSet::new();
        tasks.spawn(appender.run(waiting));
        tasks.spawn(follow(readers.clone(), announce, Arc::clone(&tables)));
        Ok(Self {
            address,
            readers,
            changes,
            jobs,
            committed,
            tables,
            _tasks: tasks,
        })
    }

    /// Says by which views this process writes and reads the tables beside the ledger. Once somebody has made them anew
    /// by others, it appends no more.
    pub fn is_read_by(&self, views: &str) {
        self.tables.are_read_by(views);
    }

    /// The blobs in the same database.
    #[must_use]
    pub fn blobs(&self) -> PostgresBlobs {
        PostgresBlobs::new(self.readers.clone(), self.changes.clone())
    }

    async fn read<T>(
        &self,
        doing: &'static str,
        read: impl AsyncFnOnce(&ClientWrapper) -> Result<T, Failure>,
    ) -> Result<T, PortError> {
        let work = async {
            let client = self.readers.get().await?;
            read(&client).await
        };
        work.await
            .map_err(|failure: Failure| failure.into_port(doing))
    }

    async fn stored(
        &self,
        doing: &'static str,
        sql: &'static str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<StoredEntry>, PortError> {
        self.read(doing, async |client| {
            let rows = select(client, sql, params).await?;
            let entry = |row: &tokio_postgres::Row| {
                Ok(StoredEntry {
                    index: count(row.try_get(0)?)?,
                    bytes: row.try_get(1)?,
                })
            };
            rows.iter().map(entry).collect()
        })
        .await
    }
}

/// Announces what other replicas commit, until the store is dropped.
async fn follow(readers: Pool, committed: Arc<watch::Sender<u64>>, tables: Arc<Tables>) {
    let look = async || -> Result<u64, Failure> {
        let client = readers.get().await?;
        tables.look(&client).await?;
        Ok(head::load(&client).await?.size())
    };
    loop {
        time::sleep(LOOK).await;
        match look().await {
            Ok(size) => announce(&committed, size),
            Err(problem) => tracing::debug!(%problem, "the head could not be looked at"),
        }
    }
}

/// Announces a committed size, unless a larger one was announced already.
fn announce(committed: &watch::Sender<u64>, size: u64) {
    committed.send_if_modified(|known| {
        let grew = size > *known;
        *known = size.max(*known);
        grew
    });
}

#[async_trait]
impl Store for PostgresStore {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let append = Ready::new(append)?;
        let (reply, answer) = oneshot::channel();
        let job = Job { append, reply };
        let answered = match self.jobs.send(job).await {
            Ok(()) => answer.await.unwrap_or(Err(Failure::Stopped)),
            Err(_) => Err(Failure::Stopped),
        };
        answered.map_err(Failure::into_append)
    }

    async fn appended(&self, command_id: &CommandId) -> Result<Option<Appended>, PortError> {
        let id = command_id.to_string();
        self.read("looking up a command", async |client| {
            let sql = "SELECT first, count FROM commands WHERE command_id = $1";
            let rows = select(client, sql, &[&id]).await?;
            rows.first().map(|row| landed(row, 0)).transpose()
        })
        .await
    }

    async fn stream(&self, stream: &Stream) -> Result<Vec<StoredEntry>, PortError> {
        let sql = "SELECT idx, bytes FROM entries WHERE stream = $1 ORDER BY version";
        let name = stream.to_string();
        self.stored("reading a stream", sql, &[&name]).await
    }

    async fn stream_version(&self, stream: &Stream) -> Result<u64, PortError> {
        let name = stream.to_string();
        self.read("reading a stream's version", async |client| {
            let sql = "SELECT version FROM streams WHERE stream = $1";
            let rows = select(client, sql, &[&name]).await?;
            rows.first().map_or(Ok(0), |row| count(row.try_get(0)?))
        })
        .await
    }

    async fn entries(&self, from: u64, max: u32) -> Result<Vec<StoredEntry>, PortError> {
        let sql = "SELECT idx, bytes FROM entries WHERE idx >= $1 ORDER BY idx LIMIT $2";
        let params: &[&(dyn ToSql + Sync)] = &[&clamp(from), &i64::from(max)];
        self.stored("reading entries", sql, params).await
    }

    async fn kinds(&self) -> Result<Vec<String>, PortError> {
        self.read("reading the event types", async |client| {
            let rows = select(client, "SELECT kind FROM kinds ORDER BY kind", &[]).await?;
            rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
        })
        .await
    }

    async fn frontier(&self) -> Result<Frontier, PortError> {
        self.read("reading the head", head::load).await
    }

    async fn leaves(&self, from: u64, to: u64) -> Result<Vec<Hash>, PortError> {
        self.read("reading leaf hashes", async |client| {
            let sql = "SELECT leaf FROM entries WHERE idx >= $1 AND idx < $2 ORDER BY idx";
            let rows = select(client, sql, &[&clamp(from), &clamp(to)]).await?;
            if rows.len() as u64 != to.saturating_sub(from) {
                let problem = format!("there are no {from} to {to}");
                return Err(Failure::refused("reading leaf hashes", problem));
            }
            rows.iter().map(leaf).collect()
        })
        .await
    }

    async fn unseal(&self, sealed: &[Sealed]) -> Result<Vec<Option<String>>, PortError> {
        let keys: Vec<String> = sealed.iter().map(Sealed::hex).collect();
        self.read("unsealing", async |client| {
            let sql = "SELECT s.value FROM unnest($1::text[]) WITH ORDINALITY AS asked (key, at)
                       LEFT JOIN sealed s ON s.commitment = asked.key ORDER BY asked.at";
            let rows = select(client, sql, &[&keys]).await?;
            rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
        })
        .await
    }

    async fn query(&self, sql: &'static str, params: Vec<Value>) -> Result<Vec<Row>, PortError> {
        self.read("running a query", async |client| {
            use futures::TryStreamExt as _;
            let statement = value::prepare(client, sql, &params).await?;
            let rows = client
                .query_raw(&statement, value::bound(&params, None)?)
                .await?;
            let rows: Vec<_> = rows.try_collect().await?;
            rows.iter().map(value::row).collect()
        })
        .await
    }

    async fn execute(&self, statements: Vec<Statement>) -> Result<Vec<u64>, PortError> {
        let mut attempts = ATTEMPTS;
        loop {
            attempts -= 1;
            match self.change(&statements).await {
                // Rolled back whole, so that nothing is done twice: two changes waited for each other.
                Err(Failure::Refused { code, .. })
                    if attempts > 0 && code.code().starts_with("40") => {}
                done => {
                    return done.map_err(|failure| failure.into_port("changing operational state"));
                }
            }
        }
    }

    fn committed(&self) -> watch::Receiver<u64> {
        self.committed.clone()
    }

    fn is_of_other_version(&self) -> bool {
        self.tables.are_of_other_version()
    }

    fn is_shared(&self) -> bool {
        true
    }
}

impl PostgresStore {
    /// Runs the statements in one transaction. A connection in doubt is closed and not lent out again.
    async fn change(&self, statements: &[Statement]) -> Result<Vec<u64>, Failure> {
        if statements.is_empty() {
            return Ok(Vec::new());
        }
        let lent = Lent::new(self.changes.get().await?);
        let done = change(lent.client()?, statements).await;
        if done.is_ok() {
            lent.give_back();
        }
        done
    }
}

/// A connection that goes back to the others only when its work ended well. Who fails, or is dropped in the middle of a
/// transaction because a caller went away, leaves it open: then the connection is closed.
struct Lent(Option<Object>);

impl Lent {
    const fn new(object: Object) -> Self {
        Self(Some(object))
    }

    fn client(&self) -> Result<&ClientWrapper, Failure> {
        self.0.as_deref().ok_or(Failure::Stopped)
    }

    fn give_back(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(object) = self.0.take() {
            drop(Object::take(object));
        }
    }
}

async fn change(client: &ClientWrapper, statements: &[Statement]) -> Result<Vec<u64>, Failure> {
    client.batch_execute("BEGIN").await?;
    let mut changed = Vec::with_capacity(statements.len());
    for Statement { sql, params } in statements {
        let statement = value::prepare(client, sql, params).await?;
        let params = value::bound(params, None)?;
        changed.push(client.execute_raw(&statement, params).await?);
    }
    client.batch_execute("COMMIT").await?;
    Ok(changed)
}

async fn select(
    client: &ClientWrapper,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<Vec<tokio_postgres::Row>, Failure> {
    let statement = client.prepare_cached(sql).await?;
    Ok(client.query(&statement, params).await?)
}

fn leaf(row: &tokio_postgres::Row) -> Result<Hash, Failure> {
    let bytes: &[u8] = row.try_get(0)?;
    let bytes = bytes
        .try_into()
        .map_err(|_| Failure::Damaged(format!("a leaf hash has {} bytes", bytes.len())))?;
    Ok(Hash::new(bytes))
}

/// Where a command landed, from two columns of a row.
fn landed(row: &tokio_postgres::Row, at: usize) -> Result<Appended, Failure> {
    Ok(Appended {
        first: count(row.try_get(at)?)?,
        count: count(row.try_get(at + 1)?)?,
        repeated: true,
    })
}

/// A count from a column.
fn count(number: i64) -> Result<u64, Failure> {
    u64::try_from(number).map_err(|_| Failure::Damaged(format!("{number} entries")))
}

/// A number for a column; none that the ledger counts comes near the highest of one.
fn clamp(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
