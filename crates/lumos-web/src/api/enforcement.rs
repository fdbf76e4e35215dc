//! May this run? Decisions, why, and the signed snapshot for enforcement points.

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use lumos_domain::actor::Right;
use lumos_enforce::{Decision, Question};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::{App, Json, Path},
    auth::SignedIn,
    decisions::Explained,
    problem::Problem,
};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(decide))
        .routes(routes!(why))
        .routes(routes!(snapshot))
        .routes(routes!(trust))
}

/// Ask for a decision. The status is 200 for yes and no alike: read `effect`.
#[utoipa::path(post, path = "/api/v1/decisions", tag = "enforcement", request_body = Object,
    responses((status = 200, body = Object), (status = "4XX", body = Problem)))]
async fn decide(
    State(app): State<App>,
    who: SignedIn,
    Json(question): Json<Question>,
) -> Result<Json<Decision>, Problem> {
    who.must(&app, Right::AskDecisions, None).await?;
    Ok(Json(app.decisions.decide(&question).await?))
}

/// Why a decision was what it was.
#[utoipa::path(get, path = "/api/v1/decisions/{decision}", tag = "enforcement",
    params(("decision" = String, Path)),
    responses((status = 200, body = Object), (status = "4XX", body = Problem)))]
async fn why(
    State(app): State<App>,
    who: SignedIn,
    Path(decision): Path<String>,
) -> Result<Json<Explained>, Problem> {
    who.must(&app, Right::AskDecisions, None).await?;
    let explained = app.decisions.why(&decision).await?;
    Ok(Json(
        explained.ok_or_else(|| Problem::not_found("such decision"))?,
    ))
}

/// The signed snapshot that enforcement points decide from. `ETag` is its version.
#[utoipa::path(get, path = "/api/v1/snapshot", tag = "enforcement",
    responses((status = 200, body = Object), (status = 304), (status = "4XX", body = Problem)))]
async fn snapshot(
    State(app): State<App>,
    who: SignedIn,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    who.must(&app, Right::AskDecisions, None).await?;
    let signed = app.decisions.snapshot().await?;
    let etag = format!(
        "\"{}-{}\"",
        signed.snapshot.size,
        signed.snapshot.issued_at.as_second()
    );
    if headers
        .get(header::IF_NONE_MATCH)
        .is_some_and(|known| known.as_bytes() == etag.as_bytes())
    {
        return Ok(StatusCode::NOT_MODIFIED.into_response());
    }
    Ok(([(header::ETAG, etag)], Json(&signed.envelope)).into_response())
}

/// What a verifier must trust.
#[derive(Serialize, ToSchema)]
struct Trust {
    origin: String,
    /// Verifier keys of the ledger: the one that signs now first, then those that sign beside it or signed before.
    vkeys: Vec<String>,
    /// P-256 keys of snapshots, base64 of the compressed point.
    statement_keys: Vec<String>,
}

/// The keys a verifier needs. Compare them with what the operator tells you another way.
#[utoipa::path(get, path = "/api/v1/trust", tag = "enforcement", responses((status = 200, body = Trust)))]
async fn trust(State(app): State<App>) -> Json<Trust> {
    Json(Trust {
        origin: app.origin.clone(),
        vkeys: app.keys.vkeys().iter().map(ToString::to_string).collect(),
        statement_keys: vec![app.decisions.public_key().to_owned()],
    })
}
