//! The first start: an empty ledger is founded from what the settings name.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::{Context as _, Result};
use lumos_engine::{Door, ports::Entropy as _, secret};
use lumos_web::auth;

use super::Extras;
use crate::{
    edge::OsEntropy,
    seed::{self, Founding},
    settings::Loaded,
};

/// Founds an empty ledger from the settings' files, or from the embedded sandbox.
pub(super) async fn found(
    door: &Door,
    loaded: &Loaded,
    extras: &Extras,
) -> Result<BTreeMap<String, String>> {
    let settings = &loaded.settings;
    let read = |path: &PathBuf| -> Result<(String, Vec<u8>)> {
        let text =
            std::fs::read(path).with_context(|| format!("reading seed `{}`", path.display()))?;
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        Ok((name, text))
    };
    let (organisation, policies, founders) = match &settings.organisation {
        Some(path) => {
            let policies = settings
                .policies
                .iter()
                .map(read)
                .collect::<Result<Vec<_>>>()?;
            (read(path)?, policies, settings.founders.clone())
        }
        None => crate::defaults::sandbox(),
    };
    let everybody = crate::defaults::logins(&organisation.1);
    let entitled = if extras.passwords_for_all {
        everybody
    } else {
        founders.clone()
    };
    let mut shown = BTreeMap::new();
    let mut passwords = BTreeMap::new();
    for login in entitled {
        let password = secret::secret(&OsEntropy)[..24].to_owned();
        let mut salt = [0; 16];
        OsEntropy.fill(&mut salt);
        let hash = auth::hash_password(&password, salt)
            .map_err(|problem| anyhow::anyhow!(problem.detail))?;
        passwords.insert(login.clone(), hash);
        shown.insert(login, password);
    }
    let origin = &settings.origin;
    seed::found(
        door,
        Founding {
            origin,
            settings: loaded.digest,
            founders: &founders,
            organisation,
            policies,
            passwords,
        },
    )
    .await?;
    Ok(shown)
}
