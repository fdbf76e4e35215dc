//! Releases: lists for pages, lookups by release digest and by weight-file digest (DECISIONS 9).

use jiff::Timestamp;
use lumos_domain::{
    event::Event,
    id::{Digest, ModelName, ReleaseId},
    manifest::Manifest,
    stream::Stream,
};

use super::{Facts, statement};
use crate::ports::{PortError, Row, Statement, Store, Value};

pub(super) const SCHEMA: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS releases (
        model TEXT NOT NULL, version TEXT NOT NULL, digest TEXT, state TEXT NOT NULL,
        test BIGINT NOT NULL, detected_us BIGINT NOT NULL, entry BIGINT NOT NULL,
        PRIMARY KEY (model, version))",
    "CREATE INDEX IF NOT EXISTS releases_by_digest ON releases (digest)",
    "CREATE INDEX IF NOT EXISTS releases_by_entry ON releases (entry)",
    "CREATE TABLE IF NOT EXISTS files (
        sha256 TEXT NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (sha256, digest))",
];

pub(super) fn project(
    stream: &Stream,
    event: &Event,
    time: Timestamp,
    facts: &Facts,
) -> Vec<Statement> {
    match (stream, event) {
        (Stream::Release(id), Event::CandidateDetected(e)) => vec![Statement {
            sql: "INSERT INTO releases (model, version, state, test, detected_us, entry)
                  VALUES ($1, $2, 'detected', $3, $4, $5)",
            params: vec![
                id.model.as_str().into(),
                id.version.as_str().into(),
                i64::from(e.test).into(),
                time.into(),
                Value::Index,
            ],
        }],
        (Stream::Release(id), Event::ReleaseIdentified(e)) => {
            let mut rows = vec![statement!(
                "UPDATE releases SET digest = $1, state = 'identified' WHERE model = $2 AND version = $3",
                e.digest.to_string(),
                id.model.as_str(),
                id.version.as_str(),
            )];
            let files = facts
                .manifest(&e.digest)
                .into_iter()
                .flat_map(Manifest::weight_files);
            rows.extend(files.map(|file| {
                statement!(
                    "INSERT INTO files (sha256, digest) VALUES ($1, $2) ON CONFLICT DO NOTHING",
                    file.to_string(),
                    e.digest.to_string(),
                )
            }));
            rows
        }
        // One that people are looking at, or decided about, stays so, whatever else is found out about it.
        (Stream::Release(id), Event::ReportRecorded(_)) => vec![statement!(
            "UPDATE releases SET state = 'checked'
             WHERE model = $1 AND version = $2 AND state IN ('detected', 'identified', 'checked')",
            id.model.as_str(),
            id.version.as_str(),
        )],
        // What was decided, and is asked for again or elsewhere, waits for its review like any that has a report.
        (Stream::Release(id), Event::GateRequested(_)) => vec![statement!(
            "UPDATE releases SET state = 'checked' WHERE model = $1 AND version = $2 AND state NOT IN
             ('detected', 'identified', 'not fetched', 'in review', 'paused', 'withdrawn')",
            id.model.as_str(),
            id.version.as_str(),
        )],
        (Stream::Release(id), Event::AcquisitionFailed(_)) => vec![state(id, "not fetched")],
        (Stream::Release(id), Event::ReleaseWithdrawn(_)) => vec![state(id, "withdrawn")],
        (Stream::Review(id), event) => match event {
            Event::ReviewOpened(_) | Event::ReviewRecordChanged(_) => {
                vec![state(&id.release(), "in review")]
            }
            Event::ReviewPaused(_) => vec![state(&id.release(), "paused")],
            Event::ReleaseApproved(_) => vec![state(&id.release(), "approved")],
            Event::ApprovalRevoked(_) => vec![state(&id.release(), "revoked")],
            Event::ReviewClosed(e) => vec![state(&id.release(), e.cause.as_str())],
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

fn state(id: &ReleaseId, state: &str) -> Statement {
    statement!(
        "UPDATE releases SET state = $1 WHERE model = $2 AND version = $3",
        state,
        id.model.as_str(),
        id.version.as_str(),
    )
}

/// A release in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseRow {
    /// The release.
    pub release: ReleaseId,
    /// Its digest, once known.
    pub digest: Option<Digest>,
    /// How far it is, in a few words.
    pub state: String,
    /// Whether it only tests the flow.
    pub test: bool,
    /// When it was detected.
    pub detected: Timestamp,
    /// The ledger index of its detection: the key to page by.
    pub entry: u64,
}

fn release(row: &Row) -> Option<ReleaseRow> {
    Some(ReleaseRow {
        release: ReleaseId {
            model: row.text(0).parse().ok()?,
            version: row.text(1).parse().ok()?,
        },
        digest: row.text(2).parse().ok(),
        state: row.text(3).to_owned(),
        test: row.int(4) == Some(1),
        detected: row.time(5)?,
        entry: u64::try_from(row.int(6)?).ok()?,
    })
}

/// Up to `max` releases detected before ledger index `before`, newest first.
///
/// # Errors
/// When the store fails.
pub async fn recent(
    store: &dyn Store,
    before: u64,
    max: u32,
) -> Result<Vec<ReleaseRow>, PortError> {
    let before = i64::try_from(before).unwrap_or(i64::MAX);
    let rows = store
        .query(
            "SELECT model, version, digest, state, test, detected_us, entry FROM releases
             WHERE entry < $1 ORDER BY entry DESC LIMIT $2",
            vec![before.into(), i64::from(max).into()],
        )
        .await?;
    Ok(rows.iter().filter_map(release).collect())
}

/// The releases with this release digest, or that contain a weight file with this digest, and whether it
/// was found by a file. At most 100.
///
/// # Errors
/// When the store fails.
pub async fn by_digest(
    store: &dyn Store,
    digest: &Digest,
) -> Result<(Vec<ReleaseRow>, bool), PortError> {
    let text = digest.to_string();
    let rows = store
        .query(
            "SELECT model, version, digest, state, test, detected_us, entry FROM releases
             WHERE digest = $1 ORDER BY entry DESC LIMIT 100",
            vec![text.clone().into()],
        )
        .await?;
    if !rows.is_empty() {
        return Ok((rows.iter().filter_map(release).collect(), false));
    }
    let rows = store
        .query(
            "SELECT r.model, r.version, r.digest, r.state, r.test, r.detected_us, r.entry
             FROM files f JOIN releases r ON r.digest = f.digest
             WHERE f.sha256 = $1 ORDER BY r.entry DESC LIMIT 100",
            vec![text.into()],
        )
        .await?;
    Ok((rows.iter().filter_map(release).collect(), true))
}

/// The models that have a release with this release digest.
///
/// # Errors
/// When the store fails.
pub async fn models_of(store: &dyn Store, digest: &Digest) -> Result<Vec<ModelName>, PortError> {
    let rows = store
        .query(
            "SELECT DISTINCT model FROM releases WHERE digest = $1",
            vec![digest.to_string().into()],
        )
        .await?;
    Ok(rows
        .iter()
        .filter_map(|row| row.text(0).parse().ok())
        .collect())
}

/// Whether this release was ever detected.
///
/// # Errors
/// When the store fails.
pub async fn exists(store: &dyn Store, id: &ReleaseId) -> Result<bool, PortError> {
    let rows = store
        .query(
            "SELECT 1 FROM releases WHERE model = $1 AND version = $2",
            vec![id.model.as_str().into(), id.version.as_str().into()],
        )
        .await?;
    Ok(!rows.is_empty())
}

/// The known versions of a model, newest first.
///
/// # Errors
/// When the store fails.
pub async fn versions(store: &dyn Store, model: &str) -> Result<Vec<String>, PortError> {
    let rows = store
        .query(
            "SELECT version FROM releases WHERE model = $1 ORDER BY entry DESC",
            vec![model.into()],
        )
        .await?;
    Ok(rows.iter().map(|row| row.text(0).to_owned()).collect())
}

/// The digests of the weight files of a release.
///
/// # Errors
/// When the store fails.
pub async fn files(
    store: &dyn Store,
    digest: &Digest,
) -> Result<std::collections::BTreeSet<Digest>, PortError> {
    let rows = store
        .query(
            "SELECT sha256 FROM files WHERE digest = $1",
            vec![digest.to_string().into()],
        )
        .await?;
    Ok(rows
        .iter()
        .filter_map(|row| row.text(0).parse().ok())
        .collect())
}

/// How far a release is, in a few words; empty when it was never detected.
///
/// # Errors
/// When the store fails.
pub async fn state_of(store: &dyn Store, id: &ReleaseId) -> Result<String, PortError> {
    let rows = store
        .query(
            "SELECT state FROM releases WHERE model = $1 AND version = $2",
            vec![id.model.as_str().into(), id.version.as_str().into()],
        )
        .await?;
    Ok(rows
        .first()
        .map(|row| row.text(0).to_owned())
        .unwrap_or_default())
}

/// Every release in this state, oldest first.
///
/// # Errors
/// When the store fails.
pub async fn in_state(store: &dyn Store, state: &str) -> Result<Vec<ReleaseId>, PortError> {
    let release = |row: &Row| {
        Some(ReleaseId {
            model: row.text(0).parse().ok()?,
            version: row.text(1).parse().ok()?,
        })
    };
    let mut all = Vec::new();
    let mut after = -1;
    loop {
        let rows = store
            .query(
                "SELECT model, version, entry FROM releases WHERE state = $1 AND entry > $2
                 ORDER BY entry LIMIT 1000",
                vec![state.into(), after.into()],
            )
            .await?;
        let Some(last) = rows.last().and_then(|row| row.int(2)) else {
            return Ok(all);
        };
        after = last;
        all.extend(rows.iter().filter_map(release));
    }
}
