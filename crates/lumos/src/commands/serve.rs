//! `lumos serve` and `lumos check`.

use anyhow::{Context as _, Result};
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind};

use super::{Out, Said, text};
use crate::{
    cli::Common,
    remote::Remote,
    serve::{Extras, start},
    settings,
};

pub(super) async fn run(common: &Common) -> Result<Said> {
    let loaded = settings::load(common.config.as_deref(), common.data.as_deref())?;
    let running = start(&loaded, Extras::default()).await?;
    // Before it is said that it serves: who reads that may ask it to end at once.
    let asked = asked_to_stop();
    println!("LUMOS serves on http://{}", running.address);
    println!(
        "ledger {} with key {}",
        loaded.settings.origin, running.app.verifier_key
    );
    if !running.first_passwords.is_empty() {
        println!(
            "\nThis ledger was just founded. First passwords, shown this once; change them after signing in:"
        );
        for (login, password) in &running.first_passwords {
            println!("  {login}  {password}");
        }
        if running.first_passwords.len() < 2 {
            println!(
                "\nIt is a single-person SANDBOX: its approvals count nowhere else and end when a"
            );
            println!("second founder joins (`lumos user leave-sandbox LOGIN`).");
        }
    }
    running.until(asked).await?;
    Ok(Said::Yes)
}

/// Completes when the process is asked to end. The request counts from this call on, not from the first poll.
pub(super) fn asked_to_stop() -> impl Future<Output = ()> {
    let asked = |kind| tokio::signal::unix::signal(kind);
    let (interrupt, terminate) = (
        asked(SignalKind::interrupt()),
        asked(SignalKind::terminate()),
    );
    async move {
        let until = async |signal: std::io::Result<Signal>| match signal {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        };
        tokio::select! {
            () = until(interrupt) => {}
            () = until(terminate) => {}
        }
    }
}

pub(super) async fn check(remote: &Remote, out: &Out) -> Result<Said> {
    remote
        .bytes("/readyz")
        .await
        .context("asking whether the server is ready")?;
    let agents = remote.get("/api/v1/runtime").await?;
    let people = remote.get("/api/v1/people").await?;
    let reviews = remote.get("/api/v1/reviews").await?;
    let list = |value: &serde_json::Value| value.as_array().cloned().unwrap_or_default();
    let dead: usize = list(&agents)
        .iter()
        .map(|a| list(&a["dead_letters"]).len())
        .sum();
    let roleless: Vec<_> = list(&people)
        .into_iter()
        .filter(|p| {
            p["service"] == false && (p["suspended"] == true || list(&p["roles"]).is_empty())
        })
        .map(|p| text(&p, "login").to_owned())
        .collect();
    let open = list(&reviews);
    let healthy = dead == 0;
    if out.json {
        let value =
            json!({ "healthy": healthy, "agents": agents, "cannot_sign": roleless, "open": open });
        println!("{value:#}");
    } else {
        println!("server: ready");
        println!("agents: {dead} dead letter(s); see `lumos runtime`");
        println!(
            "cannot sign: {}",
            if roleless.is_empty() {
                "nobody".into()
            } else {
                roleless.join(", ")
            }
        );
        println!("open reviews: {}", open.len());
        for review in &open {
            let waits: Vec<_> = list(&review["waits_for"])
                .iter()
                .map(super::scalar)
                .collect();
            println!(
                "  {} waits for {}",
                text(review, "review"),
                waits.join(", ")
            );
        }
    }
    Ok(if healthy { Said::Yes } else { Said::No })
}
