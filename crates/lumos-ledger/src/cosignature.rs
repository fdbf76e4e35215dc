//! Ed25519 cosignatures of checkpoints (C2SP tlog-cosignature, type 0x04): a witness's statement that
//! at a stated time this was the largest tree it had seen. The time is an input; nothing is fetched.

use std::fmt;

use crate::note::{Algorithm, Error, NoteSigner, SignatureLine, VerifierKey};

/// What an Ed25519 cosignature signs.
pub(crate) fn message(checkpoint_text: &str, time: u64) -> String {
    format!("cosignature/v1\ntime {time}\n{checkpoint_text}")
}

/// Cosigns checkpoints with one Ed25519 key. Never prints its seed.
#[derive(Clone)]
pub struct Cosigner(NoteSigner);

impl Cosigner {
    /// A cosigner from the 32-byte Ed25519 seed.
    ///
    /// # Errors
    /// [`Error::Name`] when the name cannot stand in a signature line.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, Error> {
        NoteSigner::with_algorithm(name, seed, Algorithm::Cosignature).map(Self)
    }

    /// The public half, to hand out.
    pub fn verifier_key(&self) -> &VerifierKey {
        self.0.verifier_key()
    }

    /// Cosigns the text of a checkpoint as of `time`, seconds since 1970. The caller has checked and
    /// stored that this checkpoint continues the one before.
    pub fn sign(&self, checkpoint_text: &str, time: u64) -> SignatureLine {
        let signature = self.0.raw(&message(checkpoint_text, time));
        self.0
            .line([time.to_be_bytes().as_slice(), &signature].concat())
    }
}

impl fmt::Debug for Cosigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cosigner({})", self.verifier_key())
    }
}

#[cfg(test)]
mod tests;
