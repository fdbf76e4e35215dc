//! The review of the log: what is asked for, what there is to examine, and the signatures on it.

use std::collections::BTreeMap;

use axum::extract::State;
use jiff::Timestamp;
use lumos_domain::{
    actor::Right,
    command::Command,
    id::Digest,
    log_review::{LogReview, Schedule, SetLogReview, SignLogReview, Span},
    proposal::Governed,
    words::{Grade, Matter},
};
use lumos_engine::log_review as engine;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Answer, act::Act, ledger::EntryItem, people::Reason, seal_one};
use crate::{
    app::{App, Json, Query, text},
    auth::SignedIn,
    log_review::{self, Shown, Signed},
    problem::Problem,
};

/// Signatures in one answer.
const SIGNATURES_MAX: u32 = 100;
/// Entries in one answer.
const ENTRIES_MAX: usize = 1_000;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(show, set, end))
        .routes(routes!(range))
        .routes(routes!(entries))
        .routes(routes!(signatures, sign))
}

/// What is asked for, and where it stands.
#[derive(Serialize, ToSchema)]
struct LogReviewView {
    /// `not asked for`, `not due`, `due` or `overdue`.
    state: &'static str,
    /// The role that signs.
    role: Option<String>,
    /// How many days after the last examined entry a review is due.
    every_days: Option<u32>,
    /// How many days after that it is overdue.
    within_days: Option<u32>,
    /// The least grade of a signature: `recorded` or `part11`.
    grade: Option<String>,
    /// How many entries were examined: the next range begins at this index.
    examined: u64,
    /// When the next review is due, while none is.
    #[schema(value_type = Option<String>)]
    due: Option<Timestamp>,
    /// Since when the review is due.
    #[schema(value_type = Option<String>)]
    since: Option<Timestamp>,
    /// When the review that is due is overdue.
    #[schema(value_type = Option<String>)]
    overdue: Option<Timestamp>,
    /// How many reviews in a row were not signed in time.
    missed: u32,
}

impl LogReviewView {
    fn of(standing: &LogReview, now: Timestamp) -> Self {
        let schedule = standing.schedule.as_ref();
        let open = standing.open.as_ref();
        Self {
            state: log_review::state(standing, now),
            role: schedule.map(|schedule| schedule.role.to_string()),
            every_days: schedule.map(|schedule| schedule.every_days),
            within_days: schedule.map(|schedule| schedule.within_days),
            grade: schedule.map(|schedule| schedule.grade.to_string()),
            examined: standing.examined,
            due: standing.next.filter(|_| open.is_none()),
            since: open.map(|open| open.since),
            overdue: open.map(|open| open.overdue),
            missed: open.map_or(0, |open| open.missed),
        }
    }
}

/// Whether the log is reviewed, by whom, and whether a review is due.
#[utoipa::path(get, path = "/api/v1/log-review", tag = "log review",
    responses((status = 200, body = LogReviewView), (status = "4XX", body = Problem)))]
async fn show(State(app): State<App>, who: SignedIn) -> Result<Json<LogReviewView>, Problem> {
    who.must(&app, Right::Read, None).await?;
    let standing = log_review::standing(&app).await?;
    let now = app.door.ports().clock.now();
    Ok(Json(LogReviewView::of(&standing, now)))
}

/// What to ask for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewSchedule {
    /// The role that signs; it must be allowed to read.
    role: String,
    /// How many days after the last examined entry a review is due, 366 at most.
    every_days: u32,
    /// How many days after that it is overdue.
    within_days: u32,
    /// The least grade of a signature: `recorded` or `part11`.
    #[serde(default)]
    grade: Option<String>,
    reason: String,
}

/// Set how often the log is reviewed, and by whom. Whatever asks for less, or for others, needs two people.
#[utoipa::path(put, path = "/api/v1/log-review", tag = "log review", request_body = NewSchedule,
    responses((status = 200, body = super::Done), (status = "4XX", body = Problem)))]
async fn set(Act(by, body): Act<NewSchedule>) -> Answer {
    let (reason, sealed) = seal_one(&by.app, text("reason", &body.reason)?);
    let grade = body.grade.as_deref().map(str::parse).transpose()?;
    let schedule = Schedule {
        role: body.role.parse()?,
        every_days: body.every_days,
        within_days: body.within_days,
        grade: grade.unwrap_or(Grade::Recorded),
    };
    let set = SetLogReview {
        schedule: Some(schedule),
        reason,
    };
    by.submit(Governed::SetLogReview(set), sealed).await
}

/// Ask for no reviews of the log any more. It needs two people.
#[utoipa::path(delete, path = "/api/v1/log-review", tag = "log review", request_body = Reason,
    responses((status = 200, body = super::Done), (status = "4XX", body = Problem)))]
async fn end(Act(by, body): Act<Reason>) -> Answer {
    let (reason, sealed) = seal_one(&by.app, text("reason", &body.reason)?);
    let schedule = None;
    by.submit(
        Governed::SetLogReview(SetLogReview { schedule, reason }),
        sealed,
    )
    .await
}

/// What there is to examine.
#[derive(Serialize, ToSchema)]
struct RangeView {
    /// The index of the first entry.
    from: u64,
    /// The size of the checkpoint that the range ends at.
    size: u64,
    /// The root hash of that checkpoint.
    root: String,
    /// SHA-256 of the record of what there is to examine; a signature names it.
    record: String,
    #[schema(value_type = String)]
    first: Timestamp,
    #[schema(value_type = String)]
    until: Timestamp,
    /// How many entries there are about each matter, and the first of them.
    matters: BTreeMap<&'static str, MatterView>,
    /// How many entries there are of each type.
    types: BTreeMap<&'static str, u64>,
    /// How many entries each led to; people by their ids.
    actors: BTreeMap<String, u64>,
    /// Why the caller cannot sign for it, if so.
    not_yours: Option<String>,
}

/// The entries about one matter.
#[derive(Serialize, ToSchema)]
struct MatterView {
    called: &'static str,
    entries: u64,
    /// The first of them.
    first: Vec<u64>,
}

impl RangeView {
    fn of(shown: &Shown) -> Self {
        let examined = &*shown.examined;
        let Span { from, size } = examined.span();
        let matter = |(matter, entries): (&Matter, &u64)| {
            let view = MatterView {
                called: lumos_domain::log_review::called(*matter),
                entries: *entries,
                first: examined.named(*matter).to_vec(),
            };
            (matter.as_str(), view)
        };
        let actors = examined.actors().iter();
        Self {
            from,
            size,
            root: examined.root().to_string(),
            record: examined.record().to_string(),
            first: examined.first(),
            until: examined.until(),
            matters: examined.matters().iter().map(matter).collect(),
            types: examined.kinds().clone(),
            actors: actors.map(|(who, n)| (who.to_string(), *n)).collect(),
            not_yours: shown.refused.as_ref().map(ToString::to_string),
        }
    }
}

/// Where a range ends.
#[derive(Deserialize, utoipa::IntoParams)]
struct Until {
    /// The size of a checkpoint, for whoever may sign; the last one's if none is given.
    size: Option<u64>,
}

/// What there is to examine, from where the last signed range ended. That it was shown is recorded.
#[utoipa::path(get, path = "/api/v1/log-review/range", tag = "log review", params(Until),
    responses((status = 200, body = RangeView), (status = "4XX", body = Problem)))]
async fn range(
    State(app): State<App>,
    who: SignedIn,
    Query(until): Query<Until>,
) -> Result<Json<RangeView>, Problem> {
    let shown = log_review::show(&app, &who, until.size).await?;
    Ok(Json(RangeView::of(&shown)))
}

/// Which entries.
#[derive(Deserialize, utoipa::IntoParams)]
struct About {
    /// One of the matters of the range.
    matter: String,
    /// The first index to look at; the beginning of the range if none is given.
    from: Option<u64>,
    /// The size of a checkpoint; the last one's if none is given.
    size: Option<u64>,
}

/// Entries about one matter.
#[derive(Serialize, ToSchema)]
struct EntriesView {
    /// The entries, in order; there may be none before `next`.
    entries: Vec<EntryItem>,
    /// Where to go on, as `from`; absent where the range ends.
    next: Option<u64>,
}

/// The entries about one matter, of those that are to be examined: as far as one request looks, and 1,000 at most.
#[utoipa::path(get, path = "/api/v1/log-review/entries", tag = "log review", params(About),
    responses((status = 200, body = EntriesView), (status = "4XX", body = Problem)))]
async fn entries(
    State(app): State<App>,
    who: SignedIn,
    Query(about): Query<About>,
) -> Result<Json<EntriesView>, Problem> {
    let matter: Matter = about.matter.parse()?;
    let bounds = (about.from, about.size);
    let (_, found) = log_review::about(&app, &who, matter, bounds, ENTRIES_MAX).await?;
    Ok(Json(EntriesView {
        entries: found.entries.into_iter().map(EntryItem::from).collect(),
        next: found.next,
    }))
}

/// A signature on a range of the log.
#[derive(Serialize, ToSchema)]
struct SignatureView {
    entry: u64,
    #[schema(value_type = String)]
    time: Timestamp,
    person: String,
    role: String,
    from: u64,
    size: u64,
    root: String,
    record: String,
    /// `nothing-found` or `found`.
    finding: String,
    reason: String,
    /// What the signature means.
    meaning: String,
    grade: String,
}

/// Which signatures.
#[derive(Deserialize, utoipa::IntoParams)]
struct SignaturesBefore {
    /// Those in entries before this one.
    before: Option<u64>,
    /// How many, 100 at most.
    limit: Option<u32>,
}

/// What was signed for, the newest first; go on before the last `entry`.
#[utoipa::path(get, path = "/api/v1/log-review/signatures", tag = "log review", params(SignaturesBefore),
    responses((status = 200, body = [SignatureView]), (status = "4XX", body = Problem)))]
async fn signatures(
    State(app): State<App>,
    who: SignedIn,
    Query(page): Query<SignaturesBefore>,
) -> Result<Json<Vec<SignatureView>>, Problem> {
    who.must(&app, Right::Read, None).await?;
    let mut all = Vec::new();
    let max = page.limit.unwrap_or(SIGNATURES_MAX).min(SIGNATURES_MAX);
    for Signed { entry, when, what } in log_review::signed(&app, page.before, max).await? {
        all.push(SignatureView {
            entry,
            time: when,
            person: what.person.to_string(),
            role: what.role.to_string(),
            from: what.from,
            size: what.size,
            root: what.root.to_string(),
            record: what.record.to_string(),
            finding: what.finding.to_string(),
            reason: app.unseal(&what.reason).await?,
            meaning: what.meaning,
            grade: what.grade.to_string(),
        });
    }
    Ok(Json(all))
}

/// A signature to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewLogSignature {
    /// The range that you were shown.
    from: u64,
    size: u64,
    /// The record that you were shown.
    record: String,
    /// `nothing-found` or `found`.
    finding: String,
    /// What you looked at, and what you found.
    reason: String,
    /// Your password, for a signature of grade `part11`.
    #[serde(default)]
    password: Option<String>,
}

/// Sign that you examined a range of the log. Bound to what you were shown.
#[utoipa::path(post, path = "/api/v1/log-review/signatures", tag = "log review", request_body = NewLogSignature,
    responses((status = 200, body = super::Done), (status = "4XX", body = Problem)))]
async fn sign(Act(by, body): Act<NewLogSignature>) -> Answer {
    let by = by.with_password(body.password.as_deref()).await?;
    let (reason, sealed) = seal_one(&by.app, text("reason", &body.reason)?);
    let record: Digest = body.record.parse()?;
    let (store, shown) = (&*by.app.door.ports().store, by.app.checkpoint());
    let sign = SignLogReview {
        from: body.from,
        size: body.size,
        root: engine::vouched(store, &by.app.proofs, &shown, body.size).await?,
        record,
        finding: body.finding.parse()?,
        reason,
    };
    by.submit(Command::SignLogReview(sign), sealed).await
}
