//! Signs the ledger's head after each commit, and never two histories (DESIGN promise 12): the signed
//! checkpoint is anchored apart from the database before anybody sees it, and nothing starts behind it.

use std::{sync::Arc, time::Duration};

use lumos_ledger::{Checkpoint, Frontier, checkpoint};
use tokio::sync::watch;

use crate::{
    keyring::{KeyError, KeyRing},
    ports::{Anchor, PortError, Store},
    runtime::stopped,
};

/// Leaves read at a time when an old root is recomputed.
const CHUNK: u64 = 65_536;
/// How long to wait after the store or the anchor failed.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Why nothing can be signed here.
#[derive(Debug, thiserror::Error)]
pub enum NotaryError {
    /// The database ends before the last checkpoint that was signed.
    #[error(
        "starting: the ledger has {size} entries but {anchored} were signed for; this database is older \
         than what was published. Restore a newer backup, or begin a new ledger that names this checkpoint"
    )]
    Behind {
        /// Entries in the database.
        size: u64,
        /// Entries in the anchored checkpoint.
        anchored: u64,
    },
    /// The database holds another history than the one that was signed.
    #[error(
        "starting: the first {anchored} entries are not those that were signed for; somebody changed this \
         database or the anchor belongs to another ledger"
    )]
    Against {
        /// Entries in the anchored checkpoint.
        anchored: u64,
    },
    /// The ledger has entries, but nothing says what was signed last.
    #[error(
        "starting: the ledger has {size} entries, but its anchor is missing; bring the anchor directory back \
         that lay beside the data directory. Without it an old copy of this ledger would go unnoticed"
    )]
    Missing {
        /// Entries in the database.
        size: u64,
    },
    /// The anchored checkpoint cannot be read with this ledger's keys.
    #[error("reading the anchored checkpoint")]
    Anchored(#[source] KeyError),
    /// A checkpoint could not be made.
    #[error("making a checkpoint")]
    Checkpoint(#[from] checkpoint::Error),
    /// A key cannot sign.
    #[error("signing a checkpoint")]
    Signing(#[source] KeyError),
    /// The store or the anchor failed.
    #[error(transparent)]
    Port(#[from] PortError),
}

impl NotaryError {
    /// The stable code of this error, a page in `docs/errors/`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Behind { .. } => "behind-anchor",
            Self::Against { .. } => "against-anchor",
            Self::Missing { .. } => "missing-anchor",
            Self::Anchored(_) => "unreadable-anchor",
            Self::Checkpoint(_) => "checkpoint-failed",
            Self::Signing(error) => error.code(),
            Self::Port(_) => "store-failed",
        }
    }
}

/// A checkpoint that everybody may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The size it covers.
    pub size: u64,
    /// The signed note.
    pub note: Arc<[u8]>,
}

/// The one signer of a ledger.
pub struct Notary {
    store: Arc<dyn Store>,
    anchor: Arc<dyn Anchor>,
    keys: Arc<KeyRing>,
    origin: String,
    published: watch::Sender<Published>,
    trouble: watch::Sender<Option<String>>,
}

impl Notary {
    /// Checks the database against the anchor, then signs what was committed but not yet signed.
    ///
    /// # Errors
    /// When the database is behind or against the anchor, or something could not be read or written.
    pub async fn start(
        store: Arc<dyn Store>,
        anchor: Arc<dyn Anchor>,
        keys: Arc<KeyRing>,
        origin: &str,
    ) -> Result<Self, NotaryError> {
        let frontier = store.frontier().await?;
        let anchored = anchor.load()?;
        match &anchored {
            Some(note) => check(&*store, &frontier, note, &keys).await?,
            // Only an empty ledger may begin without an anchor, and it gets one before its first entry.
            None if frontier.size() == 0 => {
                let first = Checkpoint::new(origin, 0, frontier.root())?;
                let note = keys.sign(&first).await.map_err(NotaryError::Signing)?;
                anchor.store(note.to_string().as_bytes())?;
            }
            None => {
                return Err(NotaryError::Missing {
                    size: frontier.size(),
                });
            }
        }
        let (published, _) = watch::channel(Published {
            size: 0,
            note: Arc::from([]),
        });
        let notary = Self {
            store,
            anchor,
            keys,
            origin: origin.to_owned(),
            published,
            trouble: watch::channel(None).0,
        };
        notary.sign(frontier).await?;
        Ok(notary)
    }

    /// The latest published checkpoint, and word of each later one.
    #[must_use]
    pub fn published(&self) -> watch::Receiver<Published> {
        self.published.subscribe()
    }

    /// Why nothing is published, while that is so.
    #[must_use]
    pub fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.trouble.subscribe()
    }

    /// The keys that sign this ledger.
    #[must_use]
    pub const fn keys(&self) -> &Arc<KeyRing> {
        &self.keys
    }

    /// Signs after each commit until `stop` turns true. While the store or the anchor fails, as on a full disk, or a key
    /// cannot sign, as when its token was taken out, nothing new is published and signing is tried again.
    ///
    /// # Errors
    /// When a checkpoint cannot be made: the process must not go on as if it had published.
    pub async fn run(&self, mut stop: watch::Receiver<bool>) -> Result<(), NotaryError> {
        let mut committed = self.store.committed();
        loop {
            let again = match self.catch_up().await {
                Ok(()) => {
                    self.trouble.send_replace(None);
                    false
                }
                Err(error @ (NotaryError::Port(_) | NotaryError::Signing(_))) => {
                    let problem = with_causes(&error);
                    tracing::error!(%problem, "the ledger's head could not be signed; it will be tried again");
                    self.trouble.send_replace(Some(problem));
                    true
                }
                Err(error) => return Err(error),
            };
            tokio::select! {
                changed = committed.changed() => if changed.is_err() { return Ok(()) },
                () = tokio::time::sleep(TRY_AGAIN), if again => {}
                () = stopped(&mut stop) => return Ok(()),
            }
        }
    }

    /// Signs and anchors what was committed but not yet signed, and publishes it.
    ///
    /// # Errors
    /// When that fails; nothing is published then.
    pub async fn catch_up(&self) -> Result<(), NotaryError> {
        self.sign(self.store.frontier().await?).await
    }

    async fn sign(&self, frontier: Frontier) -> Result<(), NotaryError> {
        let size = frontier.size();
        // INVARIANT: sizes only grow; a size is signed once.
        if size <= self.published.borrow().size {
            return Ok(());
        }
        let checkpoint = Checkpoint::new(&self.origin, size, frontier.root())?;
        let note = self.keys.sign(&checkpoint).await;
        let note = note.map_err(NotaryError::Signing)?;
        let bytes = note.to_string().into_bytes();
        self.anchor.store(&bytes)?;
        self.keys.hand_over(size, &note).await?;
        self.published.send_replace(Published {
            size,
            note: bytes.into(),
        });
        Ok(())
    }
}

/// An error and what caused it, in one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

/// Compares the database with an anchored checkpoint.
async fn check(
    store: &dyn Store,
    frontier: &Frontier,
    note: &[u8],
    keys: &KeyRing,
) -> Result<(), NotaryError> {
    let opened = keys.own(note).await.map_err(NotaryError::Anchored)?;
    let anchored = opened.size();
    let size = frontier.size();
    if size < anchored {
        return Err(NotaryError::Behind { size, anchored });
    }
    let root = if size == anchored {
        frontier.root()
    } else {
        root_at(store, anchored).await?
    };
    if root == *opened.root() {
        Ok(())
    } else {
        Err(NotaryError::Against { anchored })
    }
}

async fn root_at(store: &dyn Store, size: u64) -> Result<lumos_ledger::Hash, NotaryError> {
    let mut frontier = Frontier::new();
    while frontier.size() < size {
        let from = frontier.size();
        let leaves = store.leaves(from, size.min(from + CHUNK)).await?;
        if leaves.is_empty() {
            return Err(NotaryError::Against { anchored: size });
        }
        for leaf in leaves {
            frontier.append(leaf);
        }
    }
    Ok(frontier.root())
}
