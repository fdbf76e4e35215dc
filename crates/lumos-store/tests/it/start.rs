//! What a start on PostgreSQL refuses: servers that could lose what they acknowledge, roles that may not do what is
//! needed, a damaged ledger. And what the role of a replica can never do.

use std::time::Duration;

use lumos_engine::ports::{AppendError, Blobs as _, Statement, Store as _, Value};
use lumos_store::{OpenError, PostgresSettings, PostgresStore};
use tokio::time::timeout;

use crate::{
    cluster::Cluster,
    world::{SCHEMA, append, check_whole, id, with_login, with_sealed},
};

/// How long it may take until every process of a server has read settings that were changed.
const PATIENCE: Duration = Duration::from_secs(60);

async fn opening(settings: &PostgresSettings) -> Result<PostgresStore, OpenError> {
    PostgresStore::open(settings, SCHEMA).await
}

async fn code(settings: &PostgresSettings) -> &'static str {
    opening(settings)
        .await
        .err()
        .map_or("", |error| error.code())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_damage_is_met_at_the_start() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let sound = cluster.database();
    let store = cluster.open(&sound).await;
    for version in 1..=7 {
        let next = append(&format!("c{version}"), &[("org", version)], &[]);
        store.append(next).await.unwrap();
    }
    drop(store);
    for (number, (sql, expected)) in (0..).zip([
        ("UPDATE head SET size = size", ""),
        ("DELETE FROM entries WHERE idx = 6", "ledger-head-damaged"),
        ("DELETE FROM entries WHERE idx = 3", "ledger-head-damaged"),
        ("UPDATE head SET size = 6", "ledger-head-damaged"),
        (r"UPDATE head SET frontier = '\x00'", "ledger-head-damaged"),
        ("DELETE FROM head", "ledger-head-damaged"),
        (
            r"UPDATE entries SET bytes = '\x00' WHERE idx = 0",
            "ledger-head-damaged",
        ),
        (
            r"UPDATE entries SET bytes = '\x00' WHERE idx = 6",
            "ledger-head-damaged",
        ),
        (
            "INSERT INTO entries SELECT 7, stream, 8, kind, bytes, leaf FROM entries WHERE idx = 6",
            "ledger-head-damaged",
        ),
        (
            "UPDATE meta SET value = '999' WHERE key = 'schema_version'",
            "data-dir-newer",
        ),
        (
            "UPDATE meta SET value = '-1' WHERE key = 'schema_version'",
            "data-dir-newer",
        ),
        (
            "UPDATE meta SET value = 'x' WHERE key = 'schema_version'",
            "data-dir-newer",
        ),
    ]) {
        let name = format!("damaged{number}");
        let copy = format!("CREATE DATABASE {name} TEMPLATE {sound}");
        // The server lets go of a closed connection a moment after it was closed.
        let gone = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{sound}'"
        );
        cluster.sql("postgres", &gone);
        cluster.sql("postgres", &copy);
        cluster.sql(&name, sql);
        assert_eq!(code(&cluster.settings(&name)).await, expected, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_a_server_that_may_lose_entries_is_refused() {
    let Some(cluster) = Cluster::start_with("full_page_writes = off") else {
        return;
    };
    let database = cluster.database();
    let settings = cluster.settings(&database);
    let error = opening(&settings).await.err().unwrap();
    assert_eq!(error.code(), "database-may-lose");
    assert!(
        error.to_string().contains("`full_page_writes` is off"),
        "{error}"
    );
    let accepted = PostgresSettings {
        accept_loss: true,
        ..settings.clone()
    };
    assert_eq!(code(&accepted).await, "");

    let change = |sql: &str| cluster.sql("postgres", sql);
    change("ALTER SYSTEM SET full_page_writes = on");
    cluster.restart();
    assert_eq!(code(&settings).await, "");
    for (value, expected) in [
        ("off", "database-may-lose"),
        ("local", "database-may-lose"),
        ("remote_apply", ""),
    ] {
        change(&format!(
            "ALTER DATABASE {database} SET synchronous_commit = {value}"
        ));
        assert_eq!(code(&settings).await, expected, "{value}");
    }
    let latin = "CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'";
    change(latin);
    assert_eq!(code(&cluster.settings("latin")).await, "database-unfit");
    let nobody = PostgresSettings {
        url: cluster.url("nobody", &database),
        ..settings
    };
    assert_eq!(code(&nobody).await, "database-failed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_a_server_that_asks_for_no_writes_gets_none_and_is_read() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let database = cluster.database();
    let store = cluster.open(&database).await;
    let reload = |sql: &str| {
        cluster.sql("postgres", sql);
        cluster.sql("postgres", "SELECT pg_reload_conf()");
    };
    reload("ALTER SYSTEM SET default_transaction_read_only = on");
    // Its processes learn of it one after the other.
    let mut version = 1;
    let refused = async {
        loop {
            let next = append(&format!("c{version}"), &[("org", version)], &[]);
            if let Err(refused) = store.append(next).await {
                return refused;
            }
            version += 1;
        }
    };
    let refused = timeout(PATIENCE, refused).await.unwrap();
    assert!(matches!(refused, AppendError::Store(_)), "{refused:?}");
    let entries = store.entries(0, u32::MAX).await.unwrap().len() as u64;
    assert_eq!(entries, version - 1);
    let copy = tempfile::tempdir().unwrap();
    let copied = store.snapshot(&copy.path().join("lumos.db"), SCHEMA).await;
    copied.unwrap();
    assert_eq!(code(&cluster.settings(&database)).await, "database-failed");
    reload("ALTER SYSTEM RESET default_transaction_read_only");
    let next = append(&format!("c{version}"), &[("org", version)], &[]);
    store.append(next).await.unwrap();
    assert_eq!(check_whole(&store).await, version);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_the_role_of_a_replica_only_adds() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let database = cluster.database();
    cluster.sql(
        &database,
        include_str!("../../migrations/postgres/roles.sql"),
    );
    cluster.sql(
        &database,
        "CREATE ROLE migrate LOGIN IN ROLE lumos_owner; CREATE ROLE replica LOGIN IN ROLE lumos_app",
    );
    let replica = PostgresSettings {
        url: cluster.url("replica", &database),
        owner_url: None,
        accept_loss: false,
    };
    assert_eq!(code(&replica).await, "database-not-migrated");
    let with_owner = PostgresSettings {
        owner_url: Some(cluster.url("migrate", &database)),
        ..replica.clone()
    };
    drop(opening(&with_owner).await.unwrap());

    // From here on nobody who owns anything takes part: everything a replica does goes through.
    let store = opening(&replica).await.unwrap();
    let one = with_sealed(
        with_login(append("c1", &[("org", 1)], &[]), "ada"),
        1,
        "Ada",
    );
    let sealed = one.sealed[0].commitment;
    store.append(one).await.unwrap();
    store
        .append(append("c2", &[("org", 2)], &[("org", 1)]))
        .await
        .unwrap();
    let taken = with_login(append("c3", &[("org", 3)], &[]), "ada");
    assert!(matches!(store.append(taken).await, Err(AppendError::Taken)));
    let digest = store.blobs().put(b"evidence".to_vec()).await.unwrap();
    assert!(store.blobs().get(&digest).await.unwrap().is_some());
    let erase = Statement {
        sql: "DELETE FROM sealed WHERE commitment = $1",
        params: vec![Value::from(sealed.hex())],
    };
    assert_eq!(store.execute(vec![erase]).await.unwrap(), [1]);
    let meaning = |entry: &lumos_engine::ports::StoredEntry| {
        vec![Statement {
            sql: "INSERT INTO seen (entry, stream) VALUES ($1, $2)",
            params: vec![Value::Index, entry_stream(entry).into()],
        }]
    };
    store.rebuild(&["seen"], "1", meaning).await.unwrap();
    assert_eq!(check_whole(&store).await, 2);

    cannot_rewrite(&store).await;
    // Answered with a warning, and without effect.
    let sql = "GRANT ALL ON entries TO lumos_app";
    let params = vec![];
    store
        .execute(vec![Statement { sql, params }])
        .await
        .unwrap();
    let may = "SELECT has_table_privilege('replica', 'entries', 'UPDATE, DELETE, TRUNCATE')";
    assert_eq!(cluster.sql(&database, may), "f");
    assert_eq!(check_whole(&store).await, 2);
}

/// Tries whatever would change what was recorded.
async fn cannot_rewrite(store: &PostgresStore) {
    for sql in [
        "UPDATE entries SET bytes = bytes",
        "DELETE FROM entries",
        "TRUNCATE entries",
        "DROP TABLE entries",
        "ALTER TABLE entries DISABLE TRIGGER ALL",
        "DELETE FROM commands",
        "UPDATE commands SET first = 0",
        "DELETE FROM kinds",
        "DELETE FROM streams",
        "UPDATE streams SET stream = 'x'",
        "DELETE FROM head",
        "INSERT INTO head (one, size, frontier) VALUES (1, 0, '')",
        "UPDATE sealed SET value = 'x'",
        "UPDATE blob_pieces SET bytes = ''",
        "UPDATE meta SET value = '0'",
        "CREATE TABLE mine (one BIGINT)",
        "SET ROLE lumos_owner",
    ] {
        let params = vec![];
        let refused = store.execute(vec![Statement { sql, params }]).await;
        assert!(refused.is_err(), "{sql}");
    }
}

fn entry_stream(entry: &lumos_engine::ports::StoredEntry) -> String {
    let text = String::from_utf8(entry.bytes.clone()).unwrap();
    text.split(' ').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_a_rebuild_that_is_cut_short_stops_every_replica() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let database = cluster.database();
    let (one, two) = (cluster.open(&database).await, cluster.open(&database).await);
    one.append(append("c1", &[("org", 1)], &[])).await.unwrap();
    let broken = |_: &_| {
        vec![Statement {
            sql: "INSERT INTO no_such_table VALUES ($1)",
            params: vec![Value::Index],
        }]
    };
    one.rebuild(&["seen"], "1", broken).await.unwrap_err();
    assert!(two.needs_rebuild().await.unwrap());
    let next = || append("c2", &[("org", 2)], &[]);
    assert!(matches!(
        two.append(next()).await,
        Err(AppendError::Store(_))
    ));
    // What was done before is still answered.
    let again = two.append(append("c1", &[("org", 1)], &[])).await.unwrap();
    assert!(again.repeated);
    let meaning = |entry: &lumos_engine::ports::StoredEntry| {
        vec![Statement {
            sql: "INSERT INTO seen (entry, stream) VALUES ($1, $2)",
            params: vec![Value::Index, entry_stream(entry).into()],
        }]
    };
    two.rebuild(&["seen"], "1", meaning).await.unwrap();
    assert!(!one.needs_rebuild().await.unwrap());
    one.append(next()).await.unwrap();
    assert_eq!(check_whole(&one).await, 2);
    for name in ["entries", "blobs", "pg_class", "a; DROP TABLE head", ""] {
        one.rebuild(&[name], "1", |_| vec![]).await.unwrap_err();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_replicas_that_start_at_once_make_the_tables_once() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let database = cluster.database();
    let opened = tokio::join!(
        cluster.open(&database),
        cluster.open(&database),
        cluster.open(&database)
    );
    opened
        .0
        .append(append("c1", &[("org", 1)], &[]))
        .await
        .unwrap();
    assert_eq!(
        opened.2.appended(&id("c1")).await.unwrap().unwrap().first,
        0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_blobs_are_whole_or_said_to_be_damaged() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let database = cluster.database();
    let (one, two) = (cluster.open(&database).await, cluster.open(&database).await);
    let (one, two) = (one.blobs(), two.blobs());
    for size in [0, 1, 1 << 20, (1 << 20) + 1, 3_500_000] {
        let bytes: Vec<u8> = (0..size).map(|n: usize| n.to_le_bytes()[n % 3]).collect();
        let (a, b) = tokio::join!(one.put(bytes.clone()), two.put(bytes.clone()));
        let digest = a.unwrap();
        assert_eq!(digest, b.unwrap());
        assert_eq!(
            two.get(&digest).await.unwrap(),
            Some(bytes.clone()),
            "{size}"
        );
        if size > 1 {
            cluster.sql(
                &database,
                r"UPDATE blob_pieces SET bytes = '\x00' WHERE piece = 0",
            );
            one.get(&digest).await.unwrap_err();
            assert_eq!(one.put(bytes.clone()).await.unwrap(), digest);
            assert_eq!(two.get(&digest).await.unwrap(), Some(bytes), "mended");
        }
    }
    let all = crate::files::listed(&one, 2).await;
    assert!(all.is_sorted() && all.len() == 5, "{all:?}");
    let unknown = lumos_domain::id::Digest::of(b"unknown");
    assert_eq!(one.get(&unknown).await.unwrap(), None);
}
