//! Where a person stands in the ledger: which records name them, since when each is no longer in effect, and which
//! sealed values are theirs.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::{
    actor::Actor,
    event::Event,
    id::{Digest, PersonId},
    proposal::Governed,
    seal::Sealed,
    stream::Stream,
    words::RecordClass,
};

/// An entry of one stream, as erasure looks at it.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// When it was written.
    pub time: Timestamp,
    /// Who acted.
    pub actor: &'a Actor,
    /// What happened.
    pub event: &'a Event,
}

/// A stream in which a person is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The stream.
    pub stream: Stream,
    /// Its class.
    pub class: RecordClass,
    /// Since when it is no longer in effect, as far as it names them; `None` while it is.
    pub ended: Option<Timestamp>,
}

/// Everything that names one person.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Records {
    streams: Vec<Record>,
    values: BTreeSet<Sealed>,
}

impl Records {
    /// Takes in one whole stream, in order.
    pub fn add(&mut self, person: &PersonId, stream: &Stream, entries: &[Entry<'_>]) {
        let own = matches!(stream, Stream::Person(id) if id == person);
        let named = |entry: &&Entry<'_>| own || names(entry.actor, entry.event).contains(person);
        if let Some(last) = entries.iter().rfind(named) {
            self.streams.push(Record {
                stream: stream.clone(),
                class: class(stream),
                ended: ended(person, stream, entries, last.time),
            });
        }
        for entry in entries {
            if own || is_about(person, entry.event) || is_own_words(person, entry) {
                self.values.extend(sealed(entry.event));
            }
        }
        self.values.extend(claims(person, entries));
    }

    /// The streams that name them.
    #[must_use]
    pub fn of_streams(&self) -> &[Record] {
        &self.streams
    }

    /// What is erased: their name, login, password and token hashes, everything said in their account, the author
    /// claims they took, and their own words in reviews, withdrawals, stops and proposals. What they wrote about
    /// things, such as the purpose of a model, stays: the thing goes on.
    #[must_use]
    pub const fn values(&self) -> &BTreeSet<Sealed> {
        &self.values
    }

    /// SHA-256 of the commitments of [`Self::values`]: 64 hex digits and a line feed each, in order.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let lines: String = self.values.iter().map(|s| s.hex() + "\n").collect();
        Digest::of(lines.as_bytes())
    }
}

const fn class(stream: &Stream) -> RecordClass {
    match stream {
        Stream::Person(_) => RecordClass::Account,
        Stream::Review(_) | Stream::Assignment(_) | Stream::LogReview => RecordClass::Decision,
        Stream::Org
        | Stream::System(_)
        | Stream::Bundle(_)
        | Stream::Proposal(_)
        | Stream::Keys => RecordClass::Governance,
        Stream::Model(_) | Stream::Release(_) | Stream::Subject(_) => RecordClass::TechnicalFile,
        Stream::Denials(_) | Stream::Readings(_) => RecordClass::Log,
    }
}

/// Since when the stream is not in effect any more in what it says of the person; `last` is when it named them last.
fn ended(
    person: &PersonId,
    stream: &Stream,
    entries: &[Entry<'_>],
    last: Timestamp,
) -> Option<Timestamp> {
    let whole = entries.last().map_or(last, |entry| entry.time);
    match stream {
        Stream::Review(_) => review_ended(entries).map(|ended| ended.max(last)),
        // What runs of a release goes on in its stream.
        Stream::Release(_) | Stream::Subject(_) | Stream::Proposal(_) => Some(whole),
        Stream::Model(_) | Stream::System(_) if owns(person, entries) => None,
        Stream::Org
        | Stream::Keys
        | Stream::LogReview
        | Stream::Bundle(_)
        | Stream::Assignment(_)
        | Stream::Model(_)
        | Stream::System(_) => rules_ended(person, entries, last),
        Stream::Person(id) if id == person => entries
            .iter()
            .rfind(|entry| matches!(entry.event, Event::PersonSuspended(_)))
            .map(|entry| entry.time),
        Stream::Person(_) | Stream::Denials(_) | Stream::Readings(_) => Some(last),
    }
}

/// When a review ended, or the approval that it ended in; `None` while it is open.
fn review_ended(entries: &[Entry<'_>]) -> Option<Timestamp> {
    let mut ended = None;
    for entry in entries {
        match entry.event {
            Event::ReleaseApproved(e) => ended = Some(e.tuple.expires),
            Event::ReviewClosed(_) | Event::ApprovalRevoked(_) => ended = Some(entry.time),
            _ => {}
        }
    }
    ended
}

/// Whether the person owns the model, its data, or the system.
fn owns(person: &PersonId, entries: &[Entry<'_>]) -> bool {
    let owners = entries.iter().rev().find_map(|entry| match entry.event {
        Event::ModelRegistered(e) => Some((&e.owner, e.data_owner.as_ref())),
        Event::SystemDefined(e) => Some((&e.owner, None)),
        _ => None,
    });
    owners.is_some_and(|(owner, data)| owner == person || data == Some(person))
}

/// When the last of what the person set was replaced, or `last`; `None` while something they set is in force.
fn rules_ended(person: &PersonId, entries: &[Entry<'_>], last: Timestamp) -> Option<Timestamp> {
    let mut in_force: BTreeMap<String, bool> = BTreeMap::new();
    let mut ended = last;
    for entry in entries {
        let theirs = matches!(entry.actor, Actor::Person(id) | Actor::Service(id) if id == person);
        let replaced = match entry.event {
            Event::HoldLifted(lifted) => in_force.remove(&format!("hold {}", lifted.hold)),
            event => rule(event).and_then(|what| in_force.insert(what, theirs)),
        };
        if replaced == Some(true) {
            ended = ended.max(entry.time);
        }
    }
    let any = in_force.into_values().any(|theirs| theirs);
    (!any).then_some(ended)
}

/// What a rule in force is about; a later one about the same replaces it.
fn rule(event: &Event) -> Option<String> {
    Some(match event {
        Event::GateDefined(e) => format!("gate {}", e.gate.environment),
        Event::ReviewRulesSet(_) => "review rules".to_owned(),
        Event::RoleDefined(e) => format!("role {}", e.role),
        Event::RetentionSet(e) => format!("retention {}", e.class),
        Event::HoldSet(e) => format!("hold {}", e.hold),
        Event::OutsideAgentDefined(e) => format!("agent {}", e.agent),
        Event::BundlePublished(e) => format!("bundle {}", e.bundle.name),
        Event::ReleasesAssigned(_) => "assignment".to_owned(),
        Event::ModelRegistered(_) => "model".to_owned(),
        Event::ModelTierSet(_) => "tier".to_owned(),
        Event::ModelBound(e) => format!(
            "{} {} {}",
            e.binding.registry, e.binding.name, e.binding.environment
        ),
        Event::SystemDefined(_) => "system".to_owned(),
        Event::KeyRotated(_) => "signing key".to_owned(),
        Event::LogReviewSet(_) => "log review".to_owned(),
        _ => return None,
    })
}

/// The people whose names stand in an entry: who acted, and whom it names. An erasure and a hold are no records of
/// the person they are about, or asking would put off what is asked for.
#[must_use]
pub fn names(actor: &Actor, event: &Event) -> BTreeSet<PersonId> {
    let acting = match actor {
        Actor::Person(id) | Actor::Service(id) => Some(id),
        Actor::Genesis | Actor::Clock | Actor::Agent(_) => None,
    };
    let named: Vec<&PersonId> = match event {
        Event::GenesisRecorded(e) => e.founders.iter().collect(),
        Event::SandboxLeft(e) => vec![&e.founder],
        Event::ModelRegistered(e) => [&e.owner].into_iter().chain(&e.data_owner).collect(),
        Event::CandidateDetected(e) => e.submitter.iter().collect(),
        Event::AuthorClaimed(e) => vec![&e.person],
        Event::Signed(e) => vec![&e.person],
        Event::LogReviewed(e) => vec![&e.person],
        Event::SystemDefined(e) => vec![&e.owner],
        Event::OutsideAgentDefined(e) => vec![&e.account],
        Event::SystemResumed(e) => vec![&e.first],
        Event::ResumeRequested(e) => vec![&e.person],
        Event::ProposalMade(e) => [&e.person].into_iter().chain(proposed(&e.change)).collect(),
        Event::ProposalConfirmed(e) => vec![&e.first],
        _ => Vec::new(),
    };
    acting.into_iter().chain(named).cloned().collect()
}

/// The people whom a change makes something of.
fn proposed(change: &Governed) -> Vec<&PersonId> {
    match change {
        Governed::GrantRole { person, .. } | Governed::SetCredential { person, .. } => vec![person],
        Governed::IssueToken(issue) => vec![&issue.person],
        Governed::RegisterModel(register) => {
            let owner = [&register.facts.owner].into_iter();
            owner.chain(&register.facts.data_owner).collect()
        }
        Governed::DefineSystem(define) => vec![&define.facts.owner],
        Governed::DefineOutsideAgent(define) => vec![&define.account],
        _ => Vec::new(),
    }
}

/// Whether the entry proposes something about the account of the person.
fn is_about(person: &PersonId, event: &Event) -> bool {
    let Event::ProposalMade(made) = event else {
        return false;
    };
    match &made.change {
        Governed::GrantRole { person: whose, .. }
        | Governed::SetCredential { person: whose, .. }
        | Governed::ErasePerson { person: whose, .. } => whose == person,
        Governed::IssueToken(issue) => issue.person == *person,
        _ => false,
    }
}

/// Whether the sealed text of the entry is what the person said, and about nothing that goes on without them.
fn is_own_words(person: &PersonId, entry: &Entry<'_>) -> bool {
    let theirs = matches!(entry.actor, Actor::Person(id) if id == person);
    theirs
        && matches!(
            entry.event,
            Event::Signed(_)
                | Event::LogReviewed(_)
                | Event::Remarked(_)
                | Event::ApprovalRevoked(_)
                | Event::ReleaseWithdrawn(_)
                | Event::SystemStopped(_)
                | Event::SystemResumed(_)
                | Event::ResumeRequested(_)
                | Event::ProposalDeclined(_)
                | Event::PersonSuspended(_)
        )
}

/// The author claims of a release that the person took: each is their name as a registry has it.
fn claims(person: &PersonId, entries: &[Entry<'_>]) -> Vec<Sealed> {
    let taken = entries.iter().filter_map(|entry| match entry.event {
        Event::AuthorClaimed(e) if e.person == *person => Some(e.claim),
        _ => None,
    });
    let taken: BTreeSet<u32> = taken.collect();
    let stated = entries.iter().flat_map(|entry| match entry.event {
        Event::CandidateDetected(e) => e.claims.as_slice(),
        _ => &[],
    });
    let stated = stated.filter(|claim| taken.contains(&claim.number));
    stated.map(|claim| claim.identity).collect()
}

/// Every sealed field of an event.
#[must_use]
pub fn sealed(event: &Event) -> Vec<Sealed> {
    fn walk(value: &serde_json::Value, into: &mut Vec<Sealed>) {
        if let Ok(sealed) = serde_json::from_value(value.clone()) {
            into.push(sealed);
            return;
        }
        match value {
            serde_json::Value::Array(items) => items.iter().for_each(|item| walk(item, into)),
            serde_json::Value::Object(fields) => fields.values().for_each(|item| walk(item, into)),
            _ => {}
        }
    }
    let mut all = Vec::new();
    let json = event.to_json().unwrap_or_default();
    walk(&serde_json::from_str(&json).unwrap_or_default(), &mut all);
    all
}
