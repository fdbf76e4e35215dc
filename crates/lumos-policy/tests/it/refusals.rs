//! Bundles and candidates that are refused, with what their author is told.

use lumos_policy::{Bundle, Candidate};
use serde_json::{Value, json};

use crate::world::{candidate, changed, one_rule};

fn refused(yaml: &str, code: &str, says: &str) {
    let Err(error) = Bundle::parse(yaml.as_bytes()) else {
        panic!("was read:\n{yaml:.2000}");
    };
    let text = error.to_string();
    assert_eq!(error.code(), code, "{text}");
    assert!(text.contains(says), "says {text}\nnot {says}");
    let page = format!("{}/../../docs/errors/{code}.md", env!("CARGO_MANIFEST_DIR"));
    assert!(
        std::path::Path::new(&page).exists(),
        "{code} has no page in docs/errors"
    );
}

#[test]
fn rules_that_are_refused() {
    let check = "check: {fully_scanned: {}}";
    let deep = (0..7).fold("true".to_owned(), |inner, i| {
        format!("candidate.manifest.parts.all(p{i}, {inner})")
    });
    let doubling = format!(
        "[candidate.model.name]{}.size() > 0",
        ".map(a, a + a)".repeat(40)
    );
    let copying =
        "candidate.manifest.parts.map(a, candidate.manifest.parts.map(b, candidate)).size() > 0";
    let cel = |source: &str| format!("check: {{cel: \"{source}\"}}");
    for (rule, code, says) in [
        (
            String::new(),
            "missing-key",
            "`bundle.spec.rules[0]` lacks `check`",
        ),
        (
            format!("{check}\nweigth: 3"),
            "unknown-key",
            "`bundle.spec.rules[0]` has the unknown key `weigth`, did you mean `weight`?",
        ),
        (
            format!("{check}\nbanana: 3"),
            "unknown-key",
            "unknown key `banana`",
        ),
        (
            format!("{check}\nweight: heavy"),
            "wrong-type",
            "`bundle.spec.rules[0].weight` is text, expected a whole number",
        ),
        (
            format!("{check}\nweight: 0"),
            "invalid-value",
            "0 is not between 1 and 1000",
        ),
        (
            format!("{check}\nenforcement: must"),
            "invalid-value",
            "advisory, waivable, mandatory",
        ),
        (
            format!("{check}\nenforcement: {{auto: advisory}}"),
            "missing-key",
            "lacks `default`",
        ),
        (
            format!("{check}\nenforcement: {{atuo: advisory, default: waivable}}"),
            "unknown-key",
            "did you mean `auto`?",
        ),
        (
            format!("{check}\nstatus: live"),
            "invalid-value",
            "draft, active, deprecated",
        ),
        (
            format!("{check}\nroutes_to: a b"),
            "invalid-value",
            "role name",
        ),
        (
            format!("{check}\nrequires: [model_card]"),
            "invalid-value",
            "is not `evidence.KIND`",
        ),
        (
            format!("{check}\nevidence_max_age: 90 days"),
            "invalid-value",
            "`P90D`",
        ),
        (
            format!("{check}\nevidence_max_age: P99999D"),
            "invalid-value",
            "`P90D`",
        ),
        (
            "evidence_max_age: P9D\ncheck: {present: {path: candidate.model.name}}".to_owned(),
            "invalid-value",
            "name it under `requires`",
        ),
        (
            format!("{check}\neffective_from: soon"),
            "invalid-value",
            "neither a day",
        ),
        (
            format!("{check}\nmessage: {{text: a, cel: b}}"),
            "invalid-value",
            "either `cel` or `text`",
        ),
        (
            format!(
                "{check}\ncontrols: [{{framework: f, edition: e, control: c, relation: covers}}]"
            ),
            "invalid-value",
            "satisfies, contributes, evidence-for",
        ),
        (
            format!("{check}\ncontrols: [{{framework: f, control: c, relation: satisfies}}]"),
            "missing-key",
            "lacks `edition`",
        ),
        (
            "check: {}".to_owned(),
            "bundle-one-check",
            "exactly one check, found none",
        ),
        (
            "check: {fully_scanned: {}, cel: 'true'}".to_owned(),
            "bundle-one-check",
            "found cel, fully_scanned",
        ),
        (
            "check: {python: {file: a.py}}".to_owned(),
            "bundle-python-rule",
            "python rules are not supported by this version",
        ),
        (
            "check: {no_findings: {}}".to_owned(),
            "unknown-key",
            "did you mean `no_finding`?",
        ),
        (
            "check: {approved_by: {role: x}}".to_owned(),
            "unknown-key",
            "`approved_by`",
        ),
        (
            "check: {present: {path: model.name}}".to_owned(),
            "invalid-value",
            "is not a path",
        ),
        (
            "check: {present: candidate.model.name}".to_owned(),
            "wrong-type",
            "expected a mapping",
        ),
        (
            "check: {metric: {name: a, op: '=>', value: 1}}".to_owned(),
            "invalid-value",
            "none of >=",
        ),
        (
            "check: {metric: {name: a, op: '>=', value: '1'}}".to_owned(),
            "wrong-type",
            "expected a number",
        ),
        (
            "check: {no_finding: {codes: []}}".to_owned(),
            "invalid-value",
            "is empty",
        ),
        (
            "check: {matches: {path: candidate.model.name, pattern: '(a'}}".to_owned(),
            "bundle-bad-pattern",
            "unclosed group",
        ),
        (
            "check: {matches: {path: candidate.model.name, pattern: '(a{1000}){1000}'}}".to_owned(),
            "bundle-bad-pattern",
            "size limit",
        ),
        (cel("candidate.model.tier =="), "cel-syntax", "is not CEL"),
        (
            cel("candidate.model.name.matches(candidate.model.purpose)"),
            "cel-bad-pattern",
            "must be a plain text",
        ),
        (
            cel("candidate.model.name.matches('(a{1000}){1000}')"),
            "cel-bad-pattern",
            "size limit",
        ),
        (cel(&deep), "cel-too-costly", "steps over lists of 32"),
        (cel(&doubling), "cel-too-costly", "could take"),
        (cel(copying), "cel-too-costly", "could build"),
        (
            cel(&format!("{}true{}", "(".repeat(40), ")".repeat(40))),
            "cel-too-long",
            "nested deeper",
        ),
        (
            cel(&format!("1{} == 1", " + 1".repeat(300))),
            "cel-too-long",
            "operators",
        ),
        (cel(&"a".repeat(5_000)), "cel-too-long", "4096 bytes"),
        (
            "check: {metric: {name: a, op: '>=', value: '${params.limti}'}}".to_owned(),
            "bundle-unknown-param",
            "`limti`, did you mean `limit`?",
        ),
        (
            "check: {metric: {name: '${params.word', op: '>=', value: 1}}".to_owned(),
            "invalid-value",
            "not closed",
        ),
    ] {
        refused(&one_rule(&rule), code, says);
    }
}

#[test]
fn bundles_that_are_refused() {
    let good = one_rule("check: {fully_scanned: {}}");
    let with = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        good.replace(from, to)
    };
    let second = good.split("  rules:\n").nth(1).unwrap();
    let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
    for i in 1..12 {
        let alias = format!("*a{},", i - 1).repeat(9);
        bomb.push_str(&format!("a{i}: &a{i} [{alias}]\n"));
    }
    for (yaml, code, says) in [
        (String::new(), "wrong-type", "expected a mapping"),
        (
            "a: [".to_owned(),
            "bundle-not-yaml",
            "reading a policy bundle as YAML",
        ),
        ("\t- x: {".to_owned(), "bundle-not-yaml", ""),
        (bomb, "bundle-not-yaml", ""),
        ("#".repeat(2 << 20), "bundle-too-large", "1048576"),
        (
            with("lumos/v1", "lumos/v2"),
            "invalid-value",
            "is not `lumos/v1`",
        ),
        (
            with("PolicyBundle", "Waiver"),
            "invalid-value",
            "is not `PolicyBundle`",
        ),
        (
            with("kind:", "kidn:"),
            "unknown-key",
            "did you mean `kind`?",
        ),
        (
            with("version: '1'", "version: 1.0"),
            "invalid-value",
            "put it in quotes",
        ),
        (
            with("name: one", "name: one two"),
            "invalid-value",
            "bundle name",
        ),
        (
            with("T-ONE-001", "t-one-1"),
            "invalid-value",
            "is not a rule id",
        ),
        (
            with("severity: low", "severity: 3"),
            "wrong-type",
            "is a number, expected text",
        ),
        (
            with("severity: low", "severity: grave"),
            "invalid-value",
            "info, low, medium, high, critical",
        ),
        (
            with("severity: low", "severity: low\n    severity: high"),
            "bundle-not-yaml",
            "stands twice",
        ),
        (
            format!("{good}{second}"),
            "bundle-duplicate-rule",
            "`T-ONE-001` stands twice",
        ),
        (
            format!("{}  rules: []\n", good.split("  rules:\n").next().unwrap()),
            "bundle-no-rules",
            "holds no rule",
        ),
        (
            with("params: {limit", "params: {Limit"),
            "invalid-value",
            "no name of a parameter",
        ),
        (
            with("word: abc", "word: {a: b}"),
            "invalid-value",
            "a list of those",
        ),
        (
            with("  rules:", "  score: {pass_threshold: 80}\n  rules:"),
            "invalid-value",
            "between 0 and 1",
        ),
        (
            with("  rules:", "  score: {pass_treshold: 0.8}\n  rules:"),
            "unknown-key",
            "did you mean `pass_threshold`?",
        ),
        (
            with("  rules:", "  applies_to: {cel: 1 +}\n  rules:"),
            "cel-syntax",
            "applies_to",
        ),
    ] {
        refused(&yaml, code, says);
    }
}

#[test]
fn candidates_that_are_refused() {
    let later = {
        let mut value = candidate();
        let records = value["evidence"]["evaluation"].as_array_mut().unwrap();
        let mut second = records[0].clone();
        second["recorded_at"] = json!("2026-11-02T00:00:00Z");
        records.push(second);
        value
    };
    for (value, code, says) in [
        (json!([]), "candidate-bad-shape", "expected a mapping"),
        (
            changed("/schema", json!("lumos.candidate/v2")),
            "candidate-bad-shape",
            "lumos.candidate/v1",
        ),
        (
            changed("/extra", json!(1)),
            "candidate-bad-shape",
            "unknown key `extra`",
        ),
        (
            changed("/model/teir", json!("low")),
            "candidate-bad-shape",
            "did you mean `tier`?",
        ),
        (
            changed("/model/tier", json!("huge")),
            "candidate-bad-shape",
            "low, medium, high",
        ),
        (
            changed("/release/digest", json!("sha256:1")),
            "candidate-bad-shape",
            "candidate.release.digest",
        ),
        (
            changed("/release/environment", Value::Null),
            "candidate-bad-shape",
            "lacks `environment`",
        ),
        (
            changed("/evidence/Bad-Kind", json!([])),
            "candidate-bad-shape",
            "kind of evidence",
        ),
        (
            changed("/evidence/evaluation/0/claim", json!("fine")),
            "candidate-bad-shape",
            "expected a mapping",
        ),
        (
            changed("/evidence/evaluation/0/recorded_at", json!("today")),
            "candidate-bad-shape",
            "recorded_at",
        ),
        (later, "candidate-bad-shape", "the newest stands first"),
    ] {
        let error = Candidate::parse(value.to_string().as_bytes()).unwrap_err();
        assert_eq!(error.code(), code);
        assert!(error.to_string().contains(says), "says {error}\nnot {says}");
    }
    for (text, code) in [
        ("", "candidate-not-json"),
        ("{} {}", "candidate-not-json"),
        (r#"{"schema":1,"schema":1}"#, "candidate-not-json"),
    ] {
        assert_eq!(Candidate::parse(text.as_bytes()).unwrap_err().code(), code);
    }
    let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    assert_eq!(
        Candidate::parse(deep.as_bytes()).unwrap_err().code(),
        "candidate-not-json"
    );
    let large = vec![b' '; (16 << 20) + 1];
    assert_eq!(
        Candidate::parse(&large).unwrap_err().code(),
        "candidate-too-large"
    );
}
