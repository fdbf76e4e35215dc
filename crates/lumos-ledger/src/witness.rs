//! A witness's rules (C2SP tlog-witness v1.0.0): what a log asks with `add-checkpoint`, and whether the
//! checkpoint it brings continues the one seen last. Pure: who keeps what was seen, and answers only after
//! that, is elsewhere.

use std::fmt;
use std::str::FromStr;

use crate::checkpoint::{self, Checkpoint, Opened, parse_decimal};
use crate::note::{MAX_NOTE, VerifierKey};
use crate::proof::verify_consistency;
use crate::tree::{EMPTY_ROOT, Hash};

/// Most hashes of a consistency proof in a request (tlog-witness, add-checkpoint).
pub const MAX_HASHES: usize = 63;

/// The longest request read, in bytes: a note, 63 hashes of 45 characters a line, and the first line.
pub const MAX_REQUEST: usize = MAX_NOTE + 64 * 45;

/// What a log asks of a witness. Prints and parses as the body of `add-checkpoint`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// The size of the checkpoint that the log believes the witness saw last; 0 for none.
    pub old: u64,
    /// The proof that the new checkpoint continues that one.
    pub proof: Vec<Hash>,
    /// The new checkpoint as signed, byte for byte.
    pub checkpoint: String,
}

/// The checkpoint that a witness saw last of one log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Its size.
    pub size: u64,
    /// Its root.
    pub root: Hash,
}

impl Seen {
    /// Nothing yet: the empty tree.
    pub const NOTHING: Self = Self {
        size: 0,
        root: EMPTY_ROOT,
    };
}

/// Why a witness does not cosign. Each has the status that the protocol gives it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The body is not such a request.
    #[error("reading an add-checkpoint request: line {line}: {problem}")]
    Malformed {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The old size is larger than the new one.
    #[error("the old size {old} is over the new size {new}")]
    Shrinks {
        /// The old size.
        old: u64,
        /// The new size.
        new: u64,
    },
    /// A log that this witness does not follow.
    #[error("this witness does not follow the log `{0}`")]
    UnknownLog(String),
    /// No trusted key of the log signed it, or one did wrongly.
    #[error("opening the log's checkpoint")]
    Signature(#[source] checkpoint::Error),
    /// The witness saw another checkpoint last; the log asks again from there.
    #[error("the checkpoint seen last has size {latest}")]
    Conflict {
        /// Its size.
        latest: u64,
    },
    /// It does not continue what was seen: a proof that fails, or another history.
    #[error("the checkpoint does not continue the one of size {old} that was seen last")]
    NotContinued {
        /// The size seen last.
        old: u64,
    },
}

impl Refusal {
    /// The HTTP status of this refusal (tlog-witness, add-checkpoint).
    pub fn status(&self) -> u16 {
        match self {
            Self::Malformed { .. } | Self::Shrinks { .. } => 400,
            Self::UnknownLog(_) => 404,
            Self::Signature(_) => 403,
            Self::Conflict { .. } => 409,
            Self::NotContinued { .. } => 422,
        }
    }

    /// Stable name of this failure, with a page in `docs/errors/`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed { .. } | Self::Shrinks { .. } => "witness-request-malformed",
            Self::UnknownLog(_) => "witness-log-unknown",
            Self::Signature(_) => "witness-log-untrusted",
            Self::Conflict { .. } => "witness-conflict",
            Self::NotContinued { .. } => "witness-not-continued",
        }
    }
}

impl AddCheckpoint {
    /// The origin that the checkpoint names, before any signature is looked at: it says which log's keys
    /// and which last checkpoint to bring to [`Self::judge`].
    ///
    /// # Errors
    /// [`Refusal::Malformed`] when it names none.
    pub fn origin(&self) -> Result<&str, Refusal> {
        let origin = self.checkpoint.split('\n').next().unwrap_or_default();
        if origin.is_empty() {
            return Err(self.malformed("the checkpoint names no log"));
        }
        Ok(origin)
    }

    /// Whether the checkpoint continues what was `seen` last; the keys are those trusted for its log.
    ///
    /// INVARIANT: whoever gets `Ok` stores the new size and root, compared with `seen`, before cosigning.
    ///
    /// # Errors
    /// Any other of [`Refusal`].
    pub fn judge<'k>(&self, seen: Seen, trusted: &'k [VerifierKey]) -> Result<Opened<'k>, Refusal> {
        let opened =
            Checkpoint::open(self.checkpoint.as_bytes(), trusted).map_err(|error| match error {
                checkpoint::Error::Malformed(problem) => self.malformed(problem),
                error => Refusal::Signature(error),
            })?;
        let (new, root) = (opened.checkpoint.size(), opened.checkpoint.root());
        let old = self.old;
        if old > new {
            return Err(Refusal::Shrinks { old, new });
        }
        if old != seen.size {
            return Err(Refusal::Conflict { latest: seen.size });
        }
        match verify_consistency((old, &seen.root), (new, root), &self.proof) {
            Ok(()) => Ok(opened),
            Err(_) => Err(Refusal::NotContinued { old }),
        }
    }

    /// The first line of the checkpoint stands after the old size, the proof and the blank line.
    fn malformed(&self, problem: &'static str) -> Refusal {
        let line = self.proof.len() + 3;
        Refusal::Malformed { line, problem }
    }
}

impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old)?;
        self.proof
            .iter()
            .try_for_each(|hash| writeln!(f, "{}", hash.to_base64()))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

impl FromStr for AddCheckpoint {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let wrong = |line, problem| Refusal::Malformed { line, problem };
        if text.len() > MAX_REQUEST {
            return Err(wrong(1, "the request is too long"));
        }
        let (head, checkpoint) = text
            .split_once("\n\n")
            .ok_or(wrong(1, "no blank line stands before the checkpoint"))?;
        let mut lines = head.split('\n');
        let old = lines
            .next()
            .and_then(|line| parse_decimal(line.strip_prefix("old ")?))
            .ok_or(wrong(1, "it is not `old` and a plain decimal"))?;
        let mut proof = Vec::new();
        for (line, number) in lines.zip(2..) {
            if proof.len() == MAX_HASHES {
                return Err(wrong(number, "the proof has over 63 hashes"));
            }
            let hash = Hash::from_base64(line);
            proof.push(hash.map_err(|_| wrong(number, "a hash is not canonical base64"))?);
        }
        Ok(Self {
            old,
            proof,
            checkpoint: checkpoint.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests;
