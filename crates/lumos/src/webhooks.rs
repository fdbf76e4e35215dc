//! Where the settings say that entries are brought to outside agents.

use std::{collections::BTreeSet, sync::Arc};

use anyhow::{Context as _, Result, bail};
use lumos_connect::webhook::HttpWebhook;
use lumos_engine::{
    notary::Published,
    pick::{Patterns, Pick},
    runtime::Follow,
    webhooks::Deliveries,
};
use lumos_http::Client;
use tokio::sync::watch;

use crate::settings::{AgentSettings, Settings, WebhookSettings};

/// The webhooks of the settings.
fn named(settings: &Settings) -> impl Iterator<Item = &WebhookSettings> {
    settings.agents.iter().filter_map(|agent| match agent {
        AgentSettings::Webhook(webhook) => Some(webhook),
        AgentSettings::File(_) => None,
    })
}

/// The addresses that the settings let us bring entries to.
pub(crate) fn addresses(settings: &Settings) -> impl Iterator<Item = &str> {
    named(settings).map(|agent| agent.webhook.as_str())
}

/// Those who follow the ledger by a webhook.
///
/// # Errors
/// When an agent is named twice, or its address, secrets or patterns cannot be used.
pub(crate) fn followers(
    settings: &Settings,
    http: &Client,
    published: &watch::Receiver<Published>,
) -> Result<Vec<Arc<dyn Follow>>> {
    let mut all: Vec<Arc<dyn Follow>> = Vec::new();
    let mut names = BTreeSet::new();
    for agent in named(settings) {
        if !names.insert(&agent.name) {
            bail!("agent `{}` has two webhooks", agent.name);
        }
        let reading = || format!("reading the webhook of agent `{}`", agent.name);
        let patterns = |texts: &[String]| texts.join(",").parse::<Patterns>();
        let pick = Pick {
            types: patterns(&agent.events).with_context(reading)?,
            streams: patterns(&agent.streams).with_context(reading)?,
        };
        let webhook =
            HttpWebhook::new(http, &agent.webhook, &agent.secrets).with_context(reading)?;
        let (webhook, published) = (Arc::new(webhook), published.clone());
        let deliveries = Deliveries::new(
            agent.name.clone(),
            pick,
            webhook,
            published,
            &settings.origin,
        );
        all.push(Arc::new(deliveries));
    }
    Ok(all)
}
