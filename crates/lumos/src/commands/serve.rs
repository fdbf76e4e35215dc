//! `lumos serve` and `lumos check`.

use anyhow::Result;
use tokio::signal::unix::{Signal, SignalKind};

use super::Said;
use crate::{
    cli::Common,
    serve::{Extras, start},
    settings,
};

pub(super) async fn run(common: &Common, keys_lost: Vec<String>) -> Result<Said> {
    let loaded = settings::load(common.config.as_deref(), common.data.as_deref())?;
    let lost = keys_lost.join(", ");
    let extras = Extras {
        keys_lost,
        ..Extras::default()
    };
    let running = start(&loaded, extras).await?;
    // Before it is said that it serves: who reads that may ask it to end at once.
    let asked = asked_to_stop();
    println!("LUMOS serves on http://{}", running.address);
    println!(
        "ledger {} with key {}",
        loaded.settings.origin,
        running.app.verifier_key()
    );
    if !lost.is_empty() {
        println!(
            "\nStarted WITHOUT key {lost}: nothing is signed with it and no agent runs. Revoke it (`lumos key revoke`), \
             make another one (`lumos key create`), have two people rotate to that, then stop this and start as always."
        );
    }
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
