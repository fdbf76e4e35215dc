//! Models and the bundles that bind them: owner, purpose, tier, registry bindings, what runs now.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    event::{BundlePublished, Event, ModelBound, ModelRegistered, ModelTierSet},
    facts::{Binding, BundleRef},
    id::{BundleName, Digest, Environment, ModelName, PersonId, ReleaseId, ReviewId},
    refusal::Refusal,
    seal::Sealed,
    stream::Stream,
    words::ModelTier,
    world::{Decided, Halt, World},
};

/// The state of stream `model/M`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Model {
    /// Who owns it; `None` while it is not registered.
    pub owner: Option<PersonId>,
    /// Who owns its data.
    pub data_owner: Option<PersonId>,
    /// The business unit.
    pub unit: Option<String>,
    /// What it is for.
    pub purpose: Option<Sealed>,
    /// Frameworks that bind it.
    pub frameworks: BTreeSet<String>,
    /// The bundles every release of it is held against.
    pub policies: BTreeSet<BundleName>,
    /// Materiality. Until it is set, a model counts as `high`.
    pub tier: Option<ModelTier>,
    /// Where its versions appear, by registry and name.
    pub bindings: Vec<Binding>,
    /// What each environment runs when no agent is named.
    pub current: BTreeMap<Environment, Current>,
    /// Every approval for an environment, in the order given.
    pub approvals: BTreeMap<Environment, Vec<ReviewId>>,
}

/// A release that an environment runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Current {
    /// The release.
    pub release: ReleaseId,
    /// Its digest.
    pub digest: Digest,
    /// The review that approved it.
    pub approval: ReviewId,
}

impl Model {
    /// Materiality as decisions use it: unset is `high`.
    #[must_use]
    pub fn effective_tier(&self) -> ModelTier {
        self.tier.unwrap_or(ModelTier::High)
    }

    /// Where `binding` would be: the one that it would take the place of.
    pub(crate) fn bound_at(&self, binding: &Binding) -> Option<&Binding> {
        self.bindings
            .iter()
            .find(|known| known.is_same_place(binding))
    }

    /// What stands of it that [`RegisterModel`] would replace, in its shape.
    pub(crate) fn as_registered(&self) -> Value {
        match &self.owner {
            None => Value::Null,
            Some(owner) => json!({
                "facts": {
                    "owner": owner, "data_owner": self.data_owner, "purpose": self.purpose,
                    "unit": self.unit, "frameworks": self.frameworks, "policies": self.policies,
                },
                "tier": self.tier,
            }),
        }
    }

    /// Whether `this` approval for an environment was given after `that`.
    pub(crate) fn is_later(
        &self,
        environment: &Environment,
        this: &ReviewId,
        that: &ReviewId,
    ) -> bool {
        let given = self.approvals.get(environment).into_iter().flatten();
        given.rev().find(|id| *id == this || *id == that) == Some(this) && this != that
    }

    pub(crate) fn apply(&mut self, event: &Event) {
        match event {
            Event::ModelRegistered(e) => {
                self.owner = Some(e.owner.clone());
                self.data_owner.clone_from(&e.data_owner);
                self.unit.clone_from(&e.unit);
                self.purpose = Some(e.purpose);
                self.frameworks.clone_from(&e.frameworks);
                self.policies.clone_from(&e.policies);
            }
            Event::ModelTierSet(e) => self.tier = Some(e.tier),
            Event::ModelBound(e) => {
                self.bindings
                    .retain(|known| !known.is_same_place(&e.binding));
                self.bindings.push(e.binding.clone());
            }
            Event::CurrentReleaseSet(e) => {
                let current = Current {
                    release: e.release.clone(),
                    digest: e.digest,
                    approval: e.approval.clone(),
                };
                self.current.insert(e.environment.clone(), current);
                let approvals = self.approvals.entry(e.environment.clone());
                approvals.or_default().push(e.approval.clone());
            }
            _ => {}
        }
    }
}

/// A model that is registered, or a refusal.
pub(crate) fn registered<'a>(world: &'a World, name: &ModelName) -> Result<&'a Model, Halt> {
    let model = world.model(name)?;
    if model.owner.is_none() {
        return Err(Refusal::Unknown {
            what: "model",
            name: name.to_string(),
        }
        .into());
    }
    Ok(model)
}

/// A model to register, or to describe anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegisterModel {
    /// Its name.
    pub model: ModelName,
    /// Everything the event says.
    pub facts: ModelRegistered,
    /// Its tier.
    pub tier: ModelTier,
    /// Why this tier.
    pub rationale: Sealed,
}

impl RegisterModel {
    /// Whether `now` would be bound by less, or other people be kept from signing. A model that is new
    /// may at once be held to the most there is, but for its policies: those somebody else looks at.
    pub(crate) fn loosens(&self, now: &Model) -> bool {
        let Self { facts, tier, .. } = self;
        now.owner.as_ref() != Some(&facts.owner)
            || now.data_owner != facts.data_owner
            || now.unit != facts.unit
            || !facts.frameworks.is_superset(&now.frameworks)
            || !facts.policies.is_superset(&now.policies)
            || *tier < now.effective_tier()
    }
}

pub(crate) fn register(world: &World, command: &RegisterModel) -> Result<Decided, Halt> {
    for person in [
        Some(&command.facts.owner),
        command.facts.data_owner.as_ref(),
    ]
    .into_iter()
    .flatten()
    {
        if !world.person(person)?.is_active_human() {
            return Err(Refusal::Unknown {
                what: "person",
                name: person.to_string(),
            }
            .into());
        }
    }
    if command.facts.policies.is_empty() {
        return Err(Refusal::BadRules {
            problem: "a model is held against at least one bundle".into(),
        }
        .into());
    }
    for bundle in &command.facts.policies {
        if world.bundle(bundle)?.current.is_none() {
            return Err(Refusal::Unknown {
                what: "policy bundle",
                name: bundle.to_string(),
            }
            .into());
        }
    }
    let stream = Stream::Model(command.model.clone());
    let tier = ModelTierSet {
        tier: command.tier,
        rationale: command.rationale,
    };
    Ok(vec![
        (stream.clone(), command.facts.clone().into()),
        (stream, tier.into()),
    ])
}

pub(crate) fn set_tier(
    world: &World,
    name: &ModelName,
    tier: ModelTier,
    rationale: Sealed,
) -> Result<Decided, Halt> {
    registered(world, name)?;
    Ok(vec![(
        Stream::Model(name.clone()),
        ModelTierSet { tier, rationale }.into(),
    )])
}

pub(crate) fn bind(world: &World, name: &ModelName, binding: &Binding) -> Result<Decided, Halt> {
    let model = registered(world, name)?;
    world.org()?.gate(&binding.environment)?;
    crate::system::known_agents(world, &binding.agents)?;
    if model.bindings.contains(binding) {
        return Ok(Vec::new());
    }
    Ok(vec![(
        Stream::Model(name.clone()),
        ModelBound {
            binding: binding.clone(),
        }
        .into(),
    )])
}

/// The state of stream `bundle/NAME`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bundle {
    /// The version in force for new reports.
    pub current: Option<BundleRef>,
    /// Every version ever published, by version.
    pub versions: BTreeMap<String, Digest>,
}

impl Bundle {
    pub(crate) fn apply(&mut self, event: &Event) {
        if let Event::BundlePublished(e) = event {
            self.current = Some(e.bundle.clone());
            self.versions
                .insert(e.bundle.version.clone(), e.bundle.digest);
        }
    }
}

pub(crate) fn publish_bundle(world: &World, bundle: &BundleRef) -> Result<Decided, Halt> {
    let known = world.bundle(&bundle.name)?.versions.get(&bundle.version);
    match known {
        Some(digest) if *digest == bundle.digest => Ok(Vec::new()),
        // A published version is frozen: the same version with another text is refused.
        Some(_) => {
            let name = format!("{} {}", bundle.name, bundle.version);
            Err(Refusal::Exists {
                what: "policy bundle version",
                name,
            }
            .into())
        }
        None => Ok(vec![(
            Stream::Bundle(bundle.name.clone()),
            BundlePublished {
                bundle: bundle.clone(),
            }
            .into(),
        )]),
    }
}
