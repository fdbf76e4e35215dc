//! Tests of bundles: those of the examples hold, ask for every answer of every rule, and notice every change of a rule; and
//! tests that are wrong say so.

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
