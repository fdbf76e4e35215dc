//! How people decide: who signs how much, how fast after a record was there to be read, and how often they say yes. A
//! rubber stamp shows in it, and so does somebody who is asked too much.

use std::collections::BTreeMap;

use jiff::Timestamp;
use lumos_domain::{event::Event, id::PersonId, stream::Stream, words::Verdict};

use super::{Answer, Cell, Period, Table};
use crate::record::LedgerEntry;

pub(super) const KINDS: &[&str] = &[
    "lumos.review.opened.v1",
    "lumos.review.record_changed.v1",
    "lumos.review.signed.v1",
    "lumos.review.closed.v1",
    "lumos.release.approved.v1",
    "lumos.log_review.signed.v1",
];

const COLUMNS: &[&str] = &[
    "who",
    "signatures",
    "approved",
    "approved in %",
    "fastest",
    "median",
    "slowest",
    "within a minute",
    "log reviews",
    "last entry",
];

/// What is hardly enough to read a record, in seconds.
const HARDLY_READ_S: i64 = 60;

/// The answer on its way.
pub(super) struct Reviewers {
    period: Period,
    /// When the record of each review that is open, as it stood, could be read.
    pub(super) readable: BTreeMap<Stream, Timestamp>,
    people: BTreeMap<PersonId, Votes>,
}

impl Reviewers {
    pub(super) const fn of(period: Period) -> Self {
        Self {
            period,
            readable: BTreeMap::new(),
            people: BTreeMap::new(),
        }
    }
}

impl Answer for Reviewers {
    fn follow(&mut self, entry: &LedgerEntry) {
        let counts = self.period.holds(entry);
        match &entry.event {
            Event::ReviewOpened(_) | Event::ReviewRecordChanged(_) => {
                self.readable.insert(entry.stream.clone(), entry.time);
            }
            Event::ReviewClosed(_) | Event::ReleaseApproved(_) => {
                self.readable.remove(&entry.stream);
            }
            Event::Signed(e) if counts => {
                let since = self.readable.get(&entry.stream).copied();
                let took = entry.time.duration_since(since.unwrap_or(entry.time));
                let votes = self.people.entry(e.person.clone()).or_default();
                votes.approved += u64::from(e.verdict == Verdict::Approve);
                votes.took_s.push(took.as_secs().max(0));
                votes.last = entry.index;
            }
            Event::LogReviewed(e) if counts => {
                let votes = self.people.entry(e.person.clone()).or_default();
                votes.log_reviews += 1;
                votes.last = entry.index;
            }
            _ => {}
        }
    }

    fn table(self: Box<Self>) -> Table {
        let people = self.people.into_iter();
        Table {
            columns: COLUMNS,
            rows: people.map(|(who, votes)| votes.row(&who)).collect(),
        }
    }
}

/// What one person signed.
#[derive(Default)]
struct Votes {
    approved: u64,
    /// Seconds from when the record was there to the signature, one for each.
    took_s: Vec<i64>,
    log_reviews: u64,
    last: u64,
}

impl Votes {
    fn row(mut self, who: &PersonId) -> Vec<Cell> {
        self.took_s.sort_unstable();
        let took = self.took_s.as_slice();
        let all = took.len() as u64;
        let fast = took.iter().filter(|s| **s < HARDLY_READ_S).count();
        let at = |at: Option<&i64>| at.map_or(Cell::Nothing, |s| Cell::Text(span(*s)));
        let share = (self.approved * 100).checked_div(all);
        vec![
            Cell::People(vec![who.clone()]),
            Cell::text(all),
            Cell::text(self.approved),
            share.map_or(Cell::Nothing, Cell::text),
            at(took.first()),
            // Of an even number the lower one: a time that was taken, not one between two.
            at(took.get(took.len().saturating_sub(1) / 2)),
            at(took.last()),
            Cell::text(fast),
            Cell::text(self.log_reviews),
            Cell::Entry(self.last),
        ]
    }
}

/// A length of time in the largest unit that tells it.
fn span(seconds: i64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}
