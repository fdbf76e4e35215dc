//! Two versions of LUMOS on one database, while one replaces the other: once the newer one has changed what both write,
//! the older one appends no more, and reads on.

use lumos_engine::ports::{AppendError, Statement, Store as _, StoredEntry, Value};
use tokio::time::timeout;

use crate::{
    cluster::{Cluster, PATIENCE},
    world::{append, check_whole},
};

fn next(version: u64) -> lumos_engine::ports::Append {
    append(&format!("c{version}"), &[("org", version)], &[])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_nothing_is_appended_under_a_newer_schema() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let database = cluster.database();
    let store = cluster.open(&database).await;
    store.append(next(1)).await.unwrap();
    let schema = |version: u32| {
        let sql = format!("UPDATE meta SET value = '{version}' WHERE key = 'schema_version'");
        cluster.sql(&database, &sql);
    };
    let now: u32 = cluster
        .sql(
            &database,
            "SELECT value FROM meta WHERE key = 'schema_version'",
        )
        .parse()
        .unwrap();
    assert!(!store.is_of_other_version());
    schema(now + 1);
    let refused = store.append(next(2)).await;
    assert!(
        matches!(refused, Err(AppendError::OtherVersion)),
        "{refused:?}"
    );
    assert!(store.is_of_other_version());
    assert!(
        store.append(next(1)).await.unwrap().repeated,
        "it is answered"
    );
    assert_eq!(check_whole(&store).await, 1, "it is read");
    // Whoever asks for nothing is told as well.
    let other = cluster.settings(&database);
    let other = lumos_store::PostgresStore::open(&other, crate::world::SCHEMA).await;
    assert_eq!(other.err().unwrap().code(), "data-dir-newer");
    schema(now);
    store.append(next(2)).await.unwrap();
    assert!(!store.is_of_other_version());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_nothing_is_appended_beside_tables_that_others_made() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let database = cluster.database();
    let (old, new) = (cluster.open(&database).await, cluster.open(&database).await);
    let peer = cluster.open(&database).await;
    for (store, views) in [(&old, "1"), (&new, "2"), (&peer, "2")] {
        store.is_read_by(views);
    }
    // As long as nobody made them anew, both write.
    old.append(next(1)).await.unwrap();
    new.append(next(2)).await.unwrap();
    let meaning = |_: &StoredEntry| {
        vec![Statement {
            sql: "INSERT INTO seen (entry, stream) VALUES ($1, 'org')",
            params: vec![Value::Index],
        }]
    };
    new.rebuild(&["seen"], "2", meaning).await.unwrap();
    let refused = old.append(next(3)).await;
    assert!(
        matches!(refused, Err(AppendError::OtherVersion)),
        "{refused:?}"
    );
    assert_eq!(check_whole(&new).await, 2);
    new.append(next(3)).await.unwrap();
    peer.append(next(4)).await.unwrap();
    assert_eq!(check_whole(&peer).await, 4);
    // Nobody has to ask to find out.
    let told = async {
        while !old.is_of_other_version() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, told).await.expect("it is told in time");
    // Back to the older one, which makes its own: now the newer ones stop.
    old.rebuild(&["seen"], "1", meaning).await.unwrap();
    old.append(next(5)).await.unwrap();
    for store in [&new, &peer] {
        let refused = store.append(next(6)).await;
        assert!(
            matches!(refused, Err(AppendError::OtherVersion)),
            "{refused:?}"
        );
    }
}
