//! Several equal servers of one ledger: in front of them it does not matter which one is asked, and behind them none
//! of them signs what another does not continue.

use std::time::Duration;

use lumos_http::{Method, Peer};
use serde_json::json;
use tokio::time::timeout;

use crate::{
    bucket::Bucket,
    cluster::Cluster,
    witness::{policy, witnessed_by_two},
    world::{PATIENCE, Person, World, promoted, until},
};

/// What `replicas` servers of one ledger run on, and the first of them, started.
pub(crate) async fn first(replicas: u16) -> Option<(Cluster, Bucket, World)> {
    let (cluster, bucket) = (Cluster::start()?, Bucket::start().await?);
    let url = cluster.url("lumos", &cluster.database());
    let database = format!("postgres: {{url: '{url}', replicas: {replicas}}}\n");
    let objects = bucket.settings("");
    let world = World::acme_with(|settings| settings + &database + &objects).await;
    Some((cluster, bucket, world))
}

/// The checkpoint that a server shows: its size and text.
pub(crate) async fn checkpoint(world: &World) -> (u64, String) {
    let answer = world.with("").peer.get("/ledger/checkpoint").send().await;
    let text = String::from_utf8(answer.unwrap().body.to_vec()).unwrap();
    (text.lines().nth(1).unwrap().parse().unwrap(), text)
}

/// Waits until a server says that it is ready.
pub(crate) async fn until_ready(world: &World) {
    let peer = world.with("").peer;
    until(async || ready(&peer).await == Some(200)).await;
}

/// What a server says of itself; nothing when it says nothing in time.
pub(crate) async fn ready(peer: &Peer) -> Option<u16> {
    let asked = timeout(Duration::from_secs(20), peer.get("/readyz").send());
    asked.await.ok()?.ok().map(|answer| answer.status)
}

/// Waits until all of them show what is anchored: everything that is in the ledger.
pub(crate) async fn show_the_anchored(bucket: &Bucket, worlds: &[&World]) {
    let look = async {
        'again: loop {
            for world in worlds {
                until_ready(world).await;
            }
            let anchored = bucket.object("anchor/checkpoint").await.unwrap();
            for world in worlds {
                if checkpoint(world).await.1.as_bytes() != anchored {
                    continue 'again;
                }
            }
            return;
        }
    };
    timeout(PATIENCE, look)
        .await
        .expect("they show what is anchored");
}

#[tokio::test]
async fn real_two_servers_are_one() {
    let Some((_cluster, bucket, mut one)) = first(2).await else {
        return;
    };
    let mut other = one.beside();
    other.start(0).await;
    assert_eq!(one.vkey(), other.vkey());

    // Signed in at one, known at the other: also where it changes something.
    let developer = one.reviewed("1.0").await;
    let elsewhere = other.with(&developer.credential);
    let path = "/api/v1/releases/triage/1.0/claims";
    let claim = json!({ "claim": 1 });
    elsewhere.ask(Method::POST, path, &claim).await.is(200);
    for (world, login) in [(&one, "compliance"), (&other, "expert")] {
        world.person(login).await.sign("triage/1.0").await.is(200);
    }
    elsewhere.until("triage/1.0", promoted).await;

    // Both show what is anchored, and all of it.
    show_the_anchored(&bucket, &[&one, &other]).await;
    for world in [&one, &other] {
        world.ledger_verifies("developer").await;
    }

    // Whoever is left goes on.
    one.kill().await;
    other.ledger_verifies("developer").await;
    until_ready(&other).await;
    one.start(0).await;
    other.stop().await;
    until_ready(&one).await;
    one.ledger_verifies("developer").await;
}

#[tokio::test]
async fn real_a_server_that_does_not_belong_is_refused() {
    let Some((cluster, bucket, one)) = first(2).await else {
        return;
    };
    let other = one.beside();
    other.change(|settings| settings.replace(&bucket.settings(""), ""));
    other.say("serve").await.is(1, "code anchor-not-shared");
    other.change(|settings| settings.replace("replicas: 2", "replicas: 0"));
    other.say("serve").await.is(1, "code anchor-not-shared");
    other.change(|settings| settings.replace("replicas: 0", "replicas: 2") + &bucket.settings(""));
    for (key, code) in [
        ("ledger.ed25519", "code key-differs"),
        ("statements.p256", "code other-key"),
        ("server.hmac", "code other-key"),
    ] {
        let path = format!("lumos-data/keys/{key}");
        let ours = std::fs::read(other.path(&path)).unwrap();
        other.write(&path, "07".repeat(32));
        other.say("serve").await.is(1, code);
        other.write(&path, ours);
    }
    // Another ledger in the place of this one: its database, or its anchor.
    let elsewhere = cluster.url("lumos", &cluster.database());
    let here = cluster.url("lumos", "d0");
    other.change(|settings| settings.replace(&here, &elsewhere));
    other.say("serve").await.is(1, "code behind-anchor");
    other.change(|settings| {
        settings
            .replace(&elsewhere, &here)
            .replace("lumos/main", "x/y")
    });
    other.say("serve").await.is(1, "code missing-anchor");
}

/// Makes an entry at a server; its index.
pub(crate) async fn define(who: &Person, role: &str) -> u64 {
    let path = format!("/api/v1/roles/{role}");
    let put = who.ask(Method::PUT, &path, &json!({ "rights": [] })).await;
    put.is(200)["entry"].as_u64().unwrap()
}

#[tokio::test]
async fn real_witnesses_cosign_whoever_of_the_servers_asks() {
    let Some((_cluster, _bucket, one)) = first(2).await else {
        return;
    };
    let (one, _witnesses) = witnessed_by_two(one).await;
    let mut other = one.beside();
    other.start(0).await;
    let administrator = one.person("administrator").await;
    for round in 0..4 {
        let writer = if round % 2 == 0 { &one } else { &other };
        let entry = define(&writer.known(&administrator), &format!("role-{round}")).await;
        // Whichever of them signed it, and whichever is asked for the receipt.
        for world in [&one, &other] {
            let path = format!("/api/v1/ledger/entries/{entry}/proof");
            let reader = world.known(&administrator);
            let receipt = reader.peer.get(&path).query("wait", "witnessed").send();
            let receipt = receipt.await.unwrap();
            assert_eq!(receipt.status, 200, "{receipt:?}");
            let shown = world.with("").peer.get("/ledger/checkpoint").send().await;
            let shown = shown.unwrap().body;
            let opened = policy(&one);
            assert!(opened.open(&shown).unwrap().checkpoint.size() > entry);
        }
    }
    // One starts while the other has the witnesses go on: what they saw of its sibling does not speak against it.
    for round in 0..3 {
        let writing = async {
            for n in 0..15 {
                define(&administrator, &format!("busy-{round}-{n}")).await;
            }
        };
        let restarting = async {
            other.kill().await;
            other.start(0).await;
        };
        tokio::join!(writing, restarting);
    }
    other.ledger_verifies("developer").await;
}

#[tokio::test]
async fn real_servers_are_restarted_one_after_the_other() {
    let Some((_cluster, bucket, one)) = first(3).await else {
        return;
    };
    let mut worlds = [one.beside(), one.beside(), one];
    for world in &mut worlds[..2] {
        world.start(0).await;
    }
    let administrator = worlds[2].person("administrator").await;
    let developer = worlds[2].person("developer").await;
    worlds[2].publish("1.0");
    let mut made = Vec::new();
    for round in 0..3 {
        let up = (round + 1) % 3;
        let writer = worlds[up].known(&administrator);
        let writing = async {
            let mut made = Vec::new();
            for n in 0..10 {
                made.push(define(&writer, &format!("role-{round}-{n}")).await);
            }
            made
        };
        let (world, mut done) = (&mut worlds[round], Vec::new());
        let restarting = async {
            assert!(world.stop().await.success());
            world.start(0).await;
        };
        tokio::join!(async { done = writing.await }, restarting);
        made.extend(done);
    }
    let open = |view: &serde_json::Value| view["state"] == "in review";
    let elsewhere = worlds[0].known(&developer);
    elsewhere.until("triage/1.0", open).await;
    for world in &worlds {
        let reader = world.known(&administrator);
        for entry in &made {
            let entry = reader.get(&format!("/api/v1/ledger/entries/{entry}")).await;
            assert_eq!(entry["type"], "lumos.role.defined.v1");
        }
    }
    show_the_anchored(&bucket, &worlds.each_ref()).await;
    worlds[1].ledger_verifies("developer").await;
}

#[tokio::test]
async fn real_blobs_and_files_are_where_every_server_sees_them() {
    let (Some(cluster), Some(bucket)) = (Cluster::start(), Bucket::start().await) else {
        return;
    };
    let url = cluster.url("lumos", &cluster.database());
    let database = format!("postgres: {{url: '{url}', replicas: 2}}\n");
    let objects = bucket.settings(", blobs: true");
    let mut one = World::acme_with(|settings| settings + &database + &objects).await;
    one.reviewed("1.0").await;
    assert_eq!(cluster.sql("d0", "SELECT count(*) FROM blobs"), "0");

    // Files that only one of them would see are refused; with a folder for all, any of them takes and fetches them.
    one.register("helper").await;
    crate::artifacts::baseline(&one.path("files")).unwrap();
    let submit = "submit files --model helper --version 1 --env staging";
    let refused = one.say_as("developer", submit).await;
    refused.is(1, "uploads-not-shared");
    one.stop().await;
    let folder = tempfile::tempdir().unwrap();
    let shared = format!("uploads: '{}'\n", folder.path().display());
    one.change(|settings| settings + &shared);
    let mut other = one.beside();
    other.start(0).await;
    one.start(0).await;
    // It is gone as soon as it has the files.
    let submitted = one.say_as("developer", submit).await;
    assert_eq!(submitted.code, Some(0), "{submitted:?}");
    one.kill().await;
    let developer = other.person("developer").await;
    let identified = |view: &serde_json::Value| view["digest"].is_string();
    developer.until("helper/1", identified).await;
    other.ledger_verifies("developer").await;

    // A backup has what lies in the object store as well, and is held against the anchor there.
    until_ready(&other).await;
    other.stop().await;
    other.say("backup copy").await.is(0, "blobs");
    let anchored = bucket.object("anchor/checkpoint").await.unwrap();
    assert_eq!(
        std::fs::read(other.path("copy/checkpoint")).unwrap(),
        anchored
    );
    let blobs = std::fs::read_dir(other.path("copy/blobs")).unwrap().count();
    assert!(blobs > 0);
    let (before, after) = (url, cluster.url("lumos", &cluster.database()));
    other.change(|settings| settings.replace(&before, &after));
    other.say("restore copy").await.is(0, "restored");
    other.start(0).await;
    other.ledger_verifies("developer").await;
}

#[tokio::test]
async fn real_nobody_rotates_to_a_key_that_one_server_lacks() {
    let Some((_cluster, bucket, one)) = first(2).await else {
        return;
    };
    let mut other = one.beside();
    let administrator = "administrator";
    let create = one.say_as(administrator, "key create").await;
    create.is(0, "lumos.key.created.v1");
    let (id, _) = crate::keys::key(&one, 1).await;
    let rotate = format!("key rotate {id} --reason 'a year is over'");
    // The other one is down, then it runs without the file, whichever of them is asked.
    one.say_as(administrator, &rotate)
        .await
        .is(3, "key-not-everywhere");
    other.start(0).await;
    for (world, code) in [(&one, "key-not-everywhere"), (&other, "key-missing")] {
        let asked = world.known(&one.person(administrator).await);
        let path = format!("/api/v1/keys/{id}/rotation");
        let body = json!({ "reason": "a year is over" });
        let refused = asked.ask(Method::POST, &path, &body).await;
        assert_eq!(refused.body["code"], code, "{:?}", refused.body);
    }
    // With the file it is proposed, and refused again where it went away before the second person confirmed.
    let file = "lumos-data/keys/ledger-2.ed25519";
    let bytes = std::fs::read(one.path(file)).unwrap();
    other.write(file, &bytes);
    let (mut proposal, rotate) = (String::new(), format!("{rotate} --json"));
    until(async || {
        let said = one.say_as(administrator, &rotate).await;
        if said.code == Some(0) {
            said.json()["proposal"]
                .as_str()
                .unwrap()
                .clone_into(&mut proposal);
        }
        !proposal.is_empty()
    })
    .await;
    std::fs::remove_file(other.path(file)).unwrap();
    let confirm = format!("proposal confirm {proposal}");
    until(async || {
        // What the other one said last is believed for seconds; nothing is confirmed here meanwhile.
        let path = format!("/api/v1/keys/{id}/rotation");
        let body = json!({ "reason": "a year is over" });
        let asked = one.person(administrator).await;
        let refused = asked.ask(Method::POST, &path, &body).await;
        refused.body["code"] == "key-not-everywhere"
    })
    .await;
    one.say_as("risk", &confirm)
        .await
        .is(3, "key-not-everywhere");
    other.write(file, &bytes);
    until(async || one.say_as("risk", &confirm).await.code == Some(0)).await;
    show_the_anchored(&bucket, &[&one, &other]).await;
    assert!(other.stop().await.success());
    other.start(0).await;
    other.ledger_verifies("developer").await;
}
