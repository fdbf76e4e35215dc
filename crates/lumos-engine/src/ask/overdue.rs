//! What waits beyond its time at the end of a period.

use std::collections::BTreeMap;

use jiff::Timestamp;
use lumos_domain::{event::Event, log_review::LogReview, stream::Stream};

use super::{Cell, Period, Table};
use crate::record::LedgerEntry;

pub(super) const KINDS: &[&str] = &[
    "lumos.review.opened.v1",
    "lumos.review.record_changed.v1",
    "lumos.review.escalated.v1",
    "lumos.review.closed.v1",
    "lumos.release.approved.v1",
    "lumos.proposal.made.v1",
    "lumos.proposal.confirmed.v1",
    "lumos.proposal.declined.v1",
    "lumos.log_review.set.v1",
    "lumos.log_review.due.v1",
    "lumos.log_review.overdue.v1",
    "lumos.log_review.signed.v1",
];

const COLUMNS: &[&str] = &[
    "overdue since",
    "entry",
    "what",
    "of",
    "waits for",
    "days late",
    "in time",
];

/// Seconds of a day.
const DAY_S: i64 = 86_400;

pub(super) fn answer(entries: &[LedgerEntry], period: &Period) -> Table {
    let mut known = Known::default();
    for entry in entries {
        known.follow(entry);
    }
    let mut late: Vec<Late<'_>> = known.reviews().chain(known.log()).collect();
    // What nobody confirmed in time lapsed: it waits no more, and is told for as long as that is news.
    let lapsed = known
        .proposals
        .values()
        .filter(|(_, until)| *until >= period.from);
    late.extend(lapsed.map(|(entry, until)| Late {
        since: *until,
        entry,
        what: "a proposal that nobody settled: it lapsed",
        waits_for: "a second person".to_owned(),
    }));
    late.retain(|late| late.since < period.to);
    late.sort_by_key(|late| (late.since, late.entry.index));
    Table {
        columns: COLUMNS,
        rows: late.iter().map(|late| late.row(period.to)).collect(),
    }
}

/// Something that should have happened by then.
struct Late<'a> {
    since: Timestamp,
    entry: &'a LedgerEntry,
    what: &'static str,
    waits_for: String,
}

impl Late<'_> {
    fn row(&self, now: Timestamp) -> Vec<Cell> {
        let days = now.duration_since(self.since).as_secs() / DAY_S;
        vec![
            Cell::Time(self.since),
            Cell::Entry(self.entry.index),
            Cell::text(self.what),
            Cell::text(&self.entry.stream),
            Cell::Text(self.waits_for.clone()),
            Cell::text(days),
            Cell::Holds(false),
        ]
    }
}

/// What is open.
#[derive(Default)]
struct Known<'a> {
    /// Reviews: the entry that opened each, when it is due, whom it waits for.
    reviews: BTreeMap<&'a Stream, (&'a LedgerEntry, Timestamp, Vec<String>)>,
    proposals: BTreeMap<&'a Stream, (&'a LedgerEntry, Timestamp)>,
    log: LogReview,
    log_due: Option<&'a LedgerEntry>,
}

impl<'a> Known<'a> {
    fn follow(&mut self, entry: &'a LedgerEntry) {
        let stream = &entry.stream;
        self.log.apply(&entry.event);
        match &entry.event {
            Event::ReviewOpened(e) => {
                if let Some(due) = e.due {
                    let roles = roles(&e.record.slots);
                    self.reviews.insert(stream, (entry, due, roles));
                }
            }
            Event::ReviewRecordChanged(e) => {
                if let Some((_, _, seats)) = self.reviews.get_mut(stream) {
                    *seats = roles(&e.record.slots);
                }
            }
            Event::ReviewEscalated(e) => {
                if let Some((_, _, seats)) = self.reviews.get_mut(stream) {
                    seats.push(e.role.to_string());
                }
            }
            Event::ReviewClosed(_) | Event::ReleaseApproved(_) => {
                self.reviews.remove(stream);
            }
            Event::ProposalMade(e) => {
                self.proposals.insert(stream, (entry, e.until));
            }
            Event::ProposalConfirmed(_) | Event::ProposalDeclined(_) => {
                self.proposals.remove(stream);
            }
            Event::LogReviewDue(_) => self.log_due = Some(entry),
            _ => {}
        }
    }

    fn reviews(&self) -> impl Iterator<Item = Late<'a>> {
        let open = self.reviews.values();
        open.map(|(entry, due, seats)| Late {
            since: *due,
            entry,
            what: "a review that nobody decided",
            waits_for: seats.join(", "),
        })
    }

    fn log(&self) -> impl Iterator<Item = Late<'a>> {
        let open = self.log.open.as_ref().zip(self.log_due);
        let role = self
            .log
            .schedule
            .as_ref()
            .map(|asked| asked.role.to_string());
        open.into_iter().map(move |(open, entry)| Late {
            since: open.overdue,
            entry,
            what: "a review of the log that nobody signed",
            waits_for: role.clone().unwrap_or_default(),
        })
    }
}

/// The seats of a record: who still has to sign it stands on its page.
fn roles(slots: &[lumos_domain::rules::Slot]) -> Vec<String> {
    slots.iter().map(|slot| slot.role.to_string()).collect()
}
