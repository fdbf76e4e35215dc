//! `lumos backup`, `lumos restore`, `lumos migrate`: a whole ledger in a folder, and one made from it. They work on the
//! files and the database themselves, a backup also while a server runs.
//!
//! Neither the keys nor the anchor are in a backup: who can read backups cannot sign, and an old backup is found out by
//! what was signed since.

use std::{fs, io::Read as _, path::Path};

use anyhow::{Context as _, Result};
use lumos_domain::id::Digest;
use lumos_engine::{notary::NotaryError, ports::Blobs};
use lumos_ledger::Checkpoint;
use lumos_store::snapshot::Checked;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::commands::Said;

mod migrate;
mod restore;
mod take;

pub(super) use migrate::migrate;
pub(super) use restore::restore;
pub(super) use take::take;

/// The snapshot of the database.
const DATABASE: &str = "lumos.db";
/// What a backup says of itself.
const ABOUT: &str = "backup.json";
/// The checkpoint that was signed last before it was made.
const CHECKPOINT: &str = "checkpoint";
/// What [`About::format`] says.
const FORMAT: &str = "lumos-backup/1";
/// Bytes that [`ABOUT`] may have; damaged blobs make it long.
const ABOUT_MAX: u64 = 16 << 20;
/// Digests asked for at a time.
const LISTED: u32 = 1_000;

/// What a backup says of itself.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct About {
    /// Which shape it has.
    format: String,
    /// The ledger it is of.
    origin: String,
    /// How many entries it has.
    size: u64,
    /// The root over them, in base64.
    root: String,
    /// SHA-256 of its database.
    database: Digest,
    /// When it was made.
    made: jiff::Timestamp,
    /// By which version.
    software: String,
    /// Its blobs.
    blobs: Copied,
}

/// What became of blobs that were copied.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Copied {
    /// How many there are.
    count: u64,
    /// Their bytes.
    bytes: u64,
    /// Those that do not have their digest any more, or could not be read: not there.
    damaged: Vec<Digest>,
}

impl Copied {
    /// What to answer: whoever lacks a blob is told.
    fn said(&self) -> Said {
        for digest in &self.damaged {
            eprintln!("blob {digest} is damaged and was left out");
        }
        if self.damaged.is_empty() {
            Said::Yes
        } else {
            Said::No
        }
    }
}

/// Copies every blob; each is held against its digest on the way.
async fn copy(from: &dyn Blobs, to: &dyn Blobs) -> Result<Copied> {
    let (mut copied, mut last) = (Copied::default(), None);
    loop {
        let digests = from.list(last.as_ref(), LISTED).await?;
        if digests.is_empty() {
            return Ok(copied);
        }
        last = digests.last().copied();
        for digest in digests {
            let Ok(Some(bytes)) = from.get(&digest).await else {
                copied.damaged.push(digest);
                continue;
            };
            let length = bytes.len() as u64;
            to.put(bytes).await.context("copying a blob")?;
            copied.count += 1;
            copied.bytes += length;
        }
    }
}

/// Refuses what is older than `checkpoint`, or another history. `checked` was asked about its size.
fn continues(checked: &Checked, checkpoint: &Checkpoint) -> Result<(), NotaryError> {
    let anchored = checkpoint.size();
    match &checked.earlier {
        None => Err(NotaryError::Behind {
            size: checked.head.size(),
            anchored,
        }),
        Some(earlier) if earlier.root() != *checkpoint.root() => {
            Err(NotaryError::Against { anchored })
        }
        Some(_) => Ok(()),
    }
}

/// SHA-256 of a file, read in pieces.
fn digest_of(path: &Path) -> Result<Digest> {
    let reading = || format!("reading `{}`", path.display());
    let mut file = fs::File::open(path).with_context(reading)?;
    let mut hasher = Sha256::new();
    let mut piece = vec![0; 1 << 20];
    loop {
        match file.read(&mut piece).with_context(reading)? {
            0 => break,
            read => hasher.update(&piece[..read]),
        }
    }
    Ok(Digest::from_bytes(hasher.finalize().into()))
}
