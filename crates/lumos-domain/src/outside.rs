//! Outside agents: processes of others that read the ledger and record what they checked. One is a service with a
//! name that policy can speak of, and kinds of evidence that nobody else may record. It proposes; people decide.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    actor::{Actor, Caller, OwnAgent},
    event::{EvidenceRecorded, OutsideAgentDefined},
    id::{OutsideAgentName, PersonId},
    org::Org,
    person,
    refusal::Refusal,
    release::{DEVELOPER, OWN_KINDS, is_kind},
    stream::Stream,
    world::{Decided, Halt, World},
};

/// The most kinds of evidence that one agent records.
const KINDS_MAX: usize = 32;

/// An outside agent as rules see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutsideAgent {
    /// The service that it acts as.
    pub account: PersonId,
    /// The kinds of evidence that it alone records.
    pub evidence: BTreeSet<String>,
}

/// An outside agent to define, or to define anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DefineOutsideAgent {
    /// Its name, which stands in entries: a word for a program, never a person's name.
    pub agent: OutsideAgentName,
    /// The service that it acts as.
    pub account: PersonId,
    /// The kinds of evidence that it alone records.
    pub evidence: BTreeSet<String>,
}

impl Org {
    /// The outside agent that acts as `account`, if one does.
    #[must_use]
    pub fn agent_of(&self, account: &PersonId) -> Option<(&OutsideAgentName, &OutsideAgent)> {
        let mut agents = self.agents.iter();
        agents.find(|(_, agent)| agent.account == *account)
    }

    /// The outside agent that alone records evidence of `kind`, if one does.
    #[must_use]
    pub fn owner_of(&self, kind: &str) -> Option<&OutsideAgentName> {
        let mut agents = self.agents.iter();
        agents
            .find(|(_, agent)| agent.evidence.contains(kind))
            .map(|(name, _)| name)
    }
}

impl DefineOutsideAgent {
    /// What it would replace, in the shape of the change itself.
    pub(crate) fn replaces(&self, org: &Org) -> Option<Self> {
        org.agents.get(&self.agent).map(|now| Self {
            agent: self.agent.clone(),
            account: now.account.clone(),
            evidence: now.evidence.clone(),
        })
    }
}

pub(crate) fn define(world: &World, command: &DefineOutsideAgent) -> Result<Decided, Halt> {
    let org = world.org()?;
    let bad = |problem: String| Err(Refusal::BadRules { problem }.into());
    let name = command.agent.as_str();
    if name == DEVELOPER || OwnAgent::ALL.iter().any(|own| own.as_str() == name) {
        return bad(format!("`{name}` names another producer of evidence"));
    }
    if !person::existing(world, &command.account)?.service {
        return bad("an outside agent acts as a service, never as a person".to_owned());
    }
    if let Some((other, _)) = org.agent_of(&command.account)
        && *other != command.agent
    {
        return bad(format!("this service is the agent `{other}` already"));
    }
    if command.evidence.len() > KINDS_MAX {
        return bad(format!(
            "an agent records at most {KINDS_MAX} kinds of evidence"
        ));
    }
    for kind in &command.evidence {
        if !is_kind(kind) || OWN_KINDS.contains(&kind.as_str()) {
            return bad(format!(
                "`{kind}` is no kind of evidence that others record"
            ));
        }
        if let Some(other) = org.owner_of(kind).filter(|other| **other != command.agent) {
            return bad(format!(
                "evidence of kind `{kind}` is recorded by `{other}`"
            ));
        }
    }
    let now = command.replaces(org);
    if now.as_ref() == Some(command) {
        return Ok(Vec::new());
    }
    let DefineOutsideAgent {
        agent,
        account,
        evidence,
    } = command.clone();
    let defined = OutsideAgentDefined {
        agent,
        account,
        evidence,
    };
    Ok(vec![(Stream::Org, defined.into())])
}

/// Evidence as `caller` may record it: under the name of who records it, whatever was sent. Of a kind that an outside
/// agent alone records, and anything beside its own kinds from such an agent, it is refused.
pub(crate) fn produced(
    world: &World,
    caller: &Caller,
    evidence: &EvidenceRecorded,
) -> Result<EvidenceRecorded, Halt> {
    let org = world.org()?;
    let asking = match &caller.actor {
        Actor::Service(account) => org.agent_of(account),
        Actor::Genesis | Actor::Clock | Actor::Agent(_) | Actor::Person(_) => None,
    };
    let kind = &evidence.kind;
    let refused = |problem: String| Err(Refusal::ReservedEvidence { problem }.into());
    match (asking, org.owner_of(kind)) {
        (Some((name, _)), Some(owner)) if name == owner => {
            if !org.sandbox && !asks_by_two(world, caller)? {
                return refused(format!(
                    "evidence of kind `{kind}` is recorded with a token that two people drew, and this one has been \
                     drawn by one"
                ));
            }
        }
        (_, Some(owner)) => {
            return refused(format!(
                "evidence of kind `{kind}` is recorded by the agent `{owner}` alone"
            ));
        }
        (Some((name, _)), None) => {
            return refused(format!(
                "the agent `{name}` does not record evidence of kind `{kind}`"
            ));
        }
        (None, None) => {}
    }
    let producer = match (asking, &caller.actor) {
        (Some((name, _)), _) => name.to_string(),
        // LUMOS's own agents bring what registries and tools say, and name them.
        (None, Actor::Agent(_)) => evidence.producer.clone(),
        (None, _) => DEVELOPER.to_owned(),
    };
    Ok(EvidenceRecorded {
        producer,
        ..evidence.clone()
    })
}

/// Whether it is a token that asks which no single person can have. Asked whenever it is used: the account may have
/// become an agent, or the house have left its sandbox, after the token was drawn.
fn asks_by_two(world: &World, caller: &Caller) -> Result<bool, Halt> {
    let (Actor::Service(account), Some(token)) = (&caller.actor, &caller.token) else {
        return Ok(false);
    };
    let tokens = &world.person(account)?.tokens;
    Ok(tokens.get(token).is_some_and(|token| token.by_two))
}

/// Whether an outside agent alone records evidence of this kind. What a registry or an upload says of it counts for
/// nothing: it is left out, so that nobody can stop a release by saying it.
pub(crate) fn is_reserved(world: &World, kind: &str) -> Result<bool, Halt> {
    Ok(world.org()?.owner_of(kind).is_some())
}
