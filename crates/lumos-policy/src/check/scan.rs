//! The operators over artifact scans: `scan_max_severity`, `no_finding`, `fully_scanned`.
//! Not here: scanning itself.
//!
//! Each looks at the newest scan of every producer: a later scan by somebody else cannot hide
//! what the first one found.

use lumos_domain::words::Severity;
use serde_json::Value;

use super::{Seen, View};
use crate::candidate::{Record, severity_of};

const KIND: &str = "artifact_scan";

/// The list under `field` of every scan, or what to say when there is none or it is not one.
fn lists<'c>(
    field: &str,
    view: View<'c>,
    expected: &str,
) -> Result<(Vec<&'c Record>, Vec<&'c Value>), Seen> {
    let scans = view.latest_of_each(KIND);
    if scans.is_empty() {
        return Err(Seen::missing("no `artifact_scan` evidence", expected));
    }
    let mut items = Vec::new();
    for scan in &scans {
        match scan.claim.get(field).and_then(Value::as_array) {
            Some(list) => items.extend(list),
            None => {
                let observed = format!("a scan by `{}` has no list `{field}`", scan.producer);
                return Err(Seen::error(observed, expected).from([*scan]));
            }
        }
    }
    Ok((scans, items))
}

pub(super) fn max_severity(max: Severity, view: View<'_>) -> Seen {
    let expected = format!("no finding above {max}");
    let (scans, findings) = match lists("findings", view, &expected) {
        Ok(found) => found,
        Err(seen) => return seen,
    };
    let mut above = Vec::new();
    for finding in findings {
        match severity_of(finding) {
            Some(severity) if severity > max => above.push(told(finding)),
            Some(_) => {}
            None => {
                let observed = format!("a finding without a severity: {}", told(finding));
                return Seen::error(observed, expected).from(scans);
            }
        }
    }
    Seen::judged(above.is_empty(), list(&above), expected).from(scans)
}

pub(super) fn no_finding(codes: &[String], view: View<'_>) -> Seen {
    let expected = format!("no finding of {}", codes.join(", "));
    let (scans, findings) = match lists("findings", view, &expected) {
        Ok(found) => found,
        Err(seen) => return seen,
    };
    let mut found = Vec::new();
    for finding in findings {
        let Some(code) = finding.get("code").and_then(Value::as_str) else {
            return Seen::error("a finding without a code", expected).from(scans);
        };
        let named = |pattern: &String| match pattern.strip_suffix('*') {
            Some(start) => code.starts_with(start),
            None => code == pattern,
        };
        if codes.iter().any(named) {
            found.push(told(finding));
        }
    }
    Seen::judged(found.is_empty(), list(&found), expected).from(scans)
}

pub(super) fn fully_scanned(view: View<'_>) -> Seen {
    let expected = "every file read to its end";
    let (scans, files) = match lists("not_fully_scanned", view, expected) {
        Ok(found) => found,
        Err(seen) => return seen,
    };
    let word = |file: &Value, key: &str| {
        file.get(key)
            .and_then(Value::as_str)
            .unwrap_or("unnamed")
            .to_owned()
    };
    let told = |file: &&Value| format!("{} ({})", word(file, "path"), word(file, "reason"));
    let files: Vec<String> = files.iter().map(told).collect();
    Seen::judged(files.is_empty(), list(&files), expected).from(scans)
}

fn told(finding: &Value) -> String {
    let word = |key| {
        finding
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or("unnamed")
    };
    let detail = finding.get("detail").and_then(Value::as_str);
    let detail = detail
        .map(|detail| format!(": {detail}"))
        .unwrap_or_default();
    format!("{} in {}{detail}", word("code"), word("path"))
}

fn list(items: &[String]) -> String {
    match items.len() {
        0 => "none".to_owned(),
        1..=5 => items.join("; "),
        more => format!("{}; and {} more", items[..5].join("; "), more - 5),
    }
}
