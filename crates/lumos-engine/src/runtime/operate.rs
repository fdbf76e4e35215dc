//! What operators do to those who follow the ledger: try again, go back, let go. All of it is operational state. It
//! can make work happen again, and work is idempotent; it can approve nothing and skip nothing.

use jiff::Timestamp;
use lumos_domain::id::OutsideAgentName;

use super::jobs::ROUND;
use crate::{
    ports::{PortError, Statement, Store},
    views::statement,
};

/// What the name of an outside agent's webhook begins with.
pub const WEBHOOK: &str = "webhook:";
/// What the name of an outside agent that follows the stream begins with.
pub const STREAM: &str = "stream:";

/// Why the runtime does not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum OperateError {
    /// Nobody of this name follows the ledger.
    #[error("nobody named `{0}` follows the ledger")]
    Unknown(String),
    /// An agent that reads the stream keeps its own cursor.
    #[error("`{0}` keeps its own cursor: start it again with an earlier one")]
    KeepsOwnCursor(String),
    /// Entries would be left out.
    #[error(
        "`{subscriber}` has looked at entries up to {next}; going on from {from} would leave some out"
    )]
    Ahead {
        /// Who.
        subscriber: String,
        /// The next entry they look at.
        next: u64,
        /// Where they were to go on.
        from: u64,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] PortError),
}

impl OperateError {
    /// The stable code of this error, a page in `docs/errors/`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "unknown-thing",
            Self::KeepsOwnCursor(_) => "own-cursor",
            Self::Ahead { .. } => "replay-ahead",
            Self::Store(_) => "store-failed",
        }
    }
}

/// Lets dead letters be tried again, those of one entry or all, and everything that waits at once. Deliveries that were
/// switched off are on again. Says how many dead letters there were.
///
/// # Errors
/// When nobody of this name follows the ledger, or the store fails.
pub async fn retry(
    store: &dyn Store,
    subscriber: &str,
    entry: Option<u64>,
    now: Timestamp,
) -> Result<u64, OperateError> {
    next(store, subscriber).await?;
    let entry = entry.map(|entry| i64::try_from(entry).unwrap_or(i64::MAX));
    let (first, last) = entry.map_or((0, i64::MAX), |entry| (entry, entry));
    let changed = store
        .execute(vec![
            revive(subscriber, first, last, now),
            statement!(
                "UPDATE jobs SET due_us = $1
                 WHERE subscriber = $2 AND state = 'waiting' AND entry >= $3 AND entry <= $4",
                now,
                subscriber,
                first,
                last,
            ),
            let_go(subscriber),
        ])
        .await?;
    let revived = changed.first().copied().unwrap_or(0);
    tracing::warn!(subscriber, revived, "dead letters are tried again");
    Ok(revived)
}

/// Goes back to entry `from`: everything from there on is looked at again.
///
/// # Errors
/// When nobody of this name follows the ledger, entries would be left out, or the store fails.
pub async fn replay(
    store: &dyn Store,
    subscriber: &str,
    from: u64,
    now: Timestamp,
) -> Result<(), OperateError> {
    if subscriber.starts_with(STREAM) {
        return Err(OperateError::KeepsOwnCursor(subscriber.to_owned()));
    }
    let next = next(store, subscriber).await?;
    if from > next {
        let subscriber = subscriber.to_owned();
        return Err(OperateError::Ahead {
            subscriber,
            next,
            from,
        });
    }
    let at = i64::try_from(from).unwrap_or(i64::MAX);
    store
        .execute(vec![
            // Never forward: another process may have gone back further meanwhile.
            statement!(
                "UPDATE cursors SET next = $1 WHERE subscriber = $2 AND next > $1",
                at,
                subscriber,
            ),
            revive(subscriber, at, i64::MAX, now),
            let_go(subscriber),
        ])
        .await?;
    tracing::warn!(subscriber, from, next, "the ledger is followed again");
    Ok(())
}

/// Has LUMOS's own agents look at the whole ledger again, as after a restore: where they were is proven by no entry, and
/// whoever wrote the backup could have let them pass over what they did not do. What was done is found done, and what was
/// decided since an entry is not asked again for its sake. Webhooks go on where they are said to be, for others would get
/// everything twice; but never beyond the end.
///
/// # Errors
/// When the store fails.
pub async fn begin_anew(store: &dyn Store) -> Result<(), PortError> {
    let size = i64::try_from(store.frontier().await?.size()).unwrap_or(i64::MAX);
    store
        .execute(vec![
            statement!(
                "DELETE FROM jobs WHERE subscriber NOT LIKE 'webhook:%' OR entry >= $1",
                size
            ),
            statement!(
                "UPDATE cursors SET next = 0
                 WHERE subscriber NOT LIKE 'webhook:%' AND subscriber NOT LIKE 'stream:%'",
            ),
            statement!("UPDATE cursors SET next = $1 WHERE next > $1", size),
        ])
        .await?;
    Ok(())
}

/// Stops following until somebody asks to try again.
///
/// # Errors
/// When the store fails.
pub async fn hold(
    store: &dyn Store,
    subscriber: &str,
    problem: &str,
    now: Timestamp,
) -> Result<(), PortError> {
    let hold = statement!(
        "INSERT INTO held (subscriber, since_us, problem) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        subscriber,
        now,
        problem,
    );
    store.execute(vec![hold]).await?;
    Ok(())
}

/// Whether somebody stopped following until they are asked to try again.
pub(crate) async fn is_held(store: &dyn Store, subscriber: &str) -> Result<bool, PortError> {
    let rows = store
        .query(
            "SELECT 1 FROM held WHERE subscriber = $1",
            vec![subscriber.into()],
        )
        .await?;
    Ok(!rows.is_empty())
}

/// Notes how far an outside agent is that reads the stream: only forward, and only as far as there are entries.
///
/// # Errors
/// When the ledger has no such entry, or the store fails.
pub async fn acknowledge(
    store: &dyn Store,
    agent: &OutsideAgentName,
    entry: u64,
) -> Result<(), OperateError> {
    let subscriber = format!("{STREAM}{agent}");
    let size = store.frontier().await?.size();
    if entry >= size {
        return Err(OperateError::Ahead {
            subscriber,
            next: size,
            from: entry.saturating_add(1),
        });
    }
    let next = i64::try_from(entry).unwrap_or(i64::MAX).saturating_add(1);
    store
        .execute(vec![
            statement!(
                "INSERT INTO cursors (subscriber, next) VALUES ($1, 0) ON CONFLICT DO NOTHING",
                subscriber.as_str(),
            ),
            statement!(
                "UPDATE cursors SET next = $1 WHERE subscriber = $2 AND next < $1",
                next,
                subscriber.as_str(),
            ),
        ])
        .await?;
    Ok(())
}

/// The next entry that somebody looks at.
async fn next(store: &dyn Store, subscriber: &str) -> Result<u64, OperateError> {
    let rows = store
        .query(
            "SELECT next FROM cursors WHERE subscriber = $1",
            vec![subscriber.into()],
        )
        .await?;
    let next = rows.first().and_then(|row| row.int(0));
    next.and_then(|next| u64::try_from(next).ok())
        .ok_or_else(|| OperateError::Unknown(subscriber.chars().take(200).collect()))
}

/// A new round of attempts for dead letters.
fn revive(subscriber: &str, first: i64, last: i64, now: Timestamp) -> Statement {
    statement!(
        "UPDATE jobs SET state = 'waiting', due_us = $1, attempts = (attempts / $2 + 1) * $2
         WHERE subscriber = $3 AND state = 'dead' AND entry >= $4 AND entry <= $5",
        now,
        ROUND,
        subscriber,
        first,
        last,
    )
}

fn let_go(subscriber: &str) -> Statement {
    statement!("DELETE FROM held WHERE subscriber = $1", subscriber)
}
