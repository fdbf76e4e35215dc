//! The report (`lumos.report/v1`): every result for one release, the score, what blocks. The same
//! inputs give the same bytes. Not here: how results come about (`evaluate`).

use jiff::Timestamp;
use lumos_domain::canonical;
use lumos_domain::facts::BundleRef;
use lumos_domain::id::{Digest, Environment, ModelName, RoleName, Version};
use lumos_domain::words::{Depth, Enforcement, RuleResult, Score, Severity};
use serde::{Deserialize, Serialize};

use crate::rule::{Control, Remediation, RuleId};

/// The `schema` of the reports written here.
pub const SCHEMA: &str = "lumos.report/v1";
/// The version of the evaluator, part of every report: a new one may judge differently.
pub const EVALUATOR: &str = concat!("lumos-policy/", env!("CARGO_PKG_VERSION"));

/// All results for one release, pinned to what they rest on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// The evaluator that judged.
    pub evaluator: String,
    /// The bundle judged by.
    pub bundle: BundleRef,
    /// The release judged.
    pub release: ReleaseRef,
    /// SHA-256 of the candidate document's bytes.
    pub candidate_digest: Digest,
    /// The instant the report speaks of: ages, effective times and waivers are as of then.
    pub as_of: Timestamp,
    /// The review depth enforcement was resolved for.
    pub depth: Depth,
    /// One result for each rule, in the order of the bundle.
    pub results: Vec<Judged>,
    /// The waivers that excused a failure, by id.
    pub waivers: Vec<WaiverUsed>,
    /// The score with a waived failure as a failure; null when no rule applied.
    pub score_raw: Option<Score>,
    /// The score with a waived failure as a pass; null when no rule applied.
    pub score_with_waivers: Option<Score>,
    /// The score below which review deepens.
    pub pass_threshold: Option<Score>,
    /// Whether the raw score is below the threshold, or there is none to compare.
    pub below_threshold: bool,
    /// Whether the release may not go on: something blocks, or no rule applied.
    pub blocked: bool,
    /// The rules whose gaps block, in the order of the bundle.
    pub blocking: Vec<RuleId>,
    /// The rules with a gap, in the order of the bundle.
    pub gaps: Vec<RuleId>,
    /// The roles whose signatures failed rules ask for, sorted.
    pub routes: Vec<RoleName>,
}

/// The release a report is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseRef {
    /// The model.
    pub model: ModelName,
    /// The version.
    pub version: Version,
    /// The release digest.
    pub digest: Digest,
    /// The environment it asks to enter.
    pub environment: Environment,
}

/// A waiver that excused a failure. An approval ends no later than the earliest of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaiverUsed {
    /// Its id.
    pub id: String,
    /// The rule it excused.
    pub rule: RuleId,
    /// First instant it is no longer in force.
    pub expires_at: Timestamp,
}

/// The result of one rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Judged {
    /// The rule.
    pub rule: RuleId,
    /// Its digest.
    pub rule_digest: Digest,
    /// What it asks, in one line.
    pub title: String,
    /// How severe a failure is.
    pub severity: Severity,
    /// What a failure does at the report's depth.
    pub enforcement: Enforcement,
    /// Its share in the score.
    pub weight: u32,
    /// The result.
    pub result: RuleResult,
    /// The result before the waiver, when one excused it.
    pub before_waiver: Option<RuleResult>,
    /// The result in words.
    pub message: String,
    /// What was seen.
    pub observed: Option<String>,
    /// What was asked for.
    pub expected: Option<String>,
    /// The evidence looked at.
    pub evidence: Vec<Digest>,
    /// The controls the rule speaks to.
    pub controls: Vec<Control>,
    /// How a failure is mended.
    pub remediation: Option<Remediation>,
    /// The role whose signature a failure asks for.
    pub routes_to: Option<RoleName>,
    /// The waiver that excused the failure.
    pub waived_by: Option<String>,
    /// Why a waiver that names this rule did not excuse it.
    pub waiver_reason: Option<String>,
}

impl Judged {
    /// Whether this result blocks: a gap of a mandatory rule, or an unwaived gap of a waivable one.
    #[must_use]
    pub const fn blocks(&self) -> bool {
        self.result.is_gap()
            && matches!(
                self.enforcement,
                Enforcement::Mandatory | Enforcement::Waivable
            )
    }
}

/// What follows from a list of results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The score with a waived failure as a failure.
    pub score_raw: Option<Score>,
    /// The score with a waived failure as a pass.
    pub score_with_waivers: Option<Score>,
    /// The rules whose gaps block.
    pub blocking: Vec<RuleId>,
    /// The rules with a gap.
    pub gaps: Vec<RuleId>,
    /// The roles whose signatures failed rules ask for, waived ones among them, sorted.
    pub routes: Vec<RoleName>,
}

impl Summary {
    /// Computes what follows from `results`.
    #[must_use]
    pub fn of(results: &[Judged]) -> Self {
        let weigh = |counts: &dyn Fn(RuleResult) -> bool| -> u64 {
            let counted = results.iter().filter(|judged| counts(judged.result));
            counted.map(|judged| u64::from(judged.weight)).sum()
        };
        let whole = weigh(&|result| result != RuleResult::NotApplicable);
        let passed = weigh(&|result| result == RuleResult::Pass);
        let waived = weigh(&|result| result == RuleResult::Waived);
        let ids = |chosen: &dyn Fn(&Judged) -> bool| -> Vec<RuleId> {
            results
                .iter()
                .filter(|judged| chosen(judged))
                .map(|judged| judged.rule.clone())
                .collect()
        };
        let failed =
            |judged: &&Judged| judged.result.is_gap() || judged.result == RuleResult::Waived;
        let mut routes: Vec<RoleName> = results
            .iter()
            .filter(failed)
            .filter_map(|judged| judged.routes_to.clone())
            .collect();
        routes.sort();
        routes.dedup();
        Self {
            score_raw: Score::of(passed, whole),
            score_with_waivers: Score::of(passed + waived, whole),
            blocking: ids(&Judged::blocks),
            gaps: ids(&|judged| judged.result.is_gap()),
            routes,
        }
    }
}

impl Report {
    /// The report as canonical JSON (RFC 8785): equal inputs, equal bytes.
    ///
    /// # Panics
    /// Never: a report holds text and whole numbers only, which always have a canonical form.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        canonical::to_bytes(self).expect("because a report holds text and whole numbers only")
    }

    /// SHA-256 of [`Report::to_bytes`].
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.to_bytes())
    }
}
