//! Evidence packs as auditors meet them: made over a server and from a copy of its data, checked with the commands that
//! they print and with `lumos ledger verify`, and attacked a byte at a time.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use lumos_domain::id::Digest;
use serde_json::Value;

use crate::{
    foreign::{go, in_shell, printed},
    world::{Said, World, copy, promoted},
};

const SUMS: &str = "SHA256SUMS";
const VERIFY: &str = "ledger verify pack --vkey";

/// Acme with `triage/1.0` in production, and a denial before it.
async fn in_production() -> World {
    let world = World::acme().await;
    let gate = "gate --model triage --env production --version 0.9 --agent ward/intake";
    world.say_as("platform", gate).await.is(3, "deny");
    world.approve("1.0").await;
    let developer = world.person("developer").await;
    developer.until("triage/1.0", promoted).await;
    world
}

/// Every file of a folder, by its path in it.
pub(crate) fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(folder).unwrap().to_str().unwrap();
            found.insert(name.to_owned(), std::fs::read(&path).unwrap());
        }
    }
    found
}

fn json(folder: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("pack.json")).unwrap()).unwrap()
}

/// Writes the list of checksums anew, as a forger would.
pub(crate) fn list_anew(folder: &Path) {
    let mut files = files(folder);
    files.remove(SUMS);
    let line =
        |(path, bytes): (&String, &Vec<u8>)| format!("{}  {path}\n", Digest::of(bytes).hex());
    let text: String = files.iter().map(line).collect();
    std::fs::write(folder.join(SUMS), text).unwrap();
}

/// Request, risk, scans, card, report, votes with their reasons, and what followed.
fn tells_the_story(release: &Value) {
    assert_eq!(release["request"]["registry"], "models", "{release:#}");
    assert_eq!(release["model"]["tiers"][0]["tier"], "medium");
    let kinds: BTreeSet<&str> = release["evidence"]
        .as_array()
        .unwrap()
        .iter()
        .map(|evidence| evidence["kind"].as_str().unwrap())
        .collect();
    assert!(
        kinds.contains("artifact_scan") && kinds.contains("model_card"),
        "{kinds:?}"
    );
    let results = release["reports"][0]["results"].as_array().unwrap();
    assert!(
        results.iter().any(|result| result["result"] == "pass"),
        "the whole report is here"
    );
    let review = &release["reviews"][0];
    assert_eq!(review["state"], "approved");
    let votes = review["votes"].as_array().unwrap();
    assert!(votes.len() >= 2, "{votes:#?}");
    for vote in votes {
        assert!(
            vote["reason"]["text"].is_string() && vote["counts"] == true,
            "{vote:#}"
        );
    }
    let followed = release["followed"].to_string();
    assert!(
        followed.contains("assigned to ward/intake") && followed.contains("names version"),
        "{followed}"
    );
}

#[tokio::test]
async fn a_pack_tells_the_whole_story_of_a_release_and_every_line_of_it_is_proven() {
    let world = in_production().await;
    world
        .say_as("risk", "evidence-pack triage/1.0 --out pack")
        .await
        .is(0, "Evidence about triage/1.0");
    let folder = world.path("pack");
    let pack = json(&folder);
    tells_the_story(&pack["releases"][0]);
    let later: Vec<&str> = pack["not_kept"]
        .as_array()
        .unwrap()
        .iter()
        .map(|kept| kept["record"].as_str().unwrap())
        .collect();
    assert_eq!(later, ["tickets", "passport", "deployments", "incidents"]);
    let gaps = pack["unseen"].to_string();
    assert!(gaps.contains("not witnessed"), "{gaps}");
    assert!(
        !gaps.contains("\"observe\""),
        "nothing was only observed: {gaps}"
    );

    // Every entry on the page has its receipt, and every workpaper names it.
    let found = files(&folder);
    for line in pack["entries"].as_array().unwrap() {
        assert!(
            found.contains_key(line["receipt"].as_str().unwrap()),
            "{line:#}"
        );
    }
    let page = String::from_utf8(found["index.html"].clone()).unwrap();
    for text in ["<script", "http://", "https://", "src=", "url("] {
        assert!(!page.contains(text), "the page loads something: {text}");
    }
    let tables = found
        .iter()
        .filter(|(path, _)| path.starts_with("workpapers/"));
    for (path, bytes) in tables {
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert!(text.ends_with("\r\n"), "{path}");
        for line in text.lines().skip(1).filter(|_| !path.contains("unseen")) {
            assert!(line.contains(".tlog-proof\""), "{path}: {line}");
        }
    }
    let verify = format!("{VERIFY} {}", world.vkey());
    world.say(&verify).await.is(0, "verified: ");
    let since = format!("{verify} --since pack/checkpoint");
    world.say(&since).await.is(1, "a part of a ledger");
    // That it was made is an entry, with the digest that stands for all of it.
    let digest = Digest::of(&found[SUMS]).to_string();
    let size = pack["ledger"]["size"].as_u64().unwrap();
    let compliance = world.person("compliance").await;
    let made = compliance
        .get(&format!("/api/v1/ledger/entries/{size}"))
        .await;
    assert_eq!(made["type"], "lumos.reading.recorded.v1", "{made:#}");
    assert_eq!(made["data"]["digest"], digest.as_str(), "{made:#}");
    assert_eq!(made["data"]["about"], "release triage/1.0");
}

#[tokio::test]
async fn the_page_of_a_pack_is_served_with_what_it_leads_to_and_may_load_nothing() {
    let world = in_production().await;
    let risk = world.person("risk").await;
    let at = "/releases/triage/1.0/evidence-pack/";
    let get = async |path: &str| {
        let asked = risk.peer.get(&format!("{at}{path}"));
        asked.send().await.unwrap()
    };
    let page = get("").await;
    let policy = page.header("content-security-policy").to_owned();
    assert!(
        policy.starts_with("default-src 'none'; style-src 'unsafe-inline'"),
        "{policy}"
    );
    assert!(!policy.contains("script-src"), "{policy}");
    let text = String::from_utf8(page.body.to_vec()).unwrap();
    assert!(text.contains("Evidence about triage/1.0"), "{text}");
    // Each kind of link on the page leads to a file, as text and nothing a browser would run.
    let links: BTreeSet<&str> = text
        .split("href=\"")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap())
        .collect();
    let kinds = [
        "receipts/",
        "blobs/",
        "workpapers/",
        "pack.json",
        "VERIFY.md",
        "checkpoint",
    ];
    for kind in kinds {
        let link = links.iter().find(|link| link.starts_with(kind));
        let link = link.unwrap_or_else(|| panic!("no link to {kind}: {links:?}"));
        let file = get(link).await;
        assert_eq!(
            (file.status, file.header("content-type")),
            (200, "text/plain; charset=utf-8"),
            "{link}"
        );
        assert!(!file.body.is_empty(), "{link}");
    }
    for absent in [
        "receipts/9999.tlog-proof",
        "keys/ledger.ed25519",
        // It has the salts: with the archive only, whose making is an entry.
        "opened.json",
        "blobs/00",
    ] {
        assert_eq!(get(absent).await.status, 404, "{absent}");
    }
    let other = risk
        .peer
        .get("/releases/triage/9.9/evidence-pack/")
        .send()
        .await;
    assert_eq!(other.unwrap().status, 404);
}

#[tokio::test]
async fn whatever_is_changed_in_a_pack_is_found_even_with_new_checksums() {
    let world = in_production().await;
    world
        .say_as("risk", "evidence-pack triage/1.0 --out pack")
        .await
        .is(0, "");
    let folder = world.path("pack");
    let whole = files(&folder);
    let verify = format!("{VERIFY} {}", world.vkey());
    let mut numbers = crate::mutations::Numbers(1969);
    // One file of each kind, a byte of it, with and without a list that was made to fit.
    let kinds = ["receipts/", "blobs/", "workpapers/"];
    let mut attacked: Vec<&String> = whole.keys().filter(|path| !path.contains('/')).collect();
    for kind in kinds {
        attacked.extend(whole.keys().filter(|path| path.starts_with(kind)).take(3));
    }
    for path in attacked {
        let mut bytes = whole[path].clone();
        let at = usize::try_from(numbers.below(bytes.len() as u64)).unwrap();
        bytes[at] ^= 1 << numbers.below(7);
        std::fs::write(folder.join(path), &bytes).unwrap();
        let said = world.say(&verify).await;
        assert_eq!(said.code, Some(3), "{path} at {at}: {said:?}");
        assert!(
            said.out.contains("DOES NOT VERIFY"),
            "{path} at {at}: {said:?}"
        );
        if path != SUMS {
            list_anew(&folder);
            let said = world.say(&verify).await;
            assert_eq!(said.code, Some(3), "{path} at {at}, listed anew: {said:?}");
        }
        std::fs::write(folder.join(path), &whole[path]).unwrap();
        std::fs::write(folder.join(SUMS), &whole[SUMS]).unwrap();
    }
    // What people want to change: a verdict, a reason, a gap that is named, a row, a receipt of another log.
    let opened = String::from_utf8(whole["opened.json"].clone()).unwrap();
    let reason = opened
        .lines()
        .find(|line| line.contains("\"value\""))
        .unwrap();
    let forged = opened.replacen(reason, "    \"value\": \"seen by nobody\"", 1);
    let pack = String::from_utf8(whole["pack.json"].clone()).unwrap();
    for (path, text) in [
        ("opened.json", forged),
        ("pack.json", pack.replace("not witnessed", "all is well")),
        ("extra.txt", "what nobody wrote".to_owned()),
    ] {
        std::fs::write(folder.join(path), text).unwrap();
        list_anew(&folder);
        world.say(&verify).await.is(3, path);
        match whole.get(path) {
            Some(bytes) => std::fs::write(folder.join(path), bytes).unwrap(),
            None => std::fs::remove_file(folder.join(path)).unwrap(),
        }
    }
    let receipt = whole
        .keys()
        .find(|path| path.starts_with("receipts/"))
        .unwrap();
    std::fs::remove_file(folder.join(receipt)).unwrap();
    list_anew(&folder);
    world.say(&verify).await.is(3, "DOES NOT VERIFY");
    std::fs::write(folder.join(receipt), &whole[receipt]).unwrap();
    std::fs::write(folder.join(SUMS), &whole[SUMS]).unwrap();
    world.say(&verify).await.is(0, "verified: ");
    let other = "ledger.acme.example+d0fff42c+AS7QEvJfsFrwFtjf1rmNOKDoS8L7tSIMHN5XIR/Ruyb8";
    let other = world.say(&format!("{VERIFY} {other}")).await;
    assert_ne!(other.code, Some(0), "a key of somebody else: {other:?}");
}

#[tokio::test]
async fn the_same_ledger_gives_the_same_bytes_offline() {
    let mut world = in_production().await;
    let period = "evidence-pack --from 2020-01-01 --to 2100-01-01 --env production --sample 1";
    let vkey = world.vkey().to_owned();
    assert!(world.stop().await.success());
    std::fs::create_dir(world.path("month")).unwrap();
    copy(&world.path("lumos-data"), &world.path("month/lumos-data"));
    copy(
        &world.path("lumos-data.anchor"),
        &world.path("month/lumos-data.anchor"),
    );
    let offline = format!("--data month/lumos-data --vkey {vkey}");
    for (what, out) in [("evidence-pack triage/1.0", "release"), (period, "period")] {
        for n in 0..2 {
            world
                .say(&format!("{what} --out {out}-{n} {offline}"))
                .await
                .is(0, "no ledger records");
        }
        let (one, other) = (format!("{out}-0"), format!("{out}-1"));
        assert_eq!(
            files(&world.path(&one)),
            files(&world.path(&other)),
            "{out}"
        );
        world
            .say(&format!("ledger verify {one} --vkey {vkey}"))
            .await
            .is(0, "verified: ");
    }
    let pack = json(&world.path("period-0"));
    let period = &pack["period"];
    assert!(period["population"].as_u64().unwrap() >= 1, "{period:#}");
    assert_eq!(
        (&period["unmatched"], &period["drawn"]),
        (&0.into(), &1.into()),
        "{period:#}"
    );
    assert_eq!(period["seed"], pack["ledger"]["root"]);
    let change = &period["changes"][0];
    let draw = format!(
        "{}/{}/{}",
        period["seed"].as_str().unwrap(),
        change["entry"],
        change["release"].as_str().unwrap()
    );
    assert_eq!(change["draw"], Digest::of(draw.as_bytes()).hex());
}

/// Runs, in one shell and as printed, what the pack in `folder` prints.
async fn as_printed(world: &World, folder: &str, vkey: &str) -> Said {
    let guide = std::fs::read_to_string(world.path(folder).join("VERIFY.md")).unwrap();
    let blocks = printed(&guide);
    assert_eq!(blocks.len(), 6, "{blocks:#?}");
    let script = blocks
        .join("\n")
        .replace("'<name>+<id>+<key>'", &format!("'{vkey}'"));
    in_shell(world, folder, &script).await
}

#[tokio::test]
async fn real_go_openssl_and_sha256sum_verify_a_pack_as_it_says() {
    if !go() {
        return;
    }
    let world = in_production().await;
    world
        .say_as("risk", "evidence-pack triage/1.0 --out pack")
        .await
        .is(0, "");
    let vkey = world.vkey().to_owned();
    let said = as_printed(&world, "pack", &vkey).await.is(0, "");
    for line in [
        "Every file is as listed.",
        "No file is unlisted.",
        "Signature Verified Successfully",
        "It is the log of this key.",
        "verified entry ",
        "The first text is the one that was committed to.",
        "Every blob is named by its digest.",
    ] {
        assert!(said.out.contains(line), "{line}: {said:?}");
    }
    // A receipt with another entry in it, and checksums that fit: Go says no.
    let receipts = world.path("pack/receipts");
    let first = std::fs::read_dir(receipts)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let text = std::fs::read_to_string(&first).unwrap();
    let line = text
        .lines()
        .find(|line| line.starts_with("extra "))
        .unwrap();
    let mut forged = line.to_owned().into_bytes();
    let at = forged.len() / 2;
    forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
    let forged = String::from_utf8(forged).unwrap();
    std::fs::write(&first, text.replace(line, &forged)).unwrap();
    list_anew(&world.path("pack"));
    let said = as_printed(&world, "pack", &vkey).await;
    assert_ne!(said.code, Some(0), "{said:?}");
}

#[tokio::test]
async fn a_period_names_what_is_wrong_first_and_what_was_only_observed() {
    let world = in_production().await;
    let observe = "system mode * observe --env production --days 3 --reason 'a look'";
    world
        .check_as(&[("administrator & risk", observe, 0, "mode.set")])
        .await;
    world
        .say_as("risk", "evidence-pack --env production --out quarter")
        .await
        .is(0, "0 with a check that does not hold");
    let pack = json(&world.path("quarter"));
    let gaps = pack["unseen"].as_array().unwrap();
    let observed = gaps.iter().find(|gap| gap["gap"] == "observe").unwrap();
    assert!(
        observed["what"].as_str().unwrap().contains("not applied"),
        "{observed:#}"
    );
    let tables: Vec<&str> = pack["period"]["tables"]
        .as_array()
        .unwrap()
        .iter()
        .map(|table| table["name"].as_str().unwrap())
        .collect();
    assert!(
        tables.starts_with(&["who", "refused", "bypass"]),
        "{tables:?}"
    );
    let refused = std::fs::read_to_string(world.path("quarter/workpapers/refused.csv")).unwrap();
    assert!(refused.contains("asked for triage 0.9"), "{refused}");
    let verify = format!("ledger verify quarter --vkey {}", world.vkey());
    world.say(&verify).await.is(0, "verified: ");
    world
        .check_as(&[
            (
                "risk",
                "evidence-pack triage/9.9 --out none",
                1,
                "no release `triage/9.9`",
            ),
            ("risk", "evidence-pack --out quarter", 1, "is not empty"),
            (
                "risk",
                "evidence-pack --sample 1001 --out none",
                1,
                "at most 1000",
            ),
            (
                "risk",
                "evidence-pack --from 2026-02-01 --to 2026-01-01 --out none",
                1,
                "ends before it begins",
            ),
        ])
        .await;
}
