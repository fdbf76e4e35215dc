//! What the decision core is fed from: approvals by their tuples, and assignments.

use jiff::Timestamp;
use lumos_domain::{
    event::Event,
    facts::{ApprovalTuple, Assigned, Cause},
    id::{AssignmentId, ReviewId},
    stream::Stream,
};

use super::statement;
use crate::ports::{PortError, Row, Statement, Store};

pub(super) const SCHEMA: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS approvals (
        review TEXT PRIMARY KEY, tuple TEXT NOT NULL, digest TEXT NOT NULL, expires_us BIGINT NOT NULL,
        sandbox BIGINT NOT NULL, revoked TEXT)",
    "CREATE INDEX IF NOT EXISTS approvals_by_digest ON approvals (digest)",
    "CREATE INDEX IF NOT EXISTS approvals_live ON approvals (expires_us)",
    "CREATE TABLE IF NOT EXISTS assignments (
        assignment TEXT PRIMARY KEY, releases TEXT NOT NULL)",
];

pub(super) fn project(stream: &Stream, event: &Event) -> Vec<Statement> {
    match (stream, event) {
        (Stream::Review(id), Event::ReleaseApproved(e)) => vec![statement!(
            "INSERT INTO approvals (review, tuple, digest, expires_us, sandbox) VALUES ($1, $2, $3, $4, $5)",
            id.to_string(),
            serde_json::to_string(&e.tuple).unwrap_or_default(),
            e.tuple.digest.to_string(),
            e.tuple.expires,
            i64::from(e.tuple.sandbox),
        )],
        (Stream::Review(id), Event::ApprovalRevoked(e)) => vec![statement!(
            "UPDATE approvals SET revoked = $1 WHERE review = $2",
            cause(&e.cause),
            id.to_string(),
        )],
        (Stream::Assignment(id), Event::ReleasesAssigned(e)) => vec![statement!(
            "INSERT INTO assignments (assignment, releases) VALUES ($1, $2)
             ON CONFLICT (assignment) DO UPDATE SET releases = excluded.releases",
            id.to_string(),
            serde_json::to_string(&e.releases).unwrap_or_default(),
        )],
        _ => Vec::new(),
    }
}

fn cause(cause: &Cause) -> &'static str {
    cause.as_str()
}

/// An approval as enforcement needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalRow {
    /// The review it ended.
    pub review: ReviewId,
    /// What was decided.
    pub tuple: ApprovalTuple,
    /// Why it was revoked, if it was.
    pub revoked: Option<String>,
}

fn approval(row: &Row) -> Option<ApprovalRow> {
    Some(ApprovalRow {
        review: row.text(0).parse().ok()?,
        tuple: serde_json::from_str(row.text(1)).ok()?,
        revoked: Some(row.text(2))
            .filter(|text| !text.is_empty())
            .map(str::to_owned),
    })
}

/// The approvals that had not expired at `now`, revoked ones included, so that a denial can say why.
///
/// # Errors
/// When the store fails.
pub async fn unexpired(store: &dyn Store, now: Timestamp) -> Result<Vec<ApprovalRow>, PortError> {
    let rows = store
        .query(
            "SELECT review, tuple, revoked FROM approvals WHERE expires_us > $1 ORDER BY review",
            vec![now.into()],
        )
        .await?;
    Ok(rows.iter().filter_map(approval).collect())
}

/// The approvals given in a sandbox and not revoked.
///
/// # Errors
/// When the store fails.
pub async fn of_sandbox(store: &dyn Store) -> Result<Vec<ReviewId>, PortError> {
    let rows = store
        .query(
            "SELECT review FROM approvals WHERE sandbox = 1 AND revoked IS NULL ORDER BY review",
            Vec::new(),
        )
        .await?;
    Ok(rows
        .iter()
        .filter_map(|row| row.text(0).parse().ok())
        .collect())
}

/// Every assignment.
///
/// # Errors
/// When the store fails.
pub async fn assignments(
    store: &dyn Store,
) -> Result<Vec<(AssignmentId, Vec<Assigned>)>, PortError> {
    let rows = store
        .query(
            "SELECT assignment, releases FROM assignments ORDER BY assignment",
            Vec::new(),
        )
        .await?;
    let assignment = |row: &Row| {
        Some((
            row.text(0).parse().ok()?,
            serde_json::from_str(row.text(1)).ok()?,
        ))
    };
    Ok(rows.iter().filter_map(assignment).collect())
}
