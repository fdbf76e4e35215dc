//! `lumos ledger timestamps`: what foreign authorities stamped, as files that foreign tools read.

use std::path::Path;

use anyhow::{Context as _, Result};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use lumos_timestamp::Authority;
use serde_json::{Value, json};

use super::{Out, Said, text};
use crate::{cli::Common, remote::Remote};

/// Timestamps asked for at a time.
const PAGE: &str = "100";

pub(super) async fn run(
    dir: &Path,
    authority: Option<&Path>,
    common: &Common,
    out: &Out,
) -> Result<Said> {
    let authority = authority.map(trusted).transpose()?;
    std::fs::create_dir_all(dir).with_context(|| format!("making `{}`", dir.display()))?;
    let (remote, mut from, mut said) = (Remote::of(common)?, 0, Said::Yes);
    loop {
        let first = from.to_string();
        let query = [("from", first.as_str()), ("limit", PAGE)];
        let page = remote.look_up("/api/v1/ledger/timestamps", &query).await?;
        let Some(last) = page.as_array().and_then(|stamps| stamps.last()) else {
            return Ok(said);
        };
        from = size(last)? + 1;
        for stamp in page.as_array().into_iter().flatten() {
            if !write(dir, stamp, authority.as_ref(), out)? {
                said = Said::No;
            }
        }
    }
}

/// The authority whose certificates are in a file.
///
/// # Errors
/// When they cannot be read or are no chain.
pub(super) fn trusted(path: &Path) -> Result<Authority> {
    let reading = || format!("reading the authority's `{}`", path.display());
    let pem = std::fs::read_to_string(path).with_context(reading)?;
    Authority::from_pem(&pem).with_context(reading)
}

fn size(stamp: &Value) -> Result<u64> {
    stamp["size"].as_u64().context("a timestamp has no size")
}

/// Writes one; false when the authority one trusts did not give it.
fn write(dir: &Path, stamp: &Value, authority: Option<&Authority>, out: &Out) -> Result<bool> {
    let (size, checkpoint) = (size(stamp)?, text(stamp, "checkpoint"));
    let reply = STANDARD
        .decode(text(stamp, "reply"))
        .context("reading a timestamp")?;
    for (name, bytes) in [("checkpoint", checkpoint.as_bytes()), ("tsr", &reply)] {
        let path = dir.join(format!("{size}.{name}"));
        std::fs::write(&path, bytes).with_context(|| format!("writing `{}`", path.display()))?;
    }
    let verdict = authority.map(|authority| authority.verify(&reply, checkpoint.as_bytes()));
    let (time, holds) = match &verdict {
        None => (format!("{} by its own account", text(stamp, "time")), true),
        Some(Ok(time)) => (format!("{time}, which the authority vouches for"), true),
        Some(Err(error)) => (format!("never: DOES NOT VERIFY: {error}"), false),
    };
    out.tell(
        &format!("{size} entries stamped at {time}"),
        &json!({ "size": size, "time": text(stamp, "time"), "verified": verdict.map(|v| v.is_ok()) }),
    );
    Ok(holds)
}
