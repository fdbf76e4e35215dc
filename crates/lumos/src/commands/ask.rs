//! `lumos ask`: the auditor's live questions.

use anyhow::{Context as _, Result};
use jiff::{Timestamp, ToSpan as _, civil::Date, tz::TimeZone};
use serde_json::Value;

use super::{Out, Said, scalar, text};
use crate::remote::Remote;

pub(super) async fn run(
    question: &str,
    (from, to): (Option<&str>, Option<&str>),
    remote: &Remote,
    out: &Out,
) -> Result<Said> {
    let from = from.map(|text| instant(text, false)).transpose()?;
    let to = to.map(|text| instant(text, true)).transpose()?;
    let bounds = [("from", from), ("to", to)];
    let bounds: Vec<(&str, String)> = bounds
        .into_iter()
        .filter_map(|(name, bound)| Some((name, bound?.to_string())))
        .collect();
    let query: Vec<(&str, &str)> = bounds.iter().map(|(n, b)| (*n, b.as_str())).collect();
    let path = format!("/api/v1/ask/{question}");
    let answer = remote.look_up(&path, &query).await?;
    if out.json {
        outln!("{answer:#}");
    } else {
        print(&answer);
    }
    match answer["wrong"].as_u64() {
        Some(0) => Ok(Said::Yes),
        _ => Ok(Said::No),
    }
}

/// A day in UTC, to its end when it is the last, or an instant.
pub(super) fn instant(text: &str, last: bool) -> Result<Timestamp> {
    let Ok(day) = text.parse::<Date>() else {
        return text
            .parse()
            .with_context(|| format!("`{text}` is no day such as 2026-03-01, and no instant"));
    };
    let day = if last { day.checked_add(1.day())? } else { day };
    Ok(day.to_zoned(TimeZone::UTC)?.timestamp())
}

/// A row a paragraph: its time and what it is about, then a line for each further column.
fn print(answer: &Value) {
    outln!("{}", text(answer, "explained"));
    outln!("from {} to {}", text(answer, "from"), text(answer, "to"));
    let columns = answer["columns"].as_array().map_or(&[][..], Vec::as_slice);
    for row in answer["rows"].as_array().into_iter().flatten() {
        outln!();
        for (column, cell) in columns.iter().zip(row.as_array().into_iter().flatten()) {
            let said = said(cell);
            if !said.is_empty() {
                outln!("{:>16}  {said}", scalar(column));
            }
        }
    }
    let rows = answer["rows"].as_array().map_or(0, Vec::len);
    outln!(
        "\n{rows} in all; {} with a check that does not hold",
        answer["wrong"]
    );
}

fn said(cell: &Value) -> String {
    match cell {
        Value::Null => String::new(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "NO".to_owned(),
        Value::Array(many) => {
            let many: Vec<_> = many.iter().map(scalar).collect();
            many.join(", ")
        }
        one => scalar(one),
    }
}
