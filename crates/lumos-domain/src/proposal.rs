//! What one person cannot do alone. Whoever could loosen the rules, hand out roles or sign in as somebody
//! else could approve anything in the end, so each such change waits for a second person (DESIGN promise 6:
//! duties are separate, administrators included; docs/decisions/0011). Tightening needs no second person.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    actor::{Actor, Caller, Grant, Right},
    erasure,
    event::{Event, ProposalConfirmed, ProposalDeclined, ProposalMade},
    facts::{Binding, BundleRef},
    id::{Digest, HoldId, ModelName, PersonId, ProposalId, RoleName},
    keys::{self, RotateKey},
    log_review::{self, SetLogReview},
    model::{self, RegisterModel},
    org::{self, SetMode},
    outside::{self, DefineOutsideAgent},
    person::{self, IssueToken, authorise},
    refusal::Refusal,
    retention::{self, SetRetention},
    rules::{Gate, ReviewRules},
    seal::Sealed,
    stream::Stream,
    system::{self, DefineSystem},
    words::{Mode, ModelTier},
    world::{Decided, Halt, World},
};

/// How long a proposal waits for a second person, in hours (14 days).
pub const WAIT_HOURS: i64 = 14 * 24;

/// Hex digits of a proposal's id: 160 bits of the hash.
const ID_DIGITS: usize = 40;

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
    /// A token is issued.
    IssueToken(IssueToken),
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
    /// A model is bound to a name in a registry.
    BindModel {
        /// The model.
        model: ModelName,
        /// Where its versions appear, whom they are for, which alias follows.
        binding: Binding,
    },
    /// A bundle version is published.
    PublishBundle(BundleRef),
    /// A system is defined or changed.
    DefineSystem(DefineSystem),
    /// An outside agent is defined or changed.
    DefineOutsideAgent(DefineOutsideAgent),
    /// It is set how long records of a class stay readable.
    SetRetention(SetRetention),
    /// A legal hold is lifted.
    LiftHold {
        /// The hold.
        hold: HoldId,
        /// Why.
        reason: Sealed,
    },
    /// Another key is to sign the ledger.
    RotateKey(RotateKey),
    /// It is set how often the log is examined, and by whom.
    SetLogReview(SetLogReview),
    /// It is asked that a person be erased.
    ErasePerson {
        /// Who.
        person: PersonId,
        /// Why.
        reason: Sealed,
    },
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
    /// What it would have replaced, hashed.
    pub replaces: Digest,
}

impl Proposal {
    pub(crate) fn apply(&mut self, event: &Event) {
        match event {
            Event::ProposalMade(e) => {
                self.waiting = Some(Waiting {
                    by: e.person.clone(),
                    change: e.change.clone(),
                    until: e.until,
                    replaces: e.replaces,
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
        hex[..ID_DIGITS].parse().map_err(|_| unsayable(hex))
    }

    /// What it would replace as things are, in the shape of the change itself; nothing where there is nothing.
    /// For telling what would change, and for noticing that it is no longer what was proposed.
    ///
    /// # Errors
    /// [`Halt::Need`] when something must be loaded first.
    pub fn replaces(&self, world: &World) -> Result<Value, Halt> {
        let value = |value: serde_json::Result<Value>| value.unwrap_or_default();
        Ok(match self {
            Self::DefineGate(gate) => value(serde_json::to_value(
                world.org()?.gates.get(&gate.environment),
            )),
            Self::SetReviewRules(_) => value(serde_json::to_value(&world.org()?.rules)),
            Self::DefineRole { role, .. } => match world.org()?.roles.get(role) {
                Some(rights) => json!({ "role": role, "rights": rights }),
                None => Value::Null,
            },
            Self::SetMode(set) => {
                let place = (set.scope.clone(), set.environment.clone());
                match world.org()?.modes.get(&place) {
                    Some(now) => json!({
                        "scope": set.scope, "environment": set.environment, "mode": now.mode,
                        "until": now.until,
                    }),
                    None => Value::Null,
                }
            }
            Self::GrantRole { grant, .. } => {
                // What the role gives is what is handed out.
                json!({ "rights": world.org()?.roles.get(&grant.role) })
            }
            Self::SetCredential { person, .. } => {
                json!({ "person": person, "hash": world.person(person)?.credential })
            }
            Self::IssueToken(issue) => {
                // Whoever holds it records this.
                let agent = world.org()?.agent_of(&issue.person);
                json!({ "records": agent.map(|(_, agent)| &agent.evidence) })
            }
            Self::RegisterModel(register) => world.model(&register.model)?.as_registered(),
            Self::SetModelTier { model, .. } => {
                json!({ "model": model, "tier": world.model(model)?.tier })
            }
            Self::BindModel { model, binding } => {
                let bound = world.model(model)?.bound_at(binding);
                bound.map_or(Value::Null, |now| json!({ "model": model, "binding": now }))
            }
            Self::PublishBundle(bundle) => {
                value(serde_json::to_value(&world.bundle(&bundle.name)?.current))
            }
            Self::DefineSystem(define) => world.system(&define.system)?.as_defined(),
            Self::DefineOutsideAgent(define) => {
                value(serde_json::to_value(define.replaces(world.org()?)))
            }
            Self::SetRetention(set) => {
                json!({ "class": set.class, "days": world.org()?.retention_days(set.class) })
            }
            Self::LiftHold { hold, .. } => match world.org()?.holds.get(hold) {
                Some(scope) => json!({ "hold": hold, "scope": scope }),
                None => Value::Null,
            },
            Self::RotateKey(_) => json!({ "key": world.keys()?.current }),
            Self::SetLogReview(_) => json!({ "schedule": world.log_review()?.schedule }),
            Self::ErasePerson { person, .. } => json!({ "person": person }),
        })
    }

    fn digest_of_replaced(&self, world: &World) -> Result<Digest, Halt> {
        let text = self.replaces(world)?.to_string();
        Ok(Digest::of(text.as_bytes()))
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
            | Self::DefineSystem(_)
            | Self::DefineOutsideAgent(_)
            | Self::SetRetention(_)
            | Self::RotateKey(_)
            | Self::SetLogReview(_)
            | Self::LiftHold { .. } => everywhere(Right::Govern),
            Self::GrantRole { .. } => everywhere(Right::ManagePeople),
            Self::ErasePerson { person, .. } => {
                erasure::not_oneself(caller, person)?;
                everywhere(Right::ManagePeople)
            }
            Self::SetCredential { person, .. } => person::own_or_managed(world, caller, person),
            Self::IssueToken(issue) => person::may_issue(world, caller, &issue.person),
            Self::RegisterModel(register) => on_model(&register.model),
            Self::SetModelTier { model, .. } | Self::BindModel { model, .. } => on_model(model),
            Self::PublishBundle(_) => everywhere(Right::PublishPolicy),
        }
    }

    /// What follows when it is done.
    fn consequences(
        &self,
        world: &World,
        caller: &Caller,
        half: Option<Sealed>,
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
            Self::IssueToken(issue) => person::issue_token(world, issue, half, now),
            Self::RegisterModel(register) => model::register(world, register),
            Self::SetModelTier {
                model,
                tier,
                rationale,
            } => model::set_tier(world, model, *tier, *rationale),
            Self::BindModel { model, binding } => model::bind(world, model, binding),
            Self::PublishBundle(bundle) => model::publish_bundle(world, bundle),
            Self::DefineSystem(define) => system::define(world, define),
            Self::DefineOutsideAgent(define) => outside::define(world, define),
            Self::SetRetention(set) => retention::set(world, set),
            Self::LiftHold { hold, reason } => retention::lift(world, hold, *reason),
            Self::RotateKey(rotate) => keys::rotate(world, rotate, now),
            Self::SetLogReview(set) => log_review::set(world, set, now),
            Self::ErasePerson { person, reason } => erasure::request(world, person, *reason, now),
        }
    }

    /// Whether one person could gain by it what others would have refused them.
    fn loosens(&self, world: &World, caller: &Caller) -> Result<bool, Halt> {
        Ok(match self {
            Self::DefineGate(_)
            | Self::SetReviewRules(_)
            | Self::GrantRole { .. }
            | Self::BindModel { .. }
            | Self::PublishBundle(_)
            | Self::LiftHold { .. }
            // Whoever records evidence of a kind can make a rule pass.
            | Self::DefineOutsideAgent(_)
            // Who vouches for the ledger is somebody else then.
            | Self::RotateKey(_)
            // What was erased comes back for nobody.
            | Self::ErasePerson { .. } => true,
            Self::DefineRole { role, rights } => {
                let held = world.org()?.roles.get(role);
                held.is_none_or(|held| !rights.is_subset(held)) && !rights.is_empty()
            }
            Self::SetMode(set) => set.mode == Mode::Observe,
            // Whoever chose an account's password can sign in as its owner.
            Self::SetCredential { person, .. } => {
                caller.person() != Some(person) && !world.person(person)?.grants.is_empty()
            }
            // Whoever holds an agent's token records as the agent.
            Self::IssueToken(issue) => issue.loosens(world.org()?),
            Self::RegisterModel(register) => register.loosens(world.model(&register.model)?),
            Self::SetModelTier { model, tier, .. } => *tier < world.model(model)?.effective_tier(),
            Self::DefineSystem(define) => define.loosens(world.system(&define.system)?),
            Self::SetRetention(set) => set.loosens(world)?,
            Self::SetLogReview(set) => set.loosens(world)?,
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
    let decided = change.consequences(world, caller, None, now)?;
    let alone = caller.actor == Actor::Genesis || world.org()?.sandbox;
    if alone || decided.is_empty() || !change.loosens(world, caller)? {
        return Ok(decided);
    }
    let by = person::human(world, caller)?;
    let id = change.proposal()?;
    let replaces = change.digest_of_replaced(world)?;
    if let Some(waiting) = &world.proposal(&id)?.waiting
        && now < waiting.until
        && waiting.replaces == replaces
    {
        if waiting.change != *change {
            // Never met: two changes with one hash.
            return Err(Refusal::ProposalOutdated.into());
        }
        return if waiting.by == *by {
            Ok(Vec::new())
        } else {
            confirm(world, caller, &id, None, now)
        };
    }
    let made = ProposalMade {
        person: by.clone(),
        change: change.clone(),
        until: now + SignedDuration::from_hours(WAIT_HOURS),
        replaces,
    };
    Ok(vec![(Stream::Proposal(id), made.into())])
}

/// Does what somebody else proposed, if the rules still allow it to them and to the caller. A secret that two people
/// draw gets its other `half` here.
pub(crate) fn confirm(
    world: &World,
    caller: &Caller,
    id: &ProposalId,
    half: Option<Sealed>,
    now: Timestamp,
) -> Result<Decided, Halt> {
    let waiting = waiting(world, id)?;
    let second = person::signer(world, caller)?;
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
    if waiting.change.digest_of_replaced(world)? != waiting.replaces {
        return Err(Refusal::ProposalOutdated.into());
    }
    let first = Caller::new(Actor::Person(waiting.by.clone()));
    match waiting.change.allowed(world, &first) {
        Err(Halt::Refused(_)) => return Err(Refusal::ProposerGone.into()),
        answer => answer?,
    }
    if let (Governed::IssueToken(_), None) = (&waiting.change, half) {
        // INVARIANT: no secret that two people must draw is known to one of them.
        let problem = "whoever confirms it adds a half of the secret".to_owned();
        return Err(Refusal::BadToken { problem }.into());
    }
    let mut decided = waiting.change.consequences(world, &first, half, now)?;
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
