//! Durable subscribers: each follows the ledger by a cursor, turns the entries it wants into jobs, and works
//! them off with leases, back-off and dead letters. Delivery is at least once; handlers are idempotent,
//! because their commands carry ids derived from (subscriber, entry, step).

use std::{collections::BTreeMap, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::FutureExt as _;
use jiff::{SignedDuration, Timestamp};
use lumos_domain::{
    actor::{Caller, OwnAgent},
    command::Command,
    event::Event,
    id::CommandId,
    seal::SealedValue,
};
use tokio::{
    sync::watch,
    task::{Id, JoinSet},
};

use crate::{
    door::{Door, DoorError, Outcome, Request},
    ports::{PortError, Store},
    record::LedgerEntry,
};

mod follow;
mod jobs;
mod operate;
mod progress;
mod timers;

pub use follow::Follow;
pub use jobs::{Taken, let_all_go};
pub(crate) use operate::is_held;
pub use operate::{OperateError, STREAM, WEBHOOK, acknowledge, begin_anew, hold, replay, retry};
pub use progress::{Leased, Progress, progress};
pub use timers::fire_due;

/// The tables of the runtime: operational state, which can never permit anything.
pub const SCHEMA: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS cursors (subscriber TEXT PRIMARY KEY, next BIGINT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS jobs (
        subscriber TEXT NOT NULL, entry BIGINT NOT NULL, state TEXT NOT NULL, attempts BIGINT NOT NULL,
        due_us BIGINT NOT NULL, lease_us BIGINT NOT NULL, problem TEXT,
        PRIMARY KEY (subscriber, entry))",
    "CREATE INDEX IF NOT EXISTS jobs_due ON jobs (subscriber, state, due_us)",
    "CREATE TABLE IF NOT EXISTS held (
        subscriber TEXT PRIMARY KEY, since_us BIGINT NOT NULL, problem TEXT NOT NULL)",
];

/// Jobs worked off at the same time by one subscriber.
const AT_ONCE: usize = 4;

/// How often the leases of jobs in work are renewed, where other processes would take them over.
const RENEW: SignedDuration = SignedDuration::from_secs(10);
/// The longest wait between two looks at the timers and jobs.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Why an entry could not be handled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct HandleError {
    /// What went wrong, free of secrets.
    pub problem: String,
    /// Whether trying again may help.
    pub retry: bool,
    /// When to try again, where whoever failed knows better than the runtime.
    pub after: Option<SignedDuration>,
}

impl HandleError {
    /// A failure worth trying again.
    pub fn transient(problem: impl ToString) -> Self {
        Self {
            problem: problem.to_string(),
            retry: true,
            after: None,
        }
    }

    /// A failure that stays: the job becomes a dead letter at once.
    pub fn fatal(problem: impl ToString) -> Self {
        Self {
            problem: problem.to_string(),
            retry: false,
            after: None,
        }
    }
}

impl From<DoorError> for HandleError {
    fn from(error: DoorError) -> Self {
        // Where this version may not write any more, another server takes the work over.
        let retry = matches!(
            error,
            DoorError::Busy | DoorError::Store(_) | DoorError::OtherVersion
        );
        Self {
            problem: error.to_string(),
            retry,
            after: None,
        }
    }
}

impl From<PortError> for HandleError {
    fn from(error: PortError) -> Self {
        Self::transient(format!("{error}: {}", error.source))
    }
}

/// One of LUMOS's own agents, as the runtime sees it.
#[async_trait]
pub trait Subscriber: Send + Sync {
    /// Which agent this is.
    fn agent(&self) -> OwnAgent;

    /// Whether it does anything about `event`.
    fn wants(&self, event: &Event) -> bool;

    /// Does it. Called again after a crash or failure, so everything in it is idempotent.
    async fn handle(&self, hand: &Hand, entry: &LedgerEntry) -> Result<(), HandleError>;
}

/// What an agent acts with while it handles one entry: commands in its own name with derived ids.
#[derive(Clone)]
pub struct Hand {
    /// The door.
    pub door: Door,
    agent: OwnAgent,
    taken: Taken,
}

impl Hand {
    /// The hand of `agent` while it handles the entry that it has taken.
    #[must_use]
    pub const fn new(door: Door, agent: OwnAgent, taken: Taken) -> Self {
        Self { door, agent, taken }
    }

    /// The ledger index, from 0, of the entry that it handles.
    #[must_use]
    pub const fn entry(&self) -> u64 {
        self.taken.entry
    }

    /// Submits the command of `step`: handled again, the same step is answered with its first outcome.
    ///
    /// # Errors
    /// As [`Door::submit`].
    pub async fn submit(&self, step: &str, command: Command) -> Result<Outcome, DoorError> {
        self.submit_sealed(step, command, Vec::new()).await
    }

    /// Submits a command whose text is sealed.
    ///
    /// # Errors
    /// As [`Door::submit`].
    pub async fn submit_sealed(
        &self,
        step: &str,
        command: Command,
        sealed: Vec<SealedValue>,
    ) -> Result<Outcome, DoorError> {
        let entry = self.taken.entry;
        let id = command_name(self.agent, entry, step);
        let command_id: CommandId = id
            .parse()
            .map_err(|source| PortError::new("naming a command", source))?;
        let request = Request {
            caller: Caller::agent(self.agent),
            command_id,
            commands: vec![command],
            sealed,
            causation: Some(entry.to_string()),
        };
        let lease = self.taken.is_held_by(self.agent.as_str());
        self.door.submit_leased(request, Some(lease)).await
    }
}

/// The name of a step's command; a step too long for a name is named by its digest.
fn command_name(agent: OwnAgent, entry: u64, step: &str) -> String {
    let plain = format!("{}.{entry}.{step}", agent.as_str());
    if plain.len() <= 128 {
        return plain;
    }
    let digest = lumos_domain::id::Digest::of(step.as_bytes()).hex();
    format!("{}.{entry}.{digest}", agent.as_str())
}

/// Returns once `stop` turns true, or nobody is left who could turn it.
pub async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _guard = stop.wait_for(|stop| *stop).await;
}

/// Runs the agents and the timers until `stop` turns true.
///
/// # Errors
/// When an agent's own loop breaks; the process should end and say so. A store that fails is waited for.
pub async fn run(
    door: Door,
    agents: Vec<Arc<dyn Follow>>,
    stop: watch::Receiver<bool>,
) -> Result<(), PortError> {
    let mut tasks = JoinSet::new();
    if let Some(kind) = door.unknown_kind() {
        tracing::warn!(
            kind,
            "the ledger is read-only for this version: no agent runs"
        );
        stopped(&mut { stop }).await;
        return Ok(());
    }
    for agent in agents {
        let (door, stop) = (door.clone(), stop.clone());
        tasks.spawn(async move { follow(door, agent, stop).await });
    }
    tasks.spawn(timers::watch(door, stop));
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(|panicked| PortError::new("running an agent", panicked))??;
    }
    Ok(())
}

/// One agent's loop. When the store fails, as on a full disk, the agent waits and takes up again what it was
/// doing; nobody else is stopped by it.
async fn follow(
    door: Door,
    agent: Arc<dyn Follow>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), PortError> {
    let follower = Follower::new(door, agent);
    while let Err(failed) = follower.run(&mut stop).await {
        tracing::error!(agent = follower.name(), problem = %failed, source = %failed.source, "an agent could not go on; it will try again");
        tokio::select! {
            () = tokio::time::sleep(LOOK_AGAIN) => {}
            () = stopped(&mut stop) => return Ok(()),
        }
    }
    Ok(())
}

/// An agent that follows the ledger, in the steps it is made of: [`run`] lets time and commits drive them, a
/// simulated world drives them by hand.
#[derive(Clone)]
pub struct Follower {
    door: Door,
    agent: Arc<dyn Follow>,
}

impl Follower {
    /// `agent`, following the ledger behind `door`.
    #[must_use]
    pub fn new(door: Door, agent: Arc<dyn Follow>) -> Self {
        Self { door, agent }
    }

    /// The agent's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.agent.name()
    }

    /// Moves the cursor, takes jobs, works them off, waits for more, until `stop` turns true.
    async fn run(&self, stop: &mut watch::Receiver<bool>) -> Result<(), PortError> {
        let mut working = JoinSet::new();
        let mut held = BTreeMap::new();
        let ended = self.drive(&mut working, &mut held, stop).await;
        working.shutdown().await;
        // Who stops in order lets others go on at once.
        for taken in held.into_values() {
            self.give_back(taken).await;
        }
        ended
    }

    /// Gives a job back that was not finished, unless it is not ours any more. Where that fails, its lease runs out.
    pub async fn give_back(&self, taken: Taken) {
        if let Err(failed) = jobs::release(self.store(), self.name(), taken).await {
            tracing::debug!(problem = %failed, "a job could not be given back");
        }
    }

    async fn drive(
        &self,
        working: &mut JoinSet<Result<(), PortError>>,
        held: &mut BTreeMap<Id, Taken>,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<(), PortError> {
        let mut committed = self.store().committed();
        let mut signed = self.agent.published();
        if !self.store().is_shared() {
            self.take_over().await?;
        }
        let mut renewed = self.now();
        loop {
            for taken in self.due(AT_ONCE.saturating_sub(working.len())).await? {
                let follower = self.clone();
                let task = working.spawn(async move { follower.work(taken).await });
                held.insert(task.id(), taken);
            }
            tokio::select! {
                Some(done) = working.join_next_with_id() => {
                    let (id, done) = done.map_err(|panicked| PortError::new("handling an entry", panicked))?;
                    // What failed in the store is given back below.
                    done?;
                    held.remove(&id);
                }
                changed = committed.changed() => if changed.is_err() { return Ok(()) },
                () = follow::changed(&mut signed) => {}
                () = tokio::time::sleep(LOOK_AGAIN) => {}
                () = stopped(stop) => return Ok(()),
            }
            let now = self.now();
            if self.store().is_shared() && now.duration_since(renewed) >= RENEW {
                jobs::renew(self.store(), self.name(), held.values(), now).await?;
                renewed = now;
            }
        }
    }

    fn store(&self) -> &dyn Store {
        &*self.door.ports().store
    }

    fn now(&self) -> Timestamp {
        self.door.ports().clock.now()
    }

    /// Makes what was being done when the process ended, or this agent failed, due again: where no other process
    /// writes, whoever follows now holds every lease.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn take_over(&self) -> Result<(), PortError> {
        jobs::take_over(self.store(), self.name()).await
    }

    /// Queues what is new in the ledger, then takes up to `max` due entries under a lease.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn due(&self, max: usize) -> Result<Vec<Taken>, PortError> {
        let store = self.store();
        // What this version may not record any more is left for the one that may.
        if self.agent.is_held(&self.door).await? || store.is_of_other_version() {
            return Ok(Vec::new());
        }
        while jobs::queue_new(store, &*self.agent, self.now()).await? {}
        jobs::take(store, self.name(), max, self.now()).await
    }

    /// Handles one taken entry and settles its job.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn work(&self, taken: Taken) -> Result<(), PortError> {
        let stored = self.store().entries(taken.entry, 1).await?;
        let read = stored
            .first()
            .map(|stored| (stored, LedgerEntry::read(stored)));
        let handled = match read {
            Some((stored, Ok(entry))) => {
                // A handler that panics loses its job, not the server.
                let handled =
                    AssertUnwindSafe(self.agent.follow(&self.door, taken, stored, &entry))
                        .catch_unwind()
                        .await;
                handled.unwrap_or_else(|_| Err(HandleError::fatal("the agent broke on this entry")))
            }
            Some((_, Err(unreadable))) => Err(HandleError::fatal(unreadable)),
            None => Ok(()),
        };
        jobs::settle(self.store(), &*self.agent, taken, handled, self.now()).await
    }
}
