//! The keys that sign a ledger change, and whoever held on to an old one still checks all of it: with LUMOS, with
//! OpenSSL and with Go.

use std::path::Path;

use lumos_ledger::{NoteSigner, note::Note};
use serde_json::Value;

use crate::world::{Said, World};

const BY: &str = "administrator";
const TWO: &str = "administrator & risk";

/// The keys as the server lists them.
pub(crate) async fn keys(world: &World) -> Vec<Value> {
    let listed = world.say_as(BY, "key list --json").await.json();
    listed.as_array().unwrap().clone()
}

/// The id and verifier key in row `n`.
pub(crate) async fn key(world: &World, n: usize) -> (String, String) {
    let rows = keys(world).await;
    let text = |member: &str| rows[n][member].as_str().unwrap().to_owned();
    (text("key"), text("vkey"))
}

/// Each key's state, in the order in which they came.
async fn states(world: &World) -> Vec<String> {
    let keys = keys(world).await;
    let states = keys
        .iter()
        .map(|key| key["state"].as_str().unwrap().to_owned());
    states.collect()
}

/// Makes a key and lets it sign in place of the present one; its id and verifier key.
async fn rotated(world: &World, overlap_days: u16) -> (String, String) {
    world
        .say_as(BY, "key create")
        .await
        .is(0, "lumos.key.created.v1");
    let (id, vkey) = key(world, keys(world).await.len() - 1).await;
    let line = format!("key rotate {id} --overlap-days {overlap_days} --reason 'a year is over'");
    world.say_as(TWO, &line).await.is(0, "lumos.key.rotated.v1");
    (id, vkey)
}

/// Waits until everything is signed.
async fn signed(world: &World) {
    world.with("").get("/readyz").await;
}

async fn export(world: &World, into: &str) {
    signed(world).await;
    let line = format!("ledger export {into}");
    world.say_as("compliance", &line).await.is(0, "exported");
}

async fn verify(world: &World, what: &str, vkey: &str) -> Said {
    world
        .say(&format!("ledger verify {what} --vkey {vkey}"))
        .await
}

/// How many signatures stand under a checkpoint.
fn signatures(path: &Path) -> usize {
    let note = std::fs::read(path).unwrap();
    Note::parse(&note).unwrap().signatures().len()
}

#[tokio::test]
async fn whoever_holds_the_old_key_verifies_across_a_rotation() {
    let mut world = World::acme().await;
    let (first, old) = key(&world, 0).await;
    assert_eq!(old, world.vkey());
    export(&world, "before").await;
    let entry = "ledger proof 3 --out before.tlog-proof";
    world.say_as("compliance", entry).await.is(0, "");

    // While both sign, each is enough.
    let (second, new) = rotated(&world, 30).await;
    assert_eq!(states(&world).await, ["signs-beside", "signs"]);
    export(&world, "both").await;
    assert_eq!(signatures(&world.path("both/checkpoint")), 2);
    for vkey in [&old, &new] {
        verify(&world, "both", vkey).await.is(0, "verified:");
        let live = format!("ledger verify --vkey {vkey} --since before/checkpoint");
        world
            .say_as("compliance", &live)
            .await
            .is(0, "continues the older checkpoint");
    }
    let entry = "ledger proof 3 --out both.tlog-proof";
    world.say_as("compliance", entry).await.is(0, "");
    for vkey in [&old, &new] {
        verify(&world, "both.tlog-proof", vkey)
            .await
            .is(0, "this is entry 3");
    }
    // A receipt keeps the key it was made with.
    verify(&world, "before.tlog-proof", &old)
        .await
        .is(0, "this is entry 3");
    verify(&world, "before.tlog-proof", &new)
        .await
        .is(3, "ledger-signature-untrusted");

    // Once it is taken out of use for good, the old key leads to the new one by what both signed.
    let retire = format!("key revoke {first} --reason 'its year is over'");
    world
        .say_as(BY, &retire)
        .await
        .is(0, "lumos.key.revoked.v1");
    assert_eq!(states(&world).await, ["revoked", "signs"]);
    export(&world, "after").await;
    assert_eq!(signatures(&world.path("after/checkpoint")), 1);
    assert_eq!(
        signatures(&world.path(&format!("after/handover/{first}"))),
        2
    );
    let follows = format!("key {second} follows key {first}");
    let live = format!("ledger verify --vkey {old}");
    world.say_as("compliance", &live).await.is(0, &follows);
    for vkey in [&old, &new] {
        verify(&world, "after --since before/checkpoint", vkey)
            .await
            .is(0, "verified:");
        verify(&world, "after --since both.tlog-proof", vkey)
            .await
            .is(0, "verified:");
    }
    verify(&world, "after", &old).await.is(0, &follows);
    // Without what both signed, nothing leads from the one to the other; what one holds from then does.
    std::fs::remove_dir_all(world.path("after/handover")).unwrap();
    let unknown = verify(&world, "after", &old)
        .await
        .is(3, "ledger-signature-untrusted");
    assert!(
        unknown.out.contains(&format!("key {second}")),
        "{unknown:?}"
    );
    verify(&world, "after --since both/checkpoint", &old)
        .await
        .is(0, &follows);
    // From before the change, the old key says nothing of it.
    verify(&world, "after --since before/checkpoint", &old)
        .await
        .is(3, "ledger-signature-untrusted");
    let stranger = NoteSigner::from_seed("ledger.acme.example", &[9; 32]).unwrap();
    verify(&world, "after", &stranger.verifier_key().to_string())
        .await
        .is(3, "ledger-signature-untrusted");

    assert!(world.stop().await.success());
    // The same of the data directory, and after a start.
    verify(&world, "lumos-data", &old).await.is(0, &follows);
    world.start(0).await;
    assert_eq!(world.vkey(), new);
    export(&world, "again").await;
    verify(&world, "again", &old).await.is(0, &follows);
}

#[tokio::test]
async fn the_first_key_is_in_the_ledger_and_a_change_needs_two() {
    let world = World::acme().await;
    let (first, _) = key(&world, 0).await;
    world
        .say_as(BY, "key create")
        .await
        .is(0, "lumos.key.created.v1");
    let (second, _) = key(&world, 1).await;
    let rotate = format!("key rotate {second} --reason 'a year is over'");
    let proposed = world.say_as(BY, &format!("{rotate} --json")).await.json();
    let proposal = proposed["proposal"].as_str().unwrap();
    let confirm = format!("proposal confirm {proposal}");
    let show = format!("proposal show {proposal}");
    world
        .check_as(&[
            ("developer", "key create", 3, "not-allowed"),
            ("developer", &rotate, 3, "not-allowed"),
            (
                "developer",
                &format!("key revoke {first} --reason x"),
                3,
                "not-allowed",
            ),
            (BY, &confirm, 3, "needs-second-person"),
            ("developer", &confirm, 3, "not-allowed"),
            (
                "risk",
                &show,
                0,
                &format!("sign the ledger with key {second}"),
            ),
            (BY, "key rotate 00000000 --reason x", 1, "unknown-thing"),
            (BY, &format!("{rotate} --overlap-days 4000"), 1, "bad-rules"),
        ])
        .await;
    assert_eq!(states(&world).await, ["signs", "unused"], "nothing changed");
    let signed_by = world.say_as(BY, "ledger checkpoint").await.out;
    assert_eq!(signed_by.matches('\u{2014}').count(), 1);
    world
        .check_as(&[
            ("risk", &confirm, 0, "lumos.key.rotated.v1"),
            (BY, &rotate, 0, "nothing to do"),
            (
                BY,
                &format!("key rotate {first} --reason back"),
                3,
                "key-used",
            ),
        ])
        .await;
    world.ledger_verifies("risk").await;
}
