//! Live updates: the ledger as a stream of server-sent events, resumable at any entry.

use std::convert::Infallible;

use axum::{
    extract::State,
    http::HeaderMap,
    response::sse::{Event, KeepAlive, Sse},
};
use futures::{Stream, stream};
use lumos_domain::actor::Right;
use lumos_engine::LedgerEntry;
use serde_json::json;
use tokio::sync::watch;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{app::App, auth::SignedIn, problem::Problem};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(follow))
}

/// New entries as they are committed. `Last-Event-ID` resumes after that entry.
#[utoipa::path(get, path = "/api/v1/events", tag = "ledger",
    responses((status = 200, content_type = "text/event-stream", body = String), (status = "4XX", body = Problem)))]
async fn follow(
    State(app): State<App>,
    who: SignedIn,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    who.must(&app, Right::Read, None).await?;
    let last = headers
        .get("last-event-id")
        .and_then(|id| id.to_str().ok())
        .and_then(|id| id.parse::<u64>().ok());
    let next = match last {
        Some(index) => index.saturating_add(1),
        None => app.door.ports().store.frontier().await?.size(),
    };
    let committed = app.door.ports().store.committed();
    let start = (app, committed, next, Vec::<LedgerEntry>::new());
    let events = stream::unfold(
        start,
        |(app, mut committed, mut next, mut waiting)| async move {
            let entry = loop {
                if let Some(entry) = waiting.pop() {
                    break entry;
                }
                if *app.stop.borrow() {
                    return None;
                }
                // What is committed from here on wakes the wait below: nothing falls between.
                committed.mark_unchanged();
                waiting = read(&app, next).await?;
                waiting.reverse();
                if waiting.is_empty() {
                    wait(&app, &mut committed).await?;
                }
            };
            next = entry.index.saturating_add(1);
            let data = json!({
                "index": entry.index, "time": entry.time, "stream": entry.stream,
                "type": entry.event.kind(), "actor": entry.actor,
            });
            let event = Event::default()
                .id(entry.index.to_string())
                .event("entry")
                .data(data.to_string());
            Some((Ok(event), (app, committed, next, waiting)))
        },
    );
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

async fn read(app: &App, from: u64) -> Option<Vec<LedgerEntry>> {
    let stored = app.door.ports().store.entries(from, 256).await.ok()?;
    stored
        .iter()
        .map(|entry| LedgerEntry::read(entry).ok())
        .collect()
}

/// Waits for a commit, or for the end of the server.
async fn wait(app: &App, committed: &mut watch::Receiver<u64>) -> Option<()> {
    let mut stop = app.stop.clone();
    tokio::select! {
        changed = committed.changed() => changed.ok(),
        () = lumos_engine::runtime::stopped(&mut stop) => None,
    }
}
