//! What a server refuses to start on: settings and seeds that make no sense, a directory in use, an old copy.

use lumos_http::Method;
use serde_json::json;

use crate::world::{World, copy};

#[tokio::test]
async fn settings_that_make_no_sense_are_refused_by_name() {
    async fn check(from: &str, to: &str, expected: &str) {
        let world = World::prepared(|settings| {
            assert!(settings.contains(from));
            settings.replace(from, to)
        });
        world.say("serve").await.is(1, expected);
    }
    check("listen:", "lisen:", "did you mean `listen`?").await;
    check("root:", "rot:", "did you mean `root`?").await;
    check("poll_s: 1", "poll_s: soon", "poll_s").await;
    check("poll_s: 1", "poll_s: [", "it is not YAML").await;
    check(
        "poll_s: 1",
        "poll_s: ${LUMOS_ABSENT}",
        "`LUMOS_ABSENT` is not set",
    )
    .await;
    check("kind: directory", "kind: floppy", "floppy").await;
    check("starter.yaml", "absent.yaml", "absent.yaml").await;
    check("[administrator, risk]", "[administrator, ghost]", "`ghost`").await;
    check(
        "[administrator, risk]",
        "[risk, risk]",
        "two different people",
    )
    .await;
}

#[tokio::test]
async fn a_broken_organisation_founds_nothing() {
    let mut world = World::prepared(|settings| settings);
    let whole = std::fs::read_to_string(world.path("organisation.yaml")).unwrap();
    for (from, to, expected) in [
        ("people:", "peeple:", "`peeple`"),
        ("login: expert", "login: [", "organisation.yaml"),
        (
            "login: expert",
            "login: security",
            "`security` appears twice",
        ),
        ("owner: platform", "owner: ghost", "`ghost`"),
        ("domain-expert: [read]", "domain-expert: [reed]", "reed"),
        (
            "{role: domain-expert, count: 2}",
            "{role: ghosts}",
            "ghosts",
        ),
    ] {
        world.write("organisation.yaml", whole.replacen(from, to, 1));
        world.say("serve").await.is(1, expected);
    }
    world.write("organisation.yaml", whole);
    world.start(2).await;
    world.ledger_verifies("risk").await;
}

#[tokio::test]
async fn one_data_directory_has_one_server() {
    let world = World::acme().await;
    world.say("serve").await.is(1, "code data-dir-in-use");
    world
        .say_as("platform", "check")
        .await
        .is(0, "server: ready");
}

#[tokio::test]
async fn an_old_copy_of_the_ledger_does_not_start_again() {
    let mut world = World::prepared(|settings| settings);
    world.start(2).await;
    assert!(world.stop().await.success());
    let (data, old) = (world.path("lumos-data"), world.path("old"));
    copy(&data, &old);

    world.start(0).await;
    let administrator = world.person("administrator").await;
    let body = json!({ "rights": [] });
    let path = "/api/v1/roles/late-role";
    let made = administrator.ask(Method::PUT, path, &body).await.is(200);
    administrator
        .until_published(made["entry"].as_u64().unwrap())
        .await;
    world.kill().await;
    std::fs::rename(&data, world.path("new")).unwrap();
    std::fs::rename(&old, &data).unwrap();
    world.say("serve").await.is(1, "code behind-anchor");

    // The way out is to put back what is newer.
    std::fs::remove_dir_all(&data).unwrap();
    std::fs::rename(world.path("new"), &data).unwrap();
    world.start(0).await;
    let reader = world.person("risk").await;
    let roles = reader.get("/api/v1/roles").await;
    assert!(roles.to_string().contains("late-role"));
    world.ledger_verifies("risk").await;
}

#[tokio::test]
async fn logins_are_found_by_a_key_that_can_be_made_again() {
    let mut world = World::prepared(|settings| settings);
    world.start(2).await;
    assert!(world.stop().await.success());
    let key = world.path("lumos-data/keys/server.hmac");
    let first = std::fs::read(&key).unwrap();
    std::fs::remove_file(&key).unwrap();

    world.start(0).await;
    assert_ne!(std::fs::read(&key).unwrap(), first);
    let reader = world.person("risk").await;
    let me = reader.get("/api/v1/me").await;
    assert_eq!(me["name"], "Acme Head of Risk");

    // Nor does another key that lies there already lock anybody out: one of another server, or one that was drawn
    // by a process that died before the lookups were made with it.
    assert!(world.stop().await.success());
    std::fs::write(&key, "5a".repeat(32)).unwrap();
    world.start(0).await;
    let reader = world.person("risk").await;
    let me = reader.get("/api/v1/me").await;
    assert_eq!(me["name"], "Acme Head of Risk");
    world.ledger_verifies("risk").await;
}
