//! The auditor's other questions as tables of a pack: who may do what, what was refused, what went past the ordinary
//! way. Each row names its entry and the receipt that proves it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Parts, parts};
use crate::{
    LedgerEntry,
    ask::{Cell, Period, Question},
};

/// A table of a pack: a file of its own, and a part of the page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workpaper {
    /// The word it is asked by.
    pub name: String,
    /// What it shows, and what LUMOS cannot see.
    pub explained: String,
    /// What each column holds; the last is the receipt of the row's entry.
    pub columns: Vec<String>,
    /// Rows, each as long as there are columns.
    pub rows: Vec<Vec<String>>,
}

/// The tables of a period; the changes have their own.
pub(super) fn of(parts: &Parts, from: Timestamp, to: Timestamp) -> Vec<Workpaper> {
    let within = Period { from, to };
    let asked = Question::ALL.into_iter();
    let asked = asked.filter(|question| question.is_in_packs());
    asked
        .map(|question| answered(parts, question, &within))
        .collect()
}

fn answered(parts: &Parts, question: Question, within: &Period) -> Workpaper {
    let kinds = question.kinds();
    let asked = parts.entries();
    let asked = asked.filter(|e| kinds.contains(&e.event.kind()) && e.time < within.to);
    let entries: Vec<LedgerEntry> = asked.cloned().collect();
    let table = question.answered(&entries, within);
    let columns = table.columns.iter().map(|name| (*name).to_owned());
    let row = |row: &Vec<Cell>| {
        let entry = row.iter().find_map(|cell| match cell {
            Cell::Entry(entry) => Some(*entry),
            _ => None,
        });
        let told = row.iter().map(|cell| text(parts, cell));
        told.chain([entry.map(parts::receipt).unwrap_or_default()])
            .collect()
    };
    Workpaper {
        name: question.as_str().to_owned(),
        explained: question.explained().to_owned(),
        columns: columns.chain(["receipt".to_owned()]).collect(),
        rows: table.rows.iter().map(row).collect(),
    }
}

fn text(parts: &Parts, cell: &Cell) -> String {
    match cell {
        Cell::Nothing => String::new(),
        Cell::Text(text) => text.clone(),
        Cell::Time(time) => time.to_string(),
        Cell::Entry(entry) => entry.to_string(),
        Cell::Actor(actor) => parts.who(actor).name,
        Cell::People(people) => {
            let names: Vec<_> = people.iter().map(|p| parts.person(p).name).collect();
            names.join(", ")
        }
        Cell::Holds(holds) => if *holds { "yes" } else { "no" }.to_owned(),
    }
}
