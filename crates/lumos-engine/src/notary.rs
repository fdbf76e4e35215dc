//! Signs the ledger's head after each commit, and never two histories (DESIGN promise 12): the signed
//! checkpoint is anchored apart from the database before anybody sees it, and nothing starts behind it.
//!
//! Of several replicas one signs at a time ([`Turn`]), the others show what it signed. That keeps them out of each
//! other's way and is not what safety rests on: what decides is the anchor, which moves only from what its mover saw,
//! and nobody moves it to a history that does not continue the one it holds.

use std::{sync::Arc, time::Duration};

use lumos_ledger::{
    Checkpoint, Frontier, checkpoint,
    note::{self, Note},
    proof,
};
use tokio::sync::{Mutex, watch};

use crate::{
    keyring::{KeyError, KeyRing},
    ports::{Anchor, AnchorError, Held, PortError, Store},
    proofs::Hashes,
    runtime::stopped,
};

mod error;
mod turn;

pub use error::NotaryError;
pub use turn::{SCHEMA, Turn};

/// How long to wait after the store or the anchor failed.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// How often a replica looks whether what is committed was signed by another, or is its own to sign.
const LOOK: Duration = Duration::from_millis(100);
/// How often a replica looks when nothing is waited for.
const LOOK_IDLE: Duration = Duration::from_secs(1);
/// How long what is being signed may go on once it is to stop, so that what was committed last is published too.
const STOPS_WITHIN: Duration = Duration::from_secs(2);
/// How often the anchor may be found moved before a round is given up.
const ATTEMPTS: usize = 5;

/// A checkpoint that everybody may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The size it covers.
    pub size: u64,
    /// The signed note.
    pub note: Arc<[u8]>,
}

/// The signer of a ledger, or one of several equal ones.
pub struct Notary {
    store: Arc<dyn Store>,
    anchor: Arc<dyn Anchor>,
    keys: Arc<KeyRing>,
    origin: String,
    /// Where others sign the same ledger: whose turn it is.
    turn: Option<Turn>,
    proofs: Hashes,
    /// What the anchor holds; `None` while that is not known.
    held: Mutex<Option<Last>>,
    published: watch::Sender<Published>,
    trouble: watch::Sender<Option<String>>,
}

/// What the anchor holds.
struct Last {
    held: Held,
    /// The size of that checkpoint.
    size: u64,
}

impl Notary {
    /// Checks the database against the anchor, then signs what was committed but not yet signed. With a `turn` there
    /// are others who sign the same ledger.
    ///
    /// # Errors
    /// When the database is behind or against the anchor, or something could not be read or written.
    pub async fn start(
        store: Arc<dyn Store>,
        anchor: Arc<dyn Anchor>,
        keys: Arc<KeyRing>,
        origin: &str,
        turn: Option<Turn>,
    ) -> Result<Self, NotaryError> {
        let (published, _) = watch::channel(Published {
            size: 0,
            note: Arc::from([]),
        });
        let notary = Self {
            store,
            anchor,
            keys,
            origin: origin.to_owned(),
            turn,
            proofs: Hashes::default(),
            held: Mutex::new(None),
            published,
            trouble: watch::channel(None).0,
        };
        // Read before the anchor, which only moves on.
        let known = notary.known().await?;
        let held = notary.first().await?;
        let (frontier, checkpoint) = notary.compare(&held, known).await?;
        let size = checkpoint.size();
        if notary.turn.is_some() {
            notary.publish(size, &held.note);
        } else {
            let mut held_last = notary.held.lock().await;
            notary.done(&mut held_last, Last { held, size }).await?;
        }
        // A key that is not what its entry says is found out now, and not when there is something to sign.
        let ready = notary.keys.ready(frontier.size()).await;
        let signed = match ready.map_err(NotaryError::Signing) {
            Ok(()) => notary.catch_up().await,
            refused => refused,
        };
        match signed {
            // Somebody has to be able to name the next key: it serves, and shows what was signed before.
            Err(error @ NotaryError::Signing(KeyError::NoneSigns | KeyError::Lost { .. })) => {
                notary.trouble.send_replace(Some(with_causes(&error)));
            }
            signed => signed?,
        }
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
    /// When a checkpoint cannot be made, or the anchor holds another history: the process must not go on as if it had
    /// published.
    pub async fn run(&self, mut stop: watch::Receiver<bool>) -> Result<(), NotaryError> {
        let mut committed = self.store.committed();
        loop {
            // A store or an anchor that never answers holds no stop up. To be cut off is to lose an answer: whether the
            // anchor moved is read from it at the next start.
            let caught_up = tokio::select! {
                caught_up = self.catch_up() => caught_up,
                () = stopped_since(&stop, STOPS_WITHIN) => break,
            };
            let pause = match caught_up {
                // Not marked as seen: what was committed meanwhile wakes it up at once.
                Ok(()) => {
                    self.trouble.send_replace(None);
                    self.pause(*committed.borrow())
                }
                Err(error @ (NotaryError::Port(_) | NotaryError::Signing(_))) => {
                    let problem = with_causes(&error);
                    tracing::error!(%problem, "the ledger's head could not be signed; it will be tried again");
                    self.trouble.send_replace(Some(problem));
                    // Another replica may be able to.
                    self.pass_on().await;
                    Some(TRY_AGAIN)
                }
                Err(error) => return Err(error),
            };
            tokio::select! {
                changed = committed.changed() => if changed.is_err() { return Ok(()) },
                () = async { if let Some(pause) = pause { tokio::time::sleep(pause).await } }, if pause.is_some() => {}
                () = stopped(&mut stop) => break,
            }
        }
        self.pass_on().await;
        Ok(())
    }

    /// Gives the turn back, where there is one; where the store does not answer, it runs out.
    async fn pass_on(&self) {
        if let Some(turn) = &self.turn {
            drop(tokio::time::timeout(STOPS_WITHIN, turn.give_back()).await);
        }
    }

    /// After how long to look again though nothing was committed here.
    fn pause(&self, committed: u64) -> Option<Duration> {
        self.turn.as_ref()?;
        let behind = self.published.borrow().size < committed;
        Some(if behind { LOOK } else { LOOK_IDLE })
    }

    /// Signs and anchors what was committed but not yet signed, and publishes it; or publishes what another replica
    /// signed.
    ///
    /// # Errors
    /// When that fails; nothing is published then.
    pub async fn catch_up(&self) -> Result<(), NotaryError> {
        if self.turn.is_some() {
            self.round().await
        } else {
            self.sign(self.store.frontier().await?).await
        }
    }

    /// What the anchor holds. Only an empty ledger may begin without, and it gets one before its first entry.
    async fn first(&self) -> Result<Held, NotaryError> {
        for _ in 0..ATTEMPTS {
            if let Some(held) = self.anchor.load().await? {
                return Ok(held);
            }
            let frontier = self.store.frontier().await?;
            let size = frontier.size();
            if size > 0 && self.anchor.load().await?.is_none() {
                return Err(NotaryError::Missing { size });
            }
            if size == 0 {
                let first = Checkpoint::new(&self.origin, 0, frontier.root())?;
                let note = self.signed(&first).await?;
                match self.anchor.replace(None, &note).await {
                    Ok(held) => return Ok(held),
                    // Another replica was first.
                    Err(AnchorError::Moved) => {}
                    Err(AnchorError::Port(failed)) => return Err(failed.into()),
                }
            }
        }
        Err(unsteady().into())
    }

    /// One look at what others signed, and at what is to be signed.
    async fn round(&self) -> Result<(), NotaryError> {
        let Some(turn) = &self.turn else {
            return Ok(());
        };
        if let Some((size, note)) = turn.shown().await?
            && size > self.published.borrow().size
        {
            self.follow(note.as_bytes()).await?;
        }
        let frontier = self.store.frontier().await?;
        if frontier.size() <= self.published.borrow().size || !turn.take().await? {
            return Ok(());
        }
        self.sign(frontier).await
    }

    /// Publishes what another replica signed, anchored and wrote down.
    async fn follow(&self, note: &[u8]) -> Result<(), NotaryError> {
        let checkpoint = self.open(note).await?;
        let frontier = self.store.frontier().await?;
        self.continues(&checkpoint, &frontier).await?;
        let look = self.keys.look(checkpoint.size()).await;
        look.map_err(NotaryError::Anchored)?;
        self.publish(checkpoint.size(), note);
        Ok(())
    }

    /// Signs `frontier`, anchors it and publishes it.
    async fn sign(&self, frontier: Frontier) -> Result<(), NotaryError> {
        // INVARIANT: sizes only grow; a size is signed once.
        if frontier.size() <= self.published.borrow().size {
            return Ok(());
        }
        let mut held_last = self.held.lock().await;
        let mut frontier = frontier;
        for _ in 0..ATTEMPTS {
            // Taken out until it is known again what the anchor holds, whatever happens here.
            let last = match held_last.take() {
                Some(last) if !self.store.is_shared() => last,
                last => {
                    let known = self.known().await?;
                    let held = match last {
                        Some(last) if last.size >= known => last.held,
                        _ => self.load(frontier.size()).await?,
                    };
                    let (now, anchored) = self.compare(&held, known).await?;
                    frontier = now;
                    let size = anchored.size();
                    Last { held, size }
                }
            };
            if last.size == frontier.size() {
                // It was anchored already, by another or in an attempt whose answer was lost.
                return self.done(&mut held_last, last).await;
            }
            let size = frontier.size();
            let checkpoint = Checkpoint::new(&self.origin, size, frontier.root())?;
            let note = self.signed(&checkpoint).await?;
            // The last look before the anchor moves. It commits, and so waits until a standby has what is signed for.
            if let Some(turn) = &self.turn
                && !turn.is_mine().await?
            {
                return Ok(());
            }
            match self.anchor.replace(Some(&last.held), &note).await {
                Ok(held) => return self.done(&mut held_last, Last { held, size }).await,
                Err(AnchorError::Moved) => {}
                Err(AnchorError::Port(failed)) => return Err(failed.into()),
            }
        }
        Err(unsteady().into())
    }

    /// The signed note over a checkpoint.
    async fn signed(&self, checkpoint: &Checkpoint) -> Result<Vec<u8>, NotaryError> {
        let note = self.keys.sign(checkpoint).await;
        Ok(note.map_err(NotaryError::Signing)?.to_string().into_bytes())
    }

    /// Publishes what the anchor holds, here and to the other replicas.
    async fn done(&self, held_last: &mut Option<Last>, last: Last) -> Result<(), NotaryError> {
        let note = Note::parse(&last.held.note).map_err(checkpoint::Error::from)?;
        self.keys.hand_over(last.size, &note).await?;
        self.publish(last.size, &last.held.note);
        if let Some(turn) = &self.turn {
            turn.show(last.size, &last.held.note).await?;
        }
        *held_last = Some(last);
        Ok(())
    }

    fn publish(&self, size: u64, note: &[u8]) {
        self.published.send_if_modified(|published| {
            let grew = size > published.size;
            if grew {
                let note = note.into();
                *published = Published { size, note };
            }
            grew
        });
    }

    async fn load(&self, size: u64) -> Result<Held, NotaryError> {
        let held = self.anchor.load().await?;
        held.ok_or(NotaryError::Missing { size })
    }

    /// Opens a checkpoint that this ledger signed.
    async fn open(&self, note: &[u8]) -> Result<Checkpoint, NotaryError> {
        let opened = self.keys.own(note).await;
        opened.map_err(|error| match error {
            KeyError::Port(failed) => failed.into(),
            KeyError::Checkpoint(checkpoint::Error::Note(note::Error::Untrusted))
                if self.turn.is_some() =>
            {
                NotaryError::OtherKey
            }
            error => NotaryError::Anchored(error),
        })
    }

    /// The size of the largest checkpoint that is known to have been published.
    async fn known(&self) -> Result<u64, NotaryError> {
        let published = self.published.borrow().size;
        let Some(turn) = &self.turn else {
            return Ok(published);
        };
        let shown = turn.shown().await?.map_or(0, |(size, _)| size);
        Ok(published.max(shown))
    }

    /// Compares the database and what is `known` to be published with what the anchor holds. The database is read
    /// after the anchor: what was anchored is in it.
    async fn compare(
        &self,
        held: &Held,
        known: u64,
    ) -> Result<(Frontier, Checkpoint), NotaryError> {
        let anchored = self.open(&held.note).await?;
        if anchored.size() < known {
            return Err(NotaryError::OlderAnchor {
                anchored: anchored.size(),
                published: known,
            });
        }
        let frontier = self.store.frontier().await?;
        self.continues(&anchored, &frontier).await?;
        Ok((frontier, anchored))
    }

    /// Whether the ledger with this `frontier` continues what was `anchored`.
    async fn continues(
        &self,
        anchored: &Checkpoint,
        frontier: &Frontier,
    ) -> Result<(), NotaryError> {
        let (old, new) = (anchored.size(), frontier.size());
        if new < old {
            return Err(NotaryError::Behind {
                size: new,
                anchored: old,
            });
        }
        let proof = if old == 0 || old == new {
            Vec::new()
        } else {
            self.proofs.consistency(&*self.store, old, new).await?
        };
        let roots = (anchored.root(), &frontier.root());
        proof::verify_consistency((old, roots.0), (new, roots.1), &proof)
            .map_err(|_| NotaryError::Against { anchored: old })
    }
}

/// Returns once `stop` has been true for so long.
async fn stopped_since(stop: &watch::Receiver<bool>, long: Duration) {
    stopped(&mut stop.clone()).await;
    tokio::time::sleep(long).await;
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

fn unsteady() -> PortError {
    PortError::new("signing the head", "the anchor keeps being moved by others")
}
