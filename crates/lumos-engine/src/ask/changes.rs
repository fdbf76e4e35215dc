//! What came to run, and on whose word: the population of changes that an auditor samples from.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use lumos_domain::{
    actor::Actor,
    event::Event,
    facts::{ApprovalTuple, Assigned},
    id::{Digest, Environment, PersonId, ReleaseId, ReviewId},
    stream::Stream,
    words::Verdict,
};

use super::{Answer, Cell, Period, Table};
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

/// The answer on its way. Of each release it knows who wrote and who approved it, of each agent what it may use.
pub(super) struct Changes {
    period: Period,
    known: Known,
    rows: Vec<Changed>,
}

impl Changes {
    pub(super) fn of(period: Period) -> Self {
        Self {
            period,
            known: Known::default(),
            rows: Vec::new(),
        }
    }

    /// What came to run, what is wrong first.
    fn rows(mut self) -> Vec<Changed> {
        self.rows.sort_by_key(Changed::is_matched);
        self.rows
    }
}

impl Answer for Changes {
    fn follow(&mut self, entry: &LedgerEntry) {
        for change in self.known.follow(entry) {
            if self.period.holds(entry) {
                self.rows.push(self.known.row(entry, change));
            }
        }
    }

    fn table(self: Box<Self>) -> Table {
        Table {
            columns: COLUMNS,
            rows: self.rows().iter().map(cells).collect(),
        }
    }
}

/// A release that came to run, and on whose word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// The entry by which it came to run.
    pub entry: u64,
    /// When.
    pub time: Timestamp,
    /// Who did it.
    pub by: Actor,
    /// Where, in words: a model in an environment, or an agent.
    pub what: String,
    /// The environment.
    pub environment: Environment,
    /// The release.
    pub release: ReleaseId,
    /// Its digest, as it came to run.
    pub digest: Digest,
    /// The approval it rests on.
    pub approval: ReviewId,
    /// Whether that approval stood before it ran, and was not revoked.
    pub approved_before: bool,
    /// Whether no signer is an author or deployed it.
    pub by_others: bool,
    /// Whether what came to run is what was approved.
    pub same_digest: bool,
    /// How it was approved, if it was.
    pub approved: Option<Approved>,
    /// The people who wrote it, as far as they are known.
    pub authors: Vec<PersonId>,
}

/// How a release was approved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approved {
    /// The entry of the approval.
    pub entry: u64,
    /// Who signed; nobody, where a rule approved.
    pub by: Vec<PersonId>,
    /// Whether its depth asked for no signature.
    pub by_rule: bool,
}

impl Changed {
    /// Whether every check holds.
    #[must_use]
    pub const fn is_matched(&self) -> bool {
        self.approved_before && self.by_others && self.same_digest
    }
}

/// Everything that came to run in a period, in the order of the ledger but what is wrong first. `entries` are in order,
/// and hold what led to each change.
pub(crate) fn changed<'a>(
    entries: impl IntoIterator<Item = &'a LedgerEntry>,
    period: &Period,
) -> Vec<Changed> {
    let mut answer = Changes::of(*period);
    for entry in entries {
        answer.follow(entry);
    }
    answer.rows()
}

/// Something that came to run.
struct Change {
    what: String,
    environment: Environment,
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
                    environment: e.environment.clone(),
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
                    environment: id.environment.clone(),
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

    fn row(&self, entry: &LedgerEntry, change: Change) -> Changed {
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
        let same = |approval: &Approval| {
            (&approval.tuple.release, &approval.tuple.digest) == (&change.release, &change.digest)
        };
        let approved = |approval: &Approval| Approved {
            entry: approval.entry,
            by: approval.signers.iter().cloned().collect(),
            by_rule: approval.by_rule,
        };
        Changed {
            entry: entry.index,
            time: entry.time,
            by: entry.actor.clone(),
            approved_before: approval.is_some_and(|approval| !approval.revoked),
            by_others: approval.is_some_and(|approval| approval.signers.iter().all(is_other)),
            same_digest: approval.is_some_and(same),
            approved: approval.map(approved),
            authors: authors.into_iter().collect(),
            what: change.what,
            environment: change.environment,
            release: change.release,
            digest: change.digest,
            approval: change.approval,
        }
    }
}

fn cells(row: &Changed) -> Vec<Cell> {
    vec![
        Cell::Time(row.time),
        Cell::Entry(row.entry),
        Cell::Holds(row.approved_before),
        Cell::Holds(row.by_others),
        Cell::Holds(row.same_digest),
        Cell::text(&row.what),
        Cell::text(&row.release),
        Cell::Actor(row.by.clone()),
        row.approved
            .as_ref()
            .map_or(Cell::Nothing, |approved| Cell::Entry(approved.entry)),
        row.approved.as_ref().map_or(Cell::Nothing, approved_by),
        Cell::People(row.authors.clone()),
        Cell::text(&row.approval),
    ]
}

fn approved_by(approved: &Approved) -> Cell {
    if approved.by_rule {
        Cell::text("nobody: its depth is auto")
    } else {
        Cell::People(approved.by.clone())
    }
}
