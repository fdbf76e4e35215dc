//! The values inside events and states: sources, bindings, reports, review records, approval tuples.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    canonical,
    id::{
        AgentRef, BundleName, Digest, Environment, RegistryName, ReleaseId, ReviewId, RoleName,
        SystemName,
    },
    rules::Slot,
    seal::Sealed,
    words::{ChangeTier, Depth, Enforcement, ModelTier, PartKind, RuleResult, Score, Severity},
};

/// A file whose content became commands at genesis.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seed {
    /// The file's name, without its folder.
    pub name: String,
    /// SHA-256 of its bytes.
    pub digest: Digest,
}

/// Where the artifacts of a candidate are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The registry, or `upload` for files sent with the submission.
    pub registry: RegistryName,
    /// The model as the registry names it.
    pub name: String,
    /// The version as the registry names it.
    pub version: String,
}

/// An author as a registry or submitter states it: a claim, until a signed-in person takes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// Number within the release, from 1.
    pub number: u32,
    /// The identity as stated.
    pub identity: Sealed,
}

/// A model's place in a registry and what appears there is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binding {
    /// The registry connector.
    pub registry: RegistryName,
    /// The model as the registry names it.
    pub name: String,
    /// The environment detected versions ask for.
    pub environment: Environment,
    /// The agents they are for.
    #[serde(default)]
    pub agents: BTreeSet<AgentRef>,
    /// The alias that names the approved version in the registry, if one is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
}

impl Binding {
    /// Whether both say where versions of one name for one environment appear: the later one counts.
    #[must_use]
    pub fn is_same_place(&self, other: &Self) -> bool {
        (&self.registry, &self.name, &self.environment)
            == (&other.registry, &other.name, &other.environment)
    }
}

/// One frozen version of a policy bundle.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleRef {
    /// The bundle.
    pub name: BundleName,
    /// Its version, as its text states it.
    pub version: String,
    /// SHA-256 of its text.
    pub digest: Digest,
}

/// One result that is not a pass (DECISIONS 2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportedResult {
    /// The rule's id.
    pub rule: String,
    /// The digest of the rule's text.
    pub rule_digest: Digest,
    /// What its failure does at the report's depth.
    pub enforcement: Enforcement,
    /// How severe it is.
    pub severity: Severity,
    /// The result.
    pub result: RuleResult,
    /// A role that must see this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routes_to: Option<RoleName>,
}

impl ReportedResult {
    /// Whether this result blocks approval (DESIGN promise 5). A waived result blocks as long as no
    /// waiver was read again by the rule that decides, which is fail-closed.
    #[must_use]
    pub fn blocks(&self) -> bool {
        let gap = self.result.is_gap() || self.result == RuleResult::Waived;
        gap && self.enforcement > Enforcement::Advisory
    }
}

/// The most results that are not passes in one report; more of them block (DECISIONS 2).
pub const REPORTED_RESULTS_MAX: usize = 200;

/// What of a report `decide` needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportFacts {
    /// The blob that holds the whole report.
    pub report: Digest,
    /// The environment it was made for.
    pub environment: Environment,
    /// The bundles the release was held against.
    pub bundles: BTreeSet<BundleRef>,
    /// Digests of the evidence that was read.
    pub evidence: Vec<Digest>,
    /// The instant the rules were judged as of.
    pub as_of: Timestamp,
    /// The version of the subject stream that was covered.
    pub subject_version: u64,
    /// The depth the rules were judged for.
    pub depth: Depth,
    /// The score, `None` when no rule applied.
    pub score: Option<Score>,
    /// Whether the score is below the bundle's threshold.
    pub below_threshold: bool,
    /// Each result that is not a pass, at most 200.
    pub results: Vec<ReportedResult>,
    /// How many further results were left out.
    pub omitted: u32,
    /// Whether it was made in a sandbox. Outside of one it counts no more: one person could have recorded anything there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sandbox: bool,
}

impl ReportFacts {
    /// The rules that block approval, by id; `(omitted results)` and `(no rule applied)` for the two that
    /// block as a whole.
    #[must_use]
    pub fn blocking(&self) -> Vec<String> {
        let mut rules: Vec<_> = self
            .results
            .iter()
            .filter(|r| r.blocks())
            .map(|r| r.rule.clone())
            .collect();
        if self.omitted > 0 {
            rules.push("(omitted results)".to_owned());
        }
        if self.score.is_none() {
            rules.push("(no rule applied)".to_owned());
        }
        rules
    }

    /// The critical rules that block approval, by id.
    #[must_use]
    pub fn critical(&self) -> Vec<String> {
        let critical = self
            .results
            .iter()
            .filter(|r| r.blocks() && r.severity == Severity::Critical);
        critical.map(|r| r.rule.clone()).collect()
    }

    /// The roles that failed rules route to.
    #[must_use]
    pub fn routes(&self) -> BTreeSet<RoleName> {
        let failed = self.results.iter().filter(|r| r.result.is_gap());
        failed.filter_map(|r| r.routes_to.clone()).collect()
    }
}

/// What a review decides upon. Its hash is what people sign (21 CFR 11.70).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReviewRecord {
    /// The release digest.
    pub digest: Digest,
    /// The environment to enter.
    pub environment: Environment,
    /// The agents it is for.
    pub agents: BTreeSet<AgentRef>,
    /// The bundles of the report.
    pub bundles: BTreeSet<BundleRef>,
    /// The report.
    pub report: Digest,
    /// When the report was judged as of.
    pub as_of: Timestamp,
    /// The version of the subject stream the report covers.
    pub subject_version: u64,
    /// The score.
    pub score: Option<Score>,
    /// The digest of the release now running, if one could be compared.
    pub running: Option<Digest>,
    /// The gravest kind of change that counts.
    pub change: Option<PartKind>,
    /// How much the change may change.
    pub change_tier: ChangeTier,
    /// The model's materiality.
    pub model_tier: ModelTier,
    /// The review depth after everything that raised it.
    pub depth: Depth,
    /// Why the depth is more than the matrix says, in stable words.
    pub raised_by: Vec<String>,
    /// Who must sign.
    pub slots: Vec<Slot>,
    /// The rules that block approval.
    pub blocking: Vec<String>,
    /// Of these, the critical ones.
    pub critical: Vec<String>,
    /// Whether this is decided in a sandbox.
    pub sandbox: bool,
    /// Whether this only tests the flow.
    pub test: bool,
}

impl ReviewRecord {
    /// The record hash: SHA-256 of the record's canonical JSON.
    #[must_use]
    pub fn hash(&self) -> Digest {
        let bytes = canonical::to_bytes(self)
            .expect("because a review record holds no floats and serialises as plain data");
        Digest::of(&bytes)
    }
}

/// What an approval is bound to (DESIGN promise 4). Checked at each use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalTuple {
    /// The release.
    pub release: ReleaseId,
    /// Its digest.
    pub digest: Digest,
    /// The bundles of the report.
    pub bundles: BTreeSet<BundleRef>,
    /// The report.
    pub report: Digest,
    /// The environment it may enter.
    pub environment: Environment,
    /// The agents that may use it.
    pub agents: BTreeSet<AgentRef>,
    /// When the approval ends.
    pub expires: Timestamp,
    /// Whether it was given in a sandbox; such an approval ends when the sandbox is left.
    pub sandbox: bool,
}

/// Why something ended or was escalated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Cause {
    /// A signer rejected it.
    Rejected,
    /// A signer asked for changes.
    ChangesRequested,
    /// The release was withdrawn.
    Withdrawn,
    /// A critical gap stayed open.
    CriticalGap,
    /// Nobody decided in time.
    Overdue,
    /// A person with the right to revoke did so.
    Person,
    /// The sandbox in which it was approved was left.
    SandboxLeft,
}

impl Cause {
    /// The cause in a few words.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Rejected => "rejected by a reviewer",
            Self::ChangesRequested => "changes requested by a reviewer",
            Self::Withdrawn => "withdrawn",
            Self::CriticalGap => "a critical gap stayed open",
            Self::Overdue => "nobody decided in time",
            Self::Person => "revoked by a person",
            Self::SandboxLeft => "the sandbox was left",
        }
    }
}

/// Which systems a mode is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ModeScope {
    /// Every system without a mode of its own, written `*`.
    Every,
    /// One system.
    System(SystemName),
}

impl TryFrom<String> for ModeScope {
    type Error = crate::id::ParseIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text == "*" {
            Ok(Self::Every)
        } else {
            text.parse().map(Self::System)
        }
    }
}

impl From<ModeScope> for String {
    fn from(scope: ModeScope) -> Self {
        match scope {
            ModeScope::Every => "*".to_owned(),
            ModeScope::System(system) => system.into(),
        }
    }
}

/// A change LUMOS makes in a registry: point an alias at the approved version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromotionOrder {
    /// What marks this one order wherever it leaves a trace.
    pub marker: String,
    /// The registry.
    pub registry: RegistryName,
    /// The model as the registry names it.
    pub name: String,
    /// The version as the registry names it.
    pub version: String,
    /// The alias to point at it.
    pub alias: String,
    /// The approval it follows from.
    pub approval: ReviewId,
}

/// One release an agent may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assigned {
    /// The release.
    pub release: ReleaseId,
    /// Its digest.
    pub digest: Digest,
    /// The approval it rests on.
    pub approval: ReviewId,
    /// Share of traffic in percent.
    pub share: u8,
    /// When it stops being allowed, for a release that was replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// What an environment of a system does when LUMOS cannot be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentOutage {
    /// The environment.
    pub environment: Environment,
    /// The choice.
    pub choice: OutageChoice,
}

/// What was approved for an outage of LUMOS itself (DESIGN promise 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutageChoice {
    /// Go on with the last approved release for so many hours.
    ContinueHours(u32),
    /// Hand over to a human.
    DegradeToHuman,
    /// Stop.
    Stop,
}
