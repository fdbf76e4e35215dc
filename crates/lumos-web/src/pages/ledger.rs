//! The ledger, newest entry first.

use askama::Template;
use axum::response::Response;
use lumos_domain::{id::PersonId, stream::Stream};
use lumos_engine::{LedgerEntry, ports::StoredEntry};

use crate::api::keys::{self, KeyView};

use super::{
    ROWS, filters,
    frame::{Frame, Query, Visit},
    oops::{Oops, paint},
    releases::Before,
    say,
    show::{Names, When, person_of},
};

pub(super) mod entry;

#[derive(Template)]
#[template(path = "ledger.html")]
pub(super) struct LedgerPage {
    pub(super) frame: Frame,
    pub(super) origin: String,
    pub(super) size: u64,
    pub(super) published: u64,
    /// Entries under a cosigned checkpoint, where witnesses are asked.
    pub(super) cosigned: Option<u64>,
    pub(super) rows: Vec<Row>,
    /// Its keys; on the first page only.
    pub(super) keys: Vec<KeyView>,
    pub(super) next: Option<u64>,
    pub(super) further: bool,
}

/// One entry.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) index: u64,
    pub(super) when: Option<When>,
    pub(super) what: String,
    pub(super) kind: String,
    pub(super) stream: String,
    pub(super) actor: String,
}

pub(super) async fn show(visit: Visit, Query(asked): Query<Before>) -> Result<Response, Oops> {
    visit.must_read(None).await?;
    let store = &*visit.app.door.ports().store;
    let size = store.frontier().await?.size();
    let end = asked.before.map_or(size, |before| before.min(size));
    let from = end.saturating_sub(u64::from(ROWS));
    let max = u32::try_from(end - from).unwrap_or(ROWS);
    let mut stored = if max == 0 {
        Vec::new()
    } else {
        store.entries(from, max).await?
    };
    stored.reverse();
    let published = visit.app.published.borrow().size;
    let cosigned = visit.app.cosigned.as_ref().map(|last| last.borrow().size);
    Ok(paint(&LedgerPage {
        frame: visit.frame("Ledger", "/ledger").await?,
        origin: visit.app.origin.clone(),
        size,
        published,
        cosigned,
        rows: rows(&visit, &stored).await?,
        keys: match asked.before {
            None => keys::views(&visit.app).await?,
            Some(_) => Vec::new(),
        },
        next: Some(from).filter(|from| *from > 0),
        further: asked.before.is_some(),
    }))
}

/// The lines of stored entries. One that cannot be read is shown as such, not hidden.
pub(super) async fn rows(visit: &Visit, stored: &[StoredEntry]) -> Result<Vec<Row>, Oops> {
    let read: Vec<_> = stored
        .iter()
        .map(|s| (s.index, LedgerEntry::read(s).ok()))
        .collect();
    let entries = read.iter().filter_map(|(_, entry)| entry.as_ref());
    let names = Names::of(&visit.app, entries.flat_map(people)).await?;
    let line = |(index, entry): (u64, Option<LedgerEntry>)| match entry {
        Some(entry) => row(&entry, &names, visit),
        None => Row {
            index,
            when: None,
            what: "this version of LUMOS cannot read this entry".to_owned(),
            kind: "unknown".to_owned(),
            stream: String::new(),
            actor: String::new(),
        },
    };
    Ok(read.into_iter().map(line).collect())
}

/// The people whose names stand in the line of an entry.
pub(super) fn people(entry: &LedgerEntry) -> Vec<PersonId> {
    let mut people = say::people(&entry.event);
    people.extend(person_of(&entry.actor));
    if let Stream::Person(whose) = &entry.stream {
        people.push(whose.clone());
    }
    people
}

/// The line of one entry.
pub(super) fn row(entry: &LedgerEntry, names: &Names, visit: &Visit) -> Row {
    let what = say::sentence(&entry.event, names);
    Row {
        index: entry.index,
        when: Some(When::of(entry.time, visit.now)),
        what: match &entry.stream {
            Stream::Person(whose) => format!("{}: {what}", names.person(whose)),
            _ => what,
        },
        kind: entry.event.kind().to_owned(),
        stream: entry.stream.to_string(),
        actor: names.actor(&entry.actor),
    }
}

#[cfg(test)]
impl Row {
    pub(super) fn sample() -> Self {
        Self {
            index: 4,
            when: Some(When::sample()),
            what: "approved <script>".into(),
            kind: "lumos.release.approved.v1".into(),
            stream: "review/triage/1.2/production/1".into(),
            actor: "Mallory <b>".into(),
        }
    }
}

#[cfg(test)]
impl LedgerPage {
    pub(super) fn sample() -> Self {
        Self {
            frame: Frame::sample(),
            origin: "ledger.acme.example".into(),
            size: 60,
            published: 59,
            cosigned: Some(59),
            rows: vec![Row::sample()],
            keys: vec![KeyView {
                key: "0a1b2c3d".into(),
                vkey: "ledger.acme.example+0a1b2c3d+AAAA".into(),
                state: "revoked",
                place: "file",
                name: "<script>.ed25519".into(),
                until: None,
                good_until: Some(7),
            }],
            next: Some(10),
            further: true,
        }
    }
}
