//! Whether an authority one trusts signed a timestamp: the signature of its CMS envelope (RFC 5652, section 5), and
//! that its certificate led to its root and was meant for timestamps at that time (RFC 3161, section 2.3).

use std::time::Duration;

use cms::{
    cert::x509::{
        attr::Attributes,
        der::{
            Decode, Encode as _,
            asn1::{ObjectIdentifier, OctetString},
        },
    },
    signed_data::{SignedData, SignerInfo},
};
use jiff::Timestamp;
use rustls_pki_types::{
    CertificateDer, SignatureVerificationAlgorithm, UnixTime,
    pem::{self, PemObject as _},
};
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert, ring};

use crate::{Error, SHA_256, TST_INFO, imprint, read};

/// Certificates of a chain that are read at most.
const MAX_CHAIN: usize = 16;

/// SHA-384 and SHA-512 (RFC 5754, section 2).
const SHA_384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
const SHA_512: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3");
/// Signed attributes (RFC 5652, sections 11.1 and 11.2).
const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
/// The value of id-kp-timeStamping, 1.3.6.1.5.5.7.3.8 (RFC 3161, section 2.3).
const TIME_STAMPING: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 8];

type Algorithms = &'static [&'static dyn SignatureVerificationAlgorithm];

/// With which a chain of certificates may be signed.
const OF_CHAINS: Algorithms = webpki::ALL_VERIFICATION_ALGS;
/// With which a timestamp may be signed, by the digest it names.
const WITH_SHA_256: Algorithms = &[
    ring::ECDSA_P256_SHA256,
    ring::ECDSA_P384_SHA256,
    ring::ED25519,
    ring::RSA_PKCS1_2048_8192_SHA256,
    ring::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
];
const WITH_SHA_384: Algorithms = &[
    ring::ECDSA_P256_SHA384,
    ring::ECDSA_P384_SHA384,
    ring::RSA_PKCS1_2048_8192_SHA384,
    ring::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
];
const WITH_SHA_512: Algorithms = &[
    ring::ED25519,
    ring::RSA_PKCS1_2048_8192_SHA512,
    ring::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
];

/// An authority that one trusts: its own certificate, and how that leads to a root.
#[derive(Debug, Clone)]
pub struct Authority {
    /// INVARIANT: never empty; its own first, the root last.
    chain: Vec<CertificateDer<'static>>,
}

impl Authority {
    /// Reads a chain in PEM: the authority's own certificate first, its root last.
    ///
    /// # Errors
    /// [`Error::Chain`].
    pub fn from_pem(pem: &str) -> Result<Self, Error> {
        let wrong = |problem: String| Error::Chain(problem);
        let chain = CertificateDer::pem_slice_iter(pem.as_bytes()).take(MAX_CHAIN + 1);
        let chain: Vec<_> = chain
            .collect::<Result<_, pem::Error>>()
            .map_err(|error| wrong(error.to_string()))?;
        match chain.len() {
            0 | 1 => Err(wrong(
                "it is no chain: the authority's own certificate first, its root last".to_owned(),
            )),
            2..=MAX_CHAIN => Ok(Self { chain }),
            _ => Err(wrong("there are over 16".to_owned())),
        }
    }

    /// Checks that this authority gave the reply, for `file`; returns the time it vouches for.
    ///
    /// # Errors
    /// [`Error`].
    pub fn verify(&self, reply: &[u8], file: &[u8]) -> Result<Timestamp, Error> {
        let (info, signed) = read(reply)?;
        let time = imprint(&info, file)?;
        let [own, between @ .., root] = &self.chain[..] else {
            return Err(Error::Chain("there are none".to_owned()));
        };
        let own = EndEntityCert::try_from(own).map_err(untrusted)?;
        let root = anchor_from_trusted_cert(root).map_err(untrusted)?;
        let seconds = u64::try_from(time.as_second()).map_err(untrusted)?;
        let at = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let usage = KeyUsage::required(TIME_STAMPING);
        own.verify_for_usage(OF_CHAINS, &[root], between, at, usage, None, None)
            .map_err(untrusted)?;
        signed_by(&signed, &own)?;
        Ok(time)
    }
}

/// Checks that one signer, with the key of this certificate, signed what the envelope holds.
fn signed_by(signed: &SignedData, own: &EndEntityCert<'_>) -> Result<(), Error> {
    let [signer] = signed.signer_infos.0.as_slice() else {
        return Err(untrusted("it has not one signer"));
    };
    let content = signed.encap_content_info.econtent.as_ref();
    let content = content.ok_or_else(|| untrusted("nothing is signed"))?;
    let (digest, algorithms) = match signer.digest_alg.oid {
        SHA_256 => (Sha256::digest(content.value()).to_vec(), WITH_SHA_256),
        SHA_384 => (Sha384::digest(content.value()).to_vec(), WITH_SHA_384),
        SHA_512 => (Sha512::digest(content.value()).to_vec(), WITH_SHA_512),
        other => return Err(untrusted(format!("it is signed with digest {other}"))),
    };
    let attributes = attributes(signer)?;
    let kind: ObjectIdentifier = attribute(attributes, CONTENT_TYPE)?;
    let stated: OctetString = attribute(attributes, MESSAGE_DIGEST)?;
    if kind != TST_INFO || stated.as_bytes() != digest {
        return Err(untrusted("what is signed is not what it holds"));
    }
    // RFC 5652, section 5.4: signed is the SET itself, not its place in the envelope.
    let message = attributes.to_der().map_err(untrusted)?;
    let signature = signer.signature.as_bytes();
    let holds = |algorithm: &&dyn SignatureVerificationAlgorithm| {
        own.verify_signature(*algorithm, &message, signature)
            .is_ok()
    };
    if algorithms.iter().any(holds) {
        Ok(())
    } else {
        Err(untrusted("its signature does not hold"))
    }
}

fn attributes(signer: &SignerInfo) -> Result<&Attributes, Error> {
    let attributes = signer.signed_attrs.as_ref();
    attributes.ok_or_else(|| untrusted("its signature covers no attributes"))
}

/// The one value of a signed attribute, which stands there once.
fn attribute<T: for<'a> Decode<'a>>(
    attributes: &Attributes,
    kind: ObjectIdentifier,
) -> Result<T, Error> {
    let mut found = attributes.iter().filter(|attribute| attribute.oid == kind);
    let (Some(attribute), None) = (found.next(), found.next()) else {
        return Err(untrusted(format!("attribute {kind} is not there once")));
    };
    let [value] = attribute.values.as_slice() else {
        return Err(untrusted(format!("attribute {kind} has not one value")));
    };
    let value = value.to_der().map_err(untrusted)?;
    T::from_der(&value).map_err(untrusted)
}

fn untrusted(problem: impl std::fmt::Display) -> Error {
    Error::Untrusted(problem.to_string())
}
