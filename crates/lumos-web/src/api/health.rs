//! Is it alive, is it ready, and numbers for Prometheus.

use std::time::Duration;

use axum::{extract::State, http::StatusCode, response::IntoResponse};
use lumos_engine::{DoorError, runtime};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{app::App, problem::Problem};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(alive))
        .routes(routes!(ready))
        .routes(routes!(metrics))
}

/// The process answers.
#[utoipa::path(get, path = "/healthz", tag = "health", responses((status = 200)))]
async fn alive() -> &'static str {
    "ok\n"
}

/// How long the database may take to say how long the ledger is.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);
/// How long the signature of what is committed already may take.
const SIGNED_WITHIN: Duration = Duration::from_secs(3);

/// The ledger can be read, its head is signed, and it may be written.
#[utoipa::path(get, path = "/readyz", tag = "health",
    responses((status = 200), (status = 503, body = Problem)))]
async fn ready(State(app): State<App>) -> Result<&'static str, Problem> {
    let head = app.door.ports().store.frontier();
    let Ok(head) = tokio::time::timeout(ANSWERS_WITHIN, head).await else {
        return Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "database-failed",
            "the database does not answer",
        ));
    };
    let size = head?.size();
    if app.door.ports().store.is_of_other_version() {
        return Err(DoorError::OtherVersion.into());
    }
    signed(&app, size).await?;
    if app.door.is_for_keys_only() {
        return Err(DoorError::KeyLost.into());
    }
    match app.door.unknown_kind() {
        None => Ok("ready\n"),
        Some(kind) => Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unknown-event",
            format!(
                "the ledger holds events of type `{kind}`, which this version does not know: read-only"
            ),
        )),
    }
}

/// Waits until a checkpoint over `size` entries is published; nobody waits long for it where all is well.
async fn signed(app: &App, size: u64) -> Result<(), Problem> {
    let mut published = app.published.clone();
    let covered = published.wait_for(|published| published.size >= size);
    if let Ok(Ok(_)) = tokio::time::timeout(SIGNED_WITHIN, covered).await {
        return Ok(());
    }
    let signed = app.published.borrow().size;
    let why = app.trouble.borrow().clone();
    let why = why.unwrap_or_else(|| "see the server's log".to_owned());
    Err(Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "head-unsigned",
        format!(
            "the ledger has {size} entries, but the signed checkpoint covers only {signed}: {why}"
        ),
    ))
}

/// Numbers in the Prometheus text format.
#[utoipa::path(get, path = "/metrics", tag = "health", responses((status = 200, body = String)))]
async fn metrics(State(app): State<App>) -> Result<impl IntoResponse, Problem> {
    let store = &*app.door.ports().store;
    let size = store.frontier().await?.size();
    let signed = app.published.borrow().size;
    let mut text = format!(
        "# TYPE lumos_ledger_entries gauge\nlumos_ledger_entries {size}\n\
         # TYPE lumos_ledger_signed_entries gauge\nlumos_ledger_signed_entries {signed}\n\
         # TYPE lumos_agent_lag_entries gauge\n"
    );
    if let Some(cosigned) = &app.cosigned {
        let cosigned = cosigned.borrow().size;
        text.push_str(&format!(
            "# TYPE lumos_ledger_cosigned_entries gauge\nlumos_ledger_cosigned_entries {cosigned}\n"
        ));
    }
    let now = app.door.ports().clock.now();
    for progress in runtime::progress(store).await? {
        let name = &progress.agent;
        let mut gauge = |what: &str, value: u64| {
            text.push_str(&format!("lumos_agent_{what}{{agent=\"{name}\"}} {value}\n"));
        };
        gauge("lag_entries", size.saturating_sub(progress.next));
        gauge("lag_seconds", super::runtime::lag_s(&progress, now));
        gauge("jobs", progress.waiting);
        gauge("dead_letters", progress.dead_count);
        gauge("held", u64::from(progress.held.is_some()));
    }
    let streams = app.streams.count();
    text.push_str(&format!(
        "# TYPE lumos_event_streams gauge\nlumos_event_streams {streams}\n"
    ));
    Ok(([("content-type", "text/plain; version=0.0.4")], text))
}
