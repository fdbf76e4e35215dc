//! What a decision may look at. A rule asks the world for a stream; when it is not loaded the rule stops
//! with [`Need`], the engine loads it and asks again. So the read set of a decision is exactly what it
//! looked at, and nobody lists it by hand (docs/decisions/0002).

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    erasure::Records,
    event::Event,
    id::{
        AssignmentId, BundleName, Digest, ModelName, PersonId, ProposalId, ReleaseId, ReviewId,
        SystemName,
    },
    keys::Keys,
    log_review::{Examined, LogReview, Span},
    manifest::Manifest,
    model::{Bundle, Model},
    org::Org,
    person::Person,
    proposal::Proposal,
    refusal::Refusal,
    release::{Release, Subject},
    review::Review,
    stream::Stream,
    system::{Assignment, System},
};

/// What `decide` answers: events, each with the stream it goes to.
pub type Decided = Vec<(Stream, Event)>;

/// Something that must be loaded before the question can be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// A stream, from its first entry.
    Stream(Stream),
    /// The manifest with this digest.
    Manifest(Digest),
    /// Everything that names this person.
    Records(PersonId),
    /// What happened in this range of the log.
    Examined(Span),
}

/// Why a rule stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Halt {
    /// Load this and ask again.
    Need(Need),
    /// No.
    Refused(Refusal),
}

impl From<Refusal> for Halt {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

#[derive(Debug, Clone)]
enum State {
    Org(Org),
    Person(Person),
    Model(Model),
    Subject(Subject),
    Release(Release),
    Review(Box<Review>),
    System(System),
    Assignment(Assignment),
    Bundle(Bundle),
    Proposal(Box<Proposal>),
    Keys(Box<Keys>),
    LogReview(LogReview),
    /// What is only counted: nothing is decided from it.
    Counted,
}

impl State {
    fn empty(stream: &Stream) -> Self {
        match stream {
            Stream::Org => Self::Org(Org::default()),
            Stream::Person(_) => Self::Person(Person::default()),
            Stream::Model(_) => Self::Model(Model::default()),
            Stream::Subject(_) => Self::Subject(Subject::default()),
            Stream::Release(_) => Self::Release(Release::default()),
            Stream::Review(_) => Self::Review(Box::default()),
            Stream::System(_) => Self::System(System::default()),
            Stream::Assignment(_) => Self::Assignment(Assignment::default()),
            Stream::Bundle(_) => Self::Bundle(Bundle::default()),
            Stream::Proposal(_) => Self::Proposal(Box::default()),
            Stream::Keys => Self::Keys(Box::default()),
            Stream::LogReview => Self::LogReview(LogReview::default()),
            Stream::Denials(_) | Stream::Readings(_) => Self::Counted,
        }
    }

    fn apply(&mut self, event: &Event) {
        match self {
            Self::Org(state) => state.apply(event),
            Self::Person(state) => state.apply(event),
            Self::Model(state) => state.apply(event),
            Self::Subject(state) => state.apply(event),
            Self::Release(state) => state.apply(event),
            Self::Review(state) => state.apply(event),
            Self::System(state) => state.apply(event),
            Self::Assignment(state) => state.apply(event),
            Self::Bundle(state) => state.apply(event),
            Self::Proposal(state) => state.apply(event),
            Self::Keys(state) => state.apply(event),
            Self::LogReview(state) => state.apply(event),
            Self::Counted => {}
        }
    }
}

/// A stream as it was loaded, folded into its state.
#[derive(Debug, Clone)]
struct Loaded {
    base: u64,
    version: u64,
    state: State,
}

/// The part of governed state that a decision has looked at so far.
#[derive(Debug, Clone, Default)]
pub struct World {
    streams: BTreeMap<Stream, Loaded>,
    manifests: BTreeMap<Digest, Manifest>,
    records: BTreeMap<PersonId, Records>,
    examined: BTreeMap<Span, Arc<Examined>>,
}

macro_rules! accessors {
    ($($(#[$doc:meta])* $name:ident($id:ty) -> $state:ident = $variant:ident;)*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        /// [`Halt::Need`] when it is not loaded yet.
        pub fn $name(&self, id: &$id) -> Result<&$state, Halt> {
            let stream = Stream::$variant(id.clone());
            match self.streams.get(&stream) {
                Some(Loaded { state: State::$variant(state), .. }) => Ok(state),
                _ => Err(Halt::Need(Need::Stream(stream))),
            }
        }
    )*};
}

impl World {
    /// A world in which nothing is loaded.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    accessors! {
        /// A person or service.
        person(PersonId) -> Person = Person;
        /// A model.
        model(ModelName) -> Model = Model;
        /// Evidence about a digest.
        subject(Digest) -> Subject = Subject;
        /// A release.
        release(ReleaseId) -> Release = Release;
        /// A review.
        review(ReviewId) -> Review = Review;
        /// A system.
        system(SystemName) -> System = System;
        /// An assignment.
        assignment(AssignmentId) -> Assignment = Assignment;
        /// A policy bundle.
        bundle(BundleName) -> Bundle = Bundle;
        /// A proposal.
        proposal(ProposalId) -> Proposal = Proposal;
    }

    /// The organisation.
    ///
    /// # Errors
    /// [`Halt::Need`] when it is not loaded yet.
    pub fn org(&self) -> Result<&Org, Halt> {
        match self.streams.get(&Stream::Org) {
            Some(Loaded {
                state: State::Org(org),
                ..
            }) => Ok(org),
            _ => Err(Halt::Need(Need::Stream(Stream::Org))),
        }
    }

    /// The keys that sign the ledger.
    ///
    /// # Errors
    /// [`Halt::Need`] when they are not loaded yet.
    pub fn keys(&self) -> Result<&Keys, Halt> {
        match self.streams.get(&Stream::Keys) {
            Some(Loaded {
                state: State::Keys(keys),
                ..
            }) => Ok(keys),
            _ => Err(Halt::Need(Need::Stream(Stream::Keys))),
        }
    }

    /// Whether the log is examined, and by whom.
    ///
    /// # Errors
    /// [`Halt::Need`] when it is not loaded yet.
    pub fn log_review(&self) -> Result<&LogReview, Halt> {
        match self.streams.get(&Stream::LogReview) {
            Some(Loaded {
                state: State::LogReview(state),
                ..
            }) => Ok(state),
            _ => Err(Halt::Need(Need::Stream(Stream::LogReview))),
        }
    }

    /// What happened in a range of the log. It is not part of the read set: entries never change.
    ///
    /// # Errors
    /// [`Halt::Need`] when it is not loaded yet.
    pub fn examined(&self, span: &Span) -> Result<&Examined, Halt> {
        let need = || Halt::Need(Need::Examined(*span));
        self.examined.get(span).map(AsRef::as_ref).ok_or_else(need)
    }

    /// The manifest with this digest.
    ///
    /// # Errors
    /// [`Halt::Need`] when it is not loaded yet.
    pub fn manifest(&self, digest: &Digest) -> Result<&Manifest, Halt> {
        self.manifests
            .get(digest)
            .ok_or(Halt::Need(Need::Manifest(*digest)))
    }

    /// Everything that names a person. It is not part of the read set: who is suspended is named by nothing new but
    /// in their own stream, which is.
    ///
    /// # Errors
    /// [`Halt::Need`] when it is not loaded yet.
    pub fn records(&self, person: &PersonId) -> Result<&Records, Halt> {
        let need = || Halt::Need(Need::Records(person.clone()));
        self.records.get(person).ok_or_else(need)
    }

    /// How many entries `stream` has, counting what was decided on top of it.
    ///
    /// # Errors
    /// [`Halt::Need`] when it is not loaded yet.
    pub fn version(&self, stream: &Stream) -> Result<u64, Halt> {
        let loaded = self.streams.get(stream);
        loaded
            .map(|l| l.version)
            .ok_or_else(|| Halt::Need(Need::Stream(stream.clone())))
    }

    /// Whether the founding append is being decided: nothing was in the ledger when it was loaded.
    pub(crate) fn is_founding(&self) -> Result<bool, Halt> {
        let org = self.streams.get(&Stream::Org);
        org.map(|l| l.base == 0)
            .ok_or(Halt::Need(Need::Stream(Stream::Org)))
    }

    /// Puts a stream in, folded from all its events in order.
    pub fn load<'a>(&mut self, stream: Stream, events: impl IntoIterator<Item = &'a Event>) {
        let mut state = State::empty(&stream);
        let mut version = 0;
        for event in events {
            state.apply(event);
            version += 1;
        }
        self.streams.insert(
            stream,
            Loaded {
                base: version,
                version,
                state,
            },
        );
    }

    /// Puts a stream in by its version alone: enough for one from which nothing is decided.
    pub fn load_version(&mut self, stream: Stream, version: u64) {
        let state = State::empty(&stream);
        self.streams.insert(
            stream,
            Loaded {
                base: version,
                version,
                state,
            },
        );
    }

    /// Puts a manifest in.
    pub fn load_manifest(&mut self, digest: Digest, manifest: Manifest) {
        self.manifests.insert(digest, manifest);
    }

    /// Puts in what names a person.
    pub fn load_records(&mut self, person: PersonId, records: Records) {
        self.records.insert(person, records);
    }

    /// Puts in what happened in a range of the log.
    pub fn load_examined(&mut self, examined: Arc<Examined>) {
        self.examined.insert(examined.span(), examined);
    }

    /// The manifests that were looked at.
    pub fn manifests(&self) -> impl Iterator<Item = (&Digest, &Manifest)> {
        self.manifests.iter()
    }

    /// Moves the world on by what was decided, so that a further command of the same append sees it.
    pub fn advance(&mut self, decided: &Decided) {
        for (stream, event) in decided {
            if let Some(loaded) = self.streams.get_mut(stream) {
                loaded.state.apply(event);
                loaded.version += 1;
            }
        }
    }

    /// The read set: each stream that was looked at, with its version when it was loaded.
    pub fn reads(&self) -> impl Iterator<Item = (&Stream, u64)> {
        self.streams
            .iter()
            .map(|(stream, loaded)| (stream, loaded.base))
    }
}
