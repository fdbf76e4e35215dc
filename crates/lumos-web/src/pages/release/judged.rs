//! What policy found: the gaps first, each with what was seen, what was asked for and how to mend it.

use jiff::Timestamp;
use lumos_domain::{
    facts::{ReportFacts, ReviewRecord},
    words::{Enforcement, RuleResult},
};
use lumos_policy::{Report, report::Judged, rule::Control};
use serde_json::Value;

use crate::pages::show::{State, When, cut};

/// Characters of a message or an observed value that are shown.
const TEXT_MAX: usize = 2_000;

/// All results for a release in one environment.
#[derive(Debug, Clone)]
pub(in crate::pages) struct Judgement {
    pub(in crate::pages) score: String,
    pub(in crate::pages) below_threshold: bool,
    pub(in crate::pages) depth: String,
    pub(in crate::pages) raised_by: Vec<String>,
    pub(in crate::pages) as_of: When,
    pub(in crate::pages) report: String,
    pub(in crate::pages) bundles: Vec<String>,
    pub(in crate::pages) blocking: usize,
    /// What blocks as a whole, without a rule of its own.
    pub(in crate::pages) whole: Vec<&'static str>,
    pub(in crate::pages) gaps: Vec<Gap>,
    pub(in crate::pages) others: Vec<Other>,
    /// Whether the whole report could be read.
    pub(in crate::pages) complete: bool,
}

/// A result that is not a pass.
#[derive(Debug, Clone)]
pub(in crate::pages) struct Gap {
    pub(in crate::pages) rule: String,
    pub(in crate::pages) title: String,
    pub(in crate::pages) result: State,
    pub(in crate::pages) severity: String,
    pub(in crate::pages) enforcement: String,
    pub(in crate::pages) blocks: bool,
    pub(in crate::pages) message: String,
    pub(in crate::pages) observed: String,
    pub(in crate::pages) expected: String,
    pub(in crate::pages) mend: String,
    pub(in crate::pages) mend_by: String,
    pub(in crate::pages) effort: String,
    pub(in crate::pages) docs: Vec<String>,
    pub(in crate::pages) controls: Vec<String>,
    pub(in crate::pages) routes_to: String,
    pub(in crate::pages) waiver: String,
}

/// A result that asks for nothing.
#[derive(Debug, Clone)]
pub(in crate::pages) struct Other {
    pub(in crate::pages) rule: String,
    pub(in crate::pages) title: String,
    pub(in crate::pages) result: State,
    pub(in crate::pages) message: String,
}

impl Judgement {
    /// The judgement that `facts` sum up and `blob` holds whole. Without the blob the summary is shown.
    pub(super) fn of(
        facts: &ReportFacts,
        record: Option<&ReviewRecord>,
        blob: Option<&[u8]>,
        now: Timestamp,
    ) -> Self {
        let reports = blob.and_then(reports);
        let complete = reports.is_some();
        let judged: Vec<Judged> = reports
            .into_iter()
            .flatten()
            .flat_map(|report| report.results)
            .collect();
        let is_gap =
            |judged: &&Judged| judged.result.is_gap() || judged.result == RuleResult::Waived;
        let mut gaps: Vec<Gap> = if complete {
            judged.iter().filter(is_gap).map(gap).collect()
        } else {
            facts.results.iter().map(summary).collect()
        };
        gaps.sort_by_key(|gap| !gap.blocks);
        let others = judged.iter().filter(|judged| !is_gap(judged)).map(other);
        let mut whole = Vec::new();
        if facts.omitted > 0 {
            whole.push("There are more results than a report may list; that blocks as a whole.");
        }
        if facts.score.is_none() {
            whole.push("No rule applied, so there is no score; that blocks as a whole.");
        }
        Self {
            score: facts
                .score
                .map_or_else(|| "none".to_owned(), |score| score.to_string()),
            below_threshold: facts.below_threshold,
            depth: record
                .map_or(facts.depth, |record| record.depth)
                .to_string(),
            raised_by: record
                .map(|record| record.raised_by.clone())
                .unwrap_or_default(),
            as_of: When::of(facts.as_of, now),
            report: facts.report.to_string(),
            bundles: facts
                .bundles
                .iter()
                .map(|bundle| format!("{} {}", bundle.name, bundle.version))
                .collect(),
            blocking: facts.blocking().len(),
            whole,
            others: others.collect(),
            gaps,
            complete,
        }
    }
}

/// The bundles' reports in a stored assessment.
fn reports(blob: &[u8]) -> Option<Vec<Report>> {
    let mut whole: Value = serde_json::from_slice(blob).ok()?;
    if whole["schema"] != "lumos.assessment/v1" {
        return None;
    }
    serde_json::from_value(whole["reports"].take()).ok()
}

fn gap(judged: &Judged) -> Gap {
    let text = |text: &Option<String>| {
        text.as_deref()
            .map(|t| cut(t, TEXT_MAX))
            .unwrap_or_default()
    };
    let mend = judged.remediation.as_ref();
    let waiver = match (&judged.waived_by, &judged.waiver_reason) {
        (Some(id), _) => format!("excused by waiver {id}"),
        (None, Some(reason)) => reason.clone(),
        (None, None) => String::new(),
    };
    Gap {
        rule: judged.rule.to_string(),
        title: judged.title.clone(),
        result: State::of(judged.result.as_str()),
        severity: judged.severity.to_string(),
        enforcement: judged.enforcement.to_string(),
        // As the decision counts it: a waived result blocks while no waiver is read again.
        blocks: judged.enforcement > Enforcement::Advisory,
        message: cut(&judged.message, TEXT_MAX),
        observed: text(&judged.observed),
        expected: text(&judged.expected),
        mend: mend.map(|mend| mend.text.clone()).unwrap_or_default(),
        mend_by: mend
            .and_then(|mend| mend.owner_role.as_ref())
            .map(ToString::to_string)
            .unwrap_or_default(),
        effort: mend
            .and_then(|mend| mend.effort.clone())
            .unwrap_or_default(),
        docs: mend.map(|mend| mend.docs.clone()).unwrap_or_default(),
        controls: judged.controls.iter().map(control).collect(),
        routes_to: judged
            .routes_to
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        waiver,
    }
}

fn control(control: &Control) -> String {
    format!(
        "{} {} {} ({})",
        control.framework,
        control.edition,
        control.control,
        control.relation.as_str()
    )
}

fn other(judged: &Judged) -> Other {
    Other {
        rule: judged.rule.to_string(),
        title: judged.title.clone(),
        result: State::of(judged.result.as_str()),
        message: cut(&judged.message, TEXT_MAX),
    }
}

/// A gap as the ledger alone knows it.
fn summary(result: &lumos_domain::facts::ReportedResult) -> Gap {
    Gap {
        rule: result.rule.clone(),
        title: String::new(),
        result: State::of(result.result.as_str()),
        severity: result.severity.to_string(),
        enforcement: result.enforcement.to_string(),
        blocks: result.blocks(),
        message: String::new(),
        observed: String::new(),
        expected: String::new(),
        mend: String::new(),
        mend_by: String::new(),
        effort: String::new(),
        docs: Vec::new(),
        controls: Vec::new(),
        routes_to: result
            .routes_to
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        waiver: String::new(),
    }
}

#[cfg(test)]
impl Judgement {
    pub(in crate::pages) fn sample(hostile: &str) -> Self {
        let text = hostile.to_owned();
        Self {
            score: "87.50 %".into(),
            below_threshold: true,
            depth: "full".into(),
            raised_by: vec!["score below the threshold".into()],
            as_of: When::sample(),
            report: lumos_domain::id::Digest::of(b"report").to_string(),
            bundles: vec!["starter 1.0.0".into()],
            blocking: 1,
            whole: vec!["No rule applied."],
            gaps: vec![Gap {
                rule: "scan.clean".into(),
                title: text.clone(),
                result: State::of("fail"),
                severity: "critical".into(),
                enforcement: "mandatory".into(),
                blocks: true,
                message: text.clone(),
                observed: text.clone(),
                expected: text.clone(),
                mend: text.clone(),
                mend_by: "developer".into(),
                effort: "a day".into(),
                docs: vec!["javascript:alert(1)".into()],
                controls: vec!["nist-ai-rmf 1.0 MEASURE-2.6 (satisfies)".into()],
                routes_to: "clinical-safety".into(),
                waiver: text.clone(),
            }],
            others: vec![Other {
                rule: "card.present".into(),
                title: text.clone(),
                result: State::of("pass"),
                message: text,
            }],
            complete: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use lumos_domain::id::Digest;

    use super::*;

    /// One failed mandatory rule and no assessment to read: the gap is still there, and blocks.
    #[test]
    fn a_gap_is_shown_even_when_the_report_cannot_be_read() {
        let facts: ReportFacts = serde_json::from_value(serde_json::json!({
            "report": Digest::of(b"report"), "environment": "production", "bundles": [], "evidence": [],
            "as_of": "2026-03-01T00:00:00Z", "subject_version": 1, "depth": "full", "score": 8750,
            "below_threshold": true, "omitted": 1,
            "results": [
                {"rule": "card.present", "rule_digest": Digest::of(b"a"), "enforcement": "advisory",
                 "severity": "low", "result": "fail"},
                {"rule": "scan.clean", "rule_digest": Digest::of(b"b"), "enforcement": "mandatory",
                 "severity": "critical", "result": "missing_evidence"},
            ],
        }))
        .unwrap();
        for blob in [None, Some(&b"not json"[..]), Some(br#"{"schema":"other"}"#)] {
            let judged = Judgement::of(&facts, None, blob, facts.as_of);
            assert!(!judged.complete);
            let rules: Vec<_> = judged
                .gaps
                .iter()
                .map(|g| (g.rule.as_str(), g.blocks))
                .collect();
            assert_eq!(rules, [("scan.clean", true), ("card.present", false)]);
            assert_eq!(judged.gaps[0].result.word, "missing evidence");
            assert_eq!((judged.score.as_str(), judged.whole.len()), ("87.50 %", 1));
        }
    }
}
