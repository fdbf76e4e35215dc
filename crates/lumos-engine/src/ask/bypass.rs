//! What went past the ordinary way, with fewer people or weaker rules.

use std::collections::BTreeMap;

use lumos_domain::{
    event::{Event, ProposalMade},
    id::ProposalId,
    proposal::Governed,
    stream::Stream,
    words::Mode,
};

use super::{Cell, Period, Table};
use crate::record::LedgerEntry;

pub(super) const KINDS: &[&str] = &[
    "lumos.mode.set.v1",
    "lumos.denial.recorded.v1",
    "lumos.release.approved.v1",
    "lumos.proposal.made.v1",
    "lumos.proposal.confirmed.v1",
    "lumos.system.resumed.v1",
    "lumos.sandbox.left.v1",
];

const COLUMNS: &[&str] = &["when", "entry", "what", "where", "by", "and", "until"];

pub(super) fn answer(entries: &[LedgerEntry], period: &Period) -> Table {
    let mut made: BTreeMap<&ProposalId, &ProposalMade> = BTreeMap::new();
    let mut rows = Vec::new();
    for entry in entries {
        if let (Stream::Proposal(id), Event::ProposalMade(e)) = (&entry.stream, &entry.event) {
            made.insert(id, e);
        }
        if period.holds(entry)
            && let Some((what, place, first, until)) = passed(entry, &made)
        {
            rows.push(vec![
                Cell::Time(entry.time),
                Cell::Entry(entry.index),
                Cell::Text(what),
                Cell::Text(place),
                Cell::Actor(entry.actor.clone()),
                first,
                until,
            ]);
        }
    }
    Table {
        columns: COLUMNS,
        rows,
    }
}

/// What passed, where, who asked for it first, and until when.
fn passed(
    entry: &LedgerEntry,
    made: &BTreeMap<&ProposalId, &ProposalMade>,
) -> Option<(String, String, Cell, Cell)> {
    let on = || entry.stream.to_string();
    Some(match (&entry.stream, &entry.event) {
        (_, Event::ModeSet(e)) if e.mode == Mode::Observe => (
            "denials only observed".to_owned(),
            format!("{} in {}", String::from(e.scope.clone()), e.environment),
            Cell::Nothing,
            e.until.map_or(Cell::Nothing, Cell::Time),
        ),
        (_, Event::DenialRecorded(e)) if e.mode == Mode::Observe => (
            format!("a denial that was only observed: {}", e.reason),
            format!("{} in {}", e.agent, e.environment),
            Cell::Nothing,
            Cell::Nothing,
        ),
        (_, Event::ReleaseApproved(e)) if e.tuple.sandbox || e.auto.is_some() => {
            let how = if e.tuple.sandbox {
                "approved in a sandbox"
            } else {
                "approved by its depth, without people"
            };
            let expires = Cell::Time(e.tuple.expires);
            (how.to_owned(), on(), Cell::Nothing, expires)
        }
        (Stream::Proposal(id), Event::ProposalConfirmed(e)) => {
            let change = made.get(id).map(|made| name(&made.change));
            let change = change.unwrap_or_else(on);
            let first = Cell::People(vec![e.first.clone()]);
            (
                "loosened by two people".to_owned(),
                change,
                first,
                Cell::Nothing,
            )
        }
        (_, Event::SystemResumed(e)) => {
            let first = Cell::People(vec![e.first.clone()]);
            (
                "a stopped system runs again".to_owned(),
                on(),
                first,
                Cell::Nothing,
            )
        }
        (_, Event::SandboxLeft(_)) => (
            "the sandbox was left; its approvals ended".to_owned(),
            on(),
            Cell::Nothing,
            Cell::Nothing,
        ),
        _ => return None,
    })
}

/// What a change is called in the ledger, with blanks: its values stand in the entries before the confirmation.
fn name(change: &Governed) -> String {
    let value = serde_json::to_value(change).unwrap_or_default();
    let kind = value.as_object().and_then(|change| change.keys().next());
    kind.map_or_else(|| "a change".to_owned(), |kind| kind.replace('_', " "))
}
