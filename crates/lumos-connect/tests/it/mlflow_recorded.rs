//! The connector against recordings of MLflow 3.17.2.

use lumos_engine::ports::Registry as _;
use serde_json::{Value, json};
use wiremock::{
    Match, Mock, MockServer, Request, ResponseTemplate,
    matchers::{body_partial_json, method, path},
};

use crate::fake::{mlflow, nothing_known, recording};

/// What we ask for beyond what was asked when it was recorded.
const IGNORED: [&str; 2] = ["max_results", "order_by"];

/// The recorded query, apart from page sizes and order.
struct SameQuery(Vec<(String, String)>);

impl SameQuery {
    fn of(params: &Value) -> Self {
        let mut pairs: Vec<(String, String)> = params
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, value)| {
                let text = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                (key.clone(), text)
            })
            .filter(|(key, _)| !IGNORED.contains(&key.as_str()))
            .collect();
        pairs.sort();
        Self(pairs)
    }
}

impl Match for SameQuery {
    fn matches(&self, request: &Request) -> bool {
        let mut pairs: Vec<(String, String)> = request
            .url
            .query_pairs()
            .map(|(key, value)| (key.into_owned(), value.into_owned()))
            .filter(|(key, _)| !IGNORED.contains(&key.as_str()))
            .collect();
        pairs.sort();
        pairs == self.0
    }
}

/// A server that answers as the recording does.
async fn replay() -> Option<MockServer> {
    let exchanges: Vec<Value> = serde_json::from_str(&recording("rest_exchanges.json")?).unwrap();
    let server = MockServer::start().await;
    for exchange in exchanges {
        let request = &exchange["request"];
        let response = &exchange["response"];
        let status: u16 = response["status"].as_u64().unwrap().try_into().unwrap();
        let answer = ResponseTemplate::new(status);
        let answer = match &response["body"] {
            Value::String(text) => answer.set_body_string(text.clone()),
            body => answer.set_body_json(body),
        };
        let mut mock = Mock::given(method(request["method"].as_str().unwrap()))
            .and(path(request["path"].as_str().unwrap()))
            .and(SameQuery::of(&request["params"]));
        if !request["json"].is_null() {
            mock = mock.and(body_partial_json(&request["json"]));
        }
        mock.respond_with(answer).mount(&server).await;
    }
    Some(server)
}

#[tokio::test]
async fn models_and_versions_are_found_as_recorded() {
    let Some(server) = replay().await else { return };
    let registry = mlflow(&server.uri());
    let models = registry.models().await.unwrap();
    assert_eq!(models.len(), 1);
    assert_eq!(models[0].name, "fraud-detector");
    assert_eq!(models[0].owner.as_deref(), Some("risk-team"));
    assert_eq!(models[0].latest.as_deref(), Some("2"));
    let found = registry
        .versions("fraud-detector", &nothing_known)
        .await
        .unwrap();
    let found: Vec<(&str, Vec<&str>)> = found
        .iter()
        .map(|it| {
            (
                it.version.as_str(),
                it.authors.iter().map(String::as_str).collect(),
            )
        })
        .collect();
    assert_eq!(found, [("2", vec!["root"]), ("1", vec![])]);
    let newer = registry
        .versions("fraud-detector", &|it| it == "1")
        .await
        .unwrap();
    assert_eq!(newer.len(), 1);
    assert_eq!(
        newer[0].created.unwrap().as_millisecond(),
        1_795_226_055_308
    );
    let none = registry
        .versions("fraud-detector", &|it| it == "2")
        .await
        .unwrap();
    assert_eq!(none, []);
    assert_eq!(
        registry.version("fraud-detector", "2").await.unwrap(),
        newer[0]
    );
}

#[tokio::test]
async fn what_is_absent_is_told_from_what_failed() {
    let Some(server) = replay().await else { return };
    let registry = mlflow(&server.uri());
    let alias = registry.alias("fraud-detector", "champion").await.unwrap();
    assert_eq!(alias.as_deref(), Some("1"));
    let alias = registry.alias("fraud-detector", "nope").await.unwrap();
    assert_eq!(alias, None);
    let version = registry.version("fraud-detector", "99").await.unwrap_err();
    assert_eq!(version.code(), "registry-not-found");
    assert!(version.to_string().contains("version `99`"), "{version}");
}

#[tokio::test]
async fn the_metrics_of_the_run_are_an_evaluation() {
    let Some(server) = replay().await else { return };
    let evidence = mlflow(&server.uri())
        .evidence("fraud-detector", "2")
        .await
        .unwrap();
    assert_eq!(evidence.len(), 1);
    assert_eq!(evidence[0].kind, "evaluation");
    assert_eq!(evidence[0].producer, "registry:acme-mlflow");
    let claim = &evidence[0].claim;
    let metric = json!({"suite": "mlflow-run", "name": "accuracy", "slice": "all",
        "value": 0.973_333_333_333_333_4});
    assert_eq!(claim["metrics"], json!([metric]));
    assert_eq!(claim["params"], json!({"max_iter": "200"}));
    assert_eq!(claim["run_id"], "94a83b1ce58846cf904debf3c3b897b8");
}

#[tokio::test]
async fn a_promotion_leaves_the_marker_before_it_moves_the_alias() {
    let Some(server) = replay().await else { return };
    let tag = json!({"name": "fraud-detector", "version": "2", "key": "lumos.approval",
        "value": "approval-7"});
    Mock::given(path("/api/2.0/mlflow/model-versions/set-tag"))
        .and(body_partial_json(tag))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({})))
        .expect(1)
        .mount(&server)
        .await;
    let registry = mlflow(&server.uri());
    let moved = registry
        .set_alias("fraud-detector", "champion", "2", "approval-7")
        .await;
    moved.unwrap();
    let requests = server.received_requests().await.unwrap();
    let paths: Vec<&str> = requests.iter().map(|it| it.url.path()).collect();
    let expected = ["model-versions/set-tag", "registered-models/alias"]
        .map(|path| format!("/api/2.0/mlflow/{path}"));
    assert_eq!(paths, expected);
}

#[tokio::test]
async fn artifacts_are_fetched_as_listed() {
    let Some(server) = replay().await else { return };
    let root = "/api/2.0/mlflow-artifacts/artifacts/1/models/m-c929f72f22a840e1b873eb3eff734dbc";
    for (file, size) in [
        ("MLmodel", 1071),
        ("conda.yaml", 206),
        ("input_example.json", 44),
        ("model.skops", 9255),
        ("python_env.yaml", 114),
        ("requirements.txt", 89),
        ("serving_input_example.json", 132),
    ] {
        Mock::given(path(format!("{root}/artifacts/{file}")))
            .respond_with(ResponseTemplate::new(200).set_body_bytes(vec![b'x'; size]))
            .with_priority(1)
            .mount(&server)
            .await;
    }
    let into = tempfile::tempdir().unwrap();
    let registry = mlflow(&server.uri());
    let fetched = registry.fetch("fraud-detector", "2", into.path()).await;
    assert_eq!(fetched.unwrap(), 10_911);
    assert_eq!(
        into.path().join("model.skops").metadata().unwrap().len(),
        9_255
    );
}

#[tokio::test]
async fn a_webhook_is_made_once_and_tried() {
    let Some(server) = replay().await else { return };
    let settings = json!({"webhook_secret": "lumos-hook-secret"});
    let registry =
        crate::fake::mlflow_with(&server.uri(), &settings, lumos_http::Limits::default());
    let id = "a8ca2183-ae32-4fb3-896d-6db69ae211f3";
    let made = registry.ensure_webhook("http://127.0.0.1:5599/other").await;
    // The recording knows no such webhook and does not answer for one: it was asked to make it.
    assert_eq!(made.unwrap_err().code(), "registry-not-found");
    let patched = json!({"webhook": {"webhook_id": id, "name": "lumos", "status": "ACTIVE",
        "url": "http://127.0.0.1:5599/hooks/mlflow"}});
    Mock::given(method("PATCH"))
        .and(path(format!("/api/2.0/mlflow/webhooks/{id}")))
        .and(body_partial_json(
            json!({"secret": "lumos-hook-secret", "status": "ACTIVE"}),
        ))
        .respond_with(ResponseTemplate::new(200).set_body_json(patched))
        .with_priority(1)
        .mount(&server)
        .await;
    let hook = registry
        .ensure_webhook("http://127.0.0.1:5599/hooks/mlflow")
        .await
        .unwrap();
    assert_eq!(hook.id, id);
    Mock::given(path("/api/2.0/mlflow/model-versions/search"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({})))
        .mount(&server)
        .await;
    assert!(registry.test_webhook(&hook.id).await.unwrap());
    assert_eq!(registry.missing_permissions().await.unwrap(), [""; 0]);
}
