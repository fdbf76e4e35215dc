//! Timestamps of files by foreign authorities (RFC 3161): the request, what a reply says, and whether an
//! authority one trusts gave it. Pure: nothing is sent, no clock is read.

#![warn(missing_docs)]

use cms::{
    cert::x509::{
        der::{
            self, Any, Decode as _, Encode as _,
            asn1::{Int, Null, ObjectIdentifier, OctetString},
        },
        spki::AlgorithmIdentifier,
    },
    signed_data::SignedData,
};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use x509_tsp::{MessageImprint, TimeStampReq, TimeStampResp, TspVersion, TstInfo};

mod authority;

pub use authority::Authority;

/// The longest reply that is read, in bytes: a token with a chain of certificates has some thousand.
pub const MAX_REPLY: usize = 256 * 1024;
/// The content type of a request (RFC 3161, section 3.4).
pub const QUERY: &str = "application/timestamp-query";
/// The content type of a reply (RFC 3161, section 3.4).
pub const REPLY: &str = "application/timestamp-reply";

/// SHA-256 (RFC 5754, section 2.2).
const SHA_256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
/// id-ct-TSTInfo (RFC 3161, section 2.4.2).
const TST_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");

/// Why a timestamp is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The chain of an authority cannot be read.
    #[error("reading the certificates of a timestamp authority: {0}")]
    Chain(String),
    /// The reply is not one.
    #[error("reading a timestamp: {0}")]
    Malformed(String),
    /// The authority did not grant it.
    #[error("reading a timestamp: the authority answered with status {0}, which grants none")]
    NotGranted(u8),
    /// It is of another file.
    #[error("checking a timestamp: it is of another file")]
    OtherFile,
    /// It answers another request.
    #[error("checking a timestamp: it answers another request")]
    OtherRequest,
    /// The authority that one trusts did not give it, or not then.
    #[error("checking a timestamp: {0}")]
    Untrusted(String),
}

impl Error {
    /// Stable name of this failure, with a page in `docs/errors/`.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Chain(_) => "timestamp-chain-unreadable",
            Self::Malformed(_) => "timestamp-malformed",
            Self::NotGranted(_) => "timestamp-not-granted",
            Self::OtherFile | Self::OtherRequest => "timestamp-mismatch",
            Self::Untrusted(_) => "timestamp-untrusted",
        }
    }
}

/// The request for a timestamp of `file`, with a nonce, in DER (RFC 3161, section 2.4.1). It asks for SHA-256 and for
/// no certificates: who relies on a timestamp has those of the authorities they trust.
///
/// # Errors
/// None that is known: every part of it has a fixed length.
pub fn request(file: &[u8], nonce: u64) -> Result<Vec<u8>, Error> {
    let request = || {
        let hash_algorithm = AlgorithmIdentifier {
            oid: SHA_256,
            parameters: Some(Any::encode_from(&Null)?),
        };
        let request = TimeStampReq {
            version: TspVersion::V1,
            message_imprint: MessageImprint {
                hash_algorithm,
                hashed_message: OctetString::new(Sha256::digest(file).as_slice())?,
            },
            req_policy: None,
            nonce: Some(Int::new(&positive(nonce))?),
            cert_req: false,
            extensions: None,
        };
        request.to_der()
    };
    request().map_err(|error: der::Error| malformed(error))
}

/// Eight bytes that are a positive INTEGER in its shortest form, whatever the number: no more is asked of a nonce
/// than that it comes back.
fn positive(nonce: u64) -> [u8; 8] {
    ((nonce & (u64::MAX >> 2)) | (1 << 62)).to_be_bytes()
}

/// Checks that a reply grants a timestamp of `file`, and that it answers the request with this nonce; returns the time
/// it states. Who gave it is not looked at.
///
/// # Errors
/// [`Error`], but for [`Error::Untrusted`].
pub fn granted(reply: &[u8], file: &[u8], nonce: u64) -> Result<Timestamp, Error> {
    let (info, _) = read(reply)?;
    if info.nonce.as_ref().map(Int::as_bytes) != Some(&positive(nonce)[..]) {
        return Err(Error::OtherRequest);
    }
    imprint(&info, file)
}

fn imprint(info: &TstInfo, file: &[u8]) -> Result<Timestamp, Error> {
    let imprint = &info.message_imprint;
    if imprint.hash_algorithm.oid != SHA_256
        || imprint.hashed_message.as_bytes() != Sha256::digest(file).as_slice()
    {
        return Err(Error::OtherFile);
    }
    let time = info.gen_time.to_unix_duration();
    Timestamp::try_from(std::time::UNIX_EPOCH + time).map_err(malformed)
}

/// The statement inside a reply, and what is signed around it.
fn read(reply: &[u8]) -> Result<(TstInfo, SignedData), Error> {
    if reply.len() > MAX_REPLY {
        return Err(Error::Malformed("it is over 256 KiB".to_owned()));
    }
    let reply = TimeStampResp::from_der(reply).map_err(malformed)?;
    let status = reply.status.status as u8;
    if status > 1 {
        return Err(Error::NotGranted(status));
    }
    let missing = |what: &str| Error::Malformed(format!("it holds no {what}"));
    let token = reply.time_stamp_token.ok_or_else(|| missing("token"))?;
    let signed = token.content.to_der().map_err(malformed)?;
    let signed = SignedData::from_der(&signed).map_err(malformed)?;
    let content = &signed.encap_content_info;
    let statement = content.econtent.as_ref();
    let statement = statement
        .filter(|_| content.econtent_type == TST_INFO)
        .ok_or_else(|| missing("timestamp"))?;
    let info = TstInfo::from_der(statement.value()).map_err(malformed)?;
    Ok((info, signed))
}

fn malformed(problem: impl std::fmt::Display) -> Error {
    Error::Malformed(problem.to_string())
}
