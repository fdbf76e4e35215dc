//! What an auditor is told of a ledger: integrity, completeness and what is anchored, each apart; and receipts, which
//! need nothing but a key.

use lumos_engine::ports::{Statement, Store as _, Value};
use lumos_ledger::{Frontier, cosignature::Cosigner, note::Note, tree::leaf_hash};
use lumos_store::SqliteStore;
use serde_json::Value as Json;

use crate::world::{World, promoted};

/// Acme with `triage/1.0` in production.
async fn approved() -> World {
    let world = World::acme().await;
    world.approve("1.0").await;
    let developer = world.person("developer").await;
    developer.until("triage/1.0", promoted).await;
    world
}

/// The indexes of the entries of this type.
async fn entries(world: &World, kind: &str) -> Vec<u64> {
    let show = "ledger show --limit 1000 --json";
    let all = world.say_as("compliance", show).await.is(0, "").json();
    let of_kind = all.as_array().unwrap().iter().filter(|e| e["type"] == kind);
    of_kind.map(|e| e["index"].as_u64().unwrap()).collect()
}

fn open(world: &World, folder: &str) -> SqliteStore {
    let schema = [lumos_engine::schema(), lumos_web::schema()].concat();
    SqliteStore::open(&world.path(folder), &schema).unwrap()
}

/// Changes the database of a server that is stopped.
async fn change(world: &World, sql: &'static str, params: Vec<Value>) {
    let store = open(world, "lumos-data");
    let changed = store
        .execute(vec![Statement { sql, params }])
        .await
        .unwrap();
    assert_eq!(changed, [1], "{sql}");
}

fn answers(said: &Json) -> [&Json; 3] {
    ["integrity", "completeness", "anchored"].map(|question| &said[question]["yes"])
}

/// Changes one letter of the first entry, and everything in the database that depends on it.
async fn forge(world: &World, folder: &str) {
    let store = open(world, folder);
    let mut entries = store.entries(0, 10_000).await.unwrap();
    let first = &mut entries[0].bytes;
    let at = first.windows(5).position(|w| w == b"\"time").unwrap();
    first[at + 9] ^= 1;
    let mut frontier = Frontier::new();
    for entry in &entries {
        frontier.append(leaf_hash(&entry.bytes));
    }
    let leaf = leaf_hash(&entries[0].bytes).as_bytes().to_vec();
    let update = |sql, params| Statement { sql, params };
    let changes = vec![
        update(
            "UPDATE entries SET bytes = $1, leaf = $2 WHERE idx = 0",
            vec![Value::Bytes(entries[0].bytes.clone()), Value::Bytes(leaf)],
        ),
        update(
            "UPDATE head SET frontier = $1",
            vec![Value::Bytes(frontier.to_bytes())],
        ),
    ];
    assert_eq!(store.execute(changes).await.unwrap(), [1, 1]);
}

/// Copies the database of one folder into another.
fn copy(world: &World, from: &str, into: &str) {
    for file in ["lumos.db", "lumos.db-wal"] {
        if let Ok(bytes) = std::fs::read(world.path(from).join(file)) {
            world.write(&format!("{into}/{file}"), bytes);
        }
    }
}

const YES: Json = Json::Bool(true);
const NO: Json = Json::Bool(false);
const UNKNOWN: Json = Json::Null;

/// Receipts of what let `triage/1.0` run: the type, the index and the file of each.
async fn receipts(world: &World) -> Vec<(&'static str, u64, String)> {
    let mut receipts = Vec::new();
    for kind in [
        "lumos.release.approved.v1",
        "lumos.assignment.set.v1",
        "lumos.promotion.observed.v1",
    ] {
        let index = *entries(world, kind).await.last().unwrap();
        world
            .person("compliance")
            .await
            .until_published(index)
            .await;
        let file = format!("{index}.tlog-proof");
        let proof = format!("ledger proof {index} --out {file}");
        world.say_as("compliance", &proof).await.is(0, "");
        receipts.push((kind, index, file));
    }
    receipts
}

#[tokio::test]
async fn a_receipt_of_each_decision_is_all_one_needs_beside_the_key() {
    let mut world = approved().await;
    let vkey = world.vkey().to_owned();
    let receipts = receipts(&world).await;
    // The log grows, and the server ends: nothing of it is needed.
    world.register("letters").await;
    world
        .say_as("compliance", "ledger export export")
        .await
        .is(0, "exported");
    assert!(world.stop().await.success());
    world.write("trust-policy", format!("log {vkey}\nquorum none\n"));
    for (kind, index, file) in &receipts {
        let verify = format!("ledger verify {file}");
        let expected = format!("this is entry {index} of the ledger");
        let said = world.say(&format!("{verify} --vkey {vkey}")).await;
        assert!(said.is(0, &expected).out.contains(kind));
        let said = world
            .say(&format!("{verify} --policy trust-policy --json"))
            .await;
        assert_eq!(said.is(0, "").json()["entry"]["type"], *kind);
        // The newer log goes on from where the receipt ends.
        let since = format!("ledger verify export --vkey {vkey} --since {file}");
        world
            .say(&since)
            .await
            .is(0, "continues the older checkpoint");
    }
}

#[tokio::test]
async fn a_receipt_that_was_changed_is_refused_with_its_line() {
    let world = approved().await;
    let vkey = world.vkey().to_owned();
    let receipts = receipts(&world).await;
    let (_, index, file) = &receipts[0];
    let good = std::fs::read_to_string(world.path(file)).unwrap();
    let other = std::fs::read_to_string(world.path(&receipts[1].2)).unwrap();
    let stranger = lumos_ledger::NoteSigner::from_seed("ledger.acme.example", &[9; 32]).unwrap();
    let stranger = stranger.verifier_key().to_string();
    let extra = |text: &str| text.lines().nth(1).unwrap().to_owned();
    let refuse = async |text: String, key: &str, code: &str, line: &str| {
        world.write("bad.tlog-proof", text);
        let said = world
            .say(&format!("ledger verify bad.tlog-proof --vkey {key}"))
            .await;
        let said = said.is(3, "DOES NOT VERIFY");
        assert!(
            said.out.contains(code) && said.out.contains(line),
            "{said:?}"
        );
    };
    let bare = good.replace(&format!("{}\n", extra(&good)), "");
    let wrong_entry = good.replace(&extra(&good), &extra(&other));
    let moved = good.replace(&format!("index {index}\n"), "index 1\n");
    let (early, late) = (good[..60].to_owned(), good[..good.len() - 9].to_owned());
    let unsigned = "the checkpoint from line";
    for (text, key, code, line) in [
        (wrong_entry, &vkey, "ledger-proof-wrong", "line 3"),
        (moved, &vkey, "ledger-proof-", "line 3"),
        (
            good.clone(),
            &stranger,
            "ledger-signature-untrusted",
            unsigned,
        ),
        (early, &vkey, "ledger-receipt-malformed", "line 2"),
        (late, &vkey, "ledger-note-malformed", unsigned),
        (
            bare.clone(),
            &vkey,
            "ledger-receipt-malformed",
            "holds no entry",
        ),
    ] {
        refuse(text, key, code, line).await;
    }
    world.write("bare.tlog-proof", bare);
    world.write("entry", base64_of(&extra(&good)["extra ".len()..]));
    let brought = format!("ledger verify bare.tlog-proof --entry entry --vkey {vkey}");
    world.say(&brought).await.is(0, "this is entry");
}

fn base64_of(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD
        .decode(text)
        .unwrap()
}

#[tokio::test]
async fn integrity_completeness_and_what_is_anchored_are_said_apart() {
    let mut world = approved().await;
    let vkey = world.vkey().to_owned();
    let by_key = format!("--vkey {vkey}");
    world
        .say_as("compliance", "ledger export export")
        .await
        .is(0, "exported");
    let verify = format!("ledger verify export {by_key}");
    let said = world.say(&verify).await.is(0, "integrity: yes");
    assert!(said.out.contains("completeness: yes") && said.out.contains("anchored: not known"));
    let said = world.say(&format!("{verify} --json")).await.json();
    assert_eq!(answers(&said), [&YES, &YES, &UNKNOWN]);

    // The live server, read as a stranger reads it, with its business records.
    let live = format!("ledger verify {by_key} --json");
    let said = world.say_as("compliance", &live).await.is(0, "").json();
    assert_eq!(answers(&said), [&YES, &YES, &UNKNOWN], "{said:#}");
    let kinds = &said["completeness"]["records"]["kinds"];
    for kind in ["releases", "reviews", "assignments", "systems", "models"] {
        assert!(kinds[kind].as_u64().unwrap() > 0, "{kind} in {kinds}");
    }

    // Which prefix a witness covers.
    let witness = Cosigner::from_seed("witness.auditor.example", &[5; 32]).unwrap();
    world.write(
        "trust-policy",
        format!(
            "log {vkey}\nwitness auditor {}\nquorum auditor\n",
            witness.verifier_key()
        ),
    );
    let under = "ledger verify export --policy trust-policy";
    world.say(under).await.is(3, "ledger-no-quorum");
    let note = std::fs::read(world.path("export/checkpoint")).unwrap();
    let note = Note::parse(&note).unwrap();
    let line = witness.sign(note.text(), 1_772_442_000);
    world.write("cosigned", note.with(line).unwrap().to_string());
    let since = format!("{under} --since cosigned");
    world.say(&since).await.is(0, "are covered by the quorum");
    world.register("letters").await;
    let grown = "ledger verify --policy trust-policy --since cosigned";
    let said = world.say_as("compliance", grown).await;
    let said = said.is(0, "only the log's own key vouches for them");
    assert!(said.out.contains("2026-03-02T09:00:00Z"), "{said:?}");

    // The data directory, once no server runs on it; and what is changed in it.
    let data = format!("ledger verify --data lumos-data {by_key} --json");
    world.say(&data).await.is(1, "is in use by a server");
    assert!(world.stop().await.success());
    let said = world.say(&data).await.is(0, "").json();
    assert_eq!(answers(&said), [&YES, &YES, &UNKNOWN], "{said:#}");
    assert_eq!(
        said["completeness"]["records"]["left_out"],
        serde_json::json!([])
    );
    assert_eq!(said["completeness"]["records"]["kinds"]["approvals"], 1);
}

#[tokio::test]
async fn a_record_without_its_entry_and_an_entry_without_its_record_are_named() {
    let mut world = approved().await;
    let verify = format!(
        "ledger verify --data lumos-data --vkey {} --json",
        world.vkey()
    );
    assert!(world.stop().await.success());
    let rows: [(&'static str, &'static str, &str, &str, &str); 4] = [
        (
            "UPDATE approvals SET expires_us = expires_us + 1",
            "UPDATE approvals SET expires_us = expires_us - 1",
            "approvals",
            "triage/1.0/production/1",
            "differs",
        ),
        (
            "INSERT INTO releases (model, version, state, test, detected_us, entry) VALUES ('triage', '6.6', 'approved', 0, 0, 1)",
            "DELETE FROM releases WHERE version = '6.6'",
            "releases",
            "triage 6.6",
            "no-entry",
        ),
        (
            "UPDATE assignments SET assignment = 'ward/other/production'",
            "UPDATE assignments SET assignment = 'ward/intake/production'",
            "assignments",
            "ward/intake/production",
            "no-record",
        ),
        (
            "UPDATE people SET suspended = 1 - suspended WHERE person = (SELECT min(person) FROM people)",
            "UPDATE people SET suspended = 1 - suspended WHERE person = (SELECT min(person) FROM people)",
            "people",
            "",
            "differs",
        ),
    ];
    for (sql, undo, kind, record, how) in rows {
        change(&world, sql, Vec::new()).await;
        let said = world.say(&verify).await.is(3, "").json();
        assert_eq!(answers(&said), [&YES, &NO, &UNKNOWN], "{said:#}");
        let found = said["completeness"]["records"]["differences"]
            .as_array()
            .unwrap();
        let named = |d: &&Json| {
            d["kind"] == kind && d["how"] == how && d["record"].as_str().unwrap().contains(record)
        };
        assert!(found.iter().any(|d| named(&d)), "{kind} {how}: {said:#}");
        change(&world, undo, Vec::new()).await;
    }
    world.say(&verify).await.is(0, "");
}

#[tokio::test]
async fn a_copy_of_last_months_database_is_held_against_todays_log() {
    let mut world = approved().await;
    let vkey = world.vkey().to_owned();
    assert!(world.stop().await.success());
    copy(&world, "lumos-data", "last-month");
    world.start(0).await;
    world.register("letters").await;
    world
        .say_as("compliance", "ledger export export")
        .await
        .is(0, "");
    let export = format!("ledger verify export --vkey {vkey} --since last-month");
    let file = format!("ledger verify export --vkey {vkey} --since last-month/lumos.db");
    let live = format!("ledger verify --vkey {vkey} --since last-month");
    for line in [&export, &file] {
        let said = world.say(&format!("{line} --json")).await.is(0, "").json();
        let covered = said["anchored"]["continues"][0].as_u64().unwrap();
        assert!(
            covered > 20 && covered < said["size"].as_u64().unwrap(),
            "{said:#}"
        );
    }
    world
        .say_as("compliance", &live)
        .await
        .is(0, "anchored: yes");

    // A copy in which one letter of one entry is another is no earlier state of this log.
    world.stop().await;
    copy(&world, "last-month", "forged");
    forge(&world, "forged").await;
    let forged = format!("ledger verify export --vkey {vkey} --since forged --json");
    let said = world
        .say(&forged)
        .await
        .is(3, "ledger-history-differs")
        .json();
    assert_eq!(answers(&said), [&YES, &UNKNOWN, &NO], "{said:#}");
}

#[tokio::test]
async fn a_server_that_shows_other_records_than_its_entries_make_is_found_out() {
    let mut world = approved().await;
    assert!(world.stop().await.success());
    for sql in [
        "UPDATE releases SET state = 'withdrawn' WHERE version = '1.0'",
        "INSERT INTO assignments (assignment, releases) VALUES ('ward/discharge/production', '[]')",
        "UPDATE systems SET stopped = 1 - stopped",
    ] {
        change(&world, sql, Vec::new()).await;
    }
    world.start(0).await;
    let verify = format!("ledger verify --vkey {} --json", world.vkey());
    let said = world.say_as("compliance", &verify).await.is(3, "").json();
    assert_eq!(answers(&said), [&YES, &NO, &UNKNOWN], "{said:#}");
    let found = said["completeness"]["records"]["differences"].as_array();
    let found: Vec<&str> = found
        .unwrap()
        .iter()
        .map(|difference| difference["record"].as_str().unwrap())
        .collect();
    for record in ["triage/1.0", "ward/discharge/production"] {
        assert!(found.contains(&record), "{record} is not in {found:?}");
    }
}
