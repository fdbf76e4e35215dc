//! Every operator: rows of a check, a change of the candidate, and the result.

use lumos_domain::words::{Depth, RuleResult};
use serde_json::{Value, json};

use crate::world::{bundle, candidate, change, changed, digest, judge};

/// Judges `value` by one rule and compares the result and a part of what a person reads.
pub(crate) fn check(body: &str, value: &Value, result: RuleResult, says: &str) {
    let report = judge(&bundle(body), value, Depth::Full, &[]);
    let judged = &report.results[0];
    assert_eq!(judged.result, result, "{body}\n{}", judged.message);
    assert!(
        judged.message.contains(says),
        "{body}\nsays {}\nnot {says}",
        judged.message
    );
    assert_eq!(report.blocked, result != Pass, "{body}");
}

use RuleResult::{Error, Fail, MissingEvidence as Missing, Pass};

pub(crate) const SCAN: &str = "/evidence/artifact_scan/0/claim/findings";

pub(crate) fn finding(code: &str, severity: &str) -> Value {
    json!([{"code": code, "severity": severity, "path": "m.pkl", "detail": "os.system"}])
}

#[test]
fn paths() {
    let purpose = |to: Value| changed("/model/purpose", to);
    let plan = "/evidence/rollback_plan";
    let summary = "/evidence/rollback_plan/0/claim/summary";
    for (body, value, result, says) in [
        (
            "check: {present: {path: candidate.model.purpose}}",
            candidate(),
            Pass,
            "holds",
        ),
        (
            "check: {present: {path: candidate.model.purpose}}",
            purpose(json!(" ")),
            Fail,
            "empty",
        ),
        (
            "check: {present: {path: candidate.model.purpose}}",
            purpose(Value::Null),
            Missing,
            "not stated",
        ),
        (
            "check: {present: {path: evidence.rollback_plan}}",
            candidate(),
            Pass,
            "a list of 1",
        ),
        (
            "check: {present: {path: evidence.rollback_plan}}",
            changed(plan, Value::Null),
            Missing,
            "no `rollback_plan`",
        ),
        (
            "check: {present: {path: evidence.rollback_plan}}",
            changed(plan, json!([])),
            Missing,
            "no `rollback_plan`",
        ),
        (
            "check: {min_length: {path: candidate.model.purpose, min: 10}}",
            candidate(),
            Pass,
            "length",
        ),
        (
            "check: {min_length: {path: candidate.model.purpose, min: 10}}",
            purpose(json!("short")),
            Fail,
            "a length of 5",
        ),
        (
            "check: {min_length: {path: candidate.model.frameworks, min: 2}}",
            candidate(),
            Fail,
            "a length of 1",
        ),
        (
            "check: {min_length: {path: 'evidence.rollback_plan[0].claim.summary', min: 9}}",
            changed(summary, Value::Null),
            Missing,
            "not stated",
        ),
        (
            "check: {min_length: {path: 'evidence.rollback_plan[0].claim.summary', min: 9}}",
            changed(summary, json!(7)),
            Error,
            "has no length",
        ),
        (
            "check: {one_of: {path: candidate.model.tier, values: [low, high]}}",
            candidate(),
            Pass,
            "`high`",
        ),
        (
            "check: {one_of: {path: candidate.model.tier, values: [low]}}",
            candidate(),
            Fail,
            "expected `candidate.model.tier` is one of `low`",
        ),
        (
            "check: {one_of: {path: candidate.manifest.bytes, values: [10.0]}}",
            candidate(),
            Pass,
            "10",
        ),
        (
            "check: {one_of: {path: candidate.model.frameworks, values: [a]}}",
            candidate(),
            Error,
            "no single value",
        ),
        (
            "check: {one_of: {path: candidate.model.purpose, values: [a]}}",
            purpose(Value::Null),
            Missing,
            "not stated",
        ),
        (
            "check: {matches: {path: candidate.release.version, pattern: '^2[.]'}}",
            candidate(),
            Pass,
            "2.3.0",
        ),
        (
            "check: {matches: {path: candidate.release.version, pattern: '^3'}}",
            candidate(),
            Fail,
            "2.3.0",
        ),
        (
            "check: {matches: {path: candidate.manifest.bytes, pattern: '1'}}",
            candidate(),
            Error,
            "is not text",
        ),
        (
            "check: {matches: {path: candidate.model.purpose, pattern: a}}",
            purpose(Value::Null),
            Missing,
            "not stated",
        ),
    ] {
        check(body, &value, result, says);
    }
}

#[test]
fn evidence_and_age() {
    let at = "/evidence/evaluation/0/recorded_at";
    let old = changed(at, json!("2026-01-01T00:00:00Z"));
    let future = changed(at, json!("2026-11-22T00:00:00Z"));
    let none = changed("/evidence/evaluation", Value::Null);
    let exact = changed(at, json!("2026-08-23T00:00:00Z"));
    let just = changed(at, json!("2026-08-22T23:59:59Z"));
    let subject = "/evidence/security_review/0/claim/subject_digest";
    let fresh = "check: {evidence_fresh: {evidence: evaluation, max_age: P90D}}";
    let metric = "evidence_max_age: P90D\ncheck: {metric: {name: accuracy, op: '>=', value: 0.9}}";
    let cel = "evidence_max_age: P90D\ncheck: {cel: 'evidence.evaluation.size() > 0'}";
    let requires =
        "requires: [evidence.evaluation]\nevidence_max_age: P90D\ncheck: {fully_scanned: {}}";
    let matches = "check: {digest_matches: {evidence: security_review}}";
    for (body, value, result, says) in [
        (fresh, candidate(), Pass, "20 days old"),
        (fresh, exact, Pass, "90 days old"),
        (fresh, just, Fail, "at most 90 days old"),
        (fresh, none.clone(), Missing, "no `evaluation`"),
        (fresh, future.clone(), Error, "recorded after"),
        (metric, old.clone(), Missing, "no such metric"),
        (metric, future, Error, "recorded after"),
        (cel, candidate(), Pass, "true"),
        (cel, old.clone(), Missing, "324 days old"),
        (requires, candidate(), Pass, "none"),
        (requires, old, Missing, "324 days old"),
        (requires, none, Missing, "no `evaluation` evidence"),
        (matches, candidate(), Pass, "sha256:aa"),
        (
            matches,
            changed(subject, json!(digest(0xbb))),
            Pass,
            "sha256:bb",
        ),
        (
            matches,
            changed(subject, json!("bb".repeat(32))),
            Pass,
            "sha256:bb",
        ),
        (
            matches,
            changed(subject, json!(digest(0xcc))),
            Fail,
            "sha256:cc",
        ),
        (
            matches,
            changed(subject, json!("latest")),
            Error,
            "is no digest",
        ),
        (matches, changed(subject, json!(5)), Error, "is no digest"),
        (
            matches,
            changed(subject, Value::Null),
            Missing,
            "not stated",
        ),
        (
            matches,
            changed("/evidence/security_review", Value::Null),
            Missing,
            "no `security_review`",
        ),
    ] {
        check(body, &value, result, says);
    }
}

#[test]
fn metrics() {
    let ratio = |op: &str, value: &str, more: &str| {
        format!(
            "check: {{metric: {{name: disparate_impact_ratio, slice: '*', op: '{op}', value: {value}{more}}}}}"
        )
    };
    let metrics = "/evidence/fairness/0/claim/metrics";
    for (body, value, result, says) in [
        (
            ratio(">=", "0.8", ""),
            candidate(),
            Pass,
            "0.91 (sex), 0.85 (age)",
        ),
        (
            ratio(">=", "0.9", ""),
            candidate(),
            Fail,
            "0.85 (age), of 2 values",
        ),
        (
            ratio(">=", "0.9", ", quantifier: any"),
            candidate(),
            Pass,
            "0.91 (sex)",
        ),
        (
            ratio("<", "0.85", ", quantifier: any"),
            candidate(),
            Fail,
            "expected",
        ),
        (
            ratio(">", "0.85", ", quantifier: any"),
            candidate(),
            Pass,
            "",
        ),
        (ratio("<=", "0.91", ""), candidate(), Pass, ""),
        (ratio("!=", "0.5", ""), candidate(), Pass, ""),
        (ratio("==", "0.91", ""), candidate(), Fail, ""),
        (
            ratio(">=", "${params.limit}", "").replace("${params.limit}", "'${params.limit}'"),
            candidate(),
            Fail,
            ">= 0.9",
        ),
        (
            ratio(">=", "0.8", ", suite: other"),
            candidate(),
            Missing,
            "no such metric",
        ),
        (
            ratio(">=", "0.8", ", evidence: evaluation"),
            candidate(),
            Missing,
            "no such metric",
        ),
        (
            ratio(">=", "0.8", ""),
            changed("/evidence/fairness", Value::Null),
            Missing,
            "no such metric",
        ),
        (
            ratio(">=", "0.8", ""),
            changed(metrics, json!("many")),
            Error,
            "not a list",
        ),
        (
            ratio(">=", "0.8", ""),
            changed(
                metrics,
                json!([{"name": "disparate_impact_ratio", "value": "high"}]),
            ),
            Error,
            "has no number",
        ),
        (
            "check: {metric: {name: accuracy, op: '>=', value: 0.93}}".to_owned(),
            candidate(),
            Pass,
            "0.93 (all)",
        ),
    ] {
        check(&body, &value, result, says);
    }
}

#[test]
fn scans() {
    let none = changed("/evidence/artifact_scan", Value::Null);
    let bad = changed(SCAN, finding("pickle-known-bad-global", "critical"));
    let low = changed(SCAN, finding("pickle-malformed", "low"));
    let odd = changed(SCAN, finding("pickle-malformed", "dreadful"));
    let broken = changed(SCAN, json!("none"));
    let partly = changed(
        "/evidence/artifact_scan/0/claim/not_fully_scanned",
        json!([{"path": "a.zip", "reason": "too large"}]),
    );
    let max = "check: {scan_max_severity: {max: medium}}";
    let codes = "check: {no_finding: {codes: [pickle-known-bad-global, 'zip-*']}}";
    let full = "check: {fully_scanned: {}}";
    for (body, value, result, says) in [
        (max, &candidate(), Pass, "none"),
        (max, &low, Pass, ""),
        (
            max,
            &bad,
            Fail,
            "pickle-known-bad-global in m.pkl: os.system",
        ),
        (max, &odd, Error, "without a severity"),
        (max, &none, Missing, "no `artifact_scan`"),
        (max, &broken, Error, "has no list `findings`"),
        (codes, &candidate(), Pass, "none"),
        (codes, &low, Pass, ""),
        (codes, &bad, Fail, "os.system"),
        (
            codes,
            &changed(SCAN, finding("zip-bomb", "high")),
            Fail,
            "zip-bomb",
        ),
        (
            codes,
            &changed(SCAN, json!([{"severity": "low"}])),
            Error,
            "without a code",
        ),
        (codes, &none, Missing, "no `artifact_scan`"),
        (full, &candidate(), Pass, "none"),
        (full, &partly, Fail, "a.zip (too large)"),
        (full, &none, Missing, "no `artifact_scan`"),
        (
            full,
            &changed(
                "/evidence/artifact_scan/0/claim/not_fully_scanned",
                Value::Null,
            ),
            Error,
            "has no list",
        ),
    ] {
        check(body, value, result, says);
    }
}

#[test]
fn licences_and_cards() {
    let expressions = |list: Value| changed("/evidence/licence/0/claim/expressions", list);
    let card_only = |licence: Value| {
        let mut value = changed("/evidence/licence", Value::Null);
        change(&mut value, "/evidence/model_card/0/claim/license", licence);
        value
    };
    let neither = {
        let mut value = changed("/evidence/licence", Value::Null);
        change(&mut value, "/evidence/model_card", Value::Null);
        value
    };
    let allow = "check: {license_allowed: {allow: [Apache-2.0, MIT]}}";
    let agree = "check: {licence_consistent: {}}";
    let use_section =
        "check: {section_present: {title: [Uses, '2. Intended use:'], min_words: 20}}";
    let sections = "/evidence/model_card/0/claim/sections";
    for (body, value, result, says) in [
        (allow, candidate(), Pass, "Apache-2.0"),
        (
            allow,
            expressions(json!(["Apache-2.0", "GPL-3.0-only"])),
            Fail,
            "`GPL-3.0-only`, expected",
        ),
        (
            allow,
            expressions(json!(["Apache-2.0 OR GPL-3.0-only"])),
            Pass,
            "",
        ),
        (
            allow,
            expressions(json!(["Apache License"])),
            Error,
            "no SPDX expression",
        ),
        (
            allow,
            expressions(json!([])),
            Missing,
            "no licence is stated",
        ),
        (allow, expressions(json!([1])), Error, "not text"),
        (allow, expressions(Value::Null), Error, "has no list"),
        (allow, card_only(json!("mit")), Pass, ""),
        (
            allow,
            card_only(Value::Null),
            Missing,
            "no licence is stated",
        ),
        (allow, neither, Missing, "no `licence` or `model_card`"),
        (agree, candidate(), Pass, "card: Apache-2.0"),
        (
            agree,
            changed("/evidence/licence/0/claim/contradiction", json!(true)),
            Fail,
            "expected every source",
        ),
        (
            agree,
            changed("/evidence/licence/0/claim/contradiction", Value::Null),
            Error,
            "does not say",
        ),
        (
            agree,
            changed("/evidence/licence", Value::Null),
            Missing,
            "no `licence`",
        ),
        (use_section, candidate(), Pass, "120 words"),
        (
            use_section,
            changed(sections, json!([{"title": "INTENDED USE", "words": 3}])),
            Fail,
            "3 words",
        ),
        (
            use_section,
            changed(sections, json!([{"title": "Other", "words": 300}])),
            Fail,
            "no such section",
        ),
        (
            use_section,
            changed(sections, json!([{"title": "Uses"}])),
            Error,
            "not counted",
        ),
        (
            use_section,
            changed(sections, json!("none")),
            Error,
            "no list `sections`",
        ),
        (
            use_section,
            changed("/evidence/model_card", Value::Null),
            Missing,
            "no `model_card`",
        ),
    ] {
        check(body, &value, result, says);
    }
}
