//! Between events and entries: what an event looks like in the ledger, and how it is read back.

use std::borrow::Cow;

use jiff::Timestamp;
use lumos_domain::{
    actor::Actor,
    event::{DecodeEventError, Event},
    id::{CommandId, ParseIdError, PersonId},
    stream::Stream,
};
use lumos_ledger::{Envelope, entry};
use serde_json::value::RawValue;

use crate::ports::StoredEntry;

/// The media type of every event's data.
const MEDIA_TYPE: &str = "application/json";

/// An entry, read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerEntry {
    /// Its index in the ledger.
    pub index: u64,
    /// The stream it belongs to.
    pub stream: Stream,
    /// Its place in the stream, from 1.
    pub version: u64,
    /// When it was written.
    pub time: Timestamp,
    /// Who acted.
    pub actor: Actor,
    /// The command it came from.
    pub command_id: String,
    /// The entry that led to it, if an agent acted on one.
    pub causation: Option<String>,
    /// Whether it was written in a sandbox.
    pub sandbox: bool,
    /// What happened.
    pub event: Event,
}

/// Why a stored entry cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadEntryError {
    /// The bytes are no envelope.
    #[error("reading ledger entry {index}")]
    Envelope {
        /// Its index.
        index: u64,
        /// What is wrong with it.
        source: entry::Error,
    },
    /// Its stream or actor is not one that LUMOS writes.
    #[error("reading ledger entry {index}")]
    Name {
        /// Its index.
        index: u64,
        /// What is wrong with it.
        source: ParseIdError,
    },
    /// Its time is not RFC 3339.
    #[error("reading ledger entry {index}: its time is not RFC 3339")]
    Time {
        /// Its index.
        index: u64,
    },
    /// Its event is unknown to this version.
    #[error("reading ledger entry {index}")]
    Event {
        /// Its index.
        index: u64,
        /// What is unknown.
        source: DecodeEventError,
    },
}

impl LedgerEntry {
    /// The person who acted, if a person did.
    #[must_use]
    pub const fn person(&self) -> Option<&PersonId> {
        match &self.actor {
            Actor::Person(person) => Some(person),
            Actor::Genesis | Actor::Clock | Actor::Agent(_) | Actor::Service(_) => None,
        }
    }

    /// Reads a stored entry.
    ///
    /// # Errors
    /// When it is not an entry that this version of LUMOS can understand.
    pub fn read(stored: &StoredEntry) -> Result<Self, ReadEntryError> {
        let index = stored.index;
        let envelope = Envelope::parse(&stored.bytes)
            .map_err(|source| ReadEntryError::Envelope { index, source })?;
        let name = |source| ReadEntryError::Name { index, source };
        Ok(Self {
            index,
            stream: envelope.subject.parse().map_err(name)?,
            version: envelope.streamversion,
            time: envelope
                .time
                .parse()
                .map_err(|_| ReadEntryError::Time { index })?,
            actor: envelope.actor.parse().map_err(name)?,
            command_id: envelope.commandid.into_owned(),
            causation: envelope.causation.map(Cow::into_owned),
            sandbox: envelope.sandbox,
            event: Event::decode(&envelope.kind, envelope.data.get())
                .map(|event| within(event, envelope.sandbox))
                .map_err(|source| ReadEntryError::Event { index, source })?,
        })
    }
}

/// Older versions wrote only around an event whether it happened in a sandbox.
fn within(mut event: Event, sandbox: bool) -> Event {
    match &mut event {
        Event::ReportRecorded(e) => e.report.sandbox |= sandbox,
        Event::EvidenceRecorded(e) => e.sandbox |= sandbox,
        _ => {}
    }
    event
}

/// Everything about an entry that is not the event itself.
pub(crate) struct Context<'a> {
    pub(crate) origin: &'a str,
    pub(crate) time: Timestamp,
    pub(crate) actor: &'a Actor,
    pub(crate) command_id: &'a CommandId,
    pub(crate) causation: Option<&'a str>,
    pub(crate) sandbox: bool,
}

/// The bytes of entry number `n` (from 0) of a command: written once, stored as they are, never made again.
pub(crate) fn entry_bytes(
    context: &Context<'_>,
    n: usize,
    stream: &Stream,
    version: u64,
    event: &Event,
) -> Result<Vec<u8>, entry::Error> {
    let envelope = Envelope {
        specversion: entry::SPEC_VERSION.into(),
        id: format!("{}.{n}", context.command_id).into(),
        source: context.origin.into(),
        kind: event.kind().into(),
        time: context.time.to_string().into(),
        subject: stream.to_string().into(),
        streamversion: version,
        commandid: context.command_id.to_string().into(),
        actor: context.actor.to_string().into(),
        causation: context.causation.map(Into::into),
        correlation: None,
        sandbox: context.sandbox,
        datacontenttype: MEDIA_TYPE.into(),
        data: RawValue::from_string(event.to_json()?)?,
    };
    envelope.to_bytes()
}
