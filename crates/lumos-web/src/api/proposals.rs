//! Changes that wait for a second person: what they would do, confirm them, say no to them.

use axum::extract::State;
use jiff::Timestamp;
use lumos_domain::{actor::Right, command::Command, id::ProposalId};
use lumos_engine::views;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Answer,
    act::{Act, ActBytes},
    name,
    people::Reason,
    seal_one,
};
use crate::{
    app::{App, Json, Path, text},
    auth::SignedIn,
    problem::Problem,
    proposals::{self, Difference, Told},
};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(confirm))
        .routes(routes!(decline))
}

/// A change that waits.
#[derive(Serialize, ToSchema)]
struct ProposalView {
    proposal: String,
    /// What it would do, in words.
    says: String,
    /// Who proposed it.
    proposed_by: String,
    #[schema(value_type = String)]
    until: Timestamp,
    /// Why the caller cannot confirm it; absent when they can.
    refused: Option<String>,
    /// Every value that would become another one.
    differences: Vec<Difference>,
}

impl From<Told> for ProposalView {
    fn from(told: Told) -> Self {
        Self {
            proposal: told.proposal.to_string(),
            says: told.says,
            proposed_by: told.by,
            until: told.until,
            refused: told.refused.map(|refusal| refusal.to_string()),
            differences: told.differences,
        }
    }
}

/// Everything that waits for a second person, the oldest first.
#[utoipa::path(get, path = "/api/v1/proposals", tag = "proposals",
    responses((status = 200, body = [ProposalView]), (status = "4XX", body = Problem)))]
async fn list(State(app): State<App>, who: SignedIn) -> Result<Json<Vec<ProposalView>>, Problem> {
    who.must(&app, Right::Read, None).await?;
    let now = app.door.ports().clock.now();
    let mut all = Vec::new();
    for row in views::proposals::waiting(&*app.door.ports().store, now).await? {
        let told = proposals::tell(&app, &who.caller, &row.proposal).await?;
        all.extend(told.map(ProposalView::from));
    }
    Ok(Json(all))
}

/// One change that waits.
#[utoipa::path(get, path = "/api/v1/proposals/{proposal}", tag = "proposals", params(("proposal" = String, Path)),
    responses((status = 200, body = ProposalView), (status = "4XX", body = Problem)))]
async fn show(
    State(app): State<App>,
    who: SignedIn,
    Path(proposal): Path<String>,
) -> Result<Json<ProposalView>, Problem> {
    who.must(&app, Right::Read, None).await?;
    let proposal: ProposalId = name(&proposal)?;
    let told = proposals::tell(&app, &who.caller, &proposal).await?;
    let told = told.ok_or_else(|| Problem::not_found("waiting proposal of this id"))?;
    Ok(Json(told.into()))
}

/// Confirm what somebody else proposed: it happens now.
#[utoipa::path(post, path = "/api/v1/proposals/{proposal}/confirmation", tag = "proposals",
    params(("proposal" = String, Path)),
    responses((status = 200, body = super::Done), (status = "4XX", body = Problem)))]
async fn confirm(Path(proposal): Path<String>, ActBytes(by, _): ActBytes) -> Answer {
    let (caller, once) = (by.who.caller, by.once);
    let (done, half) = proposals::confirm(&by.app, caller, once, name(&proposal)?).await?;
    let Json(done) = done.into();
    Ok(Json(super::Done { half, ..done }))
}

/// Say no to a proposal, or take your own back.
#[utoipa::path(post, path = "/api/v1/proposals/{proposal}/refusal", tag = "proposals", request_body = Reason,
    params(("proposal" = String, Path)),
    responses((status = 200, body = super::Done), (status = "4XX", body = Problem)))]
async fn decline(Path(proposal): Path<String>, Act(by, body): Act<Reason>) -> Answer {
    let (reason, sealed) = seal_one(&by.app, text("reason", &body.reason)?);
    let proposal = name(&proposal)?;
    by.submit(Command::DeclineProposal { proposal, reason }, sealed)
        .await
}
