//! Keys in a backup that only its passphrase or recipient opens, and back: by LUMOS and by age itself.

use std::path::Path;

use crate::{
    keys::{export, rotated},
    world::{World, program, run},
};

#[tokio::test]
async fn keys_come_back_from_their_backup() {
    let mut world = World::acme().await;
    rotated(&world, 30).await;
    export(&world, "before").await;
    let with = async |line: &str, input: &str| run(&mut world.lumos(line), input).await;
    let (long, other) = (
        "a long passphrase of Acme\n",
        "another passphrase of Acme\n",
    );
    with("key backup keys.age", "short\n")
        .await
        .is(1, "fewer than 16 characters");
    let four =
        "4 keys are in keys.age: ledger-2.ed25519, ledger.ed25519, server.hmac, statements.p256";
    with("key backup keys.age", long).await.is(0, four);
    with("key backup keys.age", long)
        .await
        .is(1, "is there already");
    let secret = std::fs::read_to_string(world.path("lumos-data/keys/ledger.ed25519")).unwrap();
    let sealed = std::fs::read(world.path("keys.age")).unwrap();
    assert!(!String::from_utf8_lossy(&sealed).contains(&secret));
    with("key restore keys.age", long)
        .await
        .is(1, "in use by a server");
    assert!(world.stop().await.success());

    let folder = world.path("lumos-data/keys");
    std::fs::remove_dir_all(&folder).unwrap();
    world
        .say("serve")
        .await
        .is(1, "restore it from the backup of keys");
    // That start made a key for what is looked up, which any will do for, and no other.
    drop(std::fs::remove_dir_all(&folder));
    let with = async |line: &str, input: &str| run(&mut world.lumos(line), input).await;
    with("key restore keys.age", other)
        .await
        .is(1, "backup-unreadable");
    assert!(!folder.exists());
    with("key restore keys.age", long)
        .await
        .is(0, "4 of 4 keys were missing");
    with("key restore keys.age", long)
        .await
        .is(0, "0 of 4 keys were missing");
    std::fs::write(folder.join("ledger.ed25519"), "07".repeat(32)).unwrap();
    with("key restore keys.age", long)
        .await
        .is(1, "is another key");
    std::fs::write(folder.join("ledger.ed25519"), secret).unwrap();
    for cut in [10, sealed.len() / 2, sealed.len() - 1] {
        world.write("cut.age", &sealed[..cut]);
        run(&mut world.lumos("key restore cut.age"), long)
            .await
            .is(1, "backup-unreadable");
    }
    world.start(0).await;
    world.ledger_verifies("compliance").await;
}

#[tokio::test]
async fn a_backup_is_an_age_file() {
    if !Path::new("/usr/bin/age-keygen").exists() {
        println!("skipped: no age, run `cargo xtask peers age`");
        return;
    }
    let mut world = World::acme().await;
    assert!(world.stop().await.success());
    let mut keygen = program("/usr/bin/age-keygen");
    let made = keygen.args(["-o", "identity"]).current_dir(world.path(""));
    let made = run(made, "").await.is(0, "Public key: ");
    let recipient = made
        .err
        .split("Public key: ")
        .nth(1)
        .unwrap()
        .trim()
        .to_owned();
    let backup = format!("key backup keys.age --recipient {recipient}");
    world.say(&backup).await.is(0, "3 keys");
    let mut age = program("/usr/bin/age");
    age.args(["--decrypt", "-i", "identity", "keys.age"]);
    let opened = run(age.current_dir(world.path("")), "")
        .await
        .is(0, "lumos-keys/v1");
    let secret = std::fs::read_to_string(world.path("lumos-data/keys/ledger.ed25519")).unwrap();
    assert!(opened.out.contains(secret.trim()));
    // And what age made, LUMOS reads.
    let mut age = program("/usr/bin/age");
    age.args(["--encrypt", "-r", &recipient, "-o", "other.age"]);
    run(age.current_dir(world.path("")), &opened.out)
        .await
        .is(0, "");
    std::fs::remove_file(world.path("lumos-data/keys/ledger.ed25519")).unwrap();
    world
        .say("key restore other.age --identity identity")
        .await
        .is(0, "1 of 3 keys");
    world.start(0).await;
    world.ledger_verifies("compliance").await;
}
