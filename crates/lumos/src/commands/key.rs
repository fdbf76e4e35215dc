//! `lumos key`: the keys that sign the ledger.

use std::path::PathBuf;

use anyhow::Result;
use serde_json::{Value, json};

use super::{Out, Said, text};
use crate::{
    cli::{Common, Key, LedgerKey},
    remote::Remote,
    settings,
};

pub(crate) mod backup;

pub(super) async fn run(key: Key, common: &Common, out: &Out) -> Result<Said> {
    let data = || -> Result<PathBuf> {
        let loaded = settings::load(common.config.as_deref(), common.data.as_deref())?;
        Ok(loaded.settings.data)
    };
    match key {
        Key::Backup { into, recipient } => backup::backup(&data()?, &into, &recipient, out),
        Key::Restore { from, identity } => {
            backup::restore(&data()?, &from, identity.as_deref(), out)
        }
        Key::Ledger(asked) => ask(asked, &Remote::of(common)?, out).await,
    }
}

/// What the ledger records, and so a server is asked for.
async fn ask(key: LedgerKey, remote: &Remote, out: &Out) -> Result<Said> {
    match key {
        LedgerKey::List => {
            let keys = remote.get("/api/v1/keys").await?;
            if out.json {
                outln!("{keys:#}");
            } else {
                keys.as_array().into_iter().flatten().for_each(line);
            }
            Ok(Said::Yes)
        }
        LedgerKey::Create { place, name } => {
            let body = json!({ "place": place, "name": name });
            out.done(&remote.post("/api/v1/keys", &body).await?)
        }
        LedgerKey::Rotate {
            key,
            overlap_days,
            reason,
        } => {
            let body = json!({ "overlap_days": overlap_days, "reason": reason });
            let path = format!("/api/v1/keys/{key}/rotation");
            out.done(&remote.post(&path, &body).await?)
        }
        LedgerKey::Revoke {
            key,
            good_until,
            reason,
        } => {
            let body = json!({ "good_until": good_until, "reason": reason });
            let path = format!("/api/v1/keys/{key}/revocation");
            out.done(&remote.post(&path, &body).await?)
        }
    }
}

fn line(key: &Value) {
    let (id, state, place, name) = (
        text(key, "key"),
        text(key, "state"),
        text(key, "place"),
        text(key, "name"),
    );
    let more = match (key["until"].as_str(), key["good_until"].as_u64()) {
        (Some(until), _) => format!(" until {until}"),
        (_, Some(size)) => format!(", its checkpoints count up to {size} entries"),
        _ => String::new(),
    };
    outln!("{id}  {state}{more}  in {place}: {name}");
    outln!("          {}", text(key, "vkey"));
}
