//! What MLflow answers, as far as it is read, and what is made of it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use lumos_engine::ports::FoundModel;
use serde::Deserialize;
use serde_json::{Value, json};

/// The tag in which a developer may state what kind of change a version is.
const CHANGE_TAG: &str = "lumos.change";
/// The tag under which MLflow's client keeps the user's name.
const USER_TAG: &str = "mlflow.user";
const COMMIT_TAG: &str = "mlflow.source.git.commit";
const PROMPT_TAG: &str = "mlflow.prompt.is_prompt";

#[derive(Debug, Deserialize)]
pub(super) struct Tag {
    pub(super) key: String,
    #[serde(default)]
    pub(super) value: String,
}

fn tag<'a>(tags: &'a [Tag], key: &str) -> Option<&'a str> {
    let found = tags.iter().find(|tag| tag.key == key);
    found
        .map(|tag| tag.value.as_str())
        .filter(|text| !text.is_empty())
}

#[derive(Debug, Deserialize)]
pub(super) struct ModelPage {
    #[serde(default)]
    pub(super) registered_models: Vec<Model>,
    pub(super) next_page_token: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ModelAnswer {
    #[expect(dead_code, reason = "that it is there is all that is asked")]
    registered_model: Model,
}

#[derive(Debug, Deserialize)]
pub(super) struct Model {
    name: String,
    #[serde(default)]
    description: String,
    user_id: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
    #[serde(default)]
    latest_versions: Vec<Version>,
}

impl Model {
    /// Prompts lie in the same registry; LUMOS governs them as parts of releases.
    pub(super) fn is_prompt(&self) -> bool {
        tag(&self.tags, PROMPT_TAG) == Some("true")
    }
}

impl From<Model> for FoundModel {
    fn from(model: Model) -> Self {
        let newest = model.latest_versions.into_iter();
        let newest = newest.max_by_key(|version| version.creation_timestamp);
        let owner = ["owner", USER_TAG]
            .into_iter()
            .find_map(|key| tag(&model.tags, key).map(str::to_owned));
        Self {
            name: model.name,
            description: model.description,
            owner: owner.or(model.user_id),
            latest: newest.map(|version| version.version),
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct VersionPage {
    #[serde(default)]
    pub(super) model_versions: Vec<Version>,
    pub(super) next_page_token: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct VersionAnswer {
    pub(super) model_version: Version,
}

#[derive(Debug, Deserialize)]
pub(super) struct Version {
    pub(super) name: String,
    pub(super) version: String,
    /// Milliseconds since 1970.
    creation_timestamp: Option<i64>,
    user_id: Option<String>,
    pub(super) run_id: Option<String>,
    status: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
}

impl Version {
    /// Whether its artifacts are all there; a server that states nothing knows no other state.
    pub(super) fn is_ready(&self) -> bool {
        self.status
            .as_deref()
            .is_none_or(|status| status == "READY")
    }

    pub(super) fn created(&self) -> Option<Timestamp> {
        self.creation_timestamp
            .and_then(|ms| Timestamp::from_millisecond(ms).ok())
    }

    pub(super) fn declared_change(&self) -> Option<String> {
        tag(&self.tags, CHANGE_TAG).map(str::to_owned)
    }
}

/// Everybody whom the version or its run names, each once.
pub(super) fn authors(version: &Version, run: Option<&Run>) -> Vec<String> {
    let named = [
        version.user_id.as_deref(),
        tag(&version.tags, USER_TAG),
        run.and_then(|run| run.info.user_id.as_deref()),
        run.and_then(|run| tag(&run.data.tags, USER_TAG)),
    ];
    let mut authors: Vec<String> = Vec::new();
    for name in named.into_iter().flatten().map(str::trim) {
        if !name.is_empty() && !authors.iter().any(|author| author == name) {
            authors.push(name.to_owned());
        }
    }
    authors
}

#[derive(Debug, Deserialize)]
pub(super) struct RunAnswer {
    pub(super) run: Run,
}

#[derive(Debug, Deserialize)]
pub(super) struct Run {
    info: RunInfo,
    #[serde(default)]
    pub(super) data: RunData,
}

#[derive(Debug, Deserialize)]
struct RunInfo {
    run_id: String,
    user_id: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct RunData {
    #[serde(default)]
    pub(super) metrics: Vec<Metric>,
    #[serde(default)]
    params: Vec<Tag>,
    #[serde(default)]
    tags: Vec<Tag>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Metric {
    key: String,
    /// A number; `NaN` and the infinities are written as text.
    value: Value,
}

impl Run {
    /// The run's metrics as a claim of kind `evaluation`. Values that are no numbers are named apart, so
    /// that no rule takes their absence for a good result.
    pub(super) fn evaluation(&self) -> Value {
        let (finite, other): (Vec<&Metric>, Vec<&Metric>) = self
            .data
            .metrics
            .iter()
            .partition(|metric| metric.value.is_number());
        let metrics: Vec<Value> = finite
            .iter()
            .map(|metric| {
                json!({"suite": "mlflow-run", "name": metric.key, "slice": "all", "value": metric.value})
            })
            .collect();
        let params: BTreeMap<&str, &str> = self
            .data
            .params
            .iter()
            .map(|param| (param.key.as_str(), param.value.as_str()))
            .collect();
        let mut claim = json!({
            "metrics": metrics,
            "source": "mlflow-run",
            "run_id": self.info.run_id,
            "params": params,
        });
        if !other.is_empty() {
            claim["not_numbers"] = other.iter().map(|metric| metric.key.as_str()).collect();
        }
        if let Some(commit) = tag(&self.data.tags, COMMIT_TAG) {
            claim["commit"] = commit.into();
        }
        claim
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_that_are_no_numbers_are_named_apart() {
        let run: Run = serde_json::from_value(json!({
            "info": {"run_id": "r1"},
            "data": {
                "metrics": [{"key": "auc", "value": 0.91}, {"key": "loss", "value": "NaN"}],
                "params": [{"key": "depth", "value": "3"}],
                "tags": [{"key": "mlflow.source.git.commit", "value": "abc"}],
            },
        }))
        .unwrap();
        let expected = json!({
            "metrics": [{"suite": "mlflow-run", "name": "auc", "slice": "all", "value": 0.91}],
            "source": "mlflow-run",
            "run_id": "r1",
            "params": {"depth": "3"},
            "not_numbers": ["loss"],
            "commit": "abc",
        });
        assert_eq!(run.evaluation(), expected);
    }

    #[test]
    fn everybody_named_is_an_author_once() {
        fn check(version: Value, run: Value, expected: &[&str]) {
            let version: Version = serde_json::from_value(version).unwrap();
            let run: Option<Run> = serde_json::from_value(run).unwrap();
            assert_eq!(authors(&version, run.as_ref()), expected);
        }
        let bare = json!({"name": "m", "version": "1"});
        check(bare.clone(), Value::Null, &[]);
        let run = json!({"info": {"run_id": "r", "user_id": "ada"},
            "data": {"tags": [{"key": "mlflow.user", "value": "ada"}]}});
        check(bare, run, &["ada"]);
        let version = json!({"name": "m", "version": "1", "user_id": " bo ",
            "tags": [{"key": "mlflow.user", "value": "cy"}]});
        let run = json!({"info": {"run_id": "r", "user_id": ""},
            "data": {"tags": [{"key": "mlflow.user", "value": "ada"}]}});
        check(version, run, &["bo", "cy", "ada"]);
    }
}
