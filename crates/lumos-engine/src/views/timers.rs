//! What must happen if nothing happens: due dates of reviews, ends of approvals, erasures, log reviews. A timer only asks; `decide` answers.

use jiff::Timestamp;
use lumos_domain::{
    erasure::ERASURE,
    event::{
        ErasurePostponed, ErasureRequested, Event, LogReviewDue, LogReviewOverdue, LogReviewSet,
        LogReviewed,
    },
    log_review::LOG_REVIEW,
    review::{CRITICAL, EXPIRY, OVERDUE},
    stream::Stream,
};

use super::statement;
use crate::ports::{PortError, Statement, Store};

pub(super) const SCHEMA: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS timers (
        stream TEXT NOT NULL, key TEXT NOT NULL, due_us BIGINT NOT NULL, PRIMARY KEY (stream, key))",
    "CREATE INDEX IF NOT EXISTS timers_due ON timers (due_us)",
];

pub(super) fn project(stream: &Stream, event: &Event) -> Vec<Statement> {
    let set = |key: &str, due: Timestamp| {
        vec![statement!(
            "INSERT INTO timers (stream, key, due_us) VALUES ($1, $2, $3)
             ON CONFLICT (stream, key) DO UPDATE SET due_us =
             CASE WHEN excluded.due_us < timers.due_us THEN excluded.due_us ELSE timers.due_us END",
            stream.to_string(),
            key,
            due,
        )]
    };
    match event {
        Event::ReviewOpened(e) => e.due.map_or_else(Vec::new, |due| set(OVERDUE, due)),
        Event::ReviewPaused(e) => set(CRITICAL, e.escalates),
        Event::ReleaseApproved(e) => {
            let mut rows = ended(stream);
            rows.extend(set(EXPIRY, e.tuple.expires));
            rows
        }
        Event::ErasureRequested(ErasureRequested { due, .. })
        | Event::ErasurePostponed(ErasurePostponed { due, .. }) => {
            let mut rows = ended(stream);
            rows.extend(set(ERASURE, *due));
            rows
        }
        Event::ErasureWithdrawn(_) | Event::ErasureCarriedOut(_) => ended(stream),
        Event::LogReviewSet(LogReviewSet { next, .. }) => {
            let mut rows = ended(stream);
            rows.extend(next.map(|next| set(LOG_REVIEW, next)).unwrap_or_default());
            rows
        }
        Event::LogReviewDue(LogReviewDue { overdue: next, .. })
        | Event::LogReviewOverdue(LogReviewOverdue { again: next, .. })
        | Event::LogReviewed(LogReviewed { next, .. }) => {
            let mut rows = ended(stream);
            rows.extend(set(LOG_REVIEW, *next));
            rows
        }
        Event::ReviewClosed(_) | Event::ApprovalRevoked(_) | Event::ApprovalExpired(_) => {
            ended(stream)
        }
        _ => Vec::new(),
    }
}

fn ended(stream: &Stream) -> Vec<Statement> {
    vec![statement!(
        "DELETE FROM timers WHERE stream = $1",
        stream.to_string()
    )]
}

/// A timer that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The stream it is about.
    pub stream: Stream,
    /// Its key in that stream.
    pub key: String,
    /// When it was due.
    pub due: Timestamp,
}

/// Up to 256 timers due at `now`, oldest first.
///
/// # Errors
/// When the store fails.
pub async fn due(store: &dyn Store, now: Timestamp) -> Result<Vec<Due>, PortError> {
    let rows = store
        .query(
            "SELECT stream, key, due_us FROM timers WHERE due_us <= $1 ORDER BY due_us LIMIT 256",
            vec![now.into()],
        )
        .await?;
    let timer = |row: &crate::ports::Row| {
        Some(Due {
            stream: row.text(0).parse().ok()?,
            key: row.text(1).to_owned(),
            due: row.time(2)?,
        })
    };
    Ok(rows.iter().filter_map(timer).collect())
}

/// The statement that takes a fired timer away.
#[must_use]
pub fn fired(timer: &Due) -> Statement {
    statement!(
        "DELETE FROM timers WHERE stream = $1 AND key = $2 AND due_us = $3",
        timer.stream.to_string(),
        timer.key.as_str(),
        timer.due,
    )
}
