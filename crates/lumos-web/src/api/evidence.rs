//! What is known about a release: its evidence, one by one, and the blobs that hold it; and more of it, from people
//! and from outside agents.

use std::collections::BTreeSet;

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use lumos_domain::{
    actor::Right,
    command::Command,
    event::{Event, EvidenceRecorded},
    id::{Digest, ReleaseId},
    release::{DEVELOPER, is_kind},
    stream::Stream,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Answer, act::Act, name};
use crate::{
    app::{App, Json, Path},
    auth::SignedIn,
    problem::Problem,
};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, record))
        .routes(routes!(blob_of))
        .routes(routes!(blob))
}

fn release(model: &str, version: &str) -> Result<ReleaseId, Problem> {
    Ok(ReleaseId {
        model: name(model)?,
        version: name(version)?,
    })
}

/// A claim about a release.
#[derive(Serialize, ToSchema)]
struct EvidenceView {
    kind: String,
    /// Who made it: one of LUMOS's own agents, a registry, an outside agent, or `developer`.
    producer: String,
    /// The blob that holds it.
    digest: String,
    #[schema(value_type = String)]
    recorded: Timestamp,
    entry: u64,
}

/// The evidence about a release that is identified, oldest first.
#[utoipa::path(get, path = "/api/v1/releases/{model}/{version}/evidence", tag = "releases",
    params(("model" = String, Path), ("version" = String, Path)),
    responses((status = 200, body = [EvidenceView]), (status = "4XX", body = Problem)))]
async fn list(
    State(app): State<App>,
    who: SignedIn,
    Path((model, version)): Path<(String, String)>,
) -> Result<Json<Vec<EvidenceView>>, Problem> {
    let id = release(&model, &version)?;
    who.must(&app, Right::Read, Some(&id.model)).await?;
    let digest = subject(&app, &id).await?;
    let history = app.door.history(&Stream::Subject(digest)).await?;
    let view = |entry: lumos_engine::LedgerEntry| match entry.event {
        Event::EvidenceRecorded(recorded) => Some(EvidenceView {
            kind: recorded.kind,
            producer: recorded.producer,
            digest: recorded.digest.to_string(),
            recorded: entry.time,
            entry: entry.index,
        }),
        _ => None,
    };
    Ok(Json(history.into_iter().filter_map(view).collect()))
}

/// The digest of a release.
async fn subject(app: &App, id: &ReleaseId) -> Result<Digest, Problem> {
    let digest = app.door.ask(|world| Ok(world.release(id)?.digest)).await?;
    digest.ok_or_else(|| Problem::not_found("such release whose files were hashed"))
}

/// A claim to record as evidence.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewEvidence {
    kind: String,
    #[schema(value_type = Object)]
    claim: serde_json::Value,
}

/// Record evidence about a release that is identified. Who made it is whoever asks: an outside agent, or `developer`.
#[utoipa::path(post, path = "/api/v1/releases/{model}/{version}/evidence", tag = "releases",
    params(("model" = String, Path), ("version" = String, Path)), request_body = NewEvidence,
    responses((status = 200, body = super::Done), (status = "4XX", body = Problem)))]
async fn record(
    Path((model, version)): Path<(String, String)>,
    Act(by, body): Act<NewEvidence>,
) -> Answer {
    let release = release(&model, &version)?;
    let model = Some(&release.model);
    // Nothing is stored for those who may not say it.
    if by
        .who
        .must(&by.app, Right::AddEvidence, model)
        .await
        .is_err()
    {
        by.who.must(&by.app, Right::Submit, model).await?;
    }
    if !is_kind(&body.kind) || !body.claim.is_object() {
        let detail =
            "an evidence kind is up to 64 of a-z, 0-9 and _, and its claim is a JSON object";
        return Err(Problem::bad("bad-name", detail));
    }
    let bytes = serde_json::to_vec(&body.claim).unwrap_or_default();
    let digest = by.app.door.ports().blobs.put(bytes).await?;
    let evidence = EvidenceRecorded {
        kind: body.kind,
        producer: DEVELOPER.to_owned(),
        digest,
        sandbox: false,
    };
    let command = Command::RecordEvidence { release, evidence };
    by.submit(command, Vec::new()).await
}

/// The manifest, a claim or a report of one release, for those who may read about its model.
#[utoipa::path(get, path = "/api/v1/releases/{model}/{version}/blobs/{digest}", tag = "releases",
    params(("model" = String, Path), ("version" = String, Path), ("digest" = String, Path)),
    responses((status = 200, body = Object), (status = "4XX", body = Problem)))]
async fn blob_of(
    State(app): State<App>,
    who: SignedIn,
    Path((model, version, digest)): Path<(String, String, String)>,
) -> Result<Response, Problem> {
    let id = release(&model, &version)?;
    who.must(&app, Right::Read, Some(&id.model)).await?;
    let digest: Digest = digest.parse()?;
    if !belongs(&app, &id).await?.contains(&digest) {
        return Err(Problem::not_found("such blob of this release"));
    }
    sent(&app, digest).await
}

/// The blobs that entries about a release name.
async fn belongs(app: &App, id: &ReleaseId) -> Result<BTreeSet<Digest>, Problem> {
    let subject = subject(app, id).await?;
    let mut all = BTreeSet::from([subject]);
    for entry in app.door.history(&Stream::Subject(subject)).await? {
        if let Event::EvidenceRecorded(recorded) = entry.event {
            all.insert(recorded.digest);
        }
    }
    for entry in app.door.history(&Stream::Release(id.clone())).await? {
        if let Event::ReportRecorded(recorded) = entry.event {
            all.insert(recorded.report.report);
        }
    }
    Ok(all)
}

/// A manifest, report or claim by its digest.
#[utoipa::path(get, path = "/api/v1/blobs/{digest}", tag = "releases", params(("digest" = String, Path)),
    responses((status = 200, body = Object), (status = "4XX", body = Problem)))]
async fn blob(
    State(app): State<App>,
    who: SignedIn,
    Path(digest): Path<String>,
) -> Result<Response, Problem> {
    who.must(&app, Right::Read, None).await?;
    let digest: Digest = digest.parse()?;
    sent(&app, digest).await
}

async fn sent(app: &App, digest: Digest) -> Result<Response, Problem> {
    let bytes = app.door.ports().blobs.get(&digest).await?;
    let bytes = bytes.ok_or_else(|| Problem::not_found("such blob"))?;
    let kind = if serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_ok() {
        "application/json"
    } else {
        "application/octet-stream"
    };
    Ok((
        [
            (header::CONTENT_TYPE, kind),
            (header::CONTENT_DISPOSITION, "attachment"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ],
        bytes,
    )
        .into_response())
}
