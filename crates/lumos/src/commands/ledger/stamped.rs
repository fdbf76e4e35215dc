//! Checkpoints that an authority stamped (RFC 3161), as `lumos ledger timestamps` wrote them: what the log said at a
//! time that somebody else vouches for.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use lumos_ledger::{Checkpoint, VerifierKey};
use lumos_timestamp::Authority;

use super::verify::read;
use crate::{cli::Verify, commands::timestamps::trusted};

/// A stamped checkpoint.
pub(super) struct Stamped {
    pub(super) checkpoint: Checkpoint,
    /// When the authority saw it, or why its word does not count.
    pub(super) time: Result<Timestamp, String>,
}

/// The stamped checkpoints that the caller brings, the longest last.
///
/// # Errors
/// When a file cannot be read, or one is no checkpoint of this log.
pub(super) fn all(asked: &Verify, keys: &[VerifierKey]) -> Result<Vec<Stamped>> {
    let (Some(dir), Some(authority)) = (&asked.timestamps, &asked.authority) else {
        return Ok(Vec::new());
    };
    let authority = trusted(authority)?;
    let listed = fs::read_dir(dir).with_context(|| format!("reading `{}`", dir.display()))?;
    let mut all = Vec::new();
    for entry in listed {
        let path = entry?.path();
        if path.extension().is_some_and(|kind| kind == "checkpoint") {
            all.push(one(&path, &authority, keys)?);
        }
    }
    all.sort_by_key(|stamped| stamped.checkpoint.size());
    Ok(all)
}

fn one(path: &Path, authority: &Authority, keys: &[VerifierKey]) -> Result<Stamped> {
    let note = read(path)?;
    let reply = read(&path.with_extension("tsr"))?;
    let opened = Checkpoint::open(&note, keys)
        .with_context(|| format!("reading the stamped `{}`", path.display()))?;
    let vouched = authority.verify(&reply, &note);
    Ok(Stamped {
        checkpoint: opened.checkpoint,
        time: vouched.map_err(|error| format!("{error} (code {})", error.code())),
    })
}
