//! The notary over a real store: an anchor that fails, and a key that cannot sign, are tried again.

use std::{
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use jiff::Timestamp;
use lumos_domain::words::KeyPlace;
use lumos_engine::{
    keyring::{KeyRing, Places},
    notary::Notary,
    ports::{Anchor, AnchorError, Clock, Held, KeyStore, PortError, Signer, Store as _},
};
use lumos_ledger::NoteSigner;
use lumos_store::SqliteStore;
use tempfile::TempDir;
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
};

use crate::world::{append, open};

const ORIGIN: &str = "ledger.acme.example";

/// An anchor that fails while it is told to, once, or never answers.
#[derive(Default)]
struct Shaky {
    note: Mutex<Option<Vec<u8>>>,
    fails: AtomicBool,
    silent: AtomicBool,
    asked: Notify,
}

#[async_trait]
impl Anchor for Shaky {
    fn place(&self) -> String {
        "a test".to_owned()
    }

    async fn load(&self) -> Result<Option<Held>, PortError> {
        Ok(self.note.lock().unwrap().as_deref().map(held))
    }

    async fn replace(&self, seen: Option<&Held>, checkpoint: &[u8]) -> Result<Held, AnchorError> {
        if self.fails.swap(false, Ordering::SeqCst) {
            return Err(PortError::new("storing the anchor", "no room").into());
        }
        if self.silent.load(Ordering::SeqCst) {
            self.asked.notify_one();
            pending::<()>().await;
        }
        let mut note = self.note.lock().unwrap();
        if note.as_deref() != seen.map(|seen| &*seen.note) {
            return Err(AnchorError::Moved);
        }
        *note = Some(checkpoint.to_vec());
        Ok(held(checkpoint))
    }
}

fn held(note: &[u8]) -> Held {
    Held {
        note: note.to_vec(),
        tag: String::new(),
    }
}

/// A key that can be taken away, or sign nonsense.
struct Token {
    signer: NoteSigner,
    gone: AtomicBool,
    mad: AtomicBool,
}

#[async_trait]
impl Signer for Token {
    fn public(&self) -> &[u8; 32] {
        self.signer.verifier_key().public()
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, PortError> {
        if self.gone.load(Ordering::SeqCst) {
            return Err(PortError::new("asking the token", "it was taken away"));
        }
        let mut signature = self.signer.signature(message).to_vec();
        if self.mad.load(Ordering::SeqCst) {
            signature[7] ^= 1;
        }
        Ok(signature)
    }
}

/// The reader that the token is in.
struct Reader(Arc<Token>);

#[async_trait]
impl KeyStore for Reader {
    async fn open(&self, _name: &str) -> Result<Option<Arc<dyn Signer>>, PortError> {
        Ok(Some(Arc::clone(&self.0) as _))
    }

    async fn create(&self, _name: &str) -> Result<Arc<dyn Signer>, PortError> {
        Ok(Arc::clone(&self.0) as _)
    }
}

struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        "2026-03-01T12:00:00Z".parse().unwrap()
    }
}

struct House {
    store: Arc<SqliteStore>,
    anchor: Arc<Shaky>,
    key: Arc<Token>,
    notary: Notary,
    _dir: TempDir,
}

async fn house() -> House {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(open(&dir));
    let anchor = Arc::new(Shaky::default());
    let key = Arc::new(Token {
        signer: NoteSigner::from_seed(ORIGIN, &[7; 32]).unwrap(),
        gone: AtomicBool::new(false),
        mad: AtomicBool::new(false),
    });
    let reader: Arc<dyn KeyStore> = Arc::new(Reader(Arc::clone(&key)));
    let places = Places {
        stores: [(KeyPlace::File, reader)].into(),
        new: KeyPlace::File,
    };
    let (of, by) = (Arc::clone(&store), Arc::clone(&anchor));
    let ring = KeyRing::open(Arc::clone(&store) as _, Arc::new(Noon), places, ORIGIN).await;
    let ring = Arc::new(ring.unwrap());
    let notary = Notary::start(of as _, by as _, ring, ORIGIN, None)
        .await
        .unwrap();
    House {
        store,
        anchor,
        key,
        notary,
        _dir: dir,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_anchor_that_fails_is_tried_again() {
    let house = house().await;
    let mut published = house.notary.published();
    let (stop, stopped) = watch::channel(false);
    house.anchor.fails.store(true, Ordering::SeqCst);
    house
        .store
        .append(append("c1", &[("org", 1)], &[]))
        .await
        .unwrap();
    let mut running = JoinSet::new();
    running.spawn(async move { house.notary.run(stopped).await });
    published
        .wait_for(|published| published.size == 1)
        .await
        .unwrap();
    assert!(!house.anchor.fails.load(Ordering::SeqCst), "it failed once");
    stop.send_replace(true);
    running.join_next().await.unwrap().unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_anchor_that_never_answers_holds_no_stop_up() {
    let house = house().await;
    let (published, anchor) = (house.notary.published(), Arc::clone(&house.anchor));
    let (stop, stopped) = watch::channel(false);
    anchor.silent.store(true, Ordering::SeqCst);
    let first = append("c1", &[("org", 1)], &[]);
    house.store.append(first).await.unwrap();
    let mut running = JoinSet::new();
    running.spawn(async move {
        let ended = house.notary.run(stopped).await;
        (ended, house)
    });
    anchor.asked.notified().await;
    stop.send_replace(true);
    let (ended, house) = running.join_next().await.unwrap().unwrap();
    ended.unwrap();
    assert_eq!(
        published.borrow().size,
        0,
        "what is not anchored is not seen"
    );
    // It goes on from what the anchor has when it answers again.
    anchor.silent.store(false, Ordering::SeqCst);
    house.notary.catch_up().await.unwrap();
    assert_eq!(published.borrow().size, 1);
}

/// While `wrong` is set nothing is published, and it is said why; then it goes on by itself.
async fn check_key(wrong: fn(&Token) -> &AtomicBool, said: &str) {
    let house = house().await;
    let (mut published, mut trouble) = (house.notary.published(), house.notary.trouble());
    let (stop, stopped) = watch::channel(false);
    wrong(&house.key).store(true, Ordering::SeqCst);
    let anchored = house.anchor.load().await.unwrap();
    let first = append("c1", &[("org", 1)], &[]);
    house.store.append(first).await.unwrap();
    let mut running = JoinSet::new();
    running.spawn(async move { house.notary.run(stopped).await });
    let why = trouble.wait_for(Option::is_some).await.unwrap().clone();
    assert!(why.as_ref().unwrap().contains(said), "{why:?}");
    assert_eq!(published.borrow().size, 0, "nothing was published");
    assert_eq!(house.anchor.load().await.unwrap(), anchored, "nor anchored");
    wrong(&house.key).store(false, Ordering::SeqCst);
    published.wait_for(|head| head.size == 1).await.unwrap();
    trouble.wait_for(Option::is_none).await.unwrap();
    stop.send_replace(true);
    running.join_next().await.unwrap().unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_was_taken_away_is_asked_again() {
    check_key(|token| &token.gone, "it was taken away").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signature_that_does_not_hold_is_not_published() {
    check_key(|token| &token.mad, "what came back is no signature").await;
}
