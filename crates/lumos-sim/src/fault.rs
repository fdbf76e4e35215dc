//! Every write, counted, and its fate: it *fails*, or it *happens and its answer is lost*; and then the caller
//! is told so, or the process ends on the spot.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::pending,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use lumos_domain::{
    id::{CommandId, Digest},
    seal::Sealed,
    stream::Stream,
};
use lumos_engine::ports::{
    Anchor, AnchorError, Append, AppendError, Appended, Blobs, Held, PortError, Row, Statement,
    Store, StoredEntry, Value,
};
use lumos_ledger::{Frontier, Hash, tree};
use tokio::sync::watch;

use crate::wait::{finish, turn};

/// What becomes of one write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It fails before anything happened.
    Failed,
    /// It happens, and then its answer is lost.
    Persisted,
}

/// What follows on a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// The caller is told that it failed.
    Returned,
    /// The process ends before anybody is told anything.
    Died,
}

/// An append that was answered with success.
#[derive(Debug, Clone)]
pub struct Answered {
    /// Its command.
    pub command_id: CommandId,
    /// Where it landed.
    pub appended: Appended,
    /// The leaf hashes of the entries as they were handed in.
    pub leaves: Vec<Hash>,
}

/// The fates of the writes to come, and what became of those that came. Shared by all ports of a world, and
/// outlives the processes in it.
#[derive(Debug, Default)]
pub struct Plan(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    faults: BTreeMap<usize, (Fault, After)>,
    unreachable: BTreeSet<usize>,
    interleaved: bool,
    writes: Vec<&'static str>,
    calls: usize,
    changes: u64,
    answered: Vec<Answered>,
    dead: bool,
}

impl Plan {
    /// A plan in which the writes numbered in `faults`, from 0, fail as they say.
    #[must_use]
    pub fn new(faults: impl IntoIterator<Item = (usize, Fault, After)>) -> Self {
        let plan = Self::default();
        plan.state().faults = faults
            .into_iter()
            .map(|(n, fault, after)| (n, (fault, after)))
            .collect();
        plan
    }

    /// The same, and others come in between at every call of a port; `unreachable` numbers the calls of a
    /// registry that do not reach it.
    #[must_use]
    pub fn interleaved(self, unreachable: impl IntoIterator<Item = usize>) -> Self {
        self.state().interleaved = true;
        self.state().unreachable = unreachable.into_iter().collect();
        self
    }

    /// The kind of each write that came.
    #[must_use]
    pub fn writes(&self) -> Vec<&'static str> {
        self.state().writes.clone()
    }

    /// How many calls of a registry came.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.state().calls
    }

    /// The appends that were answered with success.
    #[must_use]
    pub fn answered(&self) -> Vec<Answered> {
        self.state().answered.clone()
    }

    /// A number that grows with everything somebody may have to look at.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.state().changes
    }

    /// Something changed that is no write: the clock, or the world outside.
    pub fn changed(&self) {
        self.state().changes += 1;
    }

    /// Whether the process ended; a new one may begin.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.state().dead
    }

    /// A new process begins.
    pub fn revive(&self) {
        self.state().dead = false;
    }

    /// One write: lets others come in between, then `write` happens or does not, as planned.
    ///
    /// # Errors
    /// What `write` says, or `lost` by plan.
    pub async fn write<T, E>(
        &self,
        kind: &'static str,
        write: impl Future<Output = Result<T, E>>,
        lost: impl FnOnce() -> E,
    ) -> Result<T, E> {
        self.turn().await;
        match self.fate(kind) {
            None => finish(write),
            Some((Fault::Failed, after)) => {
                self.strike(after).await;
                Err(lost())
            }
            Some((Fault::Persisted, after)) => {
                // Only a success is lost: what was refused did not happen.
                finish(write)?;
                self.strike(after).await;
                Err(lost())
            }
        }
    }

    /// A look: lets others come in between, then `read` happens.
    pub async fn read<T>(&self, read: impl Future<Output = T>) -> T {
        self.turn().await;
        finish(read)
    }

    /// Whether the next call of a registry reaches it.
    pub fn reaches(&self) -> bool {
        let mut state = self.state();
        let call = state.calls;
        state.calls += 1;
        !state.unreachable.contains(&call)
    }

    /// The dead do nothing more; the living let others come in between.
    async fn turn(&self) {
        let (dead, interleaved) = (self.is_dead(), self.state().interleaved);
        if dead {
            pending::<()>().await;
        }
        if interleaved {
            turn().await;
        }
    }

    fn fate(&self, kind: &'static str) -> Option<(Fault, After)> {
        let mut state = self.state();
        let number = state.writes.len();
        state.writes.push(kind);
        state.changes += 1;
        state.faults.get(&number).copied()
    }

    async fn strike(&self, after: After) {
        if after == After::Died {
            self.state().dead = true;
            pending::<()>().await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn injected(doing: &str) -> PortError {
    PortError::new(doing, "an injected fault")
}

/// A store whose writes fail as planned.
#[derive(Debug)]
pub struct FaultyStore<S> {
    inner: S,
    plan: Arc<Plan>,
}

impl<S> FaultyStore<S> {
    /// Wraps `inner`.
    pub const fn new(inner: S, plan: Arc<Plan>) -> Self {
        Self { inner, plan }
    }

    /// The store behind.
    pub const fn inner(&self) -> &S {
        &self.inner
    }
}

#[async_trait]
impl<S: Store> Store for FaultyStore<S> {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let command_id = append.command_id.clone();
        let entries = append.entries.iter();
        let leaves = entries.map(|entry| tree::leaf_hash(&entry.bytes)).collect();
        let lost = || injected("appending to the ledger").into();
        let appended = self
            .plan
            .write("append", self.inner.append(append), lost)
            .await?;
        if !appended.repeated {
            self.plan.state().answered.push(Answered {
                command_id,
                appended,
                leaves,
            });
        }
        Ok(appended)
    }

    async fn execute(&self, statements: Vec<Statement>) -> Result<Vec<u64>, PortError> {
        let lost = || injected("changing operational state");
        let write = self.inner.execute(statements);
        self.plan.write("operational", write, lost).await
    }

    async fn appended(&self, command_id: &CommandId) -> Result<Option<Appended>, PortError> {
        self.plan.read(self.inner.appended(command_id)).await
    }

    async fn stream(&self, stream: &Stream) -> Result<Vec<StoredEntry>, PortError> {
        self.plan.read(self.inner.stream(stream)).await
    }

    async fn stream_version(&self, stream: &Stream) -> Result<u64, PortError> {
        self.plan.read(self.inner.stream_version(stream)).await
    }

    async fn entries(&self, from: u64, max: u32) -> Result<Vec<StoredEntry>, PortError> {
        self.plan.read(self.inner.entries(from, max)).await
    }

    async fn kinds(&self) -> Result<Vec<String>, PortError> {
        self.plan.read(self.inner.kinds()).await
    }

    async fn frontier(&self) -> Result<Frontier, PortError> {
        self.plan.read(self.inner.frontier()).await
    }

    async fn leaves(&self, from: u64, to: u64) -> Result<Vec<Hash>, PortError> {
        self.plan.read(self.inner.leaves(from, to)).await
    }

    async fn unseal(&self, sealed: &[Sealed]) -> Result<Vec<Option<String>>, PortError> {
        self.plan.read(self.inner.unseal(sealed)).await
    }

    async fn query(&self, sql: &'static str, params: Vec<Value>) -> Result<Vec<Row>, PortError> {
        self.plan.read(self.inner.query(sql, params)).await
    }

    fn committed(&self) -> watch::Receiver<u64> {
        self.inner.committed()
    }

    fn is_shared(&self) -> bool {
        self.inner.is_shared()
    }
}

/// Blobs whose writes fail as planned.
#[derive(Debug)]
pub struct FaultyBlobs<B> {
    inner: B,
    plan: Arc<Plan>,
}

impl<B> FaultyBlobs<B> {
    /// Wraps `inner`.
    pub const fn new(inner: B, plan: Arc<Plan>) -> Self {
        Self { inner, plan }
    }
}

#[async_trait]
impl<B: Blobs> Blobs for FaultyBlobs<B> {
    async fn put(&self, bytes: Vec<u8>) -> Result<Digest, PortError> {
        let lost = || injected("storing a blob");
        self.plan.write("blob", self.inner.put(bytes), lost).await
    }

    async fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>, PortError> {
        self.plan.read(self.inner.get(digest)).await
    }

    async fn list(&self, after: Option<&Digest>, max: u32) -> Result<Vec<Digest>, PortError> {
        self.plan.read(self.inner.list(after, max)).await
    }
}

/// An anchor whose writes fail as planned. Nobody can come in between here, and a process that ends here does so
/// as soon as its caller was told.
#[derive(Debug)]
pub struct FaultyAnchor<A> {
    inner: A,
    plan: Arc<Plan>,
}

impl<A> FaultyAnchor<A> {
    /// Wraps `inner`.
    pub const fn new(inner: A, plan: Arc<Plan>) -> Self {
        Self { inner, plan }
    }
}

#[async_trait]
impl<A: Anchor> Anchor for FaultyAnchor<A> {
    fn place(&self) -> String {
        self.inner.place()
    }

    async fn load(&self) -> Result<Option<Held>, PortError> {
        self.inner.load().await
    }

    async fn replace(&self, seen: Option<&Held>, checkpoint: &[u8]) -> Result<Held, AnchorError> {
        let Some((fault, after)) = self.plan.fate("anchor") else {
            return self.inner.replace(seen, checkpoint).await;
        };
        if fault == Fault::Persisted {
            self.inner.replace(seen, checkpoint).await?;
        }
        self.plan.state().dead |= after == After::Died;
        Err(injected("writing the anchor").into())
    }
}
