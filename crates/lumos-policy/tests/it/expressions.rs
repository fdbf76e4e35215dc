//! CEL checks, and whether a rule applies at all: rows of a rule and its result.

use lumos_domain::words::RuleResult::{Error, Fail, NotApplicable, Pass};

use crate::operators::check;
use crate::world::candidate;

#[test]
fn cel() {
    let c = |source: &str| format!("check: {{cel: \"{source}\"}}");
    for (source, result, says) in [
        ("candidate.model.tier == 'high'", Pass, "true"),
        (
            "candidate.model.tier == 'low'",
            Fail,
            "candidate.model.tier is `high`",
        ),
        ("candidate.model.teir == 'low'", Error, "teir"),
        ("candidate.model.tier > 1", Error, ""),
        ("candidate.model.tier", Error, "not true or false"),
        (
            "9223372036854775807 + candidate.manifest.bytes > 0",
            Error,
            "",
        ),
        ("1 / (candidate.manifest.bytes - 10) > 0", Error, ""),
        (
            "has(evidence.nothing) || candidate.manifest.bytes == 10",
            Pass,
            "",
        ),
        ("evidence.nothing.size() > 0", Error, "nothing"),
        ("nobody == 1", Error, "nobody"),
        (
            "evidence.fairness[0].claim.metrics.all(m, m.value >= params.limit - 0.1)",
            Pass,
            "",
        ),
        ("evidence.fairness[9].digest == ''", Error, ""),
        ("candidate.manifest.bytes + 1 == 11", Pass, ""),
        ("params.word == 'abc' && params.limit > 0.8", Pass, ""),
        ("candidate.release.version.matches('^2')", Pass, ""),
        (
            "candidate.manifest.formats.exists(f, f in ['safetensors'])",
            Pass,
            "",
        ),
    ] {
        check(&c(source), &candidate(), result, says);
    }
}

#[test]
fn when_and_status_and_time() {
    let rule = |more: &str| format!("{more}\ncheck: {{fully_scanned: {{}}}}");
    for (more, result, says) in [
        (
            "when: {cel: \"candidate.model.tier == 'low'\"}",
            NotApplicable,
            "applies only where",
        ),
        ("when: {cel: \"candidate.model.tier == 'high'\"}", Pass, ""),
        (
            "when: {cel: candidate.model.nothing}",
            Error,
            "cannot be judged",
        ),
        (
            "when: {cel: candidate.model.tier}",
            Error,
            "not true or false",
        ),
        ("status: draft", NotApplicable, "draft"),
        ("status: deprecated", NotApplicable, "deprecated"),
        ("effective_from: 2026-11-21", Pass, ""),
        (
            "effective_from: 2026-11-22",
            NotApplicable,
            "takes effect on 2026-11-22T00:00:00Z",
        ),
        ("effective_to: 2026-11-21", NotApplicable, "ended"),
        ("effective_to: 2026-11-21T00:00:01Z", Pass, ""),
    ] {
        check(&rule(more), &candidate(), result, says);
    }
}
