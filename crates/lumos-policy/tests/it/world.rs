//! A small world for tests: one candidate that passes everything, and ways to change it.

use jiff::Timestamp;
use lumos_domain::words::Depth;
use lumos_policy::{Bundle, Candidate, Context, Report, Waiver, evaluate};
use serde_json::{Value, json};

pub(crate) const AS_OF: &str = "2026-11-21T00:00:00Z";

pub(crate) fn instant(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(crate) fn digest(n: u8) -> String {
    format!("sha256:{}", format!("{n:02x}").repeat(32))
}

fn record(n: u8, claim: &Value) -> Value {
    json!({
        "digest": digest(n), "producer": "lumos-worker",
        "recorded_at": "2026-11-01T00:00:00Z", "claim": claim,
    })
}

/// A candidate of a high-tier model for production that every example rule is content with.
pub(crate) fn candidate() -> Value {
    let words = |title: &str| json!({"title": title, "words": 120});
    json!({
        "schema": "lumos.candidate/v1",
        "model": {
            "name": "credit-risk", "tier": "high", "frameworks": ["nist-ai-rmf"],
            "purpose": "Estimates the risk of default for consumer loans; a person decides.",
        },
        "release": {
            "version": "2.3.0", "digest": digest(0xaa), "environment": "production",
            "agents": ["loans/scorer"], "depth": "full",
            "change": {"kind": null, "tier": "major"}, "test": false, "sandbox": false,
        },
        "manifest": {
            "parts": [{"kind": "backbone", "path": "model.safetensors", "size": 10,
                       "sha256": digest(0xbb), "format": "safetensors"}],
            "bytes": 10, "formats": ["safetensors"],
        },
        "evidence": {
            "artifact_scan": [record(1, &json!({
                "tool": "lumos", "tool_version": "0.1.0", "confinement": ["landlock"],
                "files": 1, "bytes": 10, "findings": [], "not_fully_scanned": [],
            }))],
            "model_card": [record(2, &json!({
                "path": "README.md", "license": "apache-2.0", "front_matter": {}, "problems": [],
                "sections": [words("Intended use"), words("Limitations")],
            }))],
            "licence": [record(3, &json!({
                "sources": [{"source": "card", "path": "README.md", "expression": "Apache-2.0"}],
                "contradiction": false, "expressions": ["Apache-2.0"],
            }))],
            "evaluation": [record(4, &json!({
                "metrics": [{"suite": "holdout", "name": "accuracy", "slice": "all", "value": 0.93}],
                "source": "file",
            }))],
            "fairness": [record(5, &json!({
                "metrics": [
                    {"suite": "fairness", "name": "disparate_impact_ratio", "slice": "sex", "value": 0.91},
                    {"suite": "fairness", "name": "disparate_impact_ratio", "slice": "age", "value": 0.85},
                ],
            }))],
            "rollback_plan": [record(6, &json!({
                "summary": "Return to 2.2.1 by assignment; the operator decides; five minutes.",
            }))],
            "data_lineage": [record(7, &json!({"personal_data": "pseudonymised"}))],
            "security_review": [record(8, &json!({"subject_digest": digest(0xaa)}))],
        },
    })
}

/// The candidate with the value at a JSON pointer replaced, or removed when `to` is null.
pub(crate) fn changed(pointer: &str, to: Value) -> Value {
    let mut value = candidate();
    change(&mut value, pointer, to);
    value
}

pub(crate) fn change(value: &mut Value, pointer: &str, to: Value) {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = value.pointer_mut(parent).unwrap();
    match (parent, to) {
        (Value::Object(members), Value::Null) => {
            members.remove(key);
        }
        (Value::Object(members), to) => {
            members.insert(key.to_owned(), to);
        }
        (Value::Array(items), to) => items[key.parse::<usize>().unwrap()] = to,
        _ => panic!("nothing to change at {pointer}"),
    }
}

pub(crate) fn read(value: &Value) -> Candidate {
    Candidate::parse(value.to_string().as_bytes()).unwrap()
}

pub(crate) fn judge(bundle: &Bundle, value: &Value, depth: Depth, waivers: &[Waiver]) -> Report {
    let ctx = Context {
        as_of: instant(AS_OF),
        depth,
        waivers,
    };
    evaluate(bundle, &read(value), &ctx)
}

/// A bundle of one waivable rule; `body` are further lines of the rule, not indented.
pub(crate) fn one_rule(body: &str) -> String {
    let mut yaml = String::from(
        "apiVersion: lumos/v1\nkind: PolicyBundle\nmetadata: {name: one, version: '1'}\nspec:\n  params: {limit: 0.9, word: abc}\n  rules:\n  - id: T-ONE-001\n    title: One rule\n    severity: low\n",
    );
    if !body.contains("enforcement:") {
        yaml.push_str("    enforcement: waivable\n");
    }
    for line in body.lines() {
        yaml.push_str("    ");
        yaml.push_str(line);
        yaml.push('\n');
    }
    yaml
}

pub(crate) fn bundle(body: &str) -> Bundle {
    let yaml = one_rule(body);
    Bundle::parse(yaml.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{yaml}"))
}
