//! Signs the ledger's head after each commit, and never two histories (DESIGN promise 12): the signed
//! checkpoint is anchored apart from the database before anybody sees it, and nothing starts behind it.

use std::{sync::Arc, time::Duration};

use lumos_ledger::{Checkpoint, Frontier, VerifierKey, checkpoint};
use tokio::sync::watch;

use crate::{
    ports::{Anchor, LedgerKey, PortError, Store},
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
    /// The anchored checkpoint cannot be read with this ledger's key.
    #[error("reading the anchored checkpoint")]
    Anchored(#[source] checkpoint::Error),
    /// A checkpoint could not be made.
    #[error("making a checkpoint")]
    Checkpoint(#[from] checkpoint::Error),
    /// The key cannot sign.
    #[error("signing a checkpoint")]
    Signing(#[source] PortError),
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
            Self::Checkpoint(_) | Self::Signing(_) => "checkpoint-failed",
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
    key: Arc<dyn LedgerKey>,
    origin: String,
    published: watch::Sender<Published>,
}

impl Notary {
    /// Checks the database against the anchor, then signs what was committed but not yet signed.
    ///
    /// # Errors
    /// When the database is behind or against the anchor, or something could not be read or written.
    pub async fn start(
        store: Arc<dyn Store>,
        anchor: Arc<dyn Anchor>,
        key: Arc<dyn LedgerKey>,
        origin: &str,
    ) -> Result<Self, NotaryError> {
        let frontier = store.frontier().await?;
        let anchored = anchor.load()?;
        match &anchored {
            Some(note) => check(&*store, &frontier, note, key.verifier_key()).await?,
            // Only an empty ledger may begin without an anchor, and it gets one before its first entry.
            None if frontier.size() == 0 => {
                let first = Checkpoint::new(origin, 0, frontier.root())?;
                anchor.store(&key.sign(&first).map_err(NotaryError::Signing)?)?;
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
            key,
            origin: origin.to_owned(),
            published,
        };
        notary.sign(frontier)?;
        Ok(notary)
    }

    /// The latest published checkpoint, and word of each later one.
    #[must_use]
    pub fn published(&self) -> watch::Receiver<Published> {
        self.published.subscribe()
    }

    /// The key that verifies this ledger's checkpoints.
    #[must_use]
    pub fn verifier_key(&self) -> &VerifierKey {
        self.key.verifier_key()
    }

    /// Signs after each commit until `stop` turns true. While the store or the anchor fails, as on a full disk,
    /// nothing new is published and signing is tried again.
    ///
    /// # Errors
    /// When a checkpoint cannot be made or the key cannot sign it: the process must not go on as if it had published.
    pub async fn run(&self, mut stop: watch::Receiver<bool>) -> Result<(), NotaryError> {
        let mut committed = self.store.committed();
        loop {
            let again = match self.catch_up().await {
                Ok(()) => false,
                Err(NotaryError::Port(failed)) => {
                    tracing::error!(problem = %failed, source = %failed.source, "the ledger's head could not be signed; it will be tried again");
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
        self.sign(self.store.frontier().await?)
    }

    fn sign(&self, frontier: Frontier) -> Result<(), NotaryError> {
        let size = frontier.size();
        // INVARIANT: sizes only grow; a size is signed once.
        if size <= self.published.borrow().size {
            return Ok(());
        }
        let checkpoint = Checkpoint::new(&self.origin, size, frontier.root())?;
        let note = self.key.sign(&checkpoint).map_err(NotaryError::Signing)?;
        self.anchor.store(&note)?;
        self.published.send_replace(Published {
            size,
            note: note.into(),
        });
        Ok(())
    }
}

/// Compares the database with an anchored checkpoint.
async fn check(
    store: &dyn Store,
    frontier: &Frontier,
    note: &[u8],
    key: &VerifierKey,
) -> Result<(), NotaryError> {
    let opened =
        Checkpoint::open(note, std::slice::from_ref(key)).map_err(NotaryError::Anchored)?;
    let anchored = opened.checkpoint.size();
    let size = frontier.size();
    if size < anchored {
        return Err(NotaryError::Behind { size, anchored });
    }
    let root = if size == anchored {
        frontier.root()
    } else {
        root_at(store, anchored).await?
    };
    if root == *opened.checkpoint.root() {
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
