//! The auditor's live questions, a table each.

use askama::Template;
use axum::response::{Redirect, Response};
use jiff::{ToSpan as _, civil::Date, tz::TimeZone};
use lumos_domain::{id::PersonId, words::Reading};
use lumos_engine::ask::{self, Cell, Period, Question, Table};
use serde::Deserialize;

use super::{
    frame::{Frame, Path, Query, Visit},
    oops::{Oops, paint},
    show::{Names, When, person_of},
};
use crate::{api::ask::period, problem::Problem, readings};

#[derive(Template)]
#[template(path = "ask.html")]
pub(super) struct AskPage {
    pub(super) frame: Frame,
    pub(super) question: &'static str,
    pub(super) questions: Vec<&'static str>,
    pub(super) explained: &'static str,
    /// The days of the period, as a form wants them.
    pub(super) from: String,
    pub(super) to: String,
    pub(super) wrong: usize,
    pub(super) columns: &'static [&'static str],
    pub(super) rows: Vec<Vec<Shown>>,
}

/// One cell.
pub(super) enum Shown {
    Text(String),
    Time(When),
    Entry(u64),
    Holds(bool),
}

/// The days of a period as the form sends them, both included; empty ones stand for the usual period.
#[derive(Deserialize)]
pub(super) struct Days {
    #[serde(default)]
    from: String,
    #[serde(default)]
    to: String,
}

impl Days {
    fn period(&self, visit: &Visit) -> Result<Period, Problem> {
        let day = |text: &str| -> Result<Option<Date>, Problem> {
            let wrong = |_| Problem::bad("not-a-day", format!("`{text}` is no day"));
            Some(text)
                .filter(|text| !text.is_empty())
                .map(|text| text.parse().map_err(wrong))
                .transpose()
        };
        let begins = |day: Date| {
            let zoned = day.to_zoned(TimeZone::UTC);
            zoned.map(|zoned| zoned.timestamp()).ok()
        };
        let (from, to) = (day(&self.from)?, day(&self.to)?);
        let after = to.and_then(|day| day.checked_add(1.day()).ok());
        let (from, to) = (from.and_then(begins), after.and_then(begins));
        Ok(period(from, to, visit.now))
    }
}

pub(super) async fn begin() -> Redirect {
    Redirect::to("/ask/changes")
}

pub(super) async fn show(
    visit: Visit,
    Path(question): Path<String>,
    Query(days): Query<Days>,
) -> Result<Response, Oops> {
    visit.must_read(None).await?;
    let question: Question = question
        .parse()
        .map_err(|_| Problem::not_found("such question"))?;
    let period = days.period(&visit)?;
    let store = &*visit.app.door.ports().store;
    let table = ask::ask(store, question, &period)
        .await
        .map_err(Problem::from)?;
    readings::note(&visit.app, &visit.who, Reading::Answer, question.as_str()).await;
    let names = Names::of(&visit.app, people(&table)).await?;
    let row = |row: &Vec<Cell>| row.iter().map(|cell| shown(cell, &names, &visit)).collect();
    Ok(paint(&AskPage {
        frame: visit.frame("Ask", "/ask").await?,
        question: question.as_str(),
        questions: Question::ALL.map(Question::as_str).to_vec(),
        explained: question.explained(),
        from: days.from,
        to: days.to,
        wrong: table.wrong(),
        columns: table.columns,
        rows: table.rows.iter().map(row).collect(),
    }))
}

fn people(table: &Table) -> Vec<PersonId> {
    let cells = table.rows.iter().flatten();
    let people = cells.flat_map(|cell| match cell {
        Cell::Actor(actor) => person_of(actor).into_iter().collect(),
        Cell::People(people) => people.clone(),
        _ => Vec::new(),
    });
    people.collect()
}

fn shown(cell: &Cell, names: &Names, visit: &Visit) -> Shown {
    match cell {
        Cell::Nothing => Shown::Text(String::new()),
        Cell::Text(text) => Shown::Text(text.clone()),
        Cell::Time(time) => Shown::Time(When::of(*time, visit.now)),
        Cell::Entry(entry) => Shown::Entry(*entry),
        Cell::Actor(actor) => Shown::Text(names.actor(actor)),
        Cell::People(people) => {
            let names: Vec<_> = people.iter().map(|person| names.person(person)).collect();
            Shown::Text(names.join(", "))
        }
        Cell::Holds(holds) => Shown::Holds(*holds),
    }
}

#[cfg(test)]
impl AskPage {
    pub(super) fn sample(hostile: &str) -> Self {
        let now = jiff::Timestamp::UNIX_EPOCH;
        let text = |text: &str| Shown::Text(text.to_owned());
        Self {
            frame: Frame::sample(),
            question: "changes",
            questions: vec!["who", "changes"],
            explained: "What came to run.",
            from: "2026-03-01".into(),
            to: hostile.into(),
            wrong: 1,
            columns: &["when", "entry", "what", "approved before", "same digest"],
            rows: vec![vec![
                Shown::Time(When::of(now, now)),
                Shown::Entry(41),
                text(hostile),
                Shown::Holds(false),
                Shown::Holds(true),
            ]],
        }
    }

    pub(super) fn empty() -> Self {
        Self {
            wrong: 0,
            rows: Vec::new(),
            ..Self::sample("")
        }
    }
}
