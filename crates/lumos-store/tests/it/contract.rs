//! What every store must keep, written against `&dyn Store`: one list, run for each of them.

use std::thread;

use futures::future::join_all;
use lumos_engine::ports::{AppendError, Appended, Statement, Store, Value};
use lumos_ledger::tree::EMPTY_ROOT;
use tokio::{runtime::Handle, sync::watch};

use crate::cluster::Cluster;
use crate::projections::projections_mean_what_they_mean_one_after_the_other;
use crate::world::{
    append, check_whole, entry, id, open, stream, with_erased, with_login, with_sealed,
};

macro_rules! contract {
    ($($name:ident)*) => {
        /// Where a caller may wait for the disk itself, and does when it is alone.
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    let dir = tempfile::tempdir().unwrap();
                    super::$name(&super::open(&dir)).await;
                }
            )*
        }

        /// Where every caller goes through the queue.
        mod sqlite_queued {
            $(
                #[tokio::test]
                async fn $name() {
                    let dir = tempfile::tempdir().unwrap();
                    super::$name(&super::open(&dir)).await;
                }
            )*
        }

        /// Where other replicas may append as well: a server for all of them, a database for each.
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn real_postgres() {
            let Some(cluster) = Cluster::start() else { return };
            $(
                println!(stringify!($name));
                let store = cluster.open(&cluster.database()).await;
                $name(&store).await;
                drop(store);
            )*
        }
    };
}

contract! {
    an_empty_store_is_an_empty_tree
    entries_keep_their_order_and_bytes
    the_read_set_is_exact
    entries_continue_their_stream
    a_failed_append_leaves_nothing
    a_repeated_command_is_answered_not_done
    of_two_racing_appends_one_wins
    many_callers_share_commits
    threads_take_turns
    a_taken_value_refuses_only_its_own_append
    projections_mean_what_they_mean_one_after_the_other
    sealed_values_come_back_until_erased
    a_repeated_erasure_changes_nothing
    operational_changes_are_whole_or_not_at_all
    parameters_go_by_their_number
    queries_cannot_write
    refused_inputs
    the_committed_size_is_announced
}

fn landed(first: u64, count: u64) -> Appended {
    Appended {
        first,
        count,
        repeated: false,
    }
}

async fn an_empty_store_is_an_empty_tree(store: &dyn Store) {
    assert_eq!(check_whole(store).await, 0);
    assert_eq!(store.frontier().await.unwrap().root(), EMPTY_ROOT);
    assert_eq!(store.stream_version(&stream("org")).await.unwrap(), 0);
    assert!(store.kinds().await.unwrap().is_empty());
    assert_eq!(store.appended(&id("c1")).await.unwrap(), None);
}

async fn entries_keep_their_order_and_bytes(store: &dyn Store) {
    let first = append("c1", &[("org", 1), ("model/triage", 1), ("org", 2)], &[]);
    assert_eq!(store.append(first).await.unwrap(), landed(0, 3));
    let second = append("c2", &[("model/triage", 2)], &[("org", 2)]);
    assert_eq!(store.append(second).await.unwrap(), landed(3, 1));
    let third = append("c3", &[], &[("org", 2)]);
    assert_eq!(store.append(third).await.unwrap(), landed(4, 0));

    let texts = |entries: Vec<lumos_engine::ports::StoredEntry>| -> Vec<(u64, String)> {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        entries
            .into_iter()
            .map(|e| (e.index, text(e.bytes)))
            .collect()
    };
    let all = texts(store.entries(1, 2).await.unwrap());
    assert_eq!(all, [(1, "model/triage 1".into()), (2, "org 2".into())]);
    let org = texts(store.stream(&stream("org")).await.unwrap());
    assert_eq!(org, [(0, "org 1".into()), (2, "org 2".into())]);
    assert!(store.entries(4, 10).await.unwrap().is_empty());
    assert!(store.entries(u64::MAX, 10).await.unwrap().is_empty());
    assert_eq!(store.kinds().await.unwrap(), ["lumos.test.happened.v1"]);
    assert!(store.leaves(3, 5).await.is_err(), "there is no entry 4");
    assert_eq!(check_whole(store).await, 4);

    // What leads to no entry changes no stream: whoever repeats it fits as before, and is told so beside others.
    let again = || append("c3", &[], &[("org", 2)]);
    let fresh = append("c4", &[("model/triage", 3)], &[("model/triage", 2)]);
    let (one, other, two) = tokio::join!(
        store.append(again()),
        store.append(fresh),
        store.append(again())
    );
    let repeated = Appended {
        repeated: true,
        ..landed(4, 0)
    };
    assert_eq!((one.unwrap(), two.unwrap()), (repeated, repeated));
    assert_eq!(other.unwrap(), landed(4, 1));
    assert_eq!(store.append(again()).await.unwrap(), repeated);
    assert_eq!(check_whole(store).await, 5);
}

async fn the_read_set_is_exact(store: &dyn Store) {
    store
        .append(append("c0", &[("org", 1), ("org", 2)], &[]))
        .await
        .unwrap();
    // (what was read of `org`, what of a stream without entries, whether it goes through)
    let rows = [
        (2, 0, true),
        (1, 0, false),
        (0, 0, false),
        (3, 0, false),
        (2, 1, false),
    ];
    for ((org, system, fits), number) in rows.into_iter().zip(1..) {
        let reads = [("org", org), ("system/ward", system)];
        let version = store.stream_version(&stream("model/triage")).await.unwrap() + 1;
        let command = format!("c{number}");
        let answer = store
            .append(append(&command, &[("model/triage", version)], &reads))
            .await;
        match answer {
            Ok(_) => assert!(fits, "{reads:?}"),
            Err(AppendError::Conflict { stream, seen, now }) => {
                assert!(!fits, "{reads:?}");
                let expected = if org == 2 {
                    ("system/ward".to_owned(), system, 0)
                } else {
                    ("org".to_owned(), org, 2)
                };
                assert_eq!((stream.to_string(), seen, now), expected);
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(check_whole(store).await, 3);
}

async fn entries_continue_their_stream(store: &dyn Store) {
    for (entries, seen, now) in [
        (&[("org", 2)][..], 1, 0),
        (&[("org", 1), ("org", 1)], 0, 1),
        (&[("org", 1), ("org", 3)], 2, 1),
    ] {
        // No read set: the version of the entry itself says what was seen.
        match store.append(append("c1", entries, &[])).await {
            Err(AppendError::Conflict {
                seen: s, now: n, ..
            }) => assert_eq!((s, n), (seen, now)),
            other => panic!("{entries:?}: {other:?}"),
        }
    }
    assert_eq!(check_whole(store).await, 0);
}

async fn a_failed_append_leaves_nothing(store: &dyn Store) {
    let late = append("c1", &[("org", 1), ("model/triage", 5)], &[]);
    let late = with_sealed(with_login(late, "ada"), 1, "Ada");
    let sealed = late.sealed[0].commitment;
    store.append(late).await.unwrap_err();
    assert_eq!(store.appended(&id("c1")).await.unwrap(), None);
    assert_eq!(store.unseal(&[sealed]).await.unwrap(), [None]);
    assert!(
        store
            .query("SELECT login FROM logins", vec![])
            .await
            .unwrap()
            .is_empty()
    );
    assert!(store.kinds().await.unwrap().is_empty());
    assert_eq!(check_whole(store).await, 0);
    // The command id was not used up, and the kind is noted although it was met before.
    let again = append("c1", &[("org", 1)], &[]);
    assert_eq!(store.append(again).await.unwrap(), landed(0, 1));
    assert_eq!(store.kinds().await.unwrap().len(), 1);
}

async fn a_repeated_command_is_answered_not_done(store: &dyn Store) {
    store
        .append(append("c0", &[("org", 1)], &[]))
        .await
        .unwrap();
    let command = append("c1", &[("org", 2), ("org", 3)], &[("org", 1)]);
    let first = store.append(command.clone()).await.unwrap();
    assert_eq!(first, landed(1, 2));
    // Its read set is out of date by its own doing; that is no conflict.
    let again = store.append(command).await.unwrap();
    let repeated = Appended {
        repeated: true,
        ..first
    };
    assert_eq!(again, repeated);
    assert_eq!(store.appended(&id("c1")).await.unwrap(), Some(repeated));
    assert_eq!(check_whole(store).await, 3);
}

async fn of_two_racing_appends_one_wins(store: &dyn Store) {
    for round in 1..=50 {
        let (a, b) = (format!("a{round}"), format!("b{round}"));
        let reads = [("org", round - 1)];
        let (a, b) = tokio::join!(
            store.append(append(&a, &[("org", round)], &reads)),
            store.append(append(&b, &[("org", round)], &reads)),
        );
        let lost = match (a, b) {
            (Ok(_), Err(lost)) | (Err(lost), Ok(_)) => lost,
            other => panic!("{other:?}"),
        };
        assert!(
            matches!(lost, AppendError::Conflict { now, .. } if now == round),
            "{lost}"
        );
    }
    assert_eq!(check_whole(store).await, 50);
}

async fn many_callers_share_commits(store: &dyn Store) {
    join_all((0..64).map(|client| calls(store, client))).await;
    assert_eq!(check_whole(store).await, 64 * 20);
}

async fn threads_take_turns(store: &dyn Store) {
    let runtime = Handle::current();
    thread::scope(|scope| {
        for client in 0..8 {
            let runtime = runtime.clone();
            scope.spawn(move || runtime.block_on(calls(store, client)));
        }
    });
    assert_eq!(check_whole(store).await, 8 * 20);
}

/// Twenty appends one after the other. One in eight comes with a stale read first; it fails alone, whoever
/// shares its commit.
async fn calls(store: &dyn Store, client: u64) {
    let name = format!("person/p{client}");
    for version in 1..=20 {
        let command = format!("c{client}-{version}");
        let stale = (client + version).is_multiple_of(8);
        let reads = [(name.as_str(), if stale { 99 } else { version - 1 })];
        let entries = [(name.as_str(), version)];
        let answer = store.append(append(&command, &entries, &reads)).await;
        assert_eq!(answer.is_err(), stale);
        if stale {
            let reads = [(name.as_str(), version - 1)];
            let first = store
                .append(append(&command, &entries, &reads))
                .await
                .unwrap()
                .first;
            let found = store.appended(&id(&command)).await.unwrap().unwrap();
            assert_eq!(found.first, first);
        }
    }
}

async fn a_taken_value_refuses_only_its_own_append(store: &dyn Store) {
    let ada = with_login(append("c1", &[("person/a", 1)], &[]), "ada");
    let mallory = with_login(append("c2", &[("person/m", 1)], &[]), "ada");
    let bob = with_login(append("c3", &[("person/b", 1)], &[]), "bob");
    let (ada, mallory, bob) =
        tokio::join!(store.append(ada), store.append(mallory), store.append(bob));
    assert!(bob.is_ok());
    // Callers that wait at once have no order among them.
    let taken = matches!(
        (&ada, &mallory),
        (Ok(_), Err(AppendError::Taken)) | (Err(AppendError::Taken), Ok(_))
    );
    assert!(taken, "{ada:?} {mallory:?}");
    let rows = store
        .query("SELECT login, entry FROM logins ORDER BY login", vec![])
        .await
        .unwrap();
    assert_eq!(rows.len(), 2);
    let entries = store.entries(0, 10).await.unwrap();
    for row in rows {
        let entry = usize::try_from(row.int(1).unwrap()).unwrap();
        let person = if row.text(0) == "bob" {
            "person/b"
        } else {
            "person/"
        };
        assert!(entries[entry].bytes.starts_with(person.as_bytes()));
    }
    assert_eq!(check_whole(store).await, 2);
}

async fn sealed_values_come_back_until_erased(store: &dyn Store) {
    let command = append("c1", &[("person/a", 1)], &[]);
    let command = with_sealed(with_sealed(command, 1, "Ada"), 2, "Ada");
    let (one, two) = (command.sealed[0].commitment, command.sealed[1].commitment);
    let unknown = with_sealed(append("x", &[], &[]), 3, "Ada").sealed[0].commitment;
    store.append(command).await.unwrap();
    let values = store.unseal(&[two, unknown, one]).await.unwrap();
    assert_eq!(values, [Some("Ada".into()), None, Some("Ada".into())]);
    // What is unknown, or named twice, is passed over.
    let erase = with_erased(append("c2", &[("person/a", 2)], &[]), &[one, unknown, one]);
    assert_eq!(store.append(erase).await.unwrap(), landed(1, 1));
    let values = store.unseal(&[one, two]).await.unwrap();
    assert_eq!(values, [None, Some("Ada".into())]);
    assert_eq!(check_whole(store).await, 2);
}

/// An erasure goes with its entry or not at all, and nothing that is asked again brings a value back.
async fn a_repeated_erasure_changes_nothing(store: &dyn Store) {
    let add = || with_sealed(append("c1", &[("person/a", 1)], &[]), 1, "Ada");
    let ada = add().sealed[0].commitment;
    store.append(add()).await.unwrap();
    let erase = |command, version| {
        with_erased(
            append(
                command,
                &[("person/a", version)],
                &[("person/a", version - 1)],
            ),
            &[ada],
        )
    };
    store.append(erase("c2", 9)).await.unwrap_err();
    let taken = with_login(append("c3", &[("person/b", 1)], &[]), "ada");
    store.append(taken).await.unwrap();
    let refused = with_login(erase("c4", 2), "ada");
    store.append(refused).await.unwrap_err();
    assert_eq!(store.unseal(&[ada]).await.unwrap(), [Some("Ada".into())]);
    assert!(!store.append(erase("c5", 2)).await.unwrap().repeated);
    assert!(store.append(erase("c5", 2)).await.unwrap().repeated);
    assert!(store.append(add()).await.unwrap().repeated);
    assert_eq!(store.unseal(&[ada]).await.unwrap(), [None]);
    // The table takes new values as before.
    let more = with_sealed(append("c6", &[("person/c", 1)], &[]), 2, "Cleo");
    let cleo = more.sealed[0].commitment;
    store.append(more).await.unwrap();
    assert_eq!(store.unseal(&[cleo]).await.unwrap(), [Some("Cleo".into())]);
    assert_eq!(check_whole(store).await, 4);
}

async fn operational_changes_are_whole_or_not_at_all(store: &dyn Store) {
    let lease = |name: &str, until: Value| Statement {
        sql: "INSERT INTO leases (name, until) VALUES ($1, $2)",
        params: vec![name.into(), until],
    };
    let both = vec![lease("a", Value::Int(5)), lease("b", Value::Null)];
    assert_eq!(store.execute(both).await.unwrap(), [1, 1]);
    let half = vec![lease("c", Value::Null), lease("a", Value::Null)];
    store.execute(half).await.unwrap_err();
    let entryless = vec![lease("d", Value::Index)];
    store.execute(entryless).await.unwrap_err();
    let changed = store
        .execute(vec![
            Statement {
                sql: "UPDATE leases SET until = $1",
                params: vec![Value::Int(7)],
            },
            Statement {
                sql: "UPDATE leases SET until = $1 WHERE name = $2",
                params: vec![Value::Int(8), "z".into()],
            },
        ])
        .await
        .unwrap();
    assert_eq!(changed, [2, 0]);
    let rows = store
        .query("SELECT name, until FROM leases ORDER BY name", vec![])
        .await
        .unwrap();
    let rows: Vec<_> = rows.iter().map(|row| (row.text(0), row.int(1))).collect();
    assert_eq!(rows, [("a", Some(7)), ("b", Some(7))]);
    assert_eq!(check_whole(store).await, 0);
}

async fn parameters_go_by_their_number(store: &dyn Store) {
    let params = || vec![Value::Int(1), Value::from("two"), Value::Bytes(vec![3])];
    let rows = store
        .query("SELECT $2, $1, $3, $1, NULL", params())
        .await
        .unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(
        rows[0].0,
        [
            "two".into(),
            Value::Int(1),
            Value::Bytes(vec![3]),
            Value::Int(1),
            Value::Null
        ]
    );
    for (sql, why) in [
        ("SELECT $1, $2", "one too many"),
        ("SELECT $1, $2, $3, $4", "one too few"),
    ] {
        assert!(store.query(sql, params()).await.is_err(), "{why}");
    }
}

async fn queries_cannot_write(store: &dyn Store) {
    for sql in [
        "INSERT INTO leases (name) VALUES ('a')",
        "DELETE FROM entries",
        "UPDATE head SET size = 7",
    ] {
        assert!(store.query(sql, vec![]).await.is_err(), "{sql}");
    }
    assert_eq!(check_whole(store).await, 0);
}

async fn refused_inputs(store: &dyn Store) {
    let mut large = append("c1", &[("org", 1)], &[]);
    large.entries[0].bytes = vec![b'x'; 65_536];
    let mut broken = append("c1", &[("org", 1)], &[]);
    broken.entries[0].projections[0].sql = "INSERT INTO no_such_table VALUES ($1, $2)";
    let mut null = append("c1", &[("org", 1)], &[]);
    null.entries[0].projections[0].params[1] = Value::Null;
    for (refused, why) in [
        (large, "over 65,535 bytes"),
        (append("c1", &[("org", 0)], &[]), "versions begin at 1"),
        (append("c1", &[("org", u64::MAX)], &[]), "no such version"),
        (broken, "a projection that is no SQL"),
        (
            null,
            "a projection that breaks a rule that is not uniqueness",
        ),
    ] {
        let answer = store.append(refused).await;
        assert!(
            matches!(answer, Err(AppendError::Store(_))),
            "{why}: {answer:?}"
        );
    }
    assert_eq!(check_whole(store).await, 0);
    let mut largest = append("c1", &[("org", 1)], &[]);
    largest.entries[0] = lumos_engine::ports::NewEntry {
        bytes: vec![b'x'; 65_535],
        ..entry("org", 1)
    };
    store.append(largest).await.unwrap();
    assert_eq!(store.entries(0, 1).await.unwrap()[0].bytes.len(), 65_535);
}

async fn the_committed_size_is_announced(store: &dyn Store) {
    let mut committed: watch::Receiver<u64> = store.committed();
    assert_eq!(*committed.borrow_and_update(), 0);
    store
        .append(append("c1", &[("org", 1), ("org", 2)], &[]))
        .await
        .unwrap();
    // Announced before the caller is answered, so it is there by now.
    assert!(committed.has_changed().unwrap());
    assert_eq!(*committed.borrow_and_update(), 2);
    store
        .append(append("c2", &[("org", 9)], &[]))
        .await
        .unwrap_err();
    store.execute(vec![]).await.unwrap();
    assert!(!committed.has_changed().unwrap(), "nothing was appended");
}
