//! The guide for policy authors: every example in it is read, and no operator is left out.

use lumos_policy::{Bundle, Cases, cases::lacking, check::Check};

use crate::world::{bundle, candidate, judge};

const GUIDE: &str = include_str!("../../../../docs/guide/policy-author.md");
const FORMAT: &str = include_str!("../../../../docs/formats/policy-bundle.md");

#[test]
fn every_example_is_read_and_judged() {
    let blocks: Vec<&str> = GUIDE
        .split("```yaml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    let (tests, blocks): (Vec<&str>, Vec<&str>) = blocks
        .into_iter()
        .partition(|block| block.contains("kind: PolicyTests"));
    let first = Bundle::parse(blocks[0].as_bytes()).unwrap();
    for block in tests {
        let cases = Cases::parse(block.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
        cases.are_of(&first).unwrap();
        for outcome in cases.run(&first, &candidate()) {
            assert_eq!(outcome.problem, None, "{}", outcome.name);
        }
        assert_eq!(lacking(&first, &cases), []);
    }
    for block in &blocks {
        let bundle = if block.starts_with("apiVersion") {
            Bundle::parse(block.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{block}"))
        } else {
            bundle(block)
        };
        let report = judge(&bundle, &candidate(), lumos_domain::words::Depth::Full, &[]);
        let judged = &report.results[0];
        let error = lumos_domain::words::RuleResult::Error;
        assert_ne!(judged.result, error, "{block}\n{}", judged.message);
    }
    for operator in Check::OPERATORS {
        let used = blocks
            .iter()
            .any(|block| block.contains(&format!("{operator}: {{")));
        assert!(used, "the guide has no example of `{operator}`");
        assert!(
            FORMAT.contains(&format!("`{operator}`")),
            "the format page lacks `{operator}`"
        );
    }
}
