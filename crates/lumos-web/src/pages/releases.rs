//! Every release that was ever detected, newest first.

use askama::Template;
use axum::response::Response;
use lumos_domain::{actor::Right, world::Halt};
use lumos_engine::views::releases::{self, ReleaseRow};
use serde::Deserialize;

use super::{
    ROWS,
    frame::{Frame, Query, Visit, may},
    oops::{Oops, paint},
    show::{State, When},
};

#[derive(Template)]
#[template(path = "releases.html")]
pub(super) struct ReleasesPage {
    pub(super) frame: Frame,
    pub(super) rows: Vec<Row>,
    pub(super) next: Option<u64>,
    pub(super) further: bool,
}

/// One release.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) model: String,
    pub(super) version: String,
    pub(super) digest: Option<String>,
    pub(super) state: State,
    pub(super) test: bool,
    pub(super) detected: When,
    pub(super) entry: u64,
}

/// Where a list that runs backwards goes on.
#[derive(Debug, Deserialize)]
pub(super) struct Before {
    pub(super) before: Option<u64>,
}

pub(super) async fn show(visit: Visit, Query(asked): Query<Before>) -> Result<Response, Oops> {
    let store = &*visit.app.door.ports().store;
    let before = asked.before.unwrap_or(u64::MAX);
    let rows = releases::recent(store, before, ROWS).await?;
    let full = u32::try_from(rows.len()).is_ok_and(|n| n >= ROWS);
    let next = rows.last().filter(|_| full).map(|row| row.entry);
    Ok(paint(&ReleasesPage {
        frame: visit.frame("Releases", "/releases").await?,
        rows: readable(&visit, rows).await?,
        next,
        further: asked.before.is_some(),
    }))
}

/// The rows that the visitor may read.
pub(super) async fn readable(visit: &Visit, rows: Vec<ReleaseRow>) -> Result<Vec<Row>, Oops> {
    let caller = &visit.who.caller;
    let allowed = visit
        .app
        .door
        .ask(|world| {
            let each = rows
                .iter()
                .map(|row| may(world, caller, Right::Read, Some(&row.release.model)));
            each.collect::<Result<Vec<bool>, Halt>>()
        })
        .await?;
    let rows = rows
        .into_iter()
        .zip(allowed)
        .filter(|(_, allowed)| *allowed);
    Ok(rows.map(|(row, _)| line(row, visit)).collect())
}

fn line(row: ReleaseRow, visit: &Visit) -> Row {
    Row {
        model: row.release.model.to_string(),
        version: row.release.version.to_string(),
        digest: row.digest.map(|digest| digest.to_string()),
        state: State::of(&row.state),
        test: row.test,
        detected: When::of(row.detected, visit.now),
        entry: row.entry,
    }
}

#[cfg(test)]
impl Row {
    pub(super) fn sample() -> Self {
        Self {
            model: "triage".into(),
            version: "1.2".into(),
            digest: Some(lumos_domain::id::Digest::of(b"x").to_string()),
            state: State::of("in review <script>"),
            test: true,
            detected: When::sample(),
            entry: 12,
        }
    }
}

#[cfg(test)]
impl ReleasesPage {
    pub(super) fn sample() -> Self {
        Self {
            frame: Frame::sample(),
            rows: vec![Row::sample()],
            next: Some(3),
            further: true,
        }
    }
}
