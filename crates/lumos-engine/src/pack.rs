//! Evidence packs: everything the ledger says about one release, or about what came to run in a period, as files that
//! can be checked without LUMOS. A pack has *parts*, which prove themselves (entries by their receipts, texts by their
//! commitments, blobs by their digests), and files that follow from the parts alone. So whoever verifies a pack makes
//! it again from its parts and compares; nothing else in it needs to be believed.

use std::collections::BTreeMap;

use jiff::Timestamp;
use lumos_domain::id::{Digest, Environment, ReleaseId};
use lumos_ledger::{Checkpoint, VerifierKey, checkpoint, export};
use serde::{Deserialize, Serialize};

use crate::{
    door::DoorError,
    ports::{Blobs, PortError, Store},
    proofs::Hashes,
};

pub mod content;
mod dossier;
mod gather;
mod parts;
mod period;
mod shapes;
mod tables;
#[cfg(test)]
mod tests;
mod unseen;
mod workpapers;

pub use content::Pack;
pub use gather::{SAMPLE_MAX, gather};
pub use parts::{Asks, BLOB_BYTES_MAX, Parts, PartsError};

/// The `schema` of the packs written here.
pub const SCHEMA: &str = "lumos.evidence-pack/v1";

/// What a pack is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "about", rename_all = "snake_case", deny_unknown_fields)]
pub enum Asked {
    /// One release, from detection on.
    Release {
        /// Which.
        release: ReleaseId,
    },
    /// What came to run in a period.
    Period {
        /// The first instant.
        from: Timestamp,
        /// The first instant after it.
        to: Timestamp,
        /// Where; everywhere if none is named.
        environment: Option<Environment>,
        /// How many changes are drawn and shown in full.
        sample: u32,
        /// What they are drawn with; the root of the ledger if none was given.
        seed: String,
    },
}

/// The head of the ledger that a pack is made from. Nothing behind it is in the pack.
#[derive(Debug, Clone)]
pub struct Head {
    /// The checkpoint as it was signed.
    pub note: String,
    /// What it says.
    pub checkpoint: Checkpoint,
    /// The keys that verify it, the log's first.
    pub vkeys: Vec<VerifierKey>,
}

impl Head {
    /// Opens a signed checkpoint.
    ///
    /// # Errors
    /// When no such key signed it.
    pub fn open(note: &[u8], vkeys: Vec<VerifierKey>) -> Result<Self, checkpoint::Error> {
        let checkpoint = Checkpoint::open(note, &vkeys)?.checkpoint;
        Ok(Self {
            note: String::from_utf8_lossy(note).into_owned(),
            checkpoint,
            vkeys,
        })
    }
}

/// One file of a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its path in the pack, with `/` between components.
    pub path: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl File {
    fn new(path: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            path: path.into(),
            bytes: bytes.into(),
        }
    }
}

/// Why there is no pack.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// There is nothing of this name under the checkpoint.
    #[error("making an evidence pack: the ledger under this checkpoint knows no release `{0}`")]
    Unknown(ReleaseId),
    /// The period ends before it begins.
    #[error("making an evidence pack: the period ends before it begins")]
    Period,
    /// More changes are to be drawn than may be.
    #[error("making an evidence pack: a sample has at most {SAMPLE_MAX} changes")]
    Sample,
    /// The ledger could not be read.
    #[error(transparent)]
    Door(#[from] DoorError),
    /// A file could not be written as text.
    #[error("making an evidence pack: writing `{path}`")]
    Write {
        /// Which.
        path: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Whoever was to take the files did not.
    #[error("making an evidence pack: handing over `{path}`")]
    Taken {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

impl From<PortError> for PackError {
    fn from(error: PortError) -> Self {
        Self::Door(error.into())
    }
}

impl PackError {
    /// The stable code of this error, a page in `docs/errors/`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "unknown-thing",
            Self::Period | Self::Sample => "pack-asked-wrong",
            Self::Door(error) => error.code(),
            Self::Write { .. } | Self::Taken { .. } => "pack-failed",
        }
    }
}

/// Makes the page that people read out of the content that programs read, and out of nothing else.
pub type Page = fn(&Pack) -> Result<String, Box<dyn std::error::Error + Send + Sync>>;

/// What packs are made from.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// The ledger.
    pub store: &'a dyn Store,
    /// Large things.
    pub blobs: &'a dyn Blobs,
    /// What proofs are made from.
    pub proofs: &'a Hashes,
    /// How often each agent asked, which the ledger does not hold.
    pub asks: &'a [Asks],
}

/// Makes a pack and hands over its files one by one, `SHA256SUMS` last. Returns SHA-256 of that file, which stands for
/// all of them.
///
/// # Errors
/// When there is nothing of that name, the ledger cannot be read, or a file is not taken.
pub async fn make(
    source: Source<'_>,
    head: &Head,
    asked: &Asked,
    page: Page,
    take: &mut (dyn FnMut(File) -> std::io::Result<()> + Send),
) -> Result<Digest, PackError> {
    let parts = gather(source, head, asked).await?;
    let mut sums = Sums {
        lines: BTreeMap::new(),
        take,
    };
    for file in derived(&parts, head, asked, page)? {
        sums.hand_over(file)?;
    }
    for file in parts.files()? {
        sums.hand_over(file)?;
    }
    let size = head.checkpoint.size();
    for (index, entry) in parts.stored() {
        let proof = lumos_ledger::tlog_proof::TlogProof {
            extra: Some(entry.to_vec()),
            index,
            hashes: source.proofs.inclusion(source.store, index, size).await?,
            checkpoint: head.note.clone(),
        };
        sums.hand_over(File::new(parts::receipt(index), proof.to_string()))?;
    }
    sums.close()
}

/// The files that follow from the parts of a pack: made once by whoever makes the pack, and again by whoever verifies
/// it.
///
/// # Errors
/// When the page cannot be made.
pub fn derived(
    parts: &Parts,
    head: &Head,
    asked: &Asked,
    page: Page,
) -> Result<Vec<File>, PackError> {
    let pack = content::of(parts, head, asked);
    let write = |path: &'static str, source| PackError::Write { path, source };
    let json = serde_json::to_vec_pretty(&pack).map_err(|e| write("pack.json", e.into()))?;
    let html = page(&pack).map_err(|e| write("index.html", e))?;
    let mut files = vec![
        File::new("index.html", html),
        File::new("pack.json", json),
        File::new("VERIFY.md", guide()),
        File::new("vkeys", export::vkeys(&head.vkeys)),
        File::new("checkpoint", head.note.clone()),
    ];
    files.extend(workpapers::of(&pack));
    Ok(files)
}

/// The text of `VERIFY.md`: how to check a pack with foreign tools, and the whole of one of them.
#[must_use]
pub fn guide() -> String {
    let program = export::GUIDE.split_once("\n```go\n");
    let program = program.map(|(_, program)| program).unwrap_or_default();
    format!("{}\n```go\n{program}", include_str!("pack/VERIFY.md"))
}

/// Hands files over and remembers their digests.
struct Sums<'a> {
    lines: BTreeMap<String, Digest>,
    take: &'a mut (dyn FnMut(File) -> std::io::Result<()> + Send),
}

impl Sums<'_> {
    fn hand_over(&mut self, file: File) -> Result<(), PackError> {
        let path = file.path.clone();
        self.lines.insert(path.clone(), Digest::of(&file.bytes));
        (self.take)(file).map_err(|source| PackError::Taken { path, source })
    }

    fn close(self) -> Result<Digest, PackError> {
        let line = |(path, digest): (&String, &Digest)| format!("{}  {path}\n", digest.hex());
        let text: String = self.lines.iter().map(line).collect();
        let digest = Digest::of(text.as_bytes());
        let path = "SHA256SUMS".to_owned();
        (self.take)(File::new(path.clone(), text))
            .map_err(|source| PackError::Taken { path, source })?;
        Ok(digest)
    }
}
