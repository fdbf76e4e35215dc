//! Evidence packs: everything the ledger says about one release, or about what came to run in a period, as files that
//! can be checked without LUMOS. A pack has *parts*, which prove themselves (entries by their receipts, texts by their
//! commitments, blobs by their digests), and files that follow from the parts alone. So whoever verifies a pack makes
//! it again from its parts and compares; nothing else in it needs to be believed.

use std::collections::BTreeMap;

use jiff::Timestamp;
use lumos_domain::id::{Digest, Environment, ReleaseId};
use lumos_ledger::{Checkpoint, VerifierKey, checkpoint, export, tlog_proof::TlogProof};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

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

/// The file that lists every other one with its SHA-256, as `sha256sum` reads it.
pub const SUMS: &str = "SHA256SUMS";

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
    /// The log's keys that signed it.
    pub vkeys: Vec<VerifierKey>,
}

impl Head {
    /// Opens a signed checkpoint, of which some of `known` are the log's keys.
    ///
    /// # Errors
    /// When no such key signed it.
    pub fn open(note: &[u8], known: &[VerifierKey]) -> Result<Self, checkpoint::Error> {
        let opened = Checkpoint::open(note, known)?;
        let origin = opened.checkpoint.origin();
        let own = opened.signatures.iter().map(|signature| signature.key);
        let own = own.filter(|key| key.name() == origin);
        Ok(Self {
            note: String::from_utf8_lossy(note).into_owned(),
            vkeys: own.cloned().collect(),
            checkpoint: opened.checkpoint,
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
    #[error("making an evidence pack: nobody took `{path}`")]
    Taken {
        /// Which.
        path: String,
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

/// Makes a pack and sends its files one by one, `SHA256SUMS` last. Returns SHA-256 of that file, which stands for all of
/// them.
///
/// # Errors
/// When there is nothing of that name, the ledger cannot be read, or nobody takes the files.
pub async fn make(
    source: Source<'_>,
    head: &Head,
    asked: &Asked,
    page: Page,
    into: mpsc::Sender<File>,
) -> Result<Digest, PackError> {
    let parts = gather(source, head, asked).await?;
    let mut sums = Sums {
        lines: BTreeMap::new(),
        into,
    };
    for file in derived(&parts, head, asked, page)? {
        sums.send(file).await?;
    }
    for file in parts.files()? {
        sums.send(file).await?;
    }
    for (index, entry) in parts.stored() {
        let proof = proof(source, head, index, entry).await?;
        let receipt = File::new(parts::receipt(index), proof.to_string());
        sums.send(receipt).await?;
    }
    sums.close().await
}

/// One file of the pack, by its path; `None` when it has no such file. `SHA256SUMS` is for whoever takes them all.
///
/// # Errors
/// As [`make`].
pub async fn one_file(
    source: Source<'_>,
    head: &Head,
    asked: &Asked,
    page: Page,
    path: &str,
) -> Result<Option<Vec<u8>>, PackError> {
    let parts = gather(source, head, asked).await?;
    let receipt = parts
        .stored()
        .find(|(index, _)| parts::receipt(*index) == path);
    if let Some((index, entry)) = receipt {
        let proof = proof(source, head, index, entry).await?;
        return Ok(Some(proof.to_string().into_bytes()));
    }
    let mut files = derived(&parts, head, asked, page)?;
    files.extend(parts.files()?);
    let found = files.into_iter().find(|file| file.path == path);
    Ok(found.map(|file| file.bytes))
}

async fn proof(
    source: Source<'_>,
    head: &Head,
    index: u64,
    entry: &[u8],
) -> Result<TlogProof, PackError> {
    let size = head.checkpoint.size();
    Ok(TlogProof {
        extra: Some(entry.to_vec()),
        index,
        hashes: source.proofs.inclusion(source.store, index, size).await?,
        checkpoint: head.note.clone(),
    })
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

/// Sends files and remembers their digests.
struct Sums {
    lines: BTreeMap<String, Digest>,
    into: mpsc::Sender<File>,
}

impl Sums {
    async fn send(&mut self, file: File) -> Result<(), PackError> {
        let path = file.path.clone();
        self.lines.insert(path.clone(), Digest::of(&file.bytes));
        let sent = self.into.send(file).await;
        sent.map_err(|_| PackError::Taken { path })
    }

    async fn close(self) -> Result<Digest, PackError> {
        let line = |(path, digest): (&String, &Digest)| format!("{}  {path}\n", digest.hex());
        let text: String = self.lines.iter().map(line).collect();
        let digest = Digest::of(text.as_bytes());
        let path = SUMS.to_owned();
        let sent = self.into.send(File::new(path.clone(), text)).await;
        sent.map_err(|_| PackError::Taken { path })?;
        Ok(digest)
    }
}
