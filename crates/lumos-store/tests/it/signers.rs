//! Several signers of one ledger: whatever one of them believes, and however long it stood still, the anchor takes one
//! history, and nobody shows what is not anchored.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use lumos_domain::words::KeyPlace;
use lumos_engine::{
    keyring::{KeyRing, Places},
    notary::{self, Notary, NotaryError, Turn},
    ports::{self as keys, Anchor, AnchorError, Clock, Held, PortError, Store},
};
use lumos_ledger::{Checkpoint, NoteSigner, tree};
use lumos_store::PostgresStore;
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
};

use crate::{cluster::Cluster, world::append};

const ORIGIN: &str = "ledger.acme.example";

/// What all signers share: the anchor, with everything that it ever held.
#[derive(Default)]
struct Shared {
    held: Mutex<Vec<Held>>,
}

impl Shared {
    fn last(&self) -> Option<Held> {
        self.held.lock().unwrap().last().cloned()
    }

    fn push(&self, note: &[u8]) -> Held {
        let mut all = self.held.lock().unwrap();
        let held = Held {
            note: note.to_vec(),
            tag: all.len().to_string(),
        };
        all.push(held.clone());
        held
    }

    /// The sizes and roots of everything it held.
    fn history(&self) -> Vec<Checkpoint> {
        let trusted = [key(7).verifier_key().clone()];
        let open = |held: &Held| Checkpoint::open(&held.note, &trusted).unwrap().checkpoint;
        self.held.lock().unwrap().iter().map(open).collect()
    }
}

/// The anchor as one signer reaches it.
struct Reached {
    shared: Arc<Shared>,
    /// Each move of the anchor takes one; without any the signer stands still.
    moves: Arc<Semaphore>,
    /// How many moves were begun.
    begun: watch::Sender<u32>,
    /// Whether the answers are lost, though what was asked is done.
    loses_answers: Mutex<bool>,
}

#[async_trait]
impl Anchor for Reached {
    fn place(&self) -> String {
        "a test".to_owned()
    }

    async fn load(&self) -> Result<Option<Held>, PortError> {
        Ok(self.shared.last())
    }

    async fn replace(&self, seen: Option<&Held>, checkpoint: &[u8]) -> Result<Held, AnchorError> {
        self.begun.send_modify(|begun| *begun += 1);
        self.moves.acquire().await.unwrap().forget();
        if self.shared.last().as_ref() != seen {
            return Err(AnchorError::Moved);
        }
        let held = self.shared.push(checkpoint);
        if *self.loses_answers.lock().unwrap() {
            return Err(PortError::new("moving the anchor", "the answer was lost").into());
        }
        Ok(held)
    }

    fn is_shared(&self) -> bool {
        true
    }
}

/// A clock that a test moves on.
struct SetClock(Mutex<Timestamp>);

impl SetClock {
    fn passes(&self, seconds: i64) {
        *self.0.lock().unwrap() += SignedDuration::from_secs(seconds);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

struct Key(NoteSigner);

#[async_trait]
impl keys::Signer for Key {
    fn public(&self) -> &[u8; 32] {
        self.0.verifier_key().public()
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, PortError> {
        Ok(self.0.signature(message).to_vec())
    }
}

/// Where each replica keeps a copy of the same key, or another one.
struct Drawer(u8);

#[async_trait]
impl keys::KeyStore for Drawer {
    async fn open(&self, _name: &str) -> Result<Option<Arc<dyn keys::Signer>>, PortError> {
        Ok(Some(Arc::new(Key(key(self.0)))))
    }

    async fn create(&self, _name: &str) -> Result<Arc<dyn keys::Signer>, PortError> {
        Ok(Arc::new(Key(key(self.0))))
    }
}

/// The keys of a replica that was given the one of this `seed`.
async fn ring(store: Arc<dyn Store>, clock: Arc<SetClock>, seed: u8) -> Arc<KeyRing> {
    let drawer: Arc<dyn keys::KeyStore> = Arc::new(Drawer(seed));
    let places = Places {
        stores: [(KeyPlace::File, drawer)].into(),
        new: KeyPlace::File,
    };
    Arc::new(KeyRing::open(store, clock, places, ORIGIN).await.unwrap())
}

fn key(seed: u8) -> NoteSigner {
    NoteSigner::from_seed(ORIGIN, &[seed; 32]).unwrap()
}

/// What signers stand on.
struct House {
    cluster: Cluster,
    shared: Arc<Shared>,
    clock: Arc<SetClock>,
}

/// One signer, with the store it reads.
struct Signer {
    store: Arc<PostgresStore>,
    anchor: Arc<Reached>,
    notary: Arc<Notary>,
}

impl Signer {
    /// Appends entries to the stream of this name.
    async fn append(&self, name: &str, versions: std::ops::RangeInclusive<u64>) {
        for version in versions {
            let command = format!("{}-{version}", name.replace('/', "-"));
            let next = append(&command, &[(name, version)], &[]);
            self.store.append(next).await.unwrap();
        }
    }

    fn published(&self) -> u64 {
        self.notary.published().borrow().size
    }

    fn note(&self) -> Arc<[u8]> {
        self.notary.published().borrow().note.clone()
    }
}

impl House {
    fn new() -> Option<Self> {
        Some(Self {
            cluster: Cluster::start()?,
            shared: Arc::default(),
            clock: Arc::new(SetClock(Mutex::new(Timestamp::UNIX_EPOCH))),
        })
    }

    async fn start(
        &self,
        database: &str,
        name: &str,
        seed: u8,
    ) -> Result<Signer, (NotaryError, Arc<PostgresStore>)> {
        let schema = [crate::world::SCHEMA, notary::SCHEMA].concat();
        let opened = PostgresStore::open(&self.cluster.settings(database), &schema).await;
        let store = Arc::new(opened.unwrap());
        let anchor = Arc::new(Reached {
            shared: Arc::clone(&self.shared),
            moves: Arc::new(Semaphore::new(1_000)),
            begun: watch::channel(0).0,
            loses_answers: Mutex::default(),
        });
        let (of, clock) = (
            Arc::clone(&store) as Arc<dyn Store>,
            Arc::clone(&self.clock),
        );
        let turn = Turn::new(Arc::clone(&of), clock, name.to_owned()).await;
        let (turn, by) = (turn.unwrap(), Arc::clone(&anchor) as Arc<dyn Anchor>);
        let keys = ring(Arc::clone(&of), Arc::clone(&self.clock), seed).await;
        match Notary::start(of, by, keys, ORIGIN, Some(turn)).await {
            Ok(notary) => Ok(Signer {
                store,
                anchor,
                notary: Arc::new(notary),
            }),
            Err(error) => Err((error, store)),
        }
    }

    async fn signer(&self, database: &str, name: &str) -> Signer {
        match self.start(database, name, 7).await {
            Ok(signer) => signer,
            Err((error, _)) => panic!("{error}"),
        }
    }

    /// Why no signer starts on this database.
    async fn refused(&self, database: &str, seed: u8) -> &'static str {
        match self.start(database, "refused", seed).await {
            Ok(_) => panic!("it started"),
            Err((error, _)) => error.code(),
        }
    }

    /// Everything the anchor ever held is of one history: that of the store.
    async fn is_one_history(&self, store: &PostgresStore) {
        let leaves = store.leaves(0, store.frontier().await.unwrap().size());
        let leaves = leaves.await.unwrap();
        let mut last = None;
        for checkpoint in self.shared.history() {
            assert!(
                last.is_none_or(|last| last < checkpoint.size()),
                "it only grows"
            );
            let size = usize::try_from(checkpoint.size()).unwrap();
            assert_eq!(tree::root(&leaves[..size]), *checkpoint.root(), "{size}");
            last = Some(checkpoint.size());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_signers_take_turns_and_show_the_same() {
    let Some(house) = House::new() else {
        return;
    };
    let database = house.cluster.database();
    let one = house.signer(&database, "one").await;
    let other = house.signer(&database, "other").await;
    let (stop, stopped) = watch::channel(false);
    let mut running = JoinSet::new();
    for signer in [&one, &other] {
        let (notary, stopped) = (Arc::clone(&signer.notary), stopped.clone());
        running.spawn(async move { notary.run(stopped).await });
    }
    let clock = Arc::clone(&house.clock);
    for round in 0..5 {
        let (first, last) = (round * 10 + 1, round * 10 + 10);
        tokio::join!(
            one.append("person/a", first..=last),
            other.append("person/b", first..=last)
        );
        clock.passes(1);
    }
    for signer in [&one, &other] {
        let mut published = signer.notary.published();
        published.wait_for(|head| head.size == 100).await.unwrap();
    }
    assert_eq!(one.note(), other.note());
    assert_eq!(house.shared.last().unwrap().note, *one.note());
    stop.send_replace(true);
    while let Some(ended) = running.join_next().await {
        ended.unwrap().unwrap();
    }
    house.is_one_history(&one.store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_a_signer_that_stood_still_signs_nothing_old() {
    let Some(house) = House::new() else {
        return;
    };
    let database = house.cluster.database();
    let one = house.signer(&database, "one").await;
    let other = house.signer(&database, "other").await;
    one.append("org", 1..=3).await;
    // It signed for three entries, looked once more whether the turn is its own, and stands still.
    one.anchor.moves.forget_permits(1_000);
    let mut begun = one.anchor.begun.subscribe();
    let mut standing = JoinSet::new();
    let notary = Arc::clone(&one.notary);
    standing.spawn(async move { notary.catch_up().await });
    begun.wait_for(|begun| *begun > 1).await.unwrap();
    // Nobody else signs while it has the turn.
    other.notary.catch_up().await.unwrap();
    assert_eq!(other.published(), 0);
    house.clock.passes(5);
    other.append("org", 4..=5).await;
    other.notary.catch_up().await.unwrap();
    assert_eq!(other.published(), 5);
    // It wakes up, and still believes.
    one.anchor.moves.add_permits(1_000);
    standing.join_next().await.unwrap().unwrap().unwrap();
    assert_eq!((one.published(), one.note()), (5, other.note()));
    let sizes: Vec<_> = house
        .shared
        .history()
        .iter()
        .map(Checkpoint::size)
        .collect();
    assert_eq!(sizes, [0, 5]);
    house.is_one_history(&one.store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_two_databases_are_never_both_signed() {
    let Some(house) = House::new() else {
        return;
    };
    let database = house.cluster.database();
    {
        let before = house.signer(&database, "before").await;
        before.append("org", 1..=4).await;
        before.notary.catch_up().await.unwrap();
        before.append("org", 5..=5).await;
    }
    // A fail-over that was none: two servers, each with the database as it was.
    let copy = house.cluster.copied(&database);
    house.clock.passes(5);
    let one = house.signer(&database, "one").await;
    let other = house.signer(&copy, "other").await;
    one.append("org", 6..=6).await;
    other.append("person/b", 1..=2).await;
    // Both hold a turn, each in its own database, and both have signed: the anchor takes one.
    other.anchor.moves.forget_permits(1_000);
    let mut begun = other.anchor.begun.subscribe();
    let mut standing = JoinSet::new();
    let notary = Arc::clone(&other.notary);
    standing.spawn(async move { notary.catch_up().await });
    begun.wait_for(|begun| *begun > 0).await.unwrap();
    one.notary.catch_up().await.unwrap();
    assert_eq!(one.published(), 6);
    other.anchor.moves.add_permits(1_000);
    let ended = standing.join_next().await.unwrap().unwrap().unwrap_err();
    assert_eq!(ended.code(), "against-anchor");
    assert_eq!(other.published(), 5, "what it showed before, both have");
    assert_eq!(house.refused(&copy, 7).await, "against-anchor");
    house.is_one_history(&one.store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_an_answer_that_was_lost_is_found_by_whoever_looks() {
    let Some(house) = House::new() else {
        return;
    };
    let database = house.cluster.database();
    let one = house.signer(&database, "one").await;
    let other = house.signer(&database, "other").await;
    *one.anchor.loses_answers.lock().unwrap() = true;
    one.append("org", 1..=2).await;
    let failed = one.notary.catch_up().await.unwrap_err();
    assert!(matches!(failed, NotaryError::Port(_)), "{failed}");
    assert_eq!(one.published(), 0, "it does not know");
    house.clock.passes(5);
    other.notary.catch_up().await.unwrap();
    assert_eq!(other.published(), 2);
    one.notary.catch_up().await.unwrap();
    assert_eq!(one.note(), other.note());
    assert_eq!(house.shared.history().len(), 2, "it was signed once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_what_the_database_says_was_signed_is_not_believed() {
    let Some(house) = House::new() else {
        return;
    };
    let database = house.cluster.database();
    let one = house.signer(&database, "one").await;
    one.append("org", 1..=4).await;
    one.notary.catch_up().await.unwrap();
    let forge = |size: u64, seed: u8| {
        let root = tree::leaf_hash(b"another history");
        let note = Checkpoint::new(ORIGIN, size, root)
            .unwrap()
            .sign(&key(seed));
        let note = note.unwrap().to_string();
        let sql = format!("UPDATE signing SET size = {size}, note = '{note}'");
        house.cluster.sql(&database, &sql);
    };
    one.append("org", 5..=6).await;
    for (size, seed, code) in [
        (5, 9, "other-key"),
        (5, 7, "against-anchor"),
        (900, 7, "behind-anchor"),
    ] {
        forge(size, seed);
        let refused = one.notary.catch_up().await.unwrap_err();
        assert_eq!(refused.code(), code, "{refused}");
        assert_eq!(one.published(), 4);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_an_anchor_that_was_meddled_with_is_refused() {
    let Some(house) = House::new() else {
        return;
    };
    let database = house.cluster.database();
    let one = house.signer(&database, "one").await;
    one.append("org", 1..=2).await;
    one.notary.catch_up().await.unwrap();
    let older = house.shared.last().unwrap();
    one.append("org", 3..=4).await;
    one.notary.catch_up().await.unwrap();
    let latest = house.shared.last().unwrap();

    assert_eq!(house.refused(&database, 9).await, "other-key");
    let root = tree::leaf_hash(b"x");
    let foreign = |origin: &str| {
        let signer = NoteSigner::from_seed(origin, &[7; 32]).unwrap();
        let note = Checkpoint::new(origin, 4, root).unwrap().sign(&signer);
        note.unwrap().to_string().into_bytes()
    };
    for (note, code) in [
        (older.note.clone(), "older-anchor"),
        (foreign("ledger.acme.example/other"), "other-key"),
        (foreign(ORIGIN), "against-anchor"),
        (b"garbage".to_vec(), "unreadable-anchor"),
    ] {
        house.shared.push(&note);
        assert_eq!(house.refused(&database, 7).await, code);
        // The one that runs finds out when it is to sign the next.
        let version = one.store.frontier().await.unwrap().size() + 1;
        one.append("org", version..=version).await;
        let found = one.notary.catch_up().await.unwrap_err();
        assert_eq!(found.code(), code);
        assert_eq!(one.published(), 4);
    }
    house.shared.held.lock().unwrap().clear();
    assert_eq!(house.refused(&database, 7).await, "missing-anchor");
    let found = one.notary.catch_up().await.unwrap_err();
    assert_eq!(found.code(), "missing-anchor");
    // Put back what was there, and it goes on.
    house.shared.push(&latest.note);
    one.notary.catch_up().await.unwrap();
    assert_eq!(one.published(), 8);
}
