//! A clock that is set is an entry, while the server runs and when it starts; one that goes on is not.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use lumos_domain::event::Event;
use lumos_engine::{Door, LedgerEntry, clock, key::ServerKey, ports::Ports};
use lumos_store::{DirBlobs, SqliteStore};
use tokio::sync::watch;

use crate::leases::{Counted, Hands, found};

const BEGIN_US: i64 = 1_800_000_000_000_000;

async fn door(dir: &std::path::Path, hands: &Arc<Hands>) -> Door {
    let ports = Ports {
        store: Arc::new(SqliteStore::open(dir, &lumos_engine::schema()).unwrap()),
        blobs: Arc::new(DirBlobs::open(dir).unwrap()),
        clock: Arc::clone(hands) as _,
        // Other ids after each start.
        entropy: Arc::new(Counted(AtomicU64::new(
            hands.0.load(Ordering::SeqCst).unsigned_abs(),
        ))),
        key: Arc::new(ServerKey::new([7; 32])),
    };
    Door::open(ports, "lumos.acme.example/main").await.unwrap()
}

/// What is recorded of the clock, in order: its sources, and how many seconds it went astray.
async fn recorded(door: &Door) -> (Vec<String>, Vec<i64>) {
    let (mut sources, mut steps) = (Vec::new(), Vec::new());
    for entry in door.ports().store.entries(0, u32::MAX).await.unwrap() {
        match LedgerEntry::read(&entry).unwrap().event {
            Event::ClockSourceNamed(named) => sources.push(named.source),
            Event::ClockStepped(step) => {
                steps.push(step.found.duration_since(step.expected).as_secs());
            }
            _ => {}
        }
    }
    (sources, steps)
}

#[tokio::test]
async fn a_start_behind_the_last_entry_is_recorded_and_a_source_when_it_changes() {
    let dir = tempfile::tempdir().unwrap();
    let hands = Arc::new(Hands(AtomicI64::new(BEGIN_US)));
    let start = async |source: &str| {
        let door = door(dir.path(), &hands).await;
        let told = clock::told(&*door.ports().store).await.unwrap();
        clock::begin(&door, told, source.to_owned()).await.unwrap();
        recorded(&door).await
    };
    let first = door(dir.path(), &hands).await;
    // Nothing is recorded of a ledger that is not founded.
    assert!(clock::begin(&first, None, "x".to_owned()).await.is_err());
    found(&first, 1).await;
    drop(first);
    let ntp = "NTP by time.acme.example";
    assert_eq!(start(ntp).await, (vec![ntp.to_owned()], vec![]));
    hands.forward(-4);
    assert_eq!(
        start(ntp).await.1,
        [] as [i64; 0],
        "replicas differ by as much"
    );
    hands.forward(-3_600);
    let (sources, steps) = start("a\nhand").await;
    assert_eq!(sources, [ntp, "ahand"]);
    assert_eq!(steps, [-3_604]);
    // It is behind no longer: what was recorded since has the new time. Going forward while nothing ran is no step.
    hands.forward(86_400);
    assert_eq!(start("a\nhand").await.1, [-3_604]);
}

#[tokio::test]
async fn a_clock_that_is_set_under_a_running_server_is_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let hands = Arc::new(Hands(AtomicI64::new(BEGIN_US)));
    let door = door(dir.path(), &hands).await;
    found(&door, 1).await;
    let (stop, stopped) = watch::channel(false);
    // Ten seconds go by between two looks, whatever is done to the hands meanwhile.
    let settings = [0, 0, 1, -1, 0, 300, 0, -7_200, 0, 4, 4];
    let looks = AtomicUsize::new(0);
    let steady = || {
        let look = looks.fetch_add(1, Ordering::SeqCst);
        match settings.get(look + 1) {
            Some(set) => hands.forward(10 + set),
            None => drop(stop.send_replace(true)),
        }
        Duration::from_secs(10 * look as u64)
    };
    clock::run(door.clone(), steady, Duration::from_millis(1), stopped).await;
    assert_eq!(looks.load(Ordering::SeqCst), settings.len());
    assert_eq!(recorded(&door).await.1, [300, -7_200]);
}
