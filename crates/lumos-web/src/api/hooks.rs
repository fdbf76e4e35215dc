//! Webhooks in: verified over the raw bytes, replays dropped, and then only a hint where to look.

use axum::{
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use lumos_domain::id::RegistryName;
use lumos_engine::ports::{Hint, InboundError, Statement};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::name;
use crate::{
    app::{App, Path},
    problem::Problem,
};

/// Deliveries seen, to drop replays; kept longer than a signature is believed.
pub const SCHEMA: &[&str] = &["CREATE TABLE IF NOT EXISTS deliveries (
    registry TEXT NOT NULL, delivery TEXT NOT NULL, seen_us BIGINT NOT NULL, PRIMARY KEY (registry, delivery))"];

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(receive))
}

/// A registry's webhook.
#[utoipa::path(post, path = "/api/v1/hooks/{registry}", tag = "hooks", params(("registry" = String, Path)),
    request_body = Object, responses((status = 202), (status = "4XX", body = Problem)))]
async fn receive(
    State(app): State<App>,
    Path(registry): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Problem> {
    let registry: RegistryName = name(&registry)?;
    let connector = app
        .registries
        .get(&registry)
        .ok_or_else(|| Problem::not_found("such registry"))?;
    let lines: Vec<_> = headers
        .iter()
        .filter_map(|(name, value)| {
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        })
        .collect();
    let now = app.door.ports().clock.now();
    let delivery = connector
        .receive(&lines, &body, now)
        .ok_or_else(|| Problem::not_found("webhook of this registry"))?
        .map_err(|e| refused(&e))?;
    let statement = Statement {
        sql: "INSERT INTO deliveries (registry, delivery, seen_us) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        params: vec![
            registry.as_str().into(),
            delivery.id.as_str().into(),
            now.into(),
        ],
    };
    let new = app.door.ports().store.execute(vec![statement]).await?;
    if new.first() == Some(&0) {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "webhook-replayed",
            "this delivery was seen before",
        ));
    }
    for (name, version) in delivery.hints {
        // A full queue loses a hint, not a version: polling finds it.
        if app
            .hints
            .try_send(Hint {
                registry: registry.clone(),
                name,
                version,
            })
            .is_err()
        {
            tracing::warn!(%registry, "a webhook hint was dropped; polling will find the version");
        }
    }
    Ok(StatusCode::ACCEPTED)
}

fn refused(error: &InboundError) -> Problem {
    let status = match error {
        InboundError::Signature | InboundError::Stale => StatusCode::UNAUTHORIZED,
        InboundError::Malformed(_) => StatusCode::UNPROCESSABLE_ENTITY,
    };
    Problem::new(status, error.code(), error.to_string())
}
