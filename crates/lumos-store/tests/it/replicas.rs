//! Several replicas on one database, and a database that goes away under them: one history, nothing lost, nothing done
//! twice.

use std::{collections::BTreeMap, sync::Arc};

use lumos_engine::ports::{AppendError, Store};
use lumos_store::PostgresStore;
use tokio::{
    sync::{Barrier, watch},
    task::JoinSet,
};

use crate::{
    cluster::Cluster,
    world::{append, check_whole, id, stream},
};

/// Callers at each store.
const CLIENTS: u64 = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_two_replicas_write_one_history() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let database = cluster.database();
    let stores = [
        Arc::new(cluster.open(&database).await),
        Arc::new(cluster.open(&database).await),
    ];
    let idle = cluster.open(&database).await;
    let rounds = 40;
    let mut tasks = JoinSet::new();
    for (replica, store) in stores.iter().enumerate() {
        for client in 0..CLIENTS {
            let store = Arc::clone(store);
            tasks.spawn(async move {
                let name = format!("r{replica}c{client}");
                for round in 0..rounds {
                    decide_until_done(&*store, &format!("{name}n{round}")).await;
                }
            });
        }
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let all = 2 * CLIENTS * rounds;
    // The one that appended nothing hears of the others as well.
    for store in [&*stores[0], &*stores[1], &idle] {
        store
            .committed()
            .wait_for(|size| *size == all)
            .await
            .unwrap();
        assert_eq!(check_whole(store).await, all);
    }
}

/// A replica may remember where it left a stream; the append of another ends that, seen or not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_what_a_replica_remembers_ends_with_an_append_of_another() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let database = cluster.database();
    let (a, b) = (cluster.open(&database).await, cluster.open(&database).await);
    let at = |n: u64| append(&format!("c{n}"), &[("org", n)], &[("org", n - 1)]);
    for n in [1, 2] {
        a.append(at(n)).await.unwrap();
    }
    b.append(at(3)).await.unwrap();
    // What the first one left behind is 2; it must neither write over 3 nor take it for a gap.
    let stale = append("d1", &[("org", 3)], &[("org", 2)]);
    let conflict = a.append(stale.clone()).await;
    assert!(
        matches!(
            conflict,
            Err(AppendError::Conflict {
                seen: 2,
                now: 3,
                ..
            })
        ),
        "{conflict:?}"
    );
    // Only read, and by an append to a stream that it never heard of.
    let reads = append("d2", &[("person/x", 1)], &[("org", 2)]);
    assert!(matches!(
        a.append(reads).await,
        Err(AppendError::Conflict { .. })
    ));
    b.append(at(4)).await.unwrap();
    a.append(at(5)).await.unwrap();
    b.append(at(6)).await.unwrap();
    a.append(at(7)).await.unwrap();
    // Done by the other, long ago: no conflict, and not again.
    let repeated = a.append(at(3)).await.unwrap();
    assert_eq!((repeated.first, repeated.repeated), (2, true));
    // Nothing of what it read tells that this one was done.
    let blind = |command: &str| append(command, &[("person/y", 1)], &[]);
    b.append(blind("e1")).await.unwrap();
    let (again, other) = tokio::join!(a.append(blind("e1")), a.append(at(8)));
    assert!(again.unwrap().repeated);
    assert!(!other.unwrap().repeated);
    assert_eq!(check_whole(&a).await, 9);
}

/// Continues the one stream that everybody continues: read, decide, append, and again after each conflict.
async fn decide_until_done(store: &dyn Store, command: &str) {
    loop {
        let seen = store.stream_version(&stream("org")).await.unwrap();
        let next = append(command, &[("org", seen + 1)], &[("org", seen)]);
        match store.append(next).await {
            Ok(done) => {
                assert!(!done.repeated);
                return;
            }
            Err(AppendError::Conflict { now, .. }) => assert!(now > seen),
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_one_command_at_two_replicas_is_done_once() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let database = cluster.database();
    let (a, b) = (cluster.open(&database).await, cluster.open(&database).await);
    for round in 1..=50 {
        let command = || {
            append(
                &format!("c{round}"),
                &[("org", round)],
                &[("org", round - 1)],
            )
        };
        let (a, b) = tokio::join!(a.append(command()), b.append(command()));
        let (a, b) = (a.unwrap(), b.unwrap());
        assert_eq!((a.first, a.count), (b.first, b.count));
        assert!(a.repeated != b.repeated, "{a:?} {b:?}");
    }
    assert_eq!(a.frontier().await.unwrap().size(), 50);
    b.committed().wait_for(|size| *size == 50).await.unwrap();
    check_whole(&b).await;
}

/// What a client was told of each of its commands.
type Told = BTreeMap<String, Result<u64, String>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_a_database_that_is_killed_loses_nothing() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let database = cluster.database();
    let store = Arc::new(cluster.open(&database).await);
    let (stop, stopped) = watch::channel(false);
    let begun = Arc::new(Barrier::new(usize::try_from(CLIENTS).unwrap() + 1));
    let mut tasks = JoinSet::new();
    for client in 0..CLIENTS {
        let (store, stopped, begun) = (Arc::clone(&store), stopped.clone(), Arc::clone(&begun));
        tasks.spawn(async move { write_until(&store, client, &stopped, &begun).await });
    }
    begun.wait().await;
    for _ in 0..3 {
        let size = *store.committed().borrow();
        // Some more are under way or done when the power goes.
        let more = store
            .committed()
            .wait_for(|now| *now > size + 40)
            .await
            .map(|_| ());
        more.unwrap();
        cluster.kill();
        cluster.up();
    }
    stop.send_replace(true);
    let mut told = Told::new();
    while let Some(done) = tasks.join_next().await {
        told.extend(done.unwrap());
    }
    let fresh = cluster.open(&database).await;
    let size = check_whole(&fresh).await;
    let mut landed = 0;
    for (command, answer) in &told {
        let found = fresh.appended(&id(command)).await.unwrap();
        match answer {
            Ok(first) => assert_eq!(found.map(|found| found.first), Some(*first), "{command}"),
            // It was said that it is unknown: both are the truth.
            Err(problem) => println!("{command}: {problem}; found: {}", found.is_some()),
        }
        landed += u64::from(found.is_some());
    }
    assert_eq!(
        landed, size,
        "every entry is of a command that somebody sent, once"
    );
}

/// Continues a stream of its own. After an error it looks, as a door does, before it tries again.
async fn write_until(
    store: &PostgresStore,
    client: u64,
    stopped: &watch::Receiver<bool>,
    begun: &Barrier,
) -> Told {
    let (name, mut version, mut told) = (format!("person/p{client}"), 0, Told::new());
    begun.wait().await;
    while !*stopped.borrow() {
        let command = format!("c{client}-{version}");
        let next = append(&command, &[(&name, version + 1)], &[(&name, version)]);
        match store.append(next).await {
            Ok(done) => {
                told.insert(command, Ok(done.first));
                version += 1;
            }
            Err(AppendError::Store(problem)) => {
                told.insert(command.clone(), Err(problem.to_string()));
                if let Ok(Some(_)) = store.appended(&id(&command)).await {
                    version += 1;
                }
            }
            Err(error) => panic!("{error}"),
        }
    }
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_a_database_that_went_back_is_never_appended_to() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let database = cluster.database();
    let store = cluster.open(&database).await;
    for version in 1..=3 {
        let command = format!("c{version}");
        let next = append(&command, &[("org", version)], &[]);
        store.append(next).await.unwrap();
    }
    // As after a fail-over to a server that had not received the last entry.
    let two = {
        let other = cluster.open(&cluster.database()).await;
        for version in 1..=2 {
            let next = append(&format!("c{version}"), &[("org", version)], &[]);
            other.append(next).await.unwrap();
        }
        hex(&other.frontier().await.unwrap().to_bytes())
    };
    cluster.sql(
        &database,
        &format!(
            "DELETE FROM entries WHERE idx = 2; DELETE FROM commands WHERE first = 2;
             UPDATE streams SET version = 2; UPDATE head SET size = 2, frontier = '\\x{two}'"
        ),
    );
    let next = append("c4", &[("org", 3)], &[("org", 2)]);
    let refused = store.append(next.clone()).await.unwrap_err();
    assert!(matches!(refused, AppendError::Store(_)), "{refused}");
    store.append(next).await.unwrap_err();
    assert_eq!(cluster.sql(&database, "SELECT count(*) FROM entries"), "2");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
