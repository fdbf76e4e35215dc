//! Lines below a signed note (C2SP signed-note): those of unknown keys say nothing and are not told as if they did; a wrong
//! one by a known key makes the whole note worthless.

use std::path::Path;

use lumos_ledger::{
    NoteSigner,
    note::{Note, SignatureLine},
};

use crate::{
    keys::{export, key, rotated},
    world::World,
};

const ORIGIN: &str = "lumos.acme.example/main";

fn note(path: &Path) -> Note {
    Note::parse(&std::fs::read(path).unwrap()).unwrap()
}

/// The same note, in which the signature of the key with an id is not one any more.
fn spoilt(note: &Note, id: &str) -> String {
    let spoil = |line: &SignatureLine| {
        let shown = line.to_string();
        if format!("{:08x}", line.key_id()) != id {
            return shown;
        }
        let (head, blob) = shown.rsplit_once(' ').unwrap();
        let at = blob.len() / 2;
        let other = if blob.as_bytes()[at] == b'A' {
            "B"
        } else {
            "A"
        };
        format!("{head} {}{other}{}", &blob[..at], &blob[at + 1..])
    };
    let lines: Vec<String> = note.signatures().iter().map(spoil).collect();
    format!("{}\n{}\n", note.text(), lines.join("\n"))
}

#[tokio::test]
async fn a_line_by_a_key_that_nobody_vouches_for_says_nothing() {
    let world = World::acme().await;
    let (id, vkey) = key(&world, 0).await;
    export(&world, "export").await;
    let path = world.path("export/checkpoint");
    let honest = note(&path);
    let stranger = NoteSigner::from_seed(ORIGIN, &[9; 32]).unwrap();
    let theirs = stranger.verifier_key();
    let both = honest.clone().with(stranger.sign(honest.text())).unwrap();
    let vkeys = std::fs::read_to_string(world.path("export/vkeys")).unwrap();
    let verify = format!("ledger verify export --vkey {vkey}");
    // Whether the export states the stranger's key as its own or not.
    for stated in [vkeys.clone(), format!("{vkeys}{theirs}\n")] {
        std::fs::write(&path, both.to_string()).unwrap();
        std::fs::write(world.path("export/vkeys"), stated).unwrap();
        let said = world.say(&verify).await.is(0, "verified:");
        assert!(
            !said.out.contains(&format!("{:08x}", theirs.id())),
            "{said:?}"
        );
        let told = world.say(&format!("{verify} --json")).await.json();
        assert_eq!(told["integrity"]["keys"], serde_json::json!([vkey]));
        let alone = format!("ledger verify export --vkey {theirs}");
        world.say(&alone).await.is(3, "ledger-signature-untrusted");
    }
    std::fs::write(world.path("export/vkeys"), vkeys).unwrap();
    let wrong = spoilt(&both, &format!("{:08x}", theirs.id()));
    std::fs::write(&path, wrong).unwrap();
    world.say(&verify).await.is(0, "verified:");
    std::fs::write(&path, spoilt(&both, &id)).unwrap();
    world.say(&verify).await.is(3, "ledger-signature-wrong");
}

#[tokio::test]
async fn a_wrong_line_in_a_handover_is_no_handover_that_is_missing() {
    let world = World::acme().await;
    let (first, old) = key(&world, 0).await;
    let (second, _) = rotated(&world, 30).await;
    export(&world, "both").await;
    let retire = format!("key revoke {first} --reason 'its year is over'");
    world
        .say_as("administrator", &retire)
        .await
        .is(0, "lumos.key.revoked.v1");
    export(&world, "after").await;
    let verify = format!("ledger verify after --vkey {old}");
    let follows = format!("key {second} follows key {first}");
    world.say(&verify).await.is(0, &follows);
    let path = world.path(&format!("after/handover/{first}"));
    std::fs::write(&path, spoilt(&note(&path), &first)).unwrap();
    world.say(&verify).await.is(3, "ledger-signature-wrong");
}
