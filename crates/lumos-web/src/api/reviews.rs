//! Reviews: what is decided upon, who has signed, signing, remarks, revocation.

use axum::extract::State;
use jiff::Timestamp;
use lumos_domain::{
    actor::Right,
    command::Command,
    facts::{ApprovalTuple, Cause, ReviewRecord},
    id::{Digest, ReviewId},
    review::{Sign, free_seats},
    rules::Slot,
};
use lumos_engine::views;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Answer, act::Act, name, people::Reason, seal_one};
use crate::{
    app::{App, Json, Path, Query, text},
    auth::SignedIn,
    problem::Problem,
};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(sign))
        .routes(routes!(remark))
        .routes(routes!(revoke))
}

/// An open review in the inbox.
#[derive(Serialize, ToSchema)]
struct ReviewItem {
    review: String,
    depth: String,
    blocking: u64,
    #[schema(value_type = String)]
    opened: Timestamp,
    #[schema(value_type = Option<String>)]
    due: Option<Timestamp>,
    /// The roles it still waits for.
    waits_for: Vec<String>,
    /// The key to page by.
    entry: u64,
}

#[derive(Deserialize, utoipa::IntoParams)]
struct Page {
    /// The key of the last item of the page before.
    after: Option<i64>,
    /// How many, 100 at most.
    limit: Option<u32>,
}

/// Open reviews, oldest first.
#[utoipa::path(get, path = "/api/v1/reviews", tag = "reviews", params(Page),
    responses((status = 200, body = [ReviewItem]), (status = "4XX", body = Problem)))]
async fn list(
    State(app): State<App>,
    who: SignedIn,
    Query(page): Query<Page>,
) -> Result<Json<Vec<ReviewItem>>, Problem> {
    who.must(&app, Right::Read, None).await?;
    let limit = page.limit.unwrap_or(50).min(100);
    let mut items = Vec::new();
    for row in
        views::reviews::open(&*app.door.ports().store, page.after.unwrap_or(-1), limit).await?
    {
        let seats = app.door.ask(|world| free_seats(world, &row.review)).await?;
        items.push(ReviewItem {
            review: row.review.to_string(),
            depth: row.depth,
            blocking: row.blocking,
            opened: row.opened,
            due: row.due,
            waits_for: seats
                .iter()
                .map(|slot| format!("{} × {}", slot.count, slot.role))
                .collect(),
            entry: row.entry,
        });
    }
    Ok(Json(items))
}

/// A review, whole.
#[derive(Serialize, ToSchema)]
pub(super) struct ReviewView {
    review: String,
    /// `open`, `approved`, `revoked`, or why it closed.
    state: String,
    #[schema(value_type = Option<Object>)]
    record: Option<ReviewRecord>,
    /// What a signature is bound to.
    record_hash: Option<String>,
    #[schema(value_type = Vec<Object>)]
    free_seats: Vec<Slot>,
    signatures: Vec<SignatureView>,
    #[schema(value_type = Option<Object>)]
    approval: Option<ApprovalTuple>,
}

/// A signature.
#[derive(Serialize, ToSchema)]
struct SignatureView {
    person: String,
    name: String,
    slot: Option<String>,
    verdict: String,
    grade: String,
    /// Whether it is on the record as it stands now.
    current: bool,
}

pub(super) async fn view(app: &App, id: &ReviewId) -> Result<ReviewView, Problem> {
    let (review, seats) = app
        .door
        .ask(|world| Ok((world.review(id)?.clone(), free_seats(world, id)?)))
        .await?;
    if review.record.is_none() {
        return Err(Problem::not_found("such review"));
    }
    let mut signatures = Vec::new();
    for vote in &review.votes {
        let row = views::people::by_id(&*app.door.ports().store, &vote.person).await?;
        let name = match row {
            Some(row) => app.unseal(&row.name).await?,
            None => "(unknown)".to_owned(),
        };
        signatures.push(SignatureView {
            person: vote.person.to_string(),
            name,
            slot: vote.slot.as_ref().map(ToString::to_string),
            verdict: vote.verdict.to_string(),
            grade: vote.grade.to_string(),
            current: Some(vote.record) == review.record_hash,
        });
    }
    let state = match (&review.approval, &review.revoked, &review.closed) {
        (_, Some(cause), _) => format!("revoked: {}", cause.as_str()),
        (Some(_), None, _) => "approved".to_owned(),
        (None, None, Some(cause)) => cause.as_str().to_owned(),
        (None, None, None) => "open".to_owned(),
    };
    Ok(ReviewView {
        review: id.to_string(),
        state,
        record_hash: review.record_hash.map(|hash| hash.to_string()),
        free_seats: if review.is_open() { seats } else { Vec::new() },
        record: review.record,
        signatures,
        approval: review.approval,
    })
}

/// The four names of a review in a path.
type Names = Path<(String, String, String, u32)>;

fn review_id(
    (model, version, environment, round): &(String, String, String, u32),
) -> Result<ReviewId, Problem> {
    Ok(ReviewId {
        model: name(model)?,
        version: name(version)?,
        environment: name(environment)?,
        round: *round,
    })
}

/// One review.
#[utoipa::path(get, path = "/api/v1/reviews/{model}/{version}/{environment}/{round}", tag = "reviews",
    params(("model" = String, Path), ("version" = String, Path), ("environment" = String, Path), ("round" = u32, Path)),
    responses((status = 200, body = ReviewView), (status = "4XX", body = Problem)))]
async fn show(
    State(app): State<App>,
    who: SignedIn,
    Path(names): Names,
) -> Result<Json<ReviewView>, Problem> {
    let id = review_id(&names)?;
    who.must(&app, Right::Read, Some(&id.model)).await?;
    Ok(Json(view(&app, &id).await?))
}

/// A signature to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewSignature {
    /// `approve`, `reject` or `request_changes`.
    verdict: String,
    reason: String,
    /// The hash of the record you saw.
    record: String,
    /// The role to sign as, if you hold several.
    #[serde(default)]
    slot: Option<String>,
    /// Your password, for a signature of grade `part11`.
    #[serde(default)]
    password: Option<String>,
}

/// Sign. Bound to the record hash: if the record changed since you saw it, nothing happens.
#[utoipa::path(post, path = "/api/v1/reviews/{model}/{version}/{environment}/{round}/signatures", tag = "reviews",
    params(("model" = String, Path), ("version" = String, Path), ("environment" = String, Path), ("round" = u32, Path)),
    request_body = NewSignature,
    responses((status = 200, body = super::Done), (status = "4XX", body = Problem)))]
async fn sign(Path(names): Names, Act(by, body): Act<NewSignature>) -> Answer {
    let by = by.with_password(body.password.as_deref()).await?;
    let (reason, sealed) = seal_one(&by.app, text("reason", &body.reason)?);
    let record: Digest = body.record.parse()?;
    let command = Command::Sign(Sign {
        review: review_id(&names)?,
        verdict: body.verdict.parse()?,
        slot: body.slot.as_deref().map(name).transpose()?,
        reason,
        record,
    });
    by.submit(command, sealed).await
}

/// A remark.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewRemark {
    text: String,
}

/// Say something in the review's thread.
#[utoipa::path(post, path = "/api/v1/reviews/{model}/{version}/{environment}/{round}/remarks", tag = "reviews",
    params(("model" = String, Path), ("version" = String, Path), ("environment" = String, Path), ("round" = u32, Path)),
    request_body = NewRemark,
    responses((status = 200, body = super::Done), (status = "4XX", body = Problem)))]
async fn remark(Path(names): Names, Act(by, body): Act<NewRemark>) -> Answer {
    let (text, sealed) = seal_one(&by.app, text("remark", &body.text)?);
    let command = Command::Remark {
        review: review_id(&names)?,
        text,
    };
    by.submit(command, sealed).await
}

/// Revoke the approval a review ended in. The safe direction: one person is enough.
#[utoipa::path(post, path = "/api/v1/reviews/{model}/{version}/{environment}/{round}/revocation", tag = "reviews",
    params(("model" = String, Path), ("version" = String, Path), ("environment" = String, Path), ("round" = u32, Path)),
    request_body = Reason,
    responses((status = 200, body = super::Done), (status = "4XX", body = Problem)))]
async fn revoke(Path(names): Names, Act(by, body): Act<Reason>) -> Answer {
    let (reason, sealed) = seal_one(&by.app, text("reason", &body.reason)?);
    let command = Command::RevokeApproval {
        review: review_id(&names)?,
        cause: Cause::Person,
        reason: Some(reason),
    };
    by.submit(command, sealed).await
}
