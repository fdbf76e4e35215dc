//! Tests of bundles: those of the examples hold, ask for every answer of every rule, and notice every change of a rule; and
//! tests that are wrong say so.

use lumos_domain::words::RuleResult;
use lumos_policy::{Bundle, Cases, cases::lacking, mutate::hunt};
use serde_json::Value;

const BASE: &str = include_str!("../../../../examples/acme/policy/tests/passes.json");

macro_rules! example {
    ($name:literal) => {
        (
            include_str!(concat!("../../../../examples/acme/policy/", $name)),
            include_str!(concat!("../../../../examples/acme/policy/tests/", $name)),
        )
    };
}

const EXAMPLES: [(&str, &str); 3] = [
    example!("starter.yaml"),
    example!("nist-ai-rmf.yaml"),
    example!("cards.yaml"),
];

fn read((bundle, tests): (&str, &str)) -> (Bundle, Cases, Value) {
    let bundle = Bundle::parse(bundle.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
    let cases = Cases::parse(tests.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(cases.base(), "passes.json");
    cases.are_of(&bundle).unwrap();
    (bundle, cases, serde_json::from_str(BASE).unwrap())
}

#[test]
fn those_of_the_examples_hold_and_notice_every_change() {
    for example in EXAMPLES {
        let (bundle, cases, base) = read(example);
        let outcomes = cases.run(&bundle, &base);
        let wrong: Vec<_> = outcomes.iter().filter(|o| o.problem.is_some()).collect();
        assert!(wrong.is_empty(), "{}: {wrong:#?}", bundle.name());
        assert_eq!(lacking(&bundle, &cases), [], "{}", bundle.name());
        let hunted = hunt(&bundle, &cases, &base);
        assert!(hunted.mutants >= 2 * bundle.rules().len());
        assert_eq!(hunted.survivors, [], "{}", bundle.name());
    }
}

const ONE: &str = "apiVersion: lumos/v1\nkind: PolicyTests\nbundle: one\nbase: passes.json\nas_of: 2026-11-21\n\
    depth: full\ncases:\n";

fn bundle() -> Bundle {
    crate::world::bundle("check: {min_length: {path: candidate.model.purpose, min: 15}}")
}

fn cases(cases: &str) -> Cases {
    Cases::parse(format!("{ONE}{cases}").as_bytes()).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn a_test_that_does_not_hold_says_why() {
    let base: Value = serde_json::from_str(BASE).unwrap();
    for (case, problem) in [
        ("expect: fail", "expected fail, found pass: holds"),
        (
            "expect: {result: pass, message_contains: of 99}",
            "expected a message with `of 99`, found pass",
        ),
        (
            "patch: [{op: remove, path: /model/purpse}], expect: pass",
            "its patch does not apply",
        ),
        (
            "patch: [{op: remove, path: /model/name}], expect: pass",
            "its patch makes no candidate",
        ),
        (
            "patch: [{op: replace, path: /model/purpose, value: x}], waivers: [{expires_at: 2026-11-21}], expect: waived",
            "waiver_expired",
        ),
        (
            "patch: [{op: replace, path: /model/purpose, value: x}], expect: waived,
             waivers: [{expires_at: 2027-01-01, rule_digest: \"sha256:0000000000000000000000000000000000000000000000000000000000000000\"}]",
            "waiver_void",
        ),
    ] {
        let cases = cases(&format!("- {{rule: T-ONE-001, name: n, {case}}}\n"));
        let found = cases.run(&bundle(), &base).remove(0).problem;
        let found = found.unwrap_or_else(|| panic!("{case} holds"));
        assert!(found.contains(problem), "{case}: {found}");
    }
    let cases = cases("- {rule: T-TWO-001, name: n, expect: pass}\n");
    let found = cases.run(&bundle(), &base).remove(0).problem.unwrap();
    assert_eq!(found, "the bundle has no such rule");
}

#[test]
fn what_nobody_tests_is_named() {
    let base: Value = serde_json::from_str(BASE).unwrap();
    let cases = cases("- {rule: T-ONE-001, name: n, expect: pass}\n");
    let lacking: Vec<_> = lacking(&bundle(), &cases)
        .into_iter()
        .map(|it| it.result)
        .collect();
    assert_eq!(lacking, [RuleResult::Fail]);
    let hunted = hunt(&bundle(), &cases, &base);
    let unnoticed: Vec<_> = hunted.survivors.iter().map(|it| it.what.as_str()).collect();
    assert_eq!(hunted.mutants, 4);
    assert_eq!(unnoticed, ["it always holds", "`min` is 14", "`min` is 16"]);
}

#[test]
fn tests_are_read_strictly() {
    let with = |case: &str| format!("{ONE}- {case}\n");
    for (text, code, problem) in [
        ("a: [", "policy-tests-not-yaml", "as YAML"),
        (
            "{apiVersion: lumos/v2}",
            "policy-tests-bad-shape",
            "is not `lumos/v1`",
        ),
        (
            &with("{rule: T-ONE-001, name: n, expct: pass}"),
            "policy-tests-bad-shape",
            "did you mean `expect`?",
        ),
        (
            &with("{rule: T-ONE-001, name: n, expect: passes}"),
            "policy-tests-bad-shape",
            "cases[0].expect",
        ),
        (
            &with("{rule: T-ONE-001, name: n, patch: [{op: move}], expect: pass}"),
            "policy-tests-bad-shape",
            "is no JSON Patch",
        ),
        (
            &with(
                "{rule: T-ONE-001, name: n, patch: [{op: copy, from: '', path: /x}], expect: pass}",
            ),
            "policy-tests-bad-shape",
            "holds a `copy` or `move`",
        ),
        (
            &with("{rule: T-ONE-001, name: n, waivers: [{}], expect: pass}"),
            "policy-tests-bad-shape",
            "lacks `expires_at`",
        ),
        (
            &with("{rule: one, name: n, expect: pass}"),
            "policy-tests-bad-shape",
            "is not a rule id",
        ),
    ] {
        let error = Cases::parse(text.as_bytes()).unwrap_err();
        assert_eq!(error.code(), code, "{text}");
        assert!(error.to_string().contains(problem), "{text}: {error}");
    }
    let one = cases("- {rule: T-ONE-001, name: n, expect: pass}\n");
    let other = one.are_of(&read(EXAMPLES[0]).0).unwrap_err();
    assert_eq!(other.code(), "policy-tests-other-bundle");
}
