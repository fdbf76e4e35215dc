//! `lumos ledger`: reading and exporting ask the server; verifying asks nobody.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use lumos_ledger::{
    Checkpoint, VerifierKey,
    export::{self, File},
    verify::{Depth, ReadError, Source, Trust, verify_on},
};
use serde_json::json;

use super::{Out, Said, text, timestamps};
use crate::{
    cli::{Common, Ledger},
    remote::Remote,
};

pub(super) async fn run(ledger: Ledger, common: &Common, out: &Out) -> Result<Said> {
    match ledger {
        Ledger::Show { from, limit } => {
            let (from, limit) = (from.to_string(), limit.to_string());
            let query = [("from", from.as_str()), ("limit", limit.as_str())];
            let entries = Remote::of(common)?
                .look_up("/api/v1/ledger/entries", &query)
                .await?;
            if out.json {
                println!("{entries:#}");
                return Ok(Said::Yes);
            }
            for e in entries.as_array().into_iter().flatten() {
                let (time, actor) = (text(e, "time"), text(e, "actor"));
                println!(
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
        Ledger::Verify { dir, vkey, older } => verify(&dir, vkey.as_deref(), older.as_deref(), out),
        Ledger::Timestamps { dir, authority } => {
            timestamps::run(&dir, authority.as_deref(), common, out).await
        }
        Ledger::Proof { index } => {
            let receipt = Remote::of(common)?
                .bytes(&format!("/api/v1/ledger/entries/{index}/proof"))
                .await?;
            print!("{}", String::from_utf8_lossy(&receipt));
            Ok(Said::Yes)
        }
        Ledger::Checkpoint => {
            let note = Remote::of(common)?.bytes("/ledger/checkpoint").await?;
            print!("{}", String::from_utf8_lossy(&note));
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
    Ok(size)
}

/// An export in a folder.
struct Folder(PathBuf);

impl Source for Folder {
    fn read(&self, path: &str, max_bytes: usize) -> Result<Vec<u8>, ReadError> {
        let file = std::fs::File::open(self.0.join(path))?;
        let mut bytes = Vec::new();
        let limit = u64::try_from(max_bytes)?.saturating_add(1);
        file.take(limit).read_to_end(&mut bytes)?;
        if bytes.len() > max_bytes {
            return Err("it is longer than it may be".into());
        }
        Ok(bytes)
    }
}

/// Verifies an export with no server, no database and no network.
///
/// # Errors
/// When a key or file that the caller named cannot be read. What does not verify is a [`Said::No`].
pub(super) fn verify(
    dir: &Path,
    vkey: Option<&str>,
    older: Option<&Path>,
    out: &Out,
) -> Result<Said> {
    let read = |path: PathBuf| {
        std::fs::read_to_string(&path).with_context(|| format!("reading `{}`", path.display()))
    };
    let keys: Vec<VerifierKey> = match vkey {
        Some(key) => vec![key.parse().context("reading --vkey")?],
        None => {
            eprintln!(
                "no --vkey was given: believing the export's own `vkeys`, which proves only consistency"
            );
            read(dir.join("vkeys"))?
                .lines()
                .map(str::parse)
                .collect::<Result<_, _>>()?
        }
    };
    let older = match older {
        Some(path) => {
            let note = read(path.to_owned())?;
            Some(
                Checkpoint::open(note.as_bytes(), &keys)
                    .context("reading the older checkpoint")?
                    .checkpoint,
            )
        }
        None => None,
    };
    let threads = std::thread::available_parallelism().unwrap_or(std::num::NonZero::<usize>::MIN);
    let trust = Trust {
        keys: &keys,
        older: older.as_ref(),
        depth: Depth::default(),
    };
    match verify_on(threads, &Folder(dir.to_owned()), &trust) {
        Ok(report) => {
            let value = json!({
                "verified": true, "size": report.checkpoint.size(), "root": report.checkpoint.root().to_base64(),
                "streams": report.streams, "tiles": report.tiles,
            });
            let older = if older.is_some() {
                ", and it continues the older checkpoint"
            } else {
                ""
            };
            let sentence = format!(
                "verified: {} entries in {} streams, every hash, every tile, the signed root{older}",
                report.entries, report.streams
            );
            out.tell(&sentence, &value);
            Ok(Said::Yes)
        }
        Err(error) => {
            let detail = format!("{:#}", anyhow::Error::new(error));
            out.tell(
                &format!("DOES NOT VERIFY: {detail}"),
                &json!({ "verified": false, "detail": detail }),
            );
            Ok(Said::No)
        }
    }
}
