//! A store that fails on command, to test what stands on one: each write *failed*, and *failed but
//! happened*. Compiled only with the feature `faults`.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use lumos_domain::{id::CommandId, seal::Sealed, stream::Stream};
use lumos_engine::ports::{
    Append, AppendError, Appended, PortError, Row, Statement, Store, StoredEntry, Value,
};
use lumos_ledger::{Frontier, Hash};
use tokio::sync::watch;

/// What becomes of one write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It goes through.
    None,
    /// It fails before anything happened.
    Failed,
    /// It happens, and then its answer is lost.
    Persisted,
}

/// A store whose writes fail as planned.
#[derive(Debug)]
pub struct FaultyStore<S> {
    inner: S,
    plan: Mutex<VecDeque<Fault>>,
}

impl<S> FaultyStore<S> {
    /// Wraps `inner`; nothing fails until a plan is made.
    pub const fn new(inner: S) -> Self {
        Self {
            inner,
            plan: Mutex::new(VecDeque::new()),
        }
    }

    /// The fates of the writes to come, in order, after those planned before. Writes beyond the plan go
    /// through. `append` and `execute` count as writes.
    pub fn plan(&self, faults: impl IntoIterator<Item = Fault>) {
        self.lock().extend(faults);
    }

    /// Writes that are planned and did not come yet.
    pub fn planned(&self) -> usize {
        self.lock().len()
    }

    /// The store behind.
    pub const fn inner(&self) -> &S {
        &self.inner
    }

    fn next(&self) -> Fault {
        self.lock().pop_front().unwrap_or(Fault::None)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Fault>> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn injected() -> PortError {
    PortError::new("writing to the store", "an injected fault")
}

#[async_trait]
impl<S: Store> Store for FaultyStore<S> {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        match self.next() {
            Fault::None => self.inner.append(append).await,
            Fault::Failed => Err(injected().into()),
            // Only a success is lost: what was refused did not happen.
            Fault::Persisted => match self.inner.append(append).await {
                Ok(_) => Err(injected().into()),
                refused => refused,
            },
        }
    }

    async fn execute(&self, statements: Vec<Statement>) -> Result<Vec<u64>, PortError> {
        match self.next() {
            Fault::None => self.inner.execute(statements).await,
            Fault::Failed => Err(injected()),
            Fault::Persisted => match self.inner.execute(statements).await {
                Ok(_) => Err(injected()),
                refused => refused,
            },
        }
    }

    async fn appended(&self, command_id: &CommandId) -> Result<Option<Appended>, PortError> {
        self.inner.appended(command_id).await
    }

    async fn stream(&self, stream: &Stream) -> Result<Vec<StoredEntry>, PortError> {
        self.inner.stream(stream).await
    }

    async fn stream_version(&self, stream: &Stream) -> Result<u64, PortError> {
        self.inner.stream_version(stream).await
    }

    async fn entries(&self, from: u64, max: u32) -> Result<Vec<StoredEntry>, PortError> {
        self.inner.entries(from, max).await
    }

    async fn kinds(&self) -> Result<Vec<String>, PortError> {
        self.inner.kinds().await
    }

    async fn frontier(&self) -> Result<Frontier, PortError> {
        self.inner.frontier().await
    }

    async fn leaves(&self, from: u64, to: u64) -> Result<Vec<Hash>, PortError> {
        self.inner.leaves(from, to).await
    }

    async fn unseal(&self, sealed: &[Sealed]) -> Result<Vec<Option<String>>, PortError> {
        self.inner.unseal(sealed).await
    }

    async fn query(&self, sql: &'static str, params: Vec<Value>) -> Result<Vec<Row>, PortError> {
        self.inner.query(sql, params).await
    }

    fn committed(&self) -> watch::Receiver<u64> {
        self.inner.committed()
    }
}
