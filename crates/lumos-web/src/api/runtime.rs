//! Everybody who follows the ledger: how far they are, what they gave up, and what an operator does about it.

use axum::{extract::State, http::StatusCode};
use jiff::Timestamp;
use lumos_domain::{
    actor::{Actor, Right},
    refusal::Refusal,
};
use lumos_engine::{
    DoorError,
    runtime::{self, OperateError, Progress},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::{App, Json, Path},
    auth::SignedIn,
    problem::Problem,
};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(retry))
        .routes(routes!(replay))
        .routes(routes!(acknowledge))
}

/// How far somebody is who follows the ledger.
#[derive(Serialize, ToSchema)]
struct AgentProgress {
    /// One of LUMOS's own agents, or `webhook:` or `stream:` and the name of an outside agent.
    agent: String,
    next_entry: u64,
    /// Entries that were not looked at.
    lag_entries: u64,
    /// Seconds since the oldest entry was written that is not dealt with.
    lag_seconds: u64,
    waiting: u64,
    taken: Vec<LeasedEntry>,
    /// The most attempts at an entry that still waits.
    attempts: i64,
    /// What went wrong with it the last time.
    last_problem: Option<String>,
    /// Why nothing is done until an operator asks for it.
    held: Option<String>,
    /// Entries that were given up, at most 100.
    dead_letters: Vec<DeadLetter>,
    dead_letters_count: u64,
}

/// An entry that is being worked on.
#[derive(Serialize, ToSchema)]
struct LeasedEntry {
    entry: u64,
    attempt: i64,
    #[schema(value_type = Option<String>)]
    until: Option<Timestamp>,
}

/// An entry that was given up.
#[derive(Serialize, ToSchema)]
struct DeadLetter {
    entry: u64,
    problem: String,
}

/// Seconds since the oldest entry was written that is not dealt with.
pub(crate) fn lag_s(progress: &Progress, now: Timestamp) -> u64 {
    let since = progress.behind_since.map(|since| now.duration_since(since));
    since.map_or(0, |lag| u64::try_from(lag.as_secs()).unwrap_or(0))
}

fn view(p: Progress, size: u64, now: Timestamp) -> AgentProgress {
    AgentProgress {
        next_entry: p.next,
        lag_entries: size.saturating_sub(p.next),
        lag_seconds: lag_s(&p, now),
        waiting: p.waiting,
        taken: p
            .taken
            .into_iter()
            .map(|taken| LeasedEntry {
                entry: taken.entry,
                attempt: taken.attempt,
                until: taken.until,
            })
            .collect(),
        attempts: p.troubled.as_ref().map_or(0, |(attempts, _)| *attempts),
        last_problem: p.troubled.map(|(_, problem)| problem),
        held: p.held.map(|(_, problem)| problem),
        dead_letters: p
            .dead
            .into_iter()
            .map(|(entry, problem)| DeadLetter { entry, problem })
            .collect(),
        dead_letters_count: p.dead_count,
        agent: p.agent,
    }
}

/// How far everybody is who follows the ledger: LUMOS's own agents, webhooks, and those who read the stream.
#[utoipa::path(get, path = "/api/v1/runtime", tag = "runtime",
    responses((status = 200, body = [AgentProgress]), (status = "4XX", body = Problem)))]
async fn list(State(app): State<App>, who: SignedIn) -> Result<Json<Vec<AgentProgress>>, Problem> {
    who.must(&app, Right::Read, None).await?;
    let ports = app.door.ports();
    let all = runtime::progress(&*ports.store).await?;
    let (size, now) = (ports.store.frontier().await?.size(), ports.clock.now());
    Ok(Json(all.into_iter().map(|p| view(p, size, now)).collect()))
}

/// Which dead letters.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Retry {
    /// One entry; all where it is left out.
    #[serde(default)]
    entry: Option<u64>,
}

/// What was revived.
#[derive(Serialize, ToSchema)]
struct Retried {
    dead_letters: u64,
}

/// Try dead letters again, and everything that waits at once; switch deliveries on again.
#[utoipa::path(post, path = "/api/v1/runtime/{agent}/retry", tag = "runtime", request_body = Retry,
    params(("agent" = String, Path)),
    responses((status = 200, body = Retried), (status = "4XX", body = Problem)))]
async fn retry(
    State(app): State<App>,
    who: SignedIn,
    Path(agent): Path<String>,
    Json(body): Json<Retry>,
) -> Result<Json<Retried>, Problem> {
    let dead_letters = try_again(&app, &who, &agent, body.entry).await?;
    Ok(Json(Retried { dead_letters }))
}

/// Tries dead letters again, for somebody who operates.
pub(crate) async fn try_again(
    app: &App,
    who: &SignedIn,
    agent: &str,
    entry: Option<u64>,
) -> Result<u64, Problem> {
    who.must(app, Right::Operate, None).await?;
    tracing::info!(by = %who.caller.actor, agent, entry, "somebody asks that dead letters be tried again");
    let ports = app.door.ports();
    Ok(runtime::retry(&*ports.store, agent, entry, ports.clock.now()).await?)
}

/// Where somebody goes on.
#[derive(Serialize, ToSchema)]
struct Place {
    next_entry: u64,
}

/// From where.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Replay {
    /// The first entry to look at again.
    from: u64,
}

/// Follow the ledger again from an entry on. What was done is found done, and webhooks get the ids they got before.
#[utoipa::path(post, path = "/api/v1/runtime/{agent}/replay", tag = "runtime", request_body = Replay,
    params(("agent" = String, Path)),
    responses((status = 200, body = Place), (status = "4XX", body = Problem)))]
async fn replay(
    State(app): State<App>,
    who: SignedIn,
    Path(agent): Path<String>,
    Json(body): Json<Replay>,
) -> Result<Json<Place>, Problem> {
    who.must(&app, Right::Operate, None).await?;
    tracing::info!(by = %who.caller.actor, agent, from = body.from, "somebody asks for a replay");
    let ports = app.door.ports();
    runtime::replay(&*ports.store, &agent, body.from, ports.clock.now()).await?;
    Ok(Json(Place {
        next_entry: body.from,
    }))
}

/// What an agent dealt with.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Acknowledgement {
    /// Everything up to this entry.
    entry: u64,
}

/// Say, as an outside agent, how far one is, so that others see when one falls behind.
#[utoipa::path(put, path = "/api/v1/runtime/acknowledgement", tag = "runtime", request_body = Acknowledgement,
    responses((status = 200, body = Place), (status = "4XX", body = Problem)))]
async fn acknowledge(
    State(app): State<App>,
    who: SignedIn,
    Json(body): Json<Acknowledgement>,
) -> Result<Json<Place>, Problem> {
    let not_one = || {
        Problem::from(DoorError::from(Refusal::NotAllowed {
            right: Right::AddEvidence,
        }))
    };
    let Actor::Service(account) = &who.caller.actor else {
        return Err(not_one());
    };
    let agent = app
        .door
        .ask(|world| Ok(world.org()?.agent_of(account).map(|(name, _)| name.clone())))
        .await?;
    let agent = agent.ok_or_else(not_one)?;
    runtime::acknowledge(&*app.door.ports().store, &agent, body.entry).await?;
    Ok(Json(Place {
        next_entry: body.entry.saturating_add(1),
    }))
}

impl From<OperateError> for Problem {
    fn from(error: OperateError) -> Self {
        match error {
            OperateError::Unknown(_) => {
                Self::new(StatusCode::NOT_FOUND, error.code(), error.to_string())
            }
            OperateError::KeepsOwnCursor(_) | OperateError::Ahead { .. } => {
                Self::new(StatusCode::CONFLICT, error.code(), error.to_string())
            }
            OperateError::Store(failed) => failed.into(),
        }
    }
}
