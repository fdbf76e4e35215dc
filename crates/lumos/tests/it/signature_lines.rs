//! Lines below a signed note (C2SP signed-note): those of unknown keys say nothing and are not told as if they did; a wrong
//! one by a known key makes the whole note worthless.

use std::{collections::BTreeMap, path::Path};

use lumos_ledger::{
    NoteSigner,
    note::{Note, SignatureLine},
};

use crate::{
    evidence_pack::{files, list_anew},
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

/// The same in an evidence pack, whose checkpoint stands in each receipt too: what a forger would have to change as well is
/// changed with it.
#[tokio::test]
async fn in_a_pack_too_a_line_of_a_stranger_says_nothing_and_a_wrong_one_by_a_known_key_ends_it() {
    let world = World::acme().await;
    world.approve("1.0").await;
    let (id, vkey) = key(&world, 0).await;
    world
        .say_as("risk", "evidence-pack triage/1.0 --out pack")
        .await
        .is(0, "Evidence");
    let pack = world.path("pack");
    let whole = files(&pack);
    let honest = note(&pack.join("checkpoint"));
    let stranger = NoteSigner::from_seed(ORIGIN, &[9; 32]).unwrap();
    let theirs = format!("{:08x}", stranger.verifier_key().id());
    let both = honest.clone().with(stranger.sign(honest.text())).unwrap();
    let verify = format!("ledger verify pack --vkey {vkey}");
    for (written, code, said) in [
        (both.to_string(), 0, "verified:"),
        (spoilt(&both, &theirs), 0, "verified:"),
        (spoilt(&both, &id), 3, "main` is wrong"),
        (spoilt(&honest, &id), 3, "main` is wrong"),
    ] {
        with_note(&pack, &whole, &honest.to_string(), &written);
        let told = world.say(&verify).await;
        assert_eq!(told.code, Some(code), "{written}: {told:?}");
        assert!(told.out.contains(said), "{written}: {told:?}");
        assert!(!told.out.contains(&theirs), "{told:?}");
    }
    // In one receipt alone.
    for spoil in [&id, &theirs] {
        with_note(&pack, &whole, "", "");
        let receipt = whole.keys().find(|path| path.starts_with("receipts/"));
        let receipt = receipt.unwrap();
        let text = String::from_utf8(whole[receipt].clone()).unwrap();
        let text = text.replace(&honest.to_string(), &spoilt(&both, spoil));
        std::fs::write(pack.join(receipt), text).unwrap();
        list_anew(&pack);
        world.say(&verify).await.is(3, receipt);
    }
}

/// Writes a pack anew with another note in the place of its own, and checksums that fit.
fn with_note(pack: &Path, whole: &BTreeMap<String, Vec<u8>>, honest: &str, written: &str) {
    for (path, bytes) in whole {
        let text = std::str::from_utf8(bytes)
            .ok()
            .filter(|_| !honest.is_empty());
        let bytes = text.map_or_else(
            || bytes.clone(),
            |text| text.replace(honest, written).into_bytes(),
        );
        std::fs::write(pack.join(path), bytes).unwrap();
    }
    list_anew(pack);
}
