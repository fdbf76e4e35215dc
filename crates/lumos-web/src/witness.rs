//! A witness over HTTP (C2SP tlog-witness v1.0.0): `add-checkpoint` for logs, the last checkpoint of each log
//! for monitors. It stands alone: no ledger, no person, no page.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Path, State},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use lumos_domain::id::Digest;
use lumos_engine::witness::{Witness, WitnessError};
use lumos_ledger::witness::{AddCheckpoint, MAX_REQUEST, Refusal};

/// The interface of `witness`.
pub fn router(witness: Arc<Witness>) -> Router {
    let named = |origin: &str| (Digest::of(origin.as_bytes()).hex(), origin.to_owned());
    let origins = witness.origins().map(named).collect();
    Router::new()
        .route("/add-checkpoint", post(add_checkpoint))
        .route("/{origin}/checkpoint", get(latest))
        .route("/healthz", get(async || "ok\n"))
        .layer(DefaultBodyLimit::max(MAX_REQUEST))
        .with_state(Shared(Arc::new(Served { witness, origins })))
}

#[derive(Clone)]
struct Shared(Arc<Served>);

struct Served {
    witness: Arc<Witness>,
    /// The logs by the hex SHA-256 of their origin.
    origins: BTreeMap<String, String>,
}

async fn add_checkpoint(State(Shared(served)): State<Shared>, request: String) -> Response {
    let cosigned = async {
        let request: AddCheckpoint = request.parse()?;
        served.witness.add_checkpoint(&request).await
    };
    match cosigned.await {
        Ok(line) => text(StatusCode::OK, format!("{line}\n")),
        Err(error) => refuse(&error),
    }
}

fn refuse(error: &WitnessError) -> Response {
    if let WitnessError::Refused(Refusal::Conflict { latest }) = error {
        let size = [(header::CONTENT_TYPE, "text/x.tlog.size")];
        return (StatusCode::CONFLICT, size, format!("{latest}\n")).into_response();
    }
    let status = match error {
        WitnessError::Refused(refusal) => refusal.status(),
        WitnessError::Port(_) | WitnessError::Moved { .. } | WitnessError::Kept { .. } => {
            tracing::error!(%error, source = ?std::error::Error::source(error), "a checkpoint could not be kept, so it was not cosigned");
            500
        }
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    text(status, format!("{}: {error}\n", error.code()))
}

async fn latest(State(Shared(served)): State<Shared>, Path(origin): Path<String>) -> Response {
    let latest = match served.origins.get(&origin) {
        Some(origin) => served.witness.latest(origin).await,
        None => None,
    };
    match latest {
        Some(note) => (
            [
                (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
                (header::CACHE_CONTROL, "no-cache"),
            ],
            note,
        )
            .into_response(),
        None => text(
            StatusCode::NOT_FOUND,
            "this witness has cosigned no such log\n".to_owned(),
        ),
    }
}

fn text(status: StatusCode, body: String) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    (status, kind, body).into_response()
}
