//! Outside agents: who they are, and what they alone record.

use std::collections::BTreeSet;

use axum::extract::State;
use lumos_domain::{actor::Right, outside::DefineOutsideAgent, proposal::Governed};
use lumos_engine::views::people;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Answer, act::Act, models::person, name};
use crate::{
    app::{App, Json, Path},
    auth::SignedIn,
    problem::Problem,
};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(define))
}

/// An outside agent.
#[derive(Serialize, ToSchema)]
struct OutsideAgentView {
    agent: String,
    /// The login of the service that it acts as.
    account: String,
    /// Whether that service was taken out of use.
    suspended: bool,
    /// The kinds of evidence that it alone records.
    evidence: BTreeSet<String>,
}

/// The outside agents.
#[utoipa::path(get, path = "/api/v1/agents", tag = "agents",
    responses((status = 200, body = [OutsideAgentView]), (status = "4XX", body = Problem)))]
async fn list(
    State(app): State<App>,
    who: SignedIn,
) -> Result<Json<Vec<OutsideAgentView>>, Problem> {
    who.must(&app, Right::Read, None).await?;
    let agents = app
        .door
        .ask(|world| Ok(world.org()?.agents.clone()))
        .await?;
    let mut all = Vec::new();
    for (agent, defined) in agents {
        let account = people::by_id(&*app.door.ports().store, &defined.account).await?;
        let account = account.ok_or_else(|| Problem::not_found("such account"))?;
        all.push(OutsideAgentView {
            agent: agent.to_string(),
            account: app.unseal(&account.login).await?,
            suspended: account.suspended,
            evidence: defined.evidence,
        });
    }
    Ok(Json(all))
}

/// An outside agent to define. The service is named by login.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewOutsideAgent {
    account: String,
    /// The kinds of evidence that it alone records.
    #[serde(default)]
    evidence: BTreeSet<String>,
}

/// Define an outside agent, or change it: a second person confirms.
#[utoipa::path(put, path = "/api/v1/agents/{agent}", tag = "agents", request_body = NewOutsideAgent,
    params(("agent" = String, Path)),
    responses((status = 200, body = super::Done), (status = "4XX", body = Problem)))]
async fn define(Path(agent): Path<String>, Act(by, body): Act<NewOutsideAgent>) -> Answer {
    let command = Governed::DefineOutsideAgent(DefineOutsideAgent {
        agent: name(&agent)?,
        account: person(&by.app, &body.account).await?,
        evidence: body.evidence,
    });
    by.submit(command, Vec::new()).await
}
