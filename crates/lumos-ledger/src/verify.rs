//! Offline verification of an export: does every byte of it agree with a checkpoint signed by a key
//! the caller trusts. It reads through [`Source`], in order and in constant memory, takes no key from
//! the export itself, and judges no event.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::error::Error as StdError;

use crate::checkpoint::{self, Checkpoint, Opened};
use crate::entry::{self, Envelope, Position};
use crate::note::{MAX_NOTE, VerifierKey};
use crate::proof::{self, consistency, verify_consistency};
use crate::tile::{self, Kind, MAX_ENTRY, Tile, WIDTH};
use crate::tile_hashes::{self, Cache, TileHashes, TileReader};
use crate::tree::{EMPTY_ROOT, Frontier, Hash, fold_right, leaf_hash, root};

mod parallel;

pub use parallel::verify_on;

/// Bundles in one [`Chunk`]: 4,096 entries.
pub const CHUNK_BUNDLES: u64 = 16;

/// What a [`Source`] answers when it cannot read a file.
pub type ReadError = Box<dyn StdError + Send + Sync>;

/// The files of an export, wherever they are: a directory, an archive, a server.
pub trait Source {
    /// The bytes of the file at this path, relative to the export's root.
    ///
    /// # Errors
    /// When it cannot be read, or is longer than `max_bytes`; a source should not read further.
    fn read(&self, path: &str, max_bytes: usize) -> Result<Vec<u8>, ReadError>;
}

impl<S: Source + ?Sized> Source for &S {
    fn read(&self, path: &str, max_bytes: usize) -> Result<Vec<u8>, ReadError> {
        (**self).read(path, max_bytes)
    }
}

/// How closely to look at entries. The tree is checked in full whichever is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Depth {
    /// Entries are bytes: for logs that are not LUMOS's.
    Bytes,
    /// Entries are JSON, and each stream's versions run from 1 without a gap.
    Streams,
    /// As `Streams`, and every envelope is read strictly.
    #[default]
    Envelopes,
}

/// What the verifier brings; nothing of it comes from the export.
#[derive(Debug, Clone, Copy)]
pub struct Trust<'a> {
    /// Keys obtained apart from the export; one must be the log's own.
    pub keys: &'a [VerifierKey],
    /// An earlier checkpoint of the same log, already trusted, that this one must continue.
    pub older: Option<&'a Checkpoint>,
    /// How closely to look at entries.
    pub depth: Depth,
}

/// What was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The checkpoint that everything agrees with.
    pub checkpoint: Checkpoint,
    /// Each trusted key that signed it, by name, with a witness's time in seconds since 1970.
    pub signatures: Vec<(String, Option<u64>)>,
    /// Entries hashed.
    pub entries: u64,
    /// Bytes in them.
    pub entry_bytes: u64,
    /// Hash tiles compared.
    pub tiles: u64,
    /// Streams whose versions have no gap; 0 when entries were taken as bytes.
    pub streams: u64,
    /// Size of the earlier checkpoint that this one continues.
    pub continues: Option<u64>,
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
            Self::Order { .. } => "ledger-verify-order",
        }
    }
}

/// Verifies a whole export on the calling thread.
///
/// # Errors
/// The first thing that does not agree.
pub fn verify(source: &impl Source, trust: &Trust<'_>) -> Result<Report, Error> {
    let verification = Verification::open(source, trust)?;
    let mut fold = verification.fold();
    for chunk in 0..verification.chunks() {
        fold.add(verification.check(chunk)?)?;
    }
    fold.finish()
}

/// A verification under way, for callers who spread the work: [`Verification::check`] any chunk on
/// any thread, then hand the results in order to one [`Fold`].
#[derive(Debug)]
pub struct Verification<'a, S> {
    source: &'a S,
    trust: Trust<'a>,
    opened: Opened<'a>,
}

/// What [`Verification::check`] found in one run of entries: they agree with each other, and still
/// have to fit their neighbours.
#[derive(Debug)]
pub struct Chunk {
    number: u64,
    size: u64,
    entries: u64,
    entry_bytes: u64,
    tiles: u64,
    roots: Vec<Hash>,
    edge: Vec<Hash>,
    streams: HashMap<Box<str>, Run>,
}

/// A gap-free run of one stream's versions.
#[derive(Debug)]
struct Run {
    first: u64,
    last: u64,
    first_index: u64,
}

impl<'a, S: Source> Verification<'a, S> {
    /// Reads and opens the checkpoint; the rest is not touched yet.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Checkpoint`] or, when the earlier checkpoint is of another log or
    /// larger, [`Error::History`].
    pub fn open(source: &'a S, trust: &Trust<'a>) -> Result<Self, Error> {
        let bytes = read(source, "checkpoint", MAX_NOTE)?;
        let opened = Checkpoint::open(&bytes, trust.keys)?;
        let verification = Self {
            source,
            trust: *trust,
            opened,
        };
        let found = verification.checkpoint();
        match trust.older {
            Some(older) if older.origin() != found.origin() || older.size() > found.size() => {
                Err(Error::History {
                    older: older.size(),
                })
            }
            _ => Ok(verification),
        }
    }

    /// The signed checkpoint.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.opened.checkpoint
    }

    /// How many chunks there are.
    pub fn chunks(&self) -> u64 {
        self.checkpoint()
            .size()
            .div_ceil(CHUNK_BUNDLES * u64::from(WIDTH))
    }

    /// Hashes and reads the entries of one chunk, and compares its level-0 tiles.
    ///
    /// # Errors
    /// The first thing in this chunk that does not agree.
    pub fn check(&self, number: u64) -> Result<Chunk, Error> {
        let size = self.checkpoint().size();
        let mut chunk = Chunk {
            number,
            size,
            entries: 0,
            entry_bytes: 0,
            tiles: 0,
            roots: Vec::new(),
            edge: Vec::new(),
            streams: HashMap::new(),
        };
        let first = number.saturating_mul(CHUNK_BUNDLES);
        for index in first..first.saturating_add(CHUNK_BUNDLES) {
            let Some(bundle) = Tile::in_tree(Kind::Entries, index, size) else {
                break;
            };
            let leaves = self.check_bundle(&bundle, &mut chunk)?;
            compare(self.source, Kind::Hashes(0), index, &leaves)?;
            chunk.tiles += 1;
            if bundle.is_partial() {
                chunk.edge = leaves;
            } else {
                chunk.roots.push(root(&leaves));
            }
        }
        Ok(chunk)
    }

    fn check_bundle(&self, bundle: &Tile, chunk: &mut Chunk) -> Result<Vec<Hash>, Error> {
        let (path, width) = (bundle.to_string(), bundle.width());
        let bytes = read(self.source, &path, usize::from(width) * (2 + MAX_ENTRY))?;
        let entries = match tile::decode_bundle(&bytes, width) {
            Ok(entries) => entries,
            Err(source) => return Err(Error::File { path, source }),
        };
        let mut leaves = Vec::with_capacity(entries.len());
        for (index, entry) in (bundle.index() * u64::from(WIDTH)..).zip(entries) {
            leaves.push(leaf_hash(entry));
            chunk.entries += 1;
            chunk.entry_bytes += entry.len() as u64;
            let position = match self.position(entry) {
                Ok(Some(position)) => position,
                Ok(None) => continue,
                Err(source) => {
                    return Err(Error::Entry {
                        path,
                        index,
                        source,
                    });
                }
            };
            chunk.extend_stream(&position, index)?;
        }
        Ok(leaves)
    }

    fn position<'e>(&self, entry: &'e [u8]) -> Result<Option<Position<'e>>, entry::Error> {
        match self.trust.depth {
            Depth::Bytes => Ok(None),
            Depth::Streams => Position::parse(entry).map(Some),
            Depth::Envelopes => Envelope::parse(entry).map(|envelope| {
                let stream = envelope.subject.into();
                Some(Position {
                    stream,
                    version: envelope.streamversion,
                })
            }),
        }
    }

    /// The other half of the work: takes the chunks in order.
    pub fn fold(&self) -> Fold<'_, 'a, S> {
        Fold {
            verification: self,
            next: 0,
            report: Report {
                checkpoint: self.checkpoint().clone(),
                signatures: self
                    .opened
                    .signatures
                    .iter()
                    .map(|signature| (signature.key.name().to_owned(), signature.time))
                    .collect(),
                entries: 0,
                entry_bytes: 0,
                tiles: 0,
                streams: 0,
                continues: None,
            },
            edge: Vec::new(),
            levels: Vec::new(),
            streams: HashMap::new(),
        }
    }
}

impl Chunk {
    fn extend_stream(&mut self, position: &Position<'_>, index: u64) -> Result<(), Error> {
        let found = position.version;
        match self.streams.get_mut(position.stream.as_ref()) {
            Some(run) if found == run.last + 1 => run.last = found,
            Some(run) => return Err(gap(&position.stream, index, run.last, found, self.size)),
            None => {
                let run = Run {
                    first: found,
                    last: found,
                    first_index: index,
                };
                self.streams.insert(position.stream.as_ref().into(), run);
            }
        }
        Ok(())
    }
}

/// Joins checked chunks into the whole tree, and ends in the [`Report`].
#[derive(Debug)]
pub struct Fold<'v, 'a, S> {
    verification: &'v Verification<'a, S>,
    next: u64,
    report: Report,
    // Leaf hashes of the unfinished level-0 tile.
    edge: Vec<Hash>,
    // For tile levels 1, 2, …: tiles finished, and the hashes of the one that grows.
    levels: Vec<(u64, Vec<Hash>)>,
    streams: HashMap<Box<str>, u64>,
}

impl<S: Source> Fold<'_, '_, S> {
    /// Adds the next chunk.
    ///
    /// # Errors
    /// [`Error::Order`] when it is not the next; otherwise what does not agree with its neighbours.
    pub fn add(&mut self, chunk: Chunk) -> Result<(), Error> {
        if chunk.number != self.next {
            return Err(Error::Order {
                expected: self.next,
            });
        }
        self.next += 1;
        self.report.entries += chunk.entries;
        self.report.entry_bytes += chunk.entry_bytes;
        self.report.tiles += chunk.tiles;
        self.edge = chunk.edge;
        for root in chunk.roots {
            self.push(root)?;
        }
        self.join_streams(chunk.streams)
    }

    /// Adds the root of a full level-0 tile, and of every full tile that this completes.
    fn push(&mut self, hash: Hash) -> Result<(), Error> {
        let mut hash = hash;
        for level in 1.. {
            if self.levels.len() < usize::from(level) {
                self.levels.push((0, Vec::with_capacity(WIDTH.into())));
            }
            let (finished, hashes) = &mut self.levels[usize::from(level) - 1];
            hashes.push(hash);
            if hashes.len() < usize::from(WIDTH) {
                break;
            }
            compare(
                self.verification.source,
                Kind::Hashes(level),
                *finished,
                hashes,
            )?;
            hash = root(hashes);
            *finished += 1;
            hashes.clear();
            self.report.tiles += 1;
        }
        Ok(())
    }

    fn join_streams(&mut self, runs: HashMap<Box<str>, Run>) -> Result<(), Error> {
        // The earliest gap is reported, whatever order the map has.
        let size = self.verification.checkpoint().size();
        let mut earliest: Option<(u64, Error)> = None;
        for (stream, run) in runs {
            let slot = self.streams.entry(stream);
            let last = match &slot {
                Slot::Occupied(slot) => *slot.get(),
                Slot::Vacant(_) => 0,
            };
            if run.first == last + 1 {
                slot.insert_entry(run.last);
            } else if earliest
                .as_ref()
                .is_none_or(|(index, _)| run.first_index < *index)
            {
                let error = gap(slot.key(), run.first_index, last, run.first, size);
                earliest = Some((run.first_index, error));
            }
        }
        earliest.map_or(Ok(()), |(_, error)| Err(error))
    }

    /// Compares the unfinished tiles and the root, then the earlier checkpoint.
    ///
    /// # Errors
    /// [`Error::Order`] when chunks are missing; otherwise what does not agree.
    pub fn finish(mut self) -> Result<Report, Error> {
        let source = self.verification.source;
        if self.next != self.verification.chunks() {
            return Err(Error::Order {
                expected: self.next,
            });
        }
        let mut computed = edge_root(&self.edge, None);
        for ((finished, hashes), level) in self.levels.iter().zip(1..) {
            if !hashes.is_empty() {
                compare(source, Kind::Hashes(level), *finished, hashes)?;
                self.report.tiles += 1;
            }
            computed = edge_root(hashes, computed);
        }
        let computed = computed.unwrap_or(EMPTY_ROOT);
        let signed = *self.verification.checkpoint().root();
        if computed != signed {
            return Err(Error::Root { computed, signed });
        }
        self.report.streams = self.streams.len() as u64;
        if let Some(older) = self.verification.trust.older {
            self.verification.continues(older)?;
            self.report.continues = Some(older.size());
        }
        Ok(self.report)
    }
}

impl<S: Source> Verification<'_, S> {
    /// The tiles only help to find the proof; the proof is checked against both signed roots.
    fn continues(&self, older: &Checkpoint) -> Result<(), Error> {
        let found = self.checkpoint();
        let cache = Cache::new(32);
        let hashes = TileHashes::new(found.size(), Files(self.source), &cache);
        let proof =
            consistency(older.size(), found.size(), &hashes).map_err(|error| match error {
                proof::Error::Read(tile_hashes::Error::Read { source, .. }) => source,
                proof::Error::Read(tile_hashes::Error::Malformed { tile, source }) => Error::File {
                    path: tile.to_string(),
                    source,
                },
                _ => Error::History {
                    older: older.size(),
                },
            })?;
        let (old, new) = ((older.size(), older.root()), (found.size(), found.root()));
        verify_consistency(old, new, &proof).map_err(|_| Error::History {
            older: older.size(),
        })
    }
}

struct Files<'a, S>(&'a S);

impl<S: Source> TileReader for Files<'_, S> {
    type Error = Error;

    fn read_tile(&self, tile: &Tile) -> Result<Vec<u8>, Error> {
        read(
            self.0,
            &tile.to_string(),
            usize::from(tile.width()) * Hash::SIZE,
        )
    }
}

/// Joins the complete subtrees of an unfinished tile with what stands to its right.
fn edge_root(hashes: &[Hash], right: Option<Hash>) -> Option<Hash> {
    let mut frontier = Frontier::new();
    hashes.iter().for_each(|hash| frontier.append(*hash));
    fold_right(frontier.roots(), right)
}

/// Compares the tile in the export with the hashes it must hold.
fn compare(source: &impl Source, kind: Kind, index: u64, hashes: &[Hash]) -> Result<(), Error> {
    let width = u16::try_from(hashes.len()).unwrap_or(u16::MAX);
    let path = match Tile::new(kind, index, width) {
        Ok(tile) => tile.to_string(),
        Err(source) => {
            return Err(Error::File {
                path: format!("{kind:?} {index}"),
                source,
            });
        }
    };
    let bytes = read(source, &path, hashes.len() * Hash::SIZE)?;
    if bytes.len() != hashes.len() * Hash::SIZE {
        let source = tile::Error::Hashes {
            width,
            found: bytes.len(),
        };
        return Err(Error::File { path, source });
    }
    let stored = bytes.chunks_exact(Hash::SIZE);
    match stored
        .zip(hashes)
        .position(|(stored, hash)| stored != hash.as_bytes())
    {
        Some(index) => Err(Error::Tile { path, index }),
        None => Ok(()),
    }
}

fn read(source: &impl Source, path: &str, max_bytes: usize) -> Result<Vec<u8>, Error> {
    source.read(path, max_bytes).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })
}

fn gap(stream: &str, index: u64, last: u64, found: u64, size: u64) -> Error {
    let bundle = Tile::in_tree(Kind::Entries, index / u64::from(WIDTH), size);
    let path = bundle.map(|tile| tile.to_string()).unwrap_or_default();
    Error::Stream {
        path,
        index,
        stream: stream.to_owned(),
        expected: last + 1,
        found,
    }
}

#[cfg(test)]
mod tests;
