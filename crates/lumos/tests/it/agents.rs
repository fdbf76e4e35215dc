//! Outside agents as those who write them meet LUMOS: the examples in Python, against a real server that is killed under
//! them, and webhooks that the reference library of Standard Webhooks verifies.

use std::{
    collections::BTreeSet,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
};

use lumos_http::{Auth, Method};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::ChildStdout,
    time::timeout,
};

use crate::{
    artifacts,
    world::{Beside, PATIENCE, Person, World, peer, peer_at, program, promoted, until},
};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
const EVALUATION: &str = "\n## Evaluation\n\nOn the holdout set of Acme's intake it was right in 94 of 100 requests, \
                          measured by people who did not build it.\n";

/// The Python that the peers run on, and the examples need no more of.
fn python() -> Option<PathBuf> {
    peer("standardwebhooks", "bin/python").map(|folder| folder.join("bin/python"))
}

/// A port that nobody listens on, for a server that must come back where it was.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A program in Python that goes on, and what it says.
struct Running {
    child: Beside,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn start(python: &Path, script: &str, args: &[&str], env: &[(&str, &str)]) -> Self {
        let mut command = program(python);
        command
            .arg(Path::new(ROOT).join(script))
            .args(args)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .envs(env.iter().copied())
            .stdout(Stdio::piped());
        let mut child = Beside::start(&mut command);
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    async fn says(&mut self) -> String {
        let line = timeout(PATIENCE, self.lines.next_line()).await;
        line.expect("it says something in time")
            .unwrap()
            .expect("it goes on")
    }

    /// Ends it without asking: `kill -9`.
    async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

/// Makes `name` an outside agent with these rights; its credential.
pub(crate) async fn agent(world: &World, name: &str, rights: &[&str], evidence: &[&str]) -> String {
    let evidence: Vec<String> = evidence
        .iter()
        .map(|kind| format!("--evidence {kind}"))
        .collect();
    let (both, evidence) = ("administrator & risk", evidence.join(" "));
    let add = format!("user add {name} --name 'A checker' --service");
    let define_role = format!("role define {name} {}", rights.join(" "));
    let grant = format!("role grant {name} {name}");
    let define = format!("agent define {name} --account {name} {evidence}");
    world
        .check_as(&[
            ("administrator", &add, 0, "added service"),
            (both, &define_role, 0, "role.defined"),
            (both, &grant, 0, "role.granted"),
            (both, &define, 0, "outside_agent.defined"),
        ])
        .await;
    let rights: Vec<String> = rights
        .iter()
        .map(|right| format!("--right {right}"))
        .collect();
    let issue = format!(
        "token issue --service {name} --purpose checks --json {}",
        rights.join(" ")
    );
    let issued = world.say_as("administrator", &issue).await.is(0, "lumos_");
    let issued = issued.json();
    let first = issued["credential"].as_str().unwrap();
    match issued["proposal"].as_str() {
        None => first.to_owned(),
        Some(proposal) => {
            let confirm = format!("proposal confirm {proposal} --json");
            let confirmed = world.say_as("risk", &confirm).await.is(0, "token.issued");
            let half = confirmed.json()["half"].as_str().unwrap().to_owned();
            format!("{first}{half}")
        }
    }
}

/// A model whose releases are held against what the card checker finds.
async fn notes(world: &World) {
    let publish = "policy publish policy/cards.yaml";
    world
        .check_as(&[("compliance & risk", publish, 0, "bundle.published")])
        .await;
    let body = json!({
        "owner": "platform", "purpose": "Drafts notes that a person reads.", "tier": "low",
        "rationale": "Nothing depends on it.", "policies": ["acme-cards"],
    });
    let platform = world.person("platform").await;
    let path = "/api/v1/models/notes";
    let registered = platform.ask(Method::PUT, path, &body).await.is(200);
    world.confirm(&registered).await;
}

/// Submits a version of `notes`, its card with more in it.
async fn submit(world: &World, version: &str, more: &str) {
    let folder = world.path(&format!("notes-{version}"));
    artifacts::baseline(&folder).unwrap();
    std::fs::remove_file(folder.join(".author")).unwrap();
    std::fs::remove_dir_all(folder.join(".evidence")).unwrap();
    let card = std::fs::read_to_string(folder.join("README.md")).unwrap();
    std::fs::write(folder.join("README.md"), card + more).unwrap();
    std::fs::write(folder.join("prompt.txt"), format!("version {version}\n")).unwrap();
    let line =
        format!("submit notes-{version} --model notes --version {version} --env development");
    world.say_as("developer", &line).await.is(0, "");
}

/// What the report says about the rule that rests on the agent.
pub(crate) fn verdict(view: &Value) -> Option<&str> {
    let report = view["reports"].as_array()?.first()?;
    let mut results = report["results"].as_array()?.iter();
    let ours = results.find(|result| result["rule"] == "ACME-CARD-101");
    Some(ours.map_or("pass", |result| result["result"].as_str().unwrap_or("")))
}

async fn until_judged(developer: &Person, version: &str, as_: &str) {
    let judged = |view: &Value| verdict(view) == Some(as_);
    developer.until(&format!("notes/{version}"), judged).await;
}

/// The evidence of the card checker about a version.
async fn reviews(person: &Person, version: &str) -> Vec<Value> {
    let path = format!("/api/v1/releases/notes/{version}/evidence");
    let all = person.get(&path).await;
    let ours = |one: &&Value| one["kind"] == "card_review";
    all.as_array()
        .unwrap()
        .iter()
        .filter(ours)
        .cloned()
        .collect()
}

#[tokio::test]
async fn real_the_card_checker_decides_a_rule_and_survives_what_is_killed() {
    let Some(python) = python() else { return };
    let port = free_port();
    let at = format!("127.0.0.1:{port}");
    let mut world = World::acme_with(|text| text.replace("127.0.0.1:0", &at)).await;
    let token = agent(
        &world,
        "card-checker",
        &["read", "add-evidence"],
        &["card_review"],
    )
    .await;
    notes(&world).await;
    let developer = world.person("developer").await;

    // Without the agent the evidence is missing, and nobody can write it in its place.
    submit(&world, "1", "").await;
    until_judged(&developer, "1", "missing_evidence").await;
    let forged = json!({ "kind": "card_review", "claim": { "verdict": "complete" } });
    let path = "/api/v1/releases/notes/1/evidence";
    developer
        .ask(Method::POST, path, &forged)
        .await
        .is_refused(409, "reserved-evidence");

    let address = world.address().to_owned();
    let env = [("LUMOS_SERVER", address.as_str()), ("LUMOS_TOKEN", &token)];
    let cursor = world.path("cursor.txt");
    let script = "examples/agents/card_checker.py";
    let args = [cursor.to_str().unwrap()];
    let mut checker = Running::start(&python, script, &args, &env);
    // Entries before the model was there speak of no release of it.
    assert_eq!(checker.says().await, "notes/1: incomplete, 1 finding(s)");
    until_judged(&developer, "1", "fail").await;

    // Killed, its cursor gone: it looks at everything again, and says nothing twice.
    checker.kill().await;
    std::fs::remove_file(&cursor).unwrap_or_default();
    let mut checker = Running::start(&python, script, &args, &env);
    assert_eq!(checker.says().await, "notes/1: incomplete, 1 finding(s)");
    let [review] = &reviews(&developer, "1").await[..] else {
        panic!("one review of one card");
    };
    assert_eq!(review["producer"], "card-checker");

    // The server is killed under it and comes back: it goes on where it was.
    world.kill().await;
    world.start(0).await;
    let developer = world.person("developer").await;
    submit(&world, "2", EVALUATION).await;
    assert_eq!(checker.says().await, "notes/2: complete, 0 finding(s)");
    until_judged(&developer, "2", "pass").await;
    assert_eq!(reviews(&developer, "2").await.len(), 1);
    // How far it is can be seen.
    until(async || {
        let listed = world.say_as("platform", "runtime list").await;
        listed.code == Some(0) && listed.out.contains("stream:card-checker")
    })
    .await;

    // A revoked agent records nothing more.
    let suspend = "user suspend card-checker --reason 'it is replaced'";
    world.say_as("administrator", suspend).await.is(0, "");
    let gone = world.with(&token);
    gone.ask(Method::POST, path, &forged).await.is(401);
    checker.kill().await;
    world.ledger_verifies("platform").await;
}

/// A receiver that the reference library is behind.
async fn receiver(python: &Path, statuses: &str, secrets: &[&str]) -> (Running, String) {
    let args: Vec<&str> = [statuses]
        .into_iter()
        .chain(secrets.iter().copied())
        .collect();
    let script = "xtask/foreign/python/webhooks.py";
    let mut running = Running::start(python, script, &args, &[]);
    let port = running.says().await;
    (running, format!("http://127.0.0.1:{port}/hooks/lumos"))
}

async fn secret(world: &World) -> String {
    let said = world.say("runtime secret").await.is(0, "whsec_");
    said.out.trim().to_owned()
}

/// Acme with these agents in its settings, running.
async fn with_agents(agents: &str, files: &[(&str, String)]) -> World {
    let mut world = World::prepared(|text| format!("{text}agents:\n{agents}"));
    for (file, text) in files {
        world.write(file, text);
    }
    world.start(2).await;
    world.give_passwords().await;
    world
}

#[tokio::test]
async fn real_webhooks_are_verified_by_the_reference_library() {
    let Some(python) = python() else { return };
    let home = World::empty();
    let (new, old) = (secret(&home).await, secret(&home).await);
    let other = secret(&home).await;
    let (mut ear, address) = receiver(&python, "500,302,503", &[&new, &old, &other]).await;
    let wired = format!(
        "  - {{name: ear, webhook: '{address}', secrets: [{new}, {old}], events: [lumos.release.*]}}\n"
    );
    let world = with_agents(&wired, &[]).await;
    agent(&world, "ear", &["read"], &[]).await;
    until_followed(&world, "webhook:ear").await;
    notes(&world).await;
    submit(&world, "1", EVALUATION).await;

    // Everything came, signed with both secrets, what failed under the id that it had.
    let (mut failed, mut came) = (BTreeSet::new(), BTreeSet::new());
    let mut kinds = BTreeSet::new();
    while !kinds.contains("lumos.release.identified.v1") || !failed.is_empty() {
        let got: Value = serde_json::from_str(&ear.says().await).unwrap();
        assert_eq!(got["verified"], json!([true, true, false]), "{got}");
        assert_eq!(got["changed"], json!(false), "{got}");
        assert_eq!(got["content_type"], "application/cloudevents+json");
        let id = got["id"].as_str().unwrap().to_owned();
        if got["status"] == 204 {
            failed.remove(&id);
            assert!(came.insert(id), "taken, it does not come again: {got}");
            kinds.insert(got["type"].as_str().unwrap().to_owned());
        } else {
            failed.insert(id);
        }
    }
    assert!(kinds.iter().all(|kind| kind.starts_with("lumos.release.")));

    // Brought again by a replay, under the same ids.
    let replay = "runtime replay webhook:ear --from 0";
    world.say_as("developer", replay).await.is(3, "not-allowed");
    world.say_as("platform", replay).await.is(0, "");
    while !came.is_empty() {
        let got: Value = serde_json::from_str(&ear.says().await).unwrap();
        came.remove(got["id"].as_str().unwrap());
    }
    let retry = "runtime retry webhook:ear";
    world
        .say_as("platform", retry)
        .await
        .is(0, "0 dead letter(s)");
    ear.kill().await;
}

#[tokio::test]
async fn real_the_card_checker_works_as_a_webhook_too() {
    let Some(python) = python() else { return };
    let secret = secret(&World::empty()).await;
    let port = free_port();
    let described = format!(
        "name: card-checker\nwebhook: http://127.0.0.1:{port}/\nsecrets: [{secret}]\nstreams: [release/notes/*]\n"
    );
    let files = [("agents/card-checker.yaml", described)];
    let world = with_agents("  - agents/card-checker.yaml\n", &files).await;
    let rights = ["read", "add-evidence"];
    let token = agent(&world, "card-checker", &rights, &["card_review"]).await;
    until_followed(&world, "webhook:card-checker").await;
    notes(&world).await;
    let developer = world.person("developer").await;
    // Nobody listens yet: the first attempts fail.
    submit(&world, "1", EVALUATION).await;
    until_judged(&developer, "1", "missing_evidence").await;

    let env = [
        ("LUMOS_SERVER", world.address()),
        ("LUMOS_TOKEN", token.as_str()),
        ("WEBHOOK_SECRET", secret.as_str()),
    ];
    let seen = world.path("seen.txt");
    let args = [&format!("127.0.0.1:{port}"), seen.to_str().unwrap()];
    let script = "examples/agents/webhook_receiver.py";
    let mut checker = Running::start(&python, script, &args, &env);
    assert!(checker.says().await.starts_with("listens on"));
    assert_eq!(checker.says().await, "notes/1: complete, 0 finding(s)");
    until_judged(&developer, "1", "pass").await;
    let [review] = &reviews(&developer, "1").await[..] else {
        panic!("one review of one card");
    };
    assert_eq!(review["producer"], "card-checker");

    // What nobody signed is not looked into.
    let forged = peer_at(&format!("http://127.0.0.1:{port}"), Auth::None);
    let forged = forged
        .post("")
        .header("webhook-id", "msg_1")
        .header("webhook-timestamp", "1")
        .header("webhook-signature", "v1,AAAA")
        .json_body(&json!({}));
    assert_eq!(forged.send().await.unwrap().status, 401);
    checker.kill().await;
}

/// Asks until somebody follows the ledger.
async fn until_followed(world: &World, name: &str) {
    until(async || {
        let listed = world.say_as("platform", "runtime list").await;
        listed.out.contains(name)
    })
    .await;
}

#[tokio::test]
async fn a_replay_of_lumos_own_agents_changes_nothing() {
    let world = World::acme().await;
    world.approve("1.0").await;
    let developer = world.person("developer").await;
    developer.until("triage/1.0", promoted).await;
    let size = async || {
        let text = developer.peer.get("/metrics").send().await.unwrap();
        let text = String::from_utf8(text.body.to_vec()).unwrap();
        let line = text
            .lines()
            .find(|line| line.starts_with("lumos_ledger_entries "));
        line.unwrap().to_owned()
    };
    let done = async || {
        until(async || {
            let all = developer.get("/api/v1/runtime").await;
            let idle = |one: &Value| one["lag_entries"] == 0 && one["waiting"] == 0;
            all.as_array().unwrap().iter().all(idle)
        })
        .await;
    };
    done().await;
    let before = size().await;
    for agent in [
        "release-scanner",
        "compliance-checker",
        "approval-orchestrator",
    ] {
        let replay = format!("runtime replay {agent} --from 0");
        world.say_as("platform", &replay).await.is(0, "");
        done().await;
    }
    assert_eq!(size().await, before);
    let listed = world.say_as("platform", "runtime list").await;
    listed.is(0, "approval-orchestrator");
    world
        .say_as("platform", "check")
        .await
        .is(0, "server: ready");
}
