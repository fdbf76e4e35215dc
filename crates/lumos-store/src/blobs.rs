//! Content-addressed files under `DIR/blobs`: evidence, reports, documents. What a digest names is
//! checked each time it is read, so a damaged file is an error and never an answer.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use lumos_domain::id::Digest;
use lumos_engine::ports::{Blobs, PortError};
use tokio::task;

use crate::durable;

/// Digits of a digest that name the folder of its blob.
const FOLDER: usize = 2;

/// A directory of blobs: `blobs/ab/cdef…`, the name being the SHA-256 of the bytes.
#[derive(Debug, Clone)]
pub struct DirBlobs {
    root: Arc<Path>,
}

impl DirBlobs {
    /// The blobs of the data directory `dir`, which this process holds. Removes what a killed process
    /// left unfinished.
    ///
    /// # Errors
    /// [`PortError`] when the directory cannot be made or read.
    pub fn open(dir: &Path) -> Result<Self, PortError> {
        let root = dir.join("blobs");
        let open = || -> io::Result<()> {
            durable::make_dir(&root)?;
            for entry in fs::read_dir(&root)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    durable::sweep(&entry.path())?;
                }
            }
            Ok(())
        };
        open().map_err(|error| {
            PortError::new(format!("opening blobs in `{}`", root.display()), error)
        })?;
        Ok(Self { root: root.into() })
    }

    /// The blobs of a data directory that another process may hold, to be read.
    #[must_use]
    pub fn of(dir: &Path) -> Self {
        Self {
            root: dir.join("blobs").into(),
        }
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        let (folder, name) = hex.split_at(FOLDER);
        self.root.join(folder).join(name)
    }
}

#[async_trait]
impl Blobs for DirBlobs {
    async fn put(&self, bytes: Vec<u8>) -> Result<Digest, PortError> {
        let blobs = self.clone();
        let work = move || {
            let digest = Digest::of(&bytes);
            write(&blobs.path(&digest), &digest, &bytes).map(|()| digest)
        };
        match task::spawn_blocking(work).await {
            Ok(Ok(digest)) => Ok(digest),
            Ok(Err(error)) => Err(PortError::new("storing a blob", error)),
            Err(error) => Err(PortError::new("storing a blob", error)),
        }
    }

    async fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>, PortError> {
        let (path, digest) = (self.path(digest), *digest);
        let work = move || read(&path, &digest);
        let doing = || format!("reading blob `{digest}`");
        match task::spawn_blocking(work).await {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(error)) => Err(PortError::new(doing(), error)),
            Err(error) => Err(PortError::new(doing(), error)),
        }
    }

    async fn list(&self, after: Option<&Digest>, max: u32) -> Result<Vec<Digest>, PortError> {
        let (root, after) = (Arc::clone(&self.root), after.map(Digest::hex));
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        let work = move || list(&root, after.as_deref(), max);
        match task::spawn_blocking(work).await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => Err(PortError::new("listing blobs", error)),
            Err(error) => Err(PortError::new("listing blobs", error)),
        }
    }
}

/// The digests that the names of files say, those after `after`, at most `max`, in order. What is no such name was not
/// put there by LUMOS.
fn list(root: &Path, after: Option<&str>, max: usize) -> io::Result<Vec<Digest>> {
    let begin = after.map_or("", |hex| &hex[..FOLDER]);
    let mut found = Vec::new();
    for folder in names(root)? {
        if found.len() >= max {
            break;
        }
        if folder.len() != FOLDER || *folder < *begin {
            continue;
        }
        let hex = names(&root.join(&folder))?;
        let hex = hex.into_iter().map(|name| format!("{folder}{name}"));
        let later = hex.filter(|hex| after.is_none_or(|after| **hex > *after));
        found.extend(later.filter_map(|hex| format!("sha256:{hex}").parse::<Digest>().ok()));
    }
    found.truncate(max);
    Ok(found)
}

/// The names in a directory, in order.
fn names(dir: &Path) -> io::Result<Vec<String>> {
    let names = fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name().into_string().ok()));
    let mut names: Vec<String> = names
        .filter_map(io::Result::transpose)
        .collect::<io::Result<_>>()?;
    names.sort_unstable();
    Ok(names)
}

fn write(path: &Path, digest: &Digest, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    durable::make_dir(folder)?;
    match read(path, digest) {
        // There already; but who put it may have died before its name was durable.
        Ok(Some(_)) => durable::sync_dir(folder),
        // Missing, or damaged and now mended.
        Ok(None) | Err(_) => durable::replace(path, bytes),
    }
}

fn read(path: &Path, digest: &Digest) -> io::Result<Option<Vec<u8>>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if Digest::of(&bytes) == *digest {
        Ok(Some(bytes))
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the file does not have this digest any more",
        ))
    }
}
