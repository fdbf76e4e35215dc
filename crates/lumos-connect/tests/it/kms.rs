//! Ledger keys in a key management service, against an exchange written down from the reference of the AWS KMS API. No
//! server that the package registries hold signs with Ed25519.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use lumos_connect::kms::{KmsKeys, KmsSettings};
use lumos_engine::ports::{Clock, KeyStore as _};
use lumos_http::{Client, Egress};
use lumos_ledger::{NoteSigner, VerifierKey};
use serde_json::{Value, json};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{body_partial_json, header},
};

const ARN: &str = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const ALIAS: &str = "alias/lumos/acme/1";

struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        "2026-03-01T12:00:00Z".parse().unwrap()
    }
}

fn own() -> NoteSigner {
    NoteSigner::from_seed("ledger.acme.example", &[7; 32]).unwrap()
}

fn keys(server: &MockServer) -> KmsKeys {
    let egress = Egress {
        hosts: vec![server.uri()],
        ..Egress::default()
    };
    let settings = json!({
        "url": server.uri(), "region": "eu-central-1", "access_key_id": "AKIDEXAMPLE",
        "secret_access_key": "hunter2",
    });
    let settings: KmsSettings = serde_json::from_value(settings).unwrap();
    assert!(!format!("{settings:?}").contains("hunter2"));
    KmsKeys::new(&settings, &Client::new(&egress).unwrap(), Arc::new(Noon)).unwrap()
}

/// `action` asked with `body` is answered once or more with this.
async fn answers(server: &MockServer, action: &str, body: Value, status: u16, answer: Value) {
    Mock::given(header("x-amz-target", format!("TrentService.{action}")))
        .and(header("content-type", "application/x-amz-json-1.1"))
        .and(header("x-amz-date", "20260301T120000Z"))
        .and(body_partial_json(body))
        .respond_with(ResponseTemplate::new(status).set_body_json(answer))
        .expect(1..)
        .mount(server)
        .await;
}

fn public(prefix: &[u8]) -> Value {
    let der = [prefix, own().verifier_key().public()].concat();
    json!({ "KeyId": ARN, "PublicKey": STANDARD.encode(der), "KeySpec": "ECC_NIST_EDWARDS25519" })
}

const SPKI: &[u8] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";

#[tokio::test]
async fn a_key_is_found_and_signs_by_its_own_id() {
    let server = MockServer::start().await;
    let message = b"ledger.acme.example\n0\n";
    let signature = own().signature(message);
    answers(
        &server,
        "GetPublicKey",
        json!({ "KeyId": ALIAS }),
        200,
        public(SPKI),
    )
    .await;
    let asked = json!({
        "KeyId": ARN, "Message": STANDARD.encode(message), "MessageType": "RAW",
        "SigningAlgorithm": "ED25519_SHA_512",
    });
    let answer = json!({ "KeyId": ARN, "Signature": STANDARD.encode(signature) });
    answers(&server, "Sign", asked, 200, answer).await;
    let key = keys(&server).open(ALIAS).await.unwrap().unwrap();
    assert_eq!(key.public(), own().verifier_key().public());
    let signed = key.sign(message).await.unwrap();
    let vkey = VerifierKey::ed25519("ledger.acme.example", key.public()).unwrap();
    vkey.line(std::str::from_utf8(message).unwrap(), &signed)
        .unwrap();
    for request in server.received_requests().await.unwrap() {
        let by = request.headers["authorization"]
            .to_str()
            .unwrap()
            .to_owned();
        let scope = "Credential=AKIDEXAMPLE/20260301/eu-central-1/kms/aws4_request";
        assert!(by.contains(scope) && !by.contains("hunter2"), "{by}");
        assert!(by.contains("SignedHeaders=content-type;host;x-amz-date;x-amz-target"));
    }
}

#[tokio::test]
async fn a_key_is_made_and_named() {
    let server = MockServer::start().await;
    let wanted = json!({ "KeySpec": "ECC_NIST_EDWARDS25519", "KeyUsage": "SIGN_VERIFY" });
    let made = json!({ "KeyMetadata": { "KeyId": "1234abcd" } });
    answers(&server, "CreateKey", wanted, 200, made).await;
    let alias = json!({ "AliasName": ALIAS, "TargetKeyId": "1234abcd" });
    answers(&server, "CreateAlias", alias, 200, Value::Null).await;
    answers(
        &server,
        "GetPublicKey",
        json!({ "KeyId": ALIAS }),
        200,
        public(SPKI),
    )
    .await;
    let key = keys(&server).create(ALIAS).await.unwrap();
    assert_eq!(key.public(), own().verifier_key().public());
    assert!(keys(&server).create("no alias").await.is_err());
}

#[tokio::test]
async fn what_is_not_there_is_told_from_what_fails() {
    for (status, answer, expected) in [
        (
            400,
            json!({ "__type": "NotFoundException", "message": "Alias is not found." }),
            Ok(()),
        ),
        (
            400,
            json!({ "__type": "com.amazonaws.kms#NotFoundException" }),
            Ok(()),
        ),
        (
            400,
            json!({ "__type": "AccessDeniedException", "Message": "no" }),
            Err("AccessDeniedException: no"),
        ),
        (
            400,
            json!({ "__type": "DisabledException" }),
            Err("DisabledException"),
        ),
        (500, json!("?"), Err("500")),
        (200, json!({}), Err("PublicKey")),
        (200, public(b""), Err("PublicKey")),
        // A key on another curve.
        (200, public(b"\x30\x59\x30\x13\x06\x07"), Err("PublicKey")),
    ] {
        let server = MockServer::start().await;
        answers(
            &server,
            "GetPublicKey",
            json!({ "KeyId": ALIAS }),
            status,
            answer,
        )
        .await;
        match (keys(&server).open(ALIAS).await, expected) {
            (Ok(None), Ok(())) => {}
            (Err(error), Err(said)) => {
                let text = format!("{error}: {}", error.source);
                assert!(text.contains(said), "{text}");
                assert!(!text.contains("hunter2"), "{text}");
            }
            (Ok(found), _) => panic!("{}", found.is_some()),
            (Err(error), Ok(())) => panic!("{error}"),
        }
    }
}
