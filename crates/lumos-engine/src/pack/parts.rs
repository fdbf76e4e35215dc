//! The parts of a pack: what proves itself. An entry by its receipt, a text by its commitment, a blob by its digest.
//! Beside them stand counts that no entry holds; they say themselves that they prove nothing.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use lumos_domain::{
    event::Event,
    id::{AgentRef, Digest, Environment, PersonId},
    seal::{Sealed, SealedValue},
    stream::Stream,
};
use serde::{Deserialize, Serialize};

use super::{File, PackError};
use crate::{
    ports::StoredEntry,
    record::{LedgerEntry, ReadEntryError},
};

/// The largest blob that a pack holds.
pub const BLOB_BYTES_MAX: usize = 4 << 20;

const OPENED: &str = "opened.json";
const COUNTED: &str = "counted.json";

/// How often an agent asked for a decision in an environment. Counted by the server, in no entry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asks {
    /// Who.
    pub agent: AgentRef,
    /// Where.
    pub environment: Environment,
    /// How often, as far as the counts are kept.
    pub asked: u64,
    /// For the last time.
    pub last: Timestamp,
}

/// The parts of one pack.
#[derive(Debug, Clone, Default)]
pub struct Parts {
    entries: BTreeMap<u64, (Vec<u8>, LedgerEntry)>,
    /// The commitment to the name of each person, from the entry that added them.
    names: BTreeMap<PersonId, Sealed>,
    opened: BTreeMap<Sealed, SealedValue>,
    blobs: BTreeMap<Digest, Vec<u8>>,
    asks: Vec<Asks>,
}

/// Why files are no parts of a pack.
#[derive(Debug, thiserror::Error)]
pub enum PartsError {
    /// An entry that this version does not understand.
    #[error(transparent)]
    Entry(#[from] ReadEntryError),
    /// A file of values that is none.
    #[error("reading `{path}`")]
    Json {
        /// Which.
        path: &'static str,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A text that its commitment does not open.
    #[error(
        "reading `{OPENED}`: the text and salt of `{0}` are not what was committed to, or no entry here commits to it"
    )]
    NotOpened(String),
    /// A blob under a digest that is not its own.
    #[error("reading blobs: `{0}` holds other bytes than its name says")]
    Blob(String),
}

impl PartsError {
    /// The stable code of this error, a page in `docs/errors/`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "pack-differs"
    }
}

/// A text behind a commitment, as `opened.json` holds it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Opened {
    sealed: Sealed,
    /// 64 hex digits.
    salt: String,
    value: String,
}

/// The path of the receipt of an entry.
pub(super) fn receipt(index: u64) -> String {
    format!("receipts/{index}.tlog-proof")
}

/// The path of a blob.
pub(super) fn blob(digest: &Digest) -> String {
    format!("blobs/{}", digest.hex())
}

/// The sealed fields of an event that a pack opens: names and reasons that its pages show to whoever may read. Never a
/// login, and nothing that opens a door.
pub(super) fn opens(event: &Event) -> Vec<Sealed> {
    match event {
        Event::PersonAdded(e) => vec![e.name],
        Event::ModelRegistered(e) => vec![e.purpose],
        Event::ModelTierSet(e) => vec![e.rationale],
        Event::CandidateDetected(e) => e.claims.iter().map(|claim| claim.identity).collect(),
        Event::ReleaseWithdrawn(e) => vec![e.reason],
        Event::Signed(e) => vec![e.reason],
        Event::Remarked(e) => vec![e.text],
        Event::ApprovalRevoked(e) => e.reason.into_iter().collect(),
        Event::ModeSet(e) => vec![e.reason],
        Event::SystemStopped(e) => vec![e.reason],
        Event::SystemResumed(e) => vec![e.reason],
        Event::ResumeRequested(e) => vec![e.reason],
        Event::ProposalDeclined(e) => vec![e.reason],
        _ => Vec::new(),
    }
}

impl Parts {
    /// Takes an entry in, as it is stored.
    ///
    /// # Errors
    /// When this version cannot read it.
    pub fn add_entry(&mut self, stored: StoredEntry) -> Result<(), PartsError> {
        let entry = LedgerEntry::read(&stored)?;
        self.keep(stored, entry);
        Ok(())
    }

    /// Takes an entry in that was read already.
    pub(super) fn keep(&mut self, stored: StoredEntry, entry: LedgerEntry) {
        if let (Stream::Person(person), Event::PersonAdded(e)) = (&entry.stream, &entry.event) {
            self.names.insert(person.clone(), e.name);
        }
        self.entries.insert(stored.index, (stored.bytes, entry));
    }

    /// Takes a blob in under the digest it should have.
    ///
    /// # Errors
    /// When it has another.
    pub fn add_blob(&mut self, digest: Digest, bytes: Vec<u8>) -> Result<(), PartsError> {
        if Digest::of(&bytes) != digest {
            return Err(PartsError::Blob(blob(&digest)));
        }
        self.blobs.insert(digest, bytes);
        Ok(())
    }

    /// Takes `opened.json` in. Every entry that commits to a text in it must be there before.
    ///
    /// # Errors
    /// When a text is not what was committed to, or nothing here commits to it.
    pub fn add_opened(&mut self, json: &[u8]) -> Result<(), PartsError> {
        let path = OPENED;
        let read = serde_json::from_slice::<Vec<Opened>>(json);
        let wanted = self.wanted();
        for opened in read.map_err(|source| PartsError::Json { path, source })? {
            let mut salt = [0; 32];
            let hex = hex::decode_to_slice(&opened.salt, &mut salt);
            let value = SealedValue {
                commitment: opened.sealed,
                salt,
                value: opened.value,
            };
            if hex.is_err() || !value.opens() || !wanted.contains(&opened.sealed) {
                return Err(PartsError::NotOpened(opened.sealed.hex()));
            }
            self.opened.insert(opened.sealed, value);
        }
        Ok(())
    }

    /// Takes `counted.json` in.
    ///
    /// # Errors
    /// When it is no list of counts.
    pub fn add_counted(&mut self, json: &[u8]) -> Result<(), PartsError> {
        let path = COUNTED;
        let read = serde_json::from_slice(json);
        self.asks = read.map_err(|source| PartsError::Json { path, source })?;
        Ok(())
    }

    pub(super) fn open(&mut self, value: SealedValue) {
        self.opened.insert(value.commitment, value);
    }

    pub(super) fn count(&mut self, mut asks: Vec<Asks>) {
        asks.sort();
        self.asks = asks;
    }

    /// Every text that the entries commit to and a pack opens.
    pub(super) fn wanted(&self) -> BTreeSet<Sealed> {
        let entries = self.entries();
        entries.flat_map(|entry| opens(&entry.event)).collect()
    }

    /// The files of texts and counts as they are made: what verifies them compares the bytes.
    ///
    /// # Errors
    /// Never in practice: both are plain data.
    pub fn rewritten(&self) -> Result<Vec<File>, PackError> {
        let mut files = self.files()?;
        files.retain(|file| [OPENED, COUNTED].contains(&file.path.as_str()));
        Ok(files)
    }

    /// The files that hold the parts, but for the receipts.
    pub(super) fn files(&self) -> Result<Vec<File>, PackError> {
        let opened = self.opened.values().map(|value| Opened {
            sealed: value.commitment,
            salt: hex::encode(value.salt),
            value: value.value.clone(),
        });
        let opened: Vec<Opened> = opened.collect();
        let write = |path, e: serde_json::Error| PackError::Write {
            path,
            source: e.into(),
        };
        let opened = serde_json::to_vec_pretty(&opened).map_err(|e| write(OPENED, e))?;
        let counted = serde_json::to_vec_pretty(&self.asks).map_err(|e| write(COUNTED, e))?;
        let mut files = vec![File::new(OPENED, opened), File::new(COUNTED, counted)];
        let blobs = self.blobs.iter();
        files.extend(blobs.map(|(digest, bytes)| File::new(blob(digest), bytes.clone())));
        Ok(files)
    }

    /// The stored bytes of the entries, in order.
    pub(super) fn stored(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let stored = self.entries.iter();
        stored.map(|(index, (bytes, _))| (*index, bytes.as_slice()))
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &LedgerEntry> + Clone {
        self.entries.values().map(|(_, entry)| entry)
    }

    pub(super) fn entry(&self, index: u64) -> Option<&LedgerEntry> {
        self.entries.get(&index).map(|(_, entry)| entry)
    }

    pub(super) fn text(&self, sealed: &Sealed) -> Option<&str> {
        self.opened.get(sealed).map(|opened| opened.value.as_str())
    }

    /// The name of a person, if it is known and was not erased.
    pub(super) fn name(&self, person: &PersonId) -> Option<&str> {
        self.text(self.names.get(person)?)
    }

    pub(super) fn bytes(&self, digest: &Digest) -> Option<&[u8]> {
        self.blobs.get(digest).map(Vec::as_slice)
    }

    pub(super) fn asks(&self) -> &[Asks] {
        &self.asks
    }
}
