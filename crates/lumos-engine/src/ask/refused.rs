//! What was refused.

use lumos_domain::{event::Event, words::Verdict};

use super::{Cell, Period, Table, listed};
use crate::record::LedgerEntry;

pub(super) const KINDS: &[&str] = &[
    "lumos.review.signed.v1",
    "lumos.review.paused.v1",
    "lumos.review.closed.v1",
    "lumos.denial.recorded.v1",
    "lumos.proposal.declined.v1",
    "lumos.release.digest_conflict_found.v1",
    "lumos.release.acquisition_failed.v1",
];

const COLUMNS: &[&str] = &["when", "entry", "what", "of", "by", "why"];

pub(super) fn answer(entries: &[LedgerEntry], period: &Period) -> Table {
    listed(COLUMNS, entries, period, row)
}

fn row(entry: &LedgerEntry) -> Option<Vec<Cell>> {
    let (what, why) = match &entry.event {
        Event::Signed(e) if e.verdict != Verdict::Approve => {
            ("a signature", e.verdict.as_str().replace('_', " "))
        }
        Event::ReviewPaused(e) => (
            "a review paused",
            format!("critical gaps: {}", e.rules.join(", ")),
        ),
        Event::ReviewClosed(e) => ("a review ended", e.cause.as_str().to_owned()),
        Event::DenialRecorded(e) => (
            "a run",
            format!(
                "{} asked for {} {} in {}: {} ({})",
                e.agent, e.model, e.wanted, e.environment, e.reason, e.mode
            ),
        ),
        Event::ProposalDeclined(_) => ("a proposal", "declined".to_owned()),
        Event::DigestConflictFound(e) => (
            "other bytes",
            format!("under a version that is known: {}", e.found),
        ),
        Event::AcquisitionFailed(e) => ("a fetch", e.problem.clone()),
        _ => return None,
    };
    Some(vec![
        Cell::Time(entry.time),
        Cell::Entry(entry.index),
        Cell::text(what),
        Cell::text(&entry.stream),
        Cell::Actor(entry.actor.clone()),
        Cell::Text(why),
    ])
}
