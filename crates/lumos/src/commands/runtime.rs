//! `lumos runtime`: how far everybody is who follows the ledger, and what an operator does about it.

use anyhow::Result;
use lumos_connect::webhook::SigningSecret;
use lumos_engine::ports::Entropy as _;
use serde_json::{Value, json};

use super::{Out, Said, text};
use crate::{
    cli::{Common, Runtime},
    edge::OsEntropy,
    remote::Remote,
};

pub(super) async fn run(what: Option<Runtime>, common: &Common, out: &Out) -> Result<Said> {
    match what {
        None | Some(Runtime::List) => list(&Remote::of(common)?, out).await,
        Some(Runtime::Retry { agent, entry }) => {
            let path = format!("/api/v1/runtime/{agent}/retry");
            let body = json!({ "entry": entry });
            let retried = Remote::of(common)?.post(&path, &body).await?;
            let sentence = format!("{} dead letter(s) are tried again", retried["dead_letters"]);
            out.tell(&sentence, &retried);
            Ok(Said::Yes)
        }
        Some(Runtime::Replay { agent, from }) => {
            let path = format!("/api/v1/runtime/{agent}/replay");
            let body = json!({ "from": from });
            Remote::of(common)?.post(&path, &body).await?;
            out.tell(
                &format!("{agent} follows the ledger again from entry {from} on"),
                &body,
            );
            Ok(Said::Yes)
        }
        Some(Runtime::Secret) => {
            let mut bytes = [0; 32];
            OsEntropy.fill(&mut bytes);
            let secret = SigningSecret::text_of(&bytes);
            out.tell(&secret, &json!({ "secret": secret }));
            Ok(Said::Yes)
        }
    }
}

async fn list(remote: &Remote, out: &Out) -> Result<Said> {
    let all = remote.get("/api/v1/runtime").await?;
    let agents = all.as_array().map_or(&[][..], Vec::as_slice);
    if out.json {
        out.say(&all);
    } else {
        outln!(
            "{:<28} {:>10} {:>8} {:>8} {:>8} {:>6}",
            "agent",
            "next",
            "behind",
            "seconds",
            "waiting",
            "dead"
        );
        agents.iter().for_each(told);
    }
    let given_up = agents.iter().any(is_given_up);
    Ok(if given_up { Said::No } else { Said::Yes })
}

/// Whether something waits for an operator.
pub(super) fn is_given_up(agent: &Value) -> bool {
    agent["dead_letters_count"] != json!(0) || agent["held"].is_string()
}

fn told(agent: &Value) {
    outln!(
        "{:<28} {:>10} {:>8} {:>8} {:>8} {:>6}",
        text(agent, "agent"),
        agent["next_entry"],
        agent["lag_entries"],
        agent["lag_seconds"],
        agent["waiting"],
        agent["dead_letters_count"],
    );
    for taken in agent["taken"].as_array().into_iter().flatten() {
        let until = text(taken, "until");
        outln!("  entry {} in work until {until}", taken["entry"]);
    }
    if let Some(problem) = agent["last_problem"].as_str() {
        outln!("  after {} attempt(s): {problem}", agent["attempts"]);
    }
    if let Some(held) = agent["held"].as_str() {
        outln!("  stopped: {held}");
    }
    for dead in agent["dead_letters"].as_array().into_iter().flatten() {
        outln!(
            "  gave up entry {}: {}",
            dead["entry"],
            text(dead, "problem")
        );
    }
}
