//! `lumos witness serve`: a witness for ledgers that others run. It needs no ledger, no account and no settings file.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result, bail};
use lumos_domain::id::Digest;
use lumos_engine::witness::{Followed, Witness};
use lumos_ledger::{cosignature::Cosigner, tlog_policy::TlogPolicy};
use lumos_store::{DirLock, FileAnchor};
use tokio::net::TcpListener;

use super::{Said, serve::asked_to_stop};
use crate::{
    cli::{self, Common},
    edge::{OsEntropy, SystemClock},
    keys,
    serve::own_folder,
};

pub(super) async fn run(command: &cli::Witness, common: &Common) -> Result<Said> {
    let cli::Witness::Serve { name, logs, listen } = command;
    let default = PathBuf::from("lumos-witness");
    let data = own_folder(common.data.as_ref().unwrap_or(&default))?;
    // Two witnesses with one key and one memory would each believe to be the only one.
    let _lock = DirLock::take(&data)?;
    let witness = Arc::new(open(name, logs, &data).await?);
    serve(witness, *listen).await?;
    Ok(Said::Yes)
}

/// The witness `name` of the logs in the file `logs`, going on from what is kept in `data`.
async fn open(name: &str, logs: &Path, data: &Path) -> Result<Witness> {
    let reading = || format!("reading the ledgers to follow from `{}`", logs.display());
    let policy = std::fs::read(logs).with_context(reading)?;
    let policy = TlogPolicy::parse(&policy).with_context(reading)?;
    let states = data.join("logs");
    let mut followed: BTreeMap<String, Followed> = BTreeMap::new();
    for log in policy.logs() {
        let origin = log.key.name();
        let state = states.join(Digest::of(origin.as_bytes()).hex());
        let entry = followed.entry(origin.to_owned());
        let log_of = entry.or_insert_with(|| Followed {
            keys: Vec::new(),
            anchor: Arc::new(FileAnchor::at(&state)),
        });
        log_of.keys.push(log.key.clone());
    }
    if followed.is_empty() {
        bail!("`{}` names no ledger: write `log VKEY`", logs.display());
    }
    let seed = keys::witness(data, &OsEntropy, !states.exists())?;
    let cosigner =
        Cosigner::from_seed(name, &seed).with_context(|| format!("naming the witness `{name}`"))?;
    Ok(Witness::open(cosigner, Arc::new(SystemClock), followed).await?)
}

async fn serve(witness: Arc<Witness>, listen: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("listening on {listen}"))?;
    let address = listener.local_addr()?;
    let asked = asked_to_stop();
    println!("LUMOS witnesses on http://{address}");
    for origin in witness.origins() {
        println!("follows {origin}");
    }
    println!("for the trust policy of whoever relies on it:");
    println!("  witness NAME {} http://{address}", witness.verifier_key());
    axum::serve(listener, lumos_web::witness::router(witness))
        .with_graceful_shutdown(asked)
        .await?;
    Ok(())
}
