//! What can be verified, each as a source of the same files: an export in a folder, a live server, a data directory.
//! Nothing here is believed; it is only read.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result, bail};
use lumos_engine::ports::Store as _;
use lumos_ledger::{
    Frontier, Hash,
    tile::{self, Kind, Tile, WIDTH},
    tree,
    verify::{ReadError, Source},
};
use lumos_store::{FileAnchor, SqliteStore};
use tempfile::TempDir;
use tokio::runtime::Handle;

use super::trust;
use crate::{remote::Remote, storage};

/// The database in a data directory.
const DATABASE: &str = "lumos.db";
/// What SQLite keeps beside it and has not merged yet.
const WAL: &str = "lumos.db-wal";
/// Entries read at a time.
const CHUNK: u64 = 1_024;

/// What is verified.
pub(super) enum Target {
    /// An export.
    Export(PathBuf),
    /// A running server, over `/ledger/` as any client of tlog-tiles reads it.
    Live(Live),
    /// A data directory that no server runs on.
    Data(Database, Vec<u8>),
}

impl Source for Target {
    fn read(&self, path: &str, max_bytes: usize) -> Result<Vec<u8>, ReadError> {
        match self {
            Self::Export(dir) => read_file(&dir.join(path), max_bytes),
            Self::Live(live) => live.read(path, max_bytes),
            Self::Data(_, checkpoint) if path == "checkpoint" => Ok(checkpoint.clone()),
            Self::Data(database, _) => match path.strip_prefix("handover/") {
                Some(key_id) => Ok(trust::kept(database, key_id).ok_or("no key handed over so")?),
                None => database.file(&path.parse()?),
            },
        }
    }
}

fn read_file(path: &Path, max_bytes: usize) -> Result<Vec<u8>, ReadError> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(max_bytes)?.saturating_add(1);
    fs::File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    bounded(bytes, max_bytes)
}

fn bounded(bytes: Vec<u8>, max_bytes: usize) -> Result<Vec<u8>, ReadError> {
    if bytes.len() > max_bytes {
        return Err("it is longer than it may be".into());
    }
    Ok(bytes)
}

/// A server, asked from threads that are not the runtime's.
pub(super) struct Live {
    pub(super) remote: Remote,
    pub(super) handle: Handle,
}

impl Live {
    fn read(&self, path: &str, max_bytes: usize) -> Result<Vec<u8>, ReadError> {
        let path = format!("/ledger/{path}");
        let bytes = self.handle.block_on(self.remote.bytes(&path));
        // Nothing here is shared with an answer that is an error, so its text is all there is to keep.
        bounded(bytes.map_err(|error| format!("{error:#}"))?, max_bytes)
    }
}

/// A database of LUMOS, opened as a copy: what is verified is not written to.
pub(in crate::commands) struct Database {
    pub(in crate::commands) store: Arc<SqliteStore>,
    pub(super) handle: Handle,
    _copy: TempDir,
}

/// Whether `path` is a data directory or a database file, rather than something else to verify or compare with.
pub(in crate::commands) fn is_database(path: &Path) -> bool {
    path.join(DATABASE).is_file() || path.file_name().is_some_and(|name| name == DATABASE)
}

impl Database {
    /// Copies the database at `path`, a data directory or its `lumos.db`, and opens the copy.
    ///
    /// # Errors
    /// When a server runs on it, it cannot be copied, or it contradicts itself.
    pub(in crate::commands) fn open(path: &Path, handle: Handle) -> Result<Self> {
        let dir = if path.is_dir() {
            path
        } else {
            path.parent().unwrap_or(path)
        };
        if is_held(dir) {
            bail!(
                "`{}` is in use by a server: verify that server with `lumos ledger verify --server URL`, or a backup",
                dir.display()
            );
        }
        let copy = tempfile::tempdir().context("making a folder for the copy of the database")?;
        for file in [DATABASE, WAL] {
            let from = dir.join(file);
            if file == DATABASE || from.exists() {
                fs::copy(&from, copy.path().join(file))
                    .with_context(|| format!("copying `{}`", from.display()))?;
            }
        }
        let store = Arc::new(SqliteStore::open(copy.path(), &storage::schema())?);
        Ok(Self {
            store,
            handle,
            _copy: copy,
        })
    }

    /// The head that the entries themselves have, hashed from their bytes.
    ///
    /// # Errors
    /// When they cannot be read, or one is missing.
    pub(super) fn head(&self) -> Result<Frontier, ReadError> {
        let size = self.handle.block_on(self.store.frontier())?.size();
        let mut frontier = Frontier::new();
        while frontier.size() < size {
            let first = frontier.size();
            for entry in self.entries(first, CHUNK.min(size - first))? {
                frontier.append(tree::leaf_hash(&entry));
            }
        }
        Ok(frontier)
    }

    /// `count` entries from index `first` on.
    fn entries(&self, first: u64, count: u64) -> Result<Vec<Vec<u8>>, ReadError> {
        let read = self.store.entries(first, u32::try_from(count)?);
        let stored = self.handle.block_on(read)?;
        let mut entries = Vec::with_capacity(stored.len());
        for (index, entry) in (first..).zip(stored) {
            if entry.index != index {
                return Err(format!("entry {index} is missing from the database").into());
            }
            entries.push(entry.bytes);
        }
        if entries.len() as u64 != count {
            let index = first + entries.len() as u64;
            return Err(format!("entry {index} is missing from the database").into());
        }
        Ok(entries)
    }

    /// The file of an export that this database makes, from its stored leaf hashes and its stored entries.
    fn file(&self, tile: &Tile) -> Result<Vec<u8>, ReadError> {
        let first = tile.index() * u64::from(WIDTH);
        let Kind::Hashes(level) = tile.kind() else {
            let entries = self.entries(first, tile.width().into())?;
            return Ok(tile::encode_bundle(entries)?);
        };
        let below = u64::from(WIDTH).pow(level.into());
        let mut bytes = Vec::with_capacity(usize::from(tile.width()) * Hash::SIZE);
        for index in first..first + u64::from(tile.width()) {
            bytes.extend_from_slice(self.subtree(index * below, below)?.as_bytes());
        }
        Ok(bytes)
    }

    /// The root over `width` stored leaf hashes, a power of two of them.
    fn subtree(&self, first: u64, width: u64) -> Result<Hash, ReadError> {
        let mut frontier = Frontier::new();
        while frontier.size() < width {
            let from = first + frontier.size();
            let to = (first + width).min(from + CHUNK);
            for leaf in self.handle.block_on(self.store.leaves(from, to))? {
                frontier.append(leaf);
            }
        }
        Ok(frontier.root())
    }
}

/// The checkpoint that was signed last for the data directory `dir`, or before the backup in it was made.
///
/// # Errors
/// When there is none.
pub(in crate::commands) fn anchored(dir: &Path) -> Result<Vec<u8>> {
    let anchor = FileAnchor::beside(dir)?;
    let anchored = match anchor.checkpoint()? {
        None => fs::read(dir.join("checkpoint")).ok(),
        anchored => anchored,
    };
    anchored.with_context(|| {
        format!(
            "there is no checkpoint in `{}`: a database without its anchor can be compared with a ledger \
             (`lumos ledger verify --since {}`), not verified by itself",
            anchor.path().display(),
            dir.display()
        )
    })
}

/// Whether a running server holds the lock of `dir`.
pub(in crate::commands) fn is_held(dir: &Path) -> bool {
    let lock = fs::File::open(dir.join("lock"));
    lock.is_ok_and(|lock| matches!(lock.try_lock(), Err(fs::TryLockError::WouldBlock)))
}
