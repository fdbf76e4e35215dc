//! Whom the settings name to vouch for the ledger: witnesses of a trust policy, and an authority for timestamps.

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context as _, Result, bail};
use jiff::SignedDuration;
use lumos_connect::{timestamps::HttpAuthority, witness::HttpWitness};
use lumos_engine::{
    cosigning::Cosigning,
    notary::{Notary, Published},
    ports::{Ports, WitnessPeer},
    proofs::Hashes,
    stamping::{Stamping, Stamps},
};
use lumos_http::Client;
use lumos_ledger::{VerifierKey, tlog_policy::TlogPolicy};
use lumos_timestamp::Authority;
use tokio::{sync::watch, task::JoinSet};

use crate::settings::Settings;

/// The trust policy of the settings, if they name one, and where it was read.
pub(crate) struct Witnesses(Option<(PathBuf, TlogPolicy)>);

impl Witnesses {
    /// Reads the policy.
    ///
    /// # Errors
    /// When it cannot be read, is no policy, or names no witness with an address.
    pub(crate) fn of(settings: &Settings) -> Result<Self> {
        let Some(path) = &settings.witnesses else {
            return Ok(Self(None));
        };
        let reading = || format!("reading the trust policy `{}`", path.display());
        let bytes = std::fs::read(path).with_context(reading)?;
        let policy = TlogPolicy::parse(&bytes).with_context(reading)?;
        let read = Self(Some((path.clone(), policy)));
        if read.addresses().next().is_none() {
            bail!(
                "the trust policy `{}` names no witness with an address: write `witness NAME VKEY URL`",
                path.display()
            );
        }
        Ok(read)
    }

    /// Where its witnesses are asked.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = &str> {
        let policy = self.0.iter().flat_map(|(_, policy)| policy.witnesses());
        policy.filter_map(|witness| witness.url.as_deref())
    }

    /// What asks them; `None` when the settings name none.
    ///
    /// # Errors
    /// When the policy does not accept this ledger's key, an address cannot be used, or the store fails.
    async fn start(
        self,
        http: &Client,
        ports: &Ports,
        proofs: Hashes,
        notary: &Notary,
    ) -> Result<Option<Cosigning>> {
        let Some((path, policy)) = self.0 else {
            return Ok(None);
        };
        let own = notary.keys().vkeys();
        let own = own.first().context("naming this ledger's key")?;
        if !policy.logs().iter().any(|log| log.key == *own) {
            bail!(
                "the trust policy `{}` does not accept this ledger: add the line `log {own}`",
                path.display()
            );
        }
        let mut peers: Vec<(VerifierKey, Arc<dyn WitnessPeer>)> = Vec::new();
        for witness in policy.witnesses() {
            if let Some(address) = &witness.url {
                let peer = HttpWitness::new(http, address)?;
                peers.push((witness.key.clone(), Arc::new(peer)));
            }
        }
        let beside = (Arc::clone(&ports.store), Arc::clone(&ports.clock));
        let cosigning = Cosigning::start(beside, proofs, policy, peers, notary.published());
        Ok(Some(cosigning.await?))
    }
}

/// What has checkpoints stamped; `None` when the settings name no authority.
///
/// # Errors
/// When its certificates or address cannot be used, or the store fails.
async fn stamping(
    settings: &Settings,
    http: &Client,
    ports: &Ports,
    published: watch::Receiver<Published>,
    cosigned: Option<watch::Receiver<Published>>,
) -> Result<Option<Stamping>> {
    let Some(named) = &settings.timestamps else {
        return Ok(None);
    };
    let reading = || {
        format!(
            "reading the timestamp authority's `{}`",
            named.chain.display()
        )
    };
    let chain = std::fs::read_to_string(&named.chain).with_context(reading)?;
    let authority = Authority::from_pem(&chain).with_context(reading)?;
    let entropy = Arc::clone(&ports.entropy);
    let authority = HttpAuthority::new(http, &named.url, authority, entropy)?;
    let beside = (Arc::clone(&ports.store), Arc::clone(&ports.clock));
    let every = SignedDuration::from_hours(i64::from(named.every_hours));
    let authority = Arc::new(authority);
    let stamping = Stamping::start(beside, authority, every, published, cosigned);
    Ok(Some(stamping.await?))
}

/// Those who vouch for the ledger, at work.
pub(crate) struct Vouchers {
    cosigning: Option<Cosigning>,
    stamping: Option<Stamping>,
}

impl Vouchers {
    /// Those that the settings name.
    ///
    /// # Errors
    /// When one cannot be asked as they say, or the store fails.
    pub(crate) async fn start(
        witnesses: Witnesses,
        settings: &Settings,
        http: &Client,
        (ports, proofs): (&Ports, Hashes),
        notary: &Notary,
    ) -> Result<Self> {
        let cosigning = witnesses.start(http, ports, proofs, notary).await?;
        let cosigned = cosigning.as_ref().map(Cosigning::cosigned);
        let stamping = stamping(settings, http, ports, notary.published(), cosigned).await?;
        Ok(Self {
            cosigning,
            stamping,
        })
    }

    /// The latest cosigned checkpoint, where witnesses are asked.
    pub(crate) fn cosigned(&self) -> Option<watch::Receiver<Published>> {
        self.cosigning.as_ref().map(Cosigning::cosigned)
    }

    /// The timestamps, where an authority is asked.
    pub(crate) fn stamps(&self) -> Option<Stamps> {
        self.stamping.as_ref().map(Stamping::stamps)
    }

    /// Has them asked until `stopped` turns true.
    pub(crate) fn run(self, stopped: &watch::Receiver<bool>, tasks: &mut JoinSet<Result<()>>) {
        if let Some(cosigning) = self.cosigning {
            let stopped = stopped.clone();
            tasks.spawn(async move {
                cosigning.run(stopped).await;
                Ok(())
            });
        }
        if let Some(stamping) = self.stamping {
            let stopped = stopped.clone();
            tasks.spawn(async move {
                stamping.run(stopped).await;
                Ok(())
            });
        }
    }
}
