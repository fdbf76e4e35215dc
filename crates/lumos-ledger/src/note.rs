//! Signed notes (C2SP signed-note): text, signature lines, verifier keys, and Ed25519 signing. What
//! the text means is not known here; see [`crate::checkpoint`].

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};

use crate::cosignature;

/// Largest note read, in bytes: room for many post-quantum cosignatures of about 5 kB.
pub const MAX_NOTE: usize = 256 * 1024;

/// Most signature lines read; the format asks for at least 16.
pub const MAX_SIGNATURES: usize = 100;

/// Longest key name read, in bytes.
pub const MAX_NAME: usize = 255;

const SIGNATURE_MARK: &str = "\u{2014} ";

/// How a key signs a note.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Type 0x01: Ed25519 over the note's text.
    Ed25519,
    /// Type 0x04: Ed25519 over time and checkpoint text, by a witness.
    Cosignature,
}

impl Algorithm {
    /// The type byte in key ids and verifier keys.
    pub fn byte(self) -> u8 {
        match self {
            Self::Ed25519 => 0x01,
            Self::Cosignature => 0x04,
        }
    }
}

/// Why a note, a key or a signature was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not a signed note.
    #[error("reading a signed note: {0}")]
    Malformed(&'static str),
    /// Not a verifier key, or of a type this crate cannot check.
    #[error("reading the verifier key `{key}`: {why}")]
    Key {
        /// The text given, shortened.
        key: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Empty, too long, or with spaces, `+` or control characters.
    #[error("naming a key: `{0}` is not a key name")]
    Name(String),
    /// A trusted key's signature does not fit the text: the whole note is refused.
    #[error("checking a signed note: the signature of `{0}` is wrong")]
    Signature(String),
    /// No key we trust signed it.
    #[error("checking a signed note: none of its signatures is by a trusted key")]
    Untrusted,
    /// Two trusted keys share name and id, so it is unclear which one is meant.
    #[error("checking a signed note: two trusted keys are called `{0}` with the same id")]
    Ambiguous(String),
}

impl Error {
    /// Stable name of this failure, with a page in `docs/errors/`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "ledger-note-malformed",
            Self::Key { .. } | Self::Name(_) | Self::Ambiguous(_) => "ledger-key-malformed",
            Self::Signature(_) => "ledger-signature-wrong",
            Self::Untrusted => "ledger-signature-untrusted",
        }
    }
}

/// One line below a note: who signed, with which key, and the signature bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureLine {
    name: String,
    key_id: u32,
    bytes: Vec<u8>,
}

impl SignatureLine {
    pub(crate) fn new(name: String, key_id: u32, bytes: Vec<u8>) -> Self {
        Self {
            name,
            key_id,
            bytes,
        }
    }

    /// Name of the key.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Id of the key: the first 4 bytes of the line's base64, big-endian.
    pub fn key_id(&self) -> u32 {
        self.key_id
    }

    /// The signature after the key id; its meaning depends on the key's type.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads one line without its newline, such as a witness answers with.
    ///
    /// # Errors
    /// [`Error::Malformed`] when it is not a signature line.
    pub fn parse(line: &str) -> Result<Self, Error> {
        let (name, blob) = line
            .strip_prefix(SIGNATURE_MARK)
            .and_then(|rest| rest.split_once(' '))
            .filter(|(name, _)| is_name(name))
            .ok_or(Error::Malformed(
                "a signature line is not `\u{2014} name base64`",
            ))?;
        let blob = STANDARD
            .decode(blob)
            .map_err(|_| Error::Malformed("a signature is not canonical base64"))?;
        match blob.split_first_chunk::<4>() {
            Some((id, bytes)) if !bytes.is_empty() => Ok(Self::new(
                name.to_owned(),
                u32::from_be_bytes(*id),
                bytes.to_vec(),
            )),
            _ => Err(Error::Malformed("a signature is too short")),
        }
    }
}

impl fmt::Display for SignatureLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blob = [&self.key_id.to_be_bytes(), self.bytes.as_slice()].concat();
        write!(f, "{SIGNATURE_MARK}{} {}", self.name, STANDARD.encode(blob))
    }
}

/// A text ending in a newline, and signature lines. Prints as the note's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<SignatureLine>,
}

impl Note {
    /// A text with signatures over it; nothing is checked but its form.
    ///
    /// # Errors
    /// [`Error::Malformed`] when the text does not end in a newline, holds other control characters,
    /// or there is no signature.
    pub fn new(text: String, signatures: Vec<SignatureLine>) -> Result<Self, Error> {
        if !text.ends_with('\n') {
            return Err(Error::Malformed("the text does not end in a newline"));
        }
        if text.chars().any(|c| c.is_control() && c != '\n') {
            return Err(Error::Malformed("it holds a control character"));
        }
        match signatures.len() {
            0 => Err(Error::Malformed("it has no signature")),
            1..=MAX_SIGNATURES => Ok(Self { text, signatures }),
            _ => Err(Error::Malformed("it has over 100 signatures")),
        }
    }

    /// Reads a note; signatures are not checked yet.
    ///
    /// # Errors
    /// [`Error::Malformed`] when the bytes are not a signed note or over [`MAX_NOTE`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > MAX_NOTE {
            return Err(Error::Malformed("it is over 256 KiB"));
        }
        let whole = std::str::from_utf8(bytes).map_err(|_| Error::Malformed("it is not UTF-8"))?;
        // The text may hold blank lines itself: the last one separates.
        let blank = whole
            .rfind("\n\n")
            .ok_or(Error::Malformed("no blank line ends its text"))?;
        let (text, lines) = (&whole[..=blank], &whole[blank + 2..]);
        let lines = lines
            .strip_suffix('\n')
            .ok_or(Error::Malformed("its last signature line does not end"))?;
        let signatures = lines
            .split('\n')
            .take(MAX_SIGNATURES + 1)
            .map(SignatureLine::parse)
            .collect::<Result<_, _>>()?;
        Self::new(text.to_owned(), signatures)
    }

    /// The signed text, with its final newline.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// All signatures, trusted or not.
    pub fn signatures(&self) -> &[SignatureLine] {
        &self.signatures
    }

    /// This note with one more signature, for instance a witness's.
    ///
    /// # Errors
    /// [`Error::Malformed`] when it holds [`MAX_SIGNATURES`] already.
    pub fn with(mut self, signature: SignatureLine) -> Result<Self, Error> {
        self.signatures.push(signature);
        Self::new(self.text, self.signatures)
    }

    /// Checks the signatures against the keys one trusts; lines by unknown keys are ignored.
    ///
    /// # Errors
    /// [`Error::Signature`] when any trusted key's signature is wrong, [`Error::Untrusted`] when none
    /// is by a trusted key, [`Error::Ambiguous`] when the trusted keys contradict each other.
    pub fn verify<'k>(&self, trusted: &'k [VerifierKey]) -> Result<Vec<Verified<'k>>, Error> {
        let mut verified = Vec::new();
        for line in &self.signatures {
            let mut matching = trusted.iter().filter(|key| key.made(line));
            let Some(key) = matching.next() else { continue };
            if matching.any(|other| other != key) {
                return Err(Error::Ambiguous(key.name.clone()));
            }
            let time = key
                .check(&self.text, &line.bytes)
                .ok_or_else(|| Error::Signature(key.name.clone()))?;
            verified.push(Verified { key, time });
        }
        if verified.is_empty() {
            Err(Error::Untrusted)
        } else {
            Ok(verified)
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures
            .iter()
            .try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// A signature that was checked and holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified<'k> {
    /// The trusted key that made it.
    pub key: &'k VerifierKey,
    /// When a witness says it saw the checkpoint, in seconds since 1970; nothing for a log's own.
    pub time: Option<u64>,
}

/// A public key with its name. Prints and parses as `name+hex(id)+base64(type || key)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    algorithm: Algorithm,
    key: VerifyingKey,
}

impl VerifierKey {
    /// The key of type 0x01 called `name`, from the 32 bytes of its Ed25519 public key.
    ///
    /// # Errors
    /// [`Error::Name`] when the name cannot stand in a signature line, [`Error::Key`] when the bytes are no key.
    pub fn ed25519(name: &str, public: &[u8; 32]) -> Result<Self, Error> {
        if !is_name(name) {
            return Err(Error::Name(name.chars().take(80).collect()));
        }
        let key = VerifyingKey::from_bytes(public).ok();
        let key = key.filter(|key| !key.is_weak()).ok_or(Error::Key {
            key: name.chars().take(80).collect(),
            why: "it is not an Ed25519 public key",
        })?;
        Ok(Self {
            name: name.to_owned(),
            algorithm: Algorithm::Ed25519,
            key,
        })
    }

    /// The line of a signature over `text` that was made elsewhere, by a token or a service. It is checked first:
    /// what does not hold never stands under a note.
    ///
    /// # Errors
    /// [`Error::Signature`] when this key did not make it over this text.
    pub fn line(&self, text: &str, signature: &[u8]) -> Result<SignatureLine, Error> {
        match self.check(text, signature) {
            Some(_) => Ok(SignatureLine::new(
                self.name.clone(),
                self.id(),
                signature.to_vec(),
            )),
            None => Err(Error::Signature(self.name.clone())),
        }
    }

    /// Name of the key: for a log its origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it signs.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The 32 bytes of the Ed25519 public key.
    pub fn public(&self) -> &[u8; 32] {
        self.key.as_bytes()
    }

    /// First 4 bytes of `SHA-256(name || 0x0A || type || public key)`, big-endian.
    pub fn id(&self) -> u32 {
        let digest = Sha256::new()
            .chain_update(&self.name)
            .chain_update([b'\n', self.algorithm.byte()])
            .chain_update(self.key.as_bytes())
            .finalize();
        u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
    }

    fn made(&self, line: &SignatureLine) -> bool {
        self.name == line.name && self.id() == line.key_id
    }

    /// `Some` when the signature holds, with the time inside when it is a cosignature.
    fn check(&self, text: &str, signature: &[u8]) -> Option<Option<u64>> {
        let (message, signature, time) = match self.algorithm {
            Algorithm::Ed25519 => (text.to_owned(), signature, None),
            Algorithm::Cosignature => {
                let (time, signature) = signature.split_first_chunk::<8>()?;
                let time = u64::from_be_bytes(*time);
                (cosignature::message(text, time), signature, Some(time))
            }
        };
        let signature = Signature::from_slice(signature).ok()?;
        self.key
            .verify_strict(message.as_bytes(), &signature)
            .ok()
            .map(|()| time)
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blob = [&[self.algorithm.byte()], self.key.as_bytes().as_slice()].concat();
        write!(
            f,
            "{}+{:08x}+{}",
            self.name,
            self.id(),
            STANDARD.encode(blob)
        )
    }
}

impl FromStr for VerifierKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refused = |why| Error::Key {
            key: text.chars().take(80).collect(),
            why,
        };
        if text.len() > MAX_NAME + 128 {
            return Err(refused("it is too long"));
        }
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(blob)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(refused("it is not `name+id+key`"));
        };
        if !is_name(name) {
            return Err(refused("its name is not a key name"));
        }
        let blob = STANDARD
            .decode(blob)
            .map_err(|_| refused("the key is not canonical base64"))?;
        let (algorithm, public) = match blob.split_first() {
            Some((0x01, public)) => (Algorithm::Ed25519, public),
            Some((0x04, public)) => (Algorithm::Cosignature, public),
            _ => {
                return Err(refused(
                    "its type is neither Ed25519 (1) nor a cosignature (4)",
                ));
            }
        };
        let key = VerifyingKey::try_from(public)
            .ok()
            .filter(|key| !key.is_weak())
            .ok_or_else(|| refused("it is not an Ed25519 public key"))?;
        let key = Self {
            name: name.to_owned(),
            algorithm,
            key,
        };
        if format!("{:08x}", key.id()) == id {
            Ok(key)
        } else {
            Err(refused("its id does not fit name and key"))
        }
    }
}

/// Signs notes with one Ed25519 key. Never prints its seed.
#[derive(Clone)]
pub struct NoteSigner {
    verifier: VerifierKey,
    key: SigningKey,
}

impl NoteSigner {
    /// A signer of type 0x01 from the 32-byte Ed25519 seed.
    ///
    /// # Errors
    /// [`Error::Name`] when the name cannot stand in a signature line.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, Error> {
        Self::with_algorithm(name, seed, Algorithm::Ed25519)
    }

    pub(crate) fn with_algorithm(
        name: &str,
        seed: &[u8; 32],
        algorithm: Algorithm,
    ) -> Result<Self, Error> {
        if !is_name(name) {
            return Err(Error::Name(name.chars().take(80).collect()));
        }
        let key = SigningKey::from_bytes(seed);
        let verifier = VerifierKey {
            name: name.to_owned(),
            algorithm,
            key: key.verifying_key(),
        };
        Ok(Self { verifier, key })
    }

    /// The public half, to hand out.
    pub fn verifier_key(&self) -> &VerifierKey {
        &self.verifier
    }

    /// Signs a text that ends in a newline.
    pub fn sign(&self, text: &str) -> SignatureLine {
        self.line(self.raw(text).to_vec())
    }

    /// The 64 bytes of the bare Ed25519 signature over `message`.
    pub fn signature(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }

    pub(crate) fn raw(&self, message: &str) -> [u8; 64] {
        self.key.sign(message.as_bytes()).to_bytes()
    }

    pub(crate) fn line(&self, bytes: Vec<u8>) -> SignatureLine {
        SignatureLine::new(self.verifier.name.clone(), self.verifier.id(), bytes)
    }
}

impl fmt::Debug for NoteSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NoteSigner({})", self.verifier)
    }
}

fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len())
        && !name
            .chars()
            .any(|c| c.is_whitespace() || c.is_control() || c == '+')
}

#[cfg(test)]
mod tests;
