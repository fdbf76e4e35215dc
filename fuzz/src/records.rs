//! What LUMOS stores or is sent in JSON: manifests, events, signed statements, webhooks.

use std::sync::OnceLock;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use lumos_connect::registries::{Mlflow, MlflowSettings};
use lumos_domain::{
    event::Event,
    id::{Digest, ReleaseId, ReviewId},
    manifest::Manifest,
    stream::Stream,
};
use lumos_enforce::{
    Snapshot,
    dsse::{Envelope, StatementSigner, TrustedKey},
};
use lumos_engine::{
    pick::Patterns,
    ports::{InboundError, Registry as _},
};
use lumos_http::{Client, Egress};
use serde_json::json;
use sha2::Sha256;

use crate::Target;

pub(crate) const MANIFEST: Target = Target {
    name: "manifest",
    run: manifest,
    seeds: || {
        let part = json!({"kind": "backbone", "path": "a/model.safetensors", "size": 4, "sha256": Digest::of(b"w")});
        let manifest = json!({"parts": [part], "schema": "lumos.manifest/v1"});
        let canonical = serde_json::from_value::<Manifest>(manifest)
            .ok()
            .and_then(|manifest| manifest.to_canonical().ok());
        vec![canonical.expect("because it is a good manifest")]
    },
};

pub(crate) const EVENT: Target = Target {
    name: "event",
    run: event,
    seeds: || {
        // By number of its type: the data of every golden event would be a copy of the domain's own tests.
        let digest = Digest::of(b"w");
        (0_u8..)
            .zip(Event::KINDS)
            .map(|(n, kind)| {
                let data = match *kind {
                    "lumos.release.identified.v1" => json!({"digest": digest}),
                    "lumos.author.claimed.v1" => json!({"claim": 1, "person": "p-1"}),
                    "lumos.role.defined.v1" => json!({"role": "reader", "rights": ["read"]}),
                    "lumos.start.recorded.v1" => json!({"settings": digest, "software": "lumos"}),
                    _ => json!({"review": "triage/1/production/1", "reason": {"sealed": "00"}}),
                };
                [&[n], data.to_string().as_bytes()].concat()
            })
            .chain([b"\xffreview/triage/1/production/1".to_vec()])
            .collect()
    },
};

pub(crate) const STATEMENT: Target = Target {
    name: "statement",
    run: statement,
    seeds: || {
        let payload = json!({"origin": "ledger.acme.example"}).to_string();
        let envelope = signer().sign("application/vnd.lumos.snapshot+json", payload.as_bytes());
        vec![
            serde_json::to_vec(&envelope).unwrap_or_default(),
            signer().public().as_bytes().to_vec(),
        ]
    },
};

pub(crate) const WEBHOOK: Target = Target {
    name: "webhook",
    run: webhook,
    seeds: || {
        let body = r#"{"entity":"model_version","action":"created","data":{"name":"triage","version":"1"}}"#;
        ["d-1\nv1,AAAA", "!\n", "!d-2\n"]
            .map(|head| format!("{head}\n{body}").into_bytes())
            .to_vec()
    },
};

fn manifest(bytes: &[u8]) {
    if let Ok(manifest) = Manifest::from_canonical(bytes) {
        let written = manifest.to_canonical();
        assert_eq!(
            written.ok().as_deref(),
            Some(bytes),
            "one manifest, one form"
        );
        assert_eq!(manifest.digest().ok(), Some(Digest::of(bytes)));
    }
}

/// The first byte is the type of an event; past the last type the rest is a name.
fn event(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(rest) else {
        return;
    };
    let Some(kind) = Event::KINDS.get(usize::from(*kind)) else {
        names(text);
        return;
    };
    if let Ok(event) = Event::decode(kind, text) {
        assert_eq!(event.kind(), *kind);
        let written = event.to_json().expect("because events are plain data");
        let again = Event::decode(kind, &written);
        assert_eq!(again.ok(), Some(event), "an event is what it is written as");
    }
}

fn names(text: &str) {
    if let Ok(stream) = text.parse::<Stream>() {
        assert_eq!(stream.to_string(), text);
    }
    if let Ok(release) = text.parse::<ReleaseId>() {
        assert_eq!(release.to_string(), text);
    }
    if let Ok(review) = text.parse::<ReviewId>() {
        let written = review.to_string();
        assert_eq!(written.parse().ok(), Some(review), "{text}");
    }
}

fn signer() -> &'static StatementSigner {
    static SIGNER: OnceLock<StatementSigner> = OnceLock::new();
    let made = || StatementSigner::from_bytes(&[7; 32]).ok();
    SIGNER.get_or_init(|| made().expect("because the scalar is in range"))
}

fn statement(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        // Whatever is no key of the curve is refused.
        drop(text.parse::<TrustedKey>());
    }
    let (Ok(envelope), Ok(key)) = (
        Envelope::parse(bytes),
        signer().public().parse::<TrustedKey>(),
    ) else {
        return;
    };
    assert!(
        Snapshot::open(&envelope, &[key]).is_err(),
        "no snapshot was ever signed with this key"
    );
}

/// A connector that takes webhooks.
fn mlflow() -> &'static Mlflow {
    static MLFLOW: OnceLock<Mlflow> = OnceLock::new();
    MLFLOW.get_or_init(|| {
        let settings =
            json!({"name": "mlflow", "address": "http://127.0.0.1:9", "webhook_secret": SECRET});
        let settings: MlflowSettings =
            serde_json::from_value(settings).expect("because these are good settings");
        let egress = Egress {
            hosts: vec!["http://127.0.0.1:9".to_owned()],
            ..Egress::default()
        };
        Client::new(&egress)
            .ok()
            .and_then(|http| Mlflow::new(&settings, &http).ok())
            .expect("because nothing is called yet")
    })
}

const SECRET: &str = "s";

/// The first line is the delivery, the second its signature, the rest the body. A delivery that begins with `!` is
/// signed here, so that what stands behind the signature is read as well.
fn webhook(bytes: &[u8]) {
    let mut parts = bytes.splitn(3, |byte| *byte == b'\n');
    let mut text = || String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let (id, mut signature) = (text(), text());
    let body = parts.next().unwrap_or_default();
    let signed = id.starts_with('!');
    if signed {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("because any length will do");
        mac.update(format!("{id}.1800000000.").as_bytes());
        mac.update(body);
        signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    }
    let headers = [
        ("X-MLflow-Delivery-Id", id),
        ("X-MLflow-Timestamp", "1800000000".to_owned()),
        ("X-MLflow-Signature", signature),
    ];
    let headers = headers.map(|(name, value)| (name.to_owned(), value));
    let now = Timestamp::from_second(1_800_000_000).expect("because it is a time");
    let received = mlflow().receive(&headers, body, now);
    let received = received.expect("because this registry takes webhooks");
    assert!(
        signed || received.is_err(),
        "nobody who does not know the secret is believed"
    );
    if signed {
        let believed = !matches!(received, Err(InboundError::Signature | InboundError::Stale));
        assert!(believed, "a good signature is refused");
    }
}

pub(crate) const PATTERNS: Target = Target {
    name: "patterns",
    run: |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return;
        };
        let Ok(patterns) = text.parse::<Patterns>() else {
            return;
        };
        // What is a whole name by itself is wanted by its own pattern, and a longer one is not.
        if !text.is_empty() && !text.contains([',', '*']) {
            assert!(patterns.want(text) && !patterns.want(&format!("{text}x")));
        }
        if text.contains('*') {
            for open in text.split(',').filter_map(|part| part.strip_suffix('*')) {
                assert!(patterns.want(&format!("{open}anything")));
            }
        }
    },
    seeds: || {
        [
            "lumos.release.*",
            "lumos.release.identified.v1,release/triage/1.0+b,org",
            "*",
            "",
        ]
        .map(Into::into)
        .to_vec()
    },
};
