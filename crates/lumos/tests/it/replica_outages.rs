//! Several servers of one ledger while what they stand on fails: the database is killed, fails over, or cannot be
//! reached; so does the object store; the servers themselves are killed. Nothing acknowledged is lost, nothing is
//! shown that is not anchored, nothing outside happens twice.

use std::{collections::BTreeMap, future::pending, time::Duration};

use lumos_http::Method;
use rustix::fs::inotify;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    bucket::Bucket,
    cluster::Cluster,
    proxy::{Proxy, Wire},
    replicas::{checkpoint, define, first, ready, show_the_anchored, until_ready},
    world::{Person, World, promoted, until},
};

async fn is_there(world: &World, who: &Person, entry: u64) {
    let read = world.known(who);
    let entry = read.get(&format!("/api/v1/ledger/entries/{entry}")).await;
    assert_eq!(entry["type"], "lumos.role.defined.v1");
}

#[tokio::test]
async fn real_a_fail_over_loses_nothing_and_what_was_left_behind_is_fenced() {
    let Some((primary, bucket, mut one)) = first(2).await else {
        return;
    };
    let standby = primary.standby();
    let (before, after) = (primary.address(), standby.address());
    one.stop().await;
    let both = format!("{before},{after}");
    one.change(|settings| settings.replace(&before.to_string(), &both));
    let mut other = one.beside();
    one.start(0).await;
    other.start(0).await;
    let administrator = one.person("administrator").await;
    let elsewhere = other.known(&administrator);
    let mut made = Vec::new();
    for n in 0..5 {
        made.push(define(&administrator, &format!("before-{n}")).await);
        made.push(define(&elsewhere, &format!("before-other-{n}")).await);
    }
    primary.kill();
    standby.promote();
    // Neither server was told anything.
    for world in [&one, &other] {
        until_ready(world).await;
    }
    for (world, n) in [(&one, 1), (&other, 2)] {
        let who = world.known(&administrator);
        made.push(define(&who, &format!("after-{n}")).await);
    }
    for entry in made {
        is_there(&one, &administrator, entry).await;
    }
    show_the_anchored(&bucket, &[&one, &other]).await;
    one.ledger_verifies("developer").await;

    // The old one comes back and would take writes. Whoever is led to it finds that the anchor knows more.
    other.stop().await;
    primary.up_alone();
    other.change(|settings| settings.replace(&both, &before.to_string()));
    other.say("serve").await.is(1, "code behind-anchor");
    until_ready(&one).await;
    one.ledger_verifies("developer").await;
}

#[tokio::test]
async fn real_a_database_that_is_killed_or_out_of_reach_stops_nobody_for_good() {
    let Some((cluster, bucket, one)) = first(2).await else {
        return;
    };
    let wire = Proxy::to(cluster.address()).await;
    let mut other = one.beside();
    let (here, there) = (cluster.address().to_string(), wire.address().to_string());
    other.change(|settings| settings.replace(&here, &there));
    other.start(0).await;
    let administrator = one.person("administrator").await;
    define(&other.known(&administrator), "before").await;
    show_the_anchored(&bucket, &[&one, &other]).await;

    // One of the two cannot reach the database: it says so and shows nothing new; the other one goes on.
    let (size, _) = checkpoint(&other).await;
    wire.set(Wire::Cut);
    let cut = define(&administrator, "while-cut").await;
    until_ready(&one).await;
    assert_ne!(ready(&other.with("").peer).await, Some(200));
    let (now, _) = checkpoint(&one).await;
    assert!(now > cut && now > size);
    assert_eq!(checkpoint(&other).await.0, size);
    wire.set(Wire::Open);
    show_the_anchored(&bucket, &[&one, &other]).await;
    is_there(&other, &administrator, cut).await;

    cluster.kill();
    for world in [&one, &other] {
        assert_ne!(ready(&world.with("").peer).await, Some(200));
    }
    cluster.up();
    show_the_anchored(&bucket, &[&one, &other]).await;
    define(&other.known(&administrator), "after").await;
    show_the_anchored(&bucket, &[&one, &other]).await;
    other.ledger_verifies("developer").await;
}

#[tokio::test]
async fn real_an_object_store_out_of_reach_holds_back_what_is_shown() {
    let Some((_cluster, bucket, one)) = first(2).await else {
        return;
    };
    let mut other = one.beside();
    other.start(0).await;
    let administrator = one.person("administrator").await;
    show_the_anchored(&bucket, &[&one, &other]).await;
    let (size, _) = checkpoint(&one).await;
    for wire in [
        Wire::Cut,
        Wire::Says("HTTP/1.1 503 Slow Down\r\ncontent-length: 0\r\n\r\n"),
        Wire::LosesAnswers,
    ] {
        let (before, _) = checkpoint(&one).await;
        bucket.set(wire);
        // What people do is kept, and not yet shown.
        let entry = define(&administrator, &format!("while-{before}")).await;
        for world in [&one, &other] {
            assert_eq!(ready(&world.with("").peer).await, Some(503), "{wire:?}");
            assert_eq!(checkpoint(world).await.0, before, "{wire:?}");
        }
        let start = one.beside().say("serve").await;
        assert_eq!(start.code, Some(1), "{start:?}");
        bucket.set(Wire::Open);
        show_the_anchored(&bucket, &[&one, &other]).await;
        is_there(&other, &administrator, entry).await;
    }
    assert!(checkpoint(&one).await.0 > size);
    other.ledger_verifies("developer").await;
}

/// How many releases flow; `LUMOS_SOAK_RELEASES` says another number.
fn releases() -> usize {
    #[expect(
        clippy::disallowed_methods,
        reason = "how long a campaign is comes from outside"
    )]
    let asked = std::env::var("LUMOS_SOAK_RELEASES");
    asked.map_or(30, |number| number.parse().unwrap())
}

/// Releases between two kills.
const KILL_EVERY: usize = 10;

/// The outside world's own count of what it was asked: each time the registry's alias was moved.
struct Counter(rustix::fd::OwnedFd);

impl Counter {
    fn of(folder: &std::path::Path) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let watch = inotify::init(inotify::CreateFlags::NONBLOCK).unwrap();
        inotify::add_watch(&watch, folder, inotify::WatchFlags::MOVED_TO).unwrap();
        Self(watch)
    }

    /// How often since the last count a file got the name.
    fn count(&self, name: &str) -> usize {
        let mut space = [std::mem::MaybeUninit::uninit(); 4_096];
        let mut events = inotify::Reader::new(&self.0, &mut space);
        let mut seen = 0;
        while let Ok(event) = events.next() {
            let moved = event.file_name().and_then(|name| name.to_str().ok());
            seen += usize::from(moved == Some(name));
        }
        seen
    }
}

#[tokio::test]
async fn real_three_servers_killed_in_turn_lead_each_release_to_its_end_once() {
    let Some((_cluster, bucket, one)) = first(3).await else {
        return;
    };
    let mut worlds = [one.beside(), one.beside(), one];
    for world in worlds.iter_mut().take(2) {
        world.start(0).await;
    }
    let home = 2;
    let counter = Counter::of(&worlds[home].path("models/triage/.aliases"));
    let mut people = BTreeMap::new();
    for login in ["developer", "compliance", "expert"] {
        people.insert(login, worlds[home].person(login).await);
    }
    let all = releases();
    for n in 0..all {
        let release = format!("triage/1.{n}");
        // One is killed while it may be fetching and scanning, another while it may be promoting.
        let turn = n / KILL_EVERY;
        let kills = (n % KILL_EVERY == 0).then_some((turn % 3, (turn + 1) % 3));
        let asked = (turn + 2) % 3;
        worlds[home].publish(&format!("1.{n}"));
        let developer = worlds[asked].known(&people["developer"]);
        let seen = |view: &Value| view["model"] == "triage";
        developer.until(&release, seen).await;
        if let Some((victim, _)) = kills {
            worlds[victim].kill().await;
        }
        let open = |view: &Value| view["state"] == "in review";
        developer.until(&release, open).await;
        let path = format!("/api/v1/releases/{release}/claims");
        let claim = json!({ "claim": 1 });
        developer.ask(Method::POST, &path, &claim).await.is(200);
        if n == 0 {
            for login in ["compliance", "expert"] {
                worlds[asked]
                    .known(&people[login])
                    .sign(&release)
                    .await
                    .is(200);
            }
        }
        if let Some((first, victim)) = kills {
            worlds[victim].kill().await;
            worlds[first].start(0).await;
        }
        developer.until(&release, promoted).await;
        if let Some((_, victim)) = kills {
            worlds[victim].start(0).await;
        }
        assert_eq!(counter.count("champion"), 1, "{release}");
    }
    for n in 0..all {
        let history = worlds[n % 3].history(&format!("triage/1.{n}")).await;
        for kind in [
            "lumos.candidate.detected.v1",
            "lumos.release.identified.v1",
            "lumos.release.approved.v1",
            "lumos.promotion.intended.v1",
            "lumos.promotion.observed.v1",
        ] {
            let times = history.iter().filter(|seen| *seen == kind).count();
            assert_eq!(times, 1, "{kind} of 1.{n} in {history:?}");
        }
    }
    show_the_anchored(&bucket, &worlds.each_ref()).await;
    worlds[0].ledger_verifies("developer").await;
}

#[tokio::test]
async fn real_what_answers_nobody_holds_no_stop_up() {
    // Once the database, then the anchor, while there is something to sign.
    let (Some(cluster), Some(bucket)) = (Cluster::start(), Bucket::start().await) else {
        return;
    };
    let wire = Proxy::to(cluster.address()).await;
    let name = cluster.database();
    let url = cluster.url("lumos", &name);
    let through = url.replace(&cluster.address().to_string(), &wire.address().to_string());
    assert_ne!(url, through);
    let database = format!("postgres: {{url: '{through}', replicas: 2}}\n");
    let objects = bucket.settings("");
    let mut world = World::acme_with(|settings| settings + &database + &objects).await;
    let administrator = world.person("administrator").await;
    until_ready(&world).await;
    let ask = async |world: &World, role: &str| {
        let path = format!("/api/v1/roles/{role}");
        let person = world.known(&administrator);
        let put = person.peer.request(Method::PUT, &path);
        drop(put.json_body(&json!({ "rights": [] })).send().await);
    };
    let defined = || {
        let sql = "SELECT count(*) FROM entries WHERE kind = 'lumos.role.defined.v1'";
        cluster.sql(&name, sql).parse::<u64>().unwrap()
    };
    let before = defined();
    bucket.set(Wire::Cut);
    let kept = until(async || {
        tokio::task::yield_now().await;
        defined() > before
    });
    // Whether anybody is told or not, there is something to sign.
    let asking = async {
        ask(&world, "one").await;
        pending::<()>().await;
    };
    tokio::select! {
        () = kept => {}
        () = asking => {}
    }
    assert!(world.stop().await.success());
    bucket.set(Wire::Open);
    world.start(0).await;
    until_ready(&world).await;
    wire.set(Wire::Cut);
    // It may be decided or not.
    drop(timeout(Duration::from_secs(1), ask(&world, "two")).await);
    assert!(world.stop().await.success());
    wire.set(Wire::Open);
    world.start(0).await;
    until_ready(&world).await;
    world.ledger_verifies("developer").await;
}
