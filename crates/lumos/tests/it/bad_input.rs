//! What goes wrong from outside: each a clear answer with a code, and nothing changed by it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use lumos_http::Method;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::world::{Answer, Person, World, answer};

/// A delivery as MLflow sends it.
struct Delivery<'a> {
    registry: &'a str,
    secret: &'a str,
    id: &'a str,
    age_s: i64,
    body: &'a str,
}

impl Delivery<'_> {
    async fn send(&self, world: &World) -> Answer {
        #[expect(
            clippy::disallowed_methods,
            reason = "the server compares with its own clock"
        )]
        let now = Timestamp::now().as_second();
        let time = (now - self.age_s).to_string();
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()).unwrap();
        mac.update(format!("{}.{time}.{}", self.id, self.body).as_bytes());
        let signature = STANDARD.encode(mac.finalize().into_bytes());
        let path = format!("/api/v1/hooks/{}", self.registry);
        let request = world.with("").peer.post(&path);
        let request = request
            .header("x-mlflow-delivery-id", self.id)
            .header("x-mlflow-timestamp", &time)
            .header("x-mlflow-signature", &format!("v1,{signature}"))
            .bytes("application/json", self.body.as_bytes().to_vec());
        answer(request.send().await.unwrap())
    }
}

#[tokio::test]
async fn a_webhook_counts_once_and_only_with_its_signature() {
    let world = World::acme_with(|settings| {
        settings
            + "  - {kind: mlflow, name: tracking, address: \"http://127.0.0.1:9\", webhook_secret: hook-secret}\n"
    })
    .await;
    let good = Delivery {
        registry: "tracking",
        secret: "hook-secret",
        id: "d-1",
        age_s: 0,
        body: r#"{"entity":"model_version","action":"created","data":{"name":"triage","version":"1"}}"#,
    };
    let wrong = Delivery {
        secret: "guessed",
        ..good
    };
    wrong
        .send(&world)
        .await
        .is_refused(401, "webhook-signature");
    assert_eq!(good.send(&world).await.status, 202);
    good.send(&world).await.is_refused(409, "webhook-replayed");
    let stale = Delivery {
        id: "d-2",
        age_s: 3_600,
        ..good
    };
    stale.send(&world).await.is_refused(401, "webhook-stale");
    let broken = Delivery {
        id: "d-3",
        body: "{",
        ..good
    };
    broken
        .send(&world)
        .await
        .is_refused(422, "webhook-malformed");
    let unknown = Delivery {
        registry: "absent",
        ..good
    };
    unknown.send(&world).await.is_refused(404, "unknown-thing");
    let deaf = Delivery {
        registry: "models",
        ..good
    };
    deaf.send(&world).await.is_refused(404, "unknown-thing");
}

#[tokio::test]
async fn a_vote_counts_once_by_the_right_person_on_what_they_saw() {
    let world = World::acme().await;
    world.publish("1.0");
    let developer = world.person("developer").await;
    let compliance = world.person("compliance").await;
    let expert = world.person("expert").await;
    let seen = developer
        .until("triage/1.0", |view| view["state"] == "in review")
        .await;
    let claim = "/api/v1/releases/triage/1.0/claims";
    developer
        .ask(Method::POST, claim, &json!({ "claim": 1 }))
        .await
        .is(200);
    developer
        .ask(Method::POST, claim, &json!({ "claim": 7 }))
        .await
        .is_refused(404, "unknown-thing");

    // New evidence makes a new record: what was read before cannot be signed.
    let (review, old) = (
        &seen["reviews"][0]["review"],
        &seen["reviews"][0]["record_hash"],
    );
    let evidence = json!({ "kind": "fairness", "claim": { "measured": true } });
    let path = "/api/v1/releases/triage/1.0/evidence";
    developer.ask(Method::POST, path, &evidence).await.is(200);
    let renewed = |view: &Value| view["reviews"][0]["record_hash"] != *old;
    developer.until("triage/1.0", renewed).await;
    let review = review.as_str().unwrap();
    compliance
        .sign_record(review, old)
        .await
        .is_refused(409, "stale-record");

    developer
        .sign("triage/1.0")
        .await
        .is_refused(403, "separation-of-duties");
    world
        .person("security")
        .await
        .sign("triage/1.0")
        .await
        .is_refused(403, "no-slot");
    let ghost = compliance.sign_record("triage/9.9/production/1", old).await;
    ghost.is_refused(404, "unknown-thing");
    compliance.sign("triage/1.0").await.is(200);
    compliance
        .sign("triage/1.0")
        .await
        .is_refused(409, "already-signed");
    expert.sign("triage/1.0").await.is(200);
    expert
        .sign("triage/1.0")
        .await
        .is_refused(409, "review-not-open");
    developer.until("triage/1.0", crate::world::promoted).await;
    world.ledger_verifies("developer").await;
}

#[tokio::test]
async fn of_two_commands_at_once_one_wins_and_none_is_lost() {
    let world = World::acme_with(|settings| settings.replace("poll_s: 1", "poll_s: 900")).await;
    let developer = world.person("developer").await;
    let platform = world.person("platform").await;
    world.register("notes").await;
    let (one, other) = (upload(&developer).await, upload(&platform).await);
    let submit = |who: &Person, upload: &str| {
        let body = json!({
            "model": "notes", "version": "7", "environment": "production", "upload": upload,
        });
        let request = who.peer.post("/api/v1/releases").json_body(&body).send();
        async { answer(request.await.unwrap()) }
    };
    let (one, other) = tokio::join!(submit(&developer, &one), submit(&platform, &other));
    let (won, lost) = if one.status == 200 {
        (one, other)
    } else {
        (other, one)
    };
    let found = json!({
        "model": "triage", "version": "1.0", "environment": "production",
        "source": { "registry": "models", "name": "triage", "version": "1.0" },
    });
    won.is(200);
    lost.is_refused(409, "already-exists");

    world.publish("1.0");
    developer
        .ask(Method::POST, "/api/v1/releases", &found)
        .await
        .is(200);
    developer
        .until("triage/1.0", |view| view["state"] == "in review")
        .await;
    let claim = json!({ "claim": 1 });
    developer
        .ask(Method::POST, "/api/v1/releases/triage/1.0/claims", &claim)
        .await
        .is(200);
    let (compliance, expert) = (
        world.person("compliance").await,
        world.person("expert").await,
    );
    let (one, other) = tokio::join!(compliance.sign("triage/1.0"), expert.sign("triage/1.0"));
    one.is(200);
    other.is(200);
    let history = world.history("triage/1.0").await;
    for (kind, times) in [
        ("lumos.candidate.detected.v1", 1),
        ("lumos.review.signed.v1", 2),
        ("lumos.release.approved.v1", 1),
    ] {
        let seen = history.iter().filter(|seen| *seen == kind).count();
        assert_eq!(seen, times, "{kind} in {history:?}");
    }
}

/// Sends one file; returns the upload's name.
async fn upload(who: &Person) -> String {
    let opened = who
        .ask(Method::POST, "/api/v1/uploads", &json!({}))
        .await
        .is(200);
    let upload = opened["upload"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/uploads/{upload}/files/config.json");
    let sent = who
        .peer
        .put(&path)
        .bytes("application/json", b"{}".to_vec());
    answer(sent.send().await.unwrap()).is(200);
    upload
}

#[tokio::test]
async fn whatever_is_sent_the_answer_is_a_problem_with_a_code() {
    let world = World::acme().await;
    let administrator = world.person("administrator").await;
    let check = async |method: Method, path: &str, body: &[&str; 2], status: u16, code: &str| {
        // A connection of its own: the server ends one on which too much was sent.
        let peer = world.with(&administrator.credential).peer;
        let [kind, body] = body.map(str::to_owned);
        let request = peer.request(method, path).bytes(&kind, body.into_bytes());
        let raw = request.send().await.unwrap();
        let media = raw.header("content-type").to_owned();
        answer(raw).is_refused(status, code);
        assert_eq!(media, "application/problem+json", "{path}");
    };
    let json = |text| ["application/json", text];
    let session = "/api/v1/sessions";
    let extra = r#"{"login":"a","password":"b","admin":true}"#;
    for (body, status) in [
        (json("{"), 400),
        (json(r#"{"login":"a"}"#), 422),
        (json(extra), 422),
        (["text/plain", "{}"], 415),
    ] {
        check(Method::POST, session, &body, status, "bad-request").await;
    }
    check(Method::PUT, session, &json("{}"), 405, "bad-request").await;
    for (path, status, code) in [
        ("/api/v1/absent", 404, "unknown-thing"),
        ("/api/v1/releases/a@b/1", 422, "bad-name"),
        ("/api/v1/ledger/entries/x", 400, "bad-name"),
        ("/api/v1/ledger/entries/99999", 404, "unknown-thing"),
    ] {
        check(Method::GET, path, &json(""), status, code).await;
    }
    let long = format!(r#"{{"rights":["{}"]}}"#, "x".repeat(5 << 20));
    check(
        Method::PUT,
        "/api/v1/roles/r",
        &json(&long),
        413,
        "too-large",
    )
    .await;
    let traversal = "/api/v1/uploads/u/files/..%2f..%2fkeys";
    check(Method::PUT, traversal, &json("x"), 404, "unknown-thing").await;
    let compliance = world.person("compliance").await;
    let policy = compliance.peer.post("/api/v1/policies");
    let policy = policy.bytes("application/yaml", b"a: [".to_vec());
    answer(policy.send().await.unwrap()).is_refused(422, "bundle-not-yaml");
}

#[tokio::test]
async fn a_page_form_of_another_site_does_nothing() {
    let world = World::acme().await;
    let developer = world.reviewed("1.0").await;
    let form = |token: &str| {
        let cookie = format!("lumos_session={}", developer.credential);
        let body = format!("csrf={token}&reason=forged");
        let request = world.with("").peer.post("/releases/triage/1.0/withdraw");
        let request = request.header("cookie", &cookie);
        request.bytes("application/x-www-form-urlencoded", body.into_bytes())
    };
    for token in ["", "guessed"] {
        let refused = form(token).send().await.unwrap();
        assert_eq!(refused.status, 403);
        assert!(String::from_utf8_lossy(&refused.body).contains("wrong-form"));
    }
    let view = developer.get("/api/v1/releases/triage/1.0").await;
    assert_eq!(view["withdrawn"], false);
}

#[tokio::test]
async fn what_is_too_large_is_refused_in_words_that_arrive() {
    let world =
        World::acme_with(|settings| settings + "uploads_bytes_max_per_caller: 1000000\n").await;
    let developer = world.person("developer").await;
    let body = vec![b' '; 64 << 20];
    let sent = developer
        .peer
        .post("/api/v1/sessions")
        .bytes("application/json", body.clone());
    answer(sent.send().await.unwrap()).is_refused(413, "too-large");

    let opened = developer
        .ask(Method::POST, "/api/v1/uploads", &json!({}))
        .await
        .is(200);
    let path = format!(
        "/api/v1/uploads/{}/files/model.bin",
        opened["upload"].as_str().unwrap()
    );
    let put = |body: Vec<u8>| {
        developer
            .peer
            .put(&path)
            .bytes("application/octet-stream", body)
    };
    answer(put(body).send().await.unwrap()).is_refused(413, "upload-quota");
    answer(put(vec![7; 900_000]).send().await.unwrap()).is(200);
}

#[tokio::test]
async fn guessing_passwords_is_slow_and_tokens_reach_no_further_than_they_say() {
    let world = World::acme().await;
    let nobody = world.with("");
    let sign_in = async |password: &str| {
        let body = json!({ "login": "expert", "password": password });
        nobody.ask(Method::POST, "/api/v1/sessions", &body).await
    };
    for guess in 0..8 {
        let refused = sign_in(&format!("a wrong guess {guess}")).await;
        refused.is_refused(401, "wrong-credentials");
    }
    sign_in(world.password("expert"))
        .await
        .is_refused(429, "too-many-attempts");
    // The expert comes from elsewhere, through the proxy: whoever guesses has not locked them out.
    let body = json!({ "login": "expert", "password": world.password("expert") });
    let elsewhere = nobody.peer.post("/api/v1/sessions").json_body(&body);
    let elsewhere = elsewhere.header("x-forwarded-for", "198.51.100.9");
    answer(elsewhere.send().await.unwrap()).is(200);
    world.person("developer").await;

    let compliance = world.person("compliance").await;
    let me = compliance.get("/api/v1/me").await;
    let path = format!("/api/v1/people/{}/tokens", me["person"].as_str().unwrap());
    let issue = async |rights: Value, days: u32| {
        let body = json!({ "purpose": "a test", "rights": rights, "days": days });
        compliance.ask(Method::POST, &path, &body).await
    };
    // A token narrows what its owner may; what the owner may not, it cannot either.
    let wide = issue(json!(["manage-people"]), 9).await.is(200);
    let wide = world.with(wide["credential"].as_str().unwrap());
    let refused = wide
        .ask(
            Method::PUT,
            "/api/v1/roles/mine",
            &json!({ "rights": ["read"] }),
        )
        .await;
    refused.is_refused(403, "not-allowed");
    issue(json!(["read"]), 900)
        .await
        .is_refused(422, "bad-token");
    issue(json!(["reed"]), 9)
        .await
        .is_refused(422, "unknown-word");
    let issued = issue(json!(["read"]), 9).await.is(200);
    let token = world.with(issued["credential"].as_str().unwrap());
    token.get("/api/v1/models").await;
    let policy = token.peer.post("/api/v1/policies");
    let yaml = std::fs::read(world.path("policy/starter.yaml")).unwrap();
    let refused = policy.bytes("application/yaml", yaml).send().await.unwrap();
    answer(refused).is_refused(403, "not-allowed");
}
