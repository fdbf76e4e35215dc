//! Backups: taken while the server runs, restored to the same history, found out when they are old; and the move from
//! SQLite to PostgreSQL, which changes no proof.

use std::{fs, os::unix::fs::PermissionsExt as _};

use lumos_http::Method;
use serde_json::Value;

use crate::{
    cluster::Cluster,
    world::{World, folder, promoted, until},
};

/// A server that decided about a release.
async fn approved() -> World {
    let world = World::acme().await;
    world.approve("1.0").await;
    let developer = world.person("developer").await;
    developer.until("triage/1.0", promoted).await;
    world
}

/// The disk of the server burns: everything is lost but what `keep` names.
fn lose(world: &World, keep: &[&str]) {
    let (data, kept) = (world.path("lumos-data"), world.path("kept"));
    fs::create_dir_all(&kept).unwrap();
    for name in keep {
        fs::rename(data.join(name), kept.join(name)).unwrap();
    }
    fs::remove_dir_all(&data).unwrap();
    fs::create_dir(&data).unwrap();
    for name in keep {
        fs::rename(kept.join(name), data.join(name)).unwrap();
    }
}

#[tokio::test]
async fn a_backup_of_a_running_server_is_the_ledger_again() {
    let mut world = approved().await;
    let history = world.history("triage/1.0").await;
    let before = world.person("developer").await;
    let said = world.say("backup copy --json").await.is(0, "root").json();
    let size = said["size"].as_u64().unwrap();
    assert!(
        size > 20 && said["blobs"]["count"].as_u64().unwrap() > 2,
        "{said:#}"
    );
    assert!(said["blobs"]["damaged"].as_array().unwrap().is_empty());
    let vkey = world.vkey().to_owned();
    world
        .check(&[
            ("backup copy", 1, "exists already"),
            (
                &format!("ledger verify copy --vkey {vkey}"),
                0,
                "integrity: yes",
            ),
            ("restore copy", 1, "data-dir-in-use"),
        ])
        .await;
    // An auditor holds the running server against it.
    let since = format!("ledger verify --since copy --vkey {vkey}");
    world
        .say_as("compliance", &since)
        .await
        .is(0, "integrity: yes");
    assert!(
        !world.path("copy/keys").exists(),
        "whoever has the backup cannot sign"
    );
    let mode = fs::metadata(world.path("copy"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);

    // Something happened since, and was signed for.
    world.register("letters").await;
    assert!(world.stop().await.success());
    world
        .say("restore copy")
        .await
        .is(1, "ledger-there-already");
    lose(&world, &["keys"]);
    world.say("restore copy").await.is(1, "behind-anchor");
    // Without its anchor it is as old as whoever restores it admits.
    fs::rename(world.path("lumos-data.anchor"), world.path("lost")).unwrap();
    world.say("restore copy").await.is(1, "--anchor FILE");
    world
        .say("restore copy --anchor lost/checkpoint")
        .await
        .is(1, "behind-anchor");
    assert!(
        !world.path("lumos-data.anchor").exists() && !world.path("lumos-data/lumos.db").exists()
    );
    world
        .say("restore copy --anchor copy/checkpoint")
        .await
        .is(0, "put the keys back");
    world.start(0).await;
    assert_eq!(world.history("triage/1.0").await, history);
    world.ledger_verifies("developer").await;
    // Whoever was signed in then is not now.
    let path = "/api/v1/releases/triage/1.0";
    let again = world.with(&before.credential);
    let asked = again.ask(Method::GET, path, &Value::Null).await;
    asked.is_refused(401, "not-signed-in");
    world.reviewed("1.1").await;
}

#[tokio::test]
async fn the_anchor_decides_which_backup_is_new_enough() {
    let mut world = approved().await;
    world.say("backup old").await.is(0, "entries");
    world.register("letters").await;
    assert!(world.stop().await.success());
    // Without a server as well: nothing holds the directory.
    world.say("backup new").await.is(0, "entries");
    let history = fs::read(world.path("new/backup.json")).unwrap();
    lose(&world, &["keys"]);
    world.say("restore old").await.is(1, "behind-anchor");
    world
        .say("restore new --anchor old/checkpoint")
        .await
        .is(1, "is there and decides");
    world.say("restore new").await.is(0, "put the keys back");
    world.start(0).await;
    let view = world
        .person("platform")
        .await
        .get("/api/v1/models/letters")
        .await;
    assert_eq!(view["model"], "letters");
    assert_eq!(fs::read(world.path("new/backup.json")).unwrap(), history);
}

#[tokio::test]
async fn a_backup_that_was_changed_is_refused() {
    let mut world = approved().await;
    world.say("backup copy").await.is(0, "entries");
    assert!(world.stop().await.success());
    fs::rename(world.path("lumos-data"), world.path("before")).unwrap();
    fs::rename(world.path("lumos-data.anchor"), world.path("lost")).unwrap();
    let restore = "restore copy --anchor copy/checkpoint";
    let about = fs::read_to_string(world.path("copy/backup.json")).unwrap();
    for (from, to, problem) in [
        ("lumos-backup/1", "lumos-backup/2", "its format"),
        ("lumos.acme.example", "lumos.other.example", "is of ledger"),
        ("\"size\"", "\"sise\"", "unknown field"),
        ("{", "", "reading"),
    ] {
        let changed = about.replacen(from, to, 1);
        assert_ne!(changed, about);
        world.write("copy/backup.json", changed);
        world.say(restore).await.is(1, problem);
    }
    world.write("copy/backup.json", &about);
    let database = fs::read(world.path("copy/lumos.db")).unwrap();
    let mut flipped = database.clone();
    flipped[database.len() / 2] ^= 1;
    world.write("copy/lumos.db", flipped);
    world.say(restore).await.is(1, "finished with");
    world.write("copy/lumos.db", &database);
    let checkpoint = fs::read_to_string(world.path("copy/checkpoint")).unwrap();
    let root = checkpoint.lines().nth(2).unwrap();
    let other = lumos_ledger::Hash::new([7; 32]).to_base64();
    world.write("forged", checkpoint.replace(root, &other));
    world
        .say("restore copy --anchor forged")
        .await
        .is(1, "against-anchor");
    world.write("nonsense", "nonsense");
    world
        .say("restore copy --anchor nonsense")
        .await
        .is(1, "reading the checkpoint");
    assert!(!world.path("lumos-data/lumos.db").exists());

    // A blob is left out, loudly; the rest is there.
    let folder = fs::read_dir(world.path("copy/blobs"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let blob = fs::read_dir(folder.path())
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    fs::write(blob.path(), "another report").unwrap();
    world
        .say(restore)
        .await
        .is(3, "is damaged and was left out");
    assert!(world.path("lumos-data/lumos.db").exists());
}

/// The old database is where it was before it moved.
fn put_back(world: &World) {
    for name in ["lumos.db", "lumos.db-wal"] {
        let from = world.path("before").join(name);
        if from.exists() {
            fs::copy(from, world.path("lumos-data").join(name)).unwrap();
        }
    }
}

#[tokio::test]
async fn real_a_ledger_moves_to_postgresql_and_back_with_the_same_root() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let mut world = approved().await;
    let history = world.history("triage/1.0").await;
    let vkey = world.vkey().to_owned();
    world
        .say_as("compliance", "ledger export export")
        .await
        .is(0, "exported");
    world
        .say_as("compliance", "ledger proof 5 --out five.tlog-proof")
        .await
        .is(0, "");
    let settings = fs::read_to_string(world.path("lumos.yaml")).unwrap();
    let url = cluster.url("lumos", &cluster.database());
    world.say("migrate").await.is(1, "name no database");
    world.write(
        "lumos.yaml",
        format!("{settings}postgres: {{url: '{url}', replicas: 1}}\n"),
    );
    world.say("migrate").await.is(1, "data-dir-in-use");
    assert!(world.stop().await.success());
    // The copy that a killed move had made is lost with its folder; the database kept all or nothing.
    folder::copy(&world.path("lumos-data"), &world.path("before"));
    let said = world.say("migrate --json").await.is(0, "root").json();
    let anchored = fs::read_to_string(world.path("lumos-data.anchor/checkpoint")).unwrap();
    assert_eq!(anchored.lines().nth(1).unwrap(), said["size"].to_string());
    assert_eq!(anchored.lines().nth(2).unwrap(), said["root"]);
    world.say("migrate").await.is(1, "no ledger to move");
    // It was killed before it had set the old one aside: the second try finds that all is done.
    put_back(&world);
    world.say("migrate").await.is(0, "with the same root");

    world.start(0).await;
    assert_eq!(world.history("triage/1.0").await, history);
    world
        .check(&[
            (
                &format!("ledger verify five.tlog-proof --vkey {vkey}"),
                0,
                "verified",
            ),
            ("backup copy", 0, "entries"),
            (
                &format!("ledger verify copy --vkey {vkey}"),
                0,
                "integrity: yes",
            ),
        ])
        .await;
    let since = format!("ledger verify --since export/checkpoint --vkey {vkey}");
    world
        .say_as("compliance", &since)
        .await
        .is(0, "integrity: yes");
    world.reviewed("1.1").await;
    assert!(world.stop().await.success());
    world.say("backup last").await.is(0, "entries");

    // The old database does not become a second history: it is behind what was signed since.
    world.write("lumos.yaml", &settings);
    put_back(&world);
    world.say("serve").await.is(1, "behind-anchor");
    lose(&world, &["keys"]);
    world.say("restore copy").await.is(1, "behind-anchor");
    world.say("restore last").await.is(0, "entries");
    world.start(0).await;
    assert_eq!(world.history("triage/1.0").await, history);
    world.ledger_verifies("developer").await;
    assert!(world.stop().await.success());
    assert_a_database_is_filled_once(&mut world, &cluster, &settings, &url).await;
}

/// A database with another ledger is not written over, an empty one is filled.
async fn assert_a_database_is_filled_once(
    world: &mut World,
    cluster: &Cluster,
    settings: &str,
    full: &str,
) {
    let other = cluster.url("lumos", &cluster.database());
    let postgres = |url: &str| format!("{settings}postgres: {{url: '{url}', replicas: 1}}\n");
    world.write("lumos.yaml", postgres(full));
    world.say("migrate").await.is(1, "ledger-there-already");
    world.write("lumos.yaml", postgres(&other));
    world.say("restore copy").await.is(1, "behind-anchor");
    world.say("migrate").await.is(0, "with the same root");
    world.start(0).await;
    world.ledger_verifies("developer").await;
}

/// Changes rows of a backup, and all that the backup says of itself, as whoever may write there can.
fn meddle(world: &World, copy: &str, sql: &str) {
    let database = world.path(copy).join("lumos.db");
    let connection = rusqlite::Connection::open(&database).unwrap();
    connection.execute_batch(sql).unwrap();
    connection.close().unwrap();
    let digest = lumos_domain::id::Digest::of(&fs::read(&database).unwrap());
    let about = world.path(copy).join("backup.json");
    let mut said: Value = serde_json::from_slice(&fs::read(&about).unwrap()).unwrap();
    said["database"] = digest.to_string().into();
    fs::write(about, said.to_string()).unwrap();
}

#[tokio::test]
async fn a_backup_is_believed_in_what_its_entries_prove() {
    let mut world = approved().await;
    let suspend = "user suspend expert --reason 'they left'";
    world
        .say_as("administrator", suspend)
        .await
        .is(0, "person.suspended");
    world.with("").get("/readyz").await;
    assert!(world.stop().await.success());
    world.say("backup copy").await.is(0, "entries");
    lose(&world, &["keys"]);
    let relabelled = "UPDATE streams SET version = version - 1 WHERE stream =
            (SELECT stream FROM entries WHERE kind = 'lumos.person.suspended.v1');
        UPDATE entries SET stream = 'person/nobody', version = 1 WHERE kind = 'lumos.person.suspended.v1';
        INSERT INTO streams (stream, version) VALUES ('person/nobody', 1);";
    for (sql, problem) in [
        (relabelled, "told to be"),
        (
            "UPDATE entries SET kind = 'lumos.person.added.v1' WHERE kind = 'lumos.person.suspended.v1'",
            "told to be",
        ),
        (
            "INSERT INTO commands (command_id, first, count) VALUES ('release-scanner.900.identify', 0, 1)",
            "commands that no entry came from",
        ),
        (
            "INSERT INTO commands (command_id, first, count) VALUES ('release-scanner.900.identify', 0, 0)",
            "commands that no entry came from",
        ),
        (
            "UPDATE commands SET first = first - 1 WHERE first = (SELECT max(first) FROM commands)",
            "is not told to have led to",
        ),
        (
            "DELETE FROM kinds WHERE kind = 'lumos.person.suspended.v1'",
            "does not name the type",
        ),
    ] {
        folder::copy(&world.path("copy"), &world.path("changed"));
        meddle(&world, "changed", sql);
        let said = world.say("restore changed").await.is(1, "snapshot-damaged");
        assert!(said.err.contains(problem), "{sql}: {said:?}");
        fs::remove_dir_all(world.path("changed")).unwrap();
    }

    // Where agents were is proven by nothing: a backup that says they have seen what never came makes them pass over
    // nothing. Nor does it let anybody sign in by another password.
    let far = "UPDATE cursors SET next = 1000000;
        INSERT INTO jobs (subscriber, entry, state, attempts, due_us, lease_us)
            VALUES ('release-scanner', 3, 'dead', 12, 0, 0);
        UPDATE people SET credential_seal = (SELECT credential_seal FROM people WHERE credential_seal IS NOT NULL
            ORDER BY person LIMIT 1), suspended = 0;";
    meddle(&world, "copy", far);
    let said = world.say("restore copy").await.is(0, "put the keys back");
    assert!(said.err.contains("not proven by any entry"), "{said:?}");
    world.start(0).await;
    let body = serde_json::json!({ "login": "expert", "password": world.password("expert") });
    let session = world
        .with("")
        .ask(Method::POST, "/api/v1/sessions", &body)
        .await;
    assert_eq!(session.status, 401, "{:?}", session.body);
    // That all of it was read again is an entry.
    let size = said.out.split(' ').next().unwrap();
    let shown = format!("ledger show --from {size}");
    let reread = world.say_as("compliance", &shown).await;
    reread.is(0, "lumos.ledger.reread.v1");
    world.reviewed("1.1").await;
    let list = world.say_as("platform", "runtime list").await;
    assert_eq!(list.code, Some(0), "no dead letter: {list:?}");
    world.ledger_verifies("developer").await;
}

/// Has the server start from a backup taken now, and waits until everybody looked at everything again. The ledger's size
/// then.
async fn restored(world: &mut World, copy: &str) -> String {
    assert!(world.stop().await.success());
    world.say(&format!("backup {copy}")).await.is(0, "entries");
    lose(world, &["keys"]);
    let said = world.say(&format!("restore {copy}")).await;
    let said = said.is(0, "put the keys back");
    world.start(0).await;
    let platform = world.person("platform").await;
    let behind = |agent: &Value| {
        agent["lag_entries"] != 0
            || agent["waiting"] != 0
            || !agent["taken"].as_array().unwrap().is_empty()
    };
    until(async || {
        let agents = platform.get("/api/v1/runtime").await;
        !agents.as_array().unwrap().iter().any(behind)
    })
    .await;
    said.out.split(' ').next().unwrap().to_owned()
}

/// What became of the two releases.
async fn told(world: &World) -> [Vec<String>; 2] {
    let (first, second) = (world.history("triage/1.0"), world.history("triage/1.1"));
    [first.await, second.await]
}

#[tokio::test]
async fn what_was_decided_before_a_restore_is_not_decided_anew() {
    let mut world = approved().await;
    // A report on what is approved opens nothing.
    world.write("claim.json", r#"{"measured": true}"#);
    let evidence = "release evidence triage/1.0 claim.json --kind fairness";
    world.say_as("developer", evidence).await.is(0, "evidence");
    let reported = |entries: Vec<String>| {
        let reports = entries.iter().filter(|kind| kind.contains("report."));
        reports.count()
    };
    until(async || reported(world.history("triage/1.0").await) == 2).await;
    let view = world.person("developer").await;
    let view = view.get("/api/v1/releases/triage/1.0").await;
    assert_eq!(view["state"], "approved", "and lists it as nothing else");
    // A rule approves what is no change.
    let developer = world.reviewed("1.1").await;
    let path = "/api/v1/releases/triage/1.1/claims";
    let claim = serde_json::json!({ "claim": 1 });
    developer.ask(Method::POST, path, &claim).await.is(200);
    developer.until("triage/1.1", promoted).await;
    let revoke = "release revoke triage/1.0 --env production --reason 'a recall'";
    world.say_as("compliance", revoke).await.is(0, "revoked");
    let before = told(&world).await;
    let size = restored(&mut world, "copy").await;
    assert_eq!(told(&world).await, before);

    // It was a restore only once.
    world.stop().await;
    world.start(0).await;
    let shown = format!("ledger show --from {size}");
    let said = world.say_as("compliance", &shown).await;
    assert_eq!(said.out.matches("reread").count(), 1, "{said:?}");

    // Nor is it held against what is asked for today.
    let starter = fs::read_to_string(world.path("policy/starter.yaml")).unwrap();
    world.write("next.yaml", starter.replace("1.0.0", "1.0.1"));
    let publish = "policy publish next.yaml";
    world
        .check_as(&[("compliance & risk", publish, 0, "bundle.published")])
        .await;
    restored(&mut world, "next").await;
    assert_eq!(told(&world).await, before);
    let alias = world.path("models/triage/.aliases/champion");
    assert_eq!(fs::read_to_string(alias).unwrap().trim(), "1.1");
    let list = world.say_as("platform", "runtime list").await;
    assert_eq!(list.code, Some(0), "no dead letter: {list:?}");
}
