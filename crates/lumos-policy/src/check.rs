//! The checks a rule can make: thirteen declarative operators, or one CEL expression. An operator
//! looks at a candidate and says what it saw. Not here: whether the rule applies and what follows.
//!
//! No operator looks at approvals: an approval rests on the report, so that would be circular
//! (DECISIONS 3).

pub(crate) mod card;
pub(crate) mod licence;
pub(crate) mod metric;
pub(crate) mod paths;
pub(crate) mod read;
pub(crate) mod scan;

use jiff::Timestamp;
use lumos_domain::id::Digest;
use lumos_domain::words::{RuleResult, Severity};
use serde_json::Value;

use crate::candidate::{Candidate, Record};
use crate::cel::Cel;
use crate::path::Path;
use crate::rule::Days;

/// What a rule checks.
#[derive(Debug, Clone)]
pub enum Check {
    /// The value is there and not empty.
    Present(Path),
    /// The text has at least so many characters, the list or mapping so many items.
    MinLength {
        /// Where the value stands.
        path: Path,
        /// The least length.
        min: u64,
    },
    /// The value is one of these.
    OneOf {
        /// Where the value stands.
        path: Path,
        /// The values allowed: text, numbers, true or false.
        values: Vec<Value>,
    },
    /// The text matches a regular expression.
    Matches {
        /// Where the text stands.
        path: Path,
        /// The pattern; it may match anywhere unless anchored.
        pattern: regex::Regex,
    },
    /// A metric of an evaluation or fairness report compares with a threshold.
    Metric(metric::Metric),
    /// No finding of the artifact scan is more severe than this.
    ScanMaxSeverity(Severity),
    /// The artifact scan found none of these codes; a code ending in `*` stands for all it begins.
    NoFinding(Vec<String>),
    /// The newest evidence of a kind is at most so old.
    EvidenceFresh {
        /// The kind.
        kind: String,
        /// How old it may be.
        max_age: Days,
    },
    /// A field of the newest evidence of a kind names this release or one of its files.
    DigestMatches {
        /// The kind.
        kind: String,
        /// The field of the claim that holds a digest.
        field: String,
    },
    /// Every licence expression found can be met with the licences allowed.
    LicenseAllowed(Vec<String>),
    /// The model card has a section, and it says something.
    SectionPresent {
        /// The titles under which the section may stand.
        titles: Vec<String>,
        /// The fewest words it may have.
        min_words: u64,
    },
    /// No two sources contradict each other about the licence.
    LicenceConsistent,
    /// The artifact scan read every file to its end.
    FullyScanned,
    /// One expression that is true when the rule holds.
    Cel(Cel),
}

/// What a check saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) result: RuleResult,
    pub(crate) observed: String,
    pub(crate) expected: String,
    /// The records looked at.
    pub(crate) evidence: Vec<Digest>,
}

impl Seen {
    pub(crate) fn new(
        result: RuleResult,
        observed: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        let (observed, expected) = (cut(&observed.into()), cut(&expected.into()));
        Self {
            result,
            observed,
            expected,
            evidence: vec![],
        }
    }

    pub(crate) fn judged(
        holds: bool,
        observed: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        Self::new(
            if holds {
                RuleResult::Pass
            } else {
                RuleResult::Fail
            },
            observed,
            expected,
        )
    }

    pub(crate) fn missing(observed: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::new(RuleResult::MissingEvidence, observed, expected)
    }

    pub(crate) fn error(observed: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::new(RuleResult::Error, observed, expected)
    }

    pub(crate) fn from<'r>(mut self, records: impl IntoIterator<Item = &'r Record>) -> Self {
        self.evidence = records.into_iter().map(|record| record.digest).collect();
        self
    }
}

/// Text that fits a report: 512 characters, the rest counted.
fn cut(text: &str) -> String {
    match text.char_indices().nth(512) {
        Some((at, _)) => format!("{}… ({} bytes more)", &text[..at], text.len() - at),
        None => text.to_owned(),
    }
}

/// The evidence of a candidate that a rule may use: none of it older than the rule allows.
#[derive(Clone, Copy)]
pub(crate) struct View<'c> {
    pub(crate) candidate: &'c Candidate,
    pub(crate) as_of: Timestamp,
    pub(crate) max_age: Option<Days>,
}

impl<'c> View<'c> {
    /// The records of `kind` that are young enough, newest first.
    pub(crate) fn records(&self, kind: &str) -> impl Iterator<Item = &'c Record> + use<'c> {
        let (as_of, max_age) = (self.as_of, self.max_age);
        let young = move |record: &&Record| {
            max_age.is_none_or(|days| days.covers(record.recorded_at, as_of))
        };
        self.candidate.evidence(kind).iter().filter(young)
    }

    /// The newest record of each producer: what one producer says later replaces what it said
    /// before, never what another said.
    pub(crate) fn latest_of_each(&self, kind: &str) -> Vec<&'c Record> {
        let mut latest: Vec<&Record> = Vec::new();
        for record in self.records(kind) {
            if latest.iter().all(|newer| newer.producer != record.producer) {
                latest.push(record);
            }
        }
        latest
    }
}

impl Check {
    /// Every operator's name, as written under `check`.
    pub const OPERATORS: &'static [&'static str] = &[
        "present",
        "min_length",
        "one_of",
        "matches",
        "metric",
        "scan_max_severity",
        "no_finding",
        "evidence_fresh",
        "digest_matches",
        "license_allowed",
        "section_present",
        "licence_consistent",
        "fully_scanned",
    ];

    /// The kinds of evidence this check looks into.
    #[must_use]
    pub fn kinds(&self) -> Vec<String> {
        let one = |kind: &str| vec![kind.to_owned()];
        match self {
            Self::Present(path)
            | Self::MinLength { path, .. }
            | Self::OneOf { path, .. }
            | Self::Matches { path, .. } => path.kind().map(one).unwrap_or_default(),
            Self::Metric(metric) => metric.kinds(),
            Self::ScanMaxSeverity(_) | Self::NoFinding(_) | Self::FullyScanned => {
                one("artifact_scan")
            }
            Self::EvidenceFresh { kind, .. } | Self::DigestMatches { kind, .. } => one(kind),
            Self::LicenseAllowed(_) => vec!["licence".to_owned(), "model_card".to_owned()],
            Self::SectionPresent { .. } => one("model_card"),
            Self::LicenceConsistent => one("licence"),
            Self::Cel(cel) => cel.kinds().into_iter().collect(),
        }
    }

    /// What a declarative operator sees; `None` for CEL, which needs a scope.
    pub(crate) fn see(&self, view: View<'_>) -> Option<Seen> {
        Some(match self {
            Self::Present(path) => paths::present(path, view),
            Self::MinLength { path, min } => paths::min_length(path, *min, view),
            Self::OneOf { path, values } => paths::one_of(path, values, view),
            Self::Matches { path, pattern } => paths::matches(path, pattern, view),
            Self::Metric(metric) => metric.see(view),
            Self::ScanMaxSeverity(max) => scan::max_severity(*max, view),
            Self::NoFinding(codes) => scan::no_finding(codes, view),
            Self::FullyScanned => scan::fully_scanned(view),
            Self::EvidenceFresh { kind, max_age } => paths::fresh(kind, *max_age, view),
            Self::DigestMatches { kind, field } => paths::digest_matches(kind, field, view),
            Self::LicenseAllowed(allow) => licence::allowed(allow, view),
            Self::LicenceConsistent => licence::consistent(view),
            Self::SectionPresent { titles, min_words } => card::section(titles, *min_words, view),
            Self::Cel(_) => return None,
        })
    }
}
