//! A receipt, verified by nothing but a key one trusts: the entry stands in the log at this index.

use std::path::Path;

use anyhow::{Result, bail};
use lumos_ledger::{
    entry::Envelope,
    tlog_proof::{self, TlogProof},
};
use serde_json::json;

use super::verify::{Trusted, read};
use crate::{
    cli::Verify,
    commands::{Out, Said},
};

/// Verifies the receipt at `path`.
///
/// # Errors
/// When a file that the caller named cannot be read, or no key was given. What does not verify is a [`Said::No`].
pub(super) fn verify(asked: &Verify, path: &Path, out: Out) -> Result<Said> {
    let trusted = Trusted::of(asked, || {
        bail!("a receipt names no key: give the ledger's with --vkey or --policy")
    })?;
    let brought = asked.entry.as_deref().map(read).transpose()?;
    let bytes = read(path)?;
    let checked = check(&bytes, brought.as_deref(), &trusted);
    match checked {
        Ok((sentence, value)) => {
            out.tell(&sentence, &value);
            Ok(Said::Yes)
        }
        Err(error) => {
            let (code, detail) = (error.code(), format!("{:#}", anyhow::Error::new(error)));
            out.tell(
                &format!("DOES NOT VERIFY: {detail} (code {code})"),
                &json!({ "verified": false, "detail": detail, "code": code }),
            );
            Ok(Said::No)
        }
    }
}

fn check(
    bytes: &[u8],
    brought: Option<&[u8]>,
    trusted: &Trusted,
) -> Result<(String, serde_json::Value), tlog_proof::Error> {
    // What is no text is no receipt, wherever it breaks off.
    let receipt: TlogProof = String::from_utf8_lossy(bytes).parse()?;
    let entry = brought
        .or(receipt.entry())
        .ok_or(tlog_proof::Error::NoEntry)?;
    let opened = match &trusted.policy {
        Some(policy) => receipt.verify_under(entry, policy)?,
        None => receipt.verify(entry, &trusted.keys)?,
    };
    let (index, checkpoint) = (receipt.index, &opened.checkpoint);
    let names = opened.signatures.iter().map(|s| s.key.name().to_owned());
    let signed_by: Vec<String> = names.collect();
    let envelope = Envelope::parse(entry).ok();
    let what = envelope.as_ref().map_or_else(
        || "it is no envelope of LUMOS".to_owned(),
        |e| format!("{} on {} at {}", e.kind, e.subject, e.time),
    );
    let sentence = format!(
        "verified: this is entry {index} of the ledger {}, signed by {} over {} entries\n  {what}",
        checkpoint.origin(),
        signed_by.join(", "),
        checkpoint.size(),
    );
    let value = json!({
        "verified": true, "index": index, "origin": checkpoint.origin(), "size": checkpoint.size(),
        "root": checkpoint.root().to_base64(), "signed_by": signed_by,
        "entry": serde_json::from_slice::<serde_json::Value>(entry).ok(),
    });
    Ok((sentence, value))
}
