//! The tests of a bundle (`lumos/v1`, kind `PolicyTests`): candidates made from one that passes, each by a few changes, and
//! what one rule must say of them. Not here: files, and how outcomes are shown.
//!
//! A rule that was never seen to fail may be one that cannot. So [`lacking`] says which answers of a rule nobody tests, and
//! [`crate::mutate`] changes rules to see whether their tests notice.

mod read;

use jiff::Timestamp;
use json_patch::Patch;
use lumos_domain::{
    id::{BundleName, Digest},
    words::{Depth, RuleResult},
};
use serde_json::Value;

use crate::{
    bundle::Bundle,
    candidate::Candidate,
    check::Check,
    decode::ShapeError,
    evaluate::{Context, evaluate},
    report::Judged,
    rule::{Rule, RuleId, Status},
    tree::{self, Limits, TreeError},
    waiver::Waiver,
};

/// Most bytes of one file of tests: 4 MiB.
pub const MAX_BYTES: usize = 4 << 20;
/// Most cases in one file.
pub const MAX_CASES: usize = 10_000;

const LIMITS: Limits = Limits {
    bytes: MAX_BYTES,
    nodes: 400_000,
    text: 16 << 20,
    depth: 64,
};

/// Why tests were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CasesError {
    /// Not one YAML document, one that repeats a key, or larger than is read.
    #[error("reading the tests of a policy bundle as YAML: {0}")]
    NotYaml(TreeError),
    /// A key or value is not as it must be.
    #[error("reading the tests of a policy bundle: {0}")]
    Shape(ShapeError),
    /// They are the tests of another bundle.
    #[error("these are tests of the bundle `{tests}`, not of `{bundle}`")]
    OtherBundle {
        /// The bundle that they name.
        tests: BundleName,
        /// The bundle that was given.
        bundle: BundleName,
    },
}

impl From<ShapeError> for CasesError {
    fn from(error: ShapeError) -> Self {
        Self::Shape(error)
    }
}

impl CasesError {
    /// The stable code of this error, a page in `docs/errors/`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotYaml(_) => "policy-tests-not-yaml",
            Self::Shape(_) => "policy-tests-bad-shape",
            Self::OtherBundle { .. } => "policy-tests-other-bundle",
        }
    }
}

/// A file of tests.
#[derive(Debug, Clone)]
pub struct Cases {
    bundle: BundleName,
    base: String,
    as_of: Timestamp,
    depth: Depth,
    cases: Vec<Case>,
}

/// One test.
#[derive(Debug, Clone)]
pub struct Case {
    /// The rule that it tests.
    pub rule: RuleId,
    /// What it is about.
    pub name: String,
    as_of: Option<Timestamp>,
    depth: Option<Depth>,
    patch: Patch,
    waivers: Vec<Granted>,
    expect: Expect,
}

/// A waiver of the rule under test, for the release under test.
#[derive(Debug, Clone)]
struct Granted {
    not_before: Timestamp,
    expires_at: Timestamp,
    /// The rule as it was when the waiver was granted; as it is now, where it does not say.
    rule_digest: Option<Digest>,
}

/// What the rule must say.
#[derive(Debug, Clone)]
struct Expect {
    result: RuleResult,
    /// A part of the message.
    message: Option<String>,
}

/// What came of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The rule.
    pub rule: RuleId,
    /// The name of the test.
    pub name: String,
    /// Why it does not hold; nothing when it does.
    pub problem: Option<String>,
}

/// An answer of a rule that no test asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacking {
    /// The rule.
    pub rule: RuleId,
    /// The answer.
    pub result: RuleResult,
}

impl Cases {
    /// Reads a file of tests.
    ///
    /// # Errors
    /// On the first thing that is not as `docs/formats/policy-tests.md` describes, with its path.
    pub fn parse(yaml: &[u8]) -> Result<Self, CasesError> {
        let value = tree::read_yaml(yaml, LIMITS).map_err(CasesError::NotYaml)?;
        Ok(read::cases(&value)?)
    }

    /// The candidate document that passes, as a path from the file's own folder.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The tests, in the order written.
    #[must_use]
    pub fn all(&self) -> &[Case] {
        &self.cases
    }

    /// Refuses to test another bundle.
    ///
    /// # Errors
    /// [`CasesError::OtherBundle`].
    pub fn are_of(&self, bundle: &Bundle) -> Result<(), CasesError> {
        if self.bundle == *bundle.name() {
            return Ok(());
        }
        Err(CasesError::OtherBundle {
            tests: self.bundle.clone(),
            bundle: bundle.name().clone(),
        })
    }

    /// Runs every test of `bundle` over `base`, the candidate document that [`Self::base`] names.
    #[must_use]
    pub fn run(&self, bundle: &Bundle, base: &Value) -> Vec<Outcome> {
        let outcome = |case: &Case| Outcome {
            rule: case.rule.clone(),
            name: case.name.clone(),
            problem: match bundle.rule(case.rule.as_str()) {
                Some(rule) => self.problem(case, (bundle, rule), base),
                None => Some("the bundle has no such rule".to_owned()),
            },
        };
        self.cases.iter().map(outcome).collect()
    }

    /// Why a test of `rule` does not hold.
    pub(crate) fn problem(
        &self,
        case: &Case,
        (bundle, rule): (&Bundle, &Rule),
        base: &Value,
    ) -> Option<String> {
        match self.judged(case, (bundle, rule), base) {
            Ok(judged) => case.expect.missed(&judged),
            Err(problem) => Some(problem),
        }
    }

    /// What the rule says of the candidate that the test makes.
    fn judged(
        &self,
        case: &Case,
        (bundle, rule): (&Bundle, &Rule),
        base: &Value,
    ) -> Result<Judged, String> {
        let mut document = base.clone();
        json_patch::patch(&mut document, &case.patch)
            .map_err(|error| format!("its patch does not apply: {error}"))?;
        let candidate = Candidate::parse(document.to_string().as_bytes())
            .map_err(|error| format!("its patch makes no candidate: {error}"))?;
        let waivers: Vec<_> = (1..)
            .zip(&case.waivers)
            .map(|(number, granted)| granted.waiver(number, rule, &candidate))
            .collect();
        let context = Context {
            as_of: case.as_of.unwrap_or(self.as_of),
            depth: case.depth.unwrap_or(self.depth),
            waivers: &waivers,
        };
        let report = evaluate(&bundle.with_only(rule.clone()), &candidate, &context);
        let mut results = report.results.into_iter();
        results
            .next()
            .ok_or_else(|| "the rule was not judged".to_owned())
    }
}

impl Expect {
    fn missed(&self, judged: &Judged) -> Option<String> {
        let told = |what: &str| {
            let why = judged.waiver_reason.as_deref();
            let why = why.map_or_else(String::new, |why| format!(" ({why})"));
            format!(
                "expected {what}, found {}: {}{why}",
                judged.result, judged.message
            )
        };
        if judged.result != self.result {
            return Some(told(self.result.as_str()));
        }
        let part = self.message.as_deref()?;
        (!judged.message.contains(part)).then(|| told(&format!("a message with `{part}`")))
    }
}

impl Granted {
    fn waiver(&self, number: usize, rule: &Rule, candidate: &Candidate) -> Waiver {
        Waiver {
            id: format!("waiver {number} of the test"),
            rule: rule.id.clone(),
            rule_digest: self.rule_digest.unwrap_or(rule.digest),
            model: candidate.model().clone(),
            versions: vec![candidate.version().clone()],
            environments: vec![candidate.environment().clone()],
            not_before: self.not_before,
            expires_at: self.expires_at,
        }
    }
}

/// The answers of rules in use that no test asks for: of each `pass` and `fail`, `missing_evidence` where it looks into
/// evidence, and `not_applicable` where it says when it applies. That evidence is there holds, or it is missing.
#[must_use]
pub fn lacking(bundle: &Bundle, cases: &Cases) -> Vec<Lacking> {
    let in_use = |rule: &&Rule| rule.status == Status::Active;
    let of = |rule: &Rule| {
        let evidence = !(rule.requires.is_empty() && rule.check.kinds().is_empty());
        let only_there = matches!(&rule.check, Check::Present(path) if path.is_kind());
        let asked = [
            (RuleResult::Pass, true),
            (RuleResult::Fail, !only_there),
            (RuleResult::MissingEvidence, evidence),
            (RuleResult::NotApplicable, rule.when.is_some()),
        ];
        let untested = |result: RuleResult| {
            let mut own = cases.cases.iter().filter(|case| case.rule == rule.id);
            own.all(|case| case.expect.result != result)
        };
        let lacking = asked.into_iter().filter(|(_, asked)| *asked);
        let lacking = lacking.map(|(result, _)| result).filter(|it| untested(*it));
        let rule = rule.id.clone();
        lacking
            .map(move |result| Lacking {
                rule: rule.clone(),
                result,
            })
            .collect::<Vec<_>>()
    };
    bundle.rules().iter().filter(in_use).flat_map(of).collect()
}
