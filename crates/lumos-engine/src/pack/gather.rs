//! Reads the parts of a pack from the ledger: by streams where it knows their names, and where it must look at every
//! entry, one chunk at a time. Nothing at or behind the head's size is taken in.

use std::collections::{BTreeMap, BTreeSet};

use lumos_domain::{
    erasure::names,
    event::Event,
    id::{AssignmentId, BundleName, Digest, PersonId, ReleaseId, ReviewId, SystemName},
    seal::{Sealed, SealedValue},
    stream::Stream,
    words::{Reading, Verdict},
};

use super::{Asked, Asks, Head, PackError, Parts, Source, parts::BLOB_BYTES_MAX, period};
use crate::{
    ask::{Period, Question},
    door::DoorError,
    ports::{PortError, Store, StoredEntry, Value},
    record::LedgerEntry,
};

/// The most changes that are drawn.
pub const SAMPLE_MAX: u32 = 1_000;
/// Entries read at a time where all are looked at.
const CHUNK: u32 = 1_024;
/// Bytes of blobs in one pack.
const BLOBS_BYTES_MAX: usize = 256 << 20;

/// The parts of the pack that is asked for.
///
/// # Errors
/// When there is nothing of that name, or the ledger cannot be read.
pub async fn gather(source: Source<'_>, head: &Head, asked: &Asked) -> Result<Parts, PackError> {
    let mut gather = Gather {
        source,
        size: head.checkpoint.size(),
        parts: Parts::default(),
        streams: BTreeSet::new(),
        wanted: BTreeSet::new(),
    };
    match asked {
        Asked::Release { release } => {
            gather.release(release).await?;
            // Denials name what nobody knows; a release begins with its own entries.
            let own = Stream::Release(release.clone());
            if !gather.parts.entries().any(|entry| entry.stream == own) {
                return Err(PackError::Unknown(release.clone()));
            }
        }
        Asked::Period {
            from, to, sample, ..
        } => {
            if from > to {
                return Err(PackError::Period);
            }
            if *sample > SAMPLE_MAX {
                return Err(PackError::Sample);
            }
            gather.period(asked).await?;
        }
    }
    gather.organisation().await?;
    gather.people().await?;
    gather.texts().await?;
    gather.blobs().await?;
    gather.count();
    Ok(gather.parts)
}

struct Gather<'a> {
    source: Source<'a>,
    size: u64,
    parts: Parts,
    /// What was taken in whole.
    streams: BTreeSet<Stream>,
    /// The blobs that are wanted.
    wanted: BTreeSet<Digest>,
}

impl Gather<'_> {
    /// The entries of a stream under the head.
    async fn read(&self, stream: &Stream) -> Result<Vec<(StoredEntry, LedgerEntry)>, PackError> {
        let stored = self.source.store.stream(stream).await?;
        let under = stored.into_iter().filter(|entry| entry.index < self.size);
        let read = |stored: StoredEntry| {
            let entry = LedgerEntry::read(&stored).map_err(DoorError::from)?;
            Ok((stored, entry))
        };
        under.map(read).collect()
    }

    /// Takes in the entries of a stream that `wanted` says.
    async fn take(
        &mut self,
        stream: &Stream,
        mut wanted: impl FnMut(&LedgerEntry) -> bool,
    ) -> Result<(), PackError> {
        for (stored, entry) in self.read(stream).await? {
            if wanted(&entry) {
                self.parts.keep(stored, entry);
            }
        }
        Ok(())
    }

    /// Takes in a whole stream, once, and the blobs that it cites.
    async fn take_whole(&mut self, stream: Stream) -> Result<Vec<LedgerEntry>, PackError> {
        let mut taken = Vec::new();
        if !self.streams.insert(stream.clone()) {
            return Ok(taken);
        }
        for (stored, entry) in self.read(&stream).await? {
            self.wanted.extend(cites(&entry.event));
            taken.push(entry.clone());
            self.parts.keep(stored, entry);
        }
        Ok(taken)
    }

    /// Everything about a release.
    async fn release(&mut self, release: &ReleaseId) -> Result<(), PackError> {
        let history = self.take_whole(Stream::Release(release.clone())).await?;
        let mut about = About::default();
        for entry in &history {
            about.follow(&entry.event);
        }
        for review in about.reviews {
            self.take_whole(Stream::Review(review)).await?;
        }
        if let Some(digest) = about.digest {
            self.take_whole(Stream::Subject(digest)).await?;
        }
        self.take(
            &Stream::Model(release.model.clone()),
            |entry| match &entry.event {
                Event::CurrentReleaseSet(set) => set.release == *release,
                _ => true,
            },
        )
        .await?;
        for assignment in about.assignments {
            let mut before = false;
            self.take(&Stream::Assignment(assignment), |entry| {
                let Event::ReleasesAssigned(e) = &entry.event else {
                    return false;
                };
                // What took its place shows until when it was used.
                let now = e.releases.iter().any(|a| a.release == *release);
                std::mem::replace(&mut before, now) || now
            })
            .await?;
        }
        for (bundle, versions) in about.bundles {
            let mut taken = BTreeSet::new();
            self.take(&Stream::Bundle(bundle), |entry| match &entry.event {
                Event::BundlePublished(e) if versions.contains(&e.bundle.version) => {
                    taken.insert(e.bundle.digest);
                    true
                }
                _ => false,
            })
            .await?;
            self.wanted.extend(taken);
        }
        for system in about.systems {
            self.take_whole(Stream::System(system.clone())).await?;
            self.take(&Stream::Denials(system), |entry| match &entry.event {
                Event::DenialRecorded(e) => e.model == release.model.as_str(),
                _ => false,
            })
            .await?;
        }
        Ok(())
    }

    /// What came to run in a period and what led to it; in full what is drawn from it and what is wrong with it.
    async fn period(&mut self, asked: &Asked) -> Result<(), PackError> {
        let Asked::Period { from, to, .. } = asked else {
            return Ok(());
        };
        let within = Period {
            from: *from,
            to: *to,
        };
        let found = self.scan(asked, &within).await?;
        for proposal in found.proposals {
            self.take(&Stream::Proposal(proposal), |_| true).await?;
        }
        for (release, approval) in found.ran {
            self.take(&Stream::Release(release), |entry| {
                matches!(
                    entry.event,
                    Event::CandidateDetected(_)
                        | Event::AuthorClaimed(_)
                        | Event::ReleaseIdentified(_)
                )
            })
            .await?;
            self.take(&Stream::Review(approval), |_| true).await?;
        }
        let changes = period::changes(&self.parts, asked);
        for release in period::in_full(&changes) {
            self.release(&release).await?;
        }
        Ok(())
    }

    /// Looks at every entry under the head, once.
    async fn scan(&mut self, asked: &Asked, within: &Period) -> Result<Found, PackError> {
        let mut found = Found::default();
        let mut before: BTreeMap<Stream, StoredEntry> = BTreeMap::new();
        let mut next = 0;
        while next < self.size {
            let chunk = self.source.store.entries(next, CHUNK).await?;
            let Some(last) = chunk.last() else { break };
            next = last.index + 1;
            for stored in chunk.into_iter().filter(|entry| entry.index < self.size) {
                let entry = LedgerEntry::read(&stored).map_err(DoorError::from)?;
                if entry.time >= within.to && !matches!(entry.event, Event::ModeSet(_)) {
                    continue;
                }
                let inside = within.holds(&entry);
                let runs = period::runs(&entry, asked);
                if !runs.is_empty() && inside {
                    found.ran.extend(runs);
                    // What an agent used before says what is new.
                    if let Some(before) = before.get(&entry.stream) {
                        self.parts
                            .add_entry(before.clone())
                            .map_err(|e| PortError::new("reading an assignment", e))?;
                    }
                    self.parts.keep(stored.clone(), entry.clone());
                } else if wanted(&entry, inside) {
                    found.follow(&entry);
                    self.parts.keep(stored.clone(), entry.clone());
                }
                if matches!(entry.event, Event::ReleasesAssigned(_)) {
                    before.insert(entry.stream, stored);
                }
            }
        }
        Ok(found)
    }

    /// What is counted of the agents that the pack is about.
    fn count(&mut self) {
        let about = |asks: &&Asks| {
            self.parts.entries().any(|entry| match &entry.stream {
                Stream::Assignment(id) => {
                    (&id.system, &id.agent, &id.environment)
                        == (&asks.agent.system, &asks.agent.agent, &asks.environment)
                }
                _ => false,
            })
        };
        let asks: Vec<Asks> = self.source.asks.iter().filter(about).cloned().collect();
        self.parts.count(asks);
    }

    /// What holds for every release: how it began, the gates, the rules of review, the modes.
    async fn organisation(&mut self) -> Result<(), PackError> {
        self.take(&Stream::Org, |entry| {
            matches!(
                entry.event,
                Event::GenesisRecorded(_)
                    | Event::SandboxLeft(_)
                    | Event::GateDefined(_)
                    | Event::ReviewRulesSet(_)
                    | Event::ModeSet(_)
                    | Event::ClockStepped(_)
            )
        })
        .await
    }

    /// Whoever is named, by the entry that added them.
    async fn people(&mut self) -> Result<(), PackError> {
        let named = self.parts.entries();
        let named: BTreeSet<PersonId> = named
            .flat_map(|entry| {
                let own = match &entry.stream {
                    Stream::Person(person) => Some(person.clone()),
                    _ => None,
                };
                names(&entry.actor, &entry.event).into_iter().chain(own)
            })
            .collect();
        for person in named {
            self.take(&Stream::Person(person), |entry| {
                matches!(entry.event, Event::PersonAdded(_))
            })
            .await?;
        }
        Ok(())
    }

    /// Opens what may be opened and was not erased.
    async fn texts(&mut self) -> Result<(), PackError> {
        for sealed in self.parts.wanted() {
            if let Some(value) = opened(self.source.store, sealed).await? {
                self.parts.open(value);
            }
        }
        Ok(())
    }

    /// The blobs that are cited, as long as they are not too large.
    async fn blobs(&mut self) -> Result<(), PackError> {
        let mut left = BLOBS_BYTES_MAX;
        for digest in std::mem::take(&mut self.wanted) {
            let Some(bytes) = self.source.blobs.get(&digest).await? else {
                continue;
            };
            if bytes.len() <= BLOB_BYTES_MAX.min(left) {
                left -= bytes.len();
                self.parts
                    .add_blob(digest, bytes)
                    .map_err(|e| PortError::new("reading a blob", e))?;
            }
        }
        Ok(())
    }
}

/// What else to look at for a period.
#[derive(Default)]
struct Found {
    ran: BTreeSet<(ReleaseId, ReviewId)>,
    proposals: BTreeSet<lumos_domain::id::ProposalId>,
}

impl Found {
    fn follow(&mut self, entry: &LedgerEntry) {
        if let (Stream::Proposal(id), Event::ProposalConfirmed(_)) = (&entry.stream, &entry.event) {
            self.proposals.insert(id.clone());
        }
    }
}

/// Whether the tables of a period rest on the entry.
fn wanted(entry: &LedgerEntry, inside: bool) -> bool {
    let kind = entry.event.kind();
    let told = |question: Question| question.kinds().contains(&kind);
    match &entry.event {
        Event::ModeSet(_) => true,
        // Whether a review of the log was in time and left nothing out rests on those before it.
        Event::LogReviewSet(_)
        | Event::LogReviewDue(_)
        | Event::LogReviewOverdue(_)
        | Event::LogReviewed(_) => true,
        Event::ReadingRecorded(e) if e.reading == Reading::LogReview => true,
        // The population and its dossiers take these in where they are about them.
        Event::Signed(e) if e.verdict == Verdict::Approve => false,
        Event::ProposalMade(_) | Event::ReleaseApproved(_) if !inside => false,
        Event::ReleaseApproved(e) => e.tuple.sandbox || e.auto.is_some(),
        Event::ProposalMade(_) => false,
        _ => {
            let mut others = Question::ALL.into_iter().filter(|q| q.is_in_packs());
            told(Question::Who) || inside && others.any(told)
        }
    }
}

/// What of the history of a release says where else to look.
#[derive(Default)]
struct About {
    reviews: BTreeSet<ReviewId>,
    digest: Option<Digest>,
    assignments: BTreeSet<AssignmentId>,
    systems: BTreeSet<SystemName>,
    bundles: BTreeMap<BundleName, BTreeSet<String>>,
}

impl About {
    fn follow(&mut self, event: &Event) {
        let (environment, agents) = match event {
            Event::CandidateDetected(e) => (&e.environment, &e.agents),
            Event::GateRequested(e) => (&e.environment, &e.agents),
            Event::ReviewStarted(e) => {
                self.reviews.insert(e.review.clone());
                return;
            }
            Event::ReleaseIdentified(e) => {
                self.digest = Some(e.digest);
                return;
            }
            Event::ReportRecorded(e) => {
                for bundle in &e.report.bundles {
                    let versions = self.bundles.entry(bundle.name.clone()).or_default();
                    versions.insert(bundle.version.clone());
                }
                return;
            }
            _ => return,
        };
        for agent in agents {
            self.systems.insert(agent.system.clone());
            self.assignments.insert(AssignmentId {
                system: agent.system.clone(),
                agent: agent.agent.clone(),
                environment: environment.clone(),
            });
        }
    }
}

/// The blobs that an event cites.
fn cites(event: &Event) -> Vec<Digest> {
    match event {
        Event::ReleaseIdentified(e) => vec![e.digest],
        Event::ReportRecorded(e) => vec![e.report.report],
        Event::EvidenceRecorded(e) => vec![e.digest],
        Event::ReviewOpened(e) => e.record.running.into_iter().collect(),
        Event::ReviewRecordChanged(e) => e.record.running.into_iter().collect(),
        _ => Vec::new(),
    }
}

/// The text behind a commitment with its salt, if it is there.
async fn opened(store: &dyn Store, sealed: Sealed) -> Result<Option<SealedValue>, PortError> {
    let sql = "SELECT salt, value FROM sealed WHERE commitment = $1";
    let rows = store.query(sql, vec![Value::from(sealed.hex())]).await?;
    Ok(rows.first().and_then(|row| {
        let value = SealedValue {
            commitment: sealed,
            salt: row.bytes(0).try_into().ok()?,
            value: row.text(1).to_owned(),
        };
        // A value that does not open its commitment is shown to nobody as if it did.
        value.opens().then_some(value)
    }))
}
