//! A command over the API: who asks, what they ask, and what lets it happen once however often it is sent.

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, FromRequestParts as _, Request},
    http::request::Parts,
};
use jiff::SignedDuration;
use lumos_domain::{
    command::Command,
    id::{CommandId, Digest},
    seal::SealedValue,
};
use lumos_engine::{ports::Statement, secret};
use serde::de::DeserializeOwned;

use super::Answer;
use crate::{
    app::{App, Json, Once},
    auth::SignedIn,
    problem::Problem,
};

/// What each key was first used for: operational state, swept after [`KEPT`].
pub(crate) const SCHEMA: &[&str] = &["CREATE TABLE IF NOT EXISTS idempotency (
    used TEXT PRIMARY KEY, request TEXT NOT NULL, seen_us BIGINT NOT NULL)"];
/// How long a key is remembered. The command it made is known for ever.
pub(crate) const KEPT: SignedDuration = SignedDuration::from_hours(7 * 24);
/// The longest `Idempotency-Key`.
const KEY_BYTES_MAX: usize = 256;

/// Who asks, and the id of the command that the request makes.
pub(super) struct By {
    pub(super) app: App,
    pub(super) who: SignedIn,
    pub(super) once: Once,
}

impl By {
    /// Submits the command of this request.
    pub(super) async fn submit(
        &self,
        command: impl Into<Command>,
        sealed: Vec<SealedValue>,
    ) -> Answer {
        let (caller, once) = (self.who.caller.clone(), self.once.clone());
        let outcome = self.app.submit(caller, once, command.into(), sealed);
        Ok(outcome.await?.into())
    }

    /// The same caller with a fresh second component, when a password was given and fits.
    pub(super) async fn with_password(mut self, password: Option<&str>) -> Result<Self, Problem> {
        self.who.caller = self.who.with_password(&self.app, password).await?;
        Ok(self)
    }

    async fn read(request: Request, app: &App) -> Result<(Self, Parts, Bytes), Problem> {
        let (mut parts, body) = request.into_parts();
        let who = SignedIn::from_request_parts(&mut parts, app).await?;
        let whole = Request::from_parts(parts.clone(), body);
        let bytes = Bytes::from_request(whole, app).await?;
        let once = once(app, &who, &parts, &bytes).await?;
        let app = app.clone();
        Ok((Self { app, who, once }, parts, bytes))
    }
}

/// A command whose body is JSON, strictly of its type.
pub(super) struct Act<T>(pub(super) By, pub(super) T);

impl<T: DeserializeOwned> FromRequest<App> for Act<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let (by, parts, bytes) = By::read(request, app).await?;
        let again = Request::from_parts(parts, Body::from(bytes));
        let Json(body) = Json::<T>::from_request(again, app).await?;
        Ok(Self(by, body))
    }
}

/// A command whose body, if it has one, is taken as it is.
pub(super) struct ActBytes(pub(super) By, pub(super) Bytes);

impl FromRequest<App> for ActBytes {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let (by, _, bytes) = By::read(request, app).await?;
        Ok(Self(by, bytes))
    }
}

/// The id of the command: random without an `Idempotency-Key`, else bound to the caller, the key and the whole
/// request. The server's own key goes into it, because command ids stand in the ledger and bodies hold passwords.
async fn once(app: &App, who: &SignedIn, parts: &Parts, body: &[u8]) -> Result<Once, Problem> {
    let Some(key) = parts.headers.get("idempotency-key") else {
        return Ok(Once(secret::command_id(&*app.door.ports().entropy)?));
    };
    if key.len() > KEY_BYTES_MAX {
        let detail = format!("an Idempotency-Key has at most {KEY_BYTES_MAX} bytes");
        return Err(Problem::bad("bad-request", detail));
    }
    let (actor, key) = (
        who.caller.actor.to_string(),
        Digest::of(key.as_bytes()).hex(),
    );
    let hashed = |parts: &[&str]| app.door.ports().key.of(parts);
    let used = hashed(&["idempotency-key", &actor, &key]);
    let place = parts.uri.path_and_query().map_or("/", |p| p.as_str());
    let (method, body) = (parts.method.as_str(), Digest::of(body).hex());
    let request = hashed(&["request", &actor, &key, method, place, &body]);
    if first_use(app, &used, &request).await? != request {
        let detail =
            "this Idempotency-Key was used for another request; take a new key for each command";
        return Err(Problem::bad("key-reused", detail));
    }
    let id: CommandId = format!("http.{request}").parse()?;
    Ok(Once(id))
}

/// The request that a key was first used for: this one, if it is new.
async fn first_use(app: &App, used: &str, request: &str) -> Result<String, Problem> {
    let store = &*app.door.ports().store;
    let params = vec![
        used.into(),
        request.into(),
        app.door.ports().clock.now().into(),
    ];
    let sql = "INSERT INTO idempotency (used, request, seen_us) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    store.execute(vec![Statement { sql, params }]).await?;
    let sql = "SELECT request FROM idempotency WHERE used = $1";
    let rows = store.query(sql, vec![used.into()]).await?;
    Ok(rows.first().map_or(request, |row| row.text(0)).to_owned())
}
