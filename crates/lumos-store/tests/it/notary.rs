//! The notary over a real store: an anchor that fails is tried again, a key that cannot sign ends it.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use lumos_engine::{
    notary::{Notary, NotaryError},
    ports::{Anchor, AnchorError, Held, LedgerKey, PortError, Store as _},
};
use lumos_ledger::{Checkpoint, NoteSigner, VerifierKey};
use lumos_store::SqliteStore;
use tempfile::TempDir;
use tokio::{sync::watch, task::JoinSet};

use crate::world::{append, open};

const ORIGIN: &str = "ledger.acme.example";

/// An anchor that fails while it is told to, once.
#[derive(Default)]
struct Shaky {
    note: Mutex<Option<Vec<u8>>>,
    fails: AtomicBool,
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

/// A key that can be taken away.
struct Token {
    signer: NoteSigner,
    gone: AtomicBool,
}

impl LedgerKey for Token {
    fn sign(&self, checkpoint: &Checkpoint) -> Result<Vec<u8>, PortError> {
        if self.gone.load(Ordering::SeqCst) {
            return Err(PortError::new("asking the token", "it was taken away"));
        }
        Ok(checkpoint
            .sign(&self.signer)
            .unwrap()
            .to_string()
            .into_bytes())
    }

    fn verifier_key(&self) -> &VerifierKey {
        self.signer.verifier_key()
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
    });
    let (of, by, with) = (Arc::clone(&store), Arc::clone(&anchor), Arc::clone(&key));
    let notary = Notary::start(of as _, by as _, with as _, ORIGIN, None)
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
async fn a_key_that_cannot_sign_ends_the_notary() {
    let house = house().await;
    let published = house.notary.published();
    let (_stop, stopped) = watch::channel(false);
    house.key.gone.store(true, Ordering::SeqCst);
    house
        .store
        .append(append("c1", &[("org", 1)], &[]))
        .await
        .unwrap();
    let ended = house.notary.run(stopped).await.unwrap_err();
    assert!(matches!(ended, NotaryError::Signing(_)), "{ended}");
    assert_eq!(ended.code(), "checkpoint-failed");
    assert_eq!(published.borrow().size, 0, "nothing was published");
}
