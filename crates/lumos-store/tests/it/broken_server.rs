//! PostgreSQL on a disk that fails: nothing that was acknowledged is lost, and LUMOS goes on as soon as the server does.

use std::sync::Arc;

use lumos_engine::ports::{AppendError, Store as _};
use lumos_store::PostgresStore;
use tokio::task::JoinSet;

use crate::{
    cluster::{Cluster, until},
    damage::{fill, recovers},
    laid_under::BrokenDisk,
    world::{append, check_whole, id},
};

fn next(version: u64) -> lumos_engine::ports::Append {
    append(&format!("c{version}"), &[("org", version)], &[])
}

/// A server on a disk that works so far, or nothing and a line that says so.
fn start() -> Option<(BrokenDisk, Cluster)> {
    let disk = BrokenDisk::new()?;
    let cluster = Cluster::start_on(disk.env())?;
    Some((disk, cluster))
}

/// Every way in which a server cannot go on: what it writes ahead cannot be written, or be made durable, or is torn;
/// a page of a table cannot be made durable, or is torn.
const ENDS: [&str; 7] = [
    "write EIO */pg_wal/*",
    "write ENOSPC */pg_wal/*",
    "write EROFS */pg_wal/*",
    "sync EIO */pg_wal/*",
    "write TORN */pg_wal/*",
    "sync EIO */base/*",
    "write TORN */base/*",
];

/// The way in which nobody may lose patience: the server ends with the first write.
const PATIENT: &str = "write TORN */pg_wal/*";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_a_server_whose_disk_fails_is_waited_for() {
    let Some((disk, cluster)) = start() else {
        return;
    };
    let database = cluster.database();
    let store = Arc::new(cluster.open(&database).await);
    let mut version = 0;
    for how in ENDS {
        for _ in 0..20 {
            version += 1;
            store.append(next(version)).await.unwrap();
        }
        disk.breaks(how);
        version += 1;
        let mut waiting = JoinSet::new();
        let asked = Arc::clone(&store);
        waiting.spawn(async move { asked.append(next(version)).await });
        // What is written ahead ends the server by itself; pages, when they are brought to their tables.
        until(|| cluster.try_sql(&database, "CHECKPOINT").is_err());
        disk.mends();
        cluster.kill();
        cluster.up();
        let answer = waiting.join_next().await.unwrap().unwrap();
        // Nobody lost patience, and the same append went through, once, before or after. Where a machine takes longer to
        // end and start a server than a caller waits, the caller asks by command id and appends again.
        match answer {
            Ok(_) => {}
            Err(AppendError::Store(_)) if how != PATIENT => {
                let before = store.appended(&id(&format!("c{version}"))).await.unwrap();
                let again = store.append(next(version)).await.unwrap();
                assert_eq!(before.is_some(), again.repeated, "{how}");
            }
            Err(error) => panic!("{how}: {error:?}"),
        }
        assert!(store.append(next(version)).await.unwrap().repeated, "{how}");
        assert_eq!(check_whole(&*store).await, version, "{how}");
    }
    drop(store);
    assert!(cluster.is_sound(), "every page has its checksum");
    assert_eq!(check_whole(&cluster.open(&database).await).await, version);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_a_server_without_room_recovers() {
    let Some((disk, cluster)) = start() else {
        return;
    };
    let store = cluster.open(&cluster.database()).await;
    store
        .append(append("c0", &[("org", 1)], &[("org", 0)]))
        .await
        .unwrap();
    drop(store);
    for how in [
        "write ENOSPC */base/*",
        "write EIO */base/*",
        "write EROFS */base/*",
    ] {
        let store = cluster.open(&cluster.database()).await;
        disk.breaks(how);
        let full = fill(&store).await;
        disk.mends();
        recovers(&store, full).await;
    }
}

/// The same page half as it is and half as it was, with checksums as the operator's guide asks for: it is refused,
/// and never read as if it were whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_a_page_that_stays_torn_is_refused() {
    const PAGE: usize = 8192;
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let database = cluster.database();
    let store = cluster.open(&database).await;
    let file = cluster.file_of(&database, "entries");
    let mut pages = Vec::new();
    for versions in [1..=10, 11..=80] {
        for version in versions {
            store.append(next(version)).await.unwrap();
        }
        cluster.sql(&database, "CHECKPOINT");
        pages.push(std::fs::read(&file).unwrap());
    }
    drop(store);
    let [old, new] = &pages[..] else {
        unreachable!()
    };
    let half = PAGE / 2;
    assert_ne!(old[half..PAGE], new[half..PAGE]);
    let torn = [&new[..half], &old[half..PAGE], &new[PAGE..]].concat();
    cluster.stopped(|| std::fs::write(&file, torn).unwrap());
    assert!(!cluster.is_sound());
    let refused = PostgresStore::open(&cluster.settings(&database), crate::world::SCHEMA).await;
    assert_eq!(refused.err().unwrap().code(), "database-failed");
    cluster.stopped(|| std::fs::write(&file, new).unwrap());
    assert_eq!(check_whole(&cluster.open(&database).await).await, 80);
}

/// A bit that flips on its way to the server, or in it, is not committed, and so never signed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_a_bit_that_flips_before_the_commit_is_not_committed() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    for column in ["bytes", "leaf"] {
        let database = cluster.database();
        let store = cluster.open(&database).await;
        let flips = format!(
            "CREATE FUNCTION flip() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
               NEW.{column} := set_bit(NEW.{column}, 3, 1 - get_bit(NEW.{column}, 3)); RETURN NEW; END $$;
             CREATE TRIGGER flips BEFORE INSERT ON entries FOR EACH ROW WHEN (NEW.idx = 1) EXECUTE FUNCTION flip()"
        );
        cluster.sql(&database, &flips);
        store.append(next(1)).await.unwrap();
        let refused = store.append(next(2)).await;
        assert!(matches!(refused, Err(AppendError::Store(_))), "{refused:?}");
        assert_eq!(check_whole(&store).await, 1, "{column}");
        cluster.sql(&database, "DROP TRIGGER flips ON entries");
        store.append(next(2)).await.unwrap();
        assert_eq!(check_whole(&store).await, 2);
    }
}
