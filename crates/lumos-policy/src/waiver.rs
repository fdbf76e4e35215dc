//! A waiver as the report needs it: which rule it excuses, for whom, from when to when. Not here:
//! who asked for it and who granted it (lumos-domain), nor its effect on an approval.

use jiff::Timestamp;
use lumos_domain::id::{Digest, Environment, ModelName, Version};
use lumos_domain::words::Enforcement;
use serde::{Deserialize, Serialize};

use crate::candidate::Candidate;
use crate::rule::{Rule, RuleId};

/// A bounded, expiring exception to one waivable rule for one model's stated versions and environments.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waiver {
    /// Its id, such as `WVR-2026-0012`.
    pub id: String,
    /// The rule it excuses.
    pub rule: RuleId,
    /// The digest of that rule when the waiver was granted: an edited rule voids it.
    pub rule_digest: Digest,
    /// The model.
    pub model: ModelName,
    /// The versions, each named.
    pub versions: Vec<Version>,
    /// The environments, each named.
    pub environments: Vec<Environment>,
    /// First instant in force.
    pub not_before: Timestamp,
    /// First instant no longer in force.
    pub expires_at: Timestamp,
}

/// Why a waiver of a rule does not excuse its failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Mandatory,
    Advisory,
    RuleChanged,
    OtherModel,
    OtherVersion,
    OtherEnvironment,
    NotYet,
    Expired,
}

impl Refusal {
    /// The reason, as the report states it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Mandatory => "waiver_refused (a mandatory rule cannot be waived)",
            Self::Advisory => "waiver_unneeded (an advisory rule does not block)",
            Self::RuleChanged => "waiver_void (the rule was changed after it was granted)",
            Self::OtherModel => "waiver_out_of_scope (it is for another model)",
            Self::OtherVersion => "waiver_out_of_scope (it does not name this version)",
            Self::OtherEnvironment => "waiver_out_of_scope (it does not name this environment)",
            Self::NotYet => "waiver_not_yet_in_force",
            Self::Expired => "waiver_expired",
        }
    }
}

impl Waiver {
    /// Whether this waiver, which names `rule`, excuses its failure.
    pub(crate) fn excuses(
        &self,
        rule: &Rule,
        enforcement: Enforcement,
        candidate: &Candidate,
        as_of: Timestamp,
    ) -> Result<(), Refusal> {
        let checks = [
            (enforcement != Enforcement::Mandatory, Refusal::Mandatory),
            (enforcement == Enforcement::Waivable, Refusal::Advisory),
            (self.rule_digest == rule.digest, Refusal::RuleChanged),
            (self.model == *candidate.model(), Refusal::OtherModel),
            (
                self.versions.contains(candidate.version()),
                Refusal::OtherVersion,
            ),
            (
                self.environments.contains(candidate.environment()),
                Refusal::OtherEnvironment,
            ),
            (self.not_before <= as_of, Refusal::NotYet),
            (as_of < self.expires_at, Refusal::Expired),
        ];
        match checks.into_iter().find(|(holds, _)| !holds) {
            Some((_, refusal)) => Err(refusal),
            None => Ok(()),
        }
    }
}
