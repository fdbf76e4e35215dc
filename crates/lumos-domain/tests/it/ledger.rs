//! A ledger in memory: every event by stream, a world that is loaded as a decision asks for it, as the
//! engine's door does. Not here: storing, signing, or who is at the door.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use lumos_domain::{
    Command, Event, Stream, World,
    actor::{Actor, Caller},
    decide,
    erasure::{Entry, Records},
    id::{Digest, PersonId},
    log_review::{Examined, Span},
    manifest::Manifest,
    refusal::Refusal,
    world::{Decided, Halt, Need},
};

#[derive(Clone, Default)]
pub(crate) struct Ledger {
    streams: BTreeMap<Stream, Vec<Event>>,
    manifests: BTreeMap<Digest, Manifest>,
    /// When each event was written, and by whom.
    written: BTreeMap<Stream, Vec<(Timestamp, Actor)>>,
    /// Every entry in the order of the ledger.
    entries: Vec<(Timestamp, Actor, Stream, Event)>,
}

impl Ledger {
    /// Stores a manifest, as the release scanner does before it names the digest.
    pub(crate) fn keep(&mut self, manifest: Manifest) -> Digest {
        let digest = manifest.digest().unwrap();
        self.manifests.insert(digest, manifest);
        digest
    }

    pub(crate) fn events(&self, stream: &Stream) -> &[Event] {
        self.streams.get(stream).map_or(&[], Vec::as_slice)
    }

    fn load(&self, world: &mut World, need: Need) {
        match need {
            Need::Stream(stream) => {
                let events = self.events(&stream);
                world.load(stream.clone(), events);
            }
            Need::Manifest(digest) => {
                let manifest = self.manifests.get(&digest);
                let manifest = manifest.unwrap_or_else(|| panic!("no manifest {digest}"));
                world.load_manifest(digest, manifest.clone());
            }
            Need::Records(person) => world.load_records(person.clone(), self.records(&person)),
            Need::Examined(span) => world.load_examined(Arc::new(self.examined(span))),
        }
    }

    /// How many entries there are.
    pub(crate) fn size(&self) -> u64 {
        self.entries.len() as u64
    }

    /// What happened in a range. A root here is the hash of nothing but the size.
    pub(crate) fn examined(&self, span: Span) -> Examined {
        let mut examined = Examined::new(span, Digest::of(&span.size.to_be_bytes()));
        let entries =
            (span.from..span.size).zip(&self.entries[usize::try_from(span.from).unwrap()..]);
        for (index, (time, actor, stream, event)) in entries {
            examined.add(index, *time, actor, stream, event);
        }
        examined
    }

    /// Everything that names a person, looked for in every stream.
    pub(crate) fn records(&self, person: &PersonId) -> Records {
        let mut records = Records::default();
        for (stream, events) in &self.streams {
            let written = self.written[stream].iter().zip(events);
            let entries: Vec<_> = written
                .map(|((time, actor), event)| Entry {
                    time: *time,
                    actor,
                    event,
                })
                .collect();
            records.add(person, stream, &entries);
        }
        records
    }

    /// Answers a question, loading what it turns out to need.
    pub(crate) fn answer<T>(
        &self,
        question: impl Fn(&World) -> Result<T, Halt>,
    ) -> Result<T, Refusal> {
        let mut world = World::new();
        for _ in 0..1000 {
            match question(&world) {
                Ok(answer) => return Ok(answer),
                Err(Halt::Refused(refusal)) => return Err(refusal),
                Err(Halt::Need(need)) => self.load(&mut world, need),
            }
        }
        panic!("a question asks for ever more");
    }

    /// Decides commands one after the other, as one append.
    pub(crate) fn submit(
        &mut self,
        caller: &Caller,
        commands: &[Command],
        now: Timestamp,
    ) -> Result<Decided, Refusal> {
        let mut loaded = World::new();
        'again: for _ in 0..1000 {
            let (mut world, mut decided) = (loaded.clone(), Vec::new());
            for command in commands {
                match decide(&world, caller, command, now) {
                    Ok(events) => {
                        world.advance(&events);
                        decided.extend(events);
                    }
                    Err(Halt::Refused(refusal)) => return Err(refusal),
                    Err(Halt::Need(need)) => {
                        self.load(&mut loaded, need);
                        continue 'again;
                    }
                }
            }
            for (stream, event) in &decided {
                let events = self.streams.entry(stream.clone()).or_default();
                events.push(event.clone());
                let written = self.written.entry(stream.clone()).or_default();
                written.push((now, caller.actor.clone()));
                let entry = (now, caller.actor.clone(), stream.clone(), event.clone());
                self.entries.push(entry);
            }
            self.same_after_reload(&world, &decided);
            return Ok(decided);
        }
        panic!("a decision asks for ever more");
    }

    /// What was decided on is what a fresh load of the same events gives.
    fn same_after_reload(&self, world: &World, decided: &Decided) {
        for (stream, _) in decided {
            let mut fresh = World::new();
            fresh.load(stream.clone(), self.events(stream));
            assert_eq!(world.version(stream), fresh.version(stream), "{stream}");
            match stream {
                Stream::Org => assert_eq!(world.org(), fresh.org()),
                Stream::Person(id) => assert_eq!(world.person(id), fresh.person(id)),
                Stream::Model(id) => assert_eq!(world.model(id), fresh.model(id)),
                Stream::Subject(id) => assert_eq!(world.subject(id), fresh.subject(id)),
                Stream::Release(id) => assert_eq!(world.release(id), fresh.release(id)),
                Stream::Review(id) => assert_eq!(world.review(id), fresh.review(id)),
                Stream::System(id) => assert_eq!(world.system(id), fresh.system(id)),
                Stream::Assignment(id) => assert_eq!(world.assignment(id), fresh.assignment(id)),
                Stream::Bundle(id) => assert_eq!(world.bundle(id), fresh.bundle(id)),
                Stream::Proposal(id) => assert_eq!(world.proposal(id), fresh.proposal(id)),
                Stream::Keys => assert_eq!(world.keys(), fresh.keys()),
                Stream::LogReview => assert_eq!(world.log_review(), fresh.log_review()),
                Stream::Denials(_) | Stream::Readings(_) => {}
            }
        }
    }
}
