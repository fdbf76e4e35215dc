//! `lumos key`: the keys that sign the ledger.

use anyhow::Result;
use serde_json::{Value, json};

use super::{Out, Said, text};
use crate::{cli::Key, remote::Remote};

pub(super) async fn run(key: Key, remote: &Remote, out: &Out) -> Result<Said> {
    match key {
        Key::List => {
            let keys = remote.get("/api/v1/keys").await?;
            if out.json {
                println!("{keys:#}");
            } else {
                keys.as_array().into_iter().flatten().for_each(line);
            }
            Ok(Said::Yes)
        }
        Key::Create { place, name } => {
            let body = json!({ "place": place, "name": name });
            out.done(&remote.post("/api/v1/keys", &body).await?)
        }
        Key::Rotate {
            key,
            overlap_days,
            reason,
        } => {
            let body = json!({ "overlap_days": overlap_days, "reason": reason });
            let path = format!("/api/v1/keys/{key}/rotation");
            out.done(&remote.post(&path, &body).await?)
        }
        Key::Revoke {
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
    println!("{id}  {state}{more}  in {place}: {name}");
    println!("          {}", text(key, "vkey"));
}
