//! Releases: submit, look, claim, withdraw, ask for the next gate.

use std::collections::BTreeSet;

use axum::{extract::State, http::StatusCode};
use jiff::Timestamp;
use lumos_domain::{
    actor::Right,
    command::Command,
    event::CandidateDetected,
    facts::{Claim, ReportFacts, Source},
    id::{AgentRef, ReleaseId},
    release::{DetectCandidate, UPLOAD},
    stream::Stream,
};
use lumos_engine::{LedgerEntry, views};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Answer, act::Act, name, people::Reason, reviews::ReviewView, seal_one, sealer, uploads,
};
use crate::{
    app::{App, Json, Path, Query, text},
    auth::SignedIn,
    problem::Problem,
};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, submit))
        .routes(routes!(show))
        .routes(routes!(claim))
        .routes(routes!(withdraw))
        .routes(routes!(promote))
}

/// Where to go on reading a list.
#[derive(Deserialize, utoipa::IntoParams)]
pub(super) struct Page {
    /// The key of the last item of the page before.
    before: Option<u64>,
    /// How many, 100 at most.
    limit: Option<u32>,
}

/// A release in a list.
#[derive(Serialize, ToSchema)]
struct ReleaseItem {
    model: String,
    version: String,
    digest: Option<String>,
    state: String,
    test: bool,
    #[schema(value_type = String)]
    detected: Timestamp,
    /// The key to page by.
    entry: u64,
}

/// Releases, newest first.
#[utoipa::path(get, path = "/api/v1/releases", tag = "releases", params(Page),
    responses((status = 200, body = [ReleaseItem]), (status = "4XX", body = Problem)))]
async fn list(
    State(app): State<App>,
    who: SignedIn,
    Query(page): Query<Page>,
) -> Result<Json<Vec<ReleaseItem>>, Problem> {
    who.must(&app, Right::Read, None).await?;
    let (before, limit) = (
        page.before.unwrap_or(u64::MAX),
        page.limit.unwrap_or(50).min(100),
    );
    let rows = views::releases::recent(&*app.door.ports().store, before, limit).await?;
    let item = |row: views::releases::ReleaseRow| ReleaseItem {
        model: row.release.model.to_string(),
        version: row.release.version.to_string(),
        digest: row.digest.map(|digest| digest.to_string()),
        state: row.state,
        test: row.test,
        detected: row.detected,
        entry: row.entry,
    };
    Ok(Json(rows.into_iter().map(item).collect()))
}

/// A release to submit: files sent before, or a version that a registry has.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Submission {
    model: String,
    version: String,
    environment: String,
    /// Agents, each `system/agent`.
    #[serde(default)]
    agents: Vec<String>,
    /// An upload of yours.
    #[serde(default)]
    upload: Option<String>,
    /// A version in a registry.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    source: Option<Source>,
    /// The kind of change; it can only raise what is computed.
    #[serde(default)]
    change: Option<String>,
    /// Further authors, each to be claimed by a signed-in person.
    #[serde(default)]
    authors: Vec<String>,
    /// Only test the flow; such a release can never be approved.
    #[serde(default)]
    test: bool,
}

/// Submit a release. The caller is its submitter and one of its authors.
#[utoipa::path(post, path = "/api/v1/releases", tag = "releases", request_body = Submission,
    responses((status = 200, body = super::Done), (status = "4XX", body = Problem)))]
async fn submit(Act(by, body): Act<Submission>) -> Answer {
    let source = match (body.upload, body.source) {
        (Some(upload), None) => {
            uploads::folder(&by.app, &by.who, &upload)?;
            Source {
                registry: name(UPLOAD)?,
                name: upload,
                version: body.version.clone(),
            }
        }
        (None, Some(source)) if source.registry.as_str() != UPLOAD => source,
        _ => {
            return Err(Problem::bad(
                "bad-request",
                "name either an `upload` or a `source` in a registry",
            ));
        }
    };
    let mut sealer = sealer(&by.app);
    let mut authors = body.authors;
    authors.extend(stated_authors(&by.app, &source).await?);
    if authors.is_empty() && by.who.caller.person().is_none() {
        // A service is nobody's author: somebody wrote this, and must say so.
        authors.push("unknown author".to_owned());
    }
    authors.truncate(32);
    let claims = (1..).zip(&authors).map(|(number, author)| Claim {
        number,
        identity: sealer.seal(author),
    });
    let claims = claims.collect();
    let change = body.change.as_deref().map(str::parse).transpose()?;
    let facts = CandidateDetected {
        source,
        environment: name(&body.environment)?,
        agents: agents(&body.agents)?,
        submitter: None,
        claims,
        declared: change,
        test: body.test,
    };
    let release = ReleaseId {
        model: name(&body.model)?,
        version: name(&body.version)?,
    };
    let uploaded = (facts.source.registry.as_str() == UPLOAD).then(|| facts.source.name.clone());
    if let Some(upload) = &uploaded {
        uploads::seen(&by.app, upload).await?;
    }
    let name = release.to_string();
    let command = Command::DetectCandidate(DetectCandidate { release, facts });
    let done = by.submit(command, sealer.into_values()).await?;
    // Only what was accepted is kept until it is fetched. It is accepted whether or not that can be noted.
    if let Some(upload) = &uploaded
        && let Err(problem) = by.app.uploads.submitted(upload, &name).await
    {
        tracing::error!(upload, %problem, "what an upload was submitted as could not be noted");
    }
    Ok(done)
}

/// The authors that a registry states for a version; "unknown author" where it states none. A submitter
/// cannot leave them out (DECISIONS 15).
async fn stated_authors(app: &App, source: &Source) -> Result<Vec<String>, Problem> {
    if source.registry.as_str() == UPLOAD {
        return Ok(Vec::new());
    }
    let registry = app
        .registries
        .get(&source.registry)
        .ok_or_else(|| Problem::not_found("such registry"))?;
    let found = registry.version(&source.name, &source.version).await;
    let found =
        found.map_err(|e| Problem::new(StatusCode::BAD_GATEWAY, e.code(), e.to_string()))?;
    let unknown = || vec!["unknown author".to_owned()];
    Ok(if found.authors.is_empty() {
        unknown()
    } else {
        found.authors
    })
}

fn agents(names: &[String]) -> Result<BTreeSet<AgentRef>, Problem> {
    names.iter().map(|agent| name(agent)).collect()
}

/// A release, whole.
#[derive(Serialize, ToSchema)]
struct ReleaseView {
    model: String,
    version: String,
    digest: Option<String>,
    /// How far it is, in a few words.
    state: String,
    test: bool,
    withdrawn: bool,
    #[schema(value_type = Object)]
    source: Source,
    submitter: Option<String>,
    authors: Vec<String>,
    /// Author claims nobody has taken yet.
    open_claims: Vec<u32>,
    #[schema(value_type = Vec<Object>)]
    reports: Vec<ReportFacts>,
    reviews: Vec<ReviewView>,
    promotions: Vec<PromotionView>,
    history: Vec<HistoryItem>,
}

/// A promotion in a registry.
#[derive(Serialize, ToSchema)]
struct PromotionView {
    registry: String,
    alias: String,
    version: String,
    settled: bool,
}

/// An entry about this release.
#[derive(Serialize, ToSchema)]
pub(super) struct HistoryItem {
    index: u64,
    #[schema(value_type = String)]
    time: Timestamp,
    actor: String,
    #[serde(rename = "type")]
    kind: String,
}

impl From<&LedgerEntry> for HistoryItem {
    fn from(entry: &LedgerEntry) -> Self {
        Self {
            index: entry.index,
            time: entry.time,
            actor: entry.actor.to_string(),
            kind: entry.event.kind().to_owned(),
        }
    }
}

/// One release, with its reports, reviews and history.
#[utoipa::path(get, path = "/api/v1/releases/{model}/{version}", tag = "releases",
    params(("model" = String, Path), ("version" = String, Path)),
    responses((status = 200, body = ReleaseView), (status = "4XX", body = Problem)))]
async fn show(
    State(app): State<App>,
    who: SignedIn,
    Path((model, version)): Path<(String, String)>,
) -> Result<Json<ReleaseView>, Problem> {
    let id = ReleaseId {
        model: name(&model)?,
        version: name(&version)?,
    };
    who.must(&app, Right::Read, Some(&id.model)).await?;
    let store = &*app.door.ports().store;
    // First the state, then what explains it: who waits for a state must find its review with it.
    let state = views::releases::state_of(store, &id).await?;
    let release = app
        .door
        .ask(|world| Ok(world.release(&id)?.clone()))
        .await?;
    let source = release
        .source
        .ok_or_else(|| Problem::not_found("such release"))?;
    let rows = views::reviews::of_release(store, id.model.as_str(), id.version.as_str()).await?;
    let mut history = app.door.history(&Stream::Release(id.clone())).await?;
    let mut reviews = Vec::new();
    for row in rows {
        history.extend(
            app.door
                .history(&Stream::Review(row.review.clone()))
                .await?,
        );
        reviews.push(super::reviews::view(&app, &row.review).await?);
    }
    history.sort_by_key(|entry| entry.index);
    Ok(Json(ReleaseView {
        model,
        version,
        digest: release.digest.map(|digest| digest.to_string()),
        state,
        test: release.test,
        withdrawn: release.withdrawn,
        source,
        submitter: release.submitter.map(|person| person.to_string()),
        authors: release.authors.iter().map(ToString::to_string).collect(),
        open_claims: release.open_claims.into_iter().collect(),
        reports: release.reports.into_values().collect(),
        reviews,
        promotions: release
            .promotions
            .into_values()
            .map(|p| PromotionView {
                registry: p.order.registry.to_string(),
                alias: p.order.alias,
                version: p.order.version,
                settled: p.settled,
            })
            .collect(),
        history: history.iter().map(HistoryItem::from).collect(),
    }))
}

/// Which claim is taken.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TakeClaim {
    claim: u32,
}

/// Say that an author claim is oneself. One then cannot approve the release.
#[utoipa::path(post, path = "/api/v1/releases/{model}/{version}/claims", tag = "releases",
    params(("model" = String, Path), ("version" = String, Path)), request_body = TakeClaim,
    responses((status = 200, body = super::Done), (status = "4XX", body = Problem)))]
async fn claim(
    Path((model, version)): Path<(String, String)>,
    Act(by, body): Act<TakeClaim>,
) -> Answer {
    let release = ReleaseId {
        model: name(&model)?,
        version: name(&version)?,
    };
    let command = Command::ClaimAuthorship {
        release,
        claim: body.claim,
    };
    by.submit(command, Vec::new()).await
}

/// Withdraw a release that is not approved.
#[utoipa::path(post, path = "/api/v1/releases/{model}/{version}/withdrawal", tag = "releases",
    params(("model" = String, Path), ("version" = String, Path)), request_body = Reason,
    responses((status = 200, body = super::Done), (status = "4XX", body = Problem)))]
async fn withdraw(
    Path((model, version)): Path<(String, String)>,
    Act(by, body): Act<Reason>,
) -> Answer {
    let (reason, sealed) = seal_one(&by.app, text("reason", &body.reason)?);
    let release = ReleaseId {
        model: name(&model)?,
        version: name(&version)?,
    };
    by.submit(Command::WithdrawRelease { release, reason }, sealed)
        .await
}

/// A further environment.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NextGate {
    environment: String,
    #[serde(default)]
    agents: Vec<String>,
}

/// Ask to enter a further environment: a review of its own follows.
#[utoipa::path(post, path = "/api/v1/releases/{model}/{version}/gates", tag = "releases",
    params(("model" = String, Path), ("version" = String, Path)), request_body = NextGate,
    responses((status = 200, body = super::Done), (status = "4XX", body = Problem)))]
async fn promote(
    Path((model, version)): Path<(String, String)>,
    Act(by, body): Act<NextGate>,
) -> Answer {
    let release = ReleaseId {
        model: name(&model)?,
        version: name(&version)?,
    };
    let (environment, agents) = (name(&body.environment)?, agents(&body.agents)?);
    let command = Command::RequestGate {
        release,
        environment,
        agents,
    };
    by.submit(command, Vec::new()).await
}
