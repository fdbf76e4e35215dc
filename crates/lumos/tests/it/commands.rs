//! The command line as a person uses it, from the first password to the proof; exit statuses as promised:
//! 0 yes, 1 error, 2 usage, 3 no.

use serde_json::json;

use crate::{
    artifacts,
    world::{World, run},
};

/// A sandbox on embedded defaults, but for the port, its owner signed in on the command line.
async fn sandbox() -> World {
    let mut world = World::empty();
    world.write("lumos.yaml", "listen: 127.0.0.1:0\n");
    world.start(1).await;
    let password = format!("{}\n", world.password("owner"));
    let mut login = world.lumos(&["user", "login", "owner"]);
    run(&mut login, &password).await.is(0, "signed in");
    world
}

/// A folder with a release in it, and its evidence beside it.
fn release(world: &World) {
    let folder = world.path("release");
    artifacts::baseline(&folder).unwrap();
    std::fs::remove_file(folder.join(".author")).unwrap();
    std::fs::rename(folder.join(".evidence"), world.path("evidence")).unwrap();
}

const REGISTER: &[&str] = &[
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

const EVIDENCE: &[&str] = &[
    "--evidence",
    "evaluation=evidence/evaluation.json",
    "--evidence",
    "rollback_plan=evidence/rollback_plan.json",
];

fn submit<'a>(version: &'a str, more: &[&'a str]) -> Vec<&'a str> {
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

fn gate<'a>(more: &[&'a str]) -> Vec<&'a str> {
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

#[tokio::test]
async fn files_and_policies_are_judged_without_a_server() {
    let world = World::prepared(|settings| settings);
    release(&world);
    world
        .say(&["scan", "release"])
        .await
        .is(0, "release digest sha256:");
    let json = world.say(&["scan", "release", "--json"]).await.json();
    assert_eq!(json["scan"]["not_fully_scanned"], json!([]));
    world
        .say(&["scan", "absent"])
        .await
        .is(1, "finding `absent`");
    let check = [
        "policy",
        "check",
        "release",
        "--purpose",
        "Suggests how urgent a request is.",
    ];
    world.say(&check).await.is(3, "ACME-OPS-001");
    world
        .say(&[&check[..], EVIDENCE].concat())
        .await
        .is(0, "ACME-OPS-001");
    let bundle = ["--bundle", "policy/nist-ai-rmf.yaml"];
    world
        .say(&[&check[..], &bundle].concat())
        .await
        .is(3, "NIST");

    let trap = world.path("trap");
    artifacts::booby_trap(&world.path("release"), &trap).unwrap();
    world
        .say(&["scan", "trap"])
        .await
        .is(3, "critical: pickle-known-bad-global");

    world
        .say(&["policy", "lint", "policy/starter.yaml"])
        .await
        .is(0, "nothing found");
    let explain = ["policy", "explain", "policy/starter.yaml"];
    world.say(&explain).await.is(0, "ACME-GOV-001");
    world
        .say(&[&explain[..], &["ACME-LIC-002"]].concat())
        .await
        .is(0, "ACME-LIC-002");
    world
        .say(&[&explain[..], &["ACME-NO-1"]].concat())
        .await
        .is(1, "has no rule");
    let starter = std::fs::read_to_string(world.path("policy/starter.yaml")).unwrap();
    for (name, from, to, code) in [
        (
            "typo.yaml",
            "severity: critical",
            "severty: critical",
            "unknown-key",
        ),
        (
            "cel.yaml",
            "candidate.model.tier == 'high'",
            "candidate.model.tier ==",
            "cel-syntax",
        ),
        (
            "broken.yaml",
            "apiVersion: lumos/v1",
            "apiVersion: [",
            "bundle-not-yaml",
        ),
    ] {
        world.write(name, starter.replacen(from, to, 1));
        world.say(&["policy", "lint", name]).await.is(1, code);
    }
}

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
async fn init_proposes_what_it_finds_and_shows_a_first_report() {
    let world = World::empty();
    world.publish("1.0");
    let init = ["init", "--directory", "models", "--into", "site"];
    let said = world.say(&init).await.is(0, "the first report:");
    for line in [
        "registry `models` answers and shows 1 model(s)",
        "sign in as `owner` with the first password",
        "triage/1.0  in review",
        "1 author claim(s) open",
    ] {
        assert!(said.out.contains(line), "{line} is not in {}", said.out);
    }
    let organisation = std::fs::read_to_string(world.path("site/organisation.yaml")).unwrap();
    assert!(
        organisation.contains("environment: production"),
        "{organisation}"
    );
    world.say(&init).await.is(1, "exists already");
    world
        .say(&["init", "--into", "other"])
        .await
        .is(1, "name one registry");
    world
        .say(&["init", "--directory", "absent"])
        .await
        .is(1, "absent");
}
