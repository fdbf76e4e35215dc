//! Somebody who left is erased: from pages, the interface, exports and every file, and every proof still holds.

use std::{fs, path::Path, time::Duration};

use lumos_http::Method;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::world::{PATIENCE, Person, World};

/// One proposes, the other confirms.
const BOTH: &str = "administrator & risk";

/// What nobody may find afterwards: their name, and their own words.
const THEIRS: [&str; 2] = ["Quondamic", "an unmistakable reason"];

/// How many files below a folder hold a text.
fn files_with(folder: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, text));
        } else if memchr(&fs::read(&path).unwrap_or_default(), text.as_bytes()) {
            found.push(path.display().to_string());
        }
    }
    found
}

fn memchr(bytes: &[u8], text: &[u8]) -> bool {
    let begins = |at: &usize| bytes[*at..].starts_with(text);
    let first = |(at, byte): (usize, &u8)| (*byte == text[0]).then_some(at);
    bytes
        .iter()
        .enumerate()
        .filter_map(first)
        .any(|at| begins(&at))
}

/// A tester joins, rejects version 1.0 and draws a token; their id.
async fn tester_works(world: &World) -> String {
    let add = "user add tester --name 'Acme Quondamic Tester' --json";
    let added = world.say_as("administrator", add).await.json();
    let id = added["person"].as_str().unwrap().to_owned();
    world
        .check_as(&[(BOTH, "role grant tester domain-expert", 0, "role.granted")])
        .await;
    let sign_in = async |password: &str| -> Person {
        let body = json!({ "login": "tester", "password": password });
        let nobody = world.with("");
        let session = nobody.ask(Method::POST, "/api/v1/sessions", &body).await;
        world.with(session.is(200)["credential"].as_str().unwrap())
    };
    let first = sign_in(added["password"].as_str().unwrap()).await;
    let own = "a password that tester chose";
    let path = format!("/api/v1/people/{id}/password");
    let body = json!({ "current": added["password"], "password": own });
    first.ask(Method::PUT, &path, &body).await.is(200);
    let tester = sign_in(own).await;
    let path = format!("/api/v1/people/{id}/tokens");
    let token = json!({ "purpose": "Quondamic's laptop", "rights": ["read"], "days": 9 });
    tester.ask(Method::POST, &path, &token).await.is(200);
    let view = tester.get("/api/v1/releases/triage/1.0").await;
    let review = &view["reviews"][0];
    let path = format!(
        "/api/v1/reviews/{}/signatures",
        review["review"].as_str().unwrap()
    );
    let sign = json!({
        "verdict": "reject", "reason": THEIRS[1], "record": review["record_hash"],
    });
    tester.ask(Method::POST, &path, &sign).await.is(200);
    id
}

async fn until_erased(world: &World, id: &str) -> Value {
    let administrator = world.person("administrator").await;
    let path = format!("/api/v1/people/{id}/erasure");
    let mut seen = Value::Null;
    let look = async {
        loop {
            seen = administrator.get(&path).await;
            if seen["state"] == "erased" {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    let waited = timeout(PATIENCE, look).await;
    assert!(waited.is_ok(), "{seen:#}");
    seen
}

/// She leaves; the periods of what she did are made short, a hold is set, and her erasure waits for it.
async fn tester_leaves(world: &World) {
    let short = |class: &str| format!("retention set {class} 0 --reason 'this is a test'");
    for class in ["decision", "account", "governance"] {
        let set = short(class);
        world.say_as(BOTH, &set).await.is(0, "retention.set");
    }
    let by = "administrator";
    world
        .check_as(&[
            (by, "erase tester --reason 'too early'", 3, "still-active"),
            (
                by,
                "user suspend tester --reason 'tester left'",
                0,
                "suspended",
            ),
            ("developer", "erase tester", 3, "not-allowed"),
            (by, "erase tester", 0, "state: none"),
            (by, "retention show", 0, "days: 3653"),
            (
                "risk",
                "retention set log 4000 --reason 'alone'",
                0,
                "retention.set",
            ),
            (
                "risk",
                "hold set person/tester --reason 'a lawsuit'",
                0,
                "hold.set",
            ),
            (
                "risk",
                "hold set model/triaje --reason 'a lawsuit'",
                1,
                "unknown-thing",
            ),
            (
                BOTH,
                "erase tester --reason 'her letter'",
                0,
                "erasure.requested",
            ),
            (by, "erase tester", 0, "state: waiting"),
        ])
        .await;
}

/// Two lift the hold and ask again.
async fn the_hold_is_lifted(world: &World) {
    let by = "administrator";
    let holds = world.say_as(by, "hold list --json").await.json();
    let hold = holds[0]["hold"].as_str().unwrap();
    assert_eq!(holds[0]["reason"], "a lawsuit");
    let waiting = world.say_as(by, "erase tester --json").await.json();
    assert_eq!(waiting["kept"][0]["hold"], *hold, "{waiting:#}");
    let lift = format!("hold lift {hold} --reason settled");
    world
        .check_as(&[
            ("risk & administrator", &lift, 0, "lumos.hold.lifted.v1"),
            (by, "hold list", 0, "(none)"),
            (
                BOTH,
                "erase tester --reason 'asked again'",
                0,
                "erasure.requested",
            ),
        ])
        .await;
}

#[tokio::test]
async fn who_left_is_erased_when_nothing_keeps_their_name_and_no_proof_breaks() {
    let mut world = World::acme().await;
    world.reviewed("1.0").await;
    let id = tester_works(&world).await;
    let data = world.path("lumos-data");
    world.say("backup before").await.is(0, "entries");
    for text in THEIRS {
        assert!(!files_with(&data, text).is_empty(), "{text}");
        assert!(
            !files_with(&world.path("before"), text).is_empty(),
            "{text}"
        );
    }
    tester_leaves(&world).await;
    the_hold_is_lifted(&world).await;
    let erased = until_erased(&world, &id).await;
    assert!(erased["values"].as_u64().unwrap() >= 8, "{erased:#}");
    is_gone(&world, &id).await;

    // The tables are made anew with another key: from what is left.
    assert!(world.stop().await.success());
    fs::remove_file(data.join("keys/server.hmac")).unwrap();
    world.start(0).await;
    is_gone(&world, &id).await;
    let again = format!("erase {id} --reason again");
    let rows = [("administrator", again.as_str(), 3, "erased-person")];
    world.check_as(&rows).await;
    let verify = format!("ledger verify lumos-data --vkey {}", world.vkey());
    assert!(world.stop().await.success());
    world.say("backup after").await.is(0, "entries");
    for text in THEIRS {
        assert_eq!(files_with(&data, text), [] as [&str; 0], "{text}");
        assert_eq!(
            files_with(&world.path("after"), text),
            [] as [&str; 0],
            "{text}"
        );
    }
    // Every record still has its entry, and every entry its record.
    world.say(&verify).await.is(0, "complete");
}

/// Their name and words are nowhere, their signature still is, and everything verifies.
async fn is_gone(world: &World, id: &str) {
    for text in THEIRS {
        // The log is cut behind the commit that is seen, and waits for whoever reads just then.
        let gone = async {
            while !files_with(&world.path("lumos-data"), text).is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let gone = timeout(PATIENCE, gone).await;
        assert!(gone.is_ok(), "{text}");
    }
    let expert = world.person("expert").await;
    let release = expert.get("/api/v1/releases/triage/1.0").await;
    let people = expert.get("/api/v1/people").await;
    let of = |person: &&Value| person["person"] == *id;
    let her = people.as_array().unwrap().iter().find(of).unwrap();
    assert_eq!(
        (&her["name"], &her["login"]),
        (&json!("(erased)"), &json!("(erased)"))
    );
    let review = release["reviews"][0]["review"].as_str().unwrap();
    for path in [
        "/api/v1/releases/triage/1.0".to_owned(),
        format!("/api/v1/reviews/{review}"),
        "/api/v1/people".to_owned(),
    ] {
        let seen = expert.get(&path).await.to_string();
        assert!(
            !THEIRS.iter().any(|text| seen.contains(text)),
            "{path}: {seen}"
        );
    }
    let body = json!({ "login": "tester", "password": "a password that tester chose" });
    let nobody = world.with("");
    let session = nobody.ask(Method::POST, "/api/v1/sessions", &body).await;
    assert_eq!(session.status, 401);
    world.ledger_verifies("expert").await;
    let export = world.path("export");
    let line = format!("ledger export {}", export.display());
    world.say_as("expert", &line).await.is(0, "exported");
    assert_eq!(files_with(&export, "Quondamic"), [] as [&str; 0]);
    fs::remove_dir_all(export).unwrap();
    // Nor in an evidence pack, which says that something is missing.
    let pack = world.path("pack");
    let line = format!("evidence-pack triage/1.0 --out {}", pack.display());
    world.say_as("expert", &line).await.is(0, "Evidence about");
    for text in THEIRS {
        assert_eq!(files_with(&pack, text), [] as [&str; 0]);
    }
    assert!(!files_with(&pack, "names and texts were erased").is_empty());
    fs::remove_dir_all(pack).unwrap();
}

/// What can be found of what others wrote, and how: by the whole name or login, in any case.
#[tokio::test]
async fn free_text_of_others_is_found_by_name_and_left() {
    let world = World::acme().await;
    world.reviewed("1.0").await;
    let add = "user add tester --name 'Acme Quondamic Tester'";
    world
        .check_as(&[
            ("administrator", add, 0, "first password"),
            (
                "risk",
                "hold set model/triage --reason 'ACME QUONDAMIC TESTER against Acme'",
                0,
                "hold.set",
            ),
            (
                "risk",
                "hold set model/triage --reason 'the undulating testers'",
                0,
                "hold.set",
            ),
            (
                "administrator",
                "user suspend tester --reason 'tester left'",
                0,
                "suspended",
            ),
        ])
        .await;
    let found = world
        .say_as("administrator", "erase tester --texts --json")
        .await
        .json();
    let found = found["named_in"].as_array().unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    let path = format!("/api/v1/ledger/entries/{}", found[0]);
    let entry = world.person("expert").await.get(&path).await;
    assert!(entry.to_string().contains("lumos.hold.set.v1"), "{entry:#}");
}
