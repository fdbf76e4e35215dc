//! Durable subscribers: each follows the ledger by a cursor, turns the entries it wants into jobs, and works
//! them off with leases, back-off and dead letters. Delivery is at least once; handlers are idempotent,
//! because their commands carry ids derived from (subscriber, entry, step).

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

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
use tokio::{sync::watch, task::JoinSet};

use crate::{
    door::{Door, DoorError, Outcome, Request},
    ports::{PortError, Row, Statement, Store, Value},
    record::LedgerEntry,
    views::{statement, timers},
};

/// The tables of the runtime: operational state, which can never permit anything.
pub const SCHEMA: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS cursors (subscriber TEXT PRIMARY KEY, next BIGINT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS jobs (
        subscriber TEXT NOT NULL, entry BIGINT NOT NULL, state TEXT NOT NULL, attempts BIGINT NOT NULL,
        due_us BIGINT NOT NULL, lease_us BIGINT NOT NULL, problem TEXT,
        PRIMARY KEY (subscriber, entry))",
    "CREATE INDEX IF NOT EXISTS jobs_due ON jobs (subscriber, state, due_us)",
];

/// Entries looked at in one step of a cursor.
const BATCH: u32 = 256;
/// Jobs worked off at the same time by one subscriber.
const AT_ONCE: usize = 4;
/// How long a job belongs to who took it: longer than any work. A process that starts takes over at once.
const LEASE: SignedDuration = SignedDuration::from_hours(24);
/// After so many failed attempts a job is a dead letter.
const ATTEMPTS_MAX: i64 = 12;
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
}

impl HandleError {
    /// A failure worth trying again.
    pub fn transient(problem: impl ToString) -> Self {
        Self {
            problem: problem.to_string(),
            retry: true,
        }
    }

    /// A failure that stays: the job becomes a dead letter at once.
    pub fn fatal(problem: impl ToString) -> Self {
        Self {
            problem: problem.to_string(),
            retry: false,
        }
    }
}

impl From<DoorError> for HandleError {
    fn from(error: DoorError) -> Self {
        let retry = matches!(error, DoorError::Busy | DoorError::Store(_));
        Self {
            problem: error.to_string(),
            retry,
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
    entry: u64,
}

impl Hand {
    /// The hand of `agent` while it handles ledger entry `entry`.
    #[must_use]
    pub const fn new(door: Door, agent: OwnAgent, entry: u64) -> Self {
        Self { door, agent, entry }
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
        let id = command_name(self.agent, self.entry, step);
        let command_id: CommandId = id
            .parse()
            .map_err(|source| PortError::new("naming a command", source))?;
        self.door
            .submit(Request {
                caller: Caller::agent(self.agent),
                command_id,
                commands: vec![command],
                sealed,
                causation: Some(self.entry.to_string()),
            })
            .await
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
/// When the store cannot be read or written; the process should end and say so.
pub async fn run(
    door: Door,
    agents: Vec<Arc<dyn Subscriber>>,
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
    tasks.spawn(fire_timers(door, stop));
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(|panicked| PortError::new("running an agent", panicked))??;
    }
    Ok(())
}

/// One agent's loop: move the cursor, take jobs, work them off, wait for more.
async fn follow(
    door: Door,
    agent: Arc<dyn Subscriber>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), PortError> {
    let store = Arc::clone(&door.ports().store);
    let mut committed = store.committed();
    // What was being done when the process ended is due again: this process holds every lease now.
    store
        .execute(vec![statement!(
            "UPDATE jobs SET state = 'waiting' WHERE subscriber = $1 AND state = 'taken'",
            agent.agent().as_str(),
        )])
        .await?;
    let mut working = JoinSet::new();
    loop {
        while queue_new(&*store, &*agent, door.ports().clock.now()).await? {}
        let free = AT_ONCE.saturating_sub(working.len());
        for entry in take(&*store, &*agent, free, door.ports().clock.now()).await? {
            let (door, agent) = (door.clone(), Arc::clone(&agent));
            working.spawn(async move { work(door, agent, entry).await });
        }
        tokio::select! {
            Some(done) = working.join_next() => {
                done.map_err(|panicked| PortError::new("handling an entry", panicked))??;
            }
            changed = committed.changed() => if changed.is_err() { return Ok(()) },
            () = tokio::time::sleep(LOOK_AGAIN) => {}
            () = stopped(&mut stop) => {
                working.shutdown().await;
                return Ok(());
            }
        }
    }
}

/// Moves the cursor over a batch of entries and queues those the agent wants, in one transaction. Says
/// whether there may be more.
async fn queue_new(
    store: &dyn Store,
    agent: &dyn Subscriber,
    now: Timestamp,
) -> Result<bool, PortError> {
    let name = agent.agent().as_str();
    let rows = store
        .query(
            "SELECT next FROM cursors WHERE subscriber = $1",
            vec![name.into()],
        )
        .await?;
    let next = rows.first().and_then(|row| row.int(0)).unwrap_or(0);
    let stored = store
        .entries(u64::try_from(next).unwrap_or(0), BATCH)
        .await?;
    if stored.is_empty() {
        return Ok(false);
    }
    let mut statements = Vec::new();
    let mut after = next;
    for entry in &stored {
        let index = i64::try_from(entry.index).unwrap_or(i64::MAX);
        // What this version cannot read is left for the one that can: the cursor stays before it.
        let Ok(read) = LedgerEntry::read(entry) else {
            break;
        };
        after = index.saturating_add(1);
        let wanted = agent.wants(&read.event);
        if wanted {
            statements.push(statement!(
                "INSERT INTO jobs (subscriber, entry, state, attempts, due_us, lease_us)
                 VALUES ($1, $2, 'waiting', 0, $3, 0) ON CONFLICT DO NOTHING",
                name,
                index,
                now,
            ));
        }
    }
    if after == next {
        return Ok(false);
    }
    statements.push(statement!(
        "INSERT INTO cursors (subscriber, next) VALUES ($1, $2)
         ON CONFLICT (subscriber) DO UPDATE SET next = excluded.next",
        name,
        after,
    ));
    store.execute(statements).await?;
    Ok(true)
}

/// Takes up to `max` due jobs under a lease.
async fn take(
    store: &dyn Store,
    agent: &dyn Subscriber,
    max: usize,
    now: Timestamp,
) -> Result<Vec<u64>, PortError> {
    if max == 0 {
        return Ok(Vec::new());
    }
    let name = agent.agent().as_str();
    let limit = i64::try_from(max).unwrap_or(i64::MAX);
    let due = store
        .query(
            "SELECT entry FROM jobs WHERE subscriber = $1 AND due_us <= $2
             AND (state = 'waiting' OR (state = 'taken' AND lease_us <= $2)) ORDER BY entry LIMIT $3",
            vec![name.into(), now.into(), limit.into()],
        )
        .await?;
    let entries: Vec<i64> = due.iter().filter_map(|row| row.int(0)).collect();
    let lease = now + LEASE;
    let statements: Vec<_> = entries
        .iter()
        .map(|entry| {
            statement!(
                "UPDATE jobs SET state = 'taken', lease_us = $1, attempts = attempts + 1
                 WHERE subscriber = $2 AND entry = $3",
                lease,
                name,
                *entry,
            )
        })
        .collect();
    if !statements.is_empty() {
        store.execute(statements).await?;
    }
    Ok(entries
        .into_iter()
        .filter_map(|entry| u64::try_from(entry).ok())
        .collect())
}

/// Handles one entry and settles its job.
async fn work(door: Door, agent: Arc<dyn Subscriber>, index: u64) -> Result<(), PortError> {
    let store = Arc::clone(&door.ports().store);
    let name = agent.agent().as_str();
    let stored = store.entries(index, 1).await?;
    let handled = match stored.first().map(LedgerEntry::read) {
        Some(Ok(entry)) => {
            let hand = Hand::new(door.clone(), agent.agent(), index);
            // A handler that panics loses its job, not the server.
            let handled = AssertUnwindSafe(agent.handle(&hand, &entry))
                .catch_unwind()
                .await;
            handled.unwrap_or_else(|_| Err(HandleError::fatal("the agent broke on this entry")))
        }
        Some(Err(unreadable)) => Err(HandleError::fatal(unreadable)),
        None => Ok(()),
    };
    let key = i64::try_from(index).unwrap_or(i64::MAX);
    let settle = match handled {
        Ok(()) => statement!(
            "DELETE FROM jobs WHERE subscriber = $1 AND entry = $2",
            name,
            key
        ),
        Err(error) => failed(&*store, &door, name, key, &error).await?,
    };
    store.execute(vec![settle]).await?;
    Ok(())
}

/// What becomes of a job that failed: later again, or a dead letter.
async fn failed(
    store: &dyn Store,
    door: &Door,
    name: &'static str,
    key: i64,
    error: &HandleError,
) -> Result<Statement, PortError> {
    let rows = store
        .query(
            "SELECT attempts FROM jobs WHERE subscriber = $1 AND entry = $2",
            vec![name.into(), key.into()],
        )
        .await?;
    let attempts = rows.first().and_then(|row| row.int(0)).unwrap_or(0);
    if error.retry && attempts < ATTEMPTS_MAX {
        let seconds = 1_i64 << attempts.clamp(0, 9);
        let due = door.ports().clock.now() + SignedDuration::from_secs(seconds);
        tracing::warn!(agent = name, entry = key, attempts, problem = %error, "an agent will try an entry again");
        return Ok(statement!(
            "UPDATE jobs SET state = 'waiting', due_us = $1, problem = $2 WHERE subscriber = $3 AND entry = $4",
            due,
            error.problem.as_str(),
            name,
            key,
        ));
    }
    tracing::error!(agent = name, entry = key, attempts, problem = %error, "an agent gave an entry up: dead letter");
    Ok(statement!(
        "UPDATE jobs SET state = 'dead', problem = $1 WHERE subscriber = $2 AND entry = $3",
        error.problem.as_str(),
        name,
        key,
    ))
}

/// Asks `decide` about each timer that comes due. Nothing is approved by a timeout.
async fn fire_timers(door: Door, mut stop: watch::Receiver<bool>) -> Result<(), PortError> {
    let store = Arc::clone(&door.ports().store);
    loop {
        for timer in timers::due(&*store, door.ports().clock.now()).await? {
            let id = format!("timer.{}.{}", timer.due.as_microsecond(), short(&timer));
            let id = id
                .parse()
                .map_err(|source| PortError::new("naming a timer's command", source))?;
            let command = Command::TimerDue {
                stream: timer.stream.clone(),
                key: timer.key.clone(),
            };
            let caller = Caller::new(lumos_domain::actor::Actor::Clock);
            match door.submit(Request::new(caller, id, command)).await {
                Ok(_) | Err(DoorError::Refused(_)) => {}
                Err(DoorError::Busy | DoorError::ReadOnly(_)) => continue,
                Err(DoorError::Store(failed)) => return Err(failed),
                Err(error) => {
                    tracing::warn!(stream = %timer.stream, problem = %error, "a timer led to nothing");
                }
            }
            store.execute(vec![timers::fired(&timer)]).await?;
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_AGAIN) => {}
            () = stopped(&mut stop) => return Ok(()),
        }
    }
}

fn short(timer: &timers::Due) -> String {
    let name = format!("{} {}", timer.stream, timer.key);
    lumos_domain::id::Digest::of(name.as_bytes()).hex()[..32].to_owned()
}

/// How far an agent is, for `lumos runtime list` and the readiness page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The agent.
    pub agent: &'static str,
    /// The next entry it will look at.
    pub next: u64,
    /// Jobs that wait or are being done.
    pub waiting: u64,
    /// Dead letters: entry and problem, at most 100.
    pub dead: Vec<(u64, String)>,
}

/// How far every agent is.
///
/// # Errors
/// When the store fails.
pub async fn progress(store: &dyn Store) -> Result<Vec<Progress>, PortError> {
    let mut all = Vec::new();
    for agent in OwnAgent::ALL.map(OwnAgent::as_str) {
        let by = || vec![Value::from(agent)];
        let number = |rows: Vec<Row>| {
            rows.first()
                .and_then(|row| row.int(0))
                .and_then(|n| u64::try_from(n).ok())
                .unwrap_or(0)
        };
        let cursor = store
            .query("SELECT next FROM cursors WHERE subscriber = $1", by())
            .await?;
        if cursor.is_empty() {
            // An agent of a later version, or one that has not begun: nobody waits for it.
            continue;
        }
        let dead = store
            .query(
                "SELECT entry, problem FROM jobs WHERE subscriber = $1 AND state = 'dead' ORDER BY entry LIMIT 100",
                by(),
            )
            .await?;
        all.push(Progress {
            agent,
            next: number(cursor),
            waiting: number(
                store
                    .query(
                        "SELECT COUNT(*) FROM jobs WHERE subscriber = $1 AND state <> 'dead'",
                        by(),
                    )
                    .await?,
            ),
            dead: dead
                .iter()
                .filter_map(|row| Some((u64::try_from(row.int(0)?).ok()?, row.text(1).to_owned())))
                .collect(),
        });
    }
    Ok(all)
}
