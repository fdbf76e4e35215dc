//! MLflow over its REST interface: finds versions, fetches artifacts, moves aliases.
//!
//! What it is not: a source of facts. Users, tags and metrics are what somebody wrote there.

use std::{collections::HashSet, path::Path};

use async_trait::async_trait;
use jiff::Timestamp;
use lumos_domain::id::RegistryName;
use lumos_engine::ports::{
    Delivery, FoundEvidence, FoundModel, FoundVersion, InboundError, Registry, RegistryError,
};
use lumos_http::{Auth, Client, HttpError, Peer, Request, Secret};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{MlflowSettings, SettingsError};
use answers::{
    ModelAnswer, ModelPage, Run, RunAnswer, Version, VersionAnswer, VersionPage, authors,
};

mod answers;
mod artifacts;
mod webhook;
mod webhooks;

pub use webhooks::Webhook;

/// The path of the interface.
const API: &str = "api/2.0/mlflow";
/// How many things one page is asked for.
const PAGE: &str = "100";
/// How many pages are read before the registry counts as broken.
const MAX_PAGES: usize = 1_000;
/// The tag that carries the marker of an approval.
const APPROVAL_TAG: &str = "lumos.approval";

/// A connector to one MLflow server.
#[derive(Debug)]
pub struct Mlflow {
    name: RegistryName,
    peer: Peer,
    webhook_secret: Option<Secret>,
    max_bytes: u64,
}

impl Mlflow {
    /// A connector as `settings` describe it. Asks nothing yet.
    ///
    /// # Errors
    /// When the address is not in the egress of `http`, or when the credential is incomplete or twofold.
    pub fn new(settings: &MlflowSettings, http: &Client) -> Result<Self, SettingsError> {
        let registry = || settings.name.to_string();
        let fields = |problem| SettingsError::Fields {
            registry: registry(),
            problem,
        };
        let auth = match (&settings.user, &settings.password, &settings.token) {
            (None, None, None) => Auth::None,
            (None, None, Some(token)) => Auth::Bearer(token.clone()),
            (Some(user), Some(password), None) => Auth::Basic {
                user: user.clone(),
                password: password.clone(),
            },
            (_, _, Some(_)) => return Err(fields("give user and password or a token, not both")),
            _ => return Err(fields("user and password go together")),
        };
        let secret = settings.webhook_secret.as_ref();
        if secret.is_some_and(|secret| secret.expose().is_empty()) {
            return Err(fields("the webhook secret is empty"));
        }
        let peer = http.peer(&settings.address, auth);
        Ok(Self {
            name: settings.name.clone(),
            peer: peer.map_err(|source| SettingsError::Address {
                registry: registry(),
                source,
            })?,
            webhook_secret: settings.webhook_secret.clone(),
            max_bytes: settings.max_bytes,
        })
    }

    fn get(&self, path: &str) -> Request {
        self.peer.get(&format!("{API}/{path}"))
    }

    fn post(&self, path: &str) -> Request {
        self.peer.post(&format!("{API}/{path}"))
    }

    /// Reads the answer about `what`, its failures told apart.
    async fn ask<T: DeserializeOwned>(
        &self,
        call: Request,
        what: &str,
    ) -> Result<T, RegistryError> {
        call.json().await.map_err(|error| self.problem(what, error))
    }

    fn broken(&self, problem: impl Into<String>) -> RegistryError {
        RegistryError::Broken {
            registry: self.name.to_string(),
            problem: problem.into(),
        }
    }

    fn not_found(&self, what: &str) -> RegistryError {
        RegistryError::NotFound {
            registry: self.name.to_string(),
            what: what.to_owned(),
        }
    }

    /// What a failed call about `what` means for the caller.
    fn problem(&self, what: &str, error: HttpError) -> RegistryError {
        let registry = self.name.to_string();
        let problem = error.to_string();
        match error {
            HttpError::Unreachable { .. } | HttpError::Timeout { .. } => {
                RegistryError::Unreachable { registry, problem }
            }
            HttpError::Status { status: 429, .. } => {
                RegistryError::Unreachable { registry, problem }
            }
            HttpError::Status {
                status: 401 | 403, ..
            } => RegistryError::Refused { registry, problem },
            HttpError::Status { status: 404, .. } => self.not_found(what),
            HttpError::Status { body, .. } if body.contains("RESOURCE_DOES_NOT_EXIST") => {
                self.not_found(what)
            }
            HttpError::File { .. } => RegistryError::Local { registry, problem },
            _ => RegistryError::Broken { registry, problem },
        }
    }

    async fn get_version(&self, name: &str, version: &str) -> Result<Version, RegistryError> {
        let call = self
            .get("model-versions/get")
            .query("name", name)
            .query("version", version);
        let what = format!("version `{version}` of model `{name}`");
        let answer: VersionAnswer = self.ask(call, &what).await?;
        if answer.model_version.name != name || answer.model_version.version != version {
            return Err(self.broken(format!("it was asked for {what} and answered another")));
        }
        Ok(answer.model_version)
    }

    /// The run that made a version; `None` when it has none or it was deleted.
    async fn run_of(&self, version: &Version) -> Result<Option<Run>, RegistryError> {
        let Some(run_id) = version.run_id.as_deref().filter(|id| !id.is_empty()) else {
            return Ok(None);
        };
        let call = self.get("runs/get").query("run_id", run_id);
        match self.ask::<RunAnswer>(call, "the run").await {
            Ok(answer) => Ok(Some(answer.run)),
            Err(RegistryError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A version with everybody who may have made it. A separation of duties hangs on the authors, so the
    /// run is read here each time, and not only where it is convenient.
    async fn found(&self, version: Version) -> Result<FoundVersion, RegistryError> {
        let run = self.run_of(&version).await?;
        Ok(FoundVersion {
            authors: authors(&version, run.as_ref()),
            created: version.created(),
            declared: version.declared_change(),
            name: version.name,
            version: version.version,
        })
    }

    /// The token of the next page, unless this registry leads us in a circle.
    fn next_page(
        &self,
        token: Option<String>,
        seen: &mut HashSet<String>,
    ) -> Result<Option<String>, RegistryError> {
        let Some(token) = token.filter(|token| !token.is_empty()) else {
            return Ok(None);
        };
        if !seen.insert(token.clone()) || seen.len() > MAX_PAGES {
            return Err(self.broken("its pages repeat or do not end"));
        }
        Ok(Some(token))
    }

    /// Unknown versions, newest first. Reads to the end of the page that holds a known one: a version that
    /// became ready after a newer one, or that was missed before a webhook told of a newer one, is still
    /// found there.
    async fn unknown_versions(
        &self,
        name: &str,
        known: &(dyn for<'a> Fn(&'a str) -> bool + Send + Sync),
    ) -> Result<Vec<Version>, RegistryError> {
        let filter = self.name_filter(name)?;
        let (mut versions, mut seen, mut token) = (Vec::new(), HashSet::new(), None::<String>);
        loop {
            let mut call = self
                .get("model-versions/search")
                .query("filter", &filter)
                .query("order_by", "creation_timestamp DESC")
                .query("max_results", PAGE);
            if let Some(token) = &token {
                call = call.query("page_token", token);
            }
            let page: VersionPage = self.ask(call, &format!("model `{name}`")).await?;
            let mut met_known = false;
            for version in page.model_versions {
                if version.name != name {
                    return Err(self.broken("a search by name answered another model"));
                }
                if known(&version.version) {
                    met_known = true;
                } else if version.is_ready() {
                    versions.push(version);
                }
            }
            token = self.next_page(page.next_page_token, &mut seen)?;
            if met_known || token.is_none() {
                return Ok(versions);
            }
        }
    }

    /// A filter by name; MLflow has no escape for a quote inside quotes.
    fn name_filter(&self, name: &str) -> Result<String, RegistryError> {
        match (name.contains('\''), name.contains('"')) {
            (false, _) => Ok(format!("name='{name}'")),
            (true, false) => Ok(format!("name=\"{name}\"")),
            (true, true) => Err(self.broken(format!(
                "model `{name}` cannot be searched for: it has both kinds of quotes in its name"
            ))),
        }
    }
}

#[async_trait]
impl Registry for Mlflow {
    fn name(&self) -> &RegistryName {
        &self.name
    }

    async fn models(&self) -> Result<Vec<FoundModel>, RegistryError> {
        let (mut models, mut seen, mut token) = (Vec::new(), HashSet::new(), None::<String>);
        loop {
            let mut call = self
                .get("registered-models/search")
                .query("max_results", PAGE);
            if let Some(token) = &token {
                call = call.query("page_token", token);
            }
            let page: ModelPage = self.ask(call, "models").await?;
            let found = page.registered_models.into_iter();
            models.extend(found.filter(|model| !model.is_prompt()).map(Into::into));
            token = self.next_page(page.next_page_token, &mut seen)?;
            if token.is_none() {
                return Ok(models);
            }
        }
    }

    async fn versions(
        &self,
        name: &str,
        known: &(dyn for<'a> Fn(&'a str) -> bool + Send + Sync),
    ) -> Result<Vec<FoundVersion>, RegistryError> {
        let mut found = Vec::new();
        for version in self.unknown_versions(name, known).await? {
            found.push(self.found(version).await?);
        }
        if found.is_empty() {
            // A search for an absent model is answered with an empty page: tell it from "nothing new".
            let call = self.get("registered-models/get").query("name", name);
            self.ask::<ModelAnswer>(call, &format!("model `{name}`"))
                .await?;
        }
        Ok(found)
    }

    async fn version(&self, name: &str, version: &str) -> Result<FoundVersion, RegistryError> {
        let version = self.get_version(name, version).await?;
        self.found(version).await
    }

    async fn fetch(&self, name: &str, version: &str, into: &Path) -> Result<u64, RegistryError> {
        artifacts::fetch(self, name, version, into).await
    }

    async fn evidence(
        &self,
        name: &str,
        version: &str,
    ) -> Result<Vec<FoundEvidence>, RegistryError> {
        let version = self.get_version(name, version).await?;
        let run = self.run_of(&version).await?;
        Ok(run
            .into_iter()
            .filter(|run| !run.data.metrics.is_empty())
            .map(|run| FoundEvidence {
                kind: "evaluation".to_owned(),
                producer: format!("registry:{}", self.name),
                claim: run.evaluation(),
            })
            .collect())
    }

    async fn alias(&self, name: &str, alias: &str) -> Result<Option<String>, RegistryError> {
        let call = self
            .get("registered-models/alias")
            .query("name", name)
            .query("alias", alias);
        match call.json::<VersionAnswer>().await {
            Ok(answer) => Ok(Some(answer.model_version.version)),
            // An alias that names nothing is 400 INVALID_PARAMETER_VALUE, an absent model 404.
            Err(HttpError::Status {
                status: 400, body, ..
            }) if body.contains("INVALID_PARAMETER_VALUE") => Ok(None),
            Err(error) => Err(self.problem(&format!("model `{name}`"), error)),
        }
    }

    /// The marker goes first: wherever the alias points, the approval can be read there.
    async fn set_alias(
        &self,
        name: &str,
        alias: &str,
        version: &str,
        marker: &str,
    ) -> Result<(), RegistryError> {
        let what = format!("version `{version}` of model `{name}`");
        let tag = json!({"name": name, "version": version, "key": APPROVAL_TAG, "value": marker});
        let call = self.post("model-versions/set-tag").json_body(&tag);
        call.ok()
            .await
            .map_err(|error| self.problem(&what, error))?;
        let alias = json!({"name": name, "alias": alias, "version": version});
        let call = self.post("registered-models/alias").json_body(&alias);
        call.ok()
            .await
            .map_err(|error| self.problem(&what, error))?;
        Ok(())
    }

    /// Reads only, so it proves what can be read. MLflow has no question for "may I write": the right to
    /// set tags and aliases shows itself at the first promotion.
    async fn missing_permissions(&self) -> Result<Vec<String>, RegistryError> {
        let mut missing = Vec::new();
        for (path, words) in [
            ("registered-models/search", "list registered models"),
            ("model-versions/search", "list model versions"),
            ("webhooks", "list webhooks, and so create one"),
        ] {
            let call = self.get(path).query("max_results", "1");
            match self.ask::<serde_json::Value>(call, words).await {
                Ok(_) => {}
                Err(RegistryError::Refused { .. }) => missing.push(words.to_owned()),
                // Without an SQL store there are no webhooks; polling finds everything as well.
                Err(RegistryError::NotFound { .. }) if path == "webhooks" => {}
                Err(error) => return Err(error),
            }
        }
        if artifacts::are_refused(self).await? {
            missing.push("list artifacts".to_owned());
        }
        Ok(missing)
    }

    fn receive(
        &self,
        headers: &[(String, String)],
        body: &[u8],
        now: Timestamp,
    ) -> Option<Result<Delivery, InboundError>> {
        let secret = self.webhook_secret.as_ref()?;
        Some(webhook::read(secret, headers, body, now))
    }
}
