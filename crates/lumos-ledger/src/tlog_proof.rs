//! The receipt: one entry's place in the log as one text file (C2SP tlog-proof, `.tlog-proof`), with
//! the checkpoint it leads to. It holds no entry; the reader brings that.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::checkpoint::{self, Checkpoint, Opened, parse_decimal};
use crate::note::{MAX_NOTE, VerifierKey};
use crate::proof::{self, verify_inclusion};
use crate::tree::{Hash, leaf_hash};

const HEADER: &str = "c2sp.org/tlog-proof@v1\n";

/// Most hashes a receipt may hold; a tree of 2^63 entries needs no more.
pub const MAX_HASHES: usize = 63;

/// Largest `extra` value read, in bytes.
pub const MAX_EXTRA: usize = 64 * 1024;

/// An inclusion proof with its checkpoint. Prints and parses as the file's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlogProof {
    /// Anything the issuer attaches. Nothing authenticates it.
    pub extra: Option<Vec<u8>>,
    /// Index of the entry, from 0.
    pub index: u64,
    /// The proof, the leaf's sibling first.
    pub hashes: Vec<Hash>,
    /// The signed checkpoint, byte for byte as published.
    pub checkpoint: String,
}

/// Why a receipt was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not a tlog-proof file.
    #[error("reading a tlog-proof: {0}")]
    Malformed(&'static str),
    /// The checkpoint inside is refused.
    #[error("checking a tlog-proof")]
    Checkpoint(#[from] checkpoint::Error),
    /// The entry does not stand where the receipt says.
    #[error("checking a tlog-proof")]
    Proof(#[from] proof::Error),
}

impl Error {
    /// Stable name of this failure, with a page in `docs/errors/`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "ledger-receipt-malformed",
            Self::Checkpoint(error) => error.code(),
            Self::Proof(error) => error.code(),
        }
    }
}

impl TlogProof {
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
        let opened = Checkpoint::open(self.checkpoint.as_bytes(), trusted)?;
        let (size, root) = (opened.checkpoint.size(), opened.checkpoint.root());
        verify_inclusion(leaf_hash(entry), self.index, size, root, &self.hashes)?;
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
            return Err(Error::Malformed("it is too long"));
        }
        let rest = text
            .strip_prefix(HEADER)
            .ok_or(Error::Malformed("its first line is another"))?;
        // No line above the checkpoint is empty, so the first blank line ends the proof.
        let (head, checkpoint) = rest
            .split_once("\n\n")
            .ok_or(Error::Malformed("no blank line ends the proof"))?;
        let mut lines = head.split('\n').peekable();
        let extra = match lines.peek().and_then(|line| line.strip_prefix("extra ")) {
            Some(extra) => {
                lines.next();
                Some(decode_extra(extra)?)
            }
            None => None,
        };
        let index = lines
            .next()
            .and_then(|line| parse_decimal(line.strip_prefix("index ")?))
            .ok_or(Error::Malformed("its index is not a plain decimal"))?;
        let mut hashes = Vec::new();
        for line in lines {
            if hashes.len() == MAX_HASHES {
                return Err(Error::Malformed("it holds over 63 hashes"));
            }
            let hash = Hash::from_base64(line);
            hashes.push(hash.map_err(|_| Error::Malformed("a hash is not canonical base64"))?);
        }
        Ok(Self {
            extra,
            index,
            hashes,
            checkpoint: checkpoint.to_owned(),
        })
    }
}

fn decode_extra(text: &str) -> Result<Vec<u8>, Error> {
    STANDARD
        .decode(text)
        .ok()
        .filter(|extra| extra.len() <= MAX_EXTRA)
        .ok_or(Error::Malformed(
            "its extra is not canonical base64 of at most 64 KiB",
        ))
}

#[cfg(test)]
mod tests;
