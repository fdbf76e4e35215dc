//! The API as a program meets it: keys that make a command happen once, limits, and who is kept out.

use axum::http::{Method, Request, StatusCode, header};
use lumos_engine::ports::{Clock as _, Statement};
use lumos_web::sweep;
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

#[tokio::test]
async fn a_browser_that_signed_in_before_is_not_locked_out_by_guesses() {
    let mut site = signed_in().await;
    let right = [("login", "grace"), ("password", PASSWORD)];
    let first = site.post("/sign-in", &right).await;
    let cookies = first.headers.get_all(header::SET_COOKIE).iter();
    let cookies: Vec<_> = cookies.map(|cookie| cookie.to_str().unwrap()).collect();
    let known = cookies
        .iter()
        .find(|cookie| cookie.starts_with("lumos_known="))
        .unwrap();
    assert!(
        known.contains("HttpOnly; SameSite=Strict; Path=/sign-in"),
        "{known}"
    );
    let known = known.split(';').next().unwrap().to_owned();

    for _ in 0..8 {
        let wrong = site
            .post("/sign-in", &[("login", "Grace"), ("password", "a guess")])
            .await;
        assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    }
    let locked = site.post("/sign-in", &right).await;
    assert_eq!(
        locked.status,
        StatusCode::TOO_MANY_REQUESTS,
        "{}",
        locked.html
    );
    assert!(locked.html.contains("too-many-attempts"));
    site.cookie("lumos_known=forged");
    assert_eq!(
        site.post("/sign-in", &right).await.status,
        StatusCode::TOO_MANY_REQUESTS
    );
    site.cookie(&known);
    assert_eq!(
        site.post("/sign-in", &right).await.status,
        StatusCode::SEE_OTHER
    );
}

#[tokio::test]
async fn a_file_that_arrives_slowly_keeps_its_upload() {
    let mut site = signed_in().await;
    let who = credential(&mut site).await;
    let slow = upload(&mut site, &who).await;
    let (app, clock) = (site.app.clone(), site.clock.clone());
    // It begins when the upload is nearly idle; then an hour passes before the first chunk, and 47 before the next.
    let chunks = futures::stream::unfold(0, move |n| {
        let (app, clock) = (app.clone(), clock.clone());
        async move {
            if n == 2 {
                return None;
            }
            clock.forward(if n == 0 { 1 } else { 47 });
            sweep::once(&app).await.unwrap();
            Some((Ok::<_, std::io::Error>(vec![7; 10]), n + 1))
        }
    });
    site.clock.forward(47);
    let who = credential(&mut site).await;
    let place = format!("/api/v1/uploads/{slow}/files/a");
    let asked = Request::put(place).header(header::AUTHORIZATION, &who);
    let sent = site
        .send_bytes(asked, axum::body::Body::from_stream(chunks))
        .await;
    assert_eq!(sent.status, StatusCode::OK, "{}", sent.html);
    sweep::once(&site.app).await.unwrap();
    let who = credential(&mut site).await;
    let more = file(&mut site, &who, &slow, "b", 10).await;
    assert_eq!(more.status, StatusCode::OK, "{}", more.html);
}

/// Opens an upload; its name.
async fn upload(site: &mut Site, who: &str) -> String {
    let asked = Request::post("/api/v1/uploads").header(header::AUTHORIZATION, who);
    let opened = site.ask(asked, &json!({})).await;
    let opened: Value = serde_json::from_str(&opened.html).unwrap();
    opened["upload"].as_str().unwrap().to_owned()
}

/// Sends a file of so many bytes to an upload.
async fn file(site: &mut Site, who: &str, upload: &str, name: &str, bytes: usize) -> Answer {
    let place = format!("/api/v1/uploads/{upload}/files/{name}");
    let asked = Request::put(place).header(header::AUTHORIZATION, who);
    site.send_bytes(asked, vec![7; bytes]).await
}

#[tokio::test]
async fn uploads_have_a_quota_and_idle_ones_go() {
    let mut site = signed_in().await;
    let who = credential(&mut site).await;
    let first = upload(&mut site, &who).await;
    let second = upload(&mut site, &who).await;
    assert_eq!(
        file(&mut site, &who, &first, "a", 10_000).await.status,
        StatusCode::OK
    );
    let refused = file(&mut site, &who, &first, "b", 10_001).await;
    assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(refused.html.contains("upload-quota"), "{}", refused.html);
    let again = file(&mut site, &who, &first, "b", 10_000).await;
    assert_eq!(
        again.status,
        StatusCode::OK,
        "what was refused is not half there: {}",
        again.html
    );
    assert_eq!(
        file(&mut site, &who, &second, "c", 1).await.status,
        StatusCode::PAYLOAD_TOO_LARGE
    );

    // One was submitted and is still to be fetched; the other nobody needs.
    let asked = Request::post("/api/v1/releases").header(header::AUTHORIZATION, &who);
    let body = json!({
        "model": "triage", "version": "2.0", "environment": "production", "upload": first,
    });
    let submitted = site.ask(asked, &body).await;
    assert_eq!(submitted.status, StatusCode::OK, "{}", submitted.html);
    // To name a release that is still to be fetched from another upload keeps nothing.
    let asked = Request::post("/api/v1/releases").header(header::AUTHORIZATION, &who);
    let body = json!({
        "model": "triage", "version": "2.0", "environment": "production", "upload": second,
    });
    let refused = site.ask(asked, &body).await;
    assert_eq!(refused.status, StatusCode::CONFLICT, "{}", refused.html);
    site.clock.forward(47);
    sweep::once(&site.app).await.unwrap();
    let who = credential(&mut site).await;
    let missing = |answer: &Answer| answer.status == StatusCode::NOT_FOUND;
    assert!(
        !missing(&file(&mut site, &who, &second, "c", 1).await),
        "it is not idle yet"
    );
    site.clock.forward(2);
    sweep::once(&site.app).await.unwrap();
    let who = credential(&mut site).await;
    assert!(missing(&file(&mut site, &who, &second, "c", 1).await));
    assert!(
        !missing(&file(&mut site, &who, &first, "a", 1).await),
        "it is still to be fetched"
    );
}

#[tokio::test]
async fn operational_rows_go_when_their_time_is_over() {
    let mut site = signed_in().await;
    let who = credential(&mut site).await;
    let reason = json!({ "reason": "it answers oddly" });
    let stop = format!("{TRIAGE}/stop");
    keyed(&mut site, &who, Method::POST, &stop, "k1", &reason).await;
    let question = json!({ "model": "triage", "version": "1.2", "environment": "production" });
    let asked = Request::post("/api/v1/decisions").header(header::AUTHORIZATION, &who);
    let decided = site.ask(asked, &question).await;
    assert_eq!(decided.status, StatusCode::OK, "{}", decided.html);
    let store = site.door.ports().store.clone();
    let seen = site.clock.now().as_microsecond();
    let sql = "INSERT INTO deliveries (registry, delivery, seen_us) VALUES ('hub', 'd1', $1)";
    let params = vec![seen.into()];
    store
        .execute(vec![Statement { sql, params }])
        .await
        .unwrap();

    let left = async |hours: i64| {
        site.clock.forward(hours);
        sweep::once(&site.app).await.unwrap();
        let mut counts = Vec::new();
        for sql in [
            "SELECT COUNT(*) FROM open_sessions",
            "SELECT COUNT(*) FROM deliveries",
            "SELECT COUNT(*) FROM idempotency",
            "SELECT COUNT(*) FROM decisions",
        ] {
            counts.push(
                store.query(sql, Vec::new()).await.unwrap()[0]
                    .int(0)
                    .unwrap(),
            );
        }
        counts
    };
    let sessions = left(0).await;
    assert!(
        sessions[0] > 0 && sessions[1..] == [1, 1, 1],
        "{sessions:?}"
    );
    assert_eq!(
        left(1).await,
        [0, 1, 1, 1],
        "half an hour without a request"
    );
    assert_eq!(left(24).await, [0, 0, 1, 1]);
    assert_eq!(left(7 * 24).await, [0, 0, 0, 1]);
    assert_eq!(left(23 * 24).await, [0, 0, 0, 0]);
    // The ledger is never swept, and the command behind the key is known for ever.
    let who = credential(&mut site).await;
    let again = keyed(&mut site, &who, Method::POST, &stop, "k1", &reason).await;
    assert!(
        again.html.contains("lumos.system.stopped.v1"),
        "{}",
        again.html
    );
}

#[tokio::test]
async fn a_site_whose_head_is_not_signed_is_not_ready() {
    let mut site = Site::new().await;
    let late = site.get("/readyz").await;
    assert_eq!(late.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(late.html.contains("head-unsigned"), "{}", late.html);
    site.checkpoint().await;
    let signed = site.get("/readyz").await;
    assert_eq!(
        (signed.status, signed.html.as_str()),
        (StatusCode::OK, "ready\n")
    );
}
