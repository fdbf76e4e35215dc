//! Signing in and out, and who is asking.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::{App, Json},
    auth::{self, Origin, SignedIn},
    problem::Problem,
};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(sign_in))
        .routes(routes!(sign_out))
        .routes(routes!(me))
}

/// A login and its password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SignIn {
    login: String,
    password: String,
}

/// A session, handed out once.
#[derive(Serialize, ToSchema)]
struct Session {
    /// Send it as `Authorization: Bearer …`.
    credential: String,
    person: String,
    #[schema(value_type = String)]
    ends: jiff::Timestamp,
    must_change_password: bool,
}

/// Sign in.
#[utoipa::path(post, path = "/api/v1/sessions", tag = "sessions", request_body = SignIn,
    responses((status = 200, body = Session), (status = "4XX", body = Problem)))]
async fn sign_in(
    State(app): State<App>,
    origin: Origin,
    Json(body): Json<SignIn>,
) -> Result<Json<Session>, Problem> {
    let session = app
        .gatekeeper
        .sign_in(
            &app.door,
            &body.login,
            &body.password,
            &origin.place(&app.door.ports().key, &body.login),
        )
        .await?;
    Ok(Json(Session {
        credential: session.credential,
        person: session.person.person.to_string(),
        ends: session.ends,
        must_change_password: session.person.must_change,
    }))
}

/// Sign out.
#[utoipa::path(delete, path = "/api/v1/sessions/current", tag = "sessions",
    responses((status = 200), (status = "4XX", body = Problem)))]
async fn sign_out(State(app): State<App>, who: SignedIn) -> Result<(), Problem> {
    auth::end_session(&app, &who.credential).await
}

/// Who is asking.
#[derive(Serialize, ToSchema)]
struct Me {
    person: String,
    name: String,
    service: bool,
    roles: Vec<String>,
    sandbox: bool,
}

/// Who is asking.
#[utoipa::path(get, path = "/api/v1/me", tag = "sessions",
    responses((status = 200, body = Me), (status = "4XX", body = Problem)))]
async fn me(State(app): State<App>, who: SignedIn) -> Result<Json<Me>, Problem> {
    let id = &who.person.person;
    let (roles, sandbox) = app
        .door
        .ask(|world| {
            let grants = world.person(id)?.grants.iter();
            Ok((
                grants.map(|g| g.role.to_string()).collect(),
                world.org()?.sandbox,
            ))
        })
        .await?;
    let name = app.unseal(&who.person.name).await?;
    Ok(Json(Me {
        person: id.to_string(),
        name,
        service: who.person.service,
        roles,
        sandbox,
    }))
}
