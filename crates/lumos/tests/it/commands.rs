//! The command line as a person uses it, from the first password to the proof; exit statuses as promised:
//! 0 yes, 1 error, 2 usage, 3 no.

use crate::{
    artifacts,
    world::{World, run},
};

/// A sandbox on embedded defaults, but for the port, its owner signed in on the command line.
pub(crate) async fn sandbox() -> World {
    let mut world = World::empty();
    world.write("lumos.yaml", "listen: 127.0.0.1:0\n");
    world.start(1).await;
    let password = format!("{}\n", world.password("owner"));
    let mut login = world.lumos(&["user", "login", "owner"]);
    run(&mut login, &password).await.is(0, "signed in");
    world
}

/// A folder with a release in it, and its evidence beside it.
pub(crate) fn release(world: &World) {
    let folder = world.path("release");
    artifacts::baseline(&folder).unwrap();
    std::fs::remove_file(folder.join(".author")).unwrap();
    std::fs::rename(folder.join(".evidence"), world.path("evidence")).unwrap();
}

pub(crate) const REGISTER: &[&str] = &[
    "model",
    "register",
    "triage",
    "--owner",
    "owner",
    "--tier",
    "medium",
    "--policy",
    "acme-starter",
    "--purpose",
    "Suggests how urgent a request is.",
    "--rationale",
    "A person sees every suggestion.",
];

pub(crate) const EVIDENCE: &[&str] = &[
    "--evidence",
    "evaluation=evidence/evaluation.json",
    "--evidence",
    "rollback_plan=evidence/rollback_plan.json",
];

pub(crate) fn submit<'a>(version: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let place = [
        "submit",
        "release",
        "--model",
        "triage",
        "--env",
        "production",
        "--version",
    ];
    [&place[..], &[version], EVIDENCE, more].concat()
}

pub(crate) fn gate<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["gate", "--model", "triage", "--env", "production"], more].concat()
}

#[tokio::test]
async fn a_release_goes_from_a_folder_to_an_answer_at_the_gate() {
    let world = sandbox().await;
    release(&world);
    world.say(&["check"]).await.is(0, "server: ready");
    world.say(&["user", "whoami"]).await.is(0, "sandbox: true");
    world
        .say(REGISTER)
        .await
        .is(0, "lumos.model.registered.v1 on model/triage");
    world.say(&["model", "list"]).await.is(0, "triage");
    world
        .say(&["model", "show", "triage"])
        .await
        .is(0, "acme-starter");

    world
        .say(&submit("1.0", &["--wait"]))
        .await
        .is(0, "waits for: 1 x owner");
    world
        .say(&["check"])
        .await
        .is(0, "triage/1.0/production/1 waits for");
    world
        .say(&["review", "list"])
        .await
        .is(0, "triage/1.0/production/1");
    world.say(&gate(&["--version", "1.0"])).await.is(3, "deny");
    let approve = [
        "review",
        "approve",
        "triage/1.0/production",
        "--reason",
        "read it all",
    ];
    world.say(&approve).await.is(0, "lumos.release.approved.v1");
    world.say(&approve).await.is(3, "code review-not-open");
    world.say(&["release", "list"]).await.is(0, "approved");

    let allowed = world
        .say(&gate(&["--version", "1.0", "--json"]))
        .await
        .is(0, "");
    let decision = allowed.json()["decision_id"].as_str().unwrap().to_owned();
    world
        .say(&["why", &decision])
        .await
        .is(0, "asked 1 time(s)");
    world
        .say(&["why", "d-unknown"])
        .await
        .is(1, "unknown-thing");
    let shown = world
        .say(&["release", "show", "triage/1.0", "--json"])
        .await
        .json();
    let digest = shown["digest"].as_str().unwrap();
    world
        .say(&gate(&["--digest", digest]))
        .await
        .is(0, "SANDBOX");
    let unknown = format!("sha256:{}", "0".repeat(64));
    world
        .say(&gate(&["--digest", &unknown]))
        .await
        .is(3, "deny");
    world.say(&gate(&["--version", "9.9"])).await.is(3, "deny");
    world
        .say(&["gate", "--model", "triage"])
        .await
        .is(2, "--env");

    let revoke = [
        "release",
        "revoke",
        "triage/1.0",
        "--env",
        "production",
        "--reason",
        "a recall",
    ];
    world.say(&revoke).await.is(0, "revoked");
    world.say(&gate(&["--version", "1.0"])).await.is(3, "deny");
    world.say(&["runtime"]).await.is(0, "approval-orchestrator");
    world.ledger_verifies("owner").await;
}

#[tokio::test]
async fn what_does_not_hold_is_a_no_and_what_is_broken_an_error() {
    let world = sandbox().await;
    release(&world);
    world.say(REGISTER).await.is(0, "");
    // Without evidence it is blocked, and the exit says so before anybody looks.
    let bare = [
        "submit",
        "release",
        "--model",
        "triage",
        "--version",
        "0.9",
        "--env",
        "production",
    ];
    world
        .say(&[&bare[..], &["--wait"]].concat())
        .await
        .is(3, "blocks: ");
    let approve = [
        "review",
        "approve",
        "triage/0.9/production",
        "--reason",
        "in a hurry",
    ];
    world.say(&approve).await.is(3, "code blocked");
    let reject = [
        "review",
        "reject",
        "triage/0.9/production",
        "--reason",
        "show numbers first",
    ];
    world.say(&reject).await.is(0, "");
    world.say(&bare).await.is(3, "code ");
    world
        .say(&["release", "show", "triage/7"])
        .await
        .is(1, "unknown-thing");
    world
        .say(&[
            "submit",
            "absent",
            "--model",
            "m",
            "--version",
            "1",
            "--env",
            "production",
        ])
        .await
        .is(1, "neither a file or folder here");
    world.say(&["no-such-command"]).await.is(2, "unrecognized");

    let tested = world
        .say(&submit("test-1", &["--test"]))
        .await
        .is(0, "was withdrawn");
    for step in [
        "agent/release-scanner",
        "agent/compliance-checker",
        "agent/approval-orchestrator",
        "lumos.release.identified.v1",
        "lumos.report.recorded.v1",
        "lumos.review.opened.v1",
    ] {
        assert!(tested.out.contains(step), "{step} is not in {}", tested.out);
    }
    world
        .say(&["release", "show", "triage/test-1"])
        .await
        .is(0, "withdrawn");

    let mut nobody = world.lumos(&["model", "list"]);
    let said = run(nobody.env("LUMOS_TOKEN", "lumos_t1_wrong"), "").await;
    said.is(1, "not-signed-in");
    world.say(&["user", "logout"]).await.is(0, "");
    world.say(&["model", "list"]).await.is(1, "not-signed-in");
    let mut login = world.lumos(&["user", "login", "owner"]);
    run(&mut login, "a wrong password\n")
        .await
        .is(1, "wrong-credentials");
    let nowhere = ["model", "list", "--server", "http://127.0.0.1:9"];
    world.say(&nowhere).await.is(1, "http-unreachable");
    World::empty()
        .say(&["model", "list"])
        .await
        .is(1, "start one with `lumos serve`");
}

#[tokio::test]
async fn the_ledger_verifies_until_a_byte_changes() {
    let world = sandbox().await;
    let vkey = world.vkey().to_owned();
    world
        .say(&["ledger", "show"])
        .await
        .is(0, "lumos.genesis.recorded.v1");
    world
        .say(&["ledger", "checkpoint"])
        .await
        .is(0, "lumos.localhost/sandbox");
    world
        .say(&["ledger", "proof", "0"])
        .await
        .is(0, "c2sp.org/tlog-proof@v1");
    world
        .say(&["ledger", "export", "before"])
        .await
        .is(0, "exported");
    world.say(REGISTER).await.is(0, "");
    world
        .say(&["ledger", "export", "export"])
        .await
        .is(0, "exported");
    let verify = ["ledger", "verify", "export", "--vkey", &vkey];
    world.say(&verify).await.is(0, "every hash");
    world
        .say(&["ledger", "verify", "export"])
        .await
        .is(0, "no --vkey was given");
    let older = [&verify[..], &["--older", "before/checkpoint"]].concat();
    world
        .say(&older)
        .await
        .is(0, "continues the older checkpoint");
    let another = "lumos.localhost/sandbox+00000000+AQ==";
    world
        .say(&["ledger", "verify", "export", "--vkey", another])
        .await
        .is(1, "--vkey");
    flip_one_byte(&world.path("export/tile/entries"));
    world.say(&verify).await.is(3, "");
    world
        .say(&["ledger", "verify", "absent"])
        .await
        .is(1, "absent");
}

/// Changes one byte in the middle of the first file below a folder.
pub(crate) fn flip_one_byte(folder: &std::path::Path) {
    let entry = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap();
    if entry.path().is_dir() {
        return flip_one_byte(&entry.path());
    }
    let mut bytes = std::fs::read(entry.path()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(entry.path(), bytes).unwrap();
}
