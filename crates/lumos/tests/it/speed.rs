//! How fast the whole program is: starting, idling, and from a registry's webhook to an open review. It
//! prints and asserts nothing about time; `cargo xtask bench` runs it in release mode.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    extract::{Path, Query},
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::{MethodRouter, get},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use lumos_http::{Auth, Method};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet, time::timeout};

use crate::{
    artifacts,
    world::{PATIENCE, World, peer_at},
};

const SECRET: &str = "hook-secret";
const NAME: &str = "triage-model";
const STARTS: usize = 9;
const VERSIONS: u32 = 200;
const BURST: u32 = 50;

type Files = Arc<BTreeMap<&'static str, Vec<u8>>>;

/// Answers as MLflow does, from memory: what is measured is LUMOS, not the registry.
async fn stand_in() -> (String, JoinSet<()>) {
    let folder = tempfile::tempdir().unwrap();
    artifacts::baseline(folder.path()).unwrap();
    let files = [
        "model.safetensors",
        "config.json",
        "prompt.txt",
        "README.md",
    ]
    .map(|file| (file, std::fs::read(folder.path().join(file)).unwrap()));
    let files: Files = Arc::new(files.into());
    let listed = json!({ "files": files.iter().map(|(file, bytes)| json!({
        "path": file, "is_dir": false, "file_size": bytes.len() + usize::from(*file == "config.json") * 8,
    })).collect::<Vec<_>>() });
    let model = json!({ "name": NAME });
    let api = |path: &str| format!("/api/2.0/mlflow/{path}");
    let site = Router::new()
        .route(
            &api("registered-models/search"),
            always(json!({ "registered_models": [model] })),
        )
        .route(
            &api("registered-models/get"),
            always(json!({ "registered_model": model })),
        )
        .route(&api("model-versions/search"), always(json!({})))
        .route(&api("model-versions/get"), get(version))
        .route(&api("model-versions/get-download-uri"), get(place))
        .route("/api/2.0/mlflow-artifacts/artifacts", always(listed))
        .route(
            "/api/2.0/mlflow-artifacts/artifacts/{version}/{file}",
            get(async move |Path((version, file)): Path<(String, String)>| {
                file_of(&files, &version, &file)
            }),
        );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let mut serving = JoinSet::new();
    serving.spawn(async move { axum::serve(listener, site).await.unwrap() });
    (address, serving)
}

fn always(answer: Value) -> MethodRouter {
    get(async move || Json(answer))
}

async fn version(Query(asked): Query<BTreeMap<String, String>>) -> Response {
    Json(json!({ "model_version": {
        "name": NAME, "version": asked["version"], "status": "READY", "user_id": "dev@acme.example",
        "creation_timestamp": 1_770_000_000_000_i64,
    }}))
    .into_response()
}

async fn place(Query(asked): Query<BTreeMap<String, String>>) -> Response {
    Json(json!({ "artifact_uri": format!("mlflow-artifacts:/{}", asked["version"]) }))
        .into_response()
}

/// Every version has a configuration of its own, and so a digest.
fn file_of(files: &Files, version: &str, file: &str) -> Response {
    let Some(bytes) = files.get(file) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let mut bytes = bytes.clone();
    if file == "config.json" {
        bytes.extend(format!("{version:>8}").replace(' ', "\n").bytes());
    }
    bytes.into_response()
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "this measures")]
    Instant::now()
}

/// Tells LUMOS of a version, signed as MLflow signs.
async fn tell(world: &World, version: u32) {
    let body = json!({ "entity": "model_version", "action": "created",
        "data": { "name": NAME, "version": version.to_string() } })
    .to_string();
    let (id, time) = (format!("delivery-{version}"), jiff_now());
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(format!("{id}.{time}.{body}").as_bytes());
    let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    let sent = peer_at(world.address(), Auth::None)
        .request(Method::POST, "/api/v1/hooks/mlflow")
        .header("x-mlflow-delivery-id", &id)
        .header("x-mlflow-timestamp", &time)
        .header("x-mlflow-signature", &signature)
        .bytes("application/json", body.into_bytes())
        .send()
        .await
        .unwrap();
    assert_eq!(sent.status, 202);
}

fn jiff_now() -> String {
    #[expect(
        clippy::disallowed_methods,
        reason = "a webhook carries the time it was sent"
    )]
    jiff::Timestamp::now().as_second().to_string()
}

/// The value below which `percent` of the sorted `times` lie.
fn percentile(times: &[Duration], percent: usize) -> Duration {
    times[(times.len() * percent).div_ceil(100).saturating_sub(1)]
}

fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

#[tokio::test]
#[ignore = "measures; run by `cargo xtask bench`"]
async fn starting_and_idling() {
    let mut world = World::acme().await;
    let mut times = Vec::new();
    let mut memory = String::new();
    for _ in 0..STARTS {
        world.stop().await;
        let start = now();
        world.start(0).await;
        let ready = peer_at(world.address(), Auth::None)
            .get("/readyz")
            .send()
            .await;
        assert_eq!(ready.unwrap().status, 200);
        times.push(start.elapsed());
        memory = world.memory();
    }
    times.sort();
    println!(
        "serve  ready after {} (from {} to {}), resident {memory}, to reach: 300 ms, 60 MB",
        ms(times[STARTS / 2]),
        ms(times[0]),
        ms(times[STARTS - 1]),
    );
}

#[tokio::test]
#[ignore = "measures; run by `cargo xtask bench`"]
async fn from_a_webhook_to_an_open_review() {
    let (address, _serving) = stand_in().await;
    let world = World::acme_with(|text| {
        text.replace("poll_s: 1", "poll_s: 900")
            + &format!("  - {{kind: mlflow, name: mlflow, address: \"{address}\", webhook_secret: {SECRET}}}\n")
    })
    .await;
    world.register("pager").await;
    let bind = format!("model bind pager --registry mlflow --name {NAME} --env production");
    world.say_as("platform & risk", &bind).await.is(0, "");
    let watcher = world.person("developer").await;
    let mut entries = watcher.peer.get("/api/v1/events").lines().await.unwrap();
    let mut opened = async || {
        let look = async {
            while let Some(line) = entries.next().await.unwrap() {
                if line.starts_with("data:") && line.contains("lumos.review.opened.v1") {
                    return;
                }
            }
            panic!("the stream of events ended");
        };
        timeout(PATIENCE, look).await.expect("a review is opened");
    };
    let mut times = Vec::new();
    for version in 1..=VERSIONS {
        let start = now();
        tell(&world, version).await;
        opened().await;
        times.push(start.elapsed());
    }
    times.sort();
    println!(
        "webhook to review opened  p50 {}  p99 {}  most {}  of {VERSIONS}, one after the other, to reach: p99 150 ms",
        ms(percentile(&times, 50)),
        ms(percentile(&times, 99)),
        ms(times[times.len() - 1]),
    );
    let start = now();
    for version in 1..=BURST {
        tell(&world, VERSIONS + version).await;
    }
    for _ in 0..BURST {
        opened().await;
    }
    println!(
        "a burst of {BURST} webhooks: all reviews open after {}",
        ms(start.elapsed())
    );
}
