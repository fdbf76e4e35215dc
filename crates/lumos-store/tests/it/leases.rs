//! Two runtimes on one database: every entry is handled once in effect, the work of a holder that died is taken over,
//! and one that only stood still can no longer write.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use jiff::Timestamp;
use lumos_domain::{
    actor::{Actor, Caller, Grant, OwnAgent, Right, Scope},
    command::Command,
    event::{DenialRecorded, Event},
    id::{Digest, PersonId, RoleName},
    org::Genesis,
    person::AddPerson,
    proposal::Governed,
    words::Mode,
};
use lumos_engine::{
    Door, LedgerEntry, Request,
    key::ServerKey,
    ports::{Clock, Entropy, Ports, Statement, Store},
    runtime::{self, Follow, Follower, Hand, HandleError, Subscriber},
    secret::{self, Sealer},
};
use lumos_store::PostgresStore;
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
};

use crate::cluster::Cluster;

/// Longer than any lease where several processes write.
const LEASE_OVER_S: i64 = 31;
const PEOPLE: u64 = 60;

/// A clock that stands still until it is moved.
pub(crate) struct Hands(pub(crate) AtomicI64);

impl Hands {
    pub(crate) fn forward(&self, seconds: i64) {
        self.0.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }
}

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp::from_microsecond(self.0.load(Ordering::SeqCst)).unwrap()
    }
}

/// Counted and hashed: unique over all replicas of a test.
pub(crate) struct Counted(pub(crate) AtomicU64);

impl Entropy for Counted {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(32) {
            let count = self.0.fetch_add(1, Ordering::Relaxed);
            chunk.copy_from_slice(&Digest::of(&count.to_be_bytes()).as_bytes()[..chunk.len()]);
        }
    }
}

/// An agent that calls an outside peer about every person, then records that it did; nothing but the runtime keeps
/// it from doing that twice.
struct Telephonist {
    name: &'static str,
    asked: Arc<Mutex<BTreeMap<u64, u64>>>,
    /// Where it stands still after the call, when it is told to.
    pause: Option<(Arc<Notify>, Arc<Notify>)>,
}

#[async_trait]
impl Subscriber for Telephonist {
    fn agent(&self) -> OwnAgent {
        OwnAgent::ReleaseMonitor
    }

    fn wants(&self, event: &Event) -> bool {
        matches!(event, Event::PersonAdded(_))
    }

    async fn handle(&self, hand: &Hand, entry: &LedgerEntry) -> Result<(), HandleError> {
        *self.asked.lock().unwrap().entry(entry.index).or_default() += 1;
        if let Some((reached, go_on)) = &self.pause {
            reached.notify_one();
            go_on.notified().await;
        }
        let denial = DenialRecorded {
            decision: format!("of {}", self.name),
            agent: format!("ward{}/triage", entry.index).parse().unwrap(),
            environment: "production".parse().unwrap(),
            model: "triage".to_owned(),
            wanted: entry.index.to_string(),
            reason: "no-approval".to_owned(),
            mode: Mode::Enforce,
        };
        // Under another name each time: no command id keeps a second one out.
        let step = format!("call-of-{}", self.name);
        hand.submit(&step, Command::RecordDenial(denial)).await?;
        Ok(())
    }
}

/// Replicas that share a database, a clock and an outside peer.
struct House {
    cluster: Cluster,
    database: String,
    clock: Arc<Hands>,
    entropy: Arc<Counted>,
    asked: Arc<Mutex<BTreeMap<u64, u64>>>,
}

impl House {
    fn new() -> Option<Self> {
        let cluster = Cluster::start()?;
        Some(Self {
            database: cluster.database(),
            cluster,
            clock: Arc::new(Hands(AtomicI64::new(1_800_000_000_000_000))),
            entropy: Arc::new(Counted(AtomicU64::new(0))),
            asked: Arc::default(),
        })
    }

    async fn replica(&self) -> Door {
        let settings = self.cluster.settings(&self.database);
        let store = PostgresStore::open(&settings, &lumos_engine::schema()).await;
        let store = store.unwrap();
        let ports = Ports {
            blobs: Arc::new(store.blobs()),
            store: Arc::new(store),
            clock: Arc::clone(&self.clock) as _,
            entropy: Arc::clone(&self.entropy) as _,
            key: Arc::new(ServerKey::new([7; 32])),
        };
        Door::open(ports, "lumos.acme.example/main").await.unwrap()
    }

    fn agent(&self, name: &'static str) -> Telephonist {
        Telephonist {
            name,
            asked: Arc::clone(&self.asked),
            pause: None,
        }
    }
}

/// Founds Acme with its founder and as many `more`.
pub(crate) async fn found(door: &Door, more: u64) {
    let entropy = Arc::clone(&door.ports().entropy);
    {
        let mut sealer = Sealer::new(&*entropy);
        let founder: PersonId = "p-founder".parse().unwrap();
        let role: RoleName = "administrator".parse().unwrap();
        let grant = Grant {
            role: role.clone(),
            scope: Scope::Organisation,
        };
        let mut commands = vec![
            Command::Found(Genesis {
                founders: vec![founder.clone()],
                origin: "lumos.acme.example/main".to_owned(),
                sandbox: true,
                seeds: Vec::new(),
                settings: Digest::of(b"settings"),
            }),
            Governed::DefineRole {
                role,
                rights: [Right::ManagePeople].into(),
            }
            .into(),
        ];
        for person in (0..more).map(|n| format!("p-{n}").parse().unwrap()) {
            commands.push(add(person, &mut sealer));
        }
        commands.push(add(founder.clone(), &mut sealer));
        commands.push(
            Governed::GrantRole {
                person: founder,
                grant,
            }
            .into(),
        );
        let request = Request {
            caller: Caller::new(Actor::Genesis),
            command_id: secret::command_id(&*entropy).unwrap(),
            commands,
            sealed: sealer.into_values(),
            causation: None,
        };
        door.submit(request).await.unwrap();
    }
}

fn add(person: PersonId, sealer: &mut Sealer<'_>) -> Command {
    Command::AddPerson(AddPerson {
        name: sealer.seal("Acme Model Developer"),
        login: sealer.seal(&person.to_string()),
        person,
        service: false,
    })
}

/// What was recorded: the entry it is about, and by whom.
async fn recorded(store: &dyn Store) -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for entry in store.entries(0, u32::MAX).await.unwrap() {
        if let Event::DenialRecorded(denial) = LedgerEntry::read(&entry).unwrap().event {
            all.entry(denial.wanted).or_default().push(denial.decision);
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_every_entry_is_handled_by_one_of_the_replicas() {
    let Some(house) = House::new() else { return };
    let (one, two) = (house.replica().await, house.replica().await);
    found(&one, PEOPLE).await;
    let (stop, stopped) = watch::channel(false);
    let mut running = JoinSet::new();
    for (name, door) in [("one", &one), ("two", &two)] {
        let agent: Arc<dyn Follow> = Arc::new(house.agent(name));
        running.spawn(runtime::run(door.clone(), vec![agent], stopped.clone()));
    }
    let store = &*two.ports().store;
    let mut committed = store.committed();
    while recorded(store).await.len() as u64 <= PEOPLE {
        committed.changed().await.unwrap();
    }
    stop.send_replace(true);
    while let Some(ended) = running.join_next().await {
        ended.unwrap().unwrap();
    }
    let recorded = recorded(store).await;
    assert!(recorded.values().all(|by| by.len() == 1), "{recorded:?}");
    let asked = house.asked.lock().unwrap().clone();
    assert_eq!(asked.len() as u64, PEOPLE + 1);
    assert!(asked.values().all(|times| *times == 1), "{asked:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_the_work_of_one_that_died_is_taken_over_and_its_late_write_refused() {
    let Some(house) = House::new() else { return };
    let (one, two) = (house.replica().await, house.replica().await);
    found(&one, 2).await;
    let (reached, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let slow = Telephonist {
        pause: Some((Arc::clone(&reached), Arc::clone(&go_on))),
        ..house.agent("slow")
    };
    let slow = Follower::new(one.clone(), Arc::new(slow));
    let quick = Follower::new(two.clone(), Arc::new(house.agent("quick")));

    // One takes all three. It stands still over the first; the process that held the others is gone.
    let held = slow.due(8).await.unwrap();
    assert_eq!(held.len(), 3);
    let standing = held[0];
    let mut still = JoinSet::new();
    let one_more = slow.clone();
    still.spawn(async move { one_more.work(standing).await });
    reached.notified().await;
    assert_eq!(quick.due(8).await.unwrap(), [], "the leases run");
    house.clock.forward(LEASE_OVER_S);
    let over = quick.due(8).await.unwrap();
    let entries = |taken: &[runtime::Taken]| taken.iter().map(|t| t.entry).collect::<Vec<_>>();
    assert_eq!(entries(&over), entries(&held));
    assert!(over.iter().all(|taken| taken.attempt == 2));
    // While the second one has not finished, the first wakes up and wants to write.
    go_on.notify_one();
    still.join_next().await.unwrap().unwrap().unwrap();
    assert_eq!(recorded(&*two.ports().store).await, BTreeMap::new());
    for taken in over {
        quick.work(taken).await.unwrap();
    }
    // And once more when all is done.
    go_on.notify_one();
    slow.work(standing).await.unwrap();
    let recorded = recorded(&*two.ports().store).await;
    assert_eq!(recorded.len(), 3);
    assert!(
        recorded.values().all(|by| *by == ["of quick"]),
        "{recorded:?}"
    );
    house.clock.forward(LEASE_OVER_S);
    assert_eq!(
        slow.due(8).await.unwrap(),
        [],
        "nothing is left, and nothing came back"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_a_rolling_restart_brings_no_entry_nearer_to_the_dead_letters() {
    let Some(house) = House::new() else { return };
    let door = house.replica().await;
    found(&door, 0).await;
    // Whoever is asked never answers; more servers stop over it than an entry may fail.
    for _ in 0..13 {
        let (reached, never) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let agent: Arc<dyn Follow> = Arc::new(Telephonist {
            pause: Some((Arc::clone(&reached), never)),
            ..house.agent("slow")
        });
        let (stop, stopped) = watch::channel(false);
        let mut running = JoinSet::new();
        running.spawn(runtime::run(door.clone(), vec![agent], stopped));
        reached.notified().await;
        stop.send_replace(true);
        running.join_next().await.unwrap().unwrap().unwrap();
    }
    let agent = Follower::new(door.clone(), Arc::new(house.agent("slow")));
    let [taken] = agent.due(8).await.unwrap()[..] else {
        panic!("it waits");
    };
    assert_eq!(taken.attempt % 1_000, 1, "the first that counts");
    assert!(taken.attempt > 13_000, "and none had this number before");
    agent.work(taken).await.unwrap();
    let all = runtime::progress(&*door.ports().store).await.unwrap();
    let own = all.into_iter().find(|one| one.agent == agent.name());
    assert_eq!(own.unwrap().dead_count, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_a_timer_that_is_due_at_both_replicas_fires_once() {
    let Some(house) = House::new() else { return };
    let (one, two) = (house.replica().await, house.replica().await);
    found(&one, 0).await;
    let timer = Statement {
        sql: "INSERT INTO timers (stream, key, due_us) VALUES ('review/triage/1/production/1', 'expiry', 1)",
        params: vec![],
    };
    one.ports().store.execute(vec![timer]).await.unwrap();
    let (a, b) = tokio::join!(runtime::fire_due(&one), runtime::fire_due(&two));
    a.unwrap();
    b.unwrap();
    let left = one
        .ports()
        .store
        .query("SELECT key FROM timers", vec![])
        .await;
    assert!(left.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_operators_try_again_and_go_back() {
    let Some(house) = House::new() else { return };
    let door = house.replica().await;
    found(&door, 2).await;
    let store = &*door.ports().store;
    let agent = Follower::new(door.clone(), Arc::new(house.agent("first")));
    let work = async || {
        let due = agent.due(8).await.unwrap();
        for taken in &due {
            agent.work(*taken).await.unwrap();
        }
        due.len()
    };
    let name = agent.name().to_owned();
    let own = async || {
        let all = runtime::progress(store).await.unwrap();
        all.into_iter().find(|one| one.agent == name).unwrap()
    };
    assert_eq!(work().await, 3);
    // Two of them are given up, as after many failures.
    let size = own().await.next;
    runtime::replay(store, &name, 0, door.ports().clock.now())
        .await
        .unwrap();
    assert_eq!(own().await.next, 0);
    let taken = agent.due(8).await.unwrap();
    assert_eq!((taken.len(), own().await.taken.len()), (3, 3));
    let dead = Statement {
        sql: "UPDATE jobs SET state = 'dead', attempts = 12, problem = 'it broke' WHERE entry <> $1",
        params: vec![i64::try_from(taken[0].entry).unwrap().into()],
    };
    store.execute(vec![dead]).await.unwrap();
    agent.work(taken[0]).await.unwrap();
    let stuck = own().await;
    assert_eq!((stuck.dead_count, stuck.dead.len()), (2, 2));
    // What it did the first time stands in the ledger, and is looked at too.
    assert!(stuck.next >= size);
    assert_eq!(work().await, 0);
    runtime::hold(store, &name, "nobody is there", door.ports().clock.now())
        .await
        .unwrap();
    assert_eq!(own().await.held.unwrap().1, "nobody is there");

    let now = door.ports().clock.now();
    let one = Some(stuck.dead[0].0);
    assert_eq!(runtime::retry(store, &name, one, now).await.unwrap(), 1);
    assert_eq!(runtime::retry(store, &name, None, now).await.unwrap(), 1);
    let again = agent.due(8).await.unwrap();
    assert!(
        again.iter().all(|taken| taken.attempt == 1_001),
        "{again:?}"
    );
    // Who held them before, however late they wake up, settles nothing.
    for late in &taken[1..] {
        agent.work(*late).await.unwrap();
    }
    assert_eq!(own().await.waiting, 2);
    for taken in &again {
        agent.work(*taken).await.unwrap();
    }
    let done = own().await;
    assert_eq!((done.waiting, done.dead_count, done.held), (0, 0, None));
    let ahead = runtime::replay(store, &name, done.next + 1, now).await;
    assert_eq!(ahead.unwrap_err().code(), "replay-ahead");
    let checker = "card-checker".parse().unwrap();
    for entry in [1, 0] {
        runtime::acknowledge(store, &checker, entry).await.unwrap();
    }
    let all = runtime::progress(store).await.unwrap();
    let stream = all.iter().find(|one| one.agent == "stream:card-checker");
    assert_eq!(stream.unwrap().next, 2);
}
