//! A key of the ledger is lost for good while it still has to sign: the way out, which one person can neither take alone
//! nor use for anything else.

use crate::{
    keys::{export, key},
    world::{World, until},
};

const BY: &str = "administrator";

/// Takes the ledger, whose server has ended and whose only key is lost, to a key in a file. Without the lost key a start
/// ends with `code`.
pub(crate) async fn way_out(world: &mut World, lost: (&str, &str), code: &str) {
    let (id, _) = lost;
    world
        .check(&[
            ("serve", 1, code),
            ("serve --key-lost 00000000", 1, "key-not-lost"),
        ])
        .await;
    world.start_without(id).await;
    let before = world.say_as(BY, "ledger checkpoint").await.out;
    world
        .check_as(&[
            (BY, "user add pip --name Pip", 1, "key-lost"),
            (BY, "role revoke platform domain-expert", 0, "nothing to do"),
            (
                "compliance",
                "role revoke expert domain-expert",
                3,
                "not-allowed",
            ),
            (BY, "role revoke expert domain-expert", 1, "key-lost"),
            (BY, "role define looker read", 1, "key-lost"),
            (BY, "key create --place file", 0, "lumos.key.created.v1"),
        ])
        .await;
    let (new, vkey) = key(world, 1).await;
    let rotate = format!("key rotate {new} --reason 'the old one is lost'");
    let revoke = format!("key revoke {id} --reason 'it is lost'");
    world
        .say_as(BY, &revoke)
        .await
        .is(0, "lumos.key.revoked.v1");
    let alone = world
        .say_as(BY, &rotate)
        .await
        .is(0, "lumos.proposal.made.v1");
    let confirm = alone.out.lines().last().unwrap();
    let confirm = &confirm[confirm.find("proposal confirm").unwrap()..];
    world.say_as(BY, confirm).await.is(3, "needs-second-person");
    let ready = world.with("").peer.get("/readyz").send().await.unwrap();
    assert_eq!(ready.status, 503);
    let now = world.say_as(BY, "ledger checkpoint").await.out;
    assert_eq!(now, before, "nothing was published");
    world
        .say_as("risk", confirm)
        .await
        .is(0, "lumos.key.rotated.v1");
    until(async || world.say_as(BY, "ledger checkpoint").await.out != before).await;
    goes_on(world, lost, &vkey).await;
}

/// Once the next key signs: it is started as always, and everybody's old proofs hold.
async fn goes_on(world: &mut World, (id, old): (&str, &str), vkey: &str) {
    // It signs; for everything else it is started as always.
    world
        .say_as(BY, "user add pip --name Pip")
        .await
        .is(1, "key-lost");
    assert!(world.stop().await.success());
    let again = format!("serve --key-lost {id}");
    world.say(&again).await.is(1, "key-not-lost");
    world.start(0).await;
    assert_eq!(world.vkey(), vkey);
    world.ledger_verifies("compliance").await;
    export(world, "after").await;
    // The old key proves what it proved; the new one vouches for all of it; nothing leads from the one to the other.
    for (line, code, text) in [
        (format!("before --vkey {old}"), 0, "verified:"),
        (
            format!("after --vkey {vkey} --since before/checkpoint"),
            0,
            "verified:",
        ),
        (
            format!("after --vkey {old}"),
            3,
            "ledger-signature-untrusted",
        ),
    ] {
        let line = format!("ledger verify {line}");
        world.say(&line).await.is(code, text);
    }
    world
        .say_as(BY, "user add pip --name Pip")
        .await
        .is(0, "first password");
}

#[tokio::test]
async fn a_key_file_that_is_gone_for_good_is_revoked_and_replaced() {
    let mut world = World::acme().await;
    let (id, old) = key(&world, 0).await;
    export(&world, "before").await;
    assert!(world.stop().await.success());
    // Whoever says so of a key that is there opens no way around the two.
    let not_lost = format!("serve --key-lost {id}");
    world.say(&not_lost).await.is(1, "key-not-lost");
    let keys = world.path("lumos-data/keys");
    std::fs::remove_file(keys.join("ledger.ed25519")).unwrap();
    std::fs::remove_file(keys.join("statements.p256")).unwrap();
    world.say("serve").await.is(1, "is missing");
    way_out(&mut world, (&id, &old), "").await;
}

#[tokio::test]
async fn a_key_that_only_signed_beside_is_revoked_and_missed_by_nobody() {
    let mut world = World::acme().await;
    let (id, _) = key(&world, 0).await;
    let (_, new) = crate::keys::rotated(&world, 30).await;
    export(&world, "before").await;
    assert!(world.stop().await.success());
    std::fs::remove_file(world.path("lumos-data/keys/ledger.ed25519")).unwrap();
    world.say("serve").await.is(1, "key-missing");
    world.start_without(&id).await;
    let revoke = format!("key revoke {id} --reason 'it is lost'");
    world
        .say_as(BY, &revoke)
        .await
        .is(0, "lumos.key.revoked.v1");
    assert!(world.stop().await.success());
    world.start(0).await;
    assert_eq!(world.vkey(), new);
    world.ledger_verifies("compliance").await;
}

/// The only successor of the first key is revoked while both sign: the first key vouches for the one after it.
#[tokio::test]
async fn who_holds_the_first_key_is_led_past_a_successor_that_was_revoked() {
    let world = World::acme().await;
    let (first, old) = key(&world, 0).await;
    let (second, _) = crate::keys::rotated(&world, 30).await;
    export(&world, "with-second").await;
    let revoke = |id: &str| format!("key revoke {id} --reason 'it was stolen'");
    world
        .say_as(BY, &revoke(&second))
        .await
        .is(0, "lumos.key.revoked.v1");
    let (third, newest) = crate::keys::rotated(&world, 30).await;
    export(&world, "both").await;
    // The first one goes too, in order: nothing of it signs any more.
    world
        .say_as(BY, &revoke(&first))
        .await
        .is(0, "lumos.key.revoked.v1");
    export(&world, "after").await;
    let follows = format!("key {third} follows key {first}");
    for line in [
        format!("ledger verify after --vkey {old}"),
        format!("ledger verify --vkey {old}"),
    ] {
        world.say_as("compliance", &line).await.is(0, &follows);
    }
    let verify = format!("ledger verify after --vkey {newest} --since with-second/checkpoint");
    world.say(&verify).await.is(0, "verified:");

    // Where no key that counts is left, nobody is led on, and whoever confirms the next one is told.
    world
        .say_as(BY, &revoke(&third))
        .await
        .is(0, "lumos.key.revoked.v1");
    world
        .say_as(BY, "key create")
        .await
        .is(0, "lumos.key.created.v1");
    let (fourth, _) = key(&world, 3).await;
    let rotate = format!("key rotate {fourth} --reason 'nothing else is left' --json");
    let proposed = world.say_as(BY, &rotate).await.json();
    let proposal = proposed["proposal"].as_str().unwrap();
    let show = format!("proposal show {proposal}");
    world
        .say_as("risk", &show)
        .await
        .is(0, "no key that counts will vouch for it");
    let confirm = format!("proposal confirm {proposal}");
    world
        .say_as("risk", &confirm)
        .await
        .is(0, "lumos.key.rotated.v1");
    export(&world, "last").await;
    let verify = format!("ledger verify last --vkey {old}");
    world.say(&verify).await.is(3, "ledger-signature-untrusted");
}
