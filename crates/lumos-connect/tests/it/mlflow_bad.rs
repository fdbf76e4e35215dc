//! The connector against servers that fail, lie, or lead astray.

use std::time::Duration;

use lumos_connect::{
    RegistrySettings, build,
    registries::{Mlflow, MlflowSettings},
};
use lumos_engine::ports::{Registry, RegistryError};
use lumos_http::{Client, Egress, Limits};
use serde_json::{Value, json};
use tempfile::TempDir;
use wiremock::{
    Mock, MockServer, Request, ResponseTemplate,
    matchers::{any, method, path, query_param},
};

use crate::fake::{mlflow, mlflow_with, nothing_known};

const SLOW: Limits = Limits {
    connect_ms: 2_000,
    idle_ms: 200,
    exchange_ms: 200,
    transfer_ms: 200,
    answer_bytes: 1_000,
};
const SMALL: Limits = Limits {
    connect_ms: 5_000,
    idle_ms: 30_000,
    exchange_ms: 60_000,
    transfer_ms: 60_000,
    answer_bytes: 1_000,
};
const API: &str = "/api/2.0/mlflow";
const PROXY: &str = "/api/2.0/mlflow-artifacts/artifacts";

async fn answering(template: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(template)
        .mount(&server)
        .await;
    server
}

/// Every call of the port, each with its failure.
async fn every_failure(registry: &Mlflow) -> Vec<RegistryError> {
    let into = tempfile::tempdir().unwrap();
    let failures = vec![
        registry.models().await.unwrap_err(),
        registry.versions("m", &nothing_known).await.unwrap_err(),
        registry.version("m", "1").await.unwrap_err(),
        registry.fetch("m", "1", into.path()).await.unwrap_err(),
        registry.evidence("m", "1").await.unwrap_err(),
        registry.alias("m", "champion").await.unwrap_err(),
        registry
            .set_alias("m", "champion", "1", "x")
            .await
            .unwrap_err(),
    ];
    assert_eq!(into.path().read_dir().unwrap().count(), 0);
    failures
}

#[tokio::test]
async fn each_failure_of_the_server_has_its_kind_in_every_call() {
    async fn check(template: ResponseTemplate, limits: Limits, code: &str) {
        let server = answering(template).await;
        let settings = json!({"token": "hunter2"});
        let registry = mlflow_with(&server.uri(), &settings, limits);
        for failure in every_failure(&registry).await {
            assert_eq!(failure.code(), code, "{failure}");
            assert!(
                !format!("{failure} {failure:?}").contains("hunter2"),
                "{failure}"
            );
        }
    }
    let new = ResponseTemplate::new;
    let absent = json!({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no"});
    check(
        new(401).set_body_string("hunter2 is wrong"),
        SMALL,
        "registry-refused",
    )
    .await;
    check(
        new(403).set_body_string("Permission denied"),
        SMALL,
        "registry-refused",
    )
    .await;
    check(new(404).set_body_json(&absent), SMALL, "registry-not-found").await;
    check(new(400).set_body_json(&absent), SMALL, "registry-not-found").await;
    check(new(429), SMALL, "registry-unreachable").await;
    check(
        new(500).set_body_string("hunter2"),
        SMALL,
        "registry-broken",
    )
    .await;
    check(new(503), SMALL, "registry-broken").await;
    let elsewhere = new(307).insert_header("location", "http://evil.example/");
    check(elsewhere, SMALL, "registry-broken").await;
    let slow = new(200).set_delay(Duration::from_secs(60));
    check(slow, SLOW, "registry-unreachable").await;
}

#[tokio::test]
async fn nonsense_is_broken_in_every_call_that_reads() {
    async fn check(body: &[u8]) {
        let server = answering(ResponseTemplate::new(200).set_body_bytes(body)).await;
        let registry = mlflow_with(&server.uri(), &json!({}), SMALL);
        let into = tempfile::tempdir().unwrap();
        for failure in [
            registry.models().await.unwrap_err(),
            registry.versions("m", &nothing_known).await.unwrap_err(),
            registry.version("m", "1").await.unwrap_err(),
            registry.fetch("m", "1", into.path()).await.unwrap_err(),
            registry.evidence("m", "1").await.unwrap_err(),
            registry.alias("m", "champion").await.unwrap_err(),
        ] {
            assert_eq!(failure.code(), "registry-broken", "{failure}");
        }
    }
    check(b"").await;
    check(b"<html>login</html>").await;
    check(br#"{"registered_models": [{"#).await;
    check(br#""a text""#).await;
    check(&[0xff; 20]).await;
    check(&[b' '; 1_001]).await;
}

#[tokio::test]
async fn a_server_that_is_down_is_unreachable() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    for failure in every_failure(&mlflow(&address)).await {
        assert_eq!(failure.code(), "registry-unreachable", "{failure}");
        assert!(failure.is_transient());
    }
}

#[tokio::test]
async fn pages_that_repeat_end() {
    let version = json!({"name": "m", "version": "1"});
    let page = json!({"registered_models": [{"name": "m"}], "model_versions": [version],
        "next_page_token": "again"});
    let server = answering(ResponseTemplate::new(200).set_body_json(page)).await;
    let registry = mlflow(&server.uri());
    let models = registry.models().await.unwrap_err();
    let versions = registry.versions("m", &nothing_known).await.unwrap_err();
    for error in [models, versions] {
        assert_eq!(error.code(), "registry-broken");
        assert!(error.to_string().contains("pages repeat"), "{error}");
    }
    assert_eq!(server.received_requests().await.unwrap().len(), 4);
}

#[tokio::test]
async fn pages_without_end_end() {
    let server = MockServer::start().await;
    let next = |request: &Request| {
        let length = request.url.as_str().len();
        let token = format!("{}x", request.url.query().unwrap_or_default());
        let token = format!(
            "{:x}-{length}",
            token
                .bytes()
                .fold(7_u64, |a, b| { a.wrapping_mul(31).wrapping_add(b.into()) })
        );
        ResponseTemplate::new(200).set_body_json(json!({"next_page_token": token}))
    };
    Mock::given(any()).respond_with(next).mount(&server).await;
    let error = mlflow(&server.uri()).models().await.unwrap_err();
    assert_eq!(error.code(), "registry-broken");
    assert!(server.received_requests().await.unwrap().len() <= 1_001);
}

#[tokio::test]
async fn a_version_is_reported_when_ready_even_behind_a_newer_one() {
    async fn check(known: &'static [&'static str], expected: &[&str]) {
        let version =
            |number: &str, status: &str| json!({"name": "m", "version": number, "status": status});
        let page = json!({
            "registered_model": {"name": "m"},
            "model_versions": [
                version("5", "PENDING_REGISTRATION"), version("4", "READY"),
                version("3", "READY"), version("2", "FAILED_REGISTRATION"),
            ],
        });
        let server = answering(ResponseTemplate::new(200).set_body_json(page)).await;
        let registry = mlflow(&server.uri());
        let found = registry
            .versions("m", &|it| known.contains(&it))
            .await
            .unwrap();
        let found: Vec<&str> = found.iter().map(|it| it.version.as_str()).collect();
        assert_eq!(found, expected, "{known:?}");
    }
    check(&[], &["4", "3"]).await;
    check(&["4"], &["3"]).await;
    check(&["3"], &["4"]).await;
    check(&["3", "4"], &[]).await;
}

#[tokio::test]
async fn pages_are_read_up_to_a_known_version() {
    let server = MockServer::start().await;
    let next = |request: &Request| {
        let token = request
            .url
            .query_pairs()
            .find(|(key, _)| key == "page_token");
        let page: u32 = token.map_or(9, |(_, value)| value.parse().unwrap());
        let version = json!({"name": "m", "version": page.to_string()});
        let body = json!({"model_versions": [version], "next_page_token": (page - 1).to_string()});
        ResponseTemplate::new(200).set_body_json(body)
    };
    Mock::given(any()).respond_with(next).mount(&server).await;
    let registry = mlflow(&server.uri());
    let found = registry.versions("m", &|it| it == "6").await.unwrap();
    let found: Vec<&str> = found.iter().map(|it| it.version.as_str()).collect();
    assert_eq!(found, ["9", "8", "7"]);
    assert_eq!(server.received_requests().await.unwrap().len(), 4);
}

#[tokio::test]
async fn an_answer_about_another_model_is_broken() {
    let other = json!({"name": "other", "version": "1"});
    let body = json!({"model_versions": [other], "model_version": other});
    let server = answering(ResponseTemplate::new(200).set_body_json(body)).await;
    let registry = mlflow(&server.uri());
    let versions = registry.versions("m", &nothing_known).await.unwrap_err();
    let version = registry.version("m", "1").await.unwrap_err();
    for error in [versions, version] {
        assert_eq!(error.code(), "registry-broken", "{error}");
    }
}

#[tokio::test]
async fn a_name_cannot_break_out_of_the_filter() {
    async fn check(name: &str, filter: &str) {
        let server = MockServer::start().await;
        let page = json!({"model_versions": [{"name": name, "version": "1"}]});
        Mock::given(path(format!("{API}/model-versions/search")))
            .and(query_param("filter", filter))
            .respond_with(ResponseTemplate::new(200).set_body_json(page))
            .mount(&server)
            .await;
        let found = mlflow(&server.uri()).versions(name, &nothing_known).await;
        assert_eq!(found.unwrap().len(), 1);
    }
    check("fraud", "name='fraud'").await;
    check("it's", "name=\"it's\"").await;
    check("a\"b", "name='a\"b'").await;
    check("x&filter=y", "name='x&filter=y'").await;
    let server = answering(ResponseTemplate::new(200)).await;
    let both = mlflow(&server.uri())
        .versions("a'b\"", &nothing_known)
        .await;
    assert_eq!(both.unwrap_err().code(), "registry-broken");
    assert_eq!(server.received_requests().await.unwrap().len(), 0);
}

/// A server whose artifacts lie at `uri` and are listed as `listing` says, whatever folder is asked for.
async fn listing(uri: &str, listing: Value) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(path(format!("{API}/model-versions/get-download-uri")))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"artifact_uri": uri})))
        .mount(&server)
        .await;
    Mock::given(path(PROXY))
        .respond_with(ResponseTemplate::new(200).set_body_json(listing))
        .mount(&server)
        .await;
    Mock::given(method("GET"))
        .respond_with(ResponseTemplate::new(200).set_body_string("12345"))
        .with_priority(9)
        .mount(&server)
        .await;
    server
}

async fn fetch(server: &MockServer, max_bytes: u64) -> (Result<u64, RegistryError>, TempDir) {
    let outer = tempfile::tempdir().unwrap();
    let into = outer.path().join("into");
    std::fs::create_dir(&into).unwrap();
    let settings = json!({"max_bytes": max_bytes});
    let registry = mlflow_with(&server.uri(), &settings, Limits::default());
    let fetched = registry.fetch("m", "1", &into).await;
    assert_eq!(outer.path().read_dir().unwrap().count(), 1);
    (fetched, outer)
}

#[tokio::test]
async fn a_listing_cannot_lead_out_of_the_version() {
    async fn check(names: &[&str]) {
        let files: Vec<Value> = names.iter().map(|name| json!({"path": name})).collect();
        let server = listing("mlflow-artifacts:/1/m", json!({"files": files})).await;
        let (fetched, _folder) = fetch(&server, 1_000).await;
        let error = fetched.unwrap_err();
        assert_eq!(error.code(), "registry-broken");
        assert!(error.to_string().contains("leads elsewhere"), "{error}");
    }
    check(&["../escaped"]).await;
    check(&[".."]).await;
    check(&["."]).await;
    check(&[""]).await;
    check(&["/etc/escaped"]).await;
    check(&["a/../../../escaped"]).await;
    check(&["..\\escaped"]).await;
    check(&["a\0b"]).await;
    check(&["good", "good"]).await;
}

#[tokio::test]
async fn a_listing_without_end_ends() {
    let endless = json!({"files": [{"path": "d", "is_dir": true}, {"path": "f"}]});
    let server = listing("mlflow-artifacts:/1/m", endless).await;
    let (fetched, _folder) = fetch(&server, 1_000).await;
    assert!(fetched.unwrap_err().to_string().contains("too deep"));
    let many: Vec<Value> = (0..20_001)
        .map(|n| json!({"path": format!("f{n}")}))
        .collect();
    let server = listing("mlflow-artifacts:/1/m", json!({"files": many})).await;
    let (fetched, _folder) = fetch(&server, 1_000).await;
    assert!(fetched.unwrap_err().to_string().contains("too many files"));
}

#[tokio::test]
async fn artifacts_have_the_size_listed_and_fit() {
    async fn check(sizes: [u64; 2], max_bytes: u64, expected: Result<u64, &str>) {
        let files = json!({"files": [
            {"path": "a", "file_size": sizes[0]}, {"path": "b", "file_size": sizes[1]},
        ]});
        let server = listing("mlflow-artifacts:/1/m", files).await;
        let (fetched, _folder) = fetch(&server, max_bytes).await;
        match (fetched, expected) {
            (Ok(size), Ok(expected)) => assert_eq!(size, expected),
            (Err(error), Err(text)) => {
                assert_eq!(error.code(), "registry-broken");
                assert!(error.to_string().contains(text), "{error}");
            }
            (fetched, _) => panic!("{sizes:?} {max_bytes}: {fetched:?}"),
        }
    }
    check([5, 5], 10, Ok(10)).await;
    check([5, 5], 9, Err("larger than 9 bytes")).await;
    check([5, 6], 100, Err("another size than listed")).await;
    check([0, 0], 100, Err("another size than listed")).await;
    check([u64::MAX, u64::MAX], 100, Err("larger than")).await;
}

#[tokio::test]
async fn an_unlisted_size_is_bounded_all_the_same() {
    let files = json!({"files": [{"path": "a"}, {"path": "b"}]});
    let server = listing("mlflow-artifacts:/1/m", files).await;
    let (fetched, folder) = fetch(&server, 9).await;
    let error = fetched.unwrap_err();
    assert!(error.to_string().contains("longer than 4 bytes"), "{error}");
    assert!(!folder.path().join("into/b").exists());
}

#[tokio::test]
async fn artifacts_elsewhere_are_not_fetched() {
    async fn check(uri: &str, code: &str) {
        let server = listing(uri, json!({})).await;
        let (fetched, _folder) = fetch(&server, 9).await;
        assert_eq!(fetched.unwrap_err().code(), code);
        assert!(server.received_requests().await.unwrap().len() <= 2);
    }
    check("s3://acme-models/1", "registry-broken").await;
    check("file:///etc", "registry-broken").await;
    check("mlflow-artifacts://evil.example/1", "registry-broken").await;
    check("mlflow-artifacts:/../1", "registry-broken").await;
    // A place with nothing in it is how MLflow answers for one that is gone.
    check("mlflow-artifacts:/1/m", "registry-not-found").await;
}

#[tokio::test]
async fn a_full_target_is_a_local_failure() {
    let files = json!({"files": [{"path": "a"}]});
    let server = listing("mlflow-artifacts:/1/m", files).await;
    let into = tempfile::tempdir().unwrap();
    std::fs::write(into.path().join("a"), "taken").unwrap();
    let fetched = mlflow(&server.uri()).fetch("m", "1", into.path()).await;
    assert_eq!(fetched.unwrap_err().code(), "fetch-failed");
}

#[test]
fn settings_that_contradict_themselves_are_refused() {
    fn check(more: Value, problem: &str) {
        let mut settings = json!({"name": "acme", "address": "http://127.0.0.1:5000"});
        settings
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let settings: MlflowSettings = serde_json::from_value(settings).unwrap();
        let egress = Egress {
            hosts: vec!["http://127.0.0.1:5000".to_owned()],
            ..Egress::default()
        };
        let http = Client::new(&egress).unwrap();
        let error = build(&RegistrySettings::Mlflow(settings), &http, clock())
            .err()
            .unwrap();
        assert_eq!(error.code(), "registry-settings");
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(problem), "{shown}");
    }
    check(json!({"user": "ada"}), "go together");
    check(json!({"password": "x"}), "go together");
    check(
        json!({"user": "ada", "password": "x", "token": "y"}),
        "not both",
    );
    check(json!({"webhook_secret": ""}), "empty");
    check(
        json!({"address": "http://127.0.0.1:5001"}),
        "do not name it",
    );
    check(json!({"address": "mlflow"}), "Address");
}

fn clock() -> std::sync::Arc<dyn lumos_engine::ports::Clock> {
    struct Fixed;
    impl lumos_engine::ports::Clock for Fixed {
        fn now(&self) -> jiff::Timestamp {
            jiff::Timestamp::UNIX_EPOCH
        }
    }
    std::sync::Arc::new(Fixed)
}
