//! An export: the whole log as files that can be handed to somebody else. It says which files there
//! are and builds each one's bytes; writing them to a disk or an archive is the caller's affair.

use std::fmt;

use crate::note::{Note, VerifierKey};
use crate::proof::HashReader;
use crate::tile::{self, Kind, Tile, WIDTH, all_tiles};

/// Serves the entries of the log.
pub trait EntryReader {
    /// Why entries could not be read.
    type Error;

    /// The stored bytes of `count` entries from index `first` on, in order.
    ///
    /// # Errors
    /// Whatever the store behind it says.
    fn read_entries(&self, first: u64, count: u16) -> Result<Vec<Vec<u8>>, Self::Error>;
}

/// One file of an export. Prints as its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum File {
    /// `checkpoint`: the signed head.
    Checkpoint,
    /// `vkeys`: one verifier key a line, the log's first.
    Vkeys,
    /// `VERIFY.md`: how to check all this with tools that are not LUMOS.
    Guide,
    /// `tile/…`: hashes or entries.
    Tile(Tile),
}

impl fmt::Display for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checkpoint => f.write_str("checkpoint"),
            Self::Vkeys => f.write_str("vkeys"),
            Self::Guide => f.write_str("VERIFY.md"),
            Self::Tile(tile) => tile.fmt(f),
        }
    }
}

/// Every file of an export of `size` entries.
pub fn files(size: u64) -> impl Iterator<Item = File> {
    [File::Guide, File::Vkeys, File::Checkpoint]
        .into_iter()
        .chain(all_tiles(size).map(File::Tile))
}

/// Why a file of an export could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error<E, H> {
    /// The entries could not be read.
    #[error("exporting `{path}`: reading entries")]
    Entries {
        /// The file being built.
        path: String,
        /// The store's own error.
        source: E,
    },
    /// The hashes could not be read.
    #[error("exporting `{path}`: reading hashes")]
    Hashes {
        /// The file being built.
        path: String,
        /// The store's own error.
        source: H,
    },
    /// The store handed over another number of entries, or one that is too long.
    #[error("exporting `{path}`")]
    Bundle {
        /// The file being built.
        path: String,
        /// What is wrong with the entries.
        source: tile::Error,
    },
}

impl<E, H> Error<E, H> {
    /// Stable name of this failure, with a page in `docs/errors/`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Entries { .. } => "ledger-file-unreadable",
            Self::Hashes { .. } => "ledger-hash-absent",
            Self::Bundle { source, .. } => source.code(),
        }
    }
}

/// What an export is built from.
#[derive(Debug)]
pub struct Export<'a, E, H> {
    /// The signed checkpoint, as published.
    pub checkpoint: &'a Note,
    /// Keys of the log and its witnesses, the log's first.
    pub vkeys: &'a [VerifierKey],
    /// The entries.
    pub entries: E,
    /// The stored hashes; only levels 0, 8, 16 … are read.
    pub hashes: H,
}

impl<E: EntryReader, H: HashReader> Export<'_, E, H> {
    /// The bytes of one file.
    ///
    /// # Errors
    /// [`Error`] when the log behind it cannot be read.
    pub fn bytes(&self, file: &File) -> Result<Vec<u8>, Error<E::Error, H::Error>> {
        match file {
            File::Checkpoint => Ok(self.checkpoint.to_string().into_bytes()),
            File::Vkeys => Ok(vkeys(self.vkeys).into_bytes()),
            File::Guide => Ok(GUIDE.as_bytes().to_vec()),
            File::Tile(tile) if tile.kind() == Kind::Entries => self.bundle(tile),
            File::Tile(tile) => tile
                .read_hashes(&self.hashes)
                .map_err(|source| Error::Hashes {
                    path: tile.to_string(),
                    source,
                }),
        }
    }

    fn bundle(&self, tile: &Tile) -> Result<Vec<u8>, Error<E::Error, H::Error>> {
        let (path, width) = (tile.to_string(), tile.width());
        let first = tile.index() * u64::from(WIDTH);
        let entries = match self.entries.read_entries(first, width) {
            Ok(entries) => entries,
            Err(source) => return Err(Error::Entries { path, source }),
        };
        let bundle = if entries.len() == usize::from(width) {
            tile::encode_bundle(&entries)
        } else {
            Err(tile::Error::Bundle { width })
        };
        bundle.map_err(|source| Error::Bundle { path, source })
    }
}

/// The file `vkeys`: one key a line.
pub fn vkeys(keys: &[VerifierKey]) -> String {
    keys.iter().map(|key| format!("{key}\n")).collect()
}

/// The path of the list of all keys that the log ever had, in the form of `vkeys`: no key in it is to be trusted for
/// that.
pub const HANDED: &str = "handover/vkeys";

/// The path of the checkpoint by which `key` handed over to the next, where it did: both signed it.
pub fn handover(key: &VerifierKey) -> String {
    format!("handover/{:08x}", key.id())
}

/// The text of `VERIFY.md`: commands for foreign tools, and the whole of a foreign verifier in Go, so
/// that an export needs nothing beside it.
pub const GUIDE: &str = concat!(
    include_str!("export/VERIFY.md"),
    include_str!("../../../xtask/foreign/go/verify.go"),
    "```\n",
);

#[cfg(test)]
mod foreign;
#[cfg(test)]
mod tests;
