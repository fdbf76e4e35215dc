//! People, roles, tokens, systems and policies, kept from the command line.

use serde_json::json;

use crate::{
    commands::{REGISTER, gate, release, sandbox, submit},
    world::{World, run},
};

#[tokio::test]
async fn tokens_roles_people_and_systems_are_kept_from_the_command_line() {
    let world = World::acme().await;
    let say = async |login: &str, args: &[&str]| world.say_as(login, args).await;
    say("administrator", &["user", "list"])
        .await
        .is(0, "login: compliance");
    let added = say(
        "administrator",
        &["user", "add", "auditor", "--name", "Acme Auditor"],
    )
    .await;
    added.is(0, "first password, shown this once");
    say("administrator", &["role", "define", "auditor", "read"])
        .await
        .is(0, "role");
    say("administrator", &["role", "define", "auditor", "reed"])
        .await
        .is(1, "unknown-word");
    say("administrator", &["role", "grant", "auditor", "auditor"])
        .await
        .is(0, "");
    say("administrator", &["role", "list"])
        .await
        .is(0, "role: auditor");
    say("administrator", &["role", "revoke", "auditor", "auditor"])
        .await
        .is(0, "");
    say(
        "administrator",
        &["user", "suspend", "auditor", "--reason", "left"],
    )
    .await
    .is(0, "suspended");
    say("developer", &["role", "grant", "developer", "head-of-risk"])
        .await
        .is(3, "not-allowed");

    say(
        "administrator",
        &["user", "add", "ci", "--name", "Acme CI", "--service"],
    )
    .await
    .is(0, "service");
    say("administrator", &["role", "grant", "ci", "gatekeeper"])
        .await
        .is(0, "");
    let issue = [
        "token",
        "issue",
        "--service",
        "ci",
        "--purpose",
        "the gate",
        "--right",
        "ask-decisions",
        "--json",
    ];
    let issued = say("administrator", &issue).await.json();
    let token = async |args: &[&str]| {
        let mut command = world.lumos(args);
        command.env("LUMOS_TOKEN", issued["credential"].as_str().unwrap());
        run(&mut command, "").await
    };
    token(&gate(&["--version", "1.0"])).await.is(3, "deny");
    token(&["model", "list"]).await.is(3, "not-allowed");
    say("administrator", &["token", "list", "--service", "ci"])
        .await
        .is(0, "purpose: the gate");
    let id = issued["token"].as_str().unwrap();
    say("administrator", &["token", "revoke", id, "--service", "ci"])
        .await
        .is(0, "token");
    token(&gate(&["--version", "1.0"]))
        .await
        .is(1, "not-signed-in");

    let ward = "system: ward\nowner: platform\nagents: [intake, discharge, night]\n";
    world.write("ward.yaml", ward);
    say("administrator", &["system", "apply", "ward.yaml"])
        .await
        .is(0, "system/ward");
    say("platform", &["system", "show", "ward"])
        .await
        .is(0, "night");
    say(
        "platform",
        &["system", "stop", "ward", "--reason", "a fire drill"],
    )
    .await
    .is(0, "stopped");
    let resume = ["system", "resume", "ward", "--reason", "it is over"];
    say("platform", &resume).await.is(0, "");
    say("platform", &resume).await.is(3, "needs-second-person");
    say("administrator", &resume).await.is(0, "resumed");
    let mode = [
        "system",
        "mode",
        "*",
        "--env",
        "production",
        "observe",
        "--reason",
        "a trial",
    ];
    say("administrator", &mode).await.is(1, "observe-too-long");
    say("administrator", &[&mode[..], &["--days", "5"]].concat())
        .await
        .is(0, "mode");
    say("platform", &gate(&["--version", "1.0"]))
        .await
        .is(0, "WOULD DENY");
    say("platform", &gate(&["--version", "1.0", "--strict"]))
        .await
        .is(3, "WOULD DENY");
}

#[tokio::test]
async fn leaving_the_sandbox_ends_what_was_approved_in_it() {
    let world = sandbox().await;
    release(&world);
    world.say(REGISTER).await.is(0, "");
    world.say(&submit("1.0", &["--wait"])).await.is(0, "");
    let approve = [
        "review",
        "approve",
        "triage/1.0/production",
        "--reason",
        "read it all",
    ];
    world.say(&approve).await.is(0, "lumos.release.approved.v1");
    world
        .say(&gate(&["--version", "1.0"]))
        .await
        .is(0, "SANDBOX");

    world
        .say(&["user", "leave-sandbox", "ghost"])
        .await
        .is(1, "unknown-thing");
    world
        .say(&["user", "leave-sandbox", "owner"])
        .await
        .is(1, "bad-founders");
    world
        .say(&["user", "add", "second", "--name", "Second Founder"])
        .await
        .is(0, "");
    world
        .say(&["user", "leave-sandbox", "second"])
        .await
        .is(0, "lumos.sandbox.left.v1");
    let denied = world.say(&gate(&["--version", "1.0"])).await.is(3, "deny");
    assert!(!denied.out.contains("SANDBOX"), "{denied:?}");
    world
        .say(&["user", "leave-sandbox", "second"])
        .await
        .is(3, "not-a-sandbox");
    world.say(&["user", "whoami"]).await.is(0, "sandbox: false");
}

#[tokio::test]
async fn a_published_bundle_is_frozen_and_a_further_gate_is_reviewed_again() {
    let world = World::acme().await;
    let say = async |login: &str, args: &[&str]| world.say_as(login, args).await;
    let publish = ["policy", "publish", "next.yaml"];
    let starter = std::fs::read_to_string(world.path("policy/starter.yaml")).unwrap();
    world.write("next.yaml", starter.replace("1.0.0", "1.0.1"));
    say("developer", &publish).await.is(3, "not-allowed");
    say("compliance", &publish)
        .await
        .is(0, "lumos.bundle.published.v1");
    say("compliance", &publish).await.is(0, "nothing to do");
    world.write(
        "next.yaml",
        starter.replace("1.0.0", "1.0.1").replace("0.9", "0.1"),
    );
    say("compliance", &publish).await.is(3, "already-exists");

    world.approve("1.0").await;
    let developer = world.person("developer").await;
    developer.until("triage/1.0", crate::world::promoted).await;
    let withdraw = ["release", "withdraw", "triage/1.0", "--reason", "too late"];
    say("developer", &withdraw).await.is(3, "code ");
    say(
        "platform",
        &gate(&["--version", "1.0", "--agent", "ward/intake"]),
    )
    .await
    .is(0, "allow");
    let other = gate(&["--version", "1.0", "--agent", "ward/discharge"]);
    say("platform", &other).await.is(3, "next step");
    let assign = [
        "assign",
        "ward/discharge/production",
        "--approval",
        "triage/1.0/production/1",
    ];
    say("platform", &assign).await.is(3, "code ");

    let promote = ["release", "promote", "triage/1.0", "--env", "staging"];
    say("developer", &promote)
        .await
        .is(0, "lumos.gate.requested.v1");
    let reviewed = |view: &serde_json::Value| {
        let reviews = view["reviews"].as_array().into_iter().flatten();
        reviews
            .into_iter()
            .any(|review| review["review"] == "triage/1.0/staging/1")
    };
    developer.until("triage/1.0", reviewed).await;
    let staging = [
        "gate",
        "--model",
        "triage",
        "--env",
        "staging",
        "--version",
        "1.0",
    ];
    let before = say("platform", &staging).await;
    assert!(matches!(before.code, Some(0 | 3)), "{before:?}");
    world.write("claim.json", json!({ "measured": true }).to_string());
    let evidence = [
        "release",
        "evidence",
        "triage/1.0",
        "--kind",
        "fairness",
        "claim.json",
    ];
    say("developer", &evidence)
        .await
        .is(0, "lumos.evidence.recorded.v1");
    let own = [
        "release",
        "evidence",
        "triage/1.0",
        "--kind",
        "artifact_scan",
        "claim.json",
    ];
    say("developer", &own).await.is(3, "code ");
}
