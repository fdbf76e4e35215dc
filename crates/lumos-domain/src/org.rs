//! The organisation: founding, gates, review rules, roles, modes, the sandbox.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    actor::{Actor, Caller, Right},
    event::{
        Event, GateDefined, GenesisRecorded, LedgerReread, ModeSet, ReviewRulesSet, RoleDefined,
        SandboxLeft, StartRecorded,
    },
    facts::{ModeScope, Seed},
    id::{Digest, Environment, HoldId, OutsideAgentName, PersonId, RoleName, SystemName},
    outside::OutsideAgent,
    person::authorise,
    refusal::Refusal,
    retention::{HoldScope, default_days},
    rules::{DAYS_MAX, Gate, ReviewRules},
    seal::Sealed,
    stream::Stream,
    words::{Mode, RecordClass},
    world::{Decided, Halt, World},
};

/// How long `observe` may last, in hours (90 days).
pub const OBSERVE_HOURS_MAX: i64 = 90 * 24;

/// The state of stream `org`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Org {
    /// The founders, in the order they were named; empty before genesis.
    pub founders: Vec<PersonId>,
    /// The ledger's origin.
    pub origin: String,
    /// Whether this is a single-person sandbox.
    pub sandbox: bool,
    /// The gates, by environment.
    pub gates: BTreeMap<Environment, Gate>,
    /// The review rules, once set.
    pub rules: Option<ReviewRules>,
    /// The rights of each role.
    pub roles: BTreeMap<RoleName, BTreeSet<Right>>,
    /// The modes set so far.
    pub modes: BTreeMap<(ModeScope, Environment), ModeSetting>,
    /// The periods set so far, in days; see [`Self::retention_days`].
    pub retention: BTreeMap<RecordClass, u32>,
    /// The legal holds that are set.
    pub holds: BTreeMap<HoldId, HoldScope>,
    /// The ledger's size when it was restored last: what came before is looked at again.
    pub reread: Option<u64>,
    /// What keeps the clock, as it was named last.
    pub clock_source: Option<String>,
    /// The outside agents.
    pub agents: BTreeMap<OutsideAgentName, OutsideAgent>,
}

/// A mode and its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModeSetting {
    /// The mode.
    pub mode: Mode,
    /// For `observe`: when it ends.
    pub until: Option<Timestamp>,
}

impl Org {
    /// The mode of `system` in `environment` at `now`: its own, else that of `*`, else enforce. An observe
    /// mode that has ended is enforce (DECISIONS 5, 17).
    #[must_use]
    pub fn mode(&self, system: &SystemName, environment: &Environment, now: Timestamp) -> Mode {
        let own = (ModeScope::System(system.clone()), environment.clone());
        let every = (ModeScope::Every, environment.clone());
        let setting = self.modes.get(&own).or_else(|| self.modes.get(&every));
        match setting {
            Some(ModeSetting {
                mode: Mode::Observe,
                until: Some(until),
            }) if now < *until => Mode::Observe,
            _ => Mode::Enforce,
        }
    }

    /// How many days a record of `class` stays readable after it was last in effect.
    #[must_use]
    pub fn retention_days(&self, class: RecordClass) -> u32 {
        let set = self.retention.get(&class).copied();
        set.unwrap_or_else(|| default_days(class))
    }

    /// The gate into `environment`.
    pub(crate) fn gate(&self, environment: &Environment) -> Result<&Gate, Refusal> {
        self.gates.get(environment).ok_or_else(|| Refusal::Unknown {
            what: "environment",
            name: environment.to_string(),
        })
    }

    /// The review rules.
    pub(crate) fn rules(&self) -> Result<&ReviewRules, Refusal> {
        self.rules.as_ref().ok_or_else(|| Refusal::BadRules {
            problem: "no review rules are set".into(),
        })
    }

    pub(crate) fn apply(&mut self, event: &Event) {
        match event {
            Event::GenesisRecorded(e) => {
                self.founders.clone_from(&e.founders);
                self.origin.clone_from(&e.origin);
                self.sandbox = e.sandbox;
            }
            Event::LedgerReread(e) => self.reread = Some(e.size),
            Event::ClockSourceNamed(e) => self.clock_source = Some(e.source.clone()),
            Event::SandboxLeft(e) => {
                self.sandbox = false;
                self.founders.push(e.founder.clone());
            }
            Event::GateDefined(e) => {
                self.gates
                    .insert(e.gate.environment.clone(), e.gate.clone());
            }
            Event::ReviewRulesSet(e) => self.rules = Some(e.rules.clone()),
            Event::RoleDefined(e) => {
                self.roles.insert(e.role.clone(), e.rights.clone());
            }
            Event::ModeSet(e) => {
                let key = (e.scope.clone(), e.environment.clone());
                self.modes.insert(
                    key,
                    ModeSetting {
                        mode: e.mode,
                        until: e.until,
                    },
                );
            }
            Event::RetentionSet(e) => {
                self.retention.insert(e.class, e.days);
            }
            Event::HoldSet(e) => {
                self.holds.insert(e.hold.clone(), e.scope.clone());
            }
            Event::HoldLifted(e) => {
                self.holds.remove(&e.hold);
            }
            Event::OutsideAgentDefined(e) => {
                let agent = OutsideAgent {
                    account: e.account.clone(),
                    evidence: e.evidence.clone(),
                };
                self.agents.insert(e.agent.clone(), agent);
            }
            _ => {}
        }
    }
}

/// What the founding says, beside the seed files' commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Genesis {
    /// The founders.
    pub founders: Vec<PersonId>,
    /// The ledger's origin.
    pub origin: String,
    /// Whether to found a single-person sandbox.
    pub sandbox: bool,
    /// The seed files.
    pub seeds: Vec<Seed>,
    /// SHA-256 of the settings.
    pub settings: Digest,
}

pub(crate) fn found(world: &World, genesis: &Genesis) -> Result<Decided, Halt> {
    if !world.org()?.founders.is_empty() || !world.is_founding()? {
        return Err(Refusal::AlreadyFounded.into());
    }
    let distinct: BTreeSet<_> = genesis.founders.iter().collect();
    let needed = if genesis.sandbox { 1 } else { 2 };
    if distinct.len() != genesis.founders.len() || distinct.len() != needed {
        return Err(Refusal::BadFounders.into());
    }
    let recorded = GenesisRecorded {
        founders: genesis.founders.clone(),
        origin: genesis.origin.clone(),
        sandbox: genesis.sandbox,
        seeds: genesis.seeds.clone(),
        settings: genesis.settings,
    };
    Ok(vec![(Stream::Org, recorded.into())])
}

pub(crate) fn record_start(
    world: &World,
    settings: Digest,
    software: &str,
) -> Result<Decided, Halt> {
    if world.org()?.founders.is_empty() {
        return Err(Refusal::NotFounded.into());
    }
    let started = StartRecorded {
        settings,
        software: software.to_owned(),
    };
    Ok(vec![(Stream::Org, started.into())])
}

pub(crate) fn record_reread(world: &World, size: u64) -> Result<Decided, Halt> {
    if world.org()?.founders.is_empty() {
        return Err(Refusal::NotFounded.into());
    }
    Ok(vec![(Stream::Org, LedgerReread { size }.into())])
}

pub(crate) fn leave_sandbox(world: &World, founder: &PersonId) -> Result<Decided, Halt> {
    let org = world.org()?;
    if !org.sandbox {
        return Err(Refusal::NotASandbox.into());
    }
    if org.founders.contains(founder) {
        return Err(Refusal::BadFounders.into());
    }
    if !world.person(founder)?.is_active_human() {
        return Err(Refusal::Unknown {
            what: "person",
            name: founder.to_string(),
        }
        .into());
    }
    let second = Caller::new(Actor::Person(founder.clone()));
    match authorise(world, &second, Right::Govern, None) {
        Err(Halt::Refused(_)) => return Err(Refusal::FounderCannotGovern.into()),
        answer => answer?,
    }
    Ok(vec![(
        Stream::Org,
        SandboxLeft {
            founder: founder.clone(),
        }
        .into(),
    )])
}

pub(crate) fn define_gate(world: &World, gate: &Gate) -> Result<Decided, Halt> {
    let org = world.org()?;
    if let Some(after) = &gate.after
        && (after == &gate.environment || !org.gates.contains_key(after))
    {
        return Err(Refusal::Unknown {
            what: "environment",
            name: after.to_string(),
        }
        .into());
    }
    if gate.report_max_age_days > DAYS_MAX {
        let problem = format!("a report may be at most {DAYS_MAX} days old");
        return Err(Refusal::BadRules { problem }.into());
    }
    Ok(vec![(
        Stream::Org,
        GateDefined { gate: gate.clone() }.into(),
    )])
}

pub(crate) fn set_rules(world: &World, rules: &ReviewRules) -> Result<Decided, Halt> {
    let org = world.org()?;
    if let Some(problem) = rules.problem() {
        return Err(Refusal::BadRules { problem }.into());
    }
    let seated = rules
        .depths
        .values()
        .flat_map(|d| &d.slots)
        .map(|slot| &slot.role);
    for role in seated.chain([&rules.senior_role]) {
        if !org.roles.contains_key(role) {
            return Err(Refusal::Unknown {
                what: "role",
                name: role.to_string(),
            }
            .into());
        }
    }
    Ok(vec![(
        Stream::Org,
        ReviewRulesSet {
            rules: rules.clone(),
        }
        .into(),
    )])
}

pub(crate) fn define_role(
    world: &World,
    role: &RoleName,
    rights: &BTreeSet<Right>,
) -> Result<Decided, Halt> {
    world.org()?;
    if let Some(right) = rights.iter().find(|right| !right.for_tokens()) {
        return Err(Refusal::BadRules {
            problem: format!("`{right}` belongs to LUMOS's own agents"),
        }
        .into());
    }
    Ok(vec![(
        Stream::Org,
        RoleDefined {
            role: role.clone(),
            rights: rights.clone(),
        }
        .into(),
    )])
}

/// A change of mode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetMode {
    /// Which systems.
    pub scope: ModeScope,
    /// Where.
    pub environment: Environment,
    /// The mode.
    pub mode: Mode,
    /// For `observe`: when it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Why.
    pub reason: Sealed,
}

pub(crate) fn set_mode(world: &World, command: &SetMode, now: Timestamp) -> Result<Decided, Halt> {
    world.org()?.gate(&command.environment)?;
    let latest = now + jiff::SignedDuration::from_hours(OBSERVE_HOURS_MAX);
    let until = match command.mode {
        Mode::Enforce => None,
        Mode::Observe => match command.until {
            Some(until) if now < until && until <= latest => Some(until),
            _ => return Err(Refusal::ObserveTooLong.into()),
        },
    };
    let set = ModeSet {
        scope: command.scope.clone(),
        environment: command.environment.clone(),
        mode: command.mode,
        until,
        reason: command.reason,
    };
    Ok(vec![(Stream::Org, set.into())])
}
