//! Sealed fields: names and free text leave only a salted commitment in the ledger (DESIGN promise 9).
//!
//! The value and its salt travel beside the entry into a table that can be erased. After erasure a replay
//! sees the same commitment, so no proof breaks. A [`Sealed`] has no readable value on purpose: a rule can
//! carry it, never look at it.

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};

use crate::id::Digest;

/// A commitment to a text: HMAC-SHA-256 under a random 32-byte salt (DECISIONS 8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub struct Sealed(Digest);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    sealed: String,
}

impl From<Sealed> for Wire {
    fn from(sealed: Sealed) -> Self {
        Self {
            sealed: format!("hmac-sha256:{}", sealed.0.hex()),
        }
    }
}

impl TryFrom<Wire> for Sealed {
    type Error = String;

    fn try_from(wire: Wire) -> Result<Self, String> {
        let digits = wire.sealed.strip_prefix("hmac-sha256:").unwrap_or_default();
        format!("sha256:{digits}")
            .parse()
            .map(Self)
            .map_err(|_| "a sealed field is `hmac-sha256:` and 64 hex digits".to_owned())
    }
}

impl Sealed {
    /// The 64 hex digits of the commitment: the key of the sealed value's row.
    #[must_use]
    pub fn hex(&self) -> String {
        self.0.hex()
    }
}

/// A text with the salt that its commitment was made with. Erasable; never part of an entry.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedValue {
    /// What stands in the entry.
    pub commitment: Sealed,
    /// 32 random bytes.
    pub salt: [u8; 32],
    /// The text.
    pub value: String,
}

impl std::fmt::Debug for SealedValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SealedValue")
            .field("commitment", &self.commitment)
            .finish_non_exhaustive()
    }
}

impl SealedValue {
    /// Commits to `value` under `salt`.
    #[must_use]
    pub fn new(salt: [u8; 32], value: String) -> Self {
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&salt)
            .expect("because HMAC takes a key of any length");
        mac.update(value.as_bytes());
        let tag: [u8; 32] = mac.finalize().into_bytes().into();
        Self {
            commitment: Sealed(Digest::from_bytes(tag)),
            salt,
            value,
        }
    }

    /// Whether salt and value still open the commitment.
    #[must_use]
    pub fn opens(&self) -> bool {
        Self::new(self.salt, self.value.clone()).commitment == self.commitment
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commitment_hides_and_binds() {
        let a = SealedValue::new([1; 32], "alice".into());
        assert!(a.opens());
        assert_ne!(
            a.commitment,
            SealedValue::new([2; 32], "alice".into()).commitment
        );
        assert_ne!(
            a.commitment,
            SealedValue::new([1; 32], "alicf".into()).commitment
        );
        assert!(
            !SealedValue {
                value: "mallory".into(),
                ..a.clone()
            }
            .opens()
        );
        let json = serde_json::to_string(&a.commitment).unwrap();
        assert!(!json.contains("alice") && !format!("{a:?}").contains("alice"));
        assert_eq!(serde_json::from_str::<Sealed>(&json).unwrap(), a.commitment);
        assert!(serde_json::from_str::<Sealed>(r#"{"sealed":"alice"}"#).is_err());
    }
}
