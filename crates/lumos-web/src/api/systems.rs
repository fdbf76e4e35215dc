//! Systems, their agents and assignments, modes, gates, and leaving the sandbox.

use axum::extract::State;
use jiff::Timestamp;
use lumos_domain::{
    actor::Right,
    command::Command,
    event::SystemDefined,
    facts::{AgentOutage, Assigned},
    id::SystemName,
    org::SetMode,
    proposal::Governed,
    rules::{Gate, ReviewRules},
    system::DefineSystem,
    words::Mode,
};
use lumos_engine::views;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Answer, act::Act, models::person, name, people::Reason, seal_one};
use crate::{
    app::{App, Json, Path, text},
    auth::SignedIn,
    problem::Problem,
};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show, define))
        .routes(routes!(stop))
        .routes(routes!(resume))
        .routes(routes!(assign))
        .routes(routes!(set_mode))
        .routes(routes!(define_gate))
        .routes(routes!(set_rules))
        .routes(routes!(leave_sandbox))
}

/// A governed system.
#[derive(Serialize, ToSchema)]
struct SystemView {
    system: String,
    owner: String,
    agents: Vec<String>,
    stopped: bool,
    /// Who asked that it resume, while a second person is awaited.
    resume_asked_by: Option<String>,
    #[schema(value_type = Vec<Object>)]
    outage: Vec<AgentOutage>,
    assignments: Vec<AssignmentView>,
}

/// What an agent may use.
#[derive(Serialize, ToSchema)]
struct AssignmentView {
    assignment: String,
    #[schema(value_type = Vec<Object>)]
    releases: Vec<Assigned>,
}

async fn view(app: &App, system: &SystemName) -> Result<SystemView, Problem> {
    let state = app
        .door
        .ask(|world| Ok(world.system(system)?.clone()))
        .await?;
    let owner = state
        .owner
        .ok_or_else(|| Problem::not_found("such system"))?;
    let assignments = views::enforcement::assignments(&*app.door.ports().store).await?;
    let outage = |(environment, choice)| AgentOutage {
        environment,
        choice,
    };
    Ok(SystemView {
        system: system.to_string(),
        owner: owner.to_string(),
        agents: state.agents.iter().map(ToString::to_string).collect(),
        stopped: state.stopped,
        resume_asked_by: state.resume_asked.map(|person| person.to_string()),
        outage: state.outage.into_iter().map(outage).collect(),
        assignments: assignments
            .into_iter()
            .filter(|(id, _)| id.system == *system)
            .map(|(id, releases)| AssignmentView {
                assignment: id.to_string(),
                releases,
            })
            .collect(),
    })
}

/// Every system.
#[utoipa::path(get, path = "/api/v1/systems", tag = "systems",
    responses((status = 200, body = [SystemView]), (status = "4XX", body = Problem)))]
async fn list(State(app): State<App>, who: SignedIn) -> Result<Json<Vec<SystemView>>, Problem> {
    who.must(&app, Right::Read, None).await?;
    let mut all = Vec::new();
    for system in views::models::systems(&*app.door.ports().store).await? {
        all.push(view(&app, &system).await?);
    }
    Ok(Json(all))
}

/// One system.
#[utoipa::path(get, path = "/api/v1/systems/{system}", tag = "systems", params(("system" = String, Path)),
    responses((status = 200, body = SystemView), (status = "4XX", body = Problem)))]
async fn show(
    State(app): State<App>,
    who: SignedIn,
    Path(system): Path<String>,
) -> Result<Json<SystemView>, Problem> {
    who.must(&app, Right::Read, None).await?;
    Ok(Json(view(&app, &name(&system)?).await?))
}

/// A system to define. The owner is named by login.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewSystem {
    owner: String,
    agents: Vec<String>,
    /// What each environment does when LUMOS cannot be reached.
    #[serde(default)]
    #[schema(value_type = Vec<Object>)]
    outage: Vec<AgentOutage>,
}

/// Define a system, or change its agents.
#[utoipa::path(put, path = "/api/v1/systems/{system}", tag = "systems", request_body = NewSystem,
    params(("system" = String, Path)),
    responses((status = 200, body = super::Done), (status = "4XX", body = Problem)))]
async fn define(Path(system): Path<String>, Act(by, body): Act<NewSystem>) -> Answer {
    let owner = person(&by.app, &body.owner).await?;
    let agents = body
        .agents
        .iter()
        .map(|agent| name(agent))
        .collect::<Result<_, _>>()?;
    let facts = SystemDefined {
        owner,
        agents,
        outage: body.outage,
    };
    let command = Governed::DefineSystem(DefineSystem {
        system: name(&system)?,
        facts,
    });
    by.submit(command, Vec::new()).await
}

/// Stop a system: everything it asks is denied. One person is enough.
#[utoipa::path(post, path = "/api/v1/systems/{system}/stop", tag = "systems", request_body = Reason,
    params(("system" = String, Path)),
    responses((status = 200, body = super::Done), (status = "4XX", body = Problem)))]
async fn stop(Path(system): Path<String>, Act(by, body): Act<Reason>) -> Answer {
    let (reason, sealed) = seal_one(&by.app, text("reason", &body.reason)?);
    let command = Command::StopSystem {
        system: name(&system)?,
        reason,
    };
    by.submit(command, sealed).await
}

/// Resume a stopped system: the first person asks, a second confirms.
#[utoipa::path(post, path = "/api/v1/systems/{system}/resume", tag = "systems", request_body = Reason,
    params(("system" = String, Path)),
    responses((status = 200, body = super::Done), (status = "4XX", body = Problem)))]
async fn resume(Path(system): Path<String>, Act(by, body): Act<Reason>) -> Answer {
    let (reason, sealed) = seal_one(&by.app, text("reason", &body.reason)?);
    let command = Command::ResumeSystem {
        system: name(&system)?,
        reason,
    };
    by.submit(command, sealed).await
}

/// An approval to use.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewAssignment {
    /// `system/agent/environment`.
    assignment: String,
    /// The review that ended in the approval.
    approval: String,
}

/// Let an agent use an approved release.
#[utoipa::path(post, path = "/api/v1/assignments", tag = "systems", request_body = NewAssignment,
    responses((status = 200, body = super::Done), (status = "4XX", body = Problem)))]
async fn assign(Act(by, body): Act<NewAssignment>) -> Answer {
    let command = Command::Assign {
        assignment: name(&body.assignment)?,
        approval: name(&body.approval)?,
    };
    by.submit(command, Vec::new()).await
}

/// A mode for a system, or for `*`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewMode {
    /// A system, or `*`.
    scope: String,
    environment: String,
    /// `observe` or `enforce`.
    mode: String,
    /// For `observe`: after how many days it is `enforce`, at most 90.
    #[serde(default)]
    days: Option<u32>,
    reason: String,
}

/// Set whether denials are applied.
#[utoipa::path(post, path = "/api/v1/modes", tag = "systems", request_body = NewMode,
    responses((status = 200, body = super::Done), (status = "4XX", body = Problem)))]
async fn set_mode(Act(by, body): Act<NewMode>) -> Answer {
    let (reason, sealed) = seal_one(&by.app, text("reason", &body.reason)?);
    let until = |days: u32| -> Timestamp {
        by.app.door.ports().clock.now()
            + jiff::SignedDuration::from_hours(i64::from(days).min(10_000) * 24)
    };
    let mode: Mode = body.mode.parse()?;
    let command = Governed::SetMode(SetMode {
        scope: body.scope.try_into()?,
        environment: name(&body.environment)?,
        mode,
        until: body.days.map(until),
        reason,
    });
    by.submit(command, sealed).await
}

/// Define or change the gate into an environment.
#[utoipa::path(put, path = "/api/v1/gates", tag = "systems", request_body = Object,
    responses((status = 200, body = super::Done), (status = "4XX", body = Problem)))]
async fn define_gate(Act(by, gate): Act<Gate>) -> Answer {
    by.submit(Governed::DefineGate(gate), Vec::new()).await
}

/// Set the review matrix, slots and escalation.
#[utoipa::path(put, path = "/api/v1/review-rules", tag = "systems", request_body = Object,
    responses((status = 200, body = super::Done), (status = "4XX", body = Problem)))]
async fn set_rules(Act(by, rules): Act<ReviewRules>) -> Answer {
    by.submit(Governed::SetReviewRules(rules), Vec::new()).await
}

/// Who joins as the second founder, by login.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SecondFounder {
    founder: String,
}

/// Leave the sandbox. Every approval given in it ends.
#[utoipa::path(post, path = "/api/v1/sandbox/exit", tag = "systems", request_body = SecondFounder,
    responses((status = 200, body = super::Done), (status = "4XX", body = Problem)))]
async fn leave_sandbox(Act(by, body): Act<SecondFounder>) -> Answer {
    let founder = person(&by.app, &body.founder).await?;
    by.submit(Command::LeaveSandbox { founder }, Vec::new())
        .await
}
