//! How long names stay readable, legal holds, and the erasure of people.

use axum::extract::State;
use jiff::Timestamp;
use lumos_domain::{
    actor::Right,
    command::Command,
    erasure::{Kept, kept},
    event::Event,
    id::{Digest, HoldId, PersonId},
    proposal::Governed,
    retention::{SetHold, SetRetention},
    stream::Stream,
    words::RecordClass,
};
use lumos_engine::views::mentions;
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
        .routes(routes!(show, request, withdraw))
        .routes(routes!(periods))
        .routes(routes!(set_period))
        .routes(routes!(holds, hold))
        .routes(routes!(lift))
}

/// What an erasure of somebody would wait for, or waits for.
#[derive(Serialize, ToSchema)]
struct ErasureView {
    person: String,
    /// `none`, `waiting` or `erased`.
    state: &'static str,
    /// When a waiting erasure is looked at.
    #[schema(value_type = Option<String>)]
    due: Option<Timestamp>,
    /// What keeps the name readable now, the longest first.
    #[schema(value_type = Vec<Object>)]
    kept: Vec<Kept>,
    /// How many sealed fields the erasure makes unreadable.
    values: usize,
    /// Entries of others whose free text names this person, where it was asked to look for them: an erasure leaves
    /// them as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    named_in: Option<Vec<u64>>,
}

/// What to look for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Look {
    /// Whether to look through every readable text for the name and the login.
    #[serde(default)]
    texts: bool,
}

/// What keeps somebody's name readable, and until when.
#[utoipa::path(get, path = "/api/v1/people/{person}/erasure", tag = "erasure",
    params(("person" = String, Path), ("texts" = Option<bool>, Query)),
    responses((status = 200, body = ErasureView), (status = "4XX", body = Problem)))]
async fn show(
    State(app): State<App>,
    who: SignedIn,
    Path(person): Path<String>,
    Query(look): Query<Look>,
) -> Result<Json<ErasureView>, Problem> {
    who.must(&app, Right::ManagePeople, None).await?;
    let person: PersonId = name(&person)?;
    let now = app.door.ports().clock.now();
    let (state, kept, values) = app
        .door
        .ask(|world| {
            let values = world.records(&person)?.values().len();
            Ok((
                world.person(&person)?.clone(),
                kept(world, &person, now)?,
                values,
            ))
        })
        .await?;
    if state.name.is_none() {
        return Err(Problem::not_found("such person"));
    }
    let named_in = match look.texts && !state.erased {
        true => Some(mentions::texts(&app.door, &person).await?),
        false => None,
    };
    Ok(Json(ErasureView {
        person: person.to_string(),
        state: match (state.erased, state.erasure) {
            (true, _) => "erased",
            (false, Some(_)) => "waiting",
            (false, None) => "none",
        },
        due: state.erasure,
        kept: if state.erased { Vec::new() } else { kept },
        values,
        named_in,
    }))
}

/// Ask that somebody be erased. It needs two people, and waits for every period and hold.
#[utoipa::path(post, path = "/api/v1/people/{person}/erasure", tag = "erasure", request_body = Reason,
    params(("person" = String, Path)),
    responses((status = 200, body = super::Done), (status = "4XX", body = Problem)))]
async fn request(Path(person): Path<String>, Act(by, body): Act<Reason>) -> Answer {
    let (reason, sealed) = seal_one(&by.app, text("reason", &body.reason)?);
    let person = name(&person)?;
    by.submit(Governed::ErasePerson { person, reason }, sealed)
        .await
}

/// Take a waiting erasure back.
#[utoipa::path(delete, path = "/api/v1/people/{person}/erasure", tag = "erasure", request_body = Reason,
    params(("person" = String, Path)),
    responses((status = 200, body = super::Done), (status = "4XX", body = Problem)))]
async fn withdraw(Path(person): Path<String>, Act(by, body): Act<Reason>) -> Answer {
    let (reason, sealed) = seal_one(&by.app, text("reason", &body.reason)?);
    let person = name(&person)?;
    by.submit(Command::WithdrawErasure { person, reason }, sealed)
        .await
}

/// How long records of a class stay readable.
#[derive(Serialize, ToSchema)]
struct PeriodView {
    class: String,
    /// Days after a record was last in effect.
    days: u32,
}

/// How long records stay readable, class by class.
#[utoipa::path(get, path = "/api/v1/retention", tag = "erasure",
    responses((status = 200, body = [PeriodView]), (status = "4XX", body = Problem)))]
async fn periods(State(app): State<App>, who: SignedIn) -> Result<Json<Vec<PeriodView>>, Problem> {
    who.must(&app, Right::Read, None).await?;
    let org = app.door.ask(|world| Ok(world.org()?.clone())).await?;
    let view = |class: &RecordClass| PeriodView {
        class: class.to_string(),
        days: org.retention_days(*class),
    };
    Ok(Json(RecordClass::ALL.iter().map(view).collect()))
}

/// A period to set.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewPeriod {
    /// Days after a record was last in effect, at most 36,525.
    days: u32,
    reason: String,
}

/// Set how long records of a class stay readable. A shorter time needs two people.
#[utoipa::path(put, path = "/api/v1/retention/{class}", tag = "erasure", request_body = NewPeriod,
    params(("class" = String, Path)),
    responses((status = 200, body = super::Done), (status = "4XX", body = Problem)))]
async fn set_period(Path(class): Path<String>, Act(by, body): Act<NewPeriod>) -> Answer {
    let (reason, sealed) = seal_one(&by.app, text("reason", &body.reason)?);
    let set = SetRetention {
        class: class.parse()?,
        days: body.days,
        reason,
    };
    by.submit(Governed::SetRetention(set), sealed).await
}

/// A legal hold.
#[derive(Serialize, ToSchema)]
struct HoldView {
    hold: String,
    /// `person/ID`, `model/M` or `release/M/V`.
    scope: String,
    reason: String,
    #[schema(value_type = String)]
    since: Timestamp,
}

/// The legal holds that are set.
#[utoipa::path(get, path = "/api/v1/holds", tag = "erasure",
    responses((status = 200, body = [HoldView]), (status = "4XX", body = Problem)))]
async fn holds(State(app): State<App>, who: SignedIn) -> Result<Json<Vec<HoldView>>, Problem> {
    who.must(&app, Right::Read, None).await?;
    let org = app.door.ask(|world| Ok(world.org()?.clone())).await?;
    let mut all = Vec::new();
    for entry in app.door.history(&Stream::Org).await? {
        if let Event::HoldSet(set) = entry.event
            && org.holds.contains_key(&set.hold)
        {
            all.push(HoldView {
                hold: set.hold.to_string(),
                scope: set.scope.to_string(),
                reason: app.unseal(&set.reason).await?,
                since: entry.time,
            });
        }
    }
    Ok(Json(all))
}

/// A legal hold to set.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewHold {
    /// `person/ID`, `model/M` or `release/M/V`.
    scope: String,
    reason: String,
}

/// Set a legal hold: nothing that it covers is erased. One person is enough.
#[utoipa::path(post, path = "/api/v1/holds", tag = "erasure", request_body = NewHold,
    responses((status = 200, body = super::Done), (status = "4XX", body = Problem)))]
async fn hold(Act(by, body): Act<NewHold>) -> Answer {
    let (reason, sealed) = seal_one(&by.app, text("reason", &body.reason)?);
    // Derived, so that a repeated request speaks of the same hold.
    let hold = Digest::of(by.once.0.as_str().as_bytes()).hex();
    let set = SetHold {
        hold: name(&hold[..40])?,
        scope: body.scope.try_into()?,
        reason,
    };
    by.submit(Command::SetHold(set), sealed).await
}

/// Lift a legal hold. It needs two people.
#[utoipa::path(delete, path = "/api/v1/holds/{hold}", tag = "erasure", request_body = Reason,
    params(("hold" = String, Path)),
    responses((status = 200, body = super::Done), (status = "4XX", body = Problem)))]
async fn lift(Path(hold): Path<String>, Act(by, body): Act<Reason>) -> Answer {
    let (reason, sealed) = seal_one(&by.app, text("reason", &body.reason)?);
    let hold: HoldId = name(&hold)?;
    by.submit(Governed::LiftHold { hold, reason }, sealed).await
}
