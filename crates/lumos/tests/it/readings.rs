//! Who reads in bulk leaves an entry; who looks at a page does not.

use lumos_http::Method;
use serde_json::{Value, json};

use crate::world::{Person, World, promoted};

/// What was read in bulk so far: the kind of reading and who read.
async fn readings(asking: &Person) -> Vec<(String, String)> {
    let entries = asking.peer.get("/api/v1/ledger/entries");
    let entries = entries.query("limit", "1000").send().await.unwrap();
    let entries: Value = entries.json().unwrap();
    let mut found = Vec::new();
    for entry in entries.as_array().unwrap() {
        if entry["type"] == "lumos.reading.recorded.v1" {
            let path = format!("/api/v1/ledger/entries/{}", entry["index"]);
            let entry = asking.get(&path).await;
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            found.push((text(&entry["data"]["reading"]), text(&entry["actor"])));
        }
    }
    found
}

fn count(readings: &[(String, String)], kind: &str) -> usize {
    readings
        .iter()
        .filter(|(reading, _)| reading == kind)
        .count()
}

#[tokio::test]
async fn reading_in_bulk_is_an_entry_and_looking_at_a_page_is_none() {
    let world = World::acme().await;
    world.approve("1.0").await;
    let developer = world.person("developer").await;
    developer.until("triage/1.0", promoted).await;
    let compliance = world.person("compliance").await;
    let before = readings(&compliance).await;
    for path in [
        "/api/v1/releases/triage/1.0",
        "/api/v1/ledger/entries",
        "/api/v1/ask/changes",
    ] {
        compliance.get(path).await;
    }
    for path in ["/ledger/checkpoint", "/api/v1/ledger/entries/3/proof"] {
        let seen = compliance.peer.get(path).send().await.unwrap();
        assert_eq!(seen.status, 200, "{path}");
    }
    assert_eq!(readings(&compliance).await, before, "these are pages");

    // A foreign tool reads many tiles: one entry, or two where an hour ended between them.
    for _ in 0..20 {
        let tile = compliance.peer.get("/ledger/tile/entries/000.p/1").send();
        assert_eq!(tile.await.unwrap().status, 200);
    }
    let tiles = count(&readings(&compliance).await, "tiles");
    assert!((1..=2).contains(&tiles), "{tiles}");
    // LUMOS's own commands say what they do.
    world
        .check_as(&[
            ("risk", "ledger export export", 0, "exported"),
            ("risk", "evidence-pack triage/1.0 --out pack", 0, "Evidence"),
            ("risk", "ask reads", 0, "release triage/1.0"),
        ])
        .await;
    let after = readings(&compliance).await;
    for (kind, times) in [("export", 1), ("evidence-pack", 1)] {
        assert_eq!(count(&after, kind), times, "{kind}: {after:?}");
    }
    assert!(
        count(&after, "tiles") <= tiles + 1,
        "an export is not told twice: {after:?}"
    );
    world.ledger_verifies("risk").await;
}

#[tokio::test]
async fn nobody_records_a_reading_that_is_not_theirs_to_make() {
    let world = World::acme().await;
    let nobody = world.with("");
    let export = json!({ "reading": "export", "size": 3 });
    let path = "/api/v1/readings";
    let answer = nobody.ask(Method::POST, path, &export).await;
    answer.is_refused(401, "not-signed-in");
    let risk = world.person("risk").await;
    for reading in ["evidence-pack", "tiles", "sleep"] {
        let wrong = json!({ "reading": reading, "size": 3 });
        let answer = risk.ask(Method::POST, path, &wrong).await;
        answer.is_refused(422, "unknown-word");
    }
    risk.ask(Method::POST, path, &export).await.is(200);
    for path in [
        "/api/v1/evidence-pack",
        "/api/v1/releases/triage/1.0/evidence-pack",
    ] {
        let seen = nobody.peer.get(path).send().await.unwrap();
        assert_eq!(seen.status, 401, "{path}");
    }
    // A page sends whoever is not signed in to sign in.
    let page = "/releases/triage/1.0/evidence-pack/";
    let seen = nobody.peer.get(page).send().await.unwrap();
    let seen = String::from_utf8_lossy(&seen.body).into_owned();
    assert!(!seen.contains("LUMOS evidence pack"), "{seen}");
}
