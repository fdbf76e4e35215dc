//! Ledger keys on a real token behind PKCS#11: `SoftHSM`, looked into by `OpenSC`.

use std::path::Path;

use serde_json::Value;

use crate::{
    key_lost::way_out,
    keys::{export, key, keys},
    world::{World, program, run, until},
};

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
const BY: &str = "administrator";
const TWO: &str = "administrator & risk";

/// Acme with a token of its own, whose settings name it; nothing and a line where there is no `SoftHSM`.
async fn with_token(new: &str) -> Option<World> {
    if !Path::new(MODULE).exists() || !Path::new("/usr/bin/pkcs11-tool").exists() {
        println!("skipped: no SoftHSM with OpenSC, run `cargo xtask peers softhsm`");
        return None;
    }
    let world = World::prepared(|settings| {
        format!(
            "{settings}\nkeys: {{new: {new}, pkcs11: {{module: {MODULE}, token: acme, pin: 'file:pin'}}}}\n"
        )
    });
    world.write("pin", "987654\n");
    let tokens = world.path("tokens");
    std::fs::create_dir(&tokens).unwrap();
    let config = format!("directories.tokendir = {}\n", tokens.display());
    world.write(".config/softhsm2/softhsm2.conf", config);
    let mut init = program("/usr/bin/softhsm2-util");
    init.args(["--init-token", "--free", "--label", "acme"])
        .args(["--pin", "987654", "--so-pin", "12345678"]);
    run(init.env_clear().env("HOME", world.path("")), "")
        .await
        .is(0, "initialized");
    Some(world)
}

async fn running(new: &str) -> Option<World> {
    let mut world = with_token(new).await?;
    world.start_logged(2).await;
    world.give_passwords().await;
    Some(world)
}

/// What `OpenSC` sees on the token.
async fn objects(world: &World) -> String {
    let mut tool = program("/usr/bin/pkcs11-tool");
    tool.args([
        "--module",
        MODULE,
        "--token-label",
        "acme",
        "--list-objects",
    ])
    .args(["--login", "--pin", "987654"]);
    let said = run(tool.env_clear().env("HOME", world.path("")), "").await;
    said.is(0, "Private Key Object").out
}

/// Whether everything is signed; why not, if so.
async fn ready(world: &World) -> Result<(), String> {
    let answer = world.with("").peer.get("/readyz").send().await.unwrap();
    match answer.status {
        200 => Ok(()),
        503 => Err(String::from_utf8(answer.body.to_vec()).unwrap()),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn real_softhsm_a_ledger_begins_with_a_key_that_never_leaves_its_token() {
    let Some(mut world) = running("pkcs11").await else {
        return;
    };
    let [first] = <[Value; 1]>::try_from(keys(&world).await).unwrap();
    assert_eq!(
        (&first["place"], &first["state"], &first["vkey"]),
        (&"pkcs11".into(), &"signs".into(), &world.vkey().into())
    );
    let objects = objects(&world).await;
    assert!(objects.contains("never extractable"), "{objects}");
    assert!(!world.path("lumos-data/keys/ledger.ed25519").exists());
    world.ledger_verifies("compliance").await;
    // Another one on the same token, then one in a file; whoever holds the first follows.
    for (create, second) in [
        ("key create", "lumos lumos.acme.example/main 2"),
        ("key create --place file", "ledger-3.ed25519"),
    ] {
        world.say_as(BY, create).await.is(0, "lumos.key.created.v1");
        let all = keys(&world).await;
        assert_eq!(all.last().unwrap()["name"], second);
        let (id, _) = key(&world, all.len() - 1).await;
        let rotate = format!("key rotate {id} --overlap-days 1 --reason 'the token is old'");
        world.say_as(TWO, &rotate).await.is(0, "key.rotated");
        world.ledger_verifies("compliance").await;
    }
    // Three signatures in the overlap, two of them by the token.
    let checkpoint = world.say_as(BY, "ledger checkpoint").await.out;
    assert_eq!(checkpoint.matches('\u{2014}').count(), 3, "{checkpoint}");
    let vkey = first["vkey"].as_str().unwrap().to_owned();
    assert!(world.stop().await.success());
    world.start_logged(0).await;
    let verify = format!("ledger verify --vkey {vkey}");
    world.say_as("compliance", &verify).await.is(0, "verified:");
}

#[tokio::test]
async fn real_softhsm_while_the_token_is_away_nothing_is_published() {
    let Some(mut world) = running("pkcs11").await else {
        return;
    };
    ready(&world).await.unwrap();
    let before = world.say_as(BY, "ledger checkpoint").await.out;
    let (tokens, away) = (world.path("tokens"), world.path("away"));
    std::fs::rename(&tokens, &away).unwrap();
    world
        .say_as(BY, "user add pip --name Pip")
        .await
        .is(0, "first password");
    let why = ready(&world).await.unwrap_err();
    assert!(
        why.contains("head-unsigned") && why.contains("on token `acme`"),
        "{why}"
    );
    assert_eq!(world.say_as(BY, "ledger checkpoint").await.out, before);
    world.with("").get("/healthz").await;
    // What is decided meanwhile is kept, and signed once the token is back.
    std::fs::rename(&away, &tokens).unwrap();
    until(async || ready(&world).await.is_ok()).await;
    assert_ne!(world.say_as(BY, "ledger checkpoint").await.out, before);
    world.ledger_verifies("compliance").await;

    // Without its token a ledger does not start, and says what is missing.
    assert!(world.stop().await.success());
    std::fs::rename(&tokens, &away).unwrap();
    world.say("serve").await.is(1, "key-unusable");
    std::fs::rename(&away, &tokens).unwrap();
    world.start_logged(0).await;
    world.ledger_verifies("compliance").await;
}

#[tokio::test]
async fn real_softhsm_a_wrong_pin_or_token_founds_nothing() {
    let Some(world) = with_token("pkcs11").await else {
        return;
    };
    let settings = std::fs::read_to_string(world.path("lumos.yaml")).unwrap();
    for (was, wrong) in [
        ("token: acme", "token: other"),
        ("'file:pin'", "'1111'"),
        (MODULE, "/nowhere.so"),
    ] {
        world.write("lumos.yaml", settings.replace(was, wrong));
        let said = world.say("serve").await.is(1, "key-unusable");
        assert!(!said.err.contains("1111"), "{said:?}");
    }
    world.write("lumos.yaml", settings.replace("new: pkcs11", "new: kms"));
    world.say("serve").await.is(1, "key-place-unset");
}

#[tokio::test]
async fn real_softhsm_a_token_that_is_destroyed_is_left_behind_by_two_people() {
    let Some(mut world) = running("pkcs11").await else {
        return;
    };
    let (id, vkey) = key(&world, 0).await;
    export(&world, "before").await;
    assert!(world.stop().await.success());
    let not_lost = format!("serve --key-lost {id}");
    world.say(&not_lost).await.is(1, "key-not-lost");
    std::fs::remove_dir_all(world.path("tokens")).unwrap();
    std::fs::create_dir(world.path("tokens")).unwrap();
    way_out(&mut world, (&id, &vkey), "key-unusable").await;
}
