//! The example bundles: read without a finding, share no id, map to controls that exist, and each
//! rule has a candidate it is content with and one it is not.

use std::collections::BTreeSet;

use lumos_domain::words::{Depth, RuleResult};
use lumos_policy::{Bundle, explain, lint};
use serde_json::{Value, json};

use crate::world::{candidate, change, digest, judge};

const STARTER: &str = include_str!("../../../../examples/acme/policy/starter.yaml");
const NIST: &str = include_str!("../../../../examples/acme/policy/nist-ai-rmf.yaml");

fn both() -> [Bundle; 2] {
    [STARTER, NIST]
        .map(|yaml| Bundle::parse(yaml.as_bytes()).unwrap_or_else(|error| panic!("{error}")))
}

#[test]
fn are_without_findings_and_share_no_id() {
    let mut ids = BTreeSet::new();
    for bundle in both() {
        let found: Vec<String> = lint(&bundle).iter().map(ToString::to_string).collect();
        assert_eq!(found, Vec::<String>::new());
        for rule in bundle.rules() {
            assert!(ids.insert(rule.id.clone()), "{} stands in both", rule.id);
            let text = explain(rule);
            assert!(
                text.contains(&rule.title) && text.contains("why ") && text.contains("to mend"),
                "{text}"
            );
        }
    }
}

#[test]
fn pass_as_a_whole() {
    for bundle in both() {
        let report = judge(&bundle, &candidate(), Depth::Full, &[]);
        let gaps: Vec<_> = report
            .results
            .iter()
            .filter(|j| j.result.is_gap())
            .collect();
        assert!(gaps.is_empty() && !report.blocked, "{gaps:#?}");
        assert_eq!(report.score_raw.unwrap().basis_points(), 10_000);
    }
}

/// A rule, a change that makes it fail, and whether that blocks at `full` and at `auto`.
type Row = (&'static str, &'static str, Value, RuleResult, bool, bool);

#[test]
fn each_rule_has_a_release_it_is_not_content_with() {
    use RuleResult::{Fail, MissingEvidence as Missing};
    let finding =
        |code: &str| json!([{"code": code, "severity": "high", "path": "m.pkl", "detail": "x"}]);
    let findings = "/evidence/artifact_scan/0/claim/findings";
    let sections = "/evidence/model_card/0/claim/sections";
    let metrics = "/evidence/evaluation/0/claim/metrics";
    let rows: Vec<Row> = vec![
        (
            "ACME-SAFE-001",
            "/evidence/artifact_scan/0/claim/not_fully_scanned",
            json!([{"path": "a", "reason": "b"}]),
            Fail,
            true,
            true,
        ),
        (
            "ACME-SAFE-002",
            findings,
            finding("pickle-known-bad-global"),
            Fail,
            true,
            true,
        ),
        (
            "ACME-SAFE-003",
            findings,
            finding("pickle-unknown-global"),
            Fail,
            false,
            false,
        ),
        (
            "ACME-SAFE-004",
            "/manifest/formats",
            json!(["safetensors", "pickle"]),
            Fail,
            false,
            false,
        ),
        (
            "ACME-LIC-001",
            "/evidence/licence/0/claim/expressions",
            json!(["GPL-3.0-only"]),
            Fail,
            true,
            true,
        ),
        (
            "ACME-LIC-002",
            "/evidence/licence/0/claim/contradiction",
            json!(true),
            Fail,
            false,
            false,
        ),
        (
            "ACME-CARD-001",
            "/evidence/model_card",
            Value::Null,
            Missing,
            true,
            false,
        ),
        (
            "ACME-CARD-002",
            sections,
            json!([{"title": "Limitations", "words": 90}]),
            Fail,
            true,
            false,
        ),
        (
            "ACME-CARD-003",
            sections,
            json!([{"title": "Uses", "words": 90}]),
            Fail,
            true,
            false,
        ),
        (
            "ACME-EVAL-001",
            "/evidence/evaluation/0/recorded_at",
            json!("2026-01-01T00:00:00Z"),
            Fail,
            true,
            true,
        ),
        (
            "ACME-EVAL-002",
            metrics,
            json!([{"suite": "holdout", "name": "accuracy", "slice": "all", "value": 0.89}]),
            Fail,
            true,
            false,
        ),
        (
            "ACME-OPS-001",
            "/evidence/rollback_plan",
            Value::Null,
            Missing,
            true,
            false,
        ),
        (
            "ACME-GOV-001",
            "/model/purpose",
            json!("scores"),
            Fail,
            true,
            true,
        ),
        (
            "NIST-MAP-001",
            "/model/purpose",
            json!("scores"),
            Fail,
            true,
            true,
        ),
        (
            "NIST-MAP-002",
            sections,
            json!([{"title": "Limitations", "words": 9}]),
            Fail,
            true,
            false,
        ),
        (
            "NIST-MAP-003",
            "/evidence/licence/0/claim/contradiction",
            json!(true),
            Fail,
            false,
            false,
        ),
        ("NIST-MEASURE-001", metrics, json!([]), Fail, true, true),
        (
            "NIST-MEASURE-002",
            "/evidence/fairness/0/claim/metrics/0/value",
            json!(0.7),
            Fail,
            true,
            true,
        ),
        (
            "NIST-MEASURE-003",
            findings,
            finding("zip-bomb"),
            Fail,
            true,
            true,
        ),
        (
            "NIST-MEASURE-004",
            "/evidence/data_lineage/0/claim/personal_data",
            json!("raw"),
            Fail,
            true,
            false,
        ),
        (
            "NIST-MEASURE-005",
            "/evidence/security_review/0/claim/subject_digest",
            json!(digest(0xcc)),
            Fail,
            true,
            false,
        ),
        (
            "NIST-MANAGE-001",
            "/evidence/rollback_plan",
            Value::Null,
            Missing,
            true,
            false,
        ),
        (
            "NIST-GOVERN-001",
            "/release/version",
            json!("latest-and-best"),
            Fail,
            false,
            false,
        ),
    ];
    let mut tested = BTreeSet::new();
    for bundle in both() {
        for (id, pointer, to, result, at_full, at_auto) in &rows {
            let Some(rule) = bundle.rule(id) else {
                continue;
            };
            tested.insert(rule.id.clone());
            let mut value = candidate();
            change(&mut value, pointer, to.clone());
            for (depth, blocks) in [(Depth::Full, at_full), (Depth::Auto, at_auto)] {
                let report = judge(&bundle, &value, depth, &[]);
                let judged = report.results.iter().find(|j| j.rule == rule.id).unwrap();
                assert_eq!(judged.result, *result, "{id}: {}", judged.message);
                assert_eq!(
                    report.blocking.contains(&rule.id),
                    *blocks,
                    "{id} at {depth}"
                );
                assert_eq!(report.routes.is_empty(), rule.routes_to.is_none(), "{id}");
            }
        }
    }
    let all: BTreeSet<_> = both()
        .iter()
        .flat_map(|b| b.rules().iter().map(|r| r.id.clone()).collect::<Vec<_>>())
        .collect();
    assert_eq!(tested, all, "every rule has a row");
}

/// A prompt fix of a low-tier model in staging: nothing that only weighs on big releases blocks it.
#[test]
fn little_is_asked_where_little_depends() {
    let mut value = candidate();
    change(&mut value, "/model/tier", json!("low"));
    change(&mut value, "/release/environment", json!("staging"));
    change(&mut value, "/release/change/tier", json!("minor"));
    for kind in [
        "model_card",
        "evaluation",
        "fairness",
        "rollback_plan",
        "data_lineage",
        "security_review",
    ] {
        change(&mut value, &format!("/evidence/{kind}"), Value::Null);
    }
    let report = judge(&both()[0], &value, Depth::Auto, &[]);
    assert!(!report.blocked, "{:?}", report.blocking);
    assert!(judge(&both()[0], &value, Depth::Full, &[]).blocked);
}

#[test]
fn map_to_controls_that_exist() {
    let place = "../../../shared/data/frameworks/catalogs/nist-ai-rmf-1.0.oscal.json";
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(place);
    let Ok(catalog) = std::fs::read_to_string(&path) else {
        println!("the NIST AI RMF catalog is not at {place}: its control ids were not compared");
        return;
    };
    let catalog: Value = serde_json::from_str(&catalog).unwrap();
    let mut known = BTreeSet::new();
    collect_ids(&catalog, &mut known);
    let [_, nist] = both();
    for rule in nist.rules() {
        assert!(!rule.controls.is_empty(), "{} maps to nothing", rule.id);
        for control in rule
            .controls
            .iter()
            .filter(|c| c.framework == "nist-ai-rmf")
        {
            assert!(
                known.contains(&control.control),
                "{}: {}",
                rule.id,
                control.control
            );
        }
    }
}

fn collect_ids(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect_ids(item, found)),
        Value::Object(members) => {
            found.extend(members.get("id").and_then(Value::as_str).map(str::to_owned));
            members
                .values()
                .for_each(|member| collect_ids(member, found));
        }
        _ => {}
    }
}
