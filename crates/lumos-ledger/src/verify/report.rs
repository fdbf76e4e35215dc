//! The two answers of a verification: what was verified, or the first thing that does not agree.

use super::ReadError;
use crate::checkpoint::{self, Checkpoint};
use crate::note::{Note, VerifierKey};
use crate::tree::Hash;
use crate::{entry, tile};

/// What was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The checkpoint that everything agrees with.
    pub checkpoint: Checkpoint,
    /// The note that it was read from, as it was read.
    pub note: Note,
    /// Each trusted key that signed it, with a witness's time in seconds since 1970.
    pub signatures: Vec<(VerifierKey, Option<u64>)>,
    /// Entries hashed.
    pub entries: u64,
    /// Bytes in them.
    pub entry_bytes: u64,
    /// Hash tiles compared.
    pub tiles: u64,
    /// Streams whose versions have no gap; 0 when entries were taken as bytes.
    pub streams: u64,
    /// Sizes of the earlier checkpoints that this one continues.
    pub continues: Vec<u64>,
    /// The entries of the stream that was to be kept, each with its index, in order.
    pub kept: Vec<(u64, Vec<u8>)>,
}

/// The first thing that does not agree, with its file and index.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read.
    #[error("verifying the export: reading `{path}`")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: ReadError,
    },
    /// The checkpoint is not one, or no trusted key signed it.
    #[error("verifying the export: `checkpoint`")]
    Checkpoint(#[from] checkpoint::Error),
    /// A tile or bundle has another form than its name says.
    #[error("verifying the export: `{path}`")]
    File {
        /// The file.
        path: String,
        /// What is wrong with it.
        source: tile::Error,
    },
    /// A hash in a tile is not the one computed from what lies below it.
    #[error("verifying the export: hash {index} of `{path}` does not fit what is below it")]
    Tile {
        /// The file.
        path: String,
        /// Place of the hash in this file, from 0. In `tile/0/…` the entry at the same place of the
        /// bundle of the same number may as well be the wrong one.
        index: usize,
    },
    /// An entry is not an envelope.
    #[error("verifying the export: entry {index} in `{path}`")]
    Entry {
        /// The file.
        path: String,
        /// Index of the entry in the ledger.
        index: u64,
        /// What is wrong with it.
        source: entry::Error,
    },
    /// A stream skips or repeats a version.
    #[error(
        "verifying the export: entry {index} in `{path}` is version {found} of `{stream}`, not {expected}"
    )]
    Stream {
        /// The file.
        path: String,
        /// Index of the entry in the ledger.
        index: u64,
        /// The stream.
        stream: String,
        /// Version that had to come.
        expected: u64,
        /// Version found.
        found: u64,
    },
    /// Entries and tiles agree with each other, but not with the signed root.
    #[error(
        "verifying the export: the entries have root `{computed}`, the checkpoint says `{signed}`"
    )]
    Root {
        /// Root of the entries in the export.
        computed: Hash,
        /// Root in `checkpoint`.
        signed: Hash,
    },
    /// The log does not continue the earlier checkpoint: history was rewritten.
    #[error(
        "verifying the export: its log does not continue the earlier checkpoint of size {older}"
    )]
    History {
        /// Size of the earlier checkpoint.
        older: u64,
    },
    /// The stream that was to be kept has more entries than any has reason to.
    #[error(
        "verifying the export: over {} entries of the stream to keep",
        super::MAX_KEPT
    )]
    Kept,
    /// The caller added chunks out of order, or not all of them.
    #[error("verifying the export: chunk {expected} was to be added next")]
    Order {
        /// Chunk that had to come.
        expected: u64,
    },
}

impl Error {
    /// Stable name of this failure, with a page in `docs/errors/`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Read { .. } => "ledger-file-unreadable",
            Self::Checkpoint(error) => error.code(),
            Self::File { source, .. } => source.code(),
            Self::Tile { .. } => "ledger-tile-differs",
            Self::Entry { source, .. } => source.code(),
            Self::Stream { .. } => "ledger-stream-gap",
            Self::Root { .. } => "ledger-root-differs",
            Self::History { .. } => "ledger-history-differs",
            Self::Kept => "ledger-keys-too-many",
            Self::Order { .. } => "ledger-verify-order",
        }
    }
}
