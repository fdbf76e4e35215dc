//! Who may try passwords how often, and which sessions a new password leaves.

use axum::http::{Request, StatusCode, header};
use lumos_domain::{
    command::Command,
    id::{PersonId, TokenId},
    person::AddPerson,
    proposal::Governed,
};
use lumos_engine::{ports::Statement, secret::Sealer};
use lumos_web::auth::hash_password;
use serde_json::{Value, json};

use crate::{
    pages::{PASSWORD, signed_in},
    site::{Answer, Site},
};

const ANOTHER: &str = "a password set by somebody else";

async fn sign_in(site: &mut Site, login: &str, password: &str) -> Answer {
    let body = json!({ "login": login, "password": password });
    site.ask(Request::post("/api/v1/sessions"), &body).await
}

fn credential(session: &Answer) -> String {
    let session: Value = serde_json::from_str(&session.html).unwrap();
    format!("Bearer {}", session["credential"].as_str().unwrap())
}

async fn me(site: &mut Site, who: &str) -> StatusCode {
    let asked = Request::get("/api/v1/me").header(header::AUTHORIZATION, who);
    site.ask(asked, &Value::Null).await.status
}

fn set_credential(sealer: &mut Sealer<'_>, person: &str, password: &str) -> Command {
    let hash = sealer.seal(&hash_password(password, [5; 16]).unwrap());
    let person = person.parse().unwrap();
    Governed::SetCredential { person, hash }.into()
}

async fn execute(site: &Site, sql: &'static str) {
    let params = Vec::new();
    let store = site.door.ports().store.clone();
    store
        .execute(vec![Statement { sql, params }])
        .await
        .unwrap();
}

#[tokio::test]
async fn a_login_that_nobody_can_have_is_as_wrong_as_any() {
    let mut site = signed_in().await;
    let long = "l".repeat(257);
    site.as_ada("long", |sealer| {
        Command::AddPerson(AddPerson {
            person: "p-long".parse().unwrap(),
            name: sealer.seal("Long"),
            login: sealer.seal(&long),
            service: false,
        })
    })
    .await;
    site.as_ada("long-password", |sealer| {
        set_credential(sealer, "p-long", PASSWORD)
    })
    .await;
    let refused = sign_in(&mut site, &long, PASSWORD).await;
    let wrong = sign_in(&mut site, "nobody", PASSWORD).await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    assert_eq!((refused.status, refused.html), (wrong.status, wrong.html));
    // It is counted like any other.
    for _ in 0..7 {
        sign_in(&mut site, &long, PASSWORD).await;
    }
    let counted = sign_in(&mut site, &long, PASSWORD).await;
    assert_eq!(counted.status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn more_tokens_are_no_more_guesses() {
    let site = signed_in().await;
    let grace: PersonId = "p-grace".parse().unwrap();
    let mut codes = Vec::new();
    for n in 0..9 {
        let token: TokenId = format!("t-{n}").parse().unwrap();
        let guessed = site
            .app
            .gatekeeper
            .reauthenticate(&site.door, &grace, "a guess", &token)
            .await;
        codes.push(guessed.unwrap_err().code);
    }
    assert_eq!(codes[..8], ["wrong-credentials"; 8]);
    assert_eq!(codes[8], "too-many-attempts");
}

#[tokio::test]
async fn a_try_that_the_store_failed_does_not_count() {
    let mut site = signed_in().await;
    execute(&site, "ALTER TABLE people RENAME TO people_away").await;
    for _ in 0..9 {
        let failed = sign_in(&mut site, "grace", PASSWORD).await;
        assert!(failed.status.is_server_error(), "{}", failed.html);
    }
    execute(&site, "ALTER TABLE people_away RENAME TO people").await;
    let right = sign_in(&mut site, "grace", PASSWORD).await;
    assert_eq!(right.status, StatusCode::OK, "{}", right.html);
}

#[tokio::test]
async fn a_session_holds_for_the_password_it_was_begun_with() {
    let mut site = signed_in().await;
    let before = credential(&sign_in(&mut site, "grace", PASSWORD).await);
    assert_eq!(me(&mut site, &before).await, StatusCode::OK);
    // Past the site, which ends the sessions that it knows of: as for one begun a moment later.
    site.as_ada("another", |sealer| {
        set_credential(sealer, "p-grace", ANOTHER)
    })
    .await;
    assert_eq!(me(&mut site, &before).await, StatusCode::UNAUTHORIZED);
    let other = credential(&sign_in(&mut site, "grace", ANOTHER).await);
    let own = credential(&sign_in(&mut site, "grace", ANOTHER).await);
    assert_eq!(me(&mut site, &own).await, StatusCode::OK);

    // Who changes their own password goes on in the session they did it in, and in no other.
    let asked = Request::put("/api/v1/people/p-grace/password").header(header::AUTHORIZATION, &own);
    let body = json!({ "current": ANOTHER, "password": PASSWORD });
    let changed = site.ask(asked, &body).await;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.html);
    assert_eq!(me(&mut site, &own).await, StatusCode::OK);
    assert_eq!(me(&mut site, &other).await, StatusCode::UNAUTHORIZED);
}
