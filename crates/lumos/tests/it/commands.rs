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
    let mut login = world.lumos("user login owner");
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

pub(crate) const REGISTER: &str =
    "model register triage --owner owner --tier medium --policy acme-starter
    --purpose 'Suggests how urgent a request is.' --rationale 'A person sees every suggestion.'";
pub(crate) const EVIDENCE: &str = " --evidence evaluation=evidence/evaluation.json --evidence rollback_plan=evidence/rollback_plan.json";
const SUBMIT: &str = "submit release --model triage --env production --version";
const GATE: &str = "gate --model triage --env production";
pub(crate) const APPROVE: &str = "review approve triage/1.0/production --reason 'read it all'";

#[tokio::test]
async fn a_release_goes_from_a_folder_to_an_answer_at_the_gate() {
    let world = sandbox().await;
    release(&world);
    let submit = format!("{SUBMIT} 1.0 --wait {EVIDENCE}");
    let gate = format!("{GATE} --version 1.0");
    world
        .check(&[
            ("check", 0, "server: ready"),
            ("user whoami", 0, "sandbox: true"),
            (REGISTER, 0, "lumos.model.registered.v1 on model/triage"),
            ("model list", 0, "triage"),
            ("model show triage", 0, "acme-starter"),
            (&submit, 0, "waits for: 1 x owner"),
            ("check", 0, "triage/1.0/production/1 waits for"),
            ("review list", 0, "triage/1.0/production/1"),
            (&gate, 3, "deny"),
            (APPROVE, 0, "lumos.release.approved.v1"),
            (APPROVE, 3, "code review-not-open"),
            ("release list", 0, "approved"),
        ])
        .await;

    let allowed = world.say(&format!("{gate} --json")).await.is(0, "");
    let why = format!("why {}", allowed.json()["decision_id"].as_str().unwrap());
    let shown = world.say("release show triage/1.0 --json").await.json();
    let digest = format!("{GATE} --digest {}", shown["digest"].as_str().unwrap());
    let unknown = format!("{GATE} --digest sha256:{}", "0".repeat(64));
    world
        .check(&[
            (&why, 0, "asked 1 time(s)"),
            ("why d-unknown", 1, "unknown-thing"),
            (&digest, 0, "SANDBOX"),
            (&unknown, 3, "deny"),
            (&format!("{GATE} --version 9.9"), 3, "deny"),
            ("gate --model triage", 2, "--env"),
            (
                "release revoke triage/1.0 --env production --reason 'a recall'",
                0,
                "revoked",
            ),
            (&gate, 3, "deny"),
            ("runtime", 0, "approval-orchestrator"),
        ])
        .await;
    world.ledger_verifies("owner").await;
}

#[tokio::test]
async fn what_does_not_hold_is_a_no_and_what_is_broken_an_error() {
    let world = sandbox().await;
    release(&world);
    let bare = format!("{SUBMIT} 0.9");
    world
        .check(&[
            (REGISTER, 0, ""),
            // Without evidence it is blocked, and the exit says so before anybody looks.
            (&format!("{bare} --wait"), 3, "blocks: "),
            (
                "review approve triage/0.9/production --reason hurry",
                3,
                "code blocked",
            ),
            (
                "review reject triage/0.9/production --reason 'show numbers'",
                0,
                "entry",
            ),
            (&bare, 3, "code already-exists"),
            ("release show triage/7", 1, "unknown-thing"),
            (
                "submit absent --model m --version 1 --env e",
                1,
                "neither a file or folder here",
            ),
            ("no-such-command", 2, "unrecognized"),
            (
                "model list --server http://127.0.0.1:9",
                1,
                "http-unreachable",
            ),
        ])
        .await;
    let mut nobody = world.lumos("model list");
    let said = run(nobody.env("LUMOS_TOKEN", "lumos_t1_wrong"), "").await;
    said.is(1, "not-signed-in");
    world
        .check(&[("user logout", 0, ""), ("model list", 1, "not-signed-in")])
        .await;
    let mut login = world.lumos("user login owner");
    run(&mut login, "a wrong password\n")
        .await
        .is(1, "wrong-credentials");
    let alone = World::empty();
    alone
        .check(&[("model list", 1, "start one with `lumos serve`")])
        .await;
}

#[tokio::test]
async fn a_test_submission_says_which_agent_did_what_and_is_withdrawn() {
    let world = sandbox().await;
    release(&world);
    world.say(REGISTER).await.is(0, "");
    let submit = format!("{SUBMIT} test-1 --test {EVIDENCE}");
    let tested = world.say(&submit).await.is(0, "was withdrawn");
    for (agent, step) in [
        ("agent/release-scanner", "lumos.release.identified.v1"),
        ("agent/compliance-checker", "lumos.report.recorded.v1"),
        ("agent/approval-orchestrator", "lumos.review.opened.v1"),
    ] {
        let done = |line: &str| line.contains(agent) && line.ends_with(step);
        assert!(
            tested.out.lines().any(done),
            "{agent} {step}: {}",
            tested.out
        );
    }
    world
        .check(&[("release show triage/test-1", 0, "withdrawn")])
        .await;
}

#[tokio::test]
async fn the_ledger_verifies_until_a_byte_changes() {
    let world = sandbox().await;
    let verify = format!("ledger verify export --vkey {}", world.vkey());
    let another = "lumos.localhost/sandbox+00000000+AQ==";
    world
        .check(&[
            ("ledger show", 0, "lumos.genesis.recorded.v1"),
            ("ledger checkpoint", 0, "lumos.localhost/sandbox"),
            ("ledger proof 0", 0, "c2sp.org/tlog-proof@v1"),
            ("ledger export before", 0, "exported"),
            (REGISTER, 0, ""),
            ("ledger export export", 0, "exported"),
            (&verify, 0, "every hash"),
            ("ledger verify export", 0, "no --vkey was given"),
            (
                &format!("{verify} --since before/checkpoint"),
                0,
                "continues the older checkpoint",
            ),
            (
                &format!("ledger verify export --vkey {another}"),
                1,
                "--vkey",
            ),
            ("ledger verify absent", 1, "absent"),
        ])
        .await;
    flip_one_byte(&world.path("export/tile/entries"));
    world.check(&[(&verify, 3, "DOES NOT VERIFY")]).await;
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
