//! How heavy a review is and who sits in it: the review matrix, slots, gates. Set by people, in the ledger.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    id::{Environment, RoleName},
    words::{ChangeTier, Depth, Grade, ModelTier, Score},
};

/// One kind of seat in a review: `count` people of `role`, each signing at least with `grade`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slot {
    /// The role a signer must hold for the model.
    pub role: RoleName,
    /// How many different people.
    #[serde(default = "one")]
    pub count: u32,
    /// The least grade of signature that counts.
    #[serde(default = "recorded")]
    pub grade: Grade,
}

const fn one() -> u32 {
    1
}

const fn recorded() -> Grade {
    Grade::Recorded
}

/// What follows from a review depth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DepthRule {
    /// Who must sign. Empty only for `auto`.
    #[serde(default)]
    pub slots: Vec<Slot>,
    /// How long an approval of this depth holds, in days.
    pub approval_days: u32,
    /// After how many hours without a decision the review escalates.
    #[serde(default = "three_days")]
    pub overdue_hours: u32,
}

const fn three_days() -> u32 {
    72
}

/// The rules of review of an organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReviewRules {
    /// Environment → model tier → change tier → depth. A missing cell is `panel`.
    pub matrix: BTreeMap<Environment, BTreeMap<ModelTier, BTreeMap<ChangeTier, Depth>>>,
    /// What each depth asks for. A depth without a rule cannot be decided.
    pub depths: BTreeMap<Depth, DepthRule>,
    /// With more agents touched than this, the depth is one step heavier.
    pub wide_over_agents: u32,
    /// The senior role that a paused or overdue review escalates to.
    pub senior_role: RoleName,
    /// How many hours after a critical gap the review escalates.
    pub escalate_critical_after_hours: u32,
}

impl ReviewRules {
    /// Review depth before evaluation: model tier × change tier × environment × agents touched.
    #[must_use]
    pub fn depth(
        &self,
        environment: &Environment,
        tier: ModelTier,
        change: ChangeTier,
        agents: usize,
    ) -> Depth {
        let cell = self
            .matrix
            .get(environment)
            .and_then(|tiers| tiers.get(&tier))
            .and_then(|changes| changes.get(&change))
            .copied()
            .unwrap_or(Depth::Panel);
        let wide = usize::try_from(self.wide_over_agents).is_ok_and(|limit| agents > limit);
        if wide { cell.raised() } else { cell }
    }

    /// What is wrong with these rules, if anything: the sentence names the depth.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        for depth in Depth::ALL {
            let Some(rule) = self.depths.get(depth) else {
                return Some(format!("depth `{depth}` has no rule"));
            };
            let seats: u64 = rule.slots.iter().map(|slot| u64::from(slot.count)).sum();
            if *depth != Depth::Auto && seats == 0 {
                return Some(format!("depth `{depth}` seats nobody"));
            }
            if seats > SEATS_MAX {
                return Some(format!(
                    "depth `{depth}` seats more than {SEATS_MAX} people"
                ));
            }
            if rule.approval_days == 0 {
                return Some(format!(
                    "depth `{depth}` grants approvals that are over at once"
                ));
            }
            if rule.approval_days > DAYS_MAX || rule.overdue_hours > DAYS_MAX * 24 {
                return Some(format!("depth `{depth}` waits more than {DAYS_MAX} days"));
            }
        }
        if self.escalate_critical_after_hours > DAYS_MAX * 24 {
            return Some(format!("a critical gap waits more than {DAYS_MAX} days"));
        }
        None
    }
}

/// The longest time that rules may give, in days (ten years): every instant reckoned with it is a date.
pub const DAYS_MAX: u32 = 3_660;
/// The most people that one review may ask for.
pub const SEATS_MAX: u64 = 100;

/// An environment and what must hold to enter it (DESIGN glossary: gate).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// The environment entered through this gate.
    pub environment: Environment,
    /// An environment for which the same digest must hold a live approval first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Environment>,
    /// The least score, in basis points, that may enter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_score: Option<Score>,
    /// How old a report may be when the approval is given, in days.
    pub report_max_age_days: u32,
}
