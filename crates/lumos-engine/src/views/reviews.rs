//! Reviews that are open or were: the inbox, and the rounds of a release.

use jiff::Timestamp;
use lumos_domain::{
    event::Event,
    id::{ModelName, ReviewId},
    stream::Stream,
};

use super::statement;
use crate::ports::{PortError, Row, Statement, Store, Value};

/// Rows read at a time where all are read.
const PAGE: u32 = 1_000;

pub(super) const SCHEMA: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS reviews (
        review TEXT PRIMARY KEY, model TEXT NOT NULL, version TEXT NOT NULL, environment TEXT NOT NULL,
        state TEXT NOT NULL, depth TEXT NOT NULL, blocking BIGINT NOT NULL, opened_us BIGINT NOT NULL,
        due_us BIGINT, entry BIGINT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS reviews_open ON reviews (state, entry)",
    "CREATE INDEX IF NOT EXISTS reviews_of ON reviews (model, version, entry)",
];

pub(super) fn project(stream: &Stream, event: &Event, time: Timestamp) -> Vec<Statement> {
    let Stream::Review(id) = stream else {
        return Vec::new();
    };
    let name = id.to_string();
    let state = |state: &str| {
        vec![statement!(
            "UPDATE reviews SET state = $1 WHERE review = $2",
            state,
            name.as_str()
        )]
    };
    match event {
        Event::ReviewOpened(e) => vec![Statement {
            sql: "INSERT INTO reviews (review, model, version, environment, state, depth, blocking, opened_us,
                  due_us, entry) VALUES ($1, $2, $3, $4, 'open', $5, $6, $7, $8, $9)",
            params: vec![
                name.as_str().into(),
                id.model.as_str().into(),
                id.version.as_str().into(),
                id.environment.as_str().into(),
                e.record.depth.as_str().into(),
                count(e.record.blocking.len()),
                time.into(),
                e.due.into(),
                Value::Index,
            ],
        }],
        Event::ReviewRecordChanged(e) => vec![statement!(
            "UPDATE reviews SET depth = $1, blocking = $2 WHERE review = $3",
            e.record.depth.as_str(), count(e.record.blocking.len()), name.as_str(),
        )],
        Event::ReleaseApproved(_) => state("approved"),
        Event::ApprovalRevoked(_) => state("revoked"),
        Event::ApprovalExpired(_) => state("expired"),
        Event::ReviewClosed(e) => state(e.cause.as_str()),
        _ => Vec::new(),
    }
}

fn count(n: usize) -> Value {
    Value::Int(i64::try_from(n).unwrap_or(i64::MAX))
}

/// A review in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReviewRow {
    /// The review.
    pub review: ReviewId,
    /// `open`, `approved`, `revoked`, `expired`, or why it closed.
    pub state: String,
    /// Its depth.
    pub depth: String,
    /// How many rules block it.
    pub blocking: u64,
    /// When it was opened.
    pub opened: Timestamp,
    /// When it escalates if undecided.
    pub due: Option<Timestamp>,
    /// The ledger index of its opening: the key to page by.
    pub entry: u64,
}

fn review(row: &Row) -> Option<ReviewRow> {
    Some(ReviewRow {
        review: row.text(0).parse().ok()?,
        state: row.text(1).to_owned(),
        depth: row.text(2).to_owned(),
        blocking: u64::try_from(row.int(3)?).ok()?,
        opened: row.time(4)?,
        due: row.time(5),
        entry: u64::try_from(row.int(6)?).ok()?,
    })
}

/// Up to `max` open reviews, oldest first, after ledger index `after`.
///
/// # Errors
/// When the store fails.
pub async fn open(store: &dyn Store, after: i64, max: u32) -> Result<Vec<ReviewRow>, PortError> {
    let rows = open_page(store, None, after, max).await?;
    Ok(rows.iter().filter_map(review).collect())
}

async fn open_page(
    store: &dyn Store,
    model: Option<&ModelName>,
    after: i64,
    max: u32,
) -> Result<Vec<Row>, PortError> {
    let model = model.map_or("", ModelName::as_str);
    store
        .query(
            "SELECT review, state, depth, blocking, opened_us, due_us, entry FROM reviews
             WHERE state = 'open' AND entry > $1 AND ($2 = '' OR model = $2) ORDER BY entry LIMIT $3",
            vec![after.into(), model.into(), i64::from(max).into()],
        )
        .await
}

/// Every open review, of one model or of all, oldest first.
///
/// # Errors
/// When the store fails.
pub async fn all_open(
    store: &dyn Store,
    model: Option<&ModelName>,
) -> Result<Vec<ReviewRow>, PortError> {
    let mut all = Vec::new();
    let mut after = -1;
    loop {
        let rows = open_page(store, model, after, PAGE).await?;
        let Some(last) = rows.last().and_then(|row| row.int(6)) else {
            return Ok(all);
        };
        after = last;
        all.extend(rows.iter().filter_map(review));
    }
}

/// The reviews of a release, newest first.
///
/// # Errors
/// When the store fails.
pub async fn of_release(
    store: &dyn Store,
    model: &str,
    version: &str,
) -> Result<Vec<ReviewRow>, PortError> {
    let rows = store
        .query(
            "SELECT review, state, depth, blocking, opened_us, due_us, entry FROM reviews
             WHERE model = $1 AND version = $2 ORDER BY entry DESC",
            vec![model.into(), version.into()],
        )
        .await?;
    Ok(rows.iter().filter_map(review).collect())
}
