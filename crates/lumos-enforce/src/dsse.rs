//! Dead Simple Signing Envelope (DSSE v1) with ECDSA P-256: how snapshots travel.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use p256::ecdsa::{
    Signature, SigningKey, VerifyingKey,
    signature::{Signer as _, Verifier as _},
};
use serde::{Deserialize, Serialize};

/// The most bytes of an envelope that are read.
pub const ENVELOPE_BYTES_MAX: usize = 256 * 1024 * 1024;

/// A signed payload as it travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Envelope {
    /// The media type of the payload.
    pub payload_type: String,
    /// The payload, base64.
    pub payload: String,
    /// Its signatures.
    pub signatures: Vec<SignatureEntry>,
}

/// One signature over an envelope's payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignatureEntry {
    /// A hint which key made it; never trusted.
    pub keyid: String,
    /// The ASN.1 DER signature, base64.
    pub sig: String,
}

/// Why an envelope was refused.
#[derive(Debug, thiserror::Error)]
pub enum DsseError {
    /// It is not the JSON of an envelope.
    #[error("reading a signed envelope")]
    Json(#[from] serde_json::Error),
    /// Base64 is broken.
    #[error("reading a signed envelope: its base64 is broken")]
    Base64,
    /// The payload is of another type.
    #[error("reading a signed envelope: it holds `{found}`, not `{wanted}`")]
    Type {
        /// The type it has.
        found: String,
        /// The type that was asked for.
        wanted: &'static str,
    },
    /// No trusted key made a signature over it.
    #[error("verifying a signed envelope: no trusted key signed it")]
    Untrusted,
    /// A key is no P-256 key.
    #[error("reading a P-256 key")]
    Key,
    /// It is too large to be read.
    #[error("reading a signed envelope: it is larger than {ENVELOPE_BYTES_MAX} bytes")]
    TooLarge,
}

impl DsseError {
    /// The stable code of this error, a page in `docs/errors/`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Untrusted => "untrusted-signature",
            _ => "bad-envelope",
        }
    }
}

/// The pre-authentication encoding that is signed (DSSE v1: `DSSEv1 len type len body`).
fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "DSSEv1 {} {payload_type} {} ",
        payload_type.len(),
        payload.len()
    )
    .into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

/// A P-256 key that signs statements.
pub struct StatementSigner {
    key: SigningKey,
    keyid: String,
}

impl StatementSigner {
    /// A signer from a 32-byte secret scalar.
    ///
    /// # Errors
    /// When the scalar is zero or not below the group order.
    pub fn from_bytes(secret: &[u8; 32]) -> Result<Self, DsseError> {
        let key = SigningKey::from_slice(secret).map_err(|_| DsseError::Key)?;
        let keyid = public_text(key.verifying_key());
        Ok(Self { key, keyid })
    }

    /// The public key as it stands in a trust file: the compressed SEC1 point, base64.
    #[must_use]
    pub fn public(&self) -> &str {
        &self.keyid
    }

    /// Signs `payload`.
    #[must_use]
    pub fn sign(&self, payload_type: &str, payload: &[u8]) -> Envelope {
        let signature: Signature = self.key.sign(&pae(payload_type, payload));
        Envelope {
            payload_type: payload_type.to_owned(),
            payload: STANDARD.encode(payload),
            signatures: vec![SignatureEntry {
                keyid: self.keyid.clone(),
                sig: STANDARD.encode(signature.to_der().as_bytes()),
            }],
        }
    }
}

fn public_text(key: &VerifyingKey) -> String {
    STANDARD.encode(key.to_sec1_point(true).as_bytes())
}

/// A public P-256 key that a verifier trusts.
#[derive(Debug, Clone)]
pub struct TrustedKey(VerifyingKey);

impl std::str::FromStr for TrustedKey {
    type Err = DsseError;

    fn from_str(text: &str) -> Result<Self, DsseError> {
        let bytes = STANDARD.decode(text).map_err(|_| DsseError::Key)?;
        VerifyingKey::from_sec1_bytes(&bytes)
            .map(Self)
            .map_err(|_| DsseError::Key)
    }
}

impl Envelope {
    /// The payload, if a trusted key signed it and it is of the wanted type.
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn open(&self, wanted: &'static str, trusted: &[TrustedKey]) -> Result<Vec<u8>, DsseError> {
        if self.payload_type != wanted {
            return Err(DsseError::Type {
                found: self.payload_type.clone(),
                wanted,
            });
        }
        let payload = STANDARD
            .decode(&self.payload)
            .map_err(|_| DsseError::Base64)?;
        let signed = pae(&self.payload_type, &payload);
        for entry in self.signatures.iter().take(16) {
            let Ok(der) = STANDARD.decode(&entry.sig) else {
                continue;
            };
            let Ok(signature) = Signature::from_der(&der) else {
                continue;
            };
            if trusted
                .iter()
                .any(|key| key.0.verify(&signed, &signature).is_ok())
            {
                return Ok(payload);
            }
        }
        Err(DsseError::Untrusted)
    }

    /// Reads an envelope from JSON.
    ///
    /// # Errors
    /// When it is too large or no envelope.
    pub fn parse(bytes: &[u8]) -> Result<Self, DsseError> {
        if bytes.len() > ENVELOPE_BYTES_MAX {
            return Err(DsseError::TooLarge);
        }
        Ok(serde_json::from_slice(bytes)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "application/vnd.test+json";

    fn signer(byte: u8) -> StatementSigner {
        StatementSigner::from_bytes(&[byte; 32]).unwrap()
    }

    #[test]
    fn the_pae_is_that_of_the_dsse_specification() {
        let expected = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world";
        assert_eq!(
            pae("http://example.com/HelloWorld", b"hello world"),
            expected
        );
    }

    #[test]
    fn only_a_trusted_key_opens_and_any_change_is_seen() {
        let trusted: TrustedKey = signer(1).public().parse().unwrap();
        let envelope = signer(1).sign(TYPE, b"payload");
        assert_eq!(
            envelope.open(TYPE, std::slice::from_ref(&trusted)).unwrap(),
            b"payload"
        );
        let other: TrustedKey = signer(2).public().parse().unwrap();
        assert!(matches!(
            envelope.open(TYPE, &[other]),
            Err(DsseError::Untrusted)
        ));
        assert!(matches!(
            envelope.open(TYPE, &[]),
            Err(DsseError::Untrusted)
        ));
        let swapped = Envelope {
            payload: STANDARD.encode(b"Payload"),
            ..envelope.clone()
        };
        assert!(matches!(
            swapped.open(TYPE, std::slice::from_ref(&trusted)),
            Err(DsseError::Untrusted)
        ));
        assert!(matches!(
            envelope.open("other", &[trusted]),
            Err(DsseError::Type { .. })
        ));
        assert!(Envelope::parse(b"{}").is_err() && StatementSigner::from_bytes(&[0; 32]).is_err());
    }
}
