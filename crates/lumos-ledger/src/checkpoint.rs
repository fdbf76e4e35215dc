//! Checkpoints (C2SP tlog-checkpoint): origin, size and root of a log, signed. That a checkpoint
//! continues an earlier one is for [`crate::proof::verify_consistency`] to say.

use std::fmt;
use std::str::FromStr;

use crate::note::{self, Algorithm, Note, NoteSigner, Verified, VerifierKey};
use crate::tree::{Hash, MAX_SIZE};

/// What a log commits to. Prints and parses as the text that is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    origin: String,
    size: u64,
    root: Hash,
    extensions: Vec<String>,
}

/// Why a checkpoint was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is not a checkpoint.
    #[error("reading a checkpoint: {0}")]
    Malformed(&'static str),
    /// The note around it is malformed, wrong or not by a trusted key.
    #[error("opening a checkpoint")]
    Note(#[from] note::Error),
    /// Trusted keys signed it, but none is the key of the log it speaks for.
    #[error("opening a checkpoint: the log `{0}` did not sign it with a trusted key")]
    NotByLog(String),
}

impl Error {
    /// Stable name of this failure, with a page in `docs/errors/`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "ledger-checkpoint-malformed",
            Self::Note(note) => note.code(),
            Self::NotByLog(_) => "ledger-signature-untrusted",
        }
    }
}

impl Checkpoint {
    /// A checkpoint of the log `origin`, a schema-less URL such as `lumos.acme.example/prod`.
    ///
    /// # Errors
    /// [`Error::Malformed`] when the origin cannot stand on a line, or the size exceeds [`MAX_SIZE`].
    pub fn new(origin: &str, size: u64, root: Hash) -> Result<Self, Error> {
        if origin.is_empty() || origin.chars().any(char::is_control) {
            return Err(Error::Malformed("the origin is not one line of text"));
        }
        if size > MAX_SIZE {
            return Err(Error::Malformed("the size is over 2^63 - 1"));
        }
        Ok(Self {
            origin: origin.to_owned(),
            size,
            root,
            extensions: Vec::new(),
        })
    }

    /// Which log this is of.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Entries in the log.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Root of the tree over them.
    pub fn root(&self) -> &Hash {
        &self.root
    }

    /// Lines after the root. LUMOS writes none; other logs may.
    pub fn extensions(&self) -> &[String] {
        &self.extensions
    }

    /// Signs with the log's own key, whose name should equal the origin.
    ///
    /// # Errors
    /// [`Error::NotByLog`] when the key's name is another.
    pub fn sign(&self, signer: &NoteSigner) -> Result<Note, Error> {
        if signer.verifier_key().name() != self.origin {
            return Err(Error::NotByLog(self.origin.clone()));
        }
        let text = self.to_string();
        let signature = signer.sign(&text);
        Ok(Note::new(text, vec![signature])?)
    }

    /// What a signed checkpoint says, whoever signed it: for those who will have it checked, or know that it was.
    ///
    /// # Errors
    /// [`Error::Note`] or [`Error::Malformed`].
    pub fn stated(bytes: &[u8]) -> Result<Self, Error> {
        Note::parse(bytes)?.text().parse()
    }

    /// Reads a signed checkpoint and checks its signatures against the keys one trusts. One of them
    /// must be the log's own Ed25519 key, whose name is the checkpoint's origin; trusting a witness
    /// alone is not enough.
    ///
    /// # Errors
    /// [`Error::Note`], [`Error::Malformed`] or [`Error::NotByLog`].
    pub fn open<'k>(bytes: &[u8], trusted: &'k [VerifierKey]) -> Result<Opened<'k>, Error> {
        let note = Note::parse(bytes)?;
        let signatures = note.verify(trusted)?;
        let checkpoint: Self = note.text().parse()?;
        let by_log = signatures.iter().any(|signature| {
            signature.key.algorithm() == Algorithm::Ed25519
                && signature.key.name() == checkpoint.origin
        });
        if by_log {
            Ok(Opened {
                checkpoint,
                note,
                signatures,
            })
        } else {
            Err(Error::NotByLog(checkpoint.origin))
        }
    }
}

/// A checkpoint whose signatures were checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened<'k> {
    /// What was signed.
    pub checkpoint: Checkpoint,
    /// The note as read.
    pub note: Note,
    /// Each signature by a trusted key; all of them hold.
    pub signatures: Vec<Verified<'k>>,
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}\n{}\n{}",
            self.origin,
            self.size,
            self.root.to_base64()
        )?;
        self.extensions
            .iter()
            .try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl FromStr for Checkpoint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let body = text
            .strip_suffix('\n')
            .ok_or(Error::Malformed("its last line does not end"))?;
        let mut lines = body.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next())
        else {
            return Err(Error::Malformed("it has fewer than three lines"));
        };
        let size =
            parse_decimal(size).ok_or(Error::Malformed("the size is not a plain decimal"))?;
        let root = Hash::from_base64(root)
            .map_err(|_| Error::Malformed("the root is not canonical base64 of 32 bytes"))?;
        let mut checkpoint = Self::new(origin, size, root)?;
        for line in lines {
            if line.is_empty() || line.chars().any(char::is_control) {
                return Err(Error::Malformed(
                    "an extension line is not one line of text",
                ));
            }
            checkpoint.extensions.push(line.to_owned());
        }
        Ok(checkpoint)
    }
}

/// A decimal without sign or leading zeros.
pub(crate) fn parse_decimal(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let leading_zero = text.len() > 1 && text.starts_with('0');
    if plain && !leading_zero {
        text.parse().ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
