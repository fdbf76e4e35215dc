//! The registry is away, the server is killed: nothing acknowledged is lost, nothing outside happens twice.

use lumos_http::Method;
use serde_json::{Value, json};
use tokio::{sync::mpsc, task::JoinSet};

use crate::world::{Person, World, promoted};

const INTENDED: &str = "lumos.promotion.intended.v1";
const OBSERVED: &str = "lumos.promotion.observed.v1";

/// How often each type stands in a release's history.
async fn check_once(world: &World, release: &str, kinds: &[&str]) {
    let history = world.history(release).await;
    for kind in kinds {
        let seen = history.iter().filter(|seen| seen == kind).count();
        assert_eq!(seen, 1, "{kind} in {history:?}");
    }
}

/// Approves version 1.0 while the registry is away; returns once the promotion is intended.
async fn approved_without_a_registry(world: &World) -> Person {
    let developer = world.reviewed("1.0").await;
    let claim = "/api/v1/releases/triage/1.0/claims";
    developer
        .ask(Method::POST, claim, &json!({ "claim": 1 }))
        .await
        .is(200);
    world
        .person("compliance")
        .await
        .sign("triage/1.0")
        .await
        .is(200);
    std::fs::rename(world.path("models"), world.path("away")).unwrap();
    world
        .person("expert")
        .await
        .sign("triage/1.0")
        .await
        .is(200);
    let intended = |view: &Value| view["promotions"][0]["settled"] == false;
    developer.until("triage/1.0", intended).await;
    developer
}

fn alias(world: &World) -> String {
    std::fs::read_to_string(world.path("models/triage/.aliases/champion")).unwrap()
}

#[tokio::test]
async fn a_registry_that_is_away_is_promoted_in_when_it_is_back() {
    let world = World::acme().await;
    let developer = approved_without_a_registry(&world).await;
    std::fs::rename(world.path("away"), world.path("models")).unwrap();
    developer.until("triage/1.0", promoted).await;
    assert_eq!(alias(&world).trim(), "1.0");
    check_once(&world, "triage/1.0", &[INTENDED, OBSERVED]).await;
    let runtime = developer.get("/api/v1/runtime").await;
    for agent in runtime.as_array().unwrap() {
        assert_eq!(agent["dead_letters"], json!([]), "{runtime:#}");
    }
}

/// Killed between intent and outcome: once before the registry was touched, once after.
#[tokio::test]
async fn a_server_killed_while_it_promotes_promotes_once() {
    for happened in [false, true] {
        let mut world = World::acme().await;
        approved_without_a_registry(&world).await;
        world.kill().await;
        std::fs::rename(world.path("away"), world.path("models")).unwrap();
        let file = world.path("models/triage/.aliases/champion");
        if happened {
            world.write("models/triage/.aliases/champion", "1.0\n");
        }
        let before = std::fs::metadata(&file).and_then(|it| it.modified()).ok();
        world.start(0).await;
        let developer = world.person("developer").await;
        developer.until("triage/1.0", promoted).await;
        assert_eq!(alias(&world).trim(), "1.0");
        let after = std::fs::metadata(&file).and_then(|it| it.modified()).ok();
        assert_eq!(
            before == after,
            happened,
            "what happened already is not done again"
        );
        let marker = world.path("models/triage/.approvals/1.0");
        assert_eq!(marker.exists(), !happened);
        check_once(&world, "triage/1.0", &[INTENDED, OBSERVED]).await;
        world
            .say_as("platform", "check")
            .await
            .is(0, "0 dead letter(s)");
        world.ledger_verifies("developer").await;
    }
}

#[tokio::test]
async fn a_server_killed_while_it_scans_scans_again() {
    let mut world = World::acme().await;
    let administrator = world.person("administrator").await;
    let body = json!({ "rights": [] });
    let mut last = 0;
    for n in 0..5 {
        let path = format!("/api/v1/roles/role-{n}");
        let made = administrator.ask(Method::PUT, &path, &body).await.is(200);
        last = made["entry"].as_u64().unwrap();
    }
    let developer = world.person("developer").await;
    let large = std::fs::File::create(world.write("models/triage/1.0/more.bin", "")).unwrap();
    large.set_len(64 << 20).unwrap();
    world.publish("1.0");
    // The entry that wakes the scanner is seen; what it began is cut short.
    developer
        .until("triage/1.0", |view| view["model"] == "triage")
        .await;
    world.kill().await;

    world.start(0).await;
    let developer = world.person("developer").await;
    developer
        .until("triage/1.0", |view| view["state"] == "in review")
        .await;
    let detected = ["lumos.candidate.detected.v1", "lumos.release.identified.v1"];
    check_once(&world, "triage/1.0", &detected).await;
    let entry = developer
        .get(&format!("/api/v1/ledger/entries/{last}"))
        .await;
    assert_eq!(entry["type"], "lumos.role.defined.v1");
    assert_eq!(
        std::fs::read_dir(world.path("lumos-data/work"))
            .unwrap()
            .count(),
        0
    );
    world.ledger_verifies("developer").await;
}

#[tokio::test]
async fn a_server_killed_while_it_writes_keeps_what_it_acknowledged() {
    let mut world = World::acme().await;
    let (send, mut acknowledged) = mpsc::unbounded_channel();
    let mut writers = JoinSet::new();
    for writer in 0..4 {
        let administrator = world.person("administrator").await;
        let send = send.clone();
        writers.spawn(async move {
            for n in 0.. {
                let role = format!("role-{writer}-{n}");
                let put = administrator.peer.put(&format!("/api/v1/roles/{role}"));
                let Ok(answer) = put.json_body(&json!({ "rights": [] })).send().await else {
                    return;
                };
                assert_eq!(answer.status, 200);
                send.send(role).unwrap();
            }
        });
    }
    drop(send);
    let mut roles = Vec::new();
    for _ in 0..50 {
        roles.push(acknowledged.recv().await.unwrap());
    }
    world.kill().await;
    while let Some(role) = acknowledged.recv().await {
        roles.push(role);
    }
    while let Some(ended) = writers.join_next().await {
        ended.unwrap();
    }
    world.start(0).await;
    let reader = world.person("risk").await;
    let kept = reader.get("/api/v1/roles").await;
    let kept: Vec<_> = kept
        .as_array()
        .unwrap()
        .iter()
        .map(|role| &role["role"])
        .collect();
    for role in roles {
        assert!(kept.iter().any(|kept| **kept == role), "{role} was lost");
    }
    world.ledger_verifies("risk").await;
}
