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

#[tokio::test]
async fn hostile_files_are_a_no_and_never_a_crash() {
    let world = World::empty();
    let check = async |file: &str, bytes: &[u8], expected: &str| {
        world.write(file, bytes);
        world.say(&["scan", file]).await.is(3, expected);
    };
    let header = |bytes: u64| [&bytes.to_le_bytes()[..], b"{\"weight\":"].concat();
    check("short.safetensors", &header(99), "safetensors").await;
    check("huge.safetensors", &header(100 << 30), "safetensors").await;
    check("cut.pkl", b"cos\nsystem\n(S'true'\ntR", "pickle").await;
    check(
        "stored.pkl",
        b"cos\nsystem\n(S'true'\ntR.",
        "pickle-known-bad-global",
    )
    .await;

    world.write("folder/model.bin", "x");
    std::os::unix::fs::symlink("/etc/passwd", world.path("folder/link")).unwrap();
    let scanned = world.say(&["scan", "folder"]).await;
    assert!(!scanned.out.contains("root:"), "{scanned:?}");
    assert_ne!(scanned.code, Some(0), "{scanned:?}");
    let submit = [
        "submit",
        "folder",
        "--model",
        "m",
        "--version",
        "1",
        "--env",
        "production",
    ];
    let server = ["--server", "http://127.0.0.1:9"];
    world
        .say(&[&submit[..], &server].concat())
        .await
        .is(1, "http-unreachable");
}
