//! Several equal servers of one ledger: in front of them it does not matter which one is asked, and behind them none
//! of them signs what another does not continue.

use lumos_http::Method;
use serde_json::json;

use crate::{
    bucket::Bucket,
    cluster::Cluster,
    world::{World, promoted},
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

/// Waits until a server shows a checkpoint over everything that is in the ledger by now.
async fn until_signed(world: &World) {
    let ready = world.with("").peer.get("/readyz").send().await.unwrap();
    assert_eq!(ready.status, 200, "{ready:?}");
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
    for world in [&one, &other] {
        until_signed(world).await;
    }
    let anchored = bucket.object("anchor/checkpoint").await.unwrap();
    let anchored = String::from_utf8(anchored).unwrap();
    for world in [&one, &other] {
        let (_, shown) = checkpoint(world).await;
        assert_eq!(shown, anchored);
        world.ledger_verifies("developer").await;
    }

    // Whoever is left goes on.
    one.kill().await;
    other.ledger_verifies("developer").await;
    until_signed(&other).await;
    one.start(0).await;
    other.stop().await;
    until_signed(&one).await;
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
    for key in ["ledger.ed25519", "statements.p256", "server.hmac"] {
        let path = format!("lumos-data/keys/{key}");
        let ours = std::fs::read(other.path(&path)).unwrap();
        other.write(&path, "07".repeat(32));
        other.say("serve").await.is(1, "code other-key");
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
