//! The webhook that LUMOS sets up in MLflow, for `lumos init`. Needs the rights of an administrator there.

use lumos_engine::ports::RegistryError;
use lumos_http::HttpError;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{API, Mlflow};

/// The name of the webhook in MLflow.
const NAME: &str = "lumos";

/// A webhook that MLflow has.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Webhook {
    /// Its id there.
    #[serde(rename = "webhook_id")]
    pub id: String,
    /// Its name there.
    pub name: String,
    /// Where it delivers to.
    pub url: String,
    /// `ACTIVE` or `DISABLED`.
    pub status: String,
}

#[derive(Deserialize)]
struct Listing {
    #[serde(default)]
    webhooks: Vec<Webhook>,
}

#[derive(Deserialize)]
struct WebhookAnswer {
    webhook: Webhook,
}

#[derive(Deserialize)]
struct TestAnswer {
    result: TestResult,
}

#[derive(Deserialize)]
struct TestResult {
    #[serde(default)]
    success: bool,
}

/// Everything that can concern a version. MLflow has no event for a deletion or a changed description.
fn events() -> Value {
    let pairs = [
        ("REGISTERED_MODEL", "CREATED"),
        ("MODEL_VERSION", "CREATED"),
        ("MODEL_VERSION_TAG", "SET"),
        ("MODEL_VERSION_TAG", "DELETED"),
        ("MODEL_VERSION_ALIAS", "CREATED"),
        ("MODEL_VERSION_ALIAS", "DELETED"),
    ];
    let events = pairs.map(|(entity, action)| json!({"entity": entity, "action": action}));
    events.into_iter().collect()
}

impl Mlflow {
    /// The webhooks that MLflow has.
    ///
    /// # Errors
    /// As every call of the registry.
    pub async fn webhooks(&self) -> Result<Vec<Webhook>, RegistryError> {
        let listing: Listing = self.ask(self.get("webhooks"), "webhooks").await?;
        Ok(listing.webhooks)
    }

    /// Makes a webhook to `url`, signed with the secret in the settings; one that is there already gets the
    /// same secret and events, so that doing this twice does no harm.
    ///
    /// # Errors
    /// As every call of the registry; `Broken` when the settings hold no webhook secret.
    pub async fn ensure_webhook(&self, url: &str) -> Result<Webhook, RegistryError> {
        let Some(secret) = &self.webhook_secret else {
            return Err(self.broken("the settings name no `webhook_secret` to sign with"));
        };
        let body = json!({
            "name": NAME,
            "url": url,
            "events": events(),
            "secret": secret.expose(),
            "status": "ACTIVE",
        });
        let existing = self.webhooks().await?;
        let existing = existing.into_iter().find(|hook| hook.url == url);
        let call = match &existing {
            Some(hook) => self.peer.patch(&format!("{API}/webhooks/{}", hook.id)),
            None => self.post("webhooks"),
        };
        let answer: Result<WebhookAnswer, HttpError> =
            call.json_body(&body).hide(secret).json().await;
        let answer = answer.map_err(|error| self.problem("webhooks", error))?;
        Ok(answer.webhook)
    }

    /// Asks MLflow to deliver an example; whether our side answered it with a success.
    ///
    /// # Errors
    /// As every call of the registry.
    pub async fn test_webhook(&self, id: &str) -> Result<bool, RegistryError> {
        let event = json!({"event": {"entity": "MODEL_VERSION", "action": "CREATED"}});
        let call = self.post(&format!("webhooks/{id}/test")).json_body(&event);
        let answer: TestAnswer = self.ask(call, "webhook").await?;
        Ok(answer.result.success)
    }
}
