//! People, roles, tokens, systems and policies, kept from the command line.

use std::path::Path;

use lumos_http::Method;
use serde_json::{Value, json};

use crate::{
    agents::verdict,
    commands::{APPROVE, EVIDENCE, REGISTER, release, sandbox},
    world::{EXAMPLES, World, promoted, run},
};

const GATE: &str = "gate --model triage --env production --version 1.0";

/// One proposes, the other confirms.
const BOTH: &str = "administrator & risk";

#[tokio::test]
async fn people_and_roles_are_kept_by_who_may() {
    let world = World::acme().await;
    let by = "administrator";
    let endless = format!("user add {} --name 'Acme Auditor'", "a".repeat(257));
    world.check_as(&[(by, &endless, 1, "text-too-long")]).await;
    world
        .check_as(&[
            (by, "user list", 0, "login: compliance"),
            (
                by,
                "user add auditor --name 'Acme Auditor'",
                0,
                "first password, shown this once",
            ),
            (BOTH, "role define auditor read", 0, "lumos.role.defined.v1"),
            (by, "role define auditor reed", 1, "unknown-word"),
            (
                BOTH,
                "role grant auditor auditor",
                0,
                "lumos.role.granted.v1",
            ),
            (by, "role list", 0, "role: auditor"),
            (
                by,
                "role revoke auditor auditor",
                0,
                "lumos.role.revoked.v1",
            ),
            (by, "check", 0, "cannot sign: auditor"),
            (by, "check", 0, "can confirm proposals: administrator, risk"),
            (
                by,
                "user suspend auditor --reason left",
                0,
                "lumos.person.suspended.v1",
            ),
            (
                "developer",
                "role grant developer head-of-risk",
                3,
                "not-allowed",
            ),
        ])
        .await;
}

#[tokio::test]
async fn a_token_does_what_it_says_until_it_is_revoked() {
    let world = World::acme().await;
    let by = "administrator";
    world
        .check_as(&[
            (by, "user add ci --name 'Acme CI' --service", 0, "service"),
            (BOTH, "role grant ci gatekeeper", 0, "lumos.role.granted.v1"),
        ])
        .await;
    let issue = "token issue --service ci --purpose 'the gate' --right ask-decisions --json";
    let issued = world.say_as(by, issue).await.json();
    let token = async |line: &str| {
        let mut command = world.lumos(line);
        command.env("LUMOS_TOKEN", issued["credential"].as_str().unwrap());
        run(&mut command, "").await
    };
    token(GATE).await.is(3, "deny");
    token("model list").await.is(3, "not-allowed");
    let revoke = format!(
        "token revoke {} --service ci",
        issued["token"].as_str().unwrap()
    );
    world
        .check_as(&[
            (by, "token list --service ci", 0, "purpose: the gate"),
            (by, &revoke, 0, "lumos.token.revoked.v1"),
        ])
        .await;
    token(GATE).await.is(1, "not-signed-in");
}

#[tokio::test]
async fn a_system_is_stopped_by_one_and_resumed_by_two() {
    let world = World::acme().await;
    let ward = "system: ward\nowner: platform\nagents: [intake, discharge, night]\n";
    world.write("ward.yaml", ward);
    let resume = "system resume ward --reason 'it is over'";
    let observe = "system mode * --env production observe --reason 'a trial'";
    world
        .check_as(&[
            ("administrator", "system apply ward.yaml", 0, "system/ward"),
            ("platform", "system show ward", 0, "night"),
            (
                "platform",
                "system stop ward --reason 'a fire drill'",
                0,
                "stopped",
            ),
            ("platform", resume, 0, "lumos.system.resume_requested.v1"),
            ("platform", resume, 3, "needs-second-person"),
            ("administrator", resume, 0, "lumos.system.resumed.v1"),
            ("administrator", observe, 1, "observe-too-long"),
            (BOTH, &format!("{observe} --days 5"), 0, "lumos.mode.set.v1"),
            ("platform", GATE, 0, "WOULD DENY"),
            ("platform", &format!("{GATE} --strict"), 3, "WOULD DENY"),
        ])
        .await;
}

/// Changes a first password that somebody else set.
async fn choose_a_password(world: &World, login: &str, first: &str) {
    let body = json!({ "login": login, "password": first });
    let nobody = world.with("");
    let session = nobody.ask(Method::POST, "/api/v1/sessions", &body).await;
    let themselves = world.with(session.is(200)["credential"].as_str().unwrap());
    let me = themselves.get("/api/v1/me").await;
    let path = format!("/api/v1/people/{}/password", me["person"].as_str().unwrap());
    let body = json!({ "current": first, "password": "a password of my own" });
    themselves.ask(Method::PUT, &path, &body).await.is(200);
}

/// Leaves the sandbox with a second founder.
async fn leave(world: &World) {
    let added = world.say("user add second --name 'Second Founder' --json");
    let added = added.await.json();
    world
        .check(&[
            ("user leave-sandbox second", 3, "founder-cannot-govern"),
            ("role grant second owner", 0, "lumos.role.granted.v1"),
            ("user leave-sandbox second", 3, "founder-cannot-govern"),
        ])
        .await;
    choose_a_password(world, "second", added["password"].as_str().unwrap()).await;
    world
        .check(&[
            ("user leave-sandbox second", 0, "lumos.sandbox.left.v1"),
            ("user leave-sandbox second", 3, "not-a-sandbox"),
            ("user whoami", 0, "sandbox: false"),
        ])
        .await;
}

#[tokio::test]
async fn what_one_person_recorded_for_an_agent_in_a_sandbox_counts_no_more_outside() {
    let world = sandbox().await;
    release(&world);
    let cards = Path::new(EXAMPLES).join("policy/cards.yaml");
    world.write("cards.yaml", std::fs::read(cards).unwrap());
    let submit = format!("submit release --model triage --version 1.0 --env production {EVIDENCE}");
    world
        .check(&[
            ("policy publish cards.yaml", 0, "bundle.published"),
            (&REGISTER.replace("starter", "cards"), 0, ""),
            ("user add checker --name 'A checker' --service", 0, "added"),
            ("role define checker read add-evidence", 0, "role.defined"),
            ("role grant checker checker", 0, "role.granted"),
            (
                "agent define checker --account checker --evidence card_review",
                0,
                "outside_agent.defined",
            ),
            (&format!("{submit} --wait"), 3, ""),
        ])
        .await;
    let issue = "token issue --service checker --purpose mine --right read --right add-evidence";
    let token = world.say(issue).await.is(0, "lumos_");
    let checker = world.with(token.out.trim());
    let body = json!({ "kind": "card_review", "claim": { "verdict": "complete" } });
    let path = "/api/v1/releases/triage/1.0/evidence";
    checker.ask(Method::POST, path, &body).await.is(200);
    let judged = |as_: &'static str| move |view: &Value| verdict(view) == Some(as_);
    checker.until("triage/1.0", judged("pass")).await;
    leave(&world).await;
    checker
        .until("triage/1.0", judged("missing_evidence"))
        .await;
}

#[tokio::test]
async fn leaving_the_sandbox_ends_what_was_approved_in_it() {
    let world = sandbox().await;
    release(&world);
    let submit = "submit release --model triage --version 1.0 --env production --wait";
    world
        .check(&[
            (REGISTER, 0, ""),
            (&format!("{submit} {EVIDENCE}"), 0, ""),
            (APPROVE, 0, "lumos.release.approved.v1"),
            (GATE, 0, "SANDBOX"),
            ("user leave-sandbox ghost", 1, "unknown-thing"),
            ("user leave-sandbox owner", 1, "bad-founders"),
        ])
        .await;
    leave(&world).await;
    let denied = world.say(GATE).await.is(3, "deny");
    assert!(!denied.out.contains("SANDBOX"), "{denied:?}");
}

#[tokio::test]
async fn a_published_bundle_is_frozen() {
    let world = World::acme().await;
    let publish = "policy publish next.yaml";
    let starter = std::fs::read_to_string(world.path("policy/starter.yaml")).unwrap();
    let next = starter.replace("1.0.0", "1.0.1");
    world.write("next.yaml", &next);
    world
        .check_as(&[
            ("developer", publish, 3, "not-allowed"),
            ("compliance & risk", publish, 0, "lumos.bundle.published.v1"),
            ("compliance", publish, 0, "nothing to do"),
        ])
        .await;
    world.write("next.yaml", next.replace("0.9", "0.1"));
    world
        .check_as(&[("compliance", publish, 3, "already-exists")])
        .await;
}

#[tokio::test]
async fn an_approval_holds_for_its_agents_and_its_gate_only() {
    let world = World::acme().await;
    world.approve("1.0").await;
    let developer = world.person("developer").await;
    developer.until("triage/1.0", promoted).await;
    world.write("claim.json", json!({ "measured": true }).to_string());
    let evidence = "release evidence triage/1.0 claim.json --kind";
    world
        .check_as(&[
            (
                "developer",
                "release withdraw triage/1.0 --reason late",
                3,
                "code ",
            ),
            (
                "platform",
                &format!("{GATE} --agent ward/intake"),
                0,
                "allow",
            ),
            (
                "platform",
                &format!("{GATE} --agent ward/discharge"),
                3,
                "next step",
            ),
            (
                "platform",
                "assign ward/discharge/production --approval triage/1.0/production/1",
                3,
                "code ",
            ),
            (
                "developer",
                "release promote triage/1.0 --env staging",
                0,
                "lumos.gate.requested.v1",
            ),
            (
                "developer",
                &format!("{evidence} fairness"),
                0,
                "lumos.evidence.recorded.v1",
            ),
            (
                "developer",
                &format!("{evidence} artifact_scan"),
                3,
                "code ",
            ),
        ])
        .await;
    let reviewed = |view: &Value| {
        let mut reviews = view["reviews"].as_array().into_iter().flatten();
        reviews.any(|review| review["review"] == "triage/1.0/staging/1")
    };
    developer.until("triage/1.0", reviewed).await;
}
