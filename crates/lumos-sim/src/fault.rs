//! Every write, counted, and its fate: it *fails*, or it *happens and its answer is lost*; and then the caller
//! is told so, or the process ends on the spot.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::pending,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use futures::future::{Either, select};
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
#[derive(Debug)]
pub struct Plan {
    state: Mutex<State>,
    /// Whether the process ended.
    dead: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct State {
    faults: BTreeMap<usize, (Fault, After)>,
    cuts: BTreeMap<usize, (Fault, After)>,
    commits: usize,
    unreachable: BTreeSet<usize>,
    interleaved: bool,
    writes: Vec<&'static str>,
    calls: usize,
    changes: u64,
    answered: Vec<Answered>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            dead: watch::Sender::new(false),
        }
    }
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

    /// The same, and on the wire to a database the commits numbered in `cuts`, from 0, end the connection: before the
    /// server gets them, or before its answer gets back.
    #[must_use]
    pub fn cutting(self, cuts: impl IntoIterator<Item = (usize, Fault, After)>) -> Self {
        self.state().cuts = cuts
            .into_iter()
            .map(|(n, fault, after)| (n, (fault, after)))
            .collect();
        self
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

    /// How many commits came over the wire.
    #[must_use]
    pub fn commits(&self) -> usize {
        self.state().commits
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
        *self.dead.borrow()
    }

    /// Returns once the process ended.
    pub async fn died(&self) {
        let mut dead = self.dead.subscribe();
        // The sender is ours: it does not go away.
        let _ended = dead.wait_for(|dead| *dead).await;
    }

    /// A new process begins.
    pub fn revive(&self) {
        self.dead.send_replace(false);
    }

    /// A commit comes over the wire; what becomes of it, if it is not simply passed on, and of the process afterwards:
    /// see [`Self::end`].
    pub(crate) fn commit(&self) -> Option<(Fault, After)> {
        let mut state = self.state();
        let number = state.commits;
        state.commits += 1;
        state.cuts.get(&number).copied()
    }

    /// Ends the process where that is what follows on a fault.
    pub(crate) fn end(&self, after: After) {
        if after == After::Died {
            self.dead.send_replace(true);
        }
    }

    /// Waits for the world outside, to its end, unless the process ends meanwhile: then for ever.
    pub async fn wait<T>(&self, outside: impl Future<Output = T>) -> T {
        let done = match finish(select(pin!(self.died()), pin!(outside))) {
            Either::Left(_) => None,
            Either::Right((done, _)) => Some(done),
        };
        match done {
            Some(done) => done,
            None => pending().await,
        }
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
        self.write_some(kind, write, lost, |_| true).await
    }

    /// The same, where a success may have changed nothing: `changed` says so, and then nobody has to look.
    async fn write_some<T, E>(
        &self,
        kind: &'static str,
        write: impl Future<Output = Result<T, E>>,
        lost: impl FnOnce() -> E,
        changed: impl FnOnce(&T) -> bool,
    ) -> Result<T, E> {
        self.turn().await;
        match self.fate(kind) {
            None => {
                let written = self.wait(write).await?;
                if changed(&written) {
                    self.changed();
                }
                Ok(written)
            }
            Some((Fault::Failed, after)) => {
                self.changed();
                self.strike(after).await;
                Err(lost())
            }
            Some((Fault::Persisted, after)) => {
                // Only a success is lost: what was refused did not happen.
                self.wait(write).await?;
                self.changed();
                self.strike(after).await;
                Err(lost())
            }
        }
    }

    /// A look: lets others come in between, then `read` happens.
    pub async fn read<T>(&self, read: impl Future<Output = T>) -> T {
        self.turn().await;
        self.wait(read).await
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
        state.faults.get(&number).copied()
    }

    async fn strike(&self, after: After) {
        if after == After::Died {
            self.end(after);
            pending::<()>().await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn injected(doing: &str) -> PortError {
    PortError::new(doing, "an injected fault")
}

/// A store whose writes fail as planned.
pub struct FaultyStore {
    inner: Arc<dyn Store>,
    plan: Arc<Plan>,
}

impl FaultyStore {
    /// Wraps `inner`.
    pub const fn new(inner: Arc<dyn Store>, plan: Arc<Plan>) -> Self {
        Self { inner, plan }
    }
}

#[async_trait]
impl Store for FaultyStore {
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
        let some = |changed: &Vec<u64>| changed.iter().any(|rows| *rows > 0);
        let write = self.plan.write_some("operational", write, lost, some);
        write.await
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

    fn is_of_other_version(&self) -> bool {
        self.inner.is_of_other_version()
    }

    fn is_shared(&self) -> bool {
        self.inner.is_shared()
    }
}

/// Blobs whose writes fail as planned.
pub struct FaultyBlobs {
    inner: Arc<dyn Blobs>,
    plan: Arc<Plan>,
}

impl FaultyBlobs {
    /// Wraps `inner`.
    pub const fn new(inner: Arc<dyn Blobs>, plan: Arc<Plan>) -> Self {
        Self { inner, plan }
    }
}

#[async_trait]
impl Blobs for FaultyBlobs {
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
        self.plan.changed();
        let Some((fault, after)) = self.plan.fate("anchor") else {
            return self.inner.replace(seen, checkpoint).await;
        };
        if fault == Fault::Persisted {
            self.inner.replace(seen, checkpoint).await?;
        }
        self.plan.end(after);
        Err(injected("writing the anchor").into())
    }
}
