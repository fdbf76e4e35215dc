//! `lumos check`: is it healthy, who could not sign, what waits?

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::{Out, Said, runtime::is_given_up, scalar, text};
use crate::remote::Remote;

pub(super) async fn run(remote: &Remote, out: &Out) -> Result<Said> {
    remote
        .bytes("/readyz")
        .await
        .context("asking whether the server is ready")?;
    let agents = remote.get("/api/v1/runtime").await?;
    let people = list(&remote.get("/api/v1/people").await?);
    let governs = govern(&people, &list(&remote.get("/api/v1/roles").await?));
    let open = list(&remote.get("/api/v1/reviews").await?);
    let waiting = list(&remote.get("/api/v1/proposals").await?);
    let log = remote.get("/api/v1/log-review").await?;
    let sandbox = remote.get("/api/v1/me").await?["sandbox"] == true;
    let roleless: Vec<_> = people
        .iter()
        .filter(|p| p["service"] == false && (p["suspended"] == true || p["roles"] == json!([])))
        .map(|p| text(p, "login").to_owned())
        .collect();
    let stuck: Vec<Value> = list(&agents).into_iter().filter(is_given_up).collect();
    let dead: u64 = stuck
        .iter()
        .filter_map(|agent| agent["dead_letters_count"].as_u64())
        .sum();
    let alone = governs.len() < 2 && !sandbox;
    let healthy = stuck.is_empty() && !alone;
    if out.json {
        let value = json!({
            "healthy": healthy, "agents": agents, "cannot_sign": roleless, "govern": governs,
            "open": open, "proposals": waiting, "log_review": log,
        });
        outln!("{value:#}");
        return Ok(if healthy { Said::Yes } else { Said::No });
    }
    outln!("server: ready");
    outln!("agents: {dead} dead letter(s); see `lumos runtime list`");
    for agent in stuck.iter().filter(|agent| agent["held"].is_string()) {
        outln!(
            "  {} stopped: {}",
            text(agent, "agent"),
            text(agent, "held")
        );
    }
    outln!("cannot sign: {}", names(&roleless));
    outln!("govern, and so can confirm proposals: {}", names(&governs));
    if alone {
        outln!("  fewer than two: nobody could confirm what needs two people");
    }
    outln!("open reviews: {}", open.len());
    for review in &open {
        let waits: Vec<_> = list(&review["waits_for"]).iter().map(scalar).collect();
        outln!(
            "  {} waits for {}",
            text(review, "review"),
            waits.join(", ")
        );
    }
    outln!("log review: {}", log_review(&log, &people));
    outln!("proposals that wait: {}", waiting.len());
    for proposal in &waiting {
        outln!(
            "  {}: {} proposes to {}",
            text(proposal, "proposal"),
            text(proposal, "proposed_by"),
            text(proposal, "says")
        );
    }
    Ok(if healthy { Said::Yes } else { Said::No })
}

/// Where the review of the log stands, and whether anybody could sign for it.
fn log_review(log: &Value, people: &[Value]) -> String {
    let (state, role) = (text(log, "state"), &log["role"]);
    let could = people.iter().any(|person| {
        let active = person["service"] == false && person["suspended"] == false;
        active && list(&person["roles"]).contains(role)
    });
    match role.as_str() {
        Some(role) if !could => {
            format!("{state}; nobody holds the role {role}, so nobody could sign")
        }
        _ => state.to_owned(),
    }
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

fn names(logins: &[String]) -> String {
    match logins {
        [] => "nobody".to_owned(),
        logins => logins.join(", "),
    }
}

/// The logins of people who hold a role with `govern` in the whole organisation.
fn govern(people: &[Value], roles: &[Value]) -> Vec<String> {
    let governing = roles
        .iter()
        .filter(|role| list(&role["rights"]).contains(&json!("govern")));
    let governing: Vec<_> = governing.map(|role| &role["role"]).collect();
    let may = |person: &&Value| {
        let held = list(&person["roles"]);
        person["service"] == false
            && person["suspended"] == false
            && held.iter().any(|role| governing.contains(&role))
    };
    let logins = people.iter().filter(may);
    let logins: BTreeSet<_> = logins.map(|p| text(p, "login").to_owned()).collect();
    logins.into_iter().collect()
}
