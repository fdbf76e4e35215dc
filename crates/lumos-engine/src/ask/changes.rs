//! What came to run, and on whose word: the population of changes that an auditor samples from.

use std::collections::{BTreeMap, BTreeSet};

use lumos_domain::{
    actor::Actor,
    event::Event,
    facts::{ApprovalTuple, Assigned},
    id::{Digest, PersonId, ReleaseId, ReviewId},
    stream::Stream,
    words::Verdict,
};

use super::{Cell, Period, Table, is_wrong};
use crate::record::LedgerEntry;

pub(super) const KINDS: &[&str] = &[
    "lumos.candidate.detected.v1",
    "lumos.author.claimed.v1",
    "lumos.review.record_changed.v1",
    "lumos.review.signed.v1",
    "lumos.release.approved.v1",
    "lumos.approval.revoked.v1",
    "lumos.model.current_set.v1",
    "lumos.assignment.set.v1",
];

const COLUMNS: &[&str] = &[
    "when",
    "entry",
    "approved before",
    "by others",
    "same digest",
    "what",
    "release",
    "by",
    "approved at",
    "approved by",
    "authors",
    "approval",
];

pub(super) fn answer(entries: &[LedgerEntry], period: &Period) -> Table {
    let mut known = Known::default();
    let mut rows = Vec::new();
    for entry in entries {
        for change in known.follow(entry) {
            if period.holds(entry) {
                rows.push(known.row(entry, &change));
            }
        }
    }
    // What is wrong first, and otherwise in the order of the ledger.
    rows.sort_by_key(|row| !is_wrong(row));
    Table {
        columns: COLUMNS,
        rows,
    }
}

/// Something that came to run.
struct Change {
    what: String,
    release: ReleaseId,
    digest: Digest,
    approval: ReviewId,
}

#[derive(Default)]
struct Known {
    authors: BTreeMap<ReleaseId, BTreeSet<PersonId>>,
    /// Who approved what each review is about now.
    signers: BTreeMap<ReviewId, BTreeSet<PersonId>>,
    approvals: BTreeMap<ReviewId, Approval>,
    /// What each agent may use.
    assigned: BTreeMap<Stream, Vec<Assigned>>,
}

struct Approval {
    entry: u64,
    command_id: String,
    tuple: ApprovalTuple,
    signers: BTreeSet<PersonId>,
    by_rule: bool,
    revoked: bool,
}

impl Known {
    /// Takes an entry in; returns what came to run by it.
    fn follow(&mut self, entry: &LedgerEntry) -> Vec<Change> {
        match (&entry.stream, &entry.event) {
            (Stream::Release(release), Event::CandidateDetected(e)) => {
                let authors = self.authors.entry(release.clone()).or_default();
                authors.extend(e.submitter.clone());
            }
            (Stream::Release(release), Event::AuthorClaimed(e)) => {
                let authors = self.authors.entry(release.clone()).or_default();
                authors.insert(e.person.clone());
            }
            (Stream::Review(review), Event::ReviewRecordChanged(_)) => {
                self.signers.remove(review);
            }
            (Stream::Review(review), Event::Signed(e)) if e.verdict == Verdict::Approve => {
                let signers = self.signers.entry(review.clone()).or_default();
                signers.insert(e.person.clone());
            }
            (Stream::Review(review), Event::ReleaseApproved(e)) => {
                let approval = Approval {
                    entry: entry.index,
                    command_id: entry.command_id.clone(),
                    tuple: e.tuple.clone(),
                    signers: self.signers.get(review).cloned().unwrap_or_default(),
                    by_rule: e.auto.is_some(),
                    revoked: false,
                };
                self.approvals.insert(review.clone(), approval);
            }
            (Stream::Review(review), Event::ApprovalRevoked(_)) => {
                if let Some(approval) = self.approvals.get_mut(review) {
                    approval.revoked = true;
                }
            }
            (Stream::Model(model), Event::CurrentReleaseSet(e)) => {
                return vec![Change {
                    what: format!("{model} in {}", e.environment),
                    release: e.release.clone(),
                    digest: e.digest,
                    approval: e.approval.clone(),
                }];
            }
            (Stream::Assignment(id), Event::ReleasesAssigned(e)) => {
                let before = self
                    .assigned
                    .insert(entry.stream.clone(), e.releases.clone());
                let before = before.unwrap_or_default();
                let same = |new: &Assigned| {
                    let same = |old: &Assigned| {
                        (&old.release, &old.digest, &old.approval)
                            == (&new.release, &new.digest, &new.approval)
                    };
                    before.iter().any(same)
                };
                let new = e.releases.iter().filter(|assigned| !same(assigned));
                let change = |assigned: &Assigned| Change {
                    what: id.to_string(),
                    release: assigned.release.clone(),
                    digest: assigned.digest,
                    approval: assigned.approval.clone(),
                };
                return new.map(change).collect();
            }
            _ => {}
        }
        Vec::new()
    }

    fn row(&self, entry: &LedgerEntry, change: &Change) -> Vec<Cell> {
        let approval = self.approvals.get(&change.approval);
        let authors = self
            .authors
            .get(&change.release)
            .cloned()
            .unwrap_or_default();
        // What follows from the last signature at once is no deed of that signer.
        let follows = approval.is_some_and(|approval| approval.command_id == entry.command_id);
        let is_other = |signer: &PersonId| {
            let deployed = matches!(&entry.actor, Actor::Person(actor) if actor == signer);
            (follows || !deployed) && !authors.contains(signer)
        };
        let before = approval.is_some_and(|approval| !approval.revoked);
        let others = approval.is_some_and(|approval| approval.signers.iter().all(is_other));
        let same = approval.is_some_and(|approval| {
            (&approval.tuple.release, &approval.tuple.digest) == (&change.release, &change.digest)
        });
        vec![
            Cell::Time(entry.time),
            Cell::Entry(entry.index),
            Cell::Holds(before),
            Cell::Holds(others),
            Cell::Holds(same),
            Cell::text(&change.what),
            Cell::text(&change.release),
            Cell::Actor(entry.actor.clone()),
            approval.map_or(Cell::Nothing, |approval| Cell::Entry(approval.entry)),
            approval.map_or(Cell::Nothing, approved_by),
            Cell::People(authors.into_iter().collect()),
            Cell::text(&change.approval),
        ]
    }
}

fn approved_by(approval: &Approval) -> Cell {
    if approval.by_rule {
        Cell::text("nobody: its depth is auto")
    } else {
        Cell::People(approval.signers.iter().cloned().collect())
    }
}
