//! The keys that sign the ledger: which there are, a new one, one in place of another, one taken out of use.

use axum::extract::State;
use jiff::Timestamp;
use lumos_domain::{
    actor::Right,
    command::Command,
    keys::{AddKey, Key, Keys, RevokeKey, RotateKey},
    proposal::Governed,
    words::KeyPlace,
};
use lumos_engine::keyring::KeyError;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Answer, act::Act, seal_one};
use crate::{
    app::{App, Json, Path, text},
    auth::SignedIn,
    problem::Problem,
};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(rotate))
        .routes(routes!(revoke))
}

/// A key of the ledger.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct KeyView {
    /// Its id, eight hex digits.
    pub(crate) key: String,
    pub(crate) vkey: String,
    /// `signs`, `signs-beside`, `unused`, `replaced` or `revoked`.
    pub(crate) state: &'static str,
    /// What keeps it: `file`, `pkcs11` or `kms`.
    pub(crate) place: &'static str,
    pub(crate) name: String,
    /// Until when it signs beside the one that replaced it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(crate) until: Option<Timestamp>,
    /// Of a revoked key: up to how many entries its checkpoints count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) good_until: Option<u64>,
}

fn view(keys: &Keys, key: &Key, now: Timestamp) -> KeyView {
    let beside = keys.outgoing.iter().find(|(old, _)| *old == key.key);
    let until = beside.map(|(_, until)| *until).filter(|until| now < *until);
    KeyView {
        key: key.key.id().to_owned(),
        vkey: key.key.to_string(),
        state: match key {
            Key {
                good_until: Some(_),
                ..
            } => "revoked",
            _ if keys.current.as_ref() == Some(&key.key) => "signs",
            _ if until.is_some() => "signs-beside",
            Key { used: true, .. } => "replaced",
            _ => "unused",
        },
        place: key.place.as_str(),
        name: key.name.clone(),
        until,
        good_until: key.good_until,
    }
}

async fn keys(app: &App) -> Result<Keys, Problem> {
    Ok(app.door.ask(|world| Ok(world.keys()?.clone())).await?)
}

/// The key with an id.
async fn key(app: &App, id: &str) -> Result<Key, Problem> {
    let known = keys(app).await?;
    let key = known.by_id(id).cloned();
    key.ok_or_else(|| Problem::not_found("such key"))
}

/// Every key of the ledger, in the order in which they came.
#[utoipa::path(get, path = "/api/v1/keys", tag = "keys",
    responses((status = 200, body = [KeyView]), (status = "4XX", body = Problem)))]
async fn list(State(app): State<App>, who: SignedIn) -> Result<Json<Vec<KeyView>>, Problem> {
    who.must(&app, Right::Read, None).await?;
    Ok(Json(views(&app).await?))
}

/// Every key of the ledger as people see it.
///
/// # Errors
/// When the store fails.
pub(crate) async fn views(app: &App) -> Result<Vec<KeyView>, Problem> {
    let now = app.door.ports().clock.now();
    let keys = keys(app).await?;
    let known = keys.known.iter();
    Ok(known.map(|key| view(&keys, key, now)).collect())
}

/// A key to make, or to take if it is there already.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewKey {
    /// `file`, `pkcs11` or `kms`; the settings' own without it.
    #[serde(default)]
    place: Option<String>,
    /// How it is or shall be called there.
    #[serde(default)]
    name: Option<String>,
}

/// Make a key. It signs nothing yet.
#[utoipa::path(post, path = "/api/v1/keys", tag = "keys", request_body = NewKey,
    responses((status = 200, body = super::Done), (status = "4XX", body = Problem), (status = 503, body = Problem)))]
async fn create(Act(by, body): Act<NewKey>) -> Answer {
    // Asked before anything is made: a key stays where it was made, an answer does not.
    by.who.must(&by.app, Right::Govern, None).await?;
    let place = body.place.as_deref().map(str::parse::<KeyPlace>);
    let name = body.name.as_deref().map(|name| text("name", name));
    let made = by.app.keys.make(place.transpose()?, name.transpose()?);
    let key = made.await?;
    by.submit(Command::CreateKey(key), Vec::new()).await
}

/// A key that is to sign in place of the present one.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Rotation {
    /// How many days the present one signs beside it; 30 without it.
    #[serde(default = "a_month")]
    overlap_days: u16,
    reason: String,
}

const fn a_month() -> u16 {
    30
}

/// Have a key sign in place of the present one. It needs two people.
#[utoipa::path(post, path = "/api/v1/keys/{key}/rotation", tag = "keys", request_body = Rotation,
    params(("key" = String, Path)),
    responses((status = 200, body = super::Done), (status = "4XX", body = Problem), (status = 503, body = Problem)))]
async fn rotate(Path(id): Path<String>, Act(by, body): Act<Rotation>) -> Answer {
    by.who.must(&by.app, Right::Govern, None).await?;
    let Key {
        key, place, name, ..
    } = key(&by.app, &id).await?;
    let new = AddKey { key, place, name };
    // A ledger whose key cannot sign publishes nothing: better to know before. The second person's server asks again.
    by.app.keys.try_out_everywhere(&new).await?;
    let (reason, sealed) = seal_one(&by.app, text("reason", &body.reason)?);
    let change = Governed::RotateKey(RotateKey {
        key: new.key,
        overlap_days: body.overlap_days,
        reason,
    });
    by.submit(change, sealed).await
}

/// A key whose word does not count any more.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Revocation {
    /// Up to how many entries its checkpoints still count; what is published now without it.
    #[serde(default)]
    good_until: Option<u64>,
    reason: String,
}

/// Take a key out of use. One person is enough.
#[utoipa::path(post, path = "/api/v1/keys/{key}/revocation", tag = "keys", request_body = Revocation,
    params(("key" = String, Path)),
    responses((status = 200, body = super::Done), (status = "4XX", body = Problem)))]
async fn revoke(Path(id): Path<String>, Act(by, body): Act<Revocation>) -> Answer {
    let key = key(&by.app, &id).await?.key;
    let (reason, sealed) = seal_one(&by.app, text("reason", &body.reason)?);
    let published = by.app.published.borrow().size;
    let command = Command::RevokeKey(RevokeKey {
        key,
        good_until: body.good_until.unwrap_or(published),
        reason,
    });
    by.submit(command, sealed).await
}

impl From<KeyError> for Problem {
    fn from(error: KeyError) -> Self {
        let status = match &error {
            KeyError::NoPlace { .. } | KeyError::NotEverywhere { .. } => {
                axum::http::StatusCode::CONFLICT
            }
            _ => axum::http::StatusCode::SERVICE_UNAVAILABLE,
        };
        tracing::error!(problem = %error, source = ?std::error::Error::source(&error), "a key could not be used");
        Self::new(status, error.code(), error.to_string())
    }
}
