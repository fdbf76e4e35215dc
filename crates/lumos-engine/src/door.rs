//! The one door: command → authorise → load → decide → events → append (DESIGN promise 1).

use std::sync::Arc;

use lumos_domain::{
    actor::Caller,
    command::{Command, decide},
    event::Event,
    id::CommandId,
    log_review::{Examined, Span},
    manifest::{Manifest, ManifestError},
    proposal::Governed,
    refusal::Refusal,
    seal::{Sealed, SealedValue},
    stream::Stream,
    world::{Decided, Halt, Need, World},
};
use lumos_ledger::entry;

use crate::{
    log_review::Examiner,
    ports::{Append, AppendError, Appended, NewEntry, PortError, Ports, Statement},
    record::{self, LedgerEntry, ReadEntryError},
    views::{self, Facts},
};

/// How often a command is decided again when others were faster.
const ATTEMPTS: usize = 32;
/// How many things one decision may look at.
const LOADS_MAX: usize = 4_096;

/// A command with who asks and what makes it unique.
#[derive(Debug, Clone)]
pub struct Request {
    /// Who asks.
    pub caller: Caller,
    /// Unique: the same id again is answered with the first outcome.
    pub command_id: CommandId,
    /// What is asked; several are decided one after the other and appended together.
    pub commands: Vec<Command>,
    /// The values behind the sealed fields of the commands.
    pub sealed: Vec<SealedValue>,
    /// The entry an agent acts on.
    pub causation: Option<String>,
}

impl Request {
    /// A request for one command without sealed text.
    #[must_use]
    pub fn new(caller: Caller, command_id: CommandId, command: Command) -> Self {
        Self {
            caller,
            command_id,
            commands: vec![command],
            sealed: Vec::new(),
            causation: None,
        }
    }
}

/// What came of a command.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Where it landed; `None` when everything was so already.
    pub appended: Option<Appended>,
    /// The events it led to.
    pub events: Vec<(Stream, Event)>,
}

/// Why a command led to nothing.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// The answer is no, with its reason.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A unique value, such as a login, is taken.
    #[error("a unique value in this command is taken already")]
    Taken,
    /// Others changed the same things faster, again and again.
    #[error("deciding: others changed the same things {ATTEMPTS} times in a row; try again")]
    Busy,
    /// The ledger holds events that this version does not know.
    #[error(
        "this ledger holds events of type `{0}`, which this version of LUMOS does not know; it is read-only here"
    )]
    ReadOnly(String),
    /// A key was said to be lost, and until another one signs nothing else is decided.
    #[error(
        "deciding: this server was started with `--key-lost` and takes nothing but the revocation of that key and a \
         change of keys; start it as always once another key signs"
    )]
    KeyLost,
    /// An entry would be too large or malformed.
    #[error("writing an entry")]
    Entry(#[from] entry::Error),
    /// A stored entry cannot be read.
    #[error(transparent)]
    Read(#[from] ReadEntryError),
    /// A stored manifest is missing or not what its digest says.
    #[error("loading manifest {digest}")]
    Manifest {
        /// The release digest.
        digest: lumos_domain::id::Digest,
        /// What is wrong with it; `None` when it is missing.
        source: Option<ManifestError>,
    },
    /// Somebody else took over what the caller was doing.
    #[error("deciding: another process took this work over; what it does counts")]
    LeaseLost,
    /// Another version of LUMOS changed the tables of the ledger.
    #[error(
        "appending: another version of LUMOS changed the tables of this ledger; this server reads on and writes no \
         more. Replace it with that version"
    )]
    OtherVersion,
    /// A decision looked at more than it may.
    #[error("deciding: more than {LOADS_MAX} streams are involved")]
    TooWide,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] PortError),
}

impl DoorError {
    /// The stable code of this error, a page in `docs/errors/`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.code(),
            Self::Taken => "taken",
            Self::Busy => "busy",
            Self::ReadOnly(_) => "unknown-event",
            Self::KeyLost => "key-lost",
            Self::Entry(_) => "entry-too-large",
            Self::Read(_) => "unreadable-entry",
            Self::Manifest { .. } => "missing-manifest",
            Self::LeaseLost => "lease-lost",
            Self::OtherVersion => "database-other-version",
            Self::TooWide => "too-wide",
            Self::Store(_) => "store-failed",
        }
    }
}

/// The door. Everything that changes governed state goes through [`Door::submit`].
#[derive(Clone)]
pub struct Door {
    ports: Ports,
    origin: Arc<str>,
    unknown_kind: Option<Arc<str>>,
    examiner: Examiner,
    keys_only: bool,
}

impl Door {
    /// Opens the door on a ledger; read-only when the ledger holds event types this version does not know.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn open(ports: Ports, origin: &str) -> Result<Self, PortError> {
        let kinds = ports.store.kinds().await?;
        let unknown = kinds
            .into_iter()
            .find(|kind| !Event::KINDS.contains(&kind.as_str()));
        Ok(Self {
            ports,
            origin: origin.into(),
            unknown_kind: unknown.map(Into::into),
            examiner: Examiner::default(),
            keys_only: false,
        })
    }

    /// The same door, which lets nothing through but what the way to another key needs.
    #[must_use]
    pub fn for_keys_only(self) -> Self {
        Self {
            keys_only: true,
            ..self
        }
    }

    /// Whether nothing but a change of keys goes through.
    #[must_use]
    pub const fn is_for_keys_only(&self) -> bool {
        self.keys_only
    }

    /// The event type that makes this ledger read-only here, if any.
    #[must_use]
    pub fn unknown_kind(&self) -> Option<&str> {
        self.unknown_kind.as_deref()
    }

    /// The ports it runs on.
    #[must_use]
    pub const fn ports(&self) -> &Ports {
        &self.ports
    }

    /// Decides and appends. Durable when it returns.
    ///
    /// # Errors
    /// A refusal, or why it could not be decided or stored.
    pub async fn submit(&self, request: Request) -> Result<Outcome, DoorError> {
        self.submit_leased(request, None).await
    }

    /// The same, for a caller that may lose its lease meanwhile: then nothing is appended.
    pub(crate) async fn submit_leased(
        &self,
        request: Request,
        lease: Option<Statement>,
    ) -> Result<Outcome, DoorError> {
        if let Some(kind) = &self.unknown_kind {
            return Err(DoorError::ReadOnly(kind.to_string()));
        }
        for _ in 0..ATTEMPTS {
            if let Some(earlier) = self.ports.store.appended(&request.command_id).await? {
                return self.earlier(earlier).await;
            }
            let (decided, world) = self.decide(&request).await?;
            if decided.is_empty() {
                return Ok(Outcome {
                    appended: None,
                    events: decided,
                });
            }
            if self.keys_only && !decided.iter().all(|(_, event)| is_about_keys(event)) {
                return Err(DoorError::KeyLost);
            }
            let mut append = self.append_for(&request, &decided, &world)?;
            append.lease.clone_from(&lease);
            match self.ports.store.append(append).await {
                Ok(appended) if appended.repeated => return self.earlier(appended).await,
                Ok(appended) => {
                    return Ok(Outcome {
                        appended: Some(appended),
                        events: decided,
                    });
                }
                Err(AppendError::Conflict { .. }) => {}
                Err(AppendError::Taken) => return Err(DoorError::Taken),
                Err(AppendError::LeaseLost) => return Err(DoorError::LeaseLost),
                Err(AppendError::OtherVersion) => return Err(DoorError::OtherVersion),
                Err(AppendError::Store(failed)) => {
                    // It may have happened all the same: look before saying that it failed.
                    return match self.ports.store.appended(&request.command_id).await {
                        Ok(Some(earlier)) => self.earlier(earlier).await,
                        Ok(None) | Err(_) => Err(failed.into()),
                    };
                }
            }
        }
        Err(DoorError::Busy)
    }

    /// Asks a question of governed state, loading what it turns out to need.
    ///
    /// # Errors
    /// The question's refusal, or why something could not be loaded.
    pub async fn ask<T>(
        &self,
        question: impl Fn(&World) -> Result<T, Halt> + Send,
    ) -> Result<T, DoorError> {
        let mut world = World::new();
        for _ in 0..LOADS_MAX {
            match question(&world) {
                Ok(answer) => return Ok(answer),
                Err(Halt::Refused(refusal)) => return Err(refusal.into()),
                Err(Halt::Need(need)) => self.load(&mut world, need).await?,
            }
        }
        Err(DoorError::TooWide)
    }

    async fn decide(&self, request: &Request) -> Result<(Decided, World), DoorError> {
        let now = self.ports.clock.now();
        let mut loaded = World::new();
        'again: for _ in 0..LOADS_MAX {
            let mut world = loaded.clone();
            let mut decided = Vec::new();
            for command in &request.commands {
                match decide(&world, &request.caller, command, now) {
                    Ok(events) => {
                        world.advance(&events);
                        decided.extend(events);
                    }
                    Err(Halt::Refused(refusal)) => return Err(refusal.into()),
                    Err(Halt::Need(need)) => {
                        self.load(&mut loaded, need).await?;
                        continue 'again;
                    }
                }
            }
            return Ok((decided, loaded));
        }
        Err(DoorError::TooWide)
    }

    async fn load(&self, world: &mut World, need: Need) -> Result<(), DoorError> {
        match need {
            // Nothing is decided from denials and readings: their number is enough.
            Need::Stream(stream @ (Stream::Denials(_) | Stream::Readings(_))) => {
                let version = self.ports.store.stream_version(&stream).await?;
                world.load_version(stream, version);
            }
            Need::Stream(stream) => {
                let events = self.history(&stream).await?;
                world.load(stream, events.iter().map(|entry| &entry.event));
            }
            Need::Manifest(digest) => {
                let missing = |source| DoorError::Manifest { digest, source };
                let bytes = self
                    .ports
                    .blobs
                    .get(&digest)
                    .await?
                    .ok_or_else(|| missing(None))?;
                let manifest = Manifest::from_canonical(&bytes).map_err(|e| missing(Some(e)))?;
                world.load_manifest(digest, manifest);
            }
            Need::Examined(span) => {
                world.load_examined(self.examined(span).await?);
            }
            Need::Records(person) => {
                let records = views::mentions::records(self, &person).await?;
                world.load_records(person, records);
            }
        }
        Ok(())
    }

    /// Everything that happened in a stream, in order.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn history(&self, stream: &Stream) -> Result<Vec<LedgerEntry>, DoorError> {
        let stored = self.ports.store.stream(stream).await?;
        Ok(stored
            .iter()
            .map(LedgerEntry::read)
            .collect::<Result<_, _>>()?)
    }

    /// What there is to examine in a range of the log.
    ///
    /// # Errors
    /// When the ledger has no such range, or an entry cannot be read.
    pub async fn examined(&self, span: Span) -> Result<Arc<Examined>, DoorError> {
        self.examiner.examine(&*self.ports.store, span).await
    }

    fn append_for(
        &self,
        request: &Request,
        decided: &Decided,
        loaded: &World,
    ) -> Result<Append, DoorError> {
        let mut world = loaded.clone();
        let facts = Facts::of(&self.ports.key, &request.sealed, loaded);
        let time = self.ports.clock.now();
        let mut entries = Vec::with_capacity(decided.len());
        for (n, (stream, event)) in decided.iter().enumerate() {
            let version = world.version(stream).map_or(0, |version| version) + 1;
            world.advance(&vec![(stream.clone(), event.clone())]);
            let context = record::Context {
                origin: &self.origin,
                time,
                actor: &request.caller.actor,
                command_id: &request.command_id,
                causation: request.causation.as_deref(),
                sandbox: world.org().is_ok_and(|org| org.sandbox),
            };
            let bytes = record::entry_bytes(&context, n, stream, version, event)?;
            let projections = views::project(stream, context.actor, event, context.time, &facts);
            entries.push(NewEntry {
                stream: stream.clone(),
                version,
                kind: event.kind(),
                bytes,
                projections,
            });
        }
        let sealed = request
            .sealed
            .iter()
            .filter(|value| is_used(value, &entries))
            .cloned()
            .collect();
        Ok(Append {
            command_id: request.command_id.clone(),
            reads: loaded
                .reads()
                .map(|(stream, version)| (stream.clone(), version))
                .collect(),
            entries,
            sealed,
            erase: erased(decided, loaded)?,
            lease: None,
        })
    }

    async fn earlier(&self, appended: Appended) -> Result<Outcome, DoorError> {
        let max = u32::try_from(appended.count).unwrap_or(u32::MAX);
        let stored = self.ports.store.entries(appended.first, max).await?;
        let entries: Vec<_> = stored
            .iter()
            .map(LedgerEntry::read)
            .collect::<Result<_, _>>()?;
        let events = entries
            .into_iter()
            .map(|entry| (entry.stream, entry.event))
            .collect();
        Ok(Outcome {
            appended: Some(appended),
            events,
        })
    }
}

/// Whether an event is a step to another key, or what a server says of itself when it starts, with what a step of its
/// clock makes due. A confirmation stands beside what was confirmed.
fn is_about_keys(event: &Event) -> bool {
    match event {
        Event::KeyAdopted(_)
        | Event::KeyCreated(_)
        | Event::KeyRotated(_)
        | Event::KeyRevoked(_)
        | Event::ProposalConfirmed(_)
        | Event::ProposalDeclined(_)
        | Event::StartRecorded(_)
        | Event::ClockSourceNamed(_)
        | Event::ClockStepped(_)
        | Event::LogReviewDue(_)
        | Event::LedgerReread(_) => true,
        Event::ProposalMade(made) => matches!(made.change, Governed::RotateKey(_)),
        _ => false,
    }
}

/// The sealed fields whose values go with an erasure: those whose digest stands in its entry.
fn erased(decided: &Decided, loaded: &World) -> Result<Vec<Sealed>, DoorError> {
    let mut all = Vec::new();
    for (stream, event) in decided {
        if let (Stream::Person(person), Event::ErasureCarriedOut(_)) = (stream, event) {
            match loaded.records(person) {
                Ok(records) => all.extend(records.values().iter().copied()),
                Err(Halt::Refused(refusal)) => return Err(refusal.into()),
                // Never met: the rule that decided it looked at them.
                Err(Halt::Need(_)) => return Err(DoorError::TooWide),
            }
        }
    }
    Ok(all)
}

/// Whether an entry commits to this value; what no entry commits to is not kept.
fn is_used(value: &SealedValue, entries: &[NewEntry]) -> bool {
    let hex = value.commitment.hex();
    entries.iter().any(|entry| {
        entry
            .bytes
            .windows(hex.len())
            .any(|window| window == hex.as_bytes())
    })
}
