//! The anchor of one node: the last signed checkpoint in a file beside the data directory, so that
//! restoring the directory does not take the checkpoint back with it (DECISIONS 21). It compares nothing;
//! the signer does, before it signs.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use lumos_domain::id::Digest;
use lumos_engine::ports::{Anchor, AnchorError, Held, PortError};

use crate::durable;

/// Bytes an anchored checkpoint may have; with many cosignatures it has some thousand.
const MAX_CHECKPOINT: u64 = 1 << 20;

/// The checkpoint in `DATA.anchor/checkpoint`.
#[derive(Debug)]
pub struct FileAnchor {
    path: PathBuf,
    writing: Mutex<()>,
}

impl FileAnchor {
    /// The anchor that belongs to the data directory `data`: its sibling `DATA.anchor`.
    ///
    /// # Errors
    /// [`PortError`] when `data` has no name to derive it from, such as `/` or `..`, and does not exist.
    pub fn beside(data: &Path) -> Result<Self, PortError> {
        let named = match data.file_name() {
            Some(_) => data.to_owned(),
            None => data
                .canonicalize()
                .map_err(|error| PortError::new("finding the anchor", error))?,
        };
        let mut name = named
            .file_name()
            .ok_or_else(|| {
                let problem = format!("`{}` has no name", data.display());
                PortError::new("finding the anchor", problem)
            })?
            .to_owned();
        name.push(".anchor");
        Ok(Self::at(&named.with_file_name(name)))
    }

    /// The anchor in the directory `dir`, which is made when first needed.
    #[must_use]
    pub fn at(dir: &Path) -> Self {
        Self {
            path: dir.join("checkpoint"),
            writing: Mutex::new(()),
        }
    }

    /// Where the checkpoint is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The anchored checkpoint, if there is one, for whoever only reads it.
    ///
    /// # Errors
    /// [`PortError`] when it cannot be read.
    pub fn checkpoint(&self) -> Result<Option<Vec<u8>>, PortError> {
        let failed =
            |error| PortError::new(format!("reading anchor `{}`", self.path.display()), error);
        self.read().map_err(failed)
    }

    fn read(&self) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.take(MAX_CHECKPOINT + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_CHECKPOINT {
            return Err(too_large());
        }
        Ok(Some(bytes))
    }

    /// Writes `checkpoint` if the file still holds what was `seen`; says whether it did.
    fn write(&self, seen: Option<&str>, checkpoint: &[u8]) -> io::Result<bool> {
        if checkpoint.len() as u64 > MAX_CHECKPOINT {
            return Err(too_large());
        }
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.read()?.as_deref().map(tag).as_deref() != seen {
            return Ok(false);
        }
        if let Some(dir) = self.path.parent() {
            durable::make_dir(dir)?;
            durable::sweep(dir)?;
        }
        durable::replace(&self.path, checkpoint)?;
        Ok(true)
    }
}

/// One state of the file: its bytes.
fn tag(bytes: &[u8]) -> String {
    Digest::of(bytes).hex()
}

fn too_large() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("a checkpoint is over {MAX_CHECKPOINT} bytes"),
    )
}

/// Blocks while it reads and writes: a few milliseconds, and whoever is cut off in between cannot leave a write behind
/// that happens later.
#[async_trait]
impl Anchor for FileAnchor {
    fn place(&self) -> String {
        self.path.display().to_string()
    }

    async fn load(&self) -> Result<Option<Held>, PortError> {
        let found = self.checkpoint()?;
        Ok(found.map(|note| Held {
            tag: tag(&note),
            note,
        }))
    }

    async fn replace(&self, seen: Option<&Held>, checkpoint: &[u8]) -> Result<Held, AnchorError> {
        let written = self.write(seen.map(|seen| &*seen.tag), checkpoint);
        let written = written.map_err(|error| {
            PortError::new(format!("writing anchor `{}`", self.path.display()), error)
        })?;
        if written {
            Ok(Held {
                note: checkpoint.to_vec(),
                tag: tag(checkpoint),
            })
        } else {
            Err(AnchorError::Moved)
        }
    }
}
