//! The operators over one value or one record: `present`, `min_length`, `one_of`, `matches`,
//! `evidence_fresh`, `digest_matches`. Not here: what needs to know the shape of a claim.

use lumos_domain::id::Digest;
use serde_json::Value;

use super::{Seen, View};
use crate::decode::type_name;
use crate::path::Path;
use crate::rule::Days;

/// The value at `path`, or what to say about its absence. A record too old for the rule is absent.
fn find<'c>(path: &Path, view: View<'c>, expected: &str) -> Result<&'c Value, Seen> {
    if let Some(kind) = path.kind() {
        let record = view.candidate.evidence(kind).get(path.record());
        let Some(record) = record else {
            return Err(Seen::missing(format!("no `{kind}` evidence"), expected));
        };
        if view
            .max_age
            .is_some_and(|days| !days.covers(record.recorded_at, view.as_of))
        {
            return Err(Seen::missing(
                format!("the `{kind}` evidence is too old"),
                expected,
            ));
        }
        return path.find(view.candidate).ok_or_else(|| {
            Seen::missing(format!("`{path}` is not stated"), expected).from([record])
        });
    }
    path.find(view.candidate)
        .ok_or_else(|| Seen::missing(format!("`{path}` is not stated"), expected))
}

fn with_record(seen: Seen, path: &Path, view: View<'_>) -> Seen {
    let records = path
        .kind()
        .map_or(&[][..], |kind| view.candidate.evidence(kind));
    seen.from(records.get(path.record()))
}

pub(super) fn present(path: &Path, view: View<'_>) -> Seen {
    let expected = format!("`{path}` is stated");
    let value = match find(path, view, &expected) {
        Ok(value) => value,
        Err(seen) => return seen,
    };
    let empty = match value {
        Value::String(text) => text.trim().is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    };
    let observed = if empty {
        "empty".to_owned()
    } else {
        brief(value)
    };
    with_record(Seen::judged(!empty, observed, expected), path, view)
}

pub(super) fn min_length(path: &Path, min: u64, view: View<'_>) -> Seen {
    let expected = format!("`{path}` has a length of at least {min}");
    let value = match find(path, view, &expected) {
        Ok(value) => value,
        Err(seen) => return seen,
    };
    let length = match value {
        Value::String(text) => text.trim().chars().count(),
        Value::Array(items) => items.len(),
        Value::Object(members) => members.len(),
        _ => {
            let seen = Seen::error(format!("{} has no length", type_name(value)), expected);
            return with_record(seen, path, view);
        }
    };
    let seen = Seen::judged(
        length as u64 >= min,
        format!("a length of {length}"),
        expected,
    );
    with_record(seen, path, view)
}

pub(super) fn one_of(path: &Path, values: &[Value], view: View<'_>) -> Seen {
    let allowed: Vec<String> = values.iter().map(brief).collect();
    let expected = format!("`{path}` is one of {}", allowed.join(", "));
    let value = match find(path, view, &expected) {
        Ok(value) => value,
        Err(seen) => return seen,
    };
    let seen = if matches!(value, Value::Array(_) | Value::Object(_)) {
        Seen::error(format!("{} is no single value", type_name(value)), expected)
    } else {
        Seen::judged(
            values.iter().any(|allowed| same(allowed, value)),
            brief(value),
            expected,
        )
    };
    with_record(seen, path, view)
}

/// Equal, with `1` and `1.0` the same number.
fn same(a: &Value, b: &Value) -> bool {
    a == b || matches!((a, b), (Value::Number(a), Value::Number(b)) if a.as_f64() == b.as_f64())
}

pub(super) fn matches(path: &Path, pattern: &regex::Regex, view: View<'_>) -> Seen {
    let expected = format!("`{path}` matches `{pattern}`");
    let seen = match find(path, view, &expected) {
        Ok(Value::String(text)) => Seen::judged(pattern.is_match(text), brief_text(text), expected),
        Ok(other) => Seen::error(format!("{} is not text", type_name(other)), expected),
        Err(seen) => return seen,
    };
    with_record(seen, path, view)
}

pub(super) fn fresh(kind: &str, max_age: Days, view: View<'_>) -> Seen {
    let expected = format!("`{kind}` evidence at most {max_age} old");
    let Some(newest) = view.candidate.evidence(kind).first() else {
        return Seen::missing(format!("no `{kind}` evidence"), expected);
    };
    let fresh = max_age.covers(newest.recorded_at, view.as_of);
    let age = Days(days_between(newest.recorded_at, view.as_of));
    Seen::judged(fresh, format!("the newest is {age} old"), expected).from([newest])
}

/// Whole days from `then` to `now`, never negative.
pub(crate) fn days_between(then: jiff::Timestamp, now: jiff::Timestamp) -> u32 {
    let seconds = now.as_second().saturating_sub(then.as_second()).max(0);
    u32::try_from(seconds / 86_400).unwrap_or(u32::MAX)
}

pub(super) fn digest_matches(kind: &str, field: &str, view: View<'_>) -> Seen {
    let release = view.candidate.release();
    let expected = format!("`{field}` of the newest `{kind}` is {release} or a file of it");
    let Some(newest) = view.records(kind).next() else {
        return Seen::missing(format!("no `{kind}` evidence"), expected);
    };
    let seen = match newest.claim.get(field) {
        None | Some(Value::Null) => Seen::missing(format!("`{field}` is not stated"), expected),
        Some(Value::String(text)) => match as_digest(text) {
            Some(digest) => {
                let known = digest == release || files(view).any(|file| file == digest);
                Seen::judged(known, digest.to_string(), expected)
            }
            None => Seen::error(format!("{} is no digest", brief_text(text)), expected),
        },
        Some(other) => Seen::error(format!("{} is no digest", type_name(other)), expected),
    };
    seen.from([newest])
}

/// A digest with or without its `sha256:` prefix, as foreign tools write it.
fn as_digest(text: &str) -> Option<Digest> {
    text.parse()
        .or_else(|_| format!("sha256:{text}").parse())
        .ok()
}

fn files(view: View<'_>) -> impl Iterator<Item = Digest> {
    let parts = view
        .candidate
        .value()
        .pointer("/manifest/parts")
        .and_then(Value::as_array);
    let digest = |part: &Value| {
        part.get("sha256")
            .and_then(Value::as_str)
            .and_then(as_digest)
    };
    parts.into_iter().flatten().filter_map(digest)
}

/// A value as a reader wants to see it.
pub(crate) fn brief(value: &Value) -> String {
    match value {
        Value::String(text) => brief_text(text),
        Value::Array(items) => format!("a list of {}", items.len()),
        Value::Object(members) => format!("a mapping of {}", members.len()),
        other => other.to_string(),
    }
}

pub(crate) fn brief_text(text: &str) -> String {
    match text.char_indices().nth(120) {
        Some((at, _)) => format!("`{}…`", &text[..at]),
        None => format!("`{text}`"),
    }
}
