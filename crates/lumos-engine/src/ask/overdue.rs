//! What waits beyond its time at the end of a period.

use std::collections::BTreeMap;

use jiff::Timestamp;
use lumos_domain::{event::Event, log_review::LogReview, stream::Stream};

use super::{Answer, Cell, Period, Table};
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

/// The answer on its way: what is open.
pub(super) struct Overdue {
    period: Period,
    reviews: BTreeMap<Stream, Late>,
    proposals: BTreeMap<Stream, Late>,
    log: LogReview,
    /// The entry by which the review of the log became due.
    log_due: u64,
}

/// Something that should have happened by then.
struct Late {
    since: Timestamp,
    entry: u64,
    what: &'static str,
    waits_for: Vec<String>,
}

impl Late {
    fn row(self, of: &Stream, now: Timestamp) -> Vec<Cell> {
        let days = now.duration_since(self.since).as_secs() / DAY_S;
        vec![
            Cell::Time(self.since),
            Cell::Entry(self.entry),
            Cell::text(self.what),
            Cell::text(of),
            Cell::Text(self.waits_for.join(", ")),
            Cell::text(days),
            Cell::Holds(false),
        ]
    }
}

impl Overdue {
    pub(super) fn of(period: Period) -> Self {
        Self {
            period,
            reviews: BTreeMap::new(),
            proposals: BTreeMap::new(),
            log: LogReview::default(),
            log_due: 0,
        }
    }

    /// What it keeps.
    #[cfg(test)]
    pub(super) fn open(&self) -> usize {
        self.reviews.len() + self.proposals.len()
    }

    fn log(&self) -> Option<(Stream, Late)> {
        let open = self.log.open.as_ref()?;
        let role = self.log.schedule.iter().map(|asked| asked.role.to_string());
        let late = Late {
            since: open.overdue,
            entry: self.log_due,
            what: "a review of the log that nobody signed",
            waits_for: role.collect(),
        };
        Some((Stream::LogReview, late))
    }
}

impl Answer for Overdue {
    fn follow(&mut self, entry: &LedgerEntry) {
        let stream = &entry.stream;
        self.log.apply(&entry.event);
        match &entry.event {
            Event::ReviewOpened(e) => {
                if let Some(since) = e.due {
                    let late = Late {
                        since,
                        entry: entry.index,
                        what: "a review that nobody decided",
                        waits_for: roles(&e.record.slots),
                    };
                    self.reviews.insert(stream.clone(), late);
                }
            }
            Event::ReviewRecordChanged(e) => {
                if let Some(late) = self.reviews.get_mut(stream) {
                    late.waits_for = roles(&e.record.slots);
                }
            }
            Event::ReviewEscalated(e) => {
                if let Some(late) = self.reviews.get_mut(stream) {
                    late.waits_for.push(e.role.to_string());
                }
            }
            Event::ReviewClosed(_) | Event::ReleaseApproved(_) => {
                self.reviews.remove(stream);
            }
            // What nobody confirmed in time lapsed: it waits no more, and is told for as long as that is news.
            Event::ProposalMade(e) if e.until >= self.period.from => {
                let late = Late {
                    since: e.until,
                    entry: entry.index,
                    what: "a proposal that nobody settled: it lapsed",
                    waits_for: vec!["a second person".to_owned()],
                };
                self.proposals.insert(stream.clone(), late);
            }
            Event::ProposalConfirmed(_) | Event::ProposalDeclined(_) => {
                self.proposals.remove(stream);
            }
            Event::LogReviewDue(_) => self.log_due = entry.index,
            _ => {}
        }
    }

    fn table(self: Box<Self>) -> Table {
        let (log, now) = (self.log(), self.period.to);
        let open = self.reviews.into_iter().chain(log);
        let mut late: Vec<_> = open.chain(self.proposals).collect();
        late.retain(|(_, late)| late.since < now);
        late.sort_by_key(|(_, late)| (late.since, late.entry));
        Table {
            columns: COLUMNS,
            rows: late
                .into_iter()
                .map(|(of, late)| late.row(&of, now))
                .collect(),
        }
    }
}

/// The seats of a record: who still has to sign it stands on its page.
fn roles(slots: &[lumos_domain::rules::Slot]) -> Vec<String> {
    slots.iter().map(|slot| slot.role.to_string()).collect()
}
