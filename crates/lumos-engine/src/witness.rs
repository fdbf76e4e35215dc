//! A witness at work (C2SP tlog-witness): it cosigns a log's checkpoint only if that continues the one it
//! cosigned last, and keeps what it cosigned before it says so. The judgement is `lumos_ledger::witness`.

use std::{collections::BTreeMap, sync::Arc};

use lumos_ledger::{
    Checkpoint, VerifierKey, checkpoint,
    cosignature::Cosigner,
    note::{self, Note, SignatureLine, Verified},
    witness::{AddCheckpoint, Refusal, Seen},
};
use tokio::sync::Mutex;

use crate::ports::{Anchor, AnchorError, Clock, Held, PortError};

/// Why a witness cannot begin, or does not cosign.
#[derive(Debug, thiserror::Error)]
pub enum WitnessError {
    /// The rules say no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// What was cosigned last cannot be read, or not kept: nothing may be cosigned.
    #[error(transparent)]
    Port(#[from] PortError),
    /// Somebody else wrote where this witness keeps what it cosigned.
    #[error("keeping what was cosigned for the log `{origin}`: somebody else wrote there")]
    Moved {
        /// The log.
        origin: String,
    },
    /// What was kept is no checkpoint of this log that this witness cosigned.
    #[error("reading what was cosigned last for the log `{origin}`")]
    Kept {
        /// The log.
        origin: String,
        /// What is wrong with it.
        #[source]
        problem: checkpoint::Error,
    },
}

impl WitnessError {
    /// The stable code of this error, a page in `docs/errors/`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.code(),
            Self::Port(_) | Self::Moved { .. } => "witness-store-failed",
            Self::Kept { .. } => "witness-state-unreadable",
        }
    }
}

/// A log that a witness follows.
pub struct Followed {
    /// The keys that may sign its checkpoints; the name of each is the origin of the log.
    pub keys: Vec<VerifierKey>,
    /// Where its last checkpoint is kept.
    pub anchor: Arc<dyn Anchor>,
}

/// Cosigns the checkpoints of the logs it follows.
pub struct Witness {
    cosigner: Cosigner,
    clock: Arc<dyn Clock>,
    logs: BTreeMap<String, Log>,
}

struct Log {
    keys: Vec<VerifierKey>,
    anchor: Arc<dyn Anchor>,
    /// INVARIANT: never ahead of the anchor; `None` after a failed write, which may have been kept all the same.
    latest: Mutex<Option<Kept>>,
}

/// What was cosigned last.
struct Kept {
    seen: Seen,
    /// The cosigned checkpoint as the anchor holds it; `None` before the first.
    held: Option<Held>,
}

impl Witness {
    /// A witness that goes on where its anchors say it stopped.
    ///
    /// # Errors
    /// When what was kept cannot be read, or is not what this witness cosigned.
    pub async fn open(
        cosigner: Cosigner,
        clock: Arc<dyn Clock>,
        logs: impl IntoIterator<Item = (String, Followed)>,
    ) -> Result<Self, WitnessError> {
        let mut witness = Self {
            cosigner,
            clock,
            logs: BTreeMap::new(),
        };
        for (origin, followed) in logs {
            let log = Log {
                keys: followed.keys,
                anchor: followed.anchor,
                latest: Mutex::new(None),
            };
            let kept = log.read(&origin, witness.verifier_key()).await?;
            let latest = Mutex::new(Some(kept));
            witness.logs.insert(origin, Log { latest, ..log });
        }
        Ok(witness)
    }

    /// The key that verifies its cosignatures.
    #[must_use]
    pub fn verifier_key(&self) -> &VerifierKey {
        self.cosigner.verifier_key()
    }

    /// The logs it follows, by origin.
    pub fn origins(&self) -> impl Iterator<Item = &str> {
        self.logs.keys().map(String::as_str)
    }

    /// The last checkpoint it cosigned of the log `origin`, its cosignature included; `None` before the first.
    #[must_use]
    pub async fn latest(&self, origin: &str) -> Option<Vec<u8>> {
        let latest = self.logs.get(origin)?.latest.lock().await;
        Some(latest.as_ref()?.held.as_ref()?.note.clone())
    }

    /// Cosigns the checkpoint of `request` if it continues the last one, and keeps it first.
    ///
    /// # Errors
    /// [`WitnessError`]; nothing is cosigned then.
    pub async fn add_checkpoint(
        &self,
        request: &AddCheckpoint,
    ) -> Result<SignatureLine, WitnessError> {
        let origin = request.origin()?;
        let log = self
            .logs
            .get(origin)
            .ok_or_else(|| Refusal::UnknownLog(origin.to_owned()))?;
        // One at a time for a log: between judging and keeping nothing else may be kept.
        let mut latest = log.latest.lock().await;
        let kept = match latest.take() {
            Some(kept) => kept,
            None => log.read(origin, self.verifier_key()).await?,
        };
        let opened = match request.judge(kept.seen, &log.keys) {
            Ok(opened) => opened,
            Err(refusal) => {
                tell(origin, kept.seen, &refusal);
                *latest = Some(kept);
                return Err(refusal.into());
            }
        };
        let time = u64::try_from(self.clock.now().as_second()).unwrap_or(0);
        let cosignature = self.cosigner.sign(opened.note.text(), time);
        let seen = Seen {
            size: opened.checkpoint.size(),
            root: *opened.checkpoint.root(),
        };
        let note = by_log_and(&opened.note, &opened.signatures, cosignature.clone())
            .map_err(|error| PortError::new("putting the cosignature to the checkpoint", error))?;
        let note = note.to_string();
        let replaced = log.anchor.replace(kept.held.as_ref(), note.as_bytes());
        let held = replaced.await.map_err(|error| match error {
            AnchorError::Moved => WitnessError::Moved {
                origin: origin.to_owned(),
            },
            AnchorError::Port(failed) => failed.into(),
        })?;
        let held = Some(held);
        *latest = Some(Kept { seen, held });
        Ok(cosignature)
    }
}

impl Log {
    async fn read(&self, origin: &str, own: &VerifierKey) -> Result<Kept, WitnessError> {
        let Some(held) = self.anchor.load().await? else {
            let seen = Seen::NOTHING;
            return Ok(Kept { seen, held: None });
        };
        let kept = |problem| WitnessError::Kept {
            origin: origin.to_owned(),
            problem,
        };
        // Only our own cosignature counts: the log may have changed its key since.
        let (text, seen) = own_words(&held.note, own).map_err(kept)?;
        if text != origin {
            let problem = "it is the checkpoint of another log";
            return Err(kept(checkpoint::Error::Malformed(problem)));
        }
        let held = Some(held);
        Ok(Kept { seen, held })
    }
}

/// The origin, size and root of a note that `own` cosigned.
fn own_words(note: &[u8], own: &VerifierKey) -> Result<(String, Seen), checkpoint::Error> {
    let note = Note::parse(note)?;
    note.verify(std::slice::from_ref(own))?;
    let checkpoint: Checkpoint = note.text().parse()?;
    let (size, root) = (checkpoint.size(), *checkpoint.root());
    Ok((checkpoint.origin().to_owned(), Seen { size, root }))
}

/// The checkpoint with the signatures of the log that were checked, and ours. Whatever else the request carried
/// is nobody's word that we know.
fn by_log_and(
    note: &Note,
    checked: &[Verified<'_>],
    ours: SignatureLine,
) -> Result<Note, note::Error> {
    let is_checked = |line: &&SignatureLine| {
        let same = |verified: &Verified<'_>| {
            verified.key.name() == line.name() && verified.key.id() == line.key_id()
        };
        checked.iter().any(same)
    };
    let mut lines: Vec<_> = note
        .signatures()
        .iter()
        .filter(is_checked)
        .cloned()
        .collect();
    lines.push(ours);
    Note::new(note.text().to_owned(), lines)
}

/// A log that shows another history than it showed before is what a witness is for: that must not go unseen.
fn tell(origin: &str, seen: Seen, refusal: &Refusal) {
    if let Refusal::NotContinued { .. } = refusal {
        tracing::error!(
            log = origin,
            size = seen.size,
            root = %seen.root.to_base64(),
            "a checkpoint signed by this log does not continue the one cosigned last: its operator has to explain"
        );
    }
}

#[cfg(test)]
mod tests;
