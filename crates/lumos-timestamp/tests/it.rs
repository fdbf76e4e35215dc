//! Replies that OpenSSL gave, as an authority with an RSA key and as one with an elliptic curve; and every way to
//! change them.

#![expect(
    clippy::unwrap_used,
    reason = "all of it is test; clippy knows that only of functions marked as one"
)]

use lumos_timestamp::{Authority, Error, granted, request};
use proptest::prelude::*;

const FILE: &[u8] = include_bytes!("data/checkpoint");
const RSA: &[u8] = include_bytes!("data/rsa.tsr");
const EC: &[u8] = include_bytes!("data/ec.tsr");
/// With a digest of its own and the certificate in it, which no one asked for.
const RSA_LONG: &[u8] = include_bytes!("data/rsa-sha512-certificates.tsr");
const RSA_CHAIN: &str = include_str!("data/rsa.pem");
const EC_CHAIN: &str = include_str!("data/ec.pem");
/// With which both replies were asked for.
const NONCE: u64 = 7;

fn authority(chain: &str) -> Authority {
    Authority::from_pem(chain).unwrap()
}

#[test]
fn a_request_is_what_openssl_answered() {
    assert_eq!(
        request(FILE, NONCE).unwrap(),
        include_bytes!("data/request.tsq")
    );
    assert_ne!(request(FILE, 8), request(FILE, NONCE));
}

#[test]
fn real_replies_verify_under_their_own_authority_only() {
    for (reply, own, other) in [
        (RSA, RSA_CHAIN, EC_CHAIN),
        (RSA_LONG, RSA_CHAIN, EC_CHAIN),
        (EC, EC_CHAIN, RSA_CHAIN),
    ] {
        let time = granted(reply, FILE, NONCE).unwrap();
        assert_eq!(authority(own).verify(reply, FILE), Ok(time));
        let refused = authority(other).verify(reply, FILE).unwrap_err();
        assert_eq!(refused.code(), "timestamp-untrusted");
    }
}

#[test]
fn a_reply_holds_for_its_file_and_its_request() {
    let mut other = FILE.to_vec();
    other[3] ^= 1;
    assert_eq!(granted(RSA, &other, NONCE), Err(Error::OtherFile));
    assert_eq!(granted(RSA, FILE, 8), Err(Error::OtherRequest));
    let refused = authority(RSA_CHAIN).verify(RSA, &other);
    assert_eq!(refused, Err(Error::OtherFile));
}

#[test]
fn what_is_not_granted_says_so() {
    // PKIStatusInfo { status rejection(2) } and nothing else.
    let reply = [0x30, 5, 0x30, 3, 0x02, 1, 2];
    assert_eq!(granted(&reply, FILE, NONCE), Err(Error::NotGranted(2)));
    assert_eq!(
        granted(b"", FILE, NONCE).unwrap_err().code(),
        "timestamp-malformed"
    );
    let long = vec![0x30; lumos_timestamp::MAX_REPLY + 1];
    assert_eq!(
        granted(&long, FILE, NONCE).unwrap_err().code(),
        "timestamp-malformed"
    );
}

#[test]
fn a_chain_is_certificates_the_authority_first() {
    let chain = |pem: &str| Authority::from_pem(pem).map(|_| ()).unwrap_err().code();
    assert_eq!(chain(""), "timestamp-chain-unreadable");
    assert_eq!(
        chain("-----END CERTIFICATE-----"),
        "timestamp-chain-unreadable"
    );
    assert_eq!(chain(&RSA_CHAIN.repeat(9)), "timestamp-chain-unreadable");
    // A certificate alone is no chain, and a chain the wrong way round not the authority's.
    let (own, root) = RSA_CHAIN.split_at(RSA_CHAIN.rfind("-----BEGIN").unwrap());
    assert_eq!(chain(own), "timestamp-chain-unreadable");
    for wrong in [format!("{root}{own}"), format!("{root}{root}")] {
        let refused = authority(&wrong).verify(RSA, FILE).unwrap_err();
        assert_eq!(refused.code(), "timestamp-untrusted");
    }
}

#[test]
fn no_flipped_bit_changes_what_a_reply_says() {
    for (reply, chain) in [(RSA, RSA_CHAIN), (EC, EC_CHAIN)] {
        let authority = authority(chain);
        let time = authority.verify(reply, FILE).unwrap();
        let mut stood = Vec::new();
        for bit in 0..reply.len() * 8 {
            let mut changed = reply.to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            match authority.verify(&changed, FILE) {
                Ok(other) => {
                    assert_eq!(other, time);
                    stood.push(bit / 8);
                }
                Err(error) => assert!(error.code().starts_with("timestamp-")),
            }
        }
        stood.dedup();
        // What nobody signs: whether there were modifications, the versions of envelopes, the list of digests, and
        // by what name the signer's certificate is called. None of it says what was stamped, when, or by whom.
        assert!(stood.len() < 120, "{stood:?}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(cut in 0..EC.len(), noise in prop::collection::vec(any::<u8>(), 0..64)) {
        let mut bytes = EC[..cut].to_vec();
        bytes.extend(noise);
        // What is stated may be whole while what is signed is not: only the authority's word counts.
        if let Ok(time) = granted(&bytes, FILE, NONCE) {
            assert_eq!(granted(EC, FILE, NONCE), Ok(time));
        }
        assert!(authority(EC_CHAIN).verify(&bytes, FILE).is_err());
    }
}
