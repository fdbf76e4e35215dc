//! The witnesses of the settings: a trust policy becomes the peers that are asked to cosign.

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context as _, Result, bail};
use lumos_connect::witness::HttpWitness;
use lumos_engine::{
    cosigning::Cosigning,
    notary::Notary,
    ports::{Ports, WitnessPeer},
    proofs::Hashes,
};
use lumos_http::Client;
use lumos_ledger::{VerifierKey, tlog_policy::TlogPolicy};

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
    pub(crate) async fn start(
        self,
        http: &Client,
        ports: &Ports,
        proofs: Hashes,
        notary: &Notary,
    ) -> Result<Option<Cosigning>> {
        let Some((path, policy)) = self.0 else {
            return Ok(None);
        };
        let own = notary.verifier_key();
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
