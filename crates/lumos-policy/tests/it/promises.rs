//! Promise 5: a failed mandatory rule blocks whatever else holds; an unwaived failure of a waivable
//! rule blocks; an advisory one never does; a waiver never improves the raw score.

use lumos_domain::words::{Depth, Enforcement, RuleResult, Score};
use lumos_policy::{Bundle, Waiver};
use proptest::prelude::*;
use serde_json::json;

use crate::operators::{SCAN, check, finding};
use crate::world::{AS_OF, candidate, change, changed, instant, judge, one_rule};

/// A rule that comes out as asked over [`candidate`].
fn rule(n: usize, result: RuleResult, enforcement: Enforcement, weight: u32) -> String {
    let check = match result {
        RuleResult::Pass => "{cel: 'true'}",
        RuleResult::Fail => "{cel: 'false'}",
        RuleResult::Error => "{cel: candidate.nothing}",
        RuleResult::MissingEvidence => "{present: {path: evidence.nothing}}",
        _ => "{cel: 'true'}\n    when: {cel: 'false'}",
    };
    format!(
        "  - id: T-PROP-{n:03}\n    title: t\n    severity: low\n    enforcement: {enforcement}\n    weight: {weight}\n    check: {check}\n"
    )
}

fn bundle(rules: &[(RuleResult, Enforcement, u32, bool)]) -> Bundle {
    let mut yaml = String::from(
        "apiVersion: lumos/v1\nkind: PolicyBundle\nmetadata: {name: prop, version: '1'}\nspec:\n  score: {pass_threshold: 0.5}\n  rules:\n",
    );
    for (n, (result, enforcement, weight, _)) in rules.iter().enumerate() {
        yaml.push_str(&rule(n, *result, *enforcement, *weight));
    }
    Bundle::parse(yaml.as_bytes()).unwrap()
}

fn waiver(bundle: &Bundle, n: usize) -> Waiver {
    let rule = &bundle.rules()[n];
    Waiver {
        id: format!("WVR-{n}"),
        rule: rule.id.clone(),
        rule_digest: rule.digest,
        model: "credit-risk".parse().unwrap(),
        versions: vec!["2.3.0".parse().unwrap()],
        environments: vec!["production".parse().unwrap()],
        not_before: instant("2026-11-01T00:00:00Z"),
        expires_at: instant("2026-12-01T00:00:00Z"),
    }
}

const RESULTS: [RuleResult; 5] = [
    RuleResult::Pass,
    RuleResult::Fail,
    RuleResult::MissingEvidence,
    RuleResult::Error,
    RuleResult::NotApplicable,
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn promise_5_holds(rules in prop::collection::vec(
        (prop::sample::select(&RESULTS[..]), prop::sample::select(Enforcement::ALL), 1u32..1_000, any::<bool>()),
        1..12,
    )) {
        let bundle = bundle(&rules);
        let waivers: Vec<Waiver> = rules
            .iter()
            .enumerate()
            .filter(|(_, rule)| rule.3)
            .map(|(n, _)| waiver(&bundle, n))
            .collect();
        let report = judge(&bundle, &candidate(), Depth::Full, &waivers);
        let (mut whole, mut passed, mut excused) = (0u64, 0u64, 0u64);
        for (judged, (result, enforcement, weight, waived)) in report.results.iter().zip(&rules) {
            let gap = result.is_gap();
            let lifted = gap && *waived && *enforcement == Enforcement::Waivable;
            let blocks = gap && !lifted && *enforcement != Enforcement::Advisory;
            prop_assert_eq!(report.blocking.contains(&judged.rule), blocks);
            prop_assert_eq!(report.gaps.contains(&judged.rule), gap && !lifted);
            prop_assert_eq!(judged.result, if lifted { RuleResult::Waived } else { *result });
            prop_assert_eq!(judged.before_waiver, lifted.then_some(*result));
            prop_assert_eq!(judged.waiver_reason.is_some(), gap && *waived && !lifted);
            let weight = u64::from(*weight);
            whole += if *result == RuleResult::NotApplicable { 0 } else { weight };
            passed += if *result == RuleResult::Pass { weight } else { 0 };
            excused += if lifted { weight } else { 0 };
        }
        prop_assert_eq!(report.score_raw, Score::of(passed, whole));
        prop_assert_eq!(report.score_with_waivers, Score::of(passed + excused, whole));
        prop_assert_eq!(report.blocked, whole == 0 || !report.blocking.is_empty());
        prop_assert_eq!(report.below_threshold, report.score_raw.is_none_or(|s| s.basis_points() < 5_000));
        prop_assert_eq!(report.waivers.len(), report.results.iter().filter(|j| j.waived_by.is_some()).count());
    }
}

#[test]
fn a_waiver_holds_only_for_what_it_names() {
    type Change = fn(&mut Waiver);
    let bundle = bundle(&[(RuleResult::Fail, Enforcement::Waivable, 1, true)]);
    let rows: [(&str, Change, Option<&str>); 10] = [
        ("as granted", |_| (), None),
        ("first instant", |w| w.not_before = instant(AS_OF), None),
        (
            "last instant",
            |w| w.expires_at = instant("2026-11-21T00:00:01Z"),
            None,
        ),
        (
            "expired",
            |w| w.expires_at = instant(AS_OF),
            Some("waiver_expired: WVR-0"),
        ),
        (
            "not yet",
            |w| w.not_before = instant("2026-11-21T00:00:01Z"),
            Some("waiver_not_yet_in_force"),
        ),
        (
            "model",
            |w| w.model = "other".parse().unwrap(),
            Some("another model"),
        ),
        (
            "version",
            |w| w.versions = vec!["2.3.1".parse().unwrap()],
            Some("does not name this version"),
        ),
        (
            "no version",
            |w| w.versions.clear(),
            Some("does not name this version"),
        ),
        (
            "environment",
            |w| w.environments = vec!["staging".parse().unwrap()],
            Some("this environment"),
        ),
        (
            "rule edited",
            |w| w.rule_digest = lumos_domain::id::Digest::of(b""),
            Some("waiver_void"),
        ),
    ];
    for (name, change, reason) in rows {
        let mut granted = waiver(&bundle, 0);
        change(&mut granted);
        let report = judge(&bundle, &candidate(), Depth::Full, &[granted]);
        let judged = &report.results[0];
        let expected = if reason.is_none() {
            RuleResult::Waived
        } else {
            RuleResult::Fail
        };
        assert_eq!(judged.result, expected, "{name}");
        assert_eq!(report.blocked, reason.is_some(), "{name}");
        let told = judged.waiver_reason.clone().unwrap_or_default();
        assert!(told.contains(reason.unwrap_or_default()), "{name}: {told}");
        assert_eq!(
            report.score_raw,
            Some(Score::from_basis_points(0)),
            "{name}"
        );
    }
}

/// One waiver that does not hold does not stop another that does, whatever their order.
#[test]
fn the_waiver_that_holds_is_found() {
    let bundle = bundle(&[(RuleResult::Fail, Enforcement::Waivable, 1, true)]);
    let mut old = waiver(&bundle, 0);
    old.id = "WVR-A".to_owned();
    old.expires_at = instant(AS_OF);
    let mut two = [old, waiver(&bundle, 0)];
    let first = judge(&bundle, &candidate(), Depth::Full, &two);
    two.reverse();
    let second = judge(&bundle, &candidate(), Depth::Full, &two);
    assert_eq!(first.results[0].waived_by.as_deref(), Some("WVR-0"));
    assert_eq!(first.to_bytes(), second.to_bytes());
}

#[test]
fn enforcement_follows_depth() {
    let bundle = crate::world::bundle(
        "check: {cel: 'false'}\nenforcement: {auto: advisory, panel: mandatory, default: waivable}",
    );
    for (depth, enforcement, blocked) in [
        (Depth::Auto, Enforcement::Advisory, false),
        (Depth::Light, Enforcement::Waivable, true),
        (Depth::Full, Enforcement::Waivable, true),
        (Depth::Panel, Enforcement::Mandatory, true),
    ] {
        let report = judge(&bundle, &candidate(), depth, &[]);
        assert_eq!(
            (report.results[0].enforcement, report.blocked),
            (enforcement, blocked),
            "{depth}"
        );
    }
}

#[test]
fn nothing_that_applies_blocks() {
    let draft = crate::world::bundle("check: {fully_scanned: {}}\nstatus: draft");
    let report = judge(&draft, &candidate(), Depth::Auto, &[]);
    assert_eq!(
        (report.score_raw, report.blocked, report.blocking.len()),
        (None, true, 0)
    );

    let yaml = one_rule("check: {fully_scanned: {}}");
    for (applies, result) in [
        ("candidate.model.tier == 'high'", RuleResult::Pass),
        ("candidate.model.tier == 'low'", RuleResult::NotApplicable),
        ("candidate.model.teir == 'low'", RuleResult::Error),
        ("candidate.model.tier", RuleResult::Error),
    ] {
        let yaml = yaml.replace(
            "  rules:",
            &format!("  applies_to: {{cel: \"{applies}\"}}\n  rules:"),
        );
        let bundle = Bundle::parse(yaml.as_bytes()).unwrap();
        let report = judge(&bundle, &candidate(), Depth::Full, &[]);
        assert_eq!(report.results[0].result, result, "{applies}");
        assert_eq!(report.blocked, result != RuleResult::Pass, "{applies}");
    }
}

/// What a candidate holds may be written by whoever is judged: a list made long turns an expression
/// into an error, never into hours or a pass. A plain loop still runs over many files.
#[test]
fn a_long_list_makes_an_expression_an_error() {
    use RuleResult::{Error, Pass};
    let parts = |n: usize| -> serde_json::Value {
        (0..n)
            .map(|i| json!({"path": format!("p{i}"), "size": 1}))
            .collect()
    };
    let nested =
        "candidate.manifest.parts.all(a, candidate.manifest.parts.all(b, a.size <= b.size))";
    let whole = "candidate.manifest.parts.all(a, candidate == candidate)";
    let plain = "candidate.manifest.parts.all(a, a.size == 1 && a.path != '')";
    let chained = "candidate.manifest.parts.filter(a, a.size == 1).map(a, a.path).size() > 0";
    let member = "candidate.manifest.parts.all(a, a.path in ['x'] || a.size in [1, 2])";
    for (expression, n, result) in [
        (nested, 50, Pass),
        (nested, 2_000, Error),
        (whole, 50, Pass),
        (whole, 16_000, Error),
        (plain, 16_000, Pass),
        (chained, 1_000, Pass),
        (member, 2_000, Pass),
    ] {
        let bundle = crate::world::bundle(&format!("check: {{cel: \"{expression}\"}}"));
        let value = changed("/manifest/parts", parts(n));
        let judged = judge(&bundle, &value, Depth::Full, &[]).results.remove(0);
        assert_eq!(
            judged.result, result,
            "{expression} {n}: {}",
            judged.message
        );
        let told = judged.message.contains(&format!("steps over lists of {n}"));
        assert_eq!(told, result == Error, "{}", judged.message);
    }
}

#[test]
fn a_rule_digest_follows_the_rule_and_its_parameters() {
    let digest = |yaml: &str| Bundle::parse(yaml.as_bytes()).unwrap().rules()[0].digest;
    let yaml = one_rule("check: {cel: candidate.manifest.bytes > params.limit}");
    let same = [
        yaml.replace("    severity: low", "    # a remark\n    severity:   'low'"),
        yaml.replace("limit: 0.9", "limit: 0.90"),
        yaml.replace("word: abc", "word: other"),
    ];
    let other = [
        yaml.replace("limit: 0.9", "limit: 0.8"),
        yaml.replace("severity: low", "severity: high"),
        yaml.replace("waivable", "advisory"),
        yaml.replace("bytes >", "bytes >="),
    ];
    assert!(same.iter().all(|same| digest(same) == digest(&yaml)));
    assert!(other.iter().all(|other| digest(other) != digest(&yaml)));
    let named = one_rule("check: {metric: {name: a, op: '>=', value: '${params.limit}'}}");
    assert_ne!(
        digest(&named),
        digest(&named.replace("limit: 0.9", "limit: 0.8"))
    );
}

#[test]
fn a_waived_failure_still_asks_for_the_role_it_routes_to() {
    let bundle = crate::world::bundle("check: {cel: 'false'}\nroutes_to: security-reviewer");
    let report = judge(&bundle, &candidate(), Depth::Full, &[waiver(&bundle, 0)]);
    assert!(!report.blocked);
    assert_eq!(report.routes.len(), 1);
    let mut value = candidate();
    change(&mut value, "/model/purpose", json!("x"));
    let passing = crate::world::bundle("check: {cel: 'true'}\nroutes_to: security-reviewer");
    assert_eq!(judge(&passing, &value, Depth::Full, &[]).routes.len(), 0);
}

/// A later scan replaces one by the same producer, and never hides what another producer found.
#[test]
fn a_second_scanner_cannot_hide_a_finding() {
    let codes = "check: {no_finding: {codes: [zip-bomb]}}";
    for (producer, result) in [
        ("lumos-worker", RuleResult::Pass),
        ("somebody-else", RuleResult::Fail),
    ] {
        let mut value = changed(SCAN, finding("zip-bomb", "high"));
        let mut clean = candidate()["evidence"]["artifact_scan"][0].clone();
        change(&mut clean, "/producer", json!(producer));
        change(&mut clean, "/recorded_at", json!("2026-11-10T00:00:00Z"));
        value["evidence"]["artifact_scan"]
            .as_array_mut()
            .unwrap()
            .insert(0, clean);
        check(codes, &value, result, "");
    }
}
