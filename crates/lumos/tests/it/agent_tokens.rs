//! The token of an agent with kinds of evidence of its own: two people draw it, and neither of them has it.

use lumos_http::Method;
use serde_json::{Value, json};

use crate::{
    agents::agent,
    world::{World, answer},
};

/// Whether a credential is one.
async fn is_somebody(world: &World, credential: &str) -> bool {
    let asked = world.with(credential).peer.get("/api/v1/me").send().await;
    asked.unwrap().status == 200
}

/// Whoever manages people draws a token of the agent, alone and with a second person.
#[tokio::test]
async fn nobody_alone_records_as_an_agent() {
    let world = World::acme().await;
    let whole = agent(
        &world,
        "card-checker",
        &["read", "add-evidence"],
        &["card_review"],
    )
    .await;
    let (manager, second) = ("administrator", "risk");
    let issue = "token issue --service card-checker --purpose mine --right read --right add-evidence --json";
    let issued = world.say_as(manager, issue).await.is(0, "lumos_").json();
    let first = issued["credential"].as_str().unwrap();
    let proposal = issued["proposal"].as_str().unwrap();
    // Half of a token is none, before it was confirmed and after it.
    assert!(!is_somebody(&world, first).await);
    let show = format!("proposal show {proposal}");
    let confirm = format!("proposal confirm {proposal} --json");
    world
        .check_as(&[
            (second, &show, 0, "each of you gets half of it"),
            (second, &show, 0, "card_review"),
            (manager, &confirm, 3, "needs-second-person"),
        ])
        .await;
    // The same request sent twice draws one half, and tells it once.
    let person = world.person(second).await;
    let path = format!("/api/v1/proposals/{proposal}/confirmation");
    let once = || {
        let request = person
            .peer
            .request(Method::POST, &path)
            .json_body(&json!({}));
        request.header("idempotency-key", "once").send()
    };
    let told = answer(once().await.unwrap()).is(200);
    let again = answer(once().await.unwrap()).is(200);
    assert_eq!(again["half"], Value::Null);
    let half = told["half"].as_str().unwrap();
    let secret = first.rsplit('_').next().unwrap();
    let id = &first[..first.len() - secret.len()];
    for wrong in [
        first.to_owned(),
        format!("{id}{half}"),
        format!("{id}{half}{secret}"),
        format!("{first}{secret}"),
        format!("{first}{half}{half}"),
        format!("{first}{}", &half[1..]),
        id.to_owned(),
    ] {
        assert!(!is_somebody(&world, &wrong).await, "{wrong}");
    }
    assert!(is_somebody(&world, &format!("{first}{half}")).await);
    assert!(is_somebody(&world, &whole).await);
    // Neither of them is anywhere in what is kept.
    for file in ["lumos.db", "lumos.db-wal"] {
        let bytes = std::fs::read(world.path("lumos-data").join(file)).unwrap_or_default();
        for secret in [secret, half] {
            let found = bytes
                .windows(secret.len())
                .any(|part| part == secret.as_bytes());
            assert!(!found, "{file}");
        }
    }
}

#[tokio::test]
async fn what_one_person_drew_before_records_nothing_of_the_agents_own() {
    let world = World::acme().await;
    let rights = ["read", "add-evidence"];
    agent(&world, "card-checker", &rights, &["card_review"]).await;
    let manager = "administrator";
    world.register("helper").await;
    let lines = [
        (
            manager,
            "user add tone-checker --name Tone --service",
            0,
            "added",
        ),
        (
            "administrator & risk",
            "role grant tone-checker card-checker",
            0,
            "role.granted",
        ),
    ];
    world.check_as(&lines).await;
    let issue =
        "token issue --service tone-checker --purpose mine --right read --right add-evidence";
    let alone = world.say_as(manager, issue).await.is(0, "lumos_");
    let alone = alone.out.trim().to_owned();
    let define = "agent define tone-checker --account tone-checker --evidence tone";
    world
        .say_as("administrator & risk", define)
        .await
        .is(0, "outside_agent.defined");
    assert!(is_somebody(&world, &alone).await);
    world.reviewed("1.0").await;
    let path = "/api/v1/releases/triage/1.0/evidence";
    let body = json!({ "kind": "tone", "claim": { "polite": true } });
    let refused = world.with(&alone).ask(Method::POST, path, &body).await;
    refused.is_refused(409, "reserved-evidence");
}
