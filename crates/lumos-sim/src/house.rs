//! Acme, small: four people, one gate, one system, one model that is held against the starter bundle.

use std::{collections::BTreeSet, sync::Arc};

use anyhow::{Context as _, Result};
use lumos_domain::{
    actor::{Actor, Caller, Grant, Right, Scope},
    command::Command,
    event::{ModelRegistered, SystemDefined},
    facts::{Binding, BundleRef},
    id::{Digest, ParseIdError, PersonId, RegistryName},
    model::RegisterModel,
    org::Genesis,
    person::AddPerson,
    proposal::Governed,
    system::DefineSystem,
    words::ModelTier,
};
use lumos_engine::{Door, Request, key::ServerKey, secret::Sealer};
use lumos_policy::Bundle;
use serde_json::json;

/// The ledger's name.
pub const ORIGIN: &str = "ledger.acme.example";
/// The policy that binds the model.
const STARTER: &[u8] = include_bytes!("../../../examples/acme/policy/starter.yaml");
/// Who works at Acme, and as what; the first two are the founders.
const PEOPLE: [(&str, &str); 4] = [
    ("administrator", "administrator"),
    ("compliance", "compliance-officer"),
    ("expert", "domain-expert"),
    ("developer", "model-developer"),
];

/// The registry that Acme's versions appear in.
///
/// # Errors
/// Never: it is a name.
pub fn registry() -> Result<RegistryName, ParseIdError> {
    "models".parse()
}

/// Founds Acme's ledger behind `door`.
///
/// # Errors
/// When it is refused or cannot be written.
pub async fn found(door: &Door) -> Result<()> {
    let ports = door.ports();
    let bundle = Bundle::parse(STARTER)?;
    let bundle = BundleRef {
        name: bundle.name().clone(),
        version: bundle.version().to_owned(),
        digest: ports.blobs.put(STARTER.to_vec()).await?,
    };
    let mut sealer = Sealer::new(&*ports.entropy);
    let mut commands = rules()?;
    for (person, role) in PEOPLE {
        commands.extend(hire(person, role, &mut sealer)?);
    }
    commands.push(Governed::PublishBundle(bundle.clone()).into());
    commands.extend(work(bundle, &mut sealer)?);
    let request = Request {
        caller: Caller::new(Actor::Genesis),
        command_id: "genesis".parse()?,
        commands,
        sealed: sealer.into_values(),
        causation: None,
    };
    door.submit(request).await.context("founding the ledger")?;
    Ok(())
}

pub(crate) fn person(login: &str) -> Result<PersonId, ParseIdError> {
    format!("p-{login}").parse()
}

/// The server's own secret: every process has the same.
#[must_use]
pub fn key() -> Arc<ServerKey> {
    Arc::new(ServerKey::new([7; 32]))
}

/// Somebody who asks.
///
/// # Errors
/// When `login` is no name.
pub fn caller(login: &str) -> Result<Caller, ParseIdError> {
    Ok(Caller::new(Actor::Person(person(login)?)))
}

fn rules() -> Result<Vec<Command>> {
    use Right::{Govern, ManageModels, ManagePeople, PublishPolicy, Read, Revoke, Submit};

    let founders = PEOPLE[..2].iter().map(|(login, _)| person(login));
    let mut commands = vec![Command::Found(Genesis {
        founders: founders.collect::<Result<_, _>>()?,
        origin: ORIGIN.to_owned(),
        sandbox: false,
        seeds: Vec::new(),
        settings: Digest::of(b"settings"),
    })];
    let roles: [(&str, &[Right]); 4] = [
        (
            "administrator",
            &[Read, ManagePeople, ManageModels, Govern, PublishPolicy],
        ),
        ("compliance-officer", &[Read, Revoke, Govern]),
        ("domain-expert", &[Read]),
        ("model-developer", &[Read, Submit]),
    ];
    for (role, rights) in roles {
        commands.push(
            Governed::DefineRole {
                role: role.parse()?,
                rights: rights.iter().copied().collect(),
            }
            .into(),
        );
    }
    let gate = json!({"environment": "production", "report_max_age_days": 30, "min_score": 5000});
    commands.push(Governed::DefineGate(serde_json::from_value(gate)?).into());
    let full = json!([{"role": "compliance-officer"}, {"role": "domain-expert"}]);
    let deep = json!({"approval_days": 180, "slots": full});
    let review = json!({
        "wide_over_agents": 5, "senior_role": "administrator", "escalate_critical_after_hours": 24,
        "depths": {"auto": {"approval_days": 90}, "light": deep, "full": deep, "panel": deep},
        "matrix": {"production": {"medium": {"none": "auto", "minor": "auto", "moderate": "full", "major": "full"}}},
    });
    commands.push(Governed::SetReviewRules(serde_json::from_value(review)?).into());
    Ok(commands)
}

fn hire(login: &str, role: &str, sealer: &mut Sealer<'_>) -> Result<[Command; 2]> {
    let add = AddPerson {
        person: person(login)?,
        name: sealer.seal(login),
        login: sealer.seal(login),
        service: false,
    };
    let grant = Grant {
        role: role.parse()?,
        scope: Scope::Organisation,
    };
    let person = person(login)?;
    Ok([
        Command::AddPerson(add),
        Governed::GrantRole { person, grant }.into(),
    ])
}

fn work(bundle: BundleRef, sealer: &mut Sealer<'_>) -> Result<[Command; 3]> {
    let owner = person("administrator")?;
    let system = DefineSystem {
        system: "ward".parse()?,
        facts: SystemDefined {
            owner: owner.clone(),
            agents: [("intake".parse()?)].into(),
            outage: Vec::new(),
        },
    };
    let register = RegisterModel {
        model: "triage".parse()?,
        facts: ModelRegistered {
            owner,
            data_owner: None,
            purpose: sealer.seal("Sorts incoming letters."),
            unit: None,
            frameworks: BTreeSet::new(),
            policies: [bundle.name].into(),
        },
        tier: ModelTier::Medium,
        rationale: sealer.seal("A person looks before anything happens."),
    };
    let binding = Binding {
        registry: registry()?,
        name: "triage".to_owned(),
        environment: "production".parse()?,
        agents: ["ward/intake".parse()?].into(),
        alias: Some("champion".to_owned()),
    };
    let model = register.model.clone();
    Ok([
        Governed::DefineSystem(system).into(),
        Governed::RegisterModel(register).into(),
        Governed::BindModel { model, binding }.into(),
    ])
}
