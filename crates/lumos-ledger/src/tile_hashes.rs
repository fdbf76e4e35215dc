//! Subtree hashes served from tiles: a [`HashReader`] that opens each tile once, computes its inner
//! nodes once, and keeps a bounded number of them. Where tiles come from is the caller's affair.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::proof::HashReader;
use crate::tile::{self, HEIGHT, Kind, Tile, WIDTH};
use crate::tree::{Hash, node_hash};

/// Hands over the bytes of a tile.
pub trait TileReader {
    /// Why a tile could not be read.
    type Error;

    /// The bytes of exactly this tile: `width` hashes.
    ///
    /// # Errors
    /// Whatever the store behind it says.
    fn read_tile(&self, tile: &Tile) -> Result<Vec<u8>, Self::Error>;
}

/// Why a hash could not be served from tiles.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error<E> {
    /// The tree has no such complete subtree.
    #[error("reading the tree: no hash at level {level}, index {index}")]
    Absent {
        /// Height of the subtree above the leaves.
        level: u8,
        /// Its place at that height.
        index: u64,
    },
    /// The tile's bytes are not what its name says.
    #[error("reading `{tile}`")]
    Malformed {
        /// The tile.
        tile: Tile,
        /// What is wrong with it.
        source: tile::Error,
    },
    /// The tile could not be read.
    #[error("reading `{tile}`")]
    Read {
        /// The tile.
        tile: Tile,
        /// The store's own error.
        source: E,
    },
}

impl<E> Error<E> {
    /// Stable name of this failure, with a page in `docs/errors/`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Absent { .. } | Self::Read { .. } => "ledger-hash-absent",
            Self::Malformed { .. } => "ledger-tile-malformed",
        }
    }
}

/// A tile with its inner nodes: up to 511 hashes, 16 KiB.
#[derive(Debug)]
struct Expanded {
    rows: Vec<Vec<Hash>>,
}

impl Expanded {
    fn new(hashes: Vec<Hash>) -> Self {
        let mut rows = vec![hashes];
        // Row h holds the complete subtrees of 2^h tile hashes; row 8 belongs to the tile above.
        for height in 1..usize::from(HEIGHT) {
            let below = &rows[height - 1];
            let row = below
                .chunks_exact(2)
                .map(|pair| node_hash(&pair[0], &pair[1]))
                .collect();
            rows.push(row);
        }
        Self { rows }
    }
}

type Cached = HashMap<Tile, Arc<Expanded>>;

/// Expanded tiles in memory, at most a stated number, shared by readers of any size of one log.
///
/// Tiles never change once written, and a partial tile has its own name, so nothing goes stale.
#[derive(Debug)]
pub struct Cache {
    half: usize,
    // Two generations: when the young one is full it becomes the old one, and what nobody asked for
    // again is dropped. Cheaper than an exact least-recently-used order and as good for this use.
    generations: Mutex<(Cached, Cached)>,
}

impl Cache {
    /// Room for `tiles` tiles of 16 KiB each, at least two.
    pub fn new(tiles: usize) -> Self {
        Self {
            half: (tiles / 2).max(1),
            generations: Mutex::default(),
        }
    }

    fn get(&self, tile: &Tile) -> Option<Arc<Expanded>> {
        let mut generations = self
            .generations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = generations.0.get(tile) {
            return Some(Arc::clone(found));
        }
        let found = generations.1.remove(tile)?;
        self.keep(&mut generations, *tile, Arc::clone(&found));
        Some(found)
    }

    fn put(&self, tile: Tile, expanded: Arc<Expanded>) {
        let mut generations = self
            .generations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.keep(&mut generations, tile, expanded);
    }

    fn keep(&self, generations: &mut (Cached, Cached), tile: Tile, expanded: Arc<Expanded>) {
        if generations.0.len() >= self.half {
            generations.1 = std::mem::take(&mut generations.0);
        }
        generations.0.insert(tile, expanded);
    }
}

/// The hashes of a tree of one size, read from its tiles.
#[derive(Debug)]
pub struct TileHashes<'a, T> {
    size: u64,
    tiles: T,
    cache: &'a Cache,
}

impl<'a, T: TileReader> TileHashes<'a, T> {
    /// Reads the tree of `size` entries from `tiles`, remembering them in `cache`. A cache serves one
    /// log only.
    pub fn new(size: u64, tiles: T, cache: &'a Cache) -> Self {
        Self { size, tiles, cache }
    }

    fn expanded(&self, tile: Tile) -> Result<Arc<Expanded>, Error<T::Error>> {
        if let Some(found) = self.cache.get(&tile) {
            return Ok(found);
        }
        let bytes = self
            .tiles
            .read_tile(&tile)
            .map_err(|source| Error::Read { tile, source })?;
        let hashes = tile::decode_hashes(&bytes, tile.width())
            .map_err(|source| Error::Malformed { tile, source })?;
        let expanded = Arc::new(Expanded::new(hashes));
        self.cache.put(tile, Arc::clone(&expanded));
        Ok(expanded)
    }
}

impl<T: TileReader> HashReader for TileHashes<'_, T> {
    type Error = Error<T::Error>;

    fn read(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        let absent = Error::Absent { level, index };
        let width = 1u64.checked_shl(level.into());
        let end = width.and_then(|width| index.checked_add(1)?.checked_mul(width));
        if end.is_none_or(|end| end > self.size) {
            return Err(absent);
        }
        let height = level % HEIGHT;
        // A tile holds 2^(8 - height) subtrees of this height.
        let per_tile = u64::from(WIDTH) >> height;
        let kind = Kind::Hashes(level / HEIGHT);
        let Some(tile) = Tile::in_tree(kind, index / per_tile, self.size) else {
            return Err(absent);
        };
        let expanded = self.expanded(tile)?;
        let place = usize::try_from(index % per_tile).unwrap_or(usize::MAX);
        expanded.rows[usize::from(height)]
            .get(place)
            .copied()
            .ok_or(absent)
    }
}

#[cfg(test)]
mod tests;
