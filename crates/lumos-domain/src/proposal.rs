//! What one person cannot do alone. Whoever could loosen the rules, hand out roles or sign in as somebody
//! else could approve anything in the end, so each such change waits for a second person (DESIGN promise 6:
//! duties are separate, administrators included; docs/decisions/0011). Tightening needs no second person.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    actor::{Actor, Caller, Grant, Right},
    event::{Event, ProposalConfirmed, ProposalDeclined, ProposalMade},
    facts::BundleRef,
    id::{Digest, ModelName, PersonId, ProposalId, RoleName},
    model::{self, RegisterModel},
    org::{self, SetMode},
    person::{self, authorise},
    refusal::Refusal,
    rules::{Gate, ReviewRules},
    seal::Sealed,
    stream::Stream,
    system::{self, DefineSystem},
    words::{Mode, ModelTier},
    world::{Decided, Halt, World},
};

/// How long a proposal waits for a second person, in hours (14 days).
pub const WAIT_HOURS: i64 = 14 * 24;

/// A change of what decides who signs or what runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Governed {
    /// A gate is defined or changed.
    DefineGate(Gate),
    /// The rules of review are set.
    SetReviewRules(ReviewRules),
    /// A role gets these rights.
    DefineRole {
        /// The role.
        role: RoleName,
        /// All its rights from then on.
        rights: BTreeSet<Right>,
    },
    /// A mode is set.
    SetMode(SetMode),
    /// Somebody gets a role.
    GrantRole {
        /// Who.
        person: PersonId,
        /// The role and its scope.
        grant: Grant,
    },
    /// A password is set.
    SetCredential {
        /// Whose.
        person: PersonId,
        /// The sealed argon2id hash.
        hash: Sealed,
    },
    /// A model is registered, or described anew.
    RegisterModel(RegisterModel),
    /// A model's tier is set.
    SetModelTier {
        /// The model.
        model: ModelName,
        /// Its tier from then on.
        tier: ModelTier,
        /// Why.
        rationale: Sealed,
    },
    /// A bundle version is published.
    PublishBundle(BundleRef),
    /// A system is defined or changed.
    DefineSystem(DefineSystem),
}

/// The state of stream `proposal/ID`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proposal {
    /// What waits; `None` when nothing was proposed or it was settled.
    pub waiting: Option<Waiting>,
}

/// A change that waits for a second person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Who proposed it.
    pub by: PersonId,
    /// What they proposed.
    pub change: Governed,
    /// Until when it can be confirmed.
    pub until: Timestamp,
}

impl Proposal {
    pub(crate) fn apply(&mut self, event: &Event) {
        match event {
            Event::ProposalMade(e) => {
                self.waiting = Some(Waiting {
                    by: e.person.clone(),
                    change: e.change.clone(),
                    until: e.until,
                });
            }
            Event::ProposalConfirmed(_) | Event::ProposalDeclined(_) => self.waiting = None,
            _ => {}
        }
    }
}

impl Governed {
    /// The id of a proposal of exactly this change: the same change asked for again is the same proposal.
    ///
    /// # Errors
    /// Never in practice: a change is plain data.
    pub fn proposal(&self) -> Result<ProposalId, Halt> {
        let unsayable = |problem: String| Halt::from(Refusal::BadRules { problem });
        let bytes = serde_json::to_vec(self).map_err(|error| unsayable(error.to_string()))?;
        let hex = Digest::of(&bytes).hex();
        hex[..20].parse().map_err(|_| unsayable(hex))
    }

    /// Whether `caller` may ask for this.
    pub(crate) fn allowed(&self, world: &World, caller: &Caller) -> Result<(), Halt> {
        let everywhere = |right| authorise(world, caller, right, None);
        let on_model = |model| authorise(world, caller, Right::ManageModels, Some(model));
        match self {
            Self::DefineGate(_)
            | Self::SetReviewRules(_)
            | Self::DefineRole { .. }
            | Self::SetMode(_)
            | Self::DefineSystem(_) => everywhere(Right::Govern),
            Self::GrantRole { .. } => everywhere(Right::ManagePeople),
            Self::SetCredential { person, .. } => person::own_or_managed(world, caller, person),
            Self::RegisterModel(register) => on_model(&register.model),
            Self::SetModelTier { model, .. } => on_model(model),
            Self::PublishBundle(_) => everywhere(Right::PublishPolicy),
        }
    }

    /// What follows when it is done.
    fn consequences(
        &self,
        world: &World,
        caller: &Caller,
        now: Timestamp,
    ) -> Result<Decided, Halt> {
        match self {
            Self::DefineGate(gate) => org::define_gate(world, gate),
            Self::SetReviewRules(rules) => org::set_rules(world, rules),
            Self::DefineRole { role, rights } => org::define_role(world, role, rights),
            Self::SetMode(set) => org::set_mode(world, set, now),
            Self::GrantRole { person, grant } => person::grant(world, caller, person, grant),
            Self::SetCredential { person, hash } => {
                person::set_credential(world, caller, person, *hash)
            }
            Self::RegisterModel(register) => model::register(world, register),
            Self::SetModelTier {
                model,
                tier,
                rationale,
            } => model::set_tier(world, model, *tier, *rationale),
            Self::PublishBundle(bundle) => model::publish_bundle(world, bundle),
            Self::DefineSystem(define) => system::define(world, define),
        }
    }

    /// Whether one person could gain by it what others would have refused them.
    fn loosens(&self, world: &World, caller: &Caller) -> Result<bool, Halt> {
        Ok(match self {
            Self::DefineGate(_)
            | Self::SetReviewRules(_)
            | Self::GrantRole { .. }
            | Self::PublishBundle(_) => true,
            Self::DefineRole { role, rights } => {
                let held = world.org()?.roles.get(role);
                held.is_none_or(|held| !rights.is_subset(held)) && !rights.is_empty()
            }
            Self::SetMode(set) => set.mode == Mode::Observe,
            // Whoever chose an account's password can sign in as its owner.
            Self::SetCredential { person, .. } => {
                caller.person() != Some(person) && !world.person(person)?.grants.is_empty()
            }
            Self::RegisterModel(register) => register.loosens(world.model(&register.model)?),
            Self::SetModelTier { model, tier, .. } => *tier < world.model(model)?.effective_tier(),
            Self::DefineSystem(define) => define.loosens(world.system(&define.system)?),
        })
    }
}

/// Does a change, or proposes it when a second person is needed: not at the founding, and not in a sandbox.
pub(crate) fn govern(
    world: &World,
    caller: &Caller,
    change: &Governed,
    now: Timestamp,
) -> Result<Decided, Halt> {
    let decided = change.consequences(world, caller, now)?;
    let alone = caller.actor == Actor::Genesis || world.org()?.sandbox;
    if alone || decided.is_empty() || !change.loosens(world, caller)? {
        return Ok(decided);
    }
    let by = person::human(world, caller)?;
    let id = change.proposal()?;
    if let Some(waiting) = &world.proposal(&id)?.waiting
        && now < waiting.until
    {
        return if waiting.by == *by {
            Ok(Vec::new())
        } else {
            confirm(world, caller, &id, now)
        };
    }
    let made = ProposalMade {
        person: by.clone(),
        change: change.clone(),
        until: now + SignedDuration::from_hours(WAIT_HOURS),
    };
    Ok(vec![(Stream::Proposal(id), made.into())])
}

/// Does what somebody else proposed, if the rules still allow it to them and to the caller.
pub(crate) fn confirm(
    world: &World,
    caller: &Caller,
    id: &ProposalId,
    now: Timestamp,
) -> Result<Decided, Halt> {
    let waiting = waiting(world, id)?;
    let second = person::human(world, caller)?;
    if *second == waiting.by {
        return Err(Refusal::NeedsSecondPerson.into());
    }
    may_settle(world, caller, &waiting.change)?;
    if let Governed::GrantRole { person, .. } = &waiting.change
        && person == second
    {
        return Err(Refusal::OwnRole.into());
    }
    if now >= waiting.until {
        return Err(Refusal::ProposalExpired.into());
    }
    let first = Caller::new(Actor::Person(waiting.by.clone()));
    match waiting.change.allowed(world, &first) {
        Err(Halt::Refused(_)) => return Err(Refusal::ProposerGone.into()),
        answer => answer?,
    }
    let mut decided = waiting.change.consequences(world, &first, now)?;
    let confirmed = ProposalConfirmed {
        first: waiting.by.clone(),
    };
    decided.push((Stream::Proposal(id.clone()), confirmed.into()));
    Ok(decided)
}

/// Ends a proposal: its proposer takes it back, or somebody who could confirm it says no.
pub(crate) fn decline(
    world: &World,
    caller: &Caller,
    id: &ProposalId,
    reason: Sealed,
) -> Result<Decided, Halt> {
    let waiting = waiting(world, id)?;
    if *person::human(world, caller)? != waiting.by {
        may_settle(world, caller, &waiting.change)?;
    }
    Ok(vec![(
        Stream::Proposal(id.clone()),
        ProposalDeclined { reason }.into(),
    )])
}

fn waiting<'a>(world: &'a World, id: &ProposalId) -> Result<&'a Waiting, Halt> {
    let unknown = || Refusal::Unknown {
        what: "waiting proposal",
        name: id.to_string(),
    };
    Ok(world.proposal(id)?.waiting.as_ref().ok_or_else(unknown)?)
}

/// Whoever may ask for a change may confirm it; so may who governs, where only one person may ask.
fn may_settle(world: &World, caller: &Caller, change: &Governed) -> Result<(), Halt> {
    match change.allowed(world, caller) {
        Err(Halt::Refused(_)) => authorise(world, caller, Right::Govern, None),
        answer => answer,
    }
}
