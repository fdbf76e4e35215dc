//! Files seed an empty ledger once (DECISIONS 12): the organisation file becomes ordinary commands of actor
//! `genesis`, in the same append as the founding. Afterwards a person's or token's command changes it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail};
use jiff::{SignedDuration, Timestamp};
use lumos_domain::{
    actor::{Actor, Caller, Grant, Right, Scope},
    command::Command,
    event::{ModelRegistered, SystemDefined},
    facts::{AgentOutage, Binding, BundleRef, Seed},
    id::{
        AgentName, BundleName, Digest, Environment, ModelName, OutsideAgentName, PersonId,
        RoleName, SystemName,
    },
    log_review::{Schedule, SetLogReview},
    model::RegisterModel,
    org::{Genesis, SetMode},
    outside::DefineOutsideAgent,
    person::AddPerson,
    proposal::Governed,
    rules::{Gate, ReviewRules},
    system::DefineSystem,
    words::{Mode, ModelTier},
};
use lumos_engine::{
    Door, Request,
    secret::{self, Sealer},
    views::people::LOGIN_BYTES_MAX,
};
use lumos_policy::Bundle;
use serde::Deserialize;

/// The organisation as a file describes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Organisation {
    /// The rights of each role.
    pub roles: BTreeMap<RoleName, BTreeSet<Right>>,
    /// The gates, each after those it names.
    pub gates: Vec<Gate>,
    /// The review matrix, slots and escalation.
    pub review: ReviewRules,
    /// The people.
    pub people: Vec<NewPerson>,
    /// The outside agents.
    #[serde(default)]
    pub agents: BTreeMap<OutsideAgentName, NewAgent>,
    /// The systems and their agents.
    #[serde(default)]
    pub systems: BTreeMap<SystemName, NewSystem>,
    /// The models.
    #[serde(default)]
    pub models: BTreeMap<ModelName, NewModel>,
    /// Environments in which denials are only recorded at first.
    #[serde(default)]
    pub observe: Vec<Observe>,
    /// Who examines the log, and how often.
    #[serde(default)]
    pub log_review: Option<Schedule>,
}

/// A person at genesis.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPerson {
    /// What they sign in with.
    pub login: String,
    /// What they are called.
    pub name: String,
    /// The roles they hold in the whole organisation.
    #[serde(default)]
    pub roles: Vec<RoleName>,
    /// Whether it is a service.
    #[serde(default)]
    pub service: bool,
}

/// An outside agent at genesis.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewAgent {
    /// The login of the service that it acts as.
    pub account: String,
    /// The kinds of evidence that it alone records.
    #[serde(default)]
    pub evidence: BTreeSet<String>,
}

/// A system at genesis.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewSystem {
    /// Its owner's login.
    pub owner: String,
    /// Its agents.
    pub agents: BTreeSet<AgentName>,
    /// What each environment does when LUMOS cannot be reached.
    #[serde(default)]
    pub outage: Vec<AgentOutage>,
}

/// A model at genesis.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewModel {
    /// Its owner's login.
    pub owner: String,
    /// The login of who owns its data.
    #[serde(default)]
    pub data_owner: Option<String>,
    /// What it is for.
    pub purpose: String,
    /// The business unit.
    #[serde(default)]
    pub unit: Option<String>,
    /// Frameworks that bind it.
    #[serde(default)]
    pub frameworks: BTreeSet<String>,
    /// The policy bundles it is held against.
    pub policies: BTreeSet<BundleName>,
    /// Its materiality.
    pub tier: ModelTier,
    /// Why.
    pub rationale: String,
    /// Where its versions appear.
    #[serde(default)]
    pub bindings: Vec<Binding>,
}

/// An environment that begins in `observe`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Observe {
    /// Where.
    pub environment: Environment,
    /// After how many days it is `enforce`.
    pub days: u32,
    /// Why.
    pub reason: String,
}

/// Everything a founding is made from.
pub(crate) struct Founding<'a> {
    /// The ledger's origin.
    pub origin: &'a str,
    /// SHA-256 of the settings.
    pub settings: Digest,
    /// Logins of the founders; fewer than two found a sandbox.
    pub founders: &'a [String],
    /// The organisation file: its name and text.
    pub organisation: (String, Vec<u8>),
    /// The policy bundles: name and text of each file.
    pub policies: Vec<(String, Vec<u8>)>,
    /// Argon2id hashes of first passwords, by login.
    pub passwords: BTreeMap<String, String>,
}

/// Reads an organisation file. By way of JSON, in which a choice is written as everywhere else.
///
/// # Errors
/// When it is not YAML, or not of this shape.
pub(crate) fn read(text: &[u8]) -> Result<Organisation> {
    let value: serde_json::Value = yaml_serde::from_slice(text)?;
    Ok(serde_json::from_value(value)?)
}

/// Founds the ledger behind `door`.
///
/// # Errors
/// When a file is wrong or a command is refused.
pub(crate) async fn found(door: &Door, founding: Founding<'_>) -> Result<()> {
    let (file, text) = &founding.organisation;
    let organisation = read(text).with_context(|| format!("reading organisation file `{file}`"))?;
    let mut bundles = Vec::new();
    for (file, yaml) in &founding.policies {
        let bundle =
            Bundle::parse(yaml).with_context(|| format!("reading policy bundle `{file}`"))?;
        let digest = door.ports().blobs.put(yaml.clone()).await?;
        bundles.push(BundleRef {
            name: bundle.name().clone(),
            version: bundle.version().to_owned(),
            digest,
        });
    }
    let now = door.ports().clock.now();
    let mut sealer = Sealer::new(&*door.ports().entropy);
    let commands =
        Plan::new(door, &organisation)?.commands(&founding, bundles, &mut sealer, now)?;
    door.submit(Request {
        caller: Caller::new(Actor::Genesis),
        command_id: "genesis".parse()?,
        commands,
        sealed: sealer.into_values(),
        causation: None,
    })
    .await
    .context("founding the ledger")?;
    Ok(())
}

/// The organisation with an id for each person.
struct Plan<'a> {
    organisation: &'a Organisation,
    ids: BTreeMap<&'a str, PersonId>,
}

impl<'a> Plan<'a> {
    fn new(door: &Door, organisation: &'a Organisation) -> Result<Self> {
        let mut ids = BTreeMap::new();
        for person in &organisation.people {
            let id = secret::id(&*door.ports().entropy, "p")?;
            if person.login.len() > LOGIN_BYTES_MAX {
                bail!(
                    "login `{}` of the organisation file is over {LOGIN_BYTES_MAX} bytes",
                    person.login
                );
            }
            if ids.insert(person.login.as_str(), id).is_some() {
                bail!(
                    "login `{}` appears twice in the organisation file",
                    person.login
                );
            }
        }
        Ok(Self { organisation, ids })
    }

    fn id(&self, login: &str) -> Result<PersonId> {
        let known = self.ids.get(login).cloned();
        known.with_context(|| format!("nobody in the organisation file signs in as `{login}`"))
    }

    fn commands(
        &self,
        founding: &Founding<'_>,
        bundles: Vec<BundleRef>,
        sealer: &mut Sealer<'_>,
        now: Timestamp,
    ) -> Result<Vec<Command>> {
        let org = self.organisation;
        let mut commands = vec![Command::Found(self.genesis(founding)?)];
        let role = |(role, rights): (&RoleName, &BTreeSet<Right>)| {
            Governed::DefineRole {
                role: role.clone(),
                rights: rights.clone(),
            }
            .into()
        };
        commands.extend(org.roles.iter().map(role));
        commands.extend(
            org.gates
                .iter()
                .cloned()
                .map(|gate| Governed::DefineGate(gate).into()),
        );
        commands.push(Governed::SetReviewRules(org.review.clone()).into());
        for person in &org.people {
            self.person(person, founding, sealer, &mut commands)?;
        }
        commands.extend(
            bundles
                .into_iter()
                .map(|bundle| Governed::PublishBundle(bundle).into()),
        );
        for (agent, new) in &org.agents {
            let define = DefineOutsideAgent {
                agent: agent.clone(),
                account: self.id(&new.account)?,
                evidence: new.evidence.clone(),
            };
            commands.push(Governed::DefineOutsideAgent(define).into());
        }
        for (system, new) in &org.systems {
            let owner = self.id(&new.owner)?;
            let facts = SystemDefined {
                owner,
                agents: new.agents.clone(),
                outage: new.outage.clone(),
            };
            commands.push(
                Governed::DefineSystem(DefineSystem {
                    system: system.clone(),
                    facts,
                })
                .into(),
            );
        }
        for (model, new) in &org.models {
            self.model(model, new, sealer, &mut commands)?;
        }
        commands.extend(self.log_review(sealer));
        for observe in &org.observe {
            commands.push(
                Governed::SetMode(SetMode {
                    scope: lumos_domain::facts::ModeScope::Every,
                    environment: observe.environment.clone(),
                    mode: Mode::Observe,
                    until: Some(now + SignedDuration::from_hours(i64::from(observe.days) * 24)),
                    reason: sealer.seal(&observe.reason),
                })
                .into(),
            );
        }
        Ok(commands)
    }

    fn log_review(&self, sealer: &mut Sealer<'_>) -> Option<Command> {
        let schedule = self.organisation.log_review.clone()?;
        let set = SetLogReview {
            schedule: Some(schedule),
            reason: sealer.seal("asked for at the founding"),
        };
        Some(Governed::SetLogReview(set).into())
    }

    fn genesis(&self, founding: &Founding<'_>) -> Result<Genesis> {
        let founders = founding
            .founders
            .iter()
            .map(|login| self.id(login))
            .collect::<Result<Vec<_>>>()?;
        let files = std::iter::once(&founding.organisation).chain(&founding.policies);
        Ok(Genesis {
            sandbox: founders.len() < 2,
            founders,
            origin: founding.origin.to_owned(),
            seeds: files
                .map(|(name, text)| Seed {
                    name: name.clone(),
                    digest: Digest::of(text),
                })
                .collect(),
            settings: founding.settings,
        })
    }

    fn person(
        &self,
        new: &NewPerson,
        founding: &Founding<'_>,
        sealer: &mut Sealer<'_>,
        commands: &mut Vec<Command>,
    ) -> Result<()> {
        let person = self.id(&new.login)?;
        commands.push(Command::AddPerson(AddPerson {
            person: person.clone(),
            name: sealer.seal(&new.name),
            login: sealer.seal(&new.login),
            service: new.service,
        }));
        for role in &new.roles {
            let grant = Grant {
                role: role.clone(),
                scope: Scope::Organisation,
            };
            commands.push(
                Governed::GrantRole {
                    person: person.clone(),
                    grant,
                }
                .into(),
            );
        }
        if let Some(hash) = founding.passwords.get(&new.login) {
            commands.push(
                Governed::SetCredential {
                    person,
                    hash: sealer.seal(hash),
                }
                .into(),
            );
        }
        Ok(())
    }

    fn model(
        &self,
        model: &ModelName,
        new: &NewModel,
        sealer: &mut Sealer<'_>,
        commands: &mut Vec<Command>,
    ) -> Result<()> {
        let data_owner = new
            .data_owner
            .as_deref()
            .map(|login| self.id(login))
            .transpose()?;
        let facts = ModelRegistered {
            owner: self.id(&new.owner)?,
            data_owner,
            purpose: sealer.seal(&new.purpose),
            unit: new.unit.clone(),
            frameworks: new.frameworks.clone(),
            policies: new.policies.clone(),
        };
        let rationale = sealer.seal(&new.rationale);
        let register = RegisterModel {
            model: model.clone(),
            facts,
            tier: new.tier,
            rationale,
        };
        commands.push(Governed::RegisterModel(register).into());
        let bind = |binding: &Binding| Governed::BindModel {
            model: model.clone(),
            binding: binding.clone(),
        };
        commands.extend(new.bindings.iter().map(bind).map(Command::from));
        Ok(())
    }
}
