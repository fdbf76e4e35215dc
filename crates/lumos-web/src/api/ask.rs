//! The auditor's live questions.

use axum::extract::State;
use jiff::{SignedDuration, Timestamp};
use lumos_domain::actor::Right;
use lumos_engine::ask::{self, Cell, Period, Question, Table};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::{App, Json, Path, Query},
    auth::SignedIn,
    problem::Problem,
};

/// How far back an answer goes when no period is given: a quarter.
const DAYS: i64 = 92;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(answer))
}

/// A period of time.
#[derive(Debug, Clone, Copy, Deserialize, utoipa::IntoParams)]
struct Within {
    /// The first instant; 92 days before the end if none is given.
    #[param(value_type = Option<String>)]
    from: Option<Timestamp>,
    /// The first instant after it; now if none is given.
    #[param(value_type = Option<String>)]
    to: Option<Timestamp>,
}

/// The period as seen at `now`.
pub(crate) fn period(from: Option<Timestamp>, to: Option<Timestamp>, now: Timestamp) -> Period {
    let to = to.unwrap_or(now);
    let before = || to.checked_sub(SignedDuration::from_hours(DAYS * 24)).ok();
    let from = from.or_else(before).unwrap_or(Timestamp::MIN);
    Period { from, to }
}

/// An answer: a table whose cells are text, numbers, truths or lists.
#[derive(Serialize, ToSchema)]
struct AnswerView {
    question: String,
    /// What it shows, and what LUMOS cannot see.
    explained: String,
    #[schema(value_type = String)]
    from: Timestamp,
    #[schema(value_type = String)]
    to: Timestamp,
    columns: Vec<String>,
    #[schema(value_type = Vec<Vec<Object>>)]
    rows: Vec<Vec<Value>>,
    /// Rows with a check that does not hold; they come first.
    wrong: usize,
}

/// The answer to `who`, `changes`, `refused`, `bypass`, `reads`, `erased`, `log-reviews`, `overdue` or `reviewers`. People
/// are named by their ids.
#[utoipa::path(get, path = "/api/v1/ask/{question}", tag = "ledger", params(("question" = String, Path), Within),
    responses((status = 200, body = AnswerView), (status = "4XX", body = Problem)))]
async fn answer(
    State(app): State<App>,
    who: SignedIn,
    Path(question): Path<String>,
    Query(within): Query<Within>,
) -> Result<Json<AnswerView>, Problem> {
    who.must(&app, Right::Read, None).await?;
    let question: Question = question.parse().map_err(|_: ask::UnknownQuestion| {
        Problem::not_found(&format!("such question; ask {}", ask::QUESTIONS))
    })?;
    let period = period(within.from, within.to, app.door.ports().clock.now());
    let table = ask::ask(&*app.door.ports().store, question, &period).await?;
    Ok(Json(view(question, period, &table)))
}

fn view(question: Question, period: Period, table: &Table) -> AnswerView {
    let row = |row: &Vec<Cell>| row.iter().map(value).collect();
    AnswerView {
        question: question.as_str().to_owned(),
        explained: question.explained().to_owned(),
        from: period.from,
        to: period.to,
        columns: table.columns.iter().map(|&name| name.to_owned()).collect(),
        rows: table.rows.iter().map(row).collect(),
        wrong: table.wrong(),
    }
}

fn value(cell: &Cell) -> Value {
    match cell {
        Cell::Nothing => Value::Null,
        Cell::Text(text) => json!(text),
        Cell::Time(time) => json!(time),
        Cell::Entry(entry) => json!(entry),
        Cell::Actor(actor) => json!(actor.to_string()),
        Cell::People(people) => json!(people),
        Cell::Holds(holds) => json!(holds),
    }
}
