//! What followed from a review: the approval and its terms, assignments, promotion in the registry.

use std::collections::BTreeMap;

use jiff::Timestamp;
use lumos_domain::{
    event::Event,
    facts::{ApprovalTuple, Assigned},
    id::{AssignmentId, ReleaseId},
};
use lumos_engine::LedgerEntry;

use crate::pages::show::{State, When, cut};

/// The approval, bound to what was decided on (DESIGN promise 4).
#[derive(Debug, Clone)]
pub(in crate::pages) struct Approval {
    pub(in crate::pages) state: State,
    pub(in crate::pages) problem: String,
    pub(in crate::pages) digest: String,
    pub(in crate::pages) report: String,
    pub(in crate::pages) bundles: Vec<(String, String)>,
    pub(in crate::pages) environment: String,
    pub(in crate::pages) agents: Vec<String>,
    pub(in crate::pages) expires: When,
    pub(in crate::pages) sandbox: bool,
    pub(in crate::pages) may_revoke: bool,
}

/// An agent that may use the release.
#[derive(Debug, Clone)]
pub(in crate::pages) struct AssignedRow {
    pub(in crate::pages) agent: String,
    pub(in crate::pages) share: u8,
    pub(in crate::pages) until: Option<When>,
}

/// A change ordered in a registry, and what came of it.
#[derive(Debug, Clone)]
pub(in crate::pages) struct PromotionRow {
    pub(in crate::pages) what: String,
    pub(in crate::pages) state: State,
    pub(in crate::pages) detail: String,
}

/// The approval as the page shows it.
pub(super) fn approval(
    tuple: &ApprovalTuple,
    problem: Option<&str>,
    may_revoke: bool,
    now: Timestamp,
) -> Approval {
    let expired = tuple.expires <= now;
    let word = match problem {
        None => "live",
        Some(_) if expired => "expired",
        Some(_) => "revoked",
    };
    Approval {
        state: State::of(word),
        problem: problem.unwrap_or_default().to_owned(),
        digest: tuple.digest.to_string(),
        report: tuple.report.to_string(),
        bundles: tuple
            .bundles
            .iter()
            .map(|bundle| {
                (
                    format!("{} {}", bundle.name, bundle.version),
                    bundle.digest.to_string(),
                )
            })
            .collect(),
        environment: tuple.environment.to_string(),
        agents: tuple.agents.iter().map(ToString::to_string).collect(),
        expires: When::of(tuple.expires, now),
        sandbox: tuple.sandbox,
        may_revoke: may_revoke && problem.is_none(),
    }
}

/// Which of these assignments hold the release.
pub(super) fn assigned(
    assignments: &[(AssignmentId, Vec<Assigned>)],
    release: &ReleaseId,
    now: Timestamp,
) -> Vec<AssignedRow> {
    let all = assignments.iter().flat_map(|(id, releases)| {
        let own = releases
            .iter()
            .filter(|assigned| assigned.release == *release);
        own.map(move |assigned| AssignedRow {
            agent: id.agent_ref().to_string(),
            share: assigned.share,
            until: assigned.until.map(|until| When::of(until, now)),
        })
    });
    all.collect()
}

/// The promotions in a release's history, oldest first.
pub(super) fn promotions(history: &[LedgerEntry]) -> Vec<PromotionRow> {
    let mut orders: BTreeMap<&str, PromotionRow> = BTreeMap::new();
    for entry in history {
        match &entry.event {
            Event::PromotionIntended(e) => {
                let order = &e.order;
                let what = format!(
                    "alias `{}` of `{}` in registry `{}` to version `{}`",
                    cut(&order.alias, 100),
                    cut(&order.name, 100),
                    order.registry,
                    cut(&order.version, 100)
                );
                let row = PromotionRow {
                    what,
                    state: State::of("waiting"),
                    detail: "ordered; not read back yet. Whose turn: the approval orchestrator"
                        .to_owned(),
                };
                orders.insert(&order.marker, row);
            }
            Event::PromotionObserved(e) => {
                if let Some(row) = orders.get_mut(e.marker.as_str()) {
                    row.state = State::of("observed");
                    row.detail = format!("read back: `{}`", cut(&e.read_back, 100));
                }
            }
            Event::PromotionFailed(e) => {
                if let Some(row) = orders.get_mut(e.marker.as_str()) {
                    row.state = State::of("failed");
                    row.detail = format!("{}: {}", e.code, cut(&e.problem, 400));
                }
            }
            _ => {}
        }
    }
    orders.into_values().collect()
}

/// The form that asks to enter a further environment.
#[derive(Debug, Clone)]
pub(in crate::pages) struct NextGate {
    /// Where it may ask to go.
    pub(in crate::pages) environments: Vec<String>,
    /// The agents it was for so far.
    pub(in crate::pages) agents: String,
}

#[cfg(test)]
impl Approval {
    pub(in crate::pages) fn sample() -> Self {
        let digest = lumos_domain::id::Digest::of(b"x").to_string();
        Self {
            state: State::of("live"),
            problem: String::new(),
            digest: digest.clone(),
            report: digest.clone(),
            bundles: vec![("starter 1.0.0".into(), digest)],
            environment: "production".into(),
            agents: vec!["ward/intake".into()],
            expires: When::sample(),
            sandbox: true,
            may_revoke: true,
        }
    }
}
