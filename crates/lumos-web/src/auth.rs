//! Sign-in, sessions and tokens: who asks. What they may do, the domain decides.
//!
//! Passwords are Argon2id, hashed off the async threads. Sessions and tokens are looked up by an id and
//! compared by a hash in constant time; neither is stored readable.

use std::{collections::BTreeSet, sync::Mutex};

use argon2::{
    Argon2, PasswordHasher as _, PasswordVerifier as _, password_hash::phc::PasswordHash,
};
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
    Door,
    ports::{PortError, Statement, Value},
    secret,
    views::people::{self, PersonRow},
};
use subtle::ConstantTimeEq as _;
use tokio::sync::Semaphore;

use crate::{app::App, problem::Problem};

use self::attempts::{Attempts, Try};

pub use self::{
    attempts::Place,
    origin::{KNOWN, Origin, known},
};

mod attempts;
mod origin;

/// The table of sessions: operational state.
pub const SCHEMA: &[&str] = &["CREATE TABLE IF NOT EXISTS sessions (
    session TEXT PRIMARY KEY, hash TEXT NOT NULL, csrf TEXT NOT NULL, person TEXT NOT NULL,
    seen_us BIGINT NOT NULL, ends_us BIGINT NOT NULL)"];

/// The cookie of a session.
pub const COOKIE: &str = "lumos_session";
/// A session ends after so long without a request (45 CFR 164.312(a)(2)(iii), automatic logoff).
pub(crate) const IDLE: SignedDuration = SignedDuration::from_mins(30);
/// A session ends after so long whatever happens.
const LONGEST: SignedDuration = SignedDuration::from_hours(12);
/// Passwords hashed at the same time; each takes 19 MiB and a core.
const HASHES_AT_ONCE: usize = 2;
/// How long a sign-in waits for its turn to be hashed.
const HASH_WAIT: std::time::Duration = std::time::Duration::from_secs(10);
/// The shortest password.
pub const PASSWORD_CHARS_MIN: usize = 12;

/// Checks who people are.
pub struct Gatekeeper {
    attempts: Mutex<Attempts>,
    decoy: String,
    hashing: Semaphore,
}

/// A new session, as it is handed out once.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// What the cookie or bearer header carries.
    pub credential: String,
    /// Who signed in.
    pub person: PersonRow,
    /// When it ends at the latest.
    pub ends: Timestamp,
}

impl Gatekeeper {
    /// A gatekeeper that has seen nobody fail yet.
    ///
    /// # Errors
    /// When a password cannot be hashed at all.
    pub fn new(salt: [u8; 16]) -> Result<Self, Problem> {
        let decoy = hash_password("a password that nobody has", salt)?;
        Ok(Self {
            hashing: Semaphore::new(HASHES_AT_ONCE),
            attempts: Mutex::default(),
            decoy,
        })
    }

    /// Signs a person in.
    ///
    /// # Errors
    /// Wrong login or password alike, or too many failures.
    pub async fn sign_in(
        &self,
        door: &Door,
        login: &str,
        password: &str,
        place: &Place,
    ) -> Result<NewSession, Problem> {
        let now = door.ports().clock.now();
        let folded = folded(login);
        self.reserve(&folded, place, now).await?;
        let store = &*door.ports().store;
        let person = people::by_login(store, &door.ports().key, login).await?;
        let active = person.filter(|p| !p.suspended && !p.service);
        if !self.password_fits(door, active.as_ref(), password).await? {
            tracing::warn!("a sign-in failed");
            return Err(wrong());
        }
        let person = active.ok_or_else(wrong)?;
        self.forget(&folded, place);
        let entropy = &*door.ports().entropy;
        let session: TokenId = secret::id(entropy, "s")?;
        let (key, csrf) = (secret::secret(entropy), secret::secret(entropy));
        let ends = now + LONGEST;
        store
            .execute(vec![Statement {
                sql: "INSERT INTO sessions (session, hash, csrf, person, seen_us, ends_us)
                      VALUES ($1, $2, $3, $4, $5, $6)",
                params: vec![
                    session.as_str().into(),
                    Digest::of(key.as_bytes()).hex().into(),
                    csrf.into(),
                    person.person.as_str().into(),
                    now.into(),
                    ends.into(),
                ],
            }])
            .await?;
        Ok(NewSession {
            credential: format!("lumos_{session}_{key}"),
            person,
            ends,
        })
    }

    /// Whether `password` is that of `person`, counting the failures of the credential that asks.
    ///
    /// # Errors
    /// When it is wrong, or there were too many failures.
    pub async fn reauthenticate(
        &self,
        door: &Door,
        id: &PersonId,
        password: &str,
        credential: &TokenId,
    ) -> Result<(), Problem> {
        let now = door.ports().clock.now();
        let place = Place::Known(credential.to_string());
        self.reserve(id.as_str(), &place, now).await?;
        let person = people::by_id(&*door.ports().store, id).await?;
        if self.password_fits(door, person.as_ref(), password).await? {
            self.forget(id.as_str(), &place);
            return Ok(());
        }
        Err(wrong())
    }

    async fn password_fits(
        &self,
        door: &Door,
        person: Option<&PersonRow>,
        password: &str,
    ) -> Result<bool, Problem> {
        let sealed = person.and_then(|p| p.credential);
        let known = match sealed {
            Some(sealed) => door.ports().store.unseal(&[sealed]).await?.pop().flatten(),
            None => None,
        };
        // Few at a time: hashing must not starve what else the process does.
        let waiting = tokio::time::timeout(HASH_WAIT, self.hashing.acquire()).await;
        let Ok(Ok(_turn)) = waiting else {
            let detail = "too many people sign in at the same time; try again";
            return Err(Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "busy",
                detail,
            ));
        };
        // An unknown login costs as much time as a wrong password.
        let (hash, real) = known.map_or_else(|| (self.decoy.clone(), false), |hash| (hash, true));
        let password = password.to_owned();
        let fits = tokio::task::spawn_blocking(move || {
            PasswordHash::new(&hash).is_ok_and(|parsed| {
                Argon2::default()
                    .verify_password(password.as_bytes(), &parsed)
                    .is_ok()
            })
        })
        .await
        .map_err(|panicked| PortError::new("checking a password", panicked))?;
        Ok(fits && real)
    }

    /// Counts an attempt before it is made, and waits for its turn where the login is slowed.
    async fn reserve(&self, login: &str, place: &Place, now: Timestamp) -> Result<(), Problem> {
        let asked = self.attempts.lock().map_or(Try::Refused, |mut attempts| {
            attempts.reserve(login, place, now)
        });
        match asked {
            Try::Now => Ok(()),
            Try::After(wait) => {
                tokio::time::sleep(wait).await;
                Ok(())
            }
            Try::Refused => {
                let detail = "too many failed sign-ins from here; wait a quarter of an hour, or sign in from a \
                              browser that you used before";
                let status = StatusCode::TOO_MANY_REQUESTS;
                Err(Problem::new(status, "too-many-attempts", detail))
            }
        }
    }

    fn forget(&self, login: &str, place: &Place) {
        if let Ok(mut attempts) = self.attempts.lock() {
            attempts.forget(login, place);
        }
    }
}

/// A login as it is looked up and counted.
fn folded(login: &str) -> String {
    login.trim().to_lowercase()
}

fn wrong() -> Problem {
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "wrong-credentials",
        "the login or the password is wrong",
    )
}

/// The Argon2id hash of a password as it is sealed.
///
/// # Errors
/// When the password is too short or cannot be hashed.
pub fn hash_password(password: &str, salt: [u8; 16]) -> Result<String, Problem> {
    if password.chars().count() < PASSWORD_CHARS_MIN {
        let detail = format!("a password has at least {PASSWORD_CHARS_MIN} characters");
        return Err(Problem::bad("short-password", detail));
    }
    let hash = Argon2::default()
        .hash_password_with_salt(password.as_bytes(), &salt)
        .map_err(|_| Problem::bad("short-password", "this password cannot be hashed"))?;
    Ok(hash.to_string())
}

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

async fn signed_in(app: &App, headers: &HeaderMap) -> Result<Option<SignedIn>, Problem> {
    let Some(presented) = presented(headers) else {
        return Ok(None);
    };
    if presented.id.as_str().starts_with('s') {
        session(app, &presented).await
    } else {
        token(app, &presented).await
    }
}

async fn session(app: &App, presented: &Presented) -> Result<Option<SignedIn>, Problem> {
    let store = &*app.door.ports().store;
    let now = app.door.ports().clock.now();
    let rows = store
        .query(
            "SELECT hash, csrf, person, seen_us, ends_us FROM sessions WHERE session = $1",
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
    if now.duration_since(seen) > SignedDuration::from_mins(1) {
        let params = vec![Value::from(now), presented.id.as_str().into()];
        let sql = "UPDATE sessions SET seen_us = $1 WHERE session = $2";
        store.execute(vec![Statement { sql, params }]).await?;
    }
    let person = people::by_id(store, &row.text(2).parse()?).await?;
    Ok(person.filter(|p| !p.suspended).map(|person| SignedIn {
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
    let hash = store
        .unseal(&[row.hash])
        .await?
        .pop()
        .flatten()
        .unwrap_or_default();
    if !same(&hash, &presented.secret) || app.door.ports().clock.now() >= row.expires {
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
    let sql = "DELETE FROM sessions WHERE session = $1";
    let params = vec![id.as_str().into()];
    app.door
        .ports()
        .store
        .execute(vec![Statement { sql, params }])
        .await?;
    Ok(())
}

/// Ends every session of a person but `keep`: a new password or a suspension leaves nobody signed in.
///
/// # Errors
/// When the store fails.
pub async fn end_sessions(
    app: &App,
    person: &PersonId,
    keep: Option<&TokenId>,
) -> Result<(), Problem> {
    let sql = "DELETE FROM sessions WHERE person = $1 AND session <> $2";
    let params = vec![
        person.as_str().into(),
        keep.map_or("", TokenId::as_str).into(),
    ];
    app.door
        .ports()
        .store
        .execute(vec![Statement { sql, params }])
        .await?;
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
