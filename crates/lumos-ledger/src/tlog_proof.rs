//! The receipt: one entry's place in the log as one text file (C2SP tlog-proof, `.tlog-proof`), with
//! the checkpoint it leads to. The entry itself stands in `extra` or is brought by the reader.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::checkpoint::{Checkpoint, Opened, parse_decimal};
use crate::note::{MAX_NOTE, VerifierKey};
use crate::proof::{self, verify_inclusion};
use crate::tlog_policy::{Refusal, TlogPolicy};
use crate::tree::{Hash, leaf_hash};

const HEADER: &str = "c2sp.org/tlog-proof@v1\n";

/// Most hashes a receipt may hold; a tree of 2^63 entries needs no more.
pub const MAX_HASHES: usize = 63;

/// Largest `extra` value read, in bytes.
pub const MAX_EXTRA: usize = 64 * 1024;

/// An inclusion proof with its checkpoint. Prints and parses as the file's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlogProof {
    /// Anything the issuer attaches; LUMOS attaches the entry. Only [`TlogProof::verify`] authenticates it.
    pub extra: Option<Vec<u8>>,
    /// Index of the entry, from 0.
    pub index: u64,
    /// The proof, the leaf's sibling first.
    pub hashes: Vec<Hash>,
    /// The signed checkpoint, byte for byte as published.
    pub checkpoint: String,
}

/// Why a receipt was refused, with the line of the file, from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not a tlog-proof file.
    #[error("reading a tlog-proof: line {line}: {problem}")]
    Malformed {
        /// The line that is wrong, or the last one where something is missing.
        line: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The checkpoint inside is refused.
    #[error("checking a tlog-proof: the checkpoint from line {line} on")]
    Checkpoint {
        /// Its first line.
        line: usize,
        /// Why.
        source: Refusal,
    },
    /// The entry does not stand where the receipt says.
    #[error(
        "checking a tlog-proof: the index and hashes from line {line} on do not prove this entry"
    )]
    Proof {
        /// The line of the index.
        line: usize,
        /// Why.
        source: proof::Error,
    },
    /// It holds no entry, and none was brought.
    #[error("checking a tlog-proof: it holds no entry; bring the entry it is to prove")]
    NoEntry,
}

impl Error {
    /// Stable name of this failure, with a page in `docs/errors/`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed { .. } | Self::NoEntry => "ledger-receipt-malformed",
            Self::Checkpoint { source, .. } => source.code(),
            Self::Proof { source, .. } => source.code(),
        }
    }
}

impl TlogProof {
    /// The entry that it proves, where the issuer put it into `extra`, as LUMOS does. Nothing of it is to be
    /// believed before [`TlogProof::verify`] said so.
    pub fn entry(&self) -> Option<&[u8]> {
        self.extra.as_deref()
    }

    /// Checks that `entry` stands in the log that a trusted key signed for.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] when the checkpoint is refused, [`Error::Proof`] when the entry does not
    /// stand in it at this index.
    pub fn verify<'k>(
        &self,
        entry: &[u8],
        trusted: &'k [VerifierKey],
    ) -> Result<Opened<'k>, Error> {
        let opened = Checkpoint::open(self.checkpoint.as_bytes(), trusted);
        self.included(entry, opened.map_err(Refusal::from))
    }

    /// The same, under a policy: a log of it signed the checkpoint, a quorum cosigned it.
    ///
    /// # Errors
    /// As [`TlogProof::verify`].
    pub fn verify_under<'p>(
        &self,
        entry: &[u8],
        policy: &'p TlogPolicy,
    ) -> Result<Opened<'p>, Error> {
        self.included(entry, policy.open(self.checkpoint.as_bytes()))
    }

    fn included<'k>(
        &self,
        entry: &[u8],
        opened: Result<Opened<'k>, Refusal>,
    ) -> Result<Opened<'k>, Error> {
        // The header, the extra line if there is one, the index, the hashes, a blank line.
        let index_line = 2 + usize::from(self.extra.is_some());
        let opened = opened.map_err(|source| Error::Checkpoint {
            line: index_line + self.hashes.len() + 2,
            source,
        })?;
        let (size, root) = (opened.checkpoint.size(), opened.checkpoint.root());
        verify_inclusion(leaf_hash(entry), self.index, size, root, &self.hashes).map_err(
            |source| Error::Proof {
                line: index_line,
                source,
            },
        )?;
        Ok(opened)
    }
}

impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HEADER)?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", STANDARD.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        self.hashes
            .iter()
            .try_for_each(|hash| writeln!(f, "{}", hash.to_base64()))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

impl FromStr for TlogProof {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text.len() > MAX_NOTE + 2 * MAX_EXTRA {
            return Err(at(1, "the file is too long"));
        }
        let rest = text
            .strip_prefix(HEADER)
            .ok_or(at(1, "it is not `c2sp.org/tlog-proof@v1`"))?;
        // No line above the checkpoint is empty, so the first blank line ends the proof.
        let (head, checkpoint) = rest.split_once("\n\n").ok_or_else(|| {
            let last = text.lines().count();
            at(last, "the file ends before a blank line ends the proof")
        })?;
        let mut lines = (2..).zip(head.split('\n')).peekable();
        let extra = lines.next_if(|(_, line)| line.starts_with("extra "));
        let extra = extra
            .map(|(number, line)| decode_extra(number, line))
            .transpose()?;
        let (number, index) = lines.next().unwrap_or((2, ""));
        let index = index
            .strip_prefix("index ")
            .and_then(parse_decimal)
            .ok_or(at(number, "it is not `index` and a plain decimal"))?;
        let mut hashes = Vec::new();
        for (number, line) in lines {
            if hashes.len() == MAX_HASHES {
                return Err(at(number, "the proof holds over 63 hashes"));
            }
            let hash = Hash::from_base64(line);
            hashes.push(hash.map_err(|_| at(number, "a hash is not canonical base64"))?);
        }
        Ok(Self {
            extra,
            index,
            hashes,
            checkpoint: checkpoint.to_owned(),
        })
    }
}

fn decode_extra(number: usize, line: &str) -> Result<Vec<u8>, Error> {
    STANDARD
        .decode(line.strip_prefix("extra ").unwrap_or(line))
        .ok()
        .filter(|extra| extra.len() <= MAX_EXTRA)
        .ok_or(at(
            number,
            "the extra is not canonical base64 of at most 64 KiB",
        ))
}

const fn at(line: usize, problem: &'static str) -> Error {
    Error::Malformed { line, problem }
}

#[cfg(test)]
mod tests;
