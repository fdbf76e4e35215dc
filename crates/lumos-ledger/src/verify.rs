//! Offline verification of an export: does every byte of it agree with a checkpoint signed by a key
//! the caller trusts. It reads through [`Source`], in order and in constant memory, takes no key from
//! the export itself, and judges no event.

use std::collections::HashMap;
use std::error::Error as StdError;

use crate::checkpoint::{Checkpoint, Opened};
use crate::entry::{self, Position};
use crate::note::{MAX_NOTE, VerifierKey};
use crate::proof::{self, consistency, verify_consistency};
use crate::tile::{self, Kind, MAX_ENTRY, Tile, WIDTH};
use crate::tile_hashes::{self, Cache, TileHashes, TileReader};
use crate::tree::{Hash, leaf_hash, root};

pub mod anchored;
mod fold;
mod parallel;
mod report;

pub use fold::Fold;
pub use parallel::{Progress, verify_on, verify_watched};
pub use report::{Error, Report};

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
    /// Earlier checkpoints of the same log, already trusted, that this one must continue.
    pub earlier: &'a [Checkpoint],
    /// How closely to look at entries.
    pub depth: Depth,
    /// A stream whose entries are kept for the [`Report`], unless entries are taken as bytes: what the log says of
    /// itself, such as which keys sign it.
    pub keep: Option<&'a str>,
}

/// Most entries kept of one stream.
pub const MAX_KEPT: usize = 4_096;

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
    kept: Vec<(u64, Vec<u8>)>,
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
        let mut earlier = trust.earlier.iter();
        match earlier.find(|e| e.origin() != found.origin() || e.size() > found.size()) {
            Some(older) => Err(Error::History {
                older: older.size(),
            }),
            None => Ok(verification),
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
            kept: Vec::new(),
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
            if self.trust.keep == Some(position.stream.as_ref()) {
                chunk.kept.push((index, entry.to_vec()));
            }
        }
        Ok(leaves)
    }

    fn position<'e>(&self, entry: &'e [u8]) -> Result<Option<Position<'e>>, entry::Error> {
        match self.trust.depth {
            Depth::Bytes => Ok(None),
            Depth::Streams => Position::parse(entry).map(Some),
            Depth::Envelopes => Position::parse_strict(entry).map(Some),
        }
    }

    /// The other half of the work: takes the chunks in order.
    pub fn fold(&self) -> Fold<'_, 'a, S> {
        Fold::new(self)
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
