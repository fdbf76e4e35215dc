//! Whether the log was read: what was asked for, who signed for which entries, and what was missed.

use std::collections::BTreeMap;

use jiff::Timestamp;
use lumos_domain::{
    event::Event,
    id::PersonId,
    log_review::{LogReview, Schedule},
    words::Reading,
};

use super::{Answer, Cell, Period, Table};
use crate::record::LedgerEntry;

pub(super) const KINDS: &[&str] = &[
    "lumos.log_review.set.v1",
    "lumos.log_review.due.v1",
    "lumos.log_review.overdue.v1",
    "lumos.log_review.signed.v1",
    "lumos.reading.recorded.v1",
];

const COLUMNS: &[&str] = &[
    "when",
    "entry",
    "what",
    "entries",
    "by",
    "first shown",
    "signed in time",
    "nothing left out",
    "was shown it",
];

/// The answer on its way.
pub(super) struct LogReviews {
    period: Period,
    known: Known,
    rows: Vec<Vec<Cell>>,
}

impl LogReviews {
    pub(super) fn of(period: Period) -> Self {
        Self {
            period,
            known: Known::default(),
            rows: Vec::new(),
        }
    }
}

impl Answer for LogReviews {
    fn follow(&mut self, entry: &LedgerEntry) {
        let row = self.known.row(entry);
        if self.period.holds(entry) {
            self.rows.extend(row);
        }
        self.known.follow(entry);
    }

    fn table(self: Box<Self>) -> Table {
        Table {
            columns: COLUMNS,
            rows: self.rows,
        }
    }
}

/// What a range of the log is called that begins at entry `from`, where it is said that somebody was shown it.
#[must_use]
pub fn shown_from(from: u64) -> String {
    format!("from entry {from}")
}

#[derive(Default)]
struct Known {
    state: LogReview,
    /// When each was first shown what.
    shown: BTreeMap<(PersonId, String), Timestamp>,
}

impl Known {
    fn follow(&mut self, entry: &LedgerEntry) {
        if let Event::ReadingRecorded(e) = &entry.event
            && e.reading == Reading::LogReview
            && let Some(person) = entry.person()
        {
            let key = (person.clone(), e.about.clone());
            self.shown.entry(key).or_insert(entry.time);
        }
        self.state.apply(&entry.event);
    }

    /// The row of an entry, as things stood before it.
    fn row(&self, entry: &LedgerEntry) -> Option<Vec<Cell>> {
        let none = [const { Cell::Nothing }; 4];
        let (what, range, checks) = match &entry.event {
            Event::LogReviewSet(e) => {
                let is = e.schedule.as_ref().map_or("nothing".to_owned(), said);
                let was = e.was.as_ref().map_or("nothing".to_owned(), said);
                (
                    format!("asked for: {is}; before: {was}"),
                    Cell::Nothing,
                    none,
                )
            }
            Event::LogReviewDue(e) => {
                let what = format!("due since {}, overdue from {} on", e.since, e.overdue);
                (what, Cell::Nothing, none)
            }
            Event::LogReviewOverdue(e) => {
                let [first, _, left, shown] = none;
                let checks = [first, Cell::Holds(false), left, shown];
                (
                    format!("missed: {} in a row", e.missed),
                    Cell::Nothing,
                    checks,
                )
            }
            Event::LogReviewed(e) => {
                let open = self.state.open.as_ref();
                let in_time = open.is_none_or(|open| entry.time < open.overdue);
                let shown = self.shown.get(&(e.person.clone(), shown_from(e.from)));
                let checks = [
                    shown.map_or(Cell::Nothing, |shown| Cell::Time(*shown)),
                    Cell::Holds(in_time),
                    Cell::Holds(e.from == self.state.examined),
                    Cell::Holds(shown.is_some()),
                ];
                let range = Cell::Text(format!("{} to {}", e.from, e.size.saturating_sub(1)));
                let what = format!("signed as {}: {}", e.role, e.finding.as_str());
                (what.replace('-', " "), range, checks)
            }
            _ => return None,
        };
        let row = [
            Cell::Time(entry.time),
            Cell::Entry(entry.index),
            Cell::Text(what),
            range,
            Cell::Actor(entry.actor.clone()),
        ];
        Some(row.into_iter().chain(checks).collect())
    }
}

fn said(asked: &Schedule) -> String {
    format!(
        "every {} days by {}, {} more at most, grade {}",
        asked.every_days, asked.role, asked.within_days, asked.grade
    )
}
