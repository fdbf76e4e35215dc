//! The evidence about a release: each claim in a form that can be read at a glance, with its digest.
//! Claims are text from outside: what does not have the expected shape is shown as it is.

use jiff::Timestamp;
use lumos_domain::{event::Event, id::Digest, stream::Stream};
use serde_json::Value;

use crate::{
    app::App,
    pages::{
        oops::Oops,
        show::{When, cut},
    },
};

/// Claims shown, newest first.
const CLAIMS_MAX: usize = 40;
/// Rows of one claim, and characters of one that is shown as it is.
const ROWS_MAX: usize = 100;
const RAW_MAX: usize = 8_000;

/// One claim about a release digest.
#[derive(Debug, Clone)]
pub(in crate::pages) struct Evidence {
    pub(in crate::pages) kind: String,
    pub(in crate::pages) producer: String,
    pub(in crate::pages) when: When,
    pub(in crate::pages) entry: u64,
    pub(in crate::pages) digest: String,
    /// What must not be overlooked in it.
    pub(in crate::pages) alarm: String,
    pub(in crate::pages) summary: String,
    pub(in crate::pages) columns: Vec<&'static str>,
    pub(in crate::pages) rows: Vec<Vec<String>>,
    /// The claim as it is, where no table says it all.
    pub(in crate::pages) raw: String,
}

/// The evidence about `subject`, newest first.
pub(super) async fn about(
    app: &App,
    subject: Option<Digest>,
    now: Timestamp,
) -> Result<Vec<Evidence>, Oops> {
    let Some(subject) = subject else {
        return Ok(Vec::new());
    };
    let history = app.door.history(&Stream::Subject(subject)).await?;
    let mut all = Vec::new();
    for entry in history.iter().rev() {
        let Event::EvidenceRecorded(recorded) = &entry.event else {
            continue;
        };
        // Which format each file has is told in the manifest; as a table it would say little.
        if recorded.kind == "formats" || all.len() >= CLAIMS_MAX {
            continue;
        }
        let bytes = app.door.ports().blobs.get(&recorded.digest).await?;
        let claim = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let mut evidence = told(&recorded.kind, &claim.unwrap_or(Value::Null));
        evidence.producer = cut(&recorded.producer, 100);
        evidence.when = When::of(entry.time, now);
        evidence.entry = entry.index;
        evidence.digest = recorded.digest.to_string();
        all.push(evidence);
    }
    Ok(all)
}

/// A claim of `kind` in words.
fn told(kind: &str, claim: &Value) -> Evidence {
    let blank = Evidence {
        kind: cut(kind, 60).replace('_', " "),
        producer: String::new(),
        when: When::of(Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH),
        entry: 0,
        digest: String::new(),
        alarm: String::new(),
        summary: String::new(),
        columns: Vec::new(),
        rows: Vec::new(),
        raw: String::new(),
    };
    match kind {
        _ if claim.is_null() => Evidence {
            alarm: "The stored claim cannot be read.".to_owned(),
            ..blank
        },
        "artifact_scan" => scan(claim, blank),
        "licence" => licence(claim, blank),
        "model_card" => card(claim, blank),
        _ if claim["metrics"].is_array() => metrics(claim, blank),
        _ => Evidence {
            summary: text(&claim["summary"]),
            raw: cut(
                &serde_json::to_string_pretty(claim).unwrap_or_default(),
                RAW_MAX,
            ),
            ..blank
        },
    }
}

fn scan(claim: &Value, blank: Evidence) -> Evidence {
    let findings = list(&claim["findings"]);
    let unread = list(&claim["not_fully_scanned"]);
    let mut rows: Vec<_> = findings
        .iter()
        .map(|f| columns(f, &["severity", "code", "path", "detail"]))
        .collect();
    rows.extend(unread.iter().map(|file| {
        let told = columns(file, &["path", "reason"]);
        let mut row = vec!["not fully scanned".to_owned(), String::new()];
        row.extend(told);
        row
    }));
    rows.truncate(ROWS_MAX);
    let alarm = match (findings.len(), unread.len()) {
        (0, 0) => String::new(),
        (found, 0) => format!("{found} found"),
        (0, unread) => format!("{unread} not fully scanned, which is no pass"),
        (found, unread) => format!("{found} found, {unread} not fully scanned"),
    };
    let confined: Vec<_> = list(&claim["confinement"]).iter().map(text).collect();
    Evidence {
        alarm,
        summary: format!(
            "{} files, {} bytes read by {} {}; confined by {}",
            text(&claim["files"]),
            text(&claim["bytes"]),
            text(&claim["tool"]),
            text(&claim["tool_version"]),
            if confined.is_empty() {
                "nothing".to_owned()
            } else {
                confined.join(", ")
            },
        ),
        columns: vec!["severity", "finding", "path", "detail"],
        rows,
        ..blank
    }
}

fn licence(claim: &Value, blank: Evidence) -> Evidence {
    let contradiction = claim["contradiction"] == Value::Bool(true);
    let expressions: Vec<_> = list(&claim["expressions"]).iter().map(text).collect();
    let sources = list(&claim["sources"]).iter().take(ROWS_MAX);
    Evidence {
        alarm: if contradiction {
            "The sources contradict each other.".to_owned()
        } else {
            String::new()
        },
        summary: if expressions.is_empty() {
            "no licence found".to_owned()
        } else {
            expressions.join(" · ")
        },
        columns: vec!["source", "path", "licence"],
        rows: sources
            .map(|source| columns(source, &["source", "path", "expression"]))
            .collect(),
        ..blank
    }
}

fn card(claim: &Value, blank: Evidence) -> Evidence {
    let problems: Vec<_> = list(&claim["problems"]).iter().map(text).collect();
    let sections = list(&claim["sections"]).iter().take(ROWS_MAX);
    Evidence {
        alarm: cut(&problems.join("; "), 1_000),
        summary: format!(
            "{}, licence {}",
            text(&claim["path"]),
            text(&claim["license"])
        ),
        columns: vec!["section", "words"],
        rows: sections
            .map(|section| columns(section, &["title", "words"]))
            .collect(),
        ..blank
    }
}

fn metrics(claim: &Value, blank: Evidence) -> Evidence {
    let metrics = list(&claim["metrics"]);
    let from: Vec<_> = ["dataset", "source"]
        .iter()
        .map(|field| text(&claim[*field]))
        .filter(|text| text != "not stated")
        .collect();
    Evidence {
        summary: from.join(", "),
        columns: vec!["suite", "metric", "slice", "value"],
        rows: metrics
            .iter()
            .take(ROWS_MAX)
            .map(|metric| columns(metric, &["suite", "name", "slice", "value"]))
            .collect(),
        ..blank
    }
}

fn columns(value: &Value, fields: &[&str]) -> Vec<String> {
    fields.iter().map(|field| text(&value[*field])).collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "not stated".to_owned(),
        Value::String(text) => cut(text, 500),
        other => cut(&other.to_string(), 500),
    }
}

#[cfg(test)]
impl Evidence {
    pub(in crate::pages) fn samples(hostile: &str) -> Vec<Self> {
        let claims = [
            (
                "artifact_scan",
                serde_json::json!({"findings": [{"code": hostile, "path": hostile}]}),
            ),
            (
                "licence",
                serde_json::json!({"contradiction": true, "expressions": [hostile]}),
            ),
            (
                "model_card",
                serde_json::json!({"sections": [{"title": hostile}], "problems": [hostile]}),
            ),
            (
                "evaluation",
                serde_json::json!({"metrics": [{"name": hostile, "value": 0.9}]}),
            ),
            ("rollback_plan", serde_json::json!({"summary": hostile})),
        ];
        claims
            .iter()
            .map(|(kind, claim)| told(kind, claim))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(kind: &str, claim: &Value, alarm: &str, first_row: &[&str]) {
        let told = told(kind, claim);
        assert_eq!(told.alarm, alarm, "{kind}");
        let row = told.rows.first().cloned().unwrap_or_default();
        assert_eq!(row, first_row, "{kind}");
    }

    #[test]
    fn claims_are_told_in_words() {
        check(
            "artifact_scan",
            &json!({"findings": [{"code": "pickle-known-bad-global", "severity": "critical",
                "path": "a.pkl", "detail": "os.system"}], "not_fully_scanned": [{"path": "b", "reason": "time"}]}),
            "1 found, 1 not fully scanned",
            &["critical", "pickle-known-bad-global", "a.pkl", "os.system"],
        );
        let unread = json!({"not_fully_scanned": [{"path": "b", "reason": "time"}]});
        check(
            "artifact_scan",
            &unread,
            "1 not fully scanned, which is no pass",
            &["not fully scanned", "", "b", "time"],
        );
        check("artifact_scan", &json!({"findings": []}), "", &[]);
        check(
            "licence",
            &json!({"contradiction": true, "sources": [{"source": "card", "path": "README.md", "expression": "MIT"}]}),
            "The sources contradict each other.",
            &["card", "README.md", "MIT"],
        );
        check(
            "fairness",
            &json!({"metrics": [{"suite": "fairness", "name": "ratio", "slice": "sex", "value": 0.91}]}),
            "",
            &["fairness", "ratio", "sex", "0.91"],
        );
        check(
            "evaluation",
            &Value::Null,
            "The stored claim cannot be read.",
            &[],
        );
        check("artifact_scan", &json!({"findings": "none"}), "", &[]);
    }
}
