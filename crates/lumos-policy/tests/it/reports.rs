//! What a report holds, byte for byte, and how a terminal shows it.

use lumos_domain::words::{Depth, RuleResult};
use lumos_policy::{Report, render};
use serde_json::json;

use crate::world::{bundle, candidate, changed, judge};

const RULE: &str = "routes_to: security-reviewer
check: {metric: {name: accuracy, op: '>=', value: 0.95}}
message: {cel: \"'seen ' + observed + ', asked ' + expected\"}
remediation: {text: Train longer., effort: days, owner_role: model-developer, docs: [a.md]}
controls: [{framework: nist-ai-rmf, edition: '1.0', control: ai-rmf-ms-2.3, relation: evidence-for}]";

#[test]
fn the_same_inputs_give_the_same_bytes() {
    let text = crate::world::one_rule(RULE);
    let first = judge(&bundle(RULE), &candidate(), Depth::Full, &[]);
    let again = judge(&bundle(RULE), &candidate(), Depth::Full, &[]);
    assert_eq!(first.to_bytes(), again.to_bytes());
    assert_eq!(
        first.bundle.digest,
        lumos_domain::id::Digest::of(text.as_bytes())
    );
    let back: Report = serde_json::from_slice(&first.to_bytes()).unwrap();
    assert_eq!(back, first);
    assert_eq!(back.digest(), first.digest());
    // Another instant, depth or candidate is another report.
    assert_ne!(
        first.digest(),
        judge(&bundle(RULE), &candidate(), Depth::Light, &[]).digest()
    );
    let other = changed(
        "/model/purpose",
        json!("Another purpose, as long as the first."),
    );
    assert_ne!(
        first.digest(),
        judge(&bundle(RULE), &other, Depth::Full, &[]).digest()
    );
}

/// CEL mappings have no order of their own; a report must not show one that changes.
#[test]
fn walking_a_mapping_gives_the_same_bytes_too() {
    for rule in [
        "check: {cel: 'false'}\nmessage: {cel: \"candidate.model.map(k, k)[0] + candidate.release.filter(k, k != 'test')[2]\"}",
        "check: {cel: 'candidate.model > 1'}",
        "check: {cel: 'candidate.release.exists(k, candidate.release[k] > 1)'}",
        "check: {cel: 'candidate[candidate.model] == 1'}",
        "check: {cel: 'candidate.release + candidate.model == 1'}",
    ] {
        let bundle = bundle(rule);
        let first = judge(&bundle, &candidate(), Depth::Full, &[]);
        for _ in 0..20 {
            let again = judge(&bundle, &candidate(), Depth::Full, &[]);
            assert_eq!(again.results[0].message, first.results[0].message, "{rule}");
            assert_eq!(again.to_bytes(), first.to_bytes(), "{rule}");
        }
    }
    let named = "check: {cel: 'false'}\nmessage: {cel: 'candidate.model.map(k, k)[0]'}";
    let judged = judge(&bundle(named), &candidate(), Depth::Full, &[])
        .results
        .remove(0);
    assert_eq!(
        judged.message, "frameworks",
        "keys come in the order of their text"
    );
}

#[test]
fn a_result_says_what_was_seen_and_asked() {
    let report = judge(&bundle(RULE), &candidate(), Depth::Full, &[]);
    let json: serde_json::Value = serde_json::from_slice(&report.to_bytes()).unwrap();
    assert_eq!(json["schema"], "lumos.report/v1");
    assert_eq!(json["score_raw"], 0);
    assert_eq!(json["blocking"], json!(["T-ONE-001"]));
    assert_eq!(json["routes"], json!(["security-reviewer"]));
    let result = &json["results"][0];
    assert_eq!(result["result"], "fail");
    assert_eq!(result["observed"], "0.93 (all)");
    assert_eq!(result["expected"], "accuracy >= 0.95 in slice `all`");
    assert_eq!(
        result["message"],
        "seen 0.93 (all), asked accuracy >= 0.95 in slice `all`"
    );
    assert_eq!(result["evidence"], json!([crate::world::digest(4)]));
    assert_eq!(result["remediation"]["effort"], "days");
    assert_eq!(result["controls"][0]["relation"], "evidence-for");
}

/// A message that fails to evaluate, or is not text, changes no result.
#[test]
fn a_broken_message_changes_no_result() {
    for cel in ["candidate.nothing", "1 + 1", "observed + 1"] {
        let rule = format!("check: {{cel: 'false'}}\nmessage: {{cel: {cel}}}");
        let judged = judge(&bundle(&rule), &candidate(), Depth::Full, &[])
            .results
            .remove(0);
        assert_eq!(judged.result, RuleResult::Fail);
        assert!(
            judged.message.starts_with("observed false, expected"),
            "{}",
            judged.message
        );
    }
}

#[test]
fn a_terminal_shows_what_blocks_first() {
    let text = render(&judge(&bundle(RULE), &candidate(), Depth::Full, &[]));
    assert_eq!(
        text,
        "credit-risk 2.3.0 for production: BLOCKED
  bundle   one 1
  depth    full, as of 2026-11-21T00:00:00Z
  score    0.00 %

blocks (1)
  T-ONE-001  One rule
    fail, waivable, severity low
    seen 0.93 (all), asked accuracy >= 0.95 in slice `all`
    to mend: Train longer.

needs the signature of security-reviewer
"
    );
}

/// A file name cannot repaint the reader's terminal or turn the reading direction.
#[test]
fn hostile_names_are_shown_harmless() {
    let name = "a\u{1b}[2Jb\u{202e}c\rd";
    let value = changed(
        "/evidence/artifact_scan/0/claim/not_fully_scanned",
        json!([{"path": name, "reason": "x"}]),
    );
    let text = render(&judge(
        &bundle("check: {fully_scanned: {}}"),
        &value,
        Depth::Full,
        &[],
    ));
    assert!(text.contains("BLOCKED") && text.contains("[2Jb"));
    assert!(!text.contains(['\u{1b}', '\u{202e}', '\r']), "{text:?}");
}
