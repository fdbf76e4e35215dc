//! `lumos ledger`: reading and exporting ask the server; verifying asks nobody.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use lumos_ledger::{
    Checkpoint, VerifierKey,
    export::{self, File},
};
use serde_json::json;

use super::{Out, Said, text, timestamps};
use crate::{
    cli::{Common, Ledger, Verify},
    remote::{Refused, Remote},
};

mod pack;
mod receipt;
mod records;
mod said;
mod stamped;
pub(super) mod target;
mod trust;
mod verify;

pub(super) use target::is_held;

pub(super) async fn run(ledger: Ledger, common: &Common, out: &Out) -> Result<Said> {
    match ledger {
        Ledger::Show { from, limit } => {
            let (from, limit) = (from.to_string(), limit.to_string());
            let query = [("from", from.as_str()), ("limit", limit.as_str())];
            let entries = Remote::of(common)?
                .look_up("/api/v1/ledger/entries", &query)
                .await?;
            if out.json {
                outln!("{entries:#}");
                return Ok(Said::Yes);
            }
            for e in entries.as_array().into_iter().flatten() {
                let (time, actor) = (text(e, "time"), text(e, "actor"));
                outln!(
                    "{:>6}  {time}  {actor:30} {:36} {}",
                    super::scalar(&e["index"]),
                    text(e, "type"),
                    text(e, "stream")
                );
            }
            Ok(Said::Yes)
        }
        Ledger::Export { dir } => {
            let size = export(&Remote::of(common)?, &dir).await?;
            out.tell(
                &format!("exported {size} entries to {}", dir.display()),
                &json!({ "size": size }),
            );
            Ok(Said::Yes)
        }
        Ledger::Verify(asked) => verify::run(asked, common, *out).await,
        Ledger::Timestamps { dir, authority } => {
            timestamps::run(&dir, authority.as_deref(), common, out).await
        }
        Ledger::Proof { index, out: into } => {
            let receipt = Remote::of(common)?
                .bytes(&format!("/api/v1/ledger/entries/{index}/proof"))
                .await?;
            match into {
                Some(path) => std::fs::write(&path, receipt)
                    .with_context(|| format!("writing `{}`", path.display()))?,
                None => out!("{}", String::from_utf8_lossy(&receipt)),
            }
            Ok(Said::Yes)
        }
        Ledger::Checkpoint => {
            let note = Remote::of(common)?.bytes("/ledger/checkpoint").await?;
            out!("{}", String::from_utf8_lossy(&note));
            Ok(Said::Yes)
        }
    }
}

/// Writes an export of the published ledger into `dir`; returns its size.
///
/// # Errors
/// When the server cannot be read or a file not be written.
pub(super) async fn export(remote: &Remote, dir: &Path) -> Result<u64> {
    let trust = remote.get("/api/v1/trust").await?;
    let vkeys: Vec<&str> = trust["vkeys"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|k| k.as_str())
        .collect();
    let keys: Vec<VerifierKey> = vkeys
        .iter()
        .map(|key| key.parse())
        .collect::<Result<_, _>>()?;
    let note = remote.bytes("/ledger/checkpoint").await?;
    let size = Checkpoint::open(&note, &keys)
        .context("reading the checkpoint")?
        .checkpoint
        .size();
    declare(remote, "export", size).await;
    for file in export::files(size) {
        let bytes = match &file {
            File::Checkpoint => note.clone(),
            File::Vkeys => export::vkeys(&keys).into_bytes(),
            File::Guide => export::GUIDE.as_bytes().to_vec(),
            File::Tile(tile) => remote.bytes(&format!("/ledger/{tile}")).await?,
        };
        let path = dir.join(file.to_string());
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("making `{}`", folder.display()))?;
        }
        std::fs::write(&path, bytes).with_context(|| format!("writing `{}`", path.display()))?;
    }
    handovers(remote, dir).await?;
    Ok(size)
}

/// Says to a server that its ledger is about to be read, which becomes an entry. Where it does not, that is said aloud
/// and reading goes on: the proof of a ledger must be readable when something is wrong with it.
async fn declare(remote: &Remote, reading: &str, size: u64) {
    let body = json!({ "reading": reading, "size": size });
    if let Err(error) = remote.post("/api/v1/readings", &body).await {
        eprintln!("the ledger does not record this {reading}: {error:#}");
    }
}

/// Writes the checkpoints by which older keys handed over, and which keys the log ever had.
async fn handovers(remote: &Remote, dir: &Path) -> Result<()> {
    let keys = remote.get("/api/v1/keys").await?;
    let keys: Vec<VerifierKey> = trust::listed(&keys)
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    let mut files = vec![(export::HANDED.to_owned(), export::vkeys(&keys).into_bytes())];
    for key in &keys {
        let path = export::handover(key);
        match remote.bytes(&format!("/ledger/{path}")).await {
            Ok(note) => files.push((path, note)),
            Err(error) if is_absent(&error) => {}
            Err(error) => return Err(error),
        }
    }
    // One key says all there is.
    if keys.len() < 2 {
        return Ok(());
    }
    for (path, bytes) in files {
        let file = dir.join(path);
        std::fs::create_dir_all(dir.join("handover"))
            .and_then(|()| std::fs::write(&file, bytes))
            .with_context(|| format!("writing `{}`", file.display()))?;
    }
    Ok(())
}

fn is_absent(error: &anyhow::Error) -> bool {
    let refused = error.downcast_ref::<Refused>();
    refused.is_some_and(|refused| refused.status == 404)
}

/// Verifies an export with no server, no database and no network.
///
/// # Errors
/// When the key or the export's own files cannot be read. What does not verify is a [`Said::No`].
pub(super) async fn verify_export(dir: PathBuf, vkey: String, out: Out) -> Result<Said> {
    let asked = Verify {
        target: Some(dir),
        vkey: vec![vkey],
        policy: None,
        since: Vec::new(),
        timestamps: None,
        authority: None,
        entry: None,
    };
    let nowhere = Common {
        config: None,
        data: None,
        server: None,
    };
    verify::run(asked, &nowhere, out).await
}
