//! What there is to examine in a range of the log: how often what happened, who acted, and who changed the house itself.
//! The record of it is what a signer signs; anybody who has the entries makes the same one again.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;

use crate::{
    actor::Actor,
    canonical,
    event::Event,
    id::{Digest, PersonId},
    stream::Stream,
    words::{Matter, Verdict},
};

/// Entries `from..size` of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// The index of the first one.
    pub from: u64,
    /// The index after the last one: the size of the checkpoint that the range ends at.
    pub size: u64,
}

/// What it is called where people read it.
#[must_use]
pub const fn called(matter: Matter) -> &'static str {
    match matter {
        Matter::People => "people and what they may do",
        Matter::Rules => "rules, models and systems",
        Matter::Keys => "keys of the ledger",
        Matter::Retention => "retention, holds and erasures",
        Matter::Clock => "the clock",
        Matter::Exceptions => "exceptions",
        Matter::Refusals => "refusals",
        Matter::Readings => "bulk readings and exports",
        Matter::Starts => "starts and settings",
        Matter::Releases => "releases on their way",
    }
}

/// What kind of thing `event` by `actor` is. What nobody has put anywhere counts as a change of rules: looked at first, and never
/// examined by whoever did it.
#[must_use]
pub fn matter(actor: &Actor, event: &Event) -> Matter {
    match event {
        Event::PersonAdded(_)
        | Event::PersonSuspended(_)
        | Event::RoleGranted(_)
        | Event::RoleRevoked(_)
        | Event::CredentialSet(_)
        | Event::TokenIssued(_)
        | Event::TokenRevoked(_) => Matter::People,
        Event::KeyAdopted(_)
        | Event::KeyCreated(_)
        | Event::KeyRotated(_)
        | Event::KeyRevoked(_) => Matter::Keys,
        Event::RetentionSet(_)
        | Event::HoldSet(_)
        | Event::HoldLifted(_)
        | Event::ErasureRequested(_)
        | Event::ErasurePostponed(_)
        | Event::ErasureWithdrawn(_)
        | Event::ErasureCarriedOut(_) => Matter::Retention,
        Event::ClockSourceNamed(_) | Event::ClockStepped(_) => Matter::Clock,
        Event::GenesisRecorded(_) | Event::StartRecorded(_) | Event::LedgerReread(_) => {
            Matter::Starts
        }
        Event::ReadingRecorded(_) => Matter::Readings,
        other => on_the_way(actor, other),
    }
}

/// The same, of releases, of what runs, and of rules.
fn on_the_way(actor: &Actor, event: &Event) -> Matter {
    match event {
        // Their ordinary way is that LUMOS carries out what was approved.
        Event::ReleasesAssigned(_) if !matches!(actor, Actor::Agent(_)) => Matter::Exceptions,
        Event::SandboxLeft(_)
        | Event::SystemStopped(_)
        | Event::SystemResumed(_)
        | Event::ResumeRequested(_)
        | Event::ApprovalRevoked(_) => Matter::Exceptions,
        Event::ReleaseApproved(e) if e.tuple.sandbox || e.auto.is_some() => Matter::Exceptions,
        Event::Signed(e) if e.verdict != Verdict::Approve => Matter::Refusals,
        Event::DenialRecorded(_)
        | Event::DigestConflictFound(_)
        | Event::AcquisitionFailed(_)
        | Event::ReviewPaused(_)
        | Event::ReviewClosed(_)
        | Event::PromotionFailed(_) => Matter::Refusals,
        Event::CurrentReleaseSet(_)
        | Event::CandidateDetected(_)
        | Event::ReleaseIdentified(_)
        | Event::AuthorClaimed(_)
        | Event::ReleaseWithdrawn(_)
        | Event::GateRequested(_)
        | Event::ReportRecorded(_)
        | Event::ReviewStarted(_)
        | Event::PromotionIntended(_)
        | Event::PromotionObserved(_)
        | Event::EvidenceRecorded(_)
        | Event::ReviewOpened(_)
        | Event::ReviewRecordChanged(_)
        | Event::ReviewEscalated(_)
        | Event::Signed(_)
        | Event::Remarked(_)
        | Event::ReleaseApproved(_)
        | Event::ApprovalExpired(_)
        | Event::ReleasesAssigned(_) => Matter::Releases,
        _ => Matter::Rules,
    }
}

/// How many entries of each matter are named.
const NAMED: usize = 10;

/// What somebody did to the house itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// The index of the entry.
    pub entry: u64,
    /// What kind of thing it was.
    pub matter: Matter,
}

/// What happened in a range of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    span: Span,
    root: Digest,
    first: Timestamp,
    until: Timestamp,
    kinds: BTreeMap<&'static str, u64>,
    matters: BTreeMap<Matter, u64>,
    /// The first entries of each matter but releases on their way.
    named: BTreeMap<Matter, Vec<u64>>,
    actors: BTreeMap<Actor, u64>,
    /// The first thing that each person did to the house.
    acts: BTreeMap<PersonId, Act>,
    /// What the last entry was about: a confirmation stands right behind what it confirms.
    before: Matter,
    /// Since when the last review that became due in this range was due.
    due: Option<Timestamp>,
}

impl Examined {
    /// The range ending at the tree with this root, before any entry of it was looked at.
    #[must_use]
    pub const fn new(span: Span, root: Digest) -> Self {
        Self {
            span,
            root,
            first: Timestamp::MAX,
            until: Timestamp::MIN,
            kinds: BTreeMap::new(),
            matters: BTreeMap::new(),
            named: BTreeMap::new(),
            actors: BTreeMap::new(),
            acts: BTreeMap::new(),
            before: Matter::Rules,
            due: None,
        }
    }

    /// The same range, before the entries up to another end of it are looked at too.
    #[must_use]
    pub fn onward(&self, size: u64, root: Digest) -> Self {
        let mut further = self.clone();
        further.span.size = size;
        further.root = root;
        further
    }

    /// Takes in the next entry of the range.
    pub fn add(
        &mut self,
        entry: u64,
        time: Timestamp,
        actor: &Actor,
        stream: &Stream,
        event: &Event,
    ) {
        let matter = matter(actor, event);
        self.first = self.first.min(time);
        self.until = self.until.max(time);
        *self.kinds.entry(event.kind()).or_default() += 1;
        *self.matters.entry(matter).or_default() += 1;
        *self.actors.entry(actor.clone()).or_default() += 1;
        if matter != Matter::Releases {
            let named = self.named.entry(matter).or_default();
            if named.len() < NAMED {
                named.push(entry);
            }
        }
        if let Event::LogReviewDue(e) = event {
            self.due = Some(e.since);
        }
        if is_of_the_house(actor, stream, event) {
            let acted = match actor {
                Actor::Person(id) => Some(id),
                Actor::Genesis | Actor::Clock | Actor::Agent(_) | Actor::Service(_) => None,
            };
            let first = match event {
                Event::ProposalConfirmed(e) => Some(&e.first),
                Event::SystemResumed(e) => Some(&e.first),
                _ => None,
            };
            let matter = match event {
                Event::ProposalConfirmed(_) => self.before,
                _ => matter,
            };
            for person in acted.into_iter().chain(first) {
                let act = || Act { entry, matter };
                self.acts.entry(person.clone()).or_insert_with(act);
            }
        }
        self.before = matter;
    }

    /// The range.
    #[must_use]
    pub const fn span(&self) -> Span {
        self.span
    }

    /// The root hash of the tree that the range ends at.
    #[must_use]
    pub const fn root(&self) -> Digest {
        self.root
    }

    /// When the first entry was written.
    #[must_use]
    pub const fn first(&self) -> Timestamp {
        self.first
    }

    /// When the last entry was written.
    #[must_use]
    pub const fn until(&self) -> Timestamp {
        self.until
    }

    /// How many entries there are of each type.
    #[must_use]
    pub const fn kinds(&self) -> &BTreeMap<&'static str, u64> {
        &self.kinds
    }

    /// How many entries there are of each kind of thing.
    #[must_use]
    pub const fn matters(&self) -> &BTreeMap<Matter, u64> {
        &self.matters
    }

    /// The first entries of a matter, by index.
    #[must_use]
    pub fn named(&self, matter: Matter) -> &[u64] {
        self.named.get(&matter).map_or(&[], Vec::as_slice)
    }

    /// How many entries each led to.
    #[must_use]
    pub const fn actors(&self) -> &BTreeMap<Actor, u64> {
        &self.actors
    }

    /// The first thing that `person` did to the house in this range, if they did anything to it: then somebody else
    /// examines it.
    #[must_use]
    pub fn act_of(&self, person: &PersonId) -> Option<&Act> {
        self.acts.get(person)
    }

    /// Since when the last review that became due in this range was due.
    pub(super) const fn due_since(&self) -> Option<Timestamp> {
        self.due
    }

    /// SHA-256 of the record of what there is to examine: canonical JSON (RFC 8785) with `from`, `size`, `root` (hex),
    /// the times of the first and the last entry, and how many entries there are by `type` and by `actor`. Whoever signs
    /// names it, and so was shown it.
    #[must_use]
    pub fn record(&self) -> Digest {
        let actors: BTreeMap<String, u64> = self
            .actors
            .iter()
            .map(|(actor, count)| (actor.to_string(), *count))
            .collect();
        let record = json!({
            "actors": actors,
            "first": self.first,
            "from": self.span.from,
            "root": self.root.hex(),
            "size": self.span.size,
            "types": self.kinds,
            "until": self.until,
        });
        let bytes = canonical::to_bytes(&record)
            .expect("because such a record holds no floats and serialises as plain data");
        Digest::of(&bytes)
    }
}

/// Whether the entry is something that a person did to the house, not to a release on its way: such as accounts of
/// others, rules, keys and periods. One's own password and tokens are everybody's own business, and what was only
/// proposed changed nothing.
fn is_of_the_house(actor: &Actor, stream: &Stream, event: &Event) -> bool {
    if let (Stream::Person(whose), Actor::Person(by)) = (stream, actor)
        && matches!(
            event,
            Event::CredentialSet(_) | Event::TokenIssued(_) | Event::TokenRevoked(_)
        )
    {
        return whose != by;
    }
    match matter(actor, event) {
        Matter::People | Matter::Keys | Matter::Retention => true,
        Matter::Rules => !matches!(
            event,
            Event::ProposalMade(_) | Event::ProposalDeclined(_) | Event::LogReviewed(_)
        ),
        Matter::Exceptions => matches!(event, Event::SandboxLeft(_) | Event::SystemResumed(_)),
        Matter::Clock | Matter::Refusals | Matter::Readings | Matter::Starts | Matter::Releases => {
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        actor::OwnAgent,
        event::{ClockSourceNamed, PersonSuspended, ReleasesAssigned, SandboxLeft},
        seal::SealedValue,
    };

    /// What `docs/formats/events.md` says, by hand.
    #[test]
    fn the_record_is_what_anybody_makes_of_the_entries() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let span = Span { from: 7, size: 9 };
        let mut examined = Examined::new(span, Digest::from_bytes([0xab; 32]));
        let named = ClockSourceNamed {
            source: "ntp".to_owned(),
        };
        let reason = SealedValue::new([0; 32], "left".to_owned()).commitment;
        let ada = Actor::Person("p-ada".parse().unwrap());
        let (early, late) = (at("2026-03-02T09:00:00Z"), at("2026-03-02T10:00:00.5Z"));
        let whose = Stream::Person("p-ben".parse().unwrap());
        examined.add(7, early, &Actor::Clock, &Stream::Org, &named.into());
        examined.add(8, late, &ada, &whose, &PersonSuspended { reason }.into());
        let by_hand = format!(
            concat!(
                r#"{{"actors":{{"clock":1,"person/p-ada":1}},"first":"2026-03-02T09:00:00Z","from":7,"root":"{}","#,
                r#""size":9,"types":{{"lumos.clock.source_named.v1":1,"lumos.person.suspended.v1":1}},"#,
                r#""until":"2026-03-02T10:00:00.5Z"}}"#
            ),
            "ab".repeat(32)
        );
        assert_eq!(examined.record(), Digest::of(by_hand.as_bytes()));
        let act = examined.act_of(&"p-ada".parse().unwrap()).unwrap();
        assert_eq!((act.entry, act.matter), (8, Matter::People));
    }

    #[test]
    fn what_a_person_lets_run_by_hand_is_an_exception() {
        let set = Event::from(ReleasesAssigned { releases: vec![] });
        let carried_out = Actor::Agent(OwnAgent::ApprovalOrchestrator);
        assert_eq!(matter(&carried_out, &set), Matter::Releases);
        let by_hand = Actor::Person("p-ada".parse().unwrap());
        assert_eq!(matter(&by_hand, &set), Matter::Exceptions);
    }

    #[test]
    fn many_entries_of_a_matter_are_counted_and_the_first_are_named() {
        let span = Span { from: 0, size: 99 };
        let mut examined = Examined::new(span, Digest::of(b"root"));
        let left = SandboxLeft {
            founder: "p-ben".parse().unwrap(),
        };
        let left = Event::from(left);
        for entry in 0..99 {
            let time = Timestamp::UNIX_EPOCH;
            examined.add(entry, time, &Actor::Clock, &Stream::Org, &left);
        }
        assert_eq!(examined.matters()[&Matter::Exceptions], 99);
        assert_eq!(examined.named(Matter::Exceptions).len(), NAMED);
        assert!(examined.named(Matter::Keys).is_empty());
    }
}
