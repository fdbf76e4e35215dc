//! Tiles and entry bundles (C2SP tlog-tiles): which files a tree of a given size has, how they are
//! named, and what bytes are in them. It reads no files and caches nothing.

use std::fmt;
use std::str::FromStr;

use crate::proof::HashReader;
use crate::tree::{Hash, MAX_SIZE};

/// Hashes in a full tile, entries in a full bundle.
pub const WIDTH: u16 = 256;

/// Levels of the tree in one tile: 2^8 = [`WIDTH`].
pub const HEIGHT: u8 = 8;

/// Highest tile level: a tree of 2^63 entries has none above.
pub const MAX_LEVEL: u8 = 7;

/// Largest entry, in bytes: its length is written as 16 bits.
pub const MAX_ENTRY: usize = 65_535;

/// What a tile holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Hashes of this tile level: roots of subtrees of `256^level` entries.
    Hashes(u8),
    /// The entries themselves.
    Entries,
}

/// One file of the log: its kind, its place, and how much of it there is.
///
/// Prints and parses as the path `tile/<L>/<N>[.p/<W>]` or `tile/entries/<N>[.p/<W>]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tile {
    kind: Kind,
    index: u64,
    width: u16,
}

/// Why a path or a bundle was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not the one spelling of a tile's path.
    #[error("reading a tile path: `{0}` is not one")]
    Path(String),
    /// A tile that no tree has: level, index or width out of range.
    #[error("naming a tile: level, index or width is out of range")]
    Range,
    /// The bundle is cut short, runs on, or holds another number of entries.
    #[error("reading an entry bundle: it does not hold exactly {width} entries")]
    Bundle {
        /// Entries expected.
        width: u16,
    },
    /// The bytes are not a whole number of hashes, or another number of them.
    #[error("reading a tile: {found} bytes are not {width} hashes")]
    Hashes {
        /// Hashes expected.
        width: u16,
        /// Bytes found.
        found: usize,
    },
    /// An entry is longer than its 16-bit length can say.
    #[error("writing an entry bundle: an entry of {bytes} bytes is over 65535")]
    EntryTooLarge {
        /// Length of the entry.
        bytes: usize,
    },
}

impl Error {
    /// Stable name of this failure, with a page in `docs/errors/`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Path(_) | Self::Range => "ledger-tile-path-malformed",
            Self::Bundle { .. } => "ledger-bundle-malformed",
            Self::Hashes { .. } => "ledger-tile-malformed",
            Self::EntryTooLarge { .. } => "ledger-entry-too-large",
        }
    }
}

impl Tile {
    /// A tile of `width` (1 to 256) hashes or entries.
    ///
    /// # Errors
    /// [`Error::Range`] when no tree has such a tile.
    pub fn new(kind: Kind, index: u64, width: u16) -> Result<Self, Error> {
        let level = match kind {
            Kind::Hashes(level) => level,
            Kind::Entries => 0,
        };
        // The first entry below this tile must have an index that 63 bits can hold.
        let bits = u32::from(HEIGHT) * (u32::from(level) + 1);
        let fits = level <= MAX_LEVEL && index <= MAX_SIZE.checked_shr(bits).unwrap_or(0);
        if fits && (1..=WIDTH).contains(&width) {
            Ok(Self { kind, index, width })
        } else {
            Err(Error::Range)
        }
    }

    /// The tile `index` of this kind as a tree of `size` entries has it: full, partial, or not at all.
    pub fn in_tree(kind: Kind, index: u64, size: u64) -> Option<Self> {
        let width = count(kind, size).checked_sub(index.checked_mul(WIDTH.into())?)?;
        let width = u16::try_from(width.min(WIDTH.into()))
            .ok()
            .filter(|width| *width > 0)?;
        Self::new(kind, index, width).ok()
    }

    /// Hashes of which level, or entries.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Place among the tiles of its kind, from 0.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Hashes or entries in it, 1 to 256.
    pub fn width(&self) -> u16 {
        self.width
    }

    /// Whether it can still grow.
    pub fn is_partial(&self) -> bool {
        self.width < WIDTH
    }

    /// The bytes of a hash tile, concatenated from the tree's stored hashes; nothing for entries.
    ///
    /// # Errors
    /// The reader's own error.
    pub fn read_hashes<R: HashReader>(&self, reader: &R) -> Result<Vec<u8>, R::Error> {
        let mut bytes = Vec::new();
        if let Kind::Hashes(level) = self.kind {
            let first = self.index * u64::from(WIDTH);
            for index in first..first + u64::from(self.width) {
                bytes.extend_from_slice(reader.read(HEIGHT * level, index)?.as_bytes());
            }
        }
        Ok(bytes)
    }
}

/// Hashes at this tile level (complete subtrees only), or entries, in a tree of `size` entries.
fn count(kind: Kind, size: u64) -> u64 {
    match kind {
        Kind::Hashes(level) => size
            .checked_shr(u32::from(HEIGHT) * u32::from(level))
            .unwrap_or(0),
        Kind::Entries => size,
    }
}

/// Every tile of one kind in a tree of `size` entries, in order; the last one may be partial.
pub fn tiles(kind: Kind, size: u64) -> impl Iterator<Item = Tile> {
    let tiles = count(kind, size).div_ceil(WIDTH.into());
    (0..tiles).filter_map(move |index| Tile::in_tree(kind, index, size))
}

/// Every tile a tree of `size` entries has: entry bundles, then hash tiles from level 0 up.
pub fn all_tiles(size: u64) -> impl Iterator<Item = Tile> {
    let kinds = std::iter::once(Kind::Entries).chain((0..=MAX_LEVEL).map(Kind::Hashes));
    kinds.flat_map(move |kind| tiles(kind, size))
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Hashes(level) => write!(f, "tile/{level}/")?,
            Kind::Entries => f.write_str("tile/entries/")?,
        }
        // 1234067 is x001/x234/067: groups of three digits, all but the last marked.
        let mut groups = vec![format!("{:03}", self.index % 1000)];
        let mut rest = self.index / 1000;
        while rest > 0 {
            groups.push(format!("x{:03}", rest % 1000));
            rest /= 1000;
        }
        groups.reverse();
        f.write_str(&groups.join("/"))?;
        if self.is_partial() {
            write!(f, ".p/{}", self.width)
        } else {
            Ok(())
        }
    }
}

impl FromStr for Tile {
    type Err = Error;

    fn from_str(path: &str) -> Result<Self, Error> {
        // Everything a path can say is reprinted and compared, so that each tile has one spelling.
        parse_path(path)
            .filter(|tile| tile.to_string() == path)
            .ok_or_else(|| {
                let shown = path.chars().take(80).collect();
                Error::Path(shown)
            })
    }
}

fn parse_path(path: &str) -> Option<Tile> {
    const LONGEST: usize = 64;
    let (kind, rest) = path
        .strip_prefix("tile/")
        .filter(|_| path.len() <= LONGEST)?
        .split_once('/')?;
    let kind = if kind == "entries" {
        Kind::Entries
    } else {
        Kind::Hashes(kind.parse().ok()?)
    };
    let (index, width) = match rest.split_once(".p/") {
        Some((index, width)) => (index, width.parse().ok().filter(|width| *width < WIDTH)?),
        None => (rest, WIDTH),
    };
    let index = index.split('/').try_fold(0u64, |index, group| {
        let group: u64 = group.strip_prefix('x').unwrap_or(group).parse().ok()?;
        index.checked_mul(1000)?.checked_add(group)
    })?;
    Tile::new(kind, index, width).ok()
}

/// Reads the hashes of a tile of `width`.
///
/// # Errors
/// [`Error::Hashes`] when the bytes are not exactly that many hashes.
pub fn decode_hashes(bytes: &[u8], width: u16) -> Result<Vec<Hash>, Error> {
    let refused = Error::Hashes {
        width,
        found: bytes.len(),
    };
    if bytes.len() != usize::from(width) * Hash::SIZE {
        return Err(refused);
    }
    bytes
        .chunks_exact(Hash::SIZE)
        .map(|hash| Hash::try_from(hash).map_err(|_| refused.clone()))
        .collect()
}

/// Writes an entry bundle: for each entry its length as 16 bits big-endian, then its bytes.
///
/// # Errors
/// [`Error::EntryTooLarge`] when an entry is over [`MAX_ENTRY`] bytes.
pub fn encode_bundle<E: AsRef<[u8]>>(
    entries: impl IntoIterator<Item = E>,
) -> Result<Vec<u8>, Error> {
    let mut bundle = Vec::new();
    for entry in entries {
        let entry = entry.as_ref();
        let length =
            u16::try_from(entry.len()).map_err(|_| Error::EntryTooLarge { bytes: entry.len() })?;
        bundle.extend_from_slice(&length.to_be_bytes());
        bundle.extend_from_slice(entry);
    }
    Ok(bundle)
}

/// Reads an entry bundle of exactly `width` entries, without copying them.
///
/// # Errors
/// [`Error::Bundle`] when it is cut short, runs on, or holds another number.
pub fn decode_bundle(bundle: &[u8], width: u16) -> Result<Vec<&[u8]>, Error> {
    let mut entries = Vec::with_capacity(width.min(WIDTH).into());
    let mut rest = bundle;
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length));
        let Some((entry, after)) = after.split_at_checked(length) else {
            break;
        };
        if entries.len() == usize::from(width) {
            break;
        }
        entries.push(entry);
        rest = after;
    }
    if rest.is_empty() && entries.len() == usize::from(width) {
        Ok(entries)
    } else {
        Err(Error::Bundle { width })
    }
}

#[cfg(test)]
mod tests;
