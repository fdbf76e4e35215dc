//! Somebody who asks a server, and what it answers.

use lumos_http::{Auth, Client, Egress, Method, Peer};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::PATIENCE;

pub(crate) fn peer_at(address: &str, auth: Auth) -> Peer {
    let egress = Egress {
        hosts: vec![address.to_owned()],
        ..Egress::default()
    };
    Client::new(&egress).unwrap().peer(address, auth).unwrap()
}

/// An answer of the API.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Answer {
    /// Asserts the status; returns the body.
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{:#}", self.body);
        self.body
    }

    /// Asserts a refusal with a status and a code.
    #[track_caller]
    pub(crate) fn is_refused(&self, status: u16, code: &str) {
        let seen = (self.status, self.body["code"].as_str());
        assert_eq!(seen, (status, Some(code)), "{:#}", self.body);
        assert_eq!(self.body["type"], format!("urn:lumos:error:{code}"));
    }
}

/// Somebody who asks the server.
pub(crate) struct Person {
    pub(crate) peer: Peer,
    pub(crate) credential: String,
    pub(super) password: String,
}

impl Person {
    /// Asks with a JSON body.
    pub(crate) async fn ask(&self, method: Method, path: &str, body: &Value) -> Answer {
        let request = self.peer.request(method, path).json_body(body);
        answer(request.send().await.unwrap())
    }

    /// Reads what must be there.
    pub(crate) async fn get(&self, path: &str) -> Value {
        answer(self.peer.get(path).send().await.unwrap()).is(200)
    }

    /// Approves the newest review of a release, with the password in the same request. Reads again what changed under their
    /// eyes, as when the review is brought up to date after its author was claimed.
    pub(crate) async fn sign(&self, release: &str) -> Answer {
        let sign = async || {
            let view = self.get(&format!("/api/v1/releases/{release}")).await;
            let review = &view["reviews"][0];
            let (id, record) = (review["review"].as_str().unwrap(), &review["record_hash"]);
            self.sign_record(id, record).await
        };
        let signed = async {
            loop {
                let signed = sign().await;
                if signed.body["code"] != "stale-record" {
                    return signed;
                }
            }
        };
        let signed = timeout(PATIENCE, signed).await;
        signed.expect("the record comes to rest")
    }

    /// Approves a review on the record that was seen.
    pub(crate) async fn sign_record(&self, review: &str, record: &Value) -> Answer {
        let body = json!({
            "verdict": "approve", "reason": "read the report and the evidence", "record": record,
            "password": self.password,
        });
        let path = format!("/api/v1/reviews/{review}/signatures");
        self.ask(Method::POST, &path, &body).await
    }

    /// Asks until the published checkpoint covers an entry.
    pub(crate) async fn until_published(&self, entry: u64) {
        let path = format!("/api/v1/ledger/entries/{entry}/proof");
        let look = async { while self.peer.get(&path).send().await.unwrap().status != 200 {} };
        timeout(PATIENCE, look).await.expect("it is published");
    }

    /// Waits until something holds for a release.
    pub(crate) async fn until(&self, release: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let path = format!("/api/v1/releases/{release}");
        let mut seen = Value::Null;
        let look = async {
            // First the stream, then the look: nothing falls between.
            let mut entries = self.peer.get("/api/v1/events").lines().await.unwrap();
            loop {
                let now = answer(self.peer.get(&path).send().await.unwrap());
                seen = now.body;
                if now.status == 200 && holds(&seen) {
                    return;
                }
                while let Some(line) = entries.next().await.unwrap() {
                    if line.starts_with("data:") {
                        break;
                    }
                }
            }
        };
        let waited = timeout(PATIENCE, look).await;
        assert!(waited.is_ok(), "waited in vain for {release}: {seen:#}");
        seen
    }
}

/// An answer with JSON or text in it.
pub(crate) fn answer(answer: lumos_http::Answer) -> Answer {
    let text = || Value::String(String::from_utf8_lossy(&answer.body).into_owned());
    Answer {
        status: answer.status,
        body: serde_json::from_slice(&answer.body).unwrap_or_else(|_| text()),
    }
}

/// Whether the registry was seen to follow the approval.
pub(crate) fn promoted(view: &Value) -> bool {
    let mut promotions = view["promotions"].as_array().into_iter().flatten();
    view["state"] == "approved" && promotions.any(|promotion| promotion["settled"] == true)
}
