//! The API as a program meets it: keys that make a command happen once, limits, and who is kept out.

use axum::http::{Method, Request, StatusCode, header};
use serde_json::{Value, json};

use crate::{
    pages::{PASSWORD, signed_in},
    site::{Answer, Site},
};

const TRIAGE: &str = "/api/v1/systems/ward";

/// A program of Grace's: its credential.
async fn credential(site: &mut Site) -> String {
    let body = json!({ "login": "grace", "password": PASSWORD });
    let session = site.ask(Request::post("/api/v1/sessions"), &body).await;
    assert_eq!(session.status, StatusCode::OK, "{}", session.html);
    let session: Value = serde_json::from_str(&session.html).unwrap();
    format!("Bearer {}", session["credential"].as_str().unwrap())
}

/// A request with an idempotency key.
async fn keyed(
    site: &mut Site,
    who: &str,
    method: Method,
    path: &str,
    key: &str,
    body: &Value,
) -> Answer {
    let asked = Request::builder()
        .method(method)
        .uri(path)
        .header(header::AUTHORIZATION, who)
        .header("idempotency-key", key);
    site.ask(asked, body).await
}

#[tokio::test]
async fn a_key_stands_for_one_request() {
    let mut site = signed_in().await;
    let who = credential(&mut site).await;
    let (stop, resume) = (format!("{TRIAGE}/stop"), format!("{TRIAGE}/resume"));
    let reason = json!({ "reason": "it answers oddly" });
    let first = keyed(&mut site, &who, Method::POST, &stop, "k1", &reason).await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.html);
    assert!(first.html.contains("lumos.system.stopped.v1"));
    let again = keyed(&mut site, &who, Method::POST, &stop, "k1", &reason).await;
    assert_eq!(
        (again.status, again.html),
        (first.status, first.html),
        "the first outcome"
    );

    // Another body, address or method under the same key is another request.
    let other = json!({ "reason": "another reason" });
    for (method, path, body) in [
        (Method::POST, &stop, &other),
        (Method::POST, &resume, &reason),
        (Method::PUT, &TRIAGE.to_owned(), &reason),
        (Method::POST, &format!("{stop}?x=1"), &reason),
    ] {
        let refused = keyed(&mut site, &who, method, path, "k1", body).await;
        assert_eq!(
            refused.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{path}: {}",
            refused.html
        );
        assert!(
            refused.html.contains("key-reused"),
            "{path}: {}",
            refused.html
        );
    }
    let fresh = keyed(&mut site, &who, Method::POST, &resume, "k2", &reason).await;
    assert!(
        fresh.html.contains("lumos.system.resume_requested.v1"),
        "{}",
        fresh.html
    );

    // Neither the key nor the body can be guessed from what is stored.
    let store = site.door.ports().store.clone();
    let rows = store
        .query("SELECT used, request FROM idempotency", Vec::new())
        .await
        .unwrap();
    assert_eq!(rows.len(), 2);
    for row in rows {
        let plain = lumos_domain::id::Digest::of(b"k1").hex();
        assert!(row.text(0) != plain && row.text(0).len() == 64 && row.text(1).len() == 64);
    }
    let long = "k".repeat(257);
    let refused = keyed(&mut site, &who, Method::POST, &stop, &long, &reason).await;
    assert!(refused.html.contains("bad-request"), "{}", refused.html);
}
