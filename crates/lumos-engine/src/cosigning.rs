//! Has the published checkpoints cosigned by the witnesses of a trust policy. It runs beside everything else:
//! no append and no publication waits for a witness, and who needs a cosigned checkpoint waits for that.

use std::{sync::Arc, time::Duration};

use futures::stream::{FuturesUnordered, StreamExt as _};
use lumos_ledger::{
    VerifierKey, checkpoint,
    note::{self, Note, SignatureLine},
    tlog_policy::{Refusal, TlogPolicy},
    witness::AddCheckpoint,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout_at},
};

use crate::{
    notary::Published,
    ports::{Answered, Clock, PortError, Statement, Store, WitnessPeer},
    proofs::Hashes,
    runtime::stopped,
};

/// The last cosigned checkpoint of each day: with it an auditor tells what the ledger held then.
pub const SCHEMA: &[&str] = &["CREATE TABLE IF NOT EXISTS cosigned_checkpoints (
        day BIGINT PRIMARY KEY, size BIGINT NOT NULL, note TEXT NOT NULL)"];

/// How long a witness may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How long the others may take once enough have answered.
const OTHERS_WITHIN: Duration = Duration::from_secs(2);
/// Between two rounds: the first wait after a failure, and the longest.
const TRY_AGAIN: Duration = Duration::from_secs(1);
const TRY_AGAIN_MAX: Duration = Duration::from_mins(1);
/// Seconds of a day.
const DAY_S: i64 = 86_400;

/// Asks the witnesses.
pub struct Cosigning {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    proofs: Hashes,
    policy: TlogPolicy,
    peers: Vec<Peer>,
    published: watch::Receiver<Published>,
    cosigned: watch::Sender<Published>,
}

/// A witness that can be asked.
struct Peer {
    key: VerifierKey,
    port: Arc<dyn WitnessPeer>,
    /// The size it saw last, as far as we know.
    latest: u64,
    /// What went wrong last, so that it is told once.
    problem: Option<String>,
    /// Whether it saw another history of this ledger, or more of it.
    contradicts: bool,
}

/// Why a witness's answer gives no cosignature.
#[derive(Debug, thiserror::Error)]
enum Unhelpful {
    #[error(transparent)]
    Port(#[from] PortError),
    #[error("it answered {status}: {problem}")]
    Refused { status: u16, problem: String },
    #[error("it did not answer in time")]
    Late,
    #[error("its cosignature does not hold")]
    Wrong(#[source] note::Error),
    #[error("it did not cosign, whatever it answered")]
    Nothing,
    #[error("it says to have seen {latest} entries, and this ledger has published {published}")]
    Ahead { latest: u64, published: u64 },
    #[error(
        "another server of this ledger had {latest} entries cosigned, and this one knows of {published}"
    )]
    Overtaken { latest: u64, published: u64 },
}

impl Unhelpful {
    /// Whether the witness saw what this database does not continue (tlog-witness: 422).
    const fn contradicts(&self) -> bool {
        matches!(self, Self::Ahead { .. } | Self::Refused { status: 422, .. })
    }
}

/// Why nothing may be served beside these witnesses.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A witness saw another history than this database holds, or more of it.
    #[error(
        "starting: witness `{witness}` saw what this database does not continue: {problem}. The database, and the \
         anchor with it, are older or other than what was published; restore a newer backup"
    )]
    Contradicted {
        /// The witness.
        witness: String,
        /// What it said.
        problem: String,
    },
    /// The store failed.
    #[error(transparent)]
    Port(#[from] PortError),
}

impl StartError {
    /// The stable code of this error, a page in `docs/errors/`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Contradicted { .. } => "against-witness",
            Self::Port(_) => "store-failed",
        }
    }
}

impl Cosigning {
    /// Goes on with the last cosigned checkpoint that was kept, if the policy still accepts it. `peers` are those
    /// witnesses of the policy that can be asked; they are, at once: who put back an old database and its anchor
    /// cannot put back what others saw. A witness that is away holds nothing up.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(
        (store, clock): (Arc<dyn Store>, Arc<dyn Clock>),
        proofs: Hashes,
        policy: TlogPolicy,
        peers: Vec<(VerifierKey, Arc<dyn WitnessPeer>)>,
        published: watch::Receiver<Published>,
    ) -> Result<Self, StartError> {
        let kept = latest(&*store).await?;
        let (size, note) = kept
            .filter(|(_, note)| policy.open(note.as_bytes()).is_ok())
            .unwrap_or_default();
        let note = note.into_bytes().into();
        let (cosigned, _) = watch::channel(Published { size, note });
        let peer = |(key, port)| Peer {
            key,
            port,
            latest: 0,
            problem: None,
            contradicts: false,
        };
        let mut cosigning = Self {
            store,
            clock,
            proofs,
            policy,
            peers: peers.into_iter().map(peer).collect(),
            published,
            cosigned,
        };
        // Too few cosignatures are no reason not to start; `run` goes on asking.
        let head = cosigning.published.borrow_and_update().clone();
        if head.size > 0
            && let Err(RoundError::Port(failed)) = cosigning.ask(&head).await
        {
            return Err(failed.into());
        }
        match cosigning.peers.iter().find(|peer| peer.contradicts) {
            Some(peer) => Err(StartError::Contradicted {
                witness: peer.key.name().to_owned(),
                problem: peer.problem.clone().unwrap_or_default(),
            }),
            None => Ok(cosigning),
        }
    }

    /// The latest checkpoint that a quorum cosigned, and word of each later one; of size 0 before the first.
    #[must_use]
    pub fn cosigned(&self) -> watch::Receiver<Published> {
        self.cosigned.subscribe()
    }

    /// Asks for each new checkpoint until `stop` turns true. A witness that fails is asked again.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut wait = TRY_AGAIN;
        loop {
            let done = tokio::select! {
                done = self.round() => done,
                () = stopped(&mut stop) => return,
            };
            let again = match done {
                Ok(()) => {
                    wait = TRY_AGAIN;
                    None
                }
                Err(problem) => {
                    tracing::warn!(%problem, source = ?std::error::Error::source(&problem), "the checkpoint is not cosigned; it will be tried again");
                    let again = sleep(wait);
                    wait = (wait * 2).min(TRY_AGAIN_MAX);
                    Some(again)
                }
            };
            tokio::select! {
                changed = self.published.changed(), if again.is_none() => if changed.is_err() { return },
                () = async { if let Some(again) = again { again.await } }, if again.is_some() => {}
                () = stopped(&mut stop) => return,
            }
        }
    }

    /// Brings the latest published checkpoint to every witness and publishes it once a quorum cosigned it.
    ///
    /// # Errors
    /// [`RoundError`] when it is not cosigned enough.
    pub async fn round(&mut self) -> Result<(), RoundError> {
        let published = self.published.borrow_and_update().clone();
        if published.size <= self.cosigned.borrow().size {
            return Ok(());
        }
        self.ask(&published).await
    }

    async fn ask(&mut self, published: &Published) -> Result<(), RoundError> {
        let mut note = Note::parse(&published.note).map_err(checkpoint::Error::from)?;
        let mut deadline = Instant::now() + ANSWER_WITHIN;
        let (store, proofs) = (&*self.store, &self.proofs);
        let mut asked: FuturesUnordered<_> = self
            .peers
            .iter_mut()
            .map(|peer| peer.ask(store, proofs, published))
            .collect();
        let mut enough = Err(RoundError::Quorum(Refusal::NoQuorum {
            cosigned: 0,
            known: self.policy.witnesses().len(),
        }));
        while let Ok(Some(line)) = timeout_at(deadline, asked.next()).await {
            let Some(line) = line else { continue };
            note = note.with(line).map_err(checkpoint::Error::from)?;
            let already = enough.is_ok();
            enough = match self.policy.open(note.to_string().as_bytes()) {
                Ok(_) => Ok(()),
                Err(refusal) => Err(refusal.into()),
            };
            if enough.is_ok() && !already {
                deadline = deadline.min(Instant::now() + OTHERS_WITHIN);
            }
        }
        drop(asked);
        enough?;
        self.publish(published.size, note.to_string()).await
    }

    async fn publish(&self, size: u64, note: String) -> Result<(), RoundError> {
        let day = self.clock.now().as_second().div_euclid(DAY_S);
        let kept = Statement {
            sql: "INSERT INTO cosigned_checkpoints (day, size, note) VALUES ($1, $2, $3)
                  ON CONFLICT (day) DO UPDATE SET size = excluded.size, note = excluded.note",
            params: vec![
                day.into(),
                i64::try_from(size).unwrap_or(i64::MAX).into(),
                note.clone().into(),
            ],
        };
        self.store.execute(vec![kept]).await?;
        let note = note.into_bytes().into();
        self.cosigned.send_replace(Published { size, note });
        Ok(())
    }
}

/// Why a checkpoint is not published as cosigned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RoundError {
    /// Too few witnesses cosigned it.
    #[error(transparent)]
    Quorum(#[from] Refusal),
    /// What was published cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] checkpoint::Error),
    /// The store failed.
    #[error(transparent)]
    Port(#[from] PortError),
}

impl Peer {
    /// A cosignature that holds; `None` when there is none, which is told once.
    async fn ask(
        &mut self,
        store: &dyn Store,
        proofs: &Hashes,
        published: &Published,
    ) -> Option<SignatureLine> {
        let within = Instant::now() + ANSWER_WITHIN;
        let asked = timeout_at(within, self.cosignature(store, proofs, published)).await;
        match asked.unwrap_or(Err(Unhelpful::Late)) {
            Ok(line) => {
                (self.latest, self.contradicts) = (published.size, false);
                if self.problem.take().is_some() {
                    tracing::info!(witness = self.key.name(), "the witness cosigns again");
                }
                Some(line)
            }
            Err(unhelpful) => {
                self.contradicts = unhelpful.contradicts();
                let problem = unhelpful.to_string();
                if self.problem.as_ref() != Some(&problem) {
                    tracing::error!(witness = self.key.name(), %problem, source = ?std::error::Error::source(&unhelpful), "a witness did not cosign");
                    self.problem = Some(problem);
                }
                None
            }
        }
    }

    async fn cosignature(
        &mut self,
        store: &dyn Store,
        proofs: &Hashes,
        published: &Published,
    ) -> Result<SignatureLine, Unhelpful> {
        // Asked twice at most: the second time from where it says to be.
        for _ in 0..2 {
            let request = AddCheckpoint {
                old: self.latest,
                proof: proofs
                    .consistency(store, self.latest, published.size)
                    .await?,
                checkpoint: String::from_utf8_lossy(&published.note).into_owned(),
            };
            match self.port.add_checkpoint(request.to_string()).await? {
                Answered::Cosigned(lines) => return self.checked(&lines, published),
                Answered::Latest(latest) if latest > published.size => {
                    let published = published.size;
                    // What is in the database may have been signed by another server meanwhile.
                    return Err(if latest <= store.frontier().await?.size() {
                        Unhelpful::Overtaken { latest, published }
                    } else {
                        Unhelpful::Ahead { latest, published }
                    });
                }
                Answered::Latest(latest) => self.latest = latest,
                Answered::Refused { status, problem } => {
                    return Err(Unhelpful::Refused { status, problem });
                }
            }
        }
        Err(Unhelpful::Nothing)
    }

    /// The line of an answer that is this witness's cosignature; it may have sent others.
    fn checked(&self, lines: &str, published: &Published) -> Result<SignatureLine, Unhelpful> {
        let own = std::slice::from_ref(&self.key);
        let bare = Note::parse(&published.note).map_err(Unhelpful::Wrong)?;
        for line in lines.lines() {
            let line = SignatureLine::parse(line).map_err(Unhelpful::Wrong)?;
            if line.name() != self.key.name() || line.key_id() != self.key.id() {
                continue;
            }
            let note = Note::new(bare.text().to_owned(), vec![line.clone()]);
            note.and_then(|note| note.verify(own).map(|_| ()))
                .map_err(Unhelpful::Wrong)?;
            return Ok(line);
        }
        Err(Unhelpful::Nothing)
    }
}

/// The checkpoint that is shown to the world: the last one that a quorum of witnesses cosigned, or, where no witness
/// is asked or none has answered yet, the last one that was signed.
#[must_use]
pub fn shown(
    published: &watch::Receiver<Published>,
    cosigned: Option<&watch::Receiver<Published>>,
) -> Published {
    let cosigned = cosigned.map(|last| last.borrow().clone());
    cosigned
        .filter(|cosigned| cosigned.size > 0)
        .unwrap_or_else(|| published.borrow().clone())
}

/// The last cosigned checkpoint that was kept: its size and note.
async fn latest(store: &dyn Store) -> Result<Option<(u64, String)>, PortError> {
    let sql = "SELECT size, note FROM cosigned_checkpoints ORDER BY size DESC LIMIT 1";
    let rows = store.query(sql, Vec::new()).await?;
    let row = rows.first();
    Ok(row.and_then(|row| {
        let size = u64::try_from(row.int(0)?).ok()?;
        Some((size, row.text(1).to_owned()))
    }))
}

/// The last cosigned checkpoint of each day that had one, oldest first.
///
/// # Errors
/// When the store fails.
pub async fn history(store: &dyn Store) -> Result<Vec<String>, PortError> {
    let sql = "SELECT note FROM cosigned_checkpoints ORDER BY day";
    let rows = store.query(sql, Vec::new()).await?;
    Ok(rows.iter().map(|row| row.text(0).to_owned()).collect())
}
