//! Throws away what is kept no longer: operational rows and idle uploads. Nothing governed is ever swept.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use lumos_engine::{
    ports::{PortError, Statement},
    runtime, views,
};
use tokio::sync::watch;

use crate::{api, app::App, auth, staging::Idle};

/// How often.
const PACE: Duration = Duration::from_secs(3_600);
/// Rows removed in one transaction, so that nobody waits long behind it.
const ROWS: i64 = 1_000;
/// Webhook deliveries are believed for minutes; a copy that comes after a day is stale, not a replay.
const DELIVERIES: SignedDuration = SignedDuration::from_hours(24);

/// What can be removed: the rows of a table that are older than a time.
struct Table {
    what: &'static str,
    sql: &'static str,
    before: Timestamp,
}

/// Sweeps now and every hour until the server stops.
pub async fn run(app: App, mut stopping: watch::Receiver<bool>) {
    let mut pace = tokio::time::interval(PACE);
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = pace.tick() => {}
            () = runtime::stopped(&mut stopping) => return,
        }
        if let Err(error) = once(&app).await {
            // What is left over is swept the next time.
            tracing::warn!(problem = %error, "sweeping failed");
        }
    }
}

/// Sweeps once.
///
/// # Errors
/// When the store or the staging folder fails.
pub async fn once(app: &App) -> Result<(), PortError> {
    let now = app.door.ports().clock.now();
    let tables = [
        Table {
            what: "sessions",
            sql: "DELETE FROM open_sessions WHERE session IN
                  (SELECT session FROM open_sessions WHERE ends_us <= $1 LIMIT $2)",
            before: now,
        },
        Table {
            what: "idle sessions",
            sql: "DELETE FROM open_sessions WHERE session IN
                  (SELECT session FROM open_sessions WHERE seen_us <= $1 LIMIT $2)",
            before: now - auth::IDLE,
        },
        Table {
            what: "webhook deliveries",
            sql: "DELETE FROM deliveries WHERE (registry, delivery) IN
                  (SELECT registry, delivery FROM deliveries WHERE seen_us <= $1 LIMIT $2)",
            before: now - DELIVERIES,
        },
        Table {
            what: "idempotency keys",
            sql: "DELETE FROM idempotency WHERE used IN
                  (SELECT used FROM idempotency WHERE seen_us <= $1 LIMIT $2)",
            before: now - api::act::KEPT,
        },
        Table {
            what: "decisions",
            sql: "DELETE FROM decisions WHERE decision IN
                  (SELECT decision FROM decisions WHERE last_us <= $1 LIMIT $2)",
            before: now - app.decisions_kept,
        },
    ];
    for table in &tables {
        rows(app, table).await?;
    }
    uploads(app, now).await
}

async fn rows(app: &App, table: &Table) -> Result<(), PortError> {
    let mut removed = 0;
    loop {
        let statement = Statement {
            sql: table.sql,
            params: vec![table.before.into(), ROWS.into()],
        };
        let done = app.door.ports().store.execute(vec![statement]).await?;
        match done.first() {
            Some(0) | None => break,
            Some(more) => removed += more,
        }
    }
    if removed > 0 {
        tracing::info!(what = table.what, removed, "swept");
    }
    Ok(())
}

/// Removes idle uploads, but for those whose release is still to be fetched from them.
async fn uploads(app: &App, now: Timestamp) -> Result<(), PortError> {
    let failed = |error: std::io::Error| PortError::new("sweeping uploads", error);
    for idle in app.uploads.idle(now).map_err(failed)? {
        if !awaited(app, &idle).await? {
            app.uploads.remove(&idle).map_err(failed)?;
        }
    }
    Ok(())
}

async fn awaited(app: &App, idle: &Idle) -> Result<bool, PortError> {
    let Some(release) = idle.submitted.as_deref().and_then(|name| name.parse().ok()) else {
        return Ok(false);
    };
    let state = views::releases::state_of(&*app.door.ports().store, &release).await?;
    Ok(matches!(state.as_str(), "detected" | "not fetched"))
}
