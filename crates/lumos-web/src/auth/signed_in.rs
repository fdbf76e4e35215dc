//! Who asks: a credential as it was presented, looked up and compared. How one gets a credential is in `auth`.

use std::collections::BTreeSet;

use axum::{
    extract::{FromRequestParts, OptionalFromRequestParts},
    http::{HeaderMap, Method, StatusCode, header, request::Parts},
};
use jiff::{SignedDuration, Timestamp};
use lumos_domain::{
    actor::{Actor, Caller, Right},
    id::{Digest, PersonId, TokenId},
};
use lumos_engine::{
    ports::{Statement, Value},
    secret::SECRET_CHARS,
    views::people::{self, PersonRow},
};
use subtle::ConstantTimeEq as _;

use super::{COOKIE, IDLE, begun_with, origin};
use crate::{app::App, problem::Problem};

/// Who asks, from a session cookie or a bearer credential.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// As rules see it.
    pub caller: Caller,
    /// The account.
    pub person: PersonRow,
    /// For a session from a cookie: the token that forms must bring.
    pub csrf: Option<String>,
    /// The session or token id.
    pub credential: TokenId,
}

/// A credential as it was sent.
struct Presented {
    id: TokenId,
    secret: String,
    cookie: bool,
}

fn presented(headers: &HeaderMap) -> Option<Presented> {
    let bearer = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    let cookie = || origin::cookie(headers, COOKIE);
    let (text, cookie) = bearer
        .map(|b| (b, false))
        .or_else(|| cookie().map(|c| (c, true)))?;
    let (id, secret) = text.trim().strip_prefix("lumos_")?.split_once('_')?;
    Some(Presented {
        id: id.parse().ok()?,
        secret: secret.to_owned(),
        cookie,
    })
}

fn same(hash: &str, secret: &str) -> bool {
    bool::from(
        hash.as_bytes()
            .ct_eq(Digest::of(secret.as_bytes()).hex().as_bytes()),
    )
}

/// Whether `secret` is what was hashed: in one piece, or in as many of [`SECRET_CHARS`] as there are hashes.
fn all_the_same(hashes: &[Option<String>], secret: &str) -> bool {
    let pieces: Vec<&str> = match hashes {
        [_] => vec![secret],
        _ => secret
            .as_bytes()
            .chunks(SECRET_CHARS)
            .map(|piece| str::from_utf8(piece).unwrap_or_default())
            .collect(),
    };
    let mut both = hashes.iter().zip(&pieces);
    !hashes.is_empty()
        && hashes.len() == pieces.len()
        && both.all(|(hash, piece)| hash.as_deref().is_some_and(|hash| same(hash, piece)))
}

async fn signed_in(app: &App, headers: &HeaderMap) -> Result<Option<SignedIn>, Problem> {
    look_up(app, headers, Seen::Now).await
}

/// The same credential, looked at again while something that was begun with it goes on. No sign of life: a stream
/// keeps nobody signed in.
///
/// # Errors
/// When the store fails.
pub async fn still_signed_in(app: &App, headers: &HeaderMap) -> Result<Option<SignedIn>, Problem> {
    look_up(app, headers, Seen::Before).await
}

/// Whether somebody is there now.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    Now,
    Before,
}

async fn look_up(app: &App, headers: &HeaderMap, seen: Seen) -> Result<Option<SignedIn>, Problem> {
    let Some(presented) = presented(headers) else {
        return Ok(None);
    };
    if presented.id.as_str().starts_with('s') {
        session(app, &presented, seen).await
    } else {
        token(app, &presented).await
    }
}

async fn session(
    app: &App,
    presented: &Presented,
    present: Seen,
) -> Result<Option<SignedIn>, Problem> {
    let store = &*app.door.ports().store;
    let now = app.door.ports().clock.now();
    let rows = store
        .query(
            "SELECT hash, csrf, person, seen_us, ends_us, password FROM open_sessions WHERE session = $1",
            vec![presented.id.as_str().into()],
        )
        .await?;
    let Some(row) = rows
        .first()
        .filter(|row| same(row.text(0), &presented.secret))
    else {
        return Ok(None);
    };
    let seen = row.time(3).unwrap_or(Timestamp::MIN);
    if now >= row.time(4).unwrap_or(Timestamp::MIN) || now.duration_since(seen) >= IDLE {
        end_session(app, &presented.id).await?;
        return Ok(None);
    }
    // A minute's precision is enough for automatic logoff, and spares a write a request.
    if present == Seen::Now && now.duration_since(seen) > SignedDuration::from_mins(1) {
        let params = vec![Value::from(now), presented.id.as_str().into()];
        let sql = "UPDATE open_sessions SET seen_us = $1 WHERE session = $2";
        store.execute(vec![Statement { sql, params }]).await?;
    }
    let person = people::by_id(store, &row.text(2).parse()?).await?;
    // A sign-in may have checked the password before the last one: its session holds for nothing.
    let holds = |p: &PersonRow| !p.suspended && begun_with(p) == row.text(5);
    Ok(person.filter(holds).map(|person| SignedIn {
        caller: Caller::new(Actor::Person(person.person.clone())),
        person,
        csrf: presented.cookie.then(|| row.text(1).to_owned()),
        credential: presented.id.clone(),
    }))
}

async fn token(app: &App, presented: &Presented) -> Result<Option<SignedIn>, Problem> {
    let store = &*app.door.ports().store;
    let Some(row) = people::token(store, &presented.id).await? else {
        return Ok(None);
    };
    let hashes = store.unseal(&row.hashes).await?;
    if !all_the_same(&hashes, &presented.secret) || app.door.ports().clock.now() >= row.expires {
        return Ok(None);
    }
    let person = people::by_id(store, &row.person).await?;
    let Some(person) = person.filter(|person| !person.suspended) else {
        return Ok(None);
    };
    let rights: BTreeSet<Right> = app
        .door
        .ask(|world| {
            let token = world.person(&row.person)?.tokens.get(&row.token);
            Ok(token.map(|token| token.rights.clone()).unwrap_or_default())
        })
        .await?;
    let id = person.person.clone();
    let actor = if person.service {
        Actor::Service(id)
    } else {
        Actor::Person(id)
    };
    let caller = Caller {
        actor,
        limited_to: Some(rights),
        token: Some(row.token),
        reauthenticated: false,
    };
    Ok(Some(SignedIn {
        caller,
        person,
        csrf: None,
        credential: presented.id.clone(),
    }))
}

/// Ends a session.
///
/// # Errors
/// When the store fails.
pub async fn end_session(app: &App, id: &TokenId) -> Result<(), Problem> {
    let sql = "DELETE FROM open_sessions WHERE session = $1";
    let params = vec![id.as_str().into()];
    app.door
        .ports()
        .store
        .execute(vec![Statement { sql, params }])
        .await?;
    Ok(())
}

/// Ends every session of a person but `keep`, which goes on with their present password: a new one or a suspension
/// leaves nobody else signed in.
///
/// # Errors
/// When the store fails.
pub async fn end_sessions(
    app: &App,
    person: &PersonId,
    keep: Option<&TokenId>,
) -> Result<(), Problem> {
    let store = &*app.door.ports().store;
    let keep = keep.map_or("", TokenId::as_str);
    let present = people::by_id(store, person).await?;
    let present = present.as_ref().map(begun_with).unwrap_or_default();
    let end = Statement {
        sql: "DELETE FROM open_sessions WHERE person = $1 AND session <> $2",
        params: vec![person.as_str().into(), keep.into()],
    };
    let go_on = Statement {
        sql: "UPDATE open_sessions SET password = $1 WHERE person = $2 AND session = $3",
        params: vec![present.into(), person.as_str().into(), keep.into()],
    };
    store.execute(vec![end, go_on]).await?;
    Ok(())
}

impl FromRequestParts<App> for SignedIn {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let who = signed_in(app, &parts.headers)
            .await?
            .ok_or_else(Problem::unauthenticated)?;
        // Only pages act by cookie, and their forms carry a token: a call from another page does not.
        let acts = !matches!(parts.method, Method::GET | Method::HEAD);
        if acts && who.csrf.is_some() && parts.uri.path().starts_with("/api/") {
            let given = parts
                .headers
                .get("x-lumos-csrf")
                .and_then(|value| value.to_str().ok());
            who.check_csrf(given.unwrap_or_default())?;
        }
        Ok(who)
    }
}

impl OptionalFromRequestParts<App> for SignedIn {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Option<Self>, Problem> {
        signed_in(app, &parts.headers).await
    }
}

impl SignedIn {
    /// Checks the token of a form against the session's, in constant time. API calls with a bearer
    /// credential carry none and need none; a cookie without the right token is refused.
    ///
    /// # Errors
    /// When the form was not made for this session.
    pub fn check_csrf(&self, given: &str) -> Result<(), Problem> {
        match &self.csrf {
            None => Ok(()),
            Some(csrf) if bool::from(csrf.as_bytes().ct_eq(given.as_bytes())) => Ok(()),
            Some(_) => Err(Problem::new(
                StatusCode::FORBIDDEN,
                "wrong-form",
                "this form was not made for your session; load the page again",
            )),
        }
    }

    /// The caller with a fresh second component, when a password was given and fits (DECISIONS 14).
    ///
    /// # Errors
    /// When a password was given and is wrong.
    pub async fn with_password(
        &self,
        app: &App,
        password: Option<&str>,
    ) -> Result<Caller, Problem> {
        let mut caller = self.caller.clone();
        if let Some(password) = password.filter(|p| !p.is_empty()) {
            app.gatekeeper
                .reauthenticate(&app.door, &self.person.person, password, &self.credential)
                .await?;
            caller.reauthenticated = true;
        }
        Ok(caller)
    }

    /// Refuses callers without `right` anywhere in the organisation or for `model`.
    ///
    /// # Errors
    /// The refusal.
    pub async fn must(
        &self,
        app: &App,
        right: Right,
        model: Option<&lumos_domain::id::ModelName>,
    ) -> Result<(), Problem> {
        let caller = &self.caller;
        Ok(app
            .door
            .ask(|world| lumos_domain::person::authorise(world, caller, right, model))
            .await?)
    }
}
