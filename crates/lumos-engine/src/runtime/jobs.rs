//! The jobs of an agent: one for each entry that it wants, taken under a lease, settled by who still holds it. Each
//! attempt at a job has a number, which fences off the attempts before it: what a holder does that was taken over
//! meanwhile, however late it wakes up, changes nothing.

use jiff::{SignedDuration, Timestamp};

use super::{Follow, HandleError};
use crate::{
    ports::{PortError, Statement, Store},
    record::LedgerEntry,
    views::statement,
};

/// Entries looked at in one step of a cursor.
const BATCH: u32 = 256;
/// How long a job belongs to who took it where nobody else writes: longer than any work. A process that starts
/// takes over at once.
const LEASE_ALONE: SignedDuration = SignedDuration::from_hours(24);
/// The same where others write too: as long as a process may stand still before another takes over. It is renewed
/// while the work goes on.
const LEASE_SHARED: SignedDuration = SignedDuration::from_secs(30);
/// Where the attempts of the next round begin to be counted, once somebody asks for it: the number itself fences, and
/// never goes back.
pub(super) const ROUND: i64 = 1_000;
/// Looks at what is due when others took all of it first.
const LOOKS: usize = 3;

/// A job that is held under a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// The ledger entry it is about.
    pub entry: u64,
    /// Which attempt at it this is: the fencing token.
    pub attempt: i64,
}

impl Taken {
    /// What changes exactly one row as long as the lease is held.
    pub(super) fn is_held_by(self, name: &str) -> Statement {
        statement!(
            "UPDATE jobs SET attempts = attempts
             WHERE subscriber = $1 AND entry = $2 AND attempts = $3 AND state = 'taken'",
            name,
            key(self.entry),
            self.attempt,
        )
    }
}

fn key(entry: u64) -> i64 {
    i64::try_from(entry).unwrap_or(i64::MAX)
}

fn lease(store: &dyn Store, now: Timestamp) -> Timestamp {
    now + if store.is_shared() {
        LEASE_SHARED
    } else {
        LEASE_ALONE
    }
}

/// Moves the cursor over a batch of entries and queues those the agent wants, in one transaction, unless another
/// process moved it meanwhile: a job that was done and is gone must not come again. Says whether there may be more.
pub(super) async fn queue_new(
    store: &dyn Store,
    agent: &dyn Follow,
    now: Timestamp,
) -> Result<bool, PortError> {
    let name = agent.name();
    let rows = store
        .query(
            "SELECT next FROM cursors WHERE subscriber = $1",
            vec![name.into()],
        )
        .await?;
    let Some(next) = rows.first().and_then(|row| row.int(0)) else {
        return begin(store, agent).await;
    };
    let from = u64::try_from(next).unwrap_or(0);
    let signed = agent.published().map(|published| published.borrow().size);
    let left = signed.map_or(BATCH, |size| {
        u32::try_from(size.saturating_sub(from)).map_or(BATCH, |left| left.min(BATCH))
    });
    if left == 0 {
        return Ok(false);
    }
    let stored = store.entries(from, left).await?;
    let mut jobs = Vec::new();
    let mut after = next;
    for entry in &stored {
        // What this version cannot read is left for the one that can: the cursor stays before it.
        let Ok(read) = LedgerEntry::read(entry) else {
            break;
        };
        after = key(entry.index).saturating_add(1);
        if agent.wants(&read) {
            jobs.push(statement!(
                "INSERT INTO jobs (subscriber, entry, state, attempts, due_us, lease_us)
                 SELECT subscriber, $2, 'waiting', 0, $3, 0 FROM cursors
                 WHERE subscriber = $1 AND next = $4 ON CONFLICT DO NOTHING",
                name,
                key(entry.index),
                now,
                next,
            ));
        }
    }
    if after == next {
        return Ok(false);
    }
    // The cursor is held first, so that of two processes one waits and then finds that it has moved.
    let mut statements = vec![statement!(
        "UPDATE cursors SET next = next WHERE subscriber = $1 AND next = $2",
        name,
        next,
    )];
    statements.append(&mut jobs);
    statements.push(statement!(
        "UPDATE cursors SET next = $1 WHERE subscriber = $2 AND next = $3",
        after,
        name,
        next,
    ));
    store.execute(statements).await?;
    Ok(true)
}

/// Makes a cursor where there is none.
async fn begin(store: &dyn Store, agent: &dyn Follow) -> Result<bool, PortError> {
    let next = if agent.begins_with_what_is_new() {
        key(store.frontier().await?.size())
    } else {
        0
    };
    let begin = statement!(
        "INSERT INTO cursors (subscriber, next) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        agent.name(),
        next,
    );
    store.execute(vec![begin]).await?;
    Ok(true)
}

/// Takes up to `max` due jobs under a lease.
pub(super) async fn take(
    store: &dyn Store,
    name: &str,
    max: usize,
    now: Timestamp,
) -> Result<Vec<Taken>, PortError> {
    let limit = i64::try_from(max).unwrap_or(i64::MAX);
    for _ in 0..LOOKS {
        if max == 0 {
            break;
        }
        let due = store
            .query(
                "SELECT entry, attempts FROM jobs WHERE subscriber = $1 AND due_us <= $2
                 AND (state = 'waiting' OR (state = 'taken' AND lease_us <= $2)) ORDER BY entry LIMIT $3",
                vec![name.into(), now.into(), limit.into()],
            )
            .await?;
        let due: Vec<_> = due
            .iter()
            .filter_map(|row| Some((row.int(0)?, row.int(1)?)))
            .collect();
        if due.is_empty() {
            break;
        }
        let statements = due.iter().map(|(entry, attempts)| {
            statement!(
                "UPDATE jobs SET state = 'taken', lease_us = $1, attempts = attempts + 1
                 WHERE subscriber = $2 AND entry = $3 AND attempts = $4
                 AND (state = 'waiting' OR (state = 'taken' AND lease_us <= $5))",
                lease(store, now),
                name,
                *entry,
                *attempts,
                now,
            )
        });
        let changed = store.execute(statements.collect()).await?;
        let won = due.iter().zip(changed).filter(|(_, changed)| *changed == 1);
        let taken: Vec<_> = won
            .filter_map(|((entry, attempts), _)| {
                Some(Taken {
                    entry: u64::try_from(*entry).ok()?,
                    attempt: attempts + 1,
                })
            })
            .collect();
        if !taken.is_empty() {
            return Ok(taken);
        }
    }
    Ok(Vec::new())
}

/// Holds on to jobs whose work goes on. One that was lost stays lost: its holder finds out when it writes.
pub(super) async fn renew(
    store: &dyn Store,
    name: &str,
    held: impl Iterator<Item = &Taken>,
    now: Timestamp,
) -> Result<(), PortError> {
    let statements = held.map(|taken| {
        statement!(
            "UPDATE jobs SET lease_us = $1
             WHERE subscriber = $2 AND entry = $3 AND attempts = $4 AND state = 'taken'",
            lease(store, now),
            name,
            key(taken.entry),
            taken.attempt,
        )
    });
    store.execute(statements.collect()).await?;
    Ok(())
}

/// Gives a job back that was not finished, as if it had not been taken: its number goes on to where the next attempt is
/// counted as this one. A server that stops in order has not failed, and whoever held the job is fenced off at once.
pub(super) async fn release(store: &dyn Store, name: &str, taken: Taken) -> Result<(), PortError> {
    let back = statement!(
        "UPDATE jobs SET state = 'waiting', attempts = $4
         WHERE subscriber = $1 AND entry = $2 AND attempts = $3 AND state = 'taken'",
        name,
        key(taken.entry),
        taken.attempt,
        taken.attempt.saturating_add(ROUND - 1),
    );
    store.execute(vec![back]).await?;
    Ok(())
}

/// Makes every taken job due again, where nobody else can hold one.
pub(super) async fn take_over(store: &dyn Store, name: &str) -> Result<(), PortError> {
    let taken = statement!(
        "UPDATE jobs SET state = 'waiting' WHERE subscriber = $1 AND state = 'taken'",
        name,
    );
    store.execute(vec![taken]).await?;
    Ok(())
}

/// The same for everybody's, of a server that does not run any more, such as one whose ledger was moved or restored.
///
/// # Errors
/// When the store fails.
pub async fn let_all_go(store: &dyn Store) -> Result<(), PortError> {
    let taken =
        statement!("UPDATE jobs SET state = 'waiting', lease_us = 0 WHERE state = 'taken'",);
    store.execute(vec![taken]).await?;
    Ok(())
}

/// Ends a job that was handled, unless somebody else took it over.
pub(super) async fn settle(
    store: &dyn Store,
    agent: &dyn Follow,
    taken: Taken,
    handled: Result<(), HandleError>,
    now: Timestamp,
) -> Result<(), PortError> {
    let name = agent.name();
    let settle = match handled {
        Ok(()) => statement!(
            "DELETE FROM jobs
             WHERE subscriber = $1 AND entry = $2 AND attempts = $3 AND state = 'taken'",
            name,
            key(taken.entry),
            taken.attempt,
        ),
        Err(error) => failed(agent, taken, &error, now),
    };
    if store.execute(vec![settle]).await? == [0] {
        tracing::warn!(
            agent = name,
            entry = taken.entry,
            "another process took this entry over; what it does counts"
        );
    }
    Ok(())
}

/// What becomes of a job that failed: later again, or a dead letter.
fn failed(agent: &dyn Follow, taken: Taken, error: &HandleError, now: Timestamp) -> Statement {
    let (name, Taken { entry, attempt }) = (agent.name(), taken);
    let tries = attempt % ROUND;
    if error.retry && tries < agent.attempts_max() {
        let doubled = || SignedDuration::from_secs(1_i64 << tries.clamp(0, 9));
        let due = now + error.after.unwrap_or_else(doubled);
        tracing::warn!(agent = name, entry, attempt, problem = %error, "an agent will try an entry again");
        return statement!(
            "UPDATE jobs SET state = 'waiting', due_us = $1, problem = $2
             WHERE subscriber = $3 AND entry = $4 AND attempts = $5 AND state = 'taken'",
            due,
            error.problem.as_str(),
            name,
            key(entry),
            attempt,
        );
    }
    tracing::error!(agent = name, entry, attempt, problem = %error, "an agent gave an entry up: dead letter");
    statement!(
        "UPDATE jobs SET state = 'dead', problem = $1
         WHERE subscriber = $2 AND entry = $3 AND attempts = $4 AND state = 'taken'",
        error.problem.as_str(),
        name,
        key(entry),
        attempt,
    )
}
