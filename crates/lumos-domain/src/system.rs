//! Governed systems, their agents, what each agent may use, and promotion in registries.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    actor::{Actor, Caller},
    event::{
        Event, PromotionFailed, PromotionIntended, PromotionObserved, ReleasesAssigned,
        ResumeRequested, SystemDefined, SystemResumed, SystemStopped,
    },
    facts::{AgentOutage, Assigned, OutageChoice, PromotionOrder},
    id::{AgentName, AgentRef, AssignmentId, Environment, PersonId, ReviewId, SystemName},
    person,
    refusal::Refusal,
    review,
    seal::Sealed,
    stream::Stream,
    world::{Decided, Halt, World},
};

/// How long a replaced release stays allowed unless the new one is seen to serve first (DECISIONS 7).
pub const REPLACED_MINUTES: i64 = 60;

/// The longest that a system may go on without LUMOS, in hours (30 days).
pub const OUTAGE_HOURS_MAX: u32 = 30 * 24;

/// The state of stream `system/S`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct System {
    /// Who owns it; `None` while it is not defined.
    pub owner: Option<PersonId>,
    /// Its agents.
    pub agents: BTreeSet<AgentName>,
    /// What each environment does when LUMOS cannot be reached.
    pub outage: BTreeMap<Environment, OutageChoice>,
    /// Whether it is stopped.
    pub stopped: bool,
    /// Who asked that it resume, while a second person is awaited.
    pub resume_asked: Option<PersonId>,
}

impl System {
    /// What stands of it that [`DefineSystem`] would replace, in its shape.
    pub(crate) fn as_defined(&self) -> Value {
        let outage = self.outage.iter();
        let outage = outage.map(|(environment, choice)| AgentOutage {
            environment: environment.clone(),
            choice: *choice,
        });
        match &self.owner {
            None => Value::Null,
            Some(owner) => json!({ "facts": {
                "owner": owner, "agents": self.agents, "outage": outage.collect::<Vec<_>>(),
            }}),
        }
    }

    pub(crate) fn apply(&mut self, event: &Event) {
        match event {
            Event::SystemDefined(e) => {
                self.owner = Some(e.owner.clone());
                self.agents.clone_from(&e.agents);
                self.outage = e
                    .outage
                    .iter()
                    .map(|o| (o.environment.clone(), o.choice))
                    .collect();
            }
            Event::SystemStopped(_) => {
                self.stopped = true;
                self.resume_asked = None;
            }
            Event::ResumeRequested(e) => self.resume_asked = Some(e.person.clone()),
            Event::SystemResumed(_) => {
                self.stopped = false;
                self.resume_asked = None;
            }
            _ => {}
        }
    }
}

/// The state of stream `assignment/S/A/ENV`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Assignment {
    /// What may be used, the newest first.
    pub releases: Vec<Assigned>,
}

impl Assignment {
    /// The release now assigned, not counting one that is being replaced.
    #[must_use]
    pub fn current(&self) -> Option<&Assigned> {
        self.releases
            .iter()
            .find(|assigned| assigned.until.is_none())
    }

    pub(crate) fn apply(&mut self, event: &Event) {
        if let Event::ReleasesAssigned(e) = event {
            self.releases.clone_from(&e.releases);
        }
    }
}

/// Refuses agents that no defined system has.
pub(crate) fn known_agents(world: &World, agents: &BTreeSet<AgentRef>) -> Result<(), Halt> {
    for agent in agents {
        if !world.system(&agent.system)?.agents.contains(&agent.agent) {
            return Err(Refusal::Unknown {
                what: "agent",
                name: agent.to_string(),
            }
            .into());
        }
    }
    Ok(())
}

/// A system to define or change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DefineSystem {
    /// Its name.
    pub system: SystemName,
    /// Everything the event says.
    pub facts: SystemDefined,
}

impl DefineSystem {
    /// Whether it changes what runs when LUMOS cannot be reached. To stop is the safe choice.
    pub(crate) fn loosens(&self, now: &System) -> bool {
        let goes_on = |choice: OutageChoice| choice != OutageChoice::Stop;
        self.facts.outage.iter().any(|outage| {
            goes_on(outage.choice) && now.outage.get(&outage.environment) != Some(&outage.choice)
        })
    }
}

pub(crate) fn define(world: &World, command: &DefineSystem) -> Result<Decided, Halt> {
    if !world.person(&command.facts.owner)?.is_active_human() {
        let name = command.facts.owner.to_string();
        return Err(Refusal::Unknown {
            what: "person",
            name,
        }
        .into());
    }
    for outage in &command.facts.outage {
        world.org()?.gate(&outage.environment)?;
        if matches!(outage.choice, OutageChoice::ContinueHours(hours) if hours > OUTAGE_HOURS_MAX) {
            let problem = format!("going on without LUMOS is limited to {OUTAGE_HOURS_MAX} hours");
            return Err(Refusal::BadRules { problem }.into());
        }
    }
    world.system(&command.system)?;
    Ok(vec![(
        Stream::System(command.system.clone()),
        command.facts.clone().into(),
    )])
}

fn defined<'a>(world: &'a World, name: &SystemName) -> Result<&'a System, Halt> {
    let system = world.system(name)?;
    if system.owner.is_none() {
        return Err(Refusal::Unknown {
            what: "system",
            name: name.to_string(),
        }
        .into());
    }
    Ok(system)
}

/// Stopping is the safe direction: one person is enough (DESIGN promise 7).
pub(crate) fn stop(world: &World, name: &SystemName, reason: Sealed) -> Result<Decided, Halt> {
    if defined(world, name)?.stopped {
        return Ok(Vec::new());
    }
    Ok(vec![(
        Stream::System(name.clone()),
        SystemStopped { reason }.into(),
    )])
}

/// Resuming needs two people: the first asks, a second confirms.
pub(crate) fn resume(
    world: &World,
    caller: &Caller,
    name: &SystemName,
    reason: Sealed,
) -> Result<Decided, Halt> {
    let system = defined(world, name)?;
    let person = person::human(world, caller)?;
    if !system.stopped {
        return Ok(Vec::new());
    }
    let event: Event = match &system.resume_asked {
        None => ResumeRequested {
            person: person.clone(),
            reason,
        }
        .into(),
        Some(first) if first == person => return Err(Refusal::NeedsSecondPerson.into()),
        Some(first) => SystemResumed {
            first: first.clone(),
            reason,
        }
        .into(),
    };
    Ok(vec![(Stream::System(name.clone()), event)])
}

/// Lets an agent use an approved release. Duties are checked once more here (DESIGN promise 6). People may go back to an
/// earlier release whose approval holds; LUMOS's own agents, who may come to an approval late, never do.
pub(crate) fn assign(
    world: &World,
    caller: &Caller,
    id: &AssignmentId,
    approval: &ReviewId,
    now: Timestamp,
) -> Result<Decided, Halt> {
    known_agents(world, &BTreeSet::from([id.agent_ref()]))?;
    let tuple = review::approved(world, approval, now)?;
    if tuple.environment != id.environment || !tuple.agents.contains(&id.agent_ref()) {
        let problem = format!(
            "the approval is not for agent `{}` in `{}`",
            id.agent_ref(),
            id.environment
        );
        return Err(Refusal::NoApproval { problem }.into());
    }
    let assignment = world.assignment(id)?;
    if assignment
        .current()
        .is_some_and(|current| current.approval == *approval)
    {
        return Ok(Vec::new());
    }
    let model = world.model(&tuple.release.model)?;
    if matches!(caller.actor, Actor::Agent(_))
        && let Some(current) = assignment.current()
        && model.is_later(&id.environment, &current.approval, approval)
    {
        let problem = format!("`{}` runs what was approved later", id.agent_ref());
        return Err(Refusal::NoApproval { problem }.into());
    }
    let new = Assigned {
        release: tuple.release.clone(),
        digest: tuple.digest,
        approval: approval.clone(),
        share: 100,
        until: None,
    };
    let until = now + SignedDuration::from_mins(REPLACED_MINUTES);
    let replaced = assignment.current().cloned().map(|old| Assigned {
        until: Some(until),
        ..old
    });
    let releases = std::iter::once(new).chain(replaced).collect();
    Ok(vec![(
        Stream::Assignment(id.clone()),
        ReleasesAssigned { releases }.into(),
    )])
}

/// Orders the promotion that a model's binding asks for, once per approval. Order: approved → assigned →
/// registry intent → read back (DECISIONS 7).
pub(crate) fn intend_promotion(
    world: &World,
    approval: &ReviewId,
    now: Timestamp,
) -> Result<Decided, Halt> {
    let tuple = review::approved(world, approval, now)?;
    let release = world.release(&tuple.release)?;
    for agent in &tuple.agents {
        let id = AssignmentId {
            system: agent.system.clone(),
            agent: agent.agent.clone(),
            environment: tuple.environment.clone(),
        };
        let current = world.assignment(&id)?.current();
        if current.is_none_or(|current| current.approval != *approval) {
            let problem = format!("it is not assigned to `{agent}` yet");
            return Err(Refusal::NoApproval { problem }.into());
        }
    }
    let Some(source) = &release.source else {
        return Ok(Vec::new());
    };
    let model = world.model(&tuple.release.model)?;
    let alias = model
        .bindings
        .iter()
        .find(|b| {
            (&b.registry, &b.name, &b.environment)
                == (&source.registry, &source.name, &tuple.environment)
        })
        // The alias is what all agents of the binding load: it moves only when all of them may.
        .filter(|b| b.agents.is_subset(&tuple.agents))
        .and_then(|b| b.alias.clone());
    let Some(alias) = alias else {
        return Ok(Vec::new());
    };
    let marker = format!("lumos:{approval}");
    if release.promotions.contains_key(&marker) {
        return Ok(Vec::new());
    }
    let order = PromotionOrder {
        marker,
        registry: source.registry.clone(),
        name: source.name.clone(),
        version: source.version.clone(),
        alias,
        approval: approval.clone(),
    };
    Ok(vec![(
        Stream::Release(tuple.release.clone()),
        PromotionIntended { order }.into(),
    )])
}

/// How a promotion ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PromotionOutcome {
    /// The alias was read back.
    Observed(PromotionObserved),
    /// It did not happen.
    Failed(PromotionFailed),
}

pub(crate) fn settle_promotion(
    world: &World,
    release: &crate::id::ReleaseId,
    outcome: &PromotionOutcome,
) -> Result<Decided, Halt> {
    let (marker, event): (_, Event) = match outcome {
        PromotionOutcome::Observed(e) => (&e.marker, e.clone().into()),
        PromotionOutcome::Failed(e) => (&e.marker, e.clone().into()),
    };
    match world.release(release)?.promotions.get(marker) {
        None => Err(Refusal::Unknown {
            what: "promotion",
            name: marker.clone(),
        }
        .into()),
        Some(promotion) if promotion.settled => Ok(Vec::new()),
        Some(_) => Ok(vec![(Stream::Release(release.clone()), event)]),
    }
}
