//! The story over PostgreSQL: each write gone wrong at its port, each commit cut off on the wire, and several of both
//! at once. What it leaves behind is what it leaves in SQLite.
//!
//! Here a slice that a seed draws; `cargo xtask soak stories` runs all of it.

use std::{env, sync::atomic::AtomicUsize, sync::atomic::Ordering, thread};

use anyhow::{Result, ensure};
use lumos_sim::{After, Fault, Ground, Plan, Story, World, check::Shape, entropy::Numbers};
use lumos_store::PostgresSettings;

use crate::{
    campaign::{FAULTS_MAX, drawn, same, untroubled},
    cluster::Cluster,
};

/// Everything that can become of a write.
const FATES: [(Fault, After); 4] = [
    (Fault::Failed, After::Returned),
    (Fault::Persisted, After::Returned),
    (Fault::Failed, After::Died),
    (Fault::Persisted, After::Died),
];
/// Worlds of a slice.
const SLICE: usize = 12;
/// Worlds that live at the same time: each mostly waits for the server.
const AT_ONCE: usize = 3;
/// Commits that a random cut may hit.
const COMMITS: usize = 300;

/// How many worlds to live through, of those there are.
#[expect(
    clippy::disallowed_methods,
    reason = "the caller of a long run says how long"
)]
fn worlds() -> usize {
    env::var("LUMOS_SOAK_STORIES").map_or(SLICE, |n| n.parse().unwrap())
}

/// Lives in a world of its own database through a story, and checks it.
fn told(cluster: &Cluster, story: Story, plan: Plan, seed: Option<u64>) -> Result<(Shape, World)> {
    let database = cluster.database();
    let settings = PostgresSettings {
        url: cluster.url("lumos", &database),
        owner_url: None,
        accept_loss: false,
    };
    let mut world = World::on(Ground::Database(settings), story, plan, seed)?;
    let lived = world.live();
    let checked = lived.and_then(|()| world.check());
    let left = checked.is_ok().then(|| cluster.dump(&database));
    let gone = format!("DROP DATABASE {database} WITH (FORCE)");
    cluster.sql("postgres", &gone);
    let shape = checked?;
    // Whoever was erased is in no row and in no file beside the database.
    if shape.erased() {
        let name = "dev@acme.example";
        let bytes: String = name.bytes().map(|byte| format!("{byte:02x}")).collect();
        let there = |dump: String| dump.contains(name) || dump.contains(&bytes);
        ensure!(!left.is_some_and(there), "{name} is left");
        ensure!(world.files_with(name)?.is_empty(), "{name} is in a file");
    }
    Ok((shape, world))
}

/// A trouble and what is done about it: a plan, what is thrown, and what one calls it.
struct Trouble {
    name: String,
    plan: Plan,
    seed: Option<u64>,
    /// Whether the process ends in it, once. Otherwise it may all the same, where a start fails.
    dies: bool,
}

/// Lives through as many of the troubles as are asked for, several at once, and says which ended otherwise than `shape`.
fn each(cluster: &Cluster, story: &Story, shape: &Shape, mut troubles: Vec<Trouble>) {
    let all = troubles.len();
    let mut numbers = Numbers::new(11);
    while troubles.len() > worlds() {
        troubles.swap_remove(numbers.below(troubles.len()));
    }
    let some = troubles.len();
    let (waiting, starts) = (std::sync::Mutex::new(troubles), AtomicUsize::new(0));
    let worker = || {
        let mut wrong = Vec::new();
        loop {
            let Some(trouble) = waiting.lock().unwrap().pop() else {
                return wrong;
            };
            let ended = told(cluster, story.clone(), trouble.plan, trouble.seed);
            let ended = ended.and_then(|(now, world)| {
                starts.fetch_add(world.starts, Ordering::Relaxed);
                let died = world.starts == 2;
                ensure!(!trouble.dies || died, "{} starts", world.starts);
                same(&now, shape)
            });
            if let Err(error) = ended {
                wrong.push(format!("{}: {error:#}", trouble.name));
            }
        }
    };
    let wrong: Vec<String> = thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(worker)).collect();
        let ended = workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap());
        ended.collect()
    });
    assert!(
        wrong.is_empty(),
        "{} of {some}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    println!("{some} of {all} troubles, {} starts", starts.into_inner());
}

/// Every fate of each of `count` writes; `plan` makes one of them happen.
fn every(writes: &[&'static str], plan: impl Fn(usize, Fault, After) -> Plan) -> Vec<Trouble> {
    let mut troubles = Vec::new();
    for (n, kind) in writes.iter().enumerate() {
        for (fault, after) in FATES {
            troubles.push(Trouble {
                name: format!("write {n} ({kind}) {fault:?}, {after:?}"),
                plan: plan(n, fault, after),
                seed: None,
                dies: after == After::Died,
            });
        }
    }
    troubles
}

#[test]
fn real_the_story_is_the_same_whatever_becomes_of_a_write() {
    let Some(cluster) = Cluster::start_in_memory() else {
        return;
    };
    let (in_sqlite, _) = untroubled();
    let (shape, world) = told(&cluster, Story::ordinary(), Plan::default(), None).unwrap();
    same(&shape, &in_sqlite).unwrap();
    let writes = world.plan().writes();
    for kind in ["append", "operational", "blob", "anchor", "registry"] {
        assert!(writes.contains(&kind), "{kind} is not among {writes:?}");
    }
    let troubles = every(&writes, |n, fault, after| Plan::new([(n, fault, after)]));
    each(&cluster, &Story::ordinary(), &shape, troubles);
}

#[test]
fn real_the_story_is_the_same_wherever_the_wire_is_cut() {
    let Some(cluster) = Cluster::start_in_memory() else {
        return;
    };
    let (shape, world) = told(&cluster, Story::ordinary(), Plan::default(), None).unwrap();
    let stored = |kind: &&&str| matches!(**kind, "append" | "operational" | "blob");
    let writes = world.plan().writes();
    let (commits, stored) = (world.plan().commits(), writes.iter().filter(stored).count());
    // Making the tables is one more; storing what is there already is none.
    assert!(
        commits > stored / 2 && commits <= stored + 1,
        "{commits} of {stored}"
    );
    let commits = vec!["commit"; commits];
    let cut = |n, fault, after| Plan::default().cutting([(n, fault, after)]);
    each(&cluster, &Story::ordinary(), &shape, every(&commits, cut));
}

#[test]
fn real_an_erasure_happens_once_whatever_becomes_of_its_writes() {
    let Some(cluster) = Cluster::start_in_memory() else {
        return;
    };
    let (shape, world) = told(&cluster, Story::erasing(), Plan::default(), None).unwrap();
    assert!(shape.erased());
    let (writes, commits) = (world.plan().writes(), world.plan().commits());
    let mut troubles = every(&writes, |n, fault, after| Plan::new([(n, fault, after)]));
    let cut = |n, fault, after| Plan::default().cutting([(n, fault, after)]);
    troubles.extend(every(&vec!["commit"; commits], cut));
    each(&cluster, &Story::erasing(), &shape, troubles);
}

/// Others come in between at every call of a port, in an order that a seed draws, while several writes go wrong, the
/// wire is cut several times, and the registry is not always there.
#[test]
fn real_in_any_order_with_any_faults_the_same_happens() {
    let Some(cluster) = Cluster::start_in_memory() else {
        return;
    };
    let (shape, _) = told(&cluster, Story::ordinary(), Plan::default(), None).unwrap();
    let troubles = (0..worlds() as u64).map(|seed| {
        let mut numbers = Numbers::new(seed ^ 0x5eed);
        let cuts = (0..numbers.below(FAULTS_MAX)).map(|_| {
            let (fault, after) = FATES[numbers.below(FATES.len())];
            (numbers.below(COMMITS), fault, after)
        });
        let cuts: Vec<_> = cuts.collect();
        Trouble {
            name: format!("seed {seed}"),
            plan: drawn(seed).cutting(cuts),
            seed: Some(seed),
            dies: false,
        }
    });
    each(&cluster, &Story::ordinary(), &shape, troubles.collect());
}
