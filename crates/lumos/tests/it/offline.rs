//! What the command line does without a server: scan, judge, explain, and write the first settings.

use serde_json::json;

use crate::{
    artifacts,
    commands::{EVIDENCE, release},
    world::World,
};

#[tokio::test]
async fn files_and_policies_are_judged_without_a_server() {
    let world = World::prepared(|settings| settings);
    release(&world);
    artifacts::booby_trap(&world.path("release"), &world.path("trap")).unwrap();
    let check = "policy check release --purpose 'Suggests how urgent a request is.'";
    world
        .check(&[
            ("scan release", 0, "release digest sha256:"),
            ("scan trap", 3, "critical: pickle-known-bad-global"),
            ("scan absent", 1, "finding `absent`"),
            (check, 3, "ACME-OPS-001"),
            (&format!("{check} {EVIDENCE}"), 0, "ACME-OPS-001"),
            (
                &format!("{check} --bundle policy/nist-ai-rmf.yaml"),
                3,
                "NIST",
            ),
            ("policy lint policy/starter.yaml", 0, "nothing found"),
            ("policy explain policy/starter.yaml", 0, "ACME-GOV-001"),
            (
                "policy test policy/starter.yaml --coverage --mutate",
                0,
                "0 unnoticed",
            ),
            (
                "policy test policy/starter.yaml --tests policy/tests/cards.yaml",
                1,
                "policy-tests-other-bundle",
            ),
            (
                "policy explain policy/starter.yaml ACME-LIC-002",
                0,
                "ACME-LIC-002",
            ),
            (
                "policy explain policy/starter.yaml ACME-NO-1",
                1,
                "has no rule",
            ),
        ])
        .await;
    let scanned = world.say("scan release --json").await.json();
    assert_eq!(scanned["scan"]["not_fully_scanned"], json!([]));

    let starter = std::fs::read_to_string(world.path("policy/starter.yaml")).unwrap();
    for (from, to, code) in [
        ("severity: critical", "severty: critical", "unknown-key"),
        ("tier == 'high'", "tier ==", "cel-syntax"),
        ("apiVersion: lumos/v1", "apiVersion: [", "bundle-not-yaml"),
    ] {
        world.write("changed.yaml", starter.replacen(from, to, 1));
        world.check(&[("policy lint changed.yaml", 1, code)]).await;
    }
}

#[tokio::test]
async fn hostile_files_are_a_no_and_never_a_crash() {
    let world = World::empty();
    let check = async |file: &str, bytes: &[u8], expected: &str| {
        world.write(file, bytes);
        world.say(&format!("scan {file}")).await.is(3, expected);
    };
    let header = |bytes: u64| [&bytes.to_le_bytes()[..], b"{\"weight\":"].concat();
    check("short.safetensors", &header(99), "safetensors").await;
    check("huge.safetensors", &header(100 << 30), "safetensors").await;
    check("cut.pkl", b"cos\nsystem\n(S'true'\ntR", "pickle").await;
    let whole = b"cos\nsystem\n(S'true'\ntR.";
    check("whole.pkl", whole, "pickle-known-bad-global").await;

    world.write("folder/model.bin", "x");
    std::os::unix::fs::symlink("/etc/passwd", world.path("folder/link")).unwrap();
    let scanned = world.say("scan folder").await;
    assert!(
        scanned.code != Some(0) && !scanned.out.contains("root:"),
        "{scanned:?}"
    );
}

#[tokio::test]
async fn init_proposes_what_it_finds_and_shows_a_first_report() {
    let world = World::empty();
    world.publish("1.0");
    let init = "init --yes --directory models --into site";
    let said = world.say(init).await.is(0, "the first report:");
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
    world
        .check(&[
            (init, 1, "exists already"),
            ("init --into other", 1, "name one registry"),
            ("init --yes --directory absent", 1, "absent"),
        ])
        .await;
}

#[tokio::test]
async fn what_is_wrong_in_a_bundle_is_said_once() {
    let world = World::empty();
    let bundle = |check: &str, id: &str| {
        format!(
            "{{apiVersion: lumos/v1, kind: PolicyBundle, metadata: {{name: x, version: 1.0.0, owner: a@acme.example}},
            spec: {{rules: [{{id: {id}, title: t, severity: high, enforcement: advisory, check: {{cel: '{check}'}}}}]}}}}"
        )
    };
    for (yaml, expected) in [
        (bundle("true", "A-1"), "is not a rule id"),
        (bundle("1 +", "ACME-A-001"), "spec.rules[0].check.cel"),
    ] {
        world.write("wrong.yaml", yaml);
        let said = world.say("policy lint wrong.yaml").await.is(1, expected);
        assert_eq!(said.err.matches(expected).count(), 1, "{}", said.err);
    }
}
