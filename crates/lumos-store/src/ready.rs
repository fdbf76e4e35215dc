//! An append made ready on the caller's side, so that who writes for all hashes and formats nothing. The same
//! for every store.

use lumos_domain::{
    seal::{Sealed, SealedValue},
    stream::Stream,
};
use lumos_engine::ports::{Append, AppendError, PortError, Statement};
use lumos_ledger::{Hash, entry::MAX_STREAM_VERSION, tile::MAX_ENTRY, tree};

/// An append with every name written out and every entry hashed.
pub(crate) struct Ready {
    pub(crate) command_id: String,
    pub(crate) reads: Vec<Seen>,
    pub(crate) entries: Vec<ReadyEntry>,
    pub(crate) sealed: Vec<SealedValue>,
    /// Whose values are taken away.
    pub(crate) erase: Vec<Sealed>,
    pub(crate) lease: Option<Statement>,
}

/// A stream at the version that the decision saw.
pub(crate) struct Seen {
    pub(crate) stream: Stream,
    pub(crate) name: String,
    pub(crate) version: u64,
}

/// An entry with its leaf hash.
pub(crate) struct ReadyEntry {
    pub(crate) stream: Stream,
    pub(crate) name: String,
    pub(crate) version: u64,
    pub(crate) kind: &'static str,
    pub(crate) bytes: Vec<u8>,
    pub(crate) leaf: Hash,
    pub(crate) projections: Vec<Statement>,
}

impl Ready {
    /// Names and hashes everything, and refuses what no ledger could hold.
    pub(crate) fn new(append: Append) -> Result<Self, AppendError> {
        let reads = append.reads.into_iter().map(|(stream, version)| Seen {
            name: stream.to_string(),
            stream,
            version,
        });
        let entries = append.entries.into_iter().map(|entry| {
            if entry.bytes.len() > MAX_ENTRY {
                let size = entry.bytes.len();
                return Err(refused(format!(
                    "an entry of {size} bytes is over {MAX_ENTRY}"
                )));
            }
            if !(1..=MAX_STREAM_VERSION).contains(&entry.version) {
                return Err(refused(format!("{} is no stream version", entry.version)));
            }
            Ok(ReadyEntry {
                name: entry.stream.to_string(),
                leaf: tree::leaf_hash(&entry.bytes),
                stream: entry.stream,
                version: entry.version,
                kind: entry.kind,
                bytes: entry.bytes,
                projections: entry.projections,
            })
        });
        Ok(Self {
            command_id: append.command_id.to_string(),
            reads: reads.collect(),
            entries: entries.collect::<Result<_, AppendError>>()?,
            sealed: append.sealed,
            erase: append.erase,
            lease: append.lease,
        })
    }

    /// Whether it takes values away.
    pub(crate) const fn erases(&self) -> bool {
        !self.erase.is_empty()
    }

    /// How many entries it has.
    pub(crate) fn count(&self) -> u64 {
        self.entries.len() as u64
    }

    /// The version that each stream has once this is written.
    pub(crate) fn versions(&self) -> impl Iterator<Item = (&str, u64)> {
        let entries = self.entries.iter();
        entries.map(|entry| (entry.name.as_str(), entry.version))
    }
}

/// The answer when a stream is at another version than the decision saw.
pub(crate) fn conflict(stream: &Stream, seen: u64, now: u64) -> AppendError {
    AppendError::Conflict {
        stream: stream.clone(),
        seen,
        now,
    }
}

fn refused(problem: String) -> AppendError {
    AppendError::Store(PortError::new("appending to the ledger", problem))
}
