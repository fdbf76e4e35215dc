//! Webhooks: every recorded delivery verifies, and none that was changed.

use jiff::Timestamp;
use lumos_engine::ports::{Delivery, InboundError, Registry as _};
use lumos_http::Limits;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::fake::{mlflow, mlflow_with, recording};

const SECRET: &str = "lumos-hook-secret";
const ADDRESS: &str = "http://127.0.0.1:5000";

#[derive(Clone)]
struct Sent {
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Sent {
    fn set(mut self, name: &str, value: &str) -> Self {
        self.headers
            .retain(|(key, _)| !key.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.headers
            .retain(|(key, _)| !key.eq_ignore_ascii_case(name));
        self
    }

    fn time(&self) -> Timestamp {
        let found = self
            .headers
            .iter()
            .find(|(key, _)| key == "X-MLflow-Timestamp");
        Timestamp::from_second(found.unwrap().1.parse().unwrap()).unwrap()
    }

    fn read_with(&self, secret: &str, after_s: i64) -> Result<Delivery, InboundError> {
        let settings = json!({"webhook_secret": secret});
        let registry = mlflow_with(ADDRESS, &settings, Limits::default());
        let now = self.time() + jiff::SignedDuration::from_secs(after_s);
        registry.receive(&self.headers, &self.body, now).unwrap()
    }

    fn read(&self) -> Result<Delivery, InboundError> {
        self.read_with(SECRET, 0)
    }
}

/// Sign what MLflow never sent, to see what is made of it.
fn signed(body: &str) -> Sent {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use hmac::{Hmac, KeyInit as _, Mac as _};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(format!("d1.1800000000.{body}").as_bytes());
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    let sent = Sent {
        headers: Vec::new(),
        body: body.as_bytes().to_vec(),
    };
    sent.set("X-MLflow-Delivery-Id", "d1")
        .set("X-MLflow-Timestamp", "1800000000")
        .set("X-MLflow-Signature", &format!("v1,{signature}"))
}

fn deliveries() -> Vec<Sent> {
    let Some(text) = recording("webhook_deliveries.jsonl") else {
        return Vec::new();
    };
    let deliveries = text.lines().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        let headers = line["headers"].as_object().unwrap().iter();
        Sent {
            headers: headers
                .map(|(key, value)| (key.clone(), value.as_str().unwrap().to_owned()))
                .collect(),
            body: line["body_raw"].as_str().unwrap().as_bytes().to_vec(),
        }
    });
    let deliveries: Vec<Sent> = deliveries.collect();
    assert!(deliveries.len() >= 13);
    deliveries
}

#[test]
fn every_recorded_delivery_verifies_and_points_somewhere() {
    for sent in deliveries() {
        let delivery = sent.read().unwrap();
        let body: Value = serde_json::from_slice(&sent.body).unwrap();
        let name = body["data"]["name"].as_str().unwrap().to_owned();
        let version = body["data"]["version"].as_str().map(str::to_owned);
        assert_eq!(delivery.hints, [(name, version)]);
        assert!(!delivery.id.is_empty());
    }
}

#[test]
fn a_changed_delivery_does_not_verify() {
    for sent in deliveries() {
        let check = |changed: Sent| assert_eq!(changed.read(), Err(InboundError::Signature));
        for at in 0..sent.body.len() {
            let mut changed = sent.clone();
            changed.body[at] ^= 1;
            check(changed);
        }
        for name in [
            "X-MLflow-Delivery-Id",
            "X-MLflow-Timestamp",
            "X-MLflow-Signature",
        ] {
            if name != "X-MLflow-Timestamp" {
                check(sent.clone().without(name));
            }
            let mut twice = sent.clone();
            twice.headers.push((name.to_lowercase(), "1".to_owned()));
            check(twice);
        }
        check(sent.clone().set("X-MLflow-Delivery-Id", "another"));
        let later = (sent.time().as_second() + 1).to_string();
        check(sent.clone().set("X-MLflow-Timestamp", &later));
        for signature in ["", "v1,", "v2,AAAA", "v1,AAAA", "v1,not base64"] {
            check(sent.clone().set("X-MLflow-Signature", signature));
        }
        assert_eq!(
            sent.read_with("another-secret", 0),
            Err(InboundError::Signature)
        );
    }
}

#[test]
fn a_delivery_counts_for_five_minutes() {
    fn check(after_s: i64, fresh: bool) {
        let read = signed(r#"{"entity":"x","action":"y","data":{}}"#).read_with(SECRET, after_s);
        let expected = if fresh {
            None
        } else {
            Some(InboundError::Stale)
        };
        assert_eq!(read.err(), expected, "{after_s}");
    }
    check(0, true);
    check(300, true);
    check(-300, true);
    check(301, false);
    check(-301, false);
    check(86_400 * 365, false);
}

#[test]
fn events_point_where_to_look() {
    fn check(body: &str, expected: &[(&str, Option<&str>)]) {
        let expected: Vec<_> = expected
            .iter()
            .map(|(name, version)| ((*name).to_owned(), version.map(str::to_owned)))
            .collect();
        assert_eq!(signed(body).read().unwrap().hints, expected);
    }
    check(
        r#"{"entity":"model_version","action":"created","data":{"name":"m","version":"3"}}"#,
        &[("m", Some("3"))],
    );
    check(
        r#"{"entity":"registered_model","action":"created","data":{"name":"m"}}"#,
        &[("m", None)],
    );
    check(
        r#"{"entity":"model_version_alias","action":"deleted","data":{"name":"m","alias":"c"}}"#,
        &[("m", None)],
    );
    check(
        r#"{"entity":"prompt","action":"created","data":{"name":"p"}}"#,
        &[],
    );
    check(r#"{"entity":"budget","action":"exceeded","data":{}}"#, &[]);
}

#[test]
fn content_that_cannot_be_read_is_malformed() {
    fn check(body: &str) {
        let error = signed(body).read().unwrap_err();
        assert_eq!(error.code(), "webhook-malformed");
    }
    check("");
    check("{");
    check("[]");
    check(r#"{"entity":"model_version"}"#);
    check(r#"{"entity":"model_version","action":"created","data":{"name":1}}"#);
}

#[test]
fn without_a_secret_none_are_taken() {
    let registry = mlflow(ADDRESS);
    let now = Timestamp::UNIX_EPOCH;
    assert!(registry.receive(&[], b"{}", now).is_none());
}

proptest! {
    #[test]
    fn no_delivery_can_break_the_reader(
        body in proptest::collection::vec(any::<u8>(), 0..200),
        id in ".{0,20}",
        timestamp in "[0-9-]{0,25}",
        signature in ".{0,60}",
    ) {
        let sent = Sent { headers: Vec::new(), body }
            .set("x-mlflow-delivery-id", &id)
            .set("x-mlflow-timestamp", &timestamp)
            .set("x-mlflow-signature", &signature);
        let settings = json!({"webhook_secret": SECRET});
        let registry = mlflow_with(ADDRESS, &settings, Limits::default());
        let read = registry.receive(&sent.headers, &sent.body, Timestamp::UNIX_EPOCH);
        prop_assert_eq!(read, Some(Err(InboundError::Signature)));
    }
}
