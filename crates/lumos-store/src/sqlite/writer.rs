//! The one writer: it owns the writing connection and puts the work of many callers into one transaction.
//! How they reach it stands in `queue`, what a single append does in `append`.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use lumos_engine::ports::{AppendError, Appended, PortError, Statement};
use lumos_ledger::{Frontier, Hash, tree};
use rusqlite::{Connection, ErrorCode};
use tokio::sync::watch;

use super::{erase, head, rebuild, value, versions::Versions};
use crate::{lock::DirLock, ready::Ready};

/// What the writer is asked to do.
pub(super) enum Work {
    Append(Ready),
    Execute(Vec<Statement>),
    Rebuild(rebuild::Step),
}

pub(super) enum Outcome {
    Appended(Appended),
    Changed(Vec<u64>),
    Rebuilt,
}

/// Why a job failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum JobError {
    /// By itself, with the answer its caller gets.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The database refused: by itself, or with all that shared its transaction.
    #[error(transparent)]
    Database(#[from] rusqlite::Error),
    /// What is stored contradicts itself or what was just written.
    #[error("the database is damaged: {0}")]
    Damaged(String),
    /// With all that shared its transaction.
    #[error(transparent)]
    Batch(Arc<Self>),
    /// In a transaction without savepoints, so that all of it has to be done again with them.
    #[error("an append of the batch was refused")]
    Again,
    /// The writer ended before it answered.
    #[error("the writer has stopped")]
    Stopped,
}

impl JobError {
    /// An error of the caller's own making, in words.
    pub(super) fn refused(doing: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Append(AppendError::Store(PortError::new(doing, problem.into())))
    }

    /// Whether more is lost than the job that met it.
    fn is_fatal(&self) -> bool {
        match self {
            Self::Append(_) => false,
            Self::Damaged(_) | Self::Batch(_) | Self::Again | Self::Stopped => true,
            Self::Database(error) => matches!(
                error.sqlite_error_code(),
                Some(
                    ErrorCode::DiskFull
                        | ErrorCode::SystemIoFailure
                        | ErrorCode::OutOfMemory
                        | ErrorCode::DatabaseCorrupt
                        | ErrorCode::NotADatabase
                        | ErrorCode::ReadOnly
                        | ErrorCode::CannotOpen
                        | ErrorCode::InternalMalfunction
                )
            ),
        }
    }

    pub(super) fn into_port(self, doing: &'static str) -> PortError {
        match self {
            Self::Append(AppendError::Store(error)) => error,
            error => PortError::new(doing, error),
        }
    }

    pub(super) fn into_append(self) -> AppendError {
        match self {
            Self::Append(error) => error,
            error => AppendError::Store(error.into_port("appending to the ledger")),
        }
    }
}

/// What the writer knows of the committed database.
#[derive(Clone)]
struct State {
    frontier: Frontier,
    rebuilding: bool,
    /// Whether bytes that were erased may still lie in the write-ahead log.
    scrub_owed: bool,
}

/// How a transaction guards against an append that is refused after it wrote, as when a login is taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Care {
    /// Not at all: it is rare, and then the whole transaction is done again with savepoints. A savepoint
    /// costs a copy of every page that is touched.
    Hope,
    /// Each job in a savepoint.
    Savepoints,
}

/// What a transaction will have changed once it is committed.
struct Pending {
    state: State,
    leaves: Vec<Hash>,
    kinds: Vec<&'static str>,
    /// INVARIANT: every stream written so far is in it, or an older version would be taken for the present one.
    versions: HashMap<String, u64>,
}

/// The writing connection, and what is known of the database behind it.
pub(super) struct Writer {
    connection: Connection,
    /// `None` after a failure: what was committed is then asked of the database before going on.
    state: Option<State>,
    kinds: HashSet<&'static str>,
    /// Of committed streams only; emptied with every failure.
    versions: Versions,
    committed: watch::Sender<u64>,
    _lock: DirLock,
}

impl Writer {
    pub(super) fn new(
        connection: Connection,
        committed: watch::Sender<u64>,
        lock: DirLock,
    ) -> Self {
        Self {
            connection,
            state: None,
            kinds: HashSet::new(),
            versions: Versions::default(),
            committed,
            _lock: lock,
        }
    }

    /// Does the batch in one transaction, with an outcome for each piece of work in order. What failed with
    /// all that shared the transaction says so in each.
    pub(super) fn work(&mut self, batch: &[Work]) -> Vec<Result<Outcome, JobError>> {
        let outcomes = match self.transact(batch, Care::Hope) {
            Err(JobError::Again) => self
                .run_sql("ROLLBACK")
                .and_then(|()| self.transact(batch, Care::Savepoints)),
            outcomes => outcomes,
        };
        outcomes.unwrap_or_else(|error| {
            self.recover(&error);
            let error = Arc::new(error);
            let failed = |_| Err(JobError::Batch(error.clone()));
            batch.iter().map(failed).collect()
        })
    }

    /// Does the whole batch in one transaction, with an outcome for each job in order. An error means
    /// that none of it can be relied on.
    fn transact(
        &mut self,
        batch: &[Work],
        care: Care,
    ) -> Result<Vec<Result<Outcome, JobError>>, JobError> {
        let state = match self.state.take() {
            Some(state) => state,
            None => self.reload()?,
        };
        let before = state.frontier.size();
        let mut pending = Pending {
            state,
            leaves: Vec::with_capacity(batch.len()),
            kinds: Vec::new(),
            versions: HashMap::new(),
        };
        self.run_sql("BEGIN IMMEDIATE")?;
        let mut outcomes = Vec::with_capacity(batch.len());
        for work in batch {
            outcomes.push(self.one(work, care, &mut pending)?);
        }
        if !pending.leaves.is_empty() {
            self.read_back(before, &pending.leaves)?;
            head::save(&self.connection, &pending.state.frontier)?;
        }
        self.run_sql("COMMIT")?;
        self.kinds.extend(pending.kinds);
        self.versions.extend(pending.versions);
        self.announce(pending.state.frontier.size());
        if pending.state.scrub_owed {
            pending.state.scrub_owed = !self.scrub();
        }
        self.state = Some(pending.state);
        Ok(outcomes)
    }

    /// Does one job; its own failure leaves the others of the batch alone.
    fn one(
        &self,
        work: &Work,
        care: Care,
        pending: &mut Pending,
    ) -> Result<Result<Outcome, JobError>, JobError> {
        if let Work::Append(append) = work {
            let known = |stream: &str| {
                let pending = pending.versions.get(stream).copied();
                pending.or_else(|| self.versions.get(stream))
            };
            match append.check(&self.connection, known) {
                Ok(None) => {}
                Ok(Some(appended)) => return Ok(Ok(Outcome::Appended(appended))),
                Err(error) if error.is_fatal() => return Err(error),
                Err(error) => return Ok(Err(error)),
            }
            if care == Care::Hope {
                return match self.change(work, pending) {
                    Ok(outcome) => Ok(Ok(outcome)),
                    Err(error) if error.is_fatal() => Err(error),
                    Err(_) => Err(JobError::Again),
                };
            }
        }
        self.run_sql("SAVEPOINT job")?;
        match self.change(work, pending) {
            Ok(outcome) => {
                self.run_sql("RELEASE job")?;
                Ok(Ok(outcome))
            }
            // SQLite gives up the whole transaction by itself on some failures, whatever their code.
            Err(error) if error.is_fatal() || self.connection.is_autocommit() => Err(error),
            Err(error) => {
                self.run_sql("ROLLBACK TO job")?;
                self.run_sql("RELEASE job")?;
                Ok(Err(error))
            }
        }
    }

    // INVARIANT: `pending` changes only when the job can no longer fail.
    fn change(&self, work: &Work, pending: &mut Pending) -> Result<Outcome, JobError> {
        match work {
            Work::Append(_) if pending.state.rebuilding => Err(JobError::refused(
                "appending to the ledger",
                "the tables beside it are being rebuilt",
            )),
            Work::Append(append) => {
                let known = |kind: &str| self.kinds.contains(kind) || pending.kinds.contains(&kind);
                let done = append.write(&self.connection, pending.state.frontier.size(), known)?;
                for leaf in &done.leaves {
                    pending.state.frontier.append(*leaf);
                }
                if !done.appended.repeated {
                    let versions = append.versions();
                    let versions = versions.map(|(stream, version)| (stream.to_owned(), version));
                    pending.versions.extend(versions);
                    pending.state.scrub_owed |= append.erases();
                }
                pending.leaves.extend(done.leaves);
                pending.kinds.extend(done.kinds);
                Ok(Outcome::Appended(done.appended))
            }
            Work::Execute(statements) => statements
                .iter()
                .map(|statement| {
                    value::run(&self.connection, statement.sql, &statement.params, None)
                        .map_err(|error| error.into_job(statement.sql))
                })
                .collect::<Result<_, _>>()
                .map(Outcome::Changed),
            Work::Rebuild(step) => {
                step.apply(&self.connection)?;
                pending.state.rebuilding = !step.is_last();
                Ok(Outcome::Rebuilt)
            }
        }
    }

    /// Hashes what the database will give back, before it is committed: a bit that flipped on the way
    /// there must not be signed (Yeti 2022 and Nessie 2024 ended that way).
    fn read_back(&self, first: u64, leaves: &[Hash]) -> Result<(), JobError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT bytes, leaf FROM entries WHERE idx >= $1 ORDER BY idx")?;
        let mut rows = statement.query([super::int(first)?])?;
        for leaf in leaves {
            let row = rows
                .next()?
                .ok_or_else(|| JobError::Damaged("a written entry is not there".to_owned()))?;
            let bytes = row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?;
            let stored = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
            if tree::leaf_hash(bytes) != *leaf || stored != leaf.as_bytes() {
                return Err(JobError::Damaged(
                    "a written entry does not read back as it was hashed".to_owned(),
                ));
            }
        }
        Ok(())
    }

    /// After a failed batch: lets go of the transaction and asks the database what it holds. When it
    /// cannot say, the next batch asks again.
    fn recover(&mut self, error: &JobError) {
        tracing::error!(%error, "a batch of appends failed");
        if !self.connection.is_autocommit()
            && let Err(error) = self.run_sql("ROLLBACK")
        {
            tracing::error!(%error, "rolling back failed");
        }
        self.kinds.clear();
        self.versions.clear();
        self.state = match self.reload() {
            Ok(state) => Some(state),
            Err(error) => {
                tracing::error!(%error, "reading the head after a failure failed");
                None
            }
        };
    }

    fn reload(&self) -> Result<State, JobError> {
        let state = State {
            frontier: head::load(&self.connection)?,
            rebuilding: rebuild::is_unfinished(&self.connection)?,
            scrub_owed: erase::is_scrub_owed(&self.connection)?,
        };
        self.announce(state.frontier.size());
        Ok(state)
    }

    /// Whether no erased byte is left. What is committed stays so when this fails: it is tried again after the next
    /// commit, and a start commits.
    fn scrub(&self) -> bool {
        let done = erase::scrub(&self.connection).unwrap_or_else(|error| {
            tracing::error!(%error, "emptying the write-ahead log after an erasure failed");
            false
        });
        if !done {
            tracing::warn!("erased values stay in the write-ahead log until the next commit");
        }
        done
    }

    fn announce(&self, size: u64) {
        self.committed
            .send_if_modified(|known| std::mem::replace(known, size) != size);
    }

    fn run_sql(&self, sql: &str) -> Result<(), JobError> {
        self.connection.prepare_cached(sql)?.execute([])?;
        Ok(())
    }
}
