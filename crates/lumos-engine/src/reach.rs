//! What a caller may read of the ledger: all of it, or the entries about the models that their roles reach.

use std::collections::BTreeMap;

use lumos_domain::{
    actor::{Actor, Caller, Right},
    id::ModelName,
    person::authorise,
    stream::Stream,
};

use crate::{
    door::{Door, DoorError},
    views,
};

/// The most models whose answer is remembered.
const REMEMBERED: usize = 1_024;

/// What a caller may read, as it stands now: ask anew when roles may have changed.
#[derive(Debug, Clone)]
pub struct Reach {
    caller: Caller,
    everything: bool,
    models: BTreeMap<ModelName, bool>,
}

impl Reach {
    /// What `caller` may read; `None` when that is nothing at all.
    ///
    /// # Errors
    /// When governed state cannot be read.
    pub async fn of(door: &Door, caller: &Caller) -> Result<Option<Self>, DoorError> {
        let everything = may(door, caller, None).await?;
        let reach = Self {
            caller: caller.clone(),
            everything,
            models: BTreeMap::new(),
        };
        if everything || reach.somewhere(door).await? {
            return Ok(Some(reach));
        }
        Ok(None)
    }

    /// Whether a role of the caller lets them read about some models.
    async fn somewhere(&self, door: &Door) -> Result<bool, DoorError> {
        let (Actor::Person(id) | Actor::Service(id)) = &self.caller.actor else {
            return Ok(false);
        };
        let limited = self.caller.limited_to.as_ref();
        if limited.is_some_and(|rights| !rights.contains(&Right::Read)) {
            return Ok(false);
        }
        door.ask(|world| {
            let person = world.person(id)?;
            let roles = &world.org()?.roles;
            let reads = |role| {
                roles
                    .get(role)
                    .is_some_and(|rights| rights.contains(&Right::Read))
            };
            Ok(person.is_active() && person.grants.iter().any(|grant| reads(&grant.role)))
        })
        .await
    }

    /// Whether the caller may read entries of `stream`.
    ///
    /// # Errors
    /// When governed state cannot be read.
    pub async fn covers(&mut self, door: &Door, stream: &Stream) -> Result<bool, DoorError> {
        if self.everything {
            return Ok(true);
        }
        let models = match stream {
            Stream::Model(model) => vec![model.clone()],
            Stream::Release(release) => vec![release.model.clone()],
            Stream::Review(review) => vec![review.model.clone()],
            Stream::Subject(digest) => {
                views::releases::models_of(&*door.ports().store, digest).await?
            }
            // The house as a whole, its people, and what several models share.
            Stream::Org
            | Stream::Keys
            | Stream::LogReview
            | Stream::Person(_)
            | Stream::System(_)
            | Stream::Assignment(_)
            | Stream::Bundle(_)
            | Stream::Proposal(_)
            | Stream::Denials(_)
            | Stream::Readings(_) => Vec::new(),
        };
        for model in models {
            if self.reads(door, model).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn reads(&mut self, door: &Door, model: ModelName) -> Result<bool, DoorError> {
        if let Some(known) = self.models.get(&model) {
            return Ok(*known);
        }
        let allowed = may(door, &self.caller, Some(&model)).await?;
        if self.models.len() >= REMEMBERED {
            self.models.clear();
        }
        self.models.insert(model, allowed);
        Ok(allowed)
    }
}

async fn may(door: &Door, caller: &Caller, model: Option<&ModelName>) -> Result<bool, DoorError> {
    let asked = door.ask(|world| authorise(world, caller, Right::Read, model));
    match asked.await {
        Ok(()) => Ok(true),
        Err(DoorError::Refused(_)) => Ok(false),
        Err(error) => Err(error),
    }
}
