//! Ledgers that older versions left, as they left them when they were killed: this version opens them, what was under
//! way goes on, and what was signed then is continued. `tests/upgrade/README.md` says where they come from.

use std::{
    ffi::OsString,
    path::Path,
    time::{Duration, SystemTime},
};

use lumos_engine::ports::Store as _;
use lumos_http::Method;
use lumos_store::SqliteStore;
use serde_json::{Value, json};

use crate::{
    artifacts,
    cluster::Cluster,
    laid_under,
    world::{World, program, promoted, run},
};

const LEFT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/upgrade");
/// Who works at Acme, by the passwords that they chose then.
const LOGINS: [&str; 7] = [
    "administrator",
    "compliance",
    "developer",
    "expert",
    "security",
    "risk",
    "platform",
];

/// How long nobody looked after what the older version left.
const LATER: Duration = Duration::from_secs(60);

/// The home that an older version left, not started, and what was so then. For its programs it is still that day:
/// reports age and approvals expire, however much later this test runs. Nothing where no clock can be set.
async fn left(name: &str) -> Option<(World, Value)> {
    let mut world = World::empty();
    let mut tar = program("tar");
    tar.arg("--extract").arg("--gzip").arg("--file");
    tar.arg(Path::new(LEFT).join(name))
        .arg("--directory")
        .arg(world.path("."));
    run(&mut tar, "").await.is(0, "");
    for login in LOGINS {
        world.knows(login, format!("a password that {login} chose"));
    }
    let then = std::fs::read(world.path("then.json")).unwrap();
    // It was written as soon as the older version was killed, and tar keeps when.
    let when = std::fs::metadata(world.path("then.json"))
        .unwrap()
        .modified();
    world.lay_under(clock_from(&world, when.unwrap() + LATER)?);
    Some((world, serde_json::from_slice(&then).unwrap()))
}

/// The environment of programs whose clock goes on from `then`: see `set_clock.c`.
fn clock_from(world: &World, then: SystemTime) -> Option<[(&'static str, OsString); 2]> {
    let source = include_str!("set_clock.c");
    let library = laid_under::library(&world.path("set_clock"), source)?;
    #[expect(
        clippy::disallowed_methods,
        reason = "how far the machine's clock is from that of the test"
    )]
    let now = SystemTime::now();
    let back_s = now.duration_since(then).unwrap().as_secs();
    Some([
        ("LD_PRELOAD", library.into()),
        ("LUMOS_CLOCK_BACK_S", back_s.to_string().into()),
    ])
}

async fn claim(world: &World, version: &str) {
    let path = format!("/api/v1/releases/triage/{version}/claims");
    let developer = world.person("developer").await;
    developer
        .ask(Method::POST, &path, &json!({ "claim": 1 }))
        .await
        .is(200);
}

/// Looks at the ledger as this version has just opened it, then lets everybody go on with it.
async fn goes_on(world: &mut World, then: &Value) {
    let developer = world.person("developer").await;
    assert_eq!(world.vkey(), then["vkey"].as_str().unwrap());
    // The alias that was to be moved when the older version died is moved now, once.
    developer.until("triage/1.1", promoted).await;
    let moved = "lumos.promotion.observed.v1";
    for (version, happened) in ["1.0", "1.1", "1.2"].map(|version| (version, &then[version])) {
        let now = json!(world.history(&format!("triage/{version}")).await);
        let (now, happened) = (now.as_array().unwrap(), happened.as_array().unwrap());
        assert_eq!(now[..happened.len()], happened[..], "{version}");
        let moves = now.iter().filter(|kind| **kind == moved).count();
        assert_eq!(moves, usize::from(version != "1.2"), "{version}: {now:?}");
    }
    let alias = world.path("models/triage/.aliases/champion");
    assert_eq!(std::fs::read_to_string(alias).unwrap().trim(), "1.1");
    for page in [
        "/",
        "/releases/triage/1.0",
        "/releases/triage/1.1",
        "/ledger",
        "/ask",
    ] {
        let asked = developer.peer.get(page);
        let asked = asked.header("cookie", &format!("lumos_session={}", developer.credential));
        assert_eq!(asked.send().await.unwrap().status, 200, "{page}");
    }
    let runtime = developer.get("/api/v1/runtime").await;
    for agent in runtime.as_array().unwrap() {
        assert_eq!(agent["dead_letters"], json!([]), "{runtime:#}");
    }

    // What was signed then is continued, and what an auditor of today asks is answered.
    let checkpoint = world.write("then.checkpoint", then["checkpoint"].as_str().unwrap());
    let since = checkpoint.display();
    let vkey = world.vkey();
    let verify = format!("ledger verify --since {since} --vkey {vkey}");
    world
        .say_as("compliance", &verify)
        .await
        .is(0, "integrity: yes");
    world.ledger_verifies("developer").await;
    world
        .say_as("compliance", "ask changes")
        .await
        .is(0, "triage");
    world
        .say_as("platform", "check")
        .await
        .is(0, "0 dead letter(s)");

    // Work of every kind goes on: a rule approves what is no change, people sign what is one.
    claim(world, "1.2").await;
    developer.until("triage/1.2", promoted).await;
    let folder = world.path("models/triage/1.3");
    artifacts::disguised_backbone(&world.path("models/triage/1.0"), &folder).unwrap();
    for (kind, claim) in artifacts::missing_evidence() {
        world.write(
            &format!("models/triage/1.3/.evidence/{kind}.json"),
            claim.to_string(),
        );
    }
    std::fs::write(folder.join(".complete"), "").unwrap();
    let open = |view: &Value| view["state"] == "in review";
    developer.until("triage/1.3", open).await;
    claim(world, "1.3").await;
    for login in ["compliance", "expert"] {
        world.person(login).await.sign("triage/1.3").await.is(200);
    }
    developer.until("triage/1.3", promoted).await;
    world.ledger_verifies("developer").await;
}

/// How often a release's stream is among what names somebody: a table that the older version did not have.
async fn mentioned(world: &World) -> usize {
    let store = SqliteStore::open(&world.path("lumos-data"), &[]).unwrap();
    let sql = "SELECT person FROM mentions WHERE stream = 'release/triage/1.0'";
    store.query(sql, Vec::new()).await.unwrap().len()
}

#[tokio::test]
async fn a_ledger_of_an_older_version_is_opened_and_goes_on() {
    let Some((mut world, then)) = left("sqlite-before-issue-3.tar.gz").await else {
        return;
    };
    world.start(0).await;
    goes_on(&mut world, &then).await;
    assert!(world.stop().await.success());
    let mentioned = mentioned(&world).await;
    assert!(
        mentioned > 0,
        "tables that are new are filled from what is old"
    );

    // A backup of it verifies, and is the ledger again.
    let vkey = then["vkey"].as_str().unwrap();
    world.say("backup copy").await.is(0, "entries");
    let verify = format!("ledger verify copy --vkey {vkey}");
    world.say(&verify).await.is(0, "integrity: yes");
}

/// The older ledger moves to PostgreSQL as the first thing that this version does with it.
#[tokio::test]
async fn real_a_ledger_of_an_older_version_moves_to_postgresql() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let Some((mut world, then)) = left("sqlite-before-issue-3.tar.gz").await else {
        return;
    };
    let url = cluster.url("lumos", &cluster.database());
    world.change(|settings| format!("{settings}postgres: {{url: '{url}', replicas: 1}}\n"));
    let said = world.say("migrate --json").await.is(0, "root").json();
    let anchored = std::fs::read_to_string(world.path("lumos-data.anchor/checkpoint")).unwrap();
    assert_eq!(anchored.lines().nth(1).unwrap(), said["size"].to_string());
    assert_eq!(anchored.lines().nth(2).unwrap(), said["root"]);
    world.start(0).await;
    goes_on(&mut world, &then).await;
}

/// A database whose tables are those of an older version, rows and all, from its own dump.
#[tokio::test]
async fn real_a_database_of_an_older_version_is_upgraded_and_goes_on() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let Some((mut world, then)) = left("postgres-of-issue-3.tar.gz").await else {
        return;
    };
    let database = cluster.database();
    cluster.load(&database, &world.path("database.sql"));
    let tables = |named: &str| cluster.sql(&database, &format!("SELECT to_regclass('{named}')"));
    assert_eq!(tables("signing"), "", "the older version did not have it");
    let url = cluster.url("lumos", &database);
    world.change(|settings| {
        let other = settings
            .lines()
            .filter(|line| !line.starts_with("postgres:"));
        let other: Vec<_> = other.collect();
        format!(
            "{}\npostgres: {{url: '{url}', replicas: 1}}\n",
            other.join("\n")
        )
    });
    world.start(0).await;
    assert_eq!(tables("signing"), "signing");
    goes_on(&mut world, &then).await;

    // And one day a newer version changes the tables while this one runs: it reads on and writes no more.
    let schema = |by: i32| {
        let sql = "UPDATE meta SET value = (value::int + {by})::text WHERE key = 'schema_version'";
        cluster.sql(&database, &sql.replace("{by}", &by.to_string()));
    };
    let administrator = world.person("administrator").await;
    let define = async |role: &str| {
        let path = format!("/api/v1/roles/{role}");
        let answer = administrator
            .ask(Method::PUT, &path, &json!({ "rights": [] }))
            .await;
        (answer.status, answer.body["code"].clone())
    };
    assert_eq!(define("before").await.0, 200);
    schema(1);
    assert_eq!(
        define("after").await,
        (503, json!("database-other-version"))
    );
    let ready = administrator.peer.get("/readyz").send().await.unwrap();
    assert_eq!(ready.status, 503);
    administrator.get("/api/v1/releases/triage/1.3").await;
    world.publish("1.4");
    world.ledger_verifies("developer").await;
    // It is not left behind by its own agents either: nothing of theirs became a dead letter meanwhile.
    schema(-1);
    let developer = world.person("developer").await;
    let open = |view: &Value| view["state"] == "in review";
    developer.until("triage/1.4", open).await;
    assert_eq!(define("again").await.0, 200);
    world
        .say_as("platform", "check")
        .await
        .is(0, "0 dead letter(s)");
    schema(1);
    assert!(world.stop().await.success());
    world.say("serve").await.is(1, "code data-dir-newer");
}
