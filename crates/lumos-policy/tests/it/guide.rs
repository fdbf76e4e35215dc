//! The guide for policy authors: every example in it is read, and no operator is left out.

use lumos_policy::Bundle;
use lumos_policy::check::Check;

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
