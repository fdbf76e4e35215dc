//! The keys that sign a ledger change, and whoever held on to an old one still checks all of it: with LUMOS, with
//! OpenSSL and with Go.

use std::path::Path;

use lumos_ledger::{Checkpoint, NoteSigner, note::Note};
use serde_json::Value;

use crate::world::{Said, World};

const BY: &str = "administrator";
const TWO: &str = "administrator & risk";
const ORIGIN: &str = "lumos.acme.example/main";

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
pub(crate) async fn rotated(world: &World, overlap_days: u16) -> (String, String) {
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

pub(crate) async fn export(world: &World, into: &str) {
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

/// Of the export `after`, which `old` does not sign any more.
async fn nothing_else_leads_on(world: &World, old: &str, second: &str) {
    // Without what both signed, nothing leads from the one to the other; what one holds from then does.
    std::fs::remove_dir_all(world.path("after/handover")).unwrap();
    let unknown = verify(world, "after", old)
        .await
        .is(3, "ledger-signature-untrusted");
    assert!(
        unknown.out.contains(&format!("key {second}")),
        "{unknown:?}"
    );
    verify(world, "after --since both/checkpoint", old)
        .await
        .is(0, &format!("key {second} follows key"));
    // From before the change, the old key says nothing of it.
    verify(world, "after --since before/checkpoint", old)
        .await
        .is(3, "ledger-signature-untrusted");
    let stranger = NoteSigner::from_seed(ORIGIN, &[9; 32]).unwrap();
    verify(world, "after", &stranger.verifier_key().to_string())
        .await
        .is(3, "ledger-signature-untrusted");
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
    // Alone, the replaced key says nothing of what came after it.
    crate::world::copy(&world.path("both"), &world.path("alone"));
    sign_with(&world, "alone", &seed(&world, "ledger.ed25519"));
    verify(&world, "alone", &old)
        .await
        .is(3, "ledger-key-replaced");
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
    nothing_else_leads_on(&world, &old, &second).await;

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

/// The seed of a key file.
fn seed(world: &World, file: &str) -> [u8; 32] {
    let text = std::fs::read_to_string(world.path("lumos-data/keys").join(file)).unwrap();
    let mut seed = [0; 32];
    hex::decode_to_slice(text.trim(), &mut seed).unwrap();
    seed
}

/// Signs the checkpoint of an export anew with another key, as a thief would.
fn sign_with(world: &World, export: &str, seed: &[u8; 32]) {
    let path = world.path(export).join("checkpoint");
    let note = Note::parse(&std::fs::read(&path).unwrap()).unwrap();
    let head: Checkpoint = note.text().parse().unwrap();
    let signer = NoteSigner::from_seed(head.origin(), seed).unwrap();
    std::fs::write(path, head.sign(&signer).unwrap().to_string()).unwrap();
}

#[tokio::test]
async fn a_stolen_key_counts_no_further_than_its_revocation_says() {
    let mut world = World::acme().await;
    let (first, old) = key(&world, 0).await;
    export(&world, "before").await;
    let (_, new) = rotated(&world, 30).await;
    export(&world, "both").await;
    let head = std::fs::read_to_string(world.path("before/checkpoint")).unwrap();
    let good: u64 = head.lines().nth(1).unwrap().parse().unwrap();
    // One person stops it. It was stolen before the rotation, so its word ends there.
    let revoke =
        format!("key revoke {first} --good-until {good} --reason 'the old machine was sold'");
    world
        .check_as(&[
            (BY, &revoke, 0, "lumos.key.revoked.v1"),
            (BY, &revoke, 0, "nothing to do"),
            (
                BY,
                &format!("key rotate {first} --reason back"),
                3,
                "key-revoked",
            ),
        ])
        .await;
    export(&world, "after").await;
    verify(&world, "after", &new).await.is(0, "verified:");
    // Its word for the new key came too late to count.
    verify(&world, "after", &old)
        .await
        .is(3, "ledger-signature-untrusted");
    // What it signed while it was good still counts, what it signed later does not.
    verify(&world, "after --since before/checkpoint", &new)
        .await
        .is(0, "verified:");
    let both = std::fs::read(world.path("both/checkpoint")).unwrap();
    world.write("late/checkpoint", both);
    sign_with(&world, "late", &seed(&world, "ledger.ed25519"));
    verify(&world, "after --since late/checkpoint", &new)
        .await
        .is(3, "ledger-key-revoked");
    // The thief signs today's log with it: whoever holds the key sees in the log itself that it says nothing.
    crate::world::copy(&world.path("after"), &world.path("forged"));
    sign_with(&world, "forged", &seed(&world, "ledger.ed25519"));
    let refused = verify(&world, "forged", &old)
        .await
        .is(3, "ledger-key-revoked");
    assert!(refused.out.contains(&format!("key {first}")), "{refused:?}");
    assert!(
        refused
            .out
            .contains(&format!("counts up to {good} entries")),
        "{refused:?}"
    );
    let said = world
        .say(&format!("ledger verify forged --vkey {old} --json"))
        .await
        .is(3, "");
    assert_eq!(said.json()["integrity"]["code"], "ledger-key-revoked");
    // Nor does the server take a note for its anchor that the key signed beyond its revocation.
    signed(&world).await;
    assert!(world.stop().await.success());
    let anchor = world.path("lumos-data.anchor/checkpoint");
    let kept = std::fs::read(&anchor).unwrap();
    std::fs::create_dir(world.path("thief")).unwrap();
    std::fs::write(world.path("thief/checkpoint"), &kept).unwrap();
    sign_with(&world, "thief", &seed(&world, "ledger.ed25519"));
    std::fs::copy(world.path("thief/checkpoint"), &anchor).unwrap();
    world.say("serve").await.is(1, "unreadable-anchor");
    std::fs::write(&anchor, kept).unwrap();
    world.start(0).await;
    world.ledger_verifies("compliance").await;
}

#[tokio::test]
async fn after_the_only_key_was_revoked_two_people_name_the_next() {
    let mut world = World::acme().await;
    let (first, old) = key(&world, 0).await;
    let before = world.say_as(BY, "ledger checkpoint").await.out;
    let revoke = format!("key revoke {first} --reason 'it was stolen'");
    world
        .say_as("risk", &revoke)
        .await
        .is(0, "lumos.key.revoked.v1");
    // What is decided is kept; nothing of it is published.
    world
        .say_as(BY, "user add pip --name Pip")
        .await
        .is(0, "first password");
    let ready = world.with("").peer.get("/readyz").send().await.unwrap();
    assert_eq!(ready.status, 503);
    let why = String::from_utf8(ready.body.to_vec()).unwrap();
    assert!(
        why.contains("was revoked, and none takes its place"),
        "{why}"
    );
    assert_eq!(world.say_as(BY, "ledger checkpoint").await.out, before);
    let (_, new) = rotated(&world, 30).await;
    signed(&world).await;
    verify_live(&world, &new).await.is(0, "verified:");
    verify_live(&world, &old)
        .await
        .is(3, "ledger-signature-untrusted");
    assert!(world.stop().await.success());
    world.start(0).await;
    assert_eq!(world.vkey(), new);
}

async fn verify_live(world: &World, vkey: &str) -> Said {
    let line = format!("ledger verify --vkey {vkey}");
    world.say_as("compliance", &line).await
}

#[tokio::test]
async fn a_key_that_was_exchanged_on_the_disk_signs_nothing() {
    let mut world = World::acme().await;
    rotated(&world, 30).await;
    export(&world, "before").await;
    assert!(world.stop().await.success());
    for file in ["ledger.ed25519", "ledger-2.ed25519"] {
        let path = world.path("lumos-data/keys").join(file);
        let own = std::fs::read(&path).unwrap();
        let anchored = std::fs::read(world.path("lumos-data.anchor/checkpoint")).unwrap();
        std::fs::write(&path, "07".repeat(32)).unwrap();
        world.say("serve").await.is(1, "key-differs");
        std::fs::remove_file(&path).unwrap();
        world.say("serve").await.is(1, "key-missing");
        assert!(!path.exists(), "no other key is made");
        std::fs::write(&path, own).unwrap();
        let now = std::fs::read(world.path("lumos-data.anchor/checkpoint")).unwrap();
        assert_eq!(now, anchored, "nothing was signed");
    }
    world.start(0).await;
    world.ledger_verifies("compliance").await;
}

#[tokio::test]
async fn a_rotation_that_was_cut_short_is_finished_by_the_next_start() {
    // Killed behind the entry; once with the anchor as it was before it, as after a write that failed, once as it is.
    for persisted in [false, true] {
        let mut world = World::acme().await;
        let (_, old) = key(&world, 0).await;
        signed(&world).await;
        let anchor = world.path("lumos-data.anchor/checkpoint");
        world.say_as(BY, "key create").await.is(0, "");
        signed(&world).await;
        let before = std::fs::read(&anchor).unwrap();
        let (id, new) = key(&world, 1).await;
        let rotate = format!("key rotate {id} --reason 'a year is over'");
        world.say_as(TWO, &rotate).await.is(0, "key.rotated");
        if persisted {
            signed(&world).await;
        }
        world.kill().await;
        if !persisted {
            std::fs::write(&anchor, before).unwrap();
        }
        world.start(0).await;
        assert_eq!(world.vkey(), new);
        export(&world, "export").await;
        assert_eq!(signatures(&world.path("export/checkpoint")), 2);
        for vkey in [&old, &new] {
            verify(&world, "export", vkey).await.is(0, "verified:");
        }
    }
}
