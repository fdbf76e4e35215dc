//! People and services: roles on scopes, credentials, tokens. Names are sealed; ids are random.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    actor::{Actor, Caller, Grant, Right, Scope},
    event::{
        CredentialSet, Event, PersonAdded, PersonSuspended, RoleGranted, RoleRevoked, TokenIssued,
        TokenRevoked,
    },
    id::{PersonId, RoleName, TokenId},
    model::Model,
    org::Org,
    refusal::Refusal,
    seal::Sealed,
    stream::Stream,
    world::{Decided, Halt, World},
};

/// The longest life of a token, in hours (366 days).
pub const TOKEN_HOURS_MAX: i64 = 366 * 24;

/// The state of stream `person/ID`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Person {
    /// The sealed name; `None` while the person does not exist.
    pub name: Option<Sealed>,
    /// Whether this is a service.
    pub service: bool,
    /// Whether the account may not act.
    pub suspended: bool,
    /// The roles held.
    pub grants: BTreeSet<Grant>,
    /// The sealed password hash.
    pub credential: Option<Sealed>,
    /// Whether the password was set by somebody else and must be changed.
    pub must_change: bool,
    /// Live tokens.
    pub tokens: BTreeMap<TokenId, Token>,
    /// When a waiting erasure is looked at.
    pub erasure: Option<Timestamp>,
    /// Whether name and login can be read by nobody any more.
    pub erased: bool,
}

/// A token as rules see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The rights it is limited to.
    pub rights: BTreeSet<Right>,
    /// When it ends.
    pub expires: Timestamp,
    /// Whether two people drew it, each a half of its secret.
    pub by_two: bool,
}

impl Person {
    /// Whether this account exists and may act.
    #[must_use]
    pub const fn is_active(&self) -> bool {
        self.name.is_some() && !self.suspended
    }

    /// Whether this is a person, not a service, who may act.
    #[must_use]
    pub const fn is_active_human(&self) -> bool {
        self.is_active() && !self.service
    }

    /// Whether this person holds `role` for `model`.
    #[must_use]
    pub fn holds(&self, role: &RoleName, model: Option<(&crate::id::ModelName, &Model)>) -> bool {
        self.grants
            .iter()
            .any(|grant| &grant.role == role && grant.scope.covers(model))
    }

    pub(crate) fn apply(&mut self, event: &Event) {
        match event {
            Event::PersonAdded(e) => {
                self.name = Some(e.name);
                self.service = e.service;
            }
            Event::PersonSuspended(_) => self.suspended = true,
            Event::RoleGranted(e) => {
                self.grants.insert(e.grant.clone());
            }
            Event::RoleRevoked(e) => {
                self.grants.remove(&e.grant);
            }
            Event::CredentialSet(e) => {
                self.credential = Some(e.hash);
                self.must_change = e.by_other;
                // Whoever knew the old password may have drawn tokens with it.
                self.tokens.clear();
            }
            Event::TokenIssued(e) => {
                let token = Token {
                    rights: e.rights.clone(),
                    expires: e.expires,
                    by_two: e.second.is_some(),
                };
                self.tokens.insert(e.token.clone(), token);
            }
            Event::TokenRevoked(e) => {
                self.tokens.remove(&e.token);
            }
            Event::ErasureRequested(e) => self.erasure = Some(e.due),
            Event::ErasurePostponed(e) => self.erasure = Some(e.due),
            Event::ErasureWithdrawn(_) => self.erasure = None,
            Event::ErasureCarriedOut(_) => {
                self.erasure = None;
                self.erased = true;
                self.credential = None;
                self.tokens.clear();
            }
            _ => {}
        }
    }
}

impl Scope {
    /// Whether this scope covers `model`; `None` asks for the whole organisation.
    fn covers(&self, model: Option<(&crate::id::ModelName, &Model)>) -> bool {
        match (self, model) {
            (Self::Organisation, _) => true,
            (Self::Unit(unit), Some((_, model))) => model.unit.as_ref() == Some(unit),
            (Self::Model(name), Some((asked, _))) => name == asked,
            (Self::Unit(_) | Self::Model(_), None) => false,
        }
    }
}

/// Refuses a caller who lacks `right` for `model`, or for the whole organisation when there is none.
///
/// # Errors
/// A refusal, or a stream that must be loaded first.
pub fn authorise(
    world: &World,
    caller: &Caller,
    right: Right,
    model: Option<&crate::id::ModelName>,
) -> Result<(), Halt> {
    let refused = || Halt::from(Refusal::NotAllowed { right });
    if caller
        .limited_to
        .as_ref()
        .is_some_and(|rights| !rights.contains(&right))
    {
        return Err(refused());
    }
    match &caller.actor {
        Actor::Genesis if world.is_founding()? => Ok(()),
        Actor::Genesis | Actor::Clock => Err(refused()),
        Actor::Agent(agent) if agent.rights().contains(&right) => Ok(()),
        Actor::Agent(_) => Err(refused()),
        Actor::Person(id) | Actor::Service(id) => {
            let person = world.person(id)?;
            if !person.is_active() || person.service != matches!(caller.actor, Actor::Service(_)) {
                return Err(Refusal::Suspended.into());
            }
            if person.must_change {
                return Err(Refusal::PasswordKnown.into());
            }
            let org = world.org()?;
            // INVARIANT: no role makes an outside agent more than one who looks and records.
            if person.service && org.agent_of(id).is_some() && !right.for_outside_agents() {
                return Err(refused());
            }
            let model = match model {
                Some(name) => Some((name, world.model(name)?)),
                None => None,
            };
            let held = person.grants.iter().any(|grant| {
                grant.scope.covers(model)
                    && org
                        .roles
                        .get(&grant.role)
                        .is_some_and(|rights| rights.contains(&right))
            });
            if held { Ok(()) } else { Err(refused()) }
        }
    }
}

/// The signed-in person who asks; services and agents are refused, and so is everybody whose password
/// somebody else knows: until they change it, it may be somebody else who asks.
pub(crate) fn human<'a>(world: &World, caller: &'a Caller) -> Result<&'a PersonId, Halt> {
    let id = caller.person().ok_or(Refusal::NotAPerson)?;
    let person = world.person(id)?;
    if !person.is_active_human() {
        Err(Refusal::Suspended.into())
    } else if person.must_change {
        Err(Refusal::PasswordKnown.into())
    } else {
        Ok(id)
    }
}

/// A person who signs, as themselves; with a token only if it was made for signing.
pub(crate) fn signer<'a>(world: &World, caller: &'a Caller) -> Result<&'a PersonId, Halt> {
    match &caller.limited_to {
        Some(rights) if !rights.contains(&Right::Sign) => {
            Err(Refusal::NotAllowed { right: Right::Sign }.into())
        }
        _ => human(world, caller),
    }
}

/// One's own password and tokens need no right; anybody else's need `manage-people`.
pub(crate) fn own_or_managed(world: &World, caller: &Caller, whose: &PersonId) -> Result<(), Halt> {
    // Also while somebody else knows the password: changing it is what ends that.
    if caller.person() == Some(whose) && caller.limited_to.is_none() {
        let may = world.person(whose)?.is_active_human();
        return if may {
            Ok(())
        } else {
            Err(Refusal::Suspended.into())
        };
    }
    authorise(world, caller, Right::ManagePeople, None)
}

/// A person or service to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddPerson {
    /// The new id, drawn by the engine.
    pub person: PersonId,
    /// The name shown to people.
    pub name: Sealed,
    /// The name to sign in with.
    pub login: Sealed,
    /// Whether it is a service.
    pub service: bool,
}

pub(crate) fn add(world: &World, command: &AddPerson) -> Result<Decided, Halt> {
    if world.person(&command.person)?.name.is_some() {
        return Err(Refusal::Exists {
            what: "person",
            name: command.person.to_string(),
        }
        .into());
    }
    let AddPerson {
        person,
        name,
        login,
        service,
    } = command.clone();
    Ok(vec![(
        Stream::Person(person),
        PersonAdded {
            name,
            login,
            service,
        }
        .into(),
    )])
}

/// The person, if there is one who was not erased.
pub(crate) fn existing<'a>(world: &'a World, id: &PersonId) -> Result<&'a Person, Halt> {
    let person = world.person(id)?;
    if person.erased {
        return Err(Refusal::Erased.into());
    }
    if person.name.is_none() {
        return Err(Refusal::Unknown {
            what: "person",
            name: id.to_string(),
        }
        .into());
    }
    Ok(person)
}

pub(crate) fn suspend(world: &World, id: &PersonId, reason: Sealed) -> Result<Decided, Halt> {
    if existing(world, id)?.suspended {
        return Ok(Vec::new());
    }
    Ok(vec![(
        Stream::Person(id.clone()),
        PersonSuspended { reason }.into(),
    )])
}

pub(crate) fn grant(
    world: &World,
    caller: &Caller,
    id: &PersonId,
    grant: &Grant,
) -> Result<Decided, Halt> {
    if caller.person() == Some(id) && !world.org()?.sandbox {
        return Err(Refusal::OwnRole.into());
    }
    if existing(world, id)?.grants.contains(grant) {
        return Ok(Vec::new());
    }
    if !world.org()?.roles.contains_key(&grant.role) {
        return Err(Refusal::Unknown {
            what: "role",
            name: grant.role.to_string(),
        }
        .into());
    }
    Ok(vec![(
        Stream::Person(id.clone()),
        RoleGranted {
            grant: grant.clone(),
        }
        .into(),
    )])
}

pub(crate) fn revoke_grant(world: &World, id: &PersonId, grant: &Grant) -> Result<Decided, Halt> {
    if !existing(world, id)?.grants.contains(grant) {
        return Ok(Vec::new());
    }
    Ok(vec![(
        Stream::Person(id.clone()),
        RoleRevoked {
            grant: grant.clone(),
        }
        .into(),
    )])
}

pub(crate) fn set_credential(
    world: &World,
    caller: &Caller,
    id: &PersonId,
    hash: Sealed,
) -> Result<Decided, Halt> {
    let person = existing(world, id)?;
    if person.service {
        return Err(Refusal::NotAPerson.into());
    }
    let by_other = caller.person() != Some(id) && caller.actor != Actor::Genesis;
    Ok(vec![(
        Stream::Person(id.clone()),
        CredentialSet { hash, by_other }.into(),
    )])
}

/// A token to issue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssueToken {
    /// Who it acts as.
    pub person: PersonId,
    /// The new id, drawn by the engine.
    pub token: TokenId,
    /// SHA-256 of the secret, sealed; of its first half where a second person draws the other one.
    pub hash: Sealed,
    /// The rights it is limited to.
    pub rights: BTreeSet<Right>,
    /// What it is for.
    pub purpose: Sealed,
    /// When it ends.
    pub expires: Timestamp,
}

impl IssueToken {
    /// Whether whoever holds it could record what counts because somebody else records it.
    pub(crate) fn loosens(&self, org: &Org) -> bool {
        let agent = org.agent_of(&self.person);
        agent.is_some_and(|(_, agent)| !agent.evidence.is_empty())
    }
}

/// Nobody else can hold a token that acts as a person; a service's is issued by who manages people.
pub(crate) fn may_issue(world: &World, caller: &Caller, whose: &PersonId) -> Result<(), Halt> {
    if world.person(whose)?.service {
        return authorise(world, caller, Right::ManagePeople, None);
    }
    if caller.person() == Some(whose) && caller.limited_to.is_none() {
        return human(world, caller).map(|_| ());
    }
    let problem = "only the person it acts as can ask for it, signed in".to_owned();
    Err(Refusal::BadToken { problem }.into())
}

/// A token; with a `second` half where two people draw it, so that neither of them can use it.
pub(crate) fn issue_token(
    world: &World,
    command: &IssueToken,
    second: Option<Sealed>,
    now: Timestamp,
) -> Result<Decided, Halt> {
    let person = existing(world, &command.person)?;
    let bad = |problem: String| Err(Refusal::BadToken { problem }.into());
    if !person.is_active() {
        return Err(Refusal::Suspended.into());
    }
    if let Some(right) = command.rights.iter().find(|right| !right.for_tokens()) {
        return bad(format!("the right `{right}` never leaves the process"));
    }
    let latest = now + jiff::SignedDuration::from_hours(TOKEN_HOURS_MAX);
    if command.expires <= now || command.expires > latest {
        return bad("it must end within 366 days from now".into());
    }
    if person.tokens.contains_key(&command.token) {
        return Err(Refusal::Exists {
            what: "token",
            name: command.token.to_string(),
        }
        .into());
    }
    let issued = TokenIssued {
        token: command.token.clone(),
        hash: command.hash,
        second,
        rights: command.rights.clone(),
        purpose: command.purpose,
        expires: command.expires,
    };
    Ok(vec![(
        Stream::Person(command.person.clone()),
        issued.into(),
    )])
}

pub(crate) fn revoke_token(world: &World, id: &PersonId, token: &TokenId) -> Result<Decided, Halt> {
    if !existing(world, id)?.tokens.contains_key(token) {
        return Ok(Vec::new());
    }
    Ok(vec![(
        Stream::Person(id.clone()),
        TokenRevoked {
            token: token.clone(),
        }
        .into(),
    )])
}
