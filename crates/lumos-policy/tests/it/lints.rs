//! What lint adds to reading: certain mistakes, likely ones, and nothing about what is right.

use lumos_policy::lint::{Level, lint};

fn linted(rule: &str, level: Level, says: &str) {
    let bundle = crate::world::bundle(rule);
    let found = lint(&bundle);
    let hit = found.iter().find(|finding| finding.text.contains(says));
    let all: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(
        hit.map(|finding| finding.level),
        Some(level),
        "{rule}\nno `{says}` in {all:#?}"
    );
}

#[test]
fn lint_names_what_reading_cannot_know() {
    let cel = |source: &str| format!("check: {{cel: \"{source}\"}}");
    let scan = "check: {fully_scanned: {}}";
    use Level::{Error, Warning};
    for (rule, level, says) in [
        (
            cel("candidate.model.teir == 'low'"),
            Error,
            "`candidate.model` has no field `teir`, did you mean `tier`?",
        ),
        (
            cel("candidate.modle.tier == 'low'"),
            Error,
            "did you mean `model`?",
        ),
        (
            cel("candidte.model.tier == 'low'"),
            Error,
            "no name `candidte`, did you mean `candidate`?",
        ),
        (
            cel("evidence.model_crd.size() > 0"),
            Warning,
            "did you mean `model_card`?",
        ),
        (
            cel("evidence.evaluation.claim.metrics.size() > 0"),
            Error,
            "is a list: write `evidence.evaluation[0].claim`",
        ),
        (
            cel("evidence.evaluation[0].claim.metrics.all(m, m.vlaue > 0.5)"),
            Error,
            "did you mean `value`?",
        ),
        (
            cel("evidence['evaluation'][0].clam.source == 'file'"),
            Error,
            "did you mean `claim`?",
        ),
        (
            cel("candidate.model.tier.name == 'x'"),
            Error,
            "is a single value",
        ),
        (cel("params.limti > 0.1"), Error, "did you mean `limit`?"),
        (
            cel("candidate.model.name.startswith('a')"),
            Error,
            "no function `startswith`, did you mean `startsWith`?",
        ),
        (
            cel("evidence.evaluation.size() > 0"),
            Warning,
            "without `requires`",
        ),
        (
            "check: {present: {path: candidate.model.pourpose}}".to_owned(),
            Error,
            "did you mean `purpose`?",
        ),
        (
            "check: {present: {path: evidence.model_card.claim}}".to_owned(),
            Error,
            "is a list",
        ),
        (
            "check: {metric: {name: a, op: '==', value: 1}}".to_owned(),
            Warning,
            "equality",
        ),
        (
            scan.to_owned(),
            Warning,
            "the parameter `limit` is not used",
        ),
        (scan.to_owned(), Warning, "no `remediation`"),
        (scan.to_owned(), Warning, "no `rationale`"),
        (
            format!("{scan}\nenforcement: advisory"),
            Warning,
            "every rule is advisory",
        ),
        (
            format!("{scan}\nenforcement: mandatory\nroutes_to: security"),
            Warning,
            "blocks whoever signs",
        ),
        (
            format!("{scan}\nenforcement: {{auto: mandatory, default: advisory}}"),
            Warning,
            "gets lighter",
        ),
        (format!("{scan}\nstatus: draft"), Error, "no rule is in use"),
        (
            format!("{scan}\neffective_from: 2026-02-01\neffective_to: 2026-01-01"),
            Error,
            "never judged",
        ),
        (
            "evidence_max_age: P9D\ncheck: {evidence_fresh: {evidence: a, max_age: P9D}}"
                .to_owned(),
            Warning,
            "one is enough",
        ),
    ] {
        linted(&rule, level, says);
    }
}

#[test]
fn lint_lets_good_expressions_be() {
    for source in [
        "evidence.evaluation[0].claim.metrics.exists(m, m.name == 'f1' && m.value > params.limit)",
        "has(evidence.bias_audit) && evidence.bias_audit[0].claim.anything.at.all == 1",
        "candidate.manifest.parts.filter(p, p.kind == 'backbone').map(p, p.size).all(s, s > 0)",
        "type(candidate.model.tier) == string && params.word in candidate.model.frameworks",
        "evidence.artifact_scan.all(r, r.claim.findings.all(f, f.severity != 'critical'))",
    ] {
        let bundle = crate::world::bundle(&format!("check: {{cel: \"{source}\"}}"));
        let wrong: Vec<String> = lint(&bundle)
            .iter()
            .filter(|finding| finding.level == Level::Error)
            .map(ToString::to_string)
            .collect();
        assert_eq!(wrong, Vec::<String>::new(), "{source}");
    }
}
