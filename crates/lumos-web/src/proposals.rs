//! A proposal as its second person must understand it: what would change, in words. For the API and the pages.

use jiff::Timestamp;
use lumos_domain::{
    actor::{Caller, Scope},
    command::{Command, decide},
    facts::ModeScope,
    id::{BundleName, PersonId, ProposalId},
    proposal::{Governed, Waiting},
    refusal::Refusal,
    world::Halt,
};
use lumos_engine::views::{self, people};
use serde_json::Value;

use crate::{app::App, problem::Problem};

/// A proposal, told to one reader.
#[derive(Debug, Clone)]
pub struct Told {
    /// Its id.
    pub proposal: ProposalId,
    /// What it would do.
    pub says: String,
    /// The name of its proposer.
    pub by: String,
    /// Until when it waits.
    pub until: Timestamp,
    /// Why the reader cannot confirm it, if so.
    pub refused: Option<Refusal>,
    /// The change as data, sealed texts as commitments.
    pub change: Value,
}

/// Tells `caller` about a proposal; `None` when it does not wait any more.
///
/// # Errors
/// When the store fails.
pub async fn tell(
    app: &App,
    caller: &Caller,
    proposal: &ProposalId,
) -> Result<Option<Told>, Problem> {
    let now = app.door.ports().clock.now();
    let confirm = Command::ConfirmProposal {
        proposal: proposal.clone(),
    };
    let (waiting, refused) = app
        .door
        .ask(|world| {
            let waiting = world.proposal(proposal)?.waiting.clone();
            let refused = match decide(world, caller, &confirm, now) {
                Ok(_) => None,
                Err(Halt::Refused(refusal)) => Some(refusal),
                Err(need @ Halt::Need(_)) => return Err(need),
            };
            Ok((waiting, refused))
        })
        .await?;
    let Some(Waiting { by, change, until }) = waiting else {
        return Ok(None);
    };
    Ok(Some(Told {
        proposal: proposal.clone(),
        says: says(app, &change).await?,
        by: name(app, &by).await?,
        until,
        refused,
        change: serde_json::to_value(&change).unwrap_or_default(),
    }))
}

/// How many proposals wait for `caller` to confirm them.
///
/// # Errors
/// When the store fails.
pub async fn count_for(app: &App, caller: &Caller) -> Result<usize, Problem> {
    let now = app.door.ports().clock.now();
    let waiting = views::proposals::waiting(&*app.door.ports().store, now).await?;
    let mine = app.door.ask(|world| {
        let mut mine = 0;
        for row in &waiting {
            let proposal = row.proposal.clone();
            match decide(world, caller, &Command::ConfirmProposal { proposal }, now) {
                Ok(_) => mine += 1,
                Err(Halt::Refused(_)) => {}
                Err(need @ Halt::Need(_)) => return Err(need),
            }
        }
        Ok(mine)
    });
    Ok(mine.await?)
}

async fn name(app: &App, person: &PersonId) -> Result<String, Problem> {
    match people::by_id(&*app.door.ports().store, person).await? {
        Some(row) => app.unseal(&row.name).await,
        None => Ok(person.to_string()),
    }
}

/// What `change` would do, in one sentence.
async fn says(app: &App, change: &Governed) -> Result<String, Problem> {
    Ok(match change {
        Governed::DefineGate(gate) => format!("define the gate to {}", gate.environment),
        Governed::SetReviewRules(_) => {
            "set the rules of review: who signs, and how many".to_owned()
        }
        Governed::DefineRole { role, rights } => {
            let rights: Vec<_> = rights.iter().map(ToString::to_string).collect();
            format!("give the role {role} the rights {}", rights.join(", "))
        }
        Governed::SetMode(set) => {
            let systems = match &set.scope {
                ModeScope::Every => "every system without a mode of its own".to_owned(),
                ModeScope::System(system) => format!("system {system}"),
            };
            let until = set.until.map_or(String::new(), |until| {
                until.strftime(" until %Y-%m-%d %H:%M UTC").to_string()
            });
            let reason = app.unseal(&set.reason).await?;
            format!(
                "only {} in {} for {systems}{until}, because: {reason}",
                set.mode, set.environment
            )
        }
        Governed::GrantRole { person, grant } => {
            let scope = match &grant.scope {
                Scope::Organisation => "everywhere".to_owned(),
                Scope::Unit(unit) => format!("for the models of unit {unit}"),
                Scope::Model(model) => format!("for model {model}"),
            };
            let person = name(app, person).await?;
            format!("make {person} {} {scope}", grant.role)
        }
        Governed::SetCredential { person, .. } => format!(
            "set the password of {}, who holds a role; whoever knows it can sign in as them",
            name(app, person).await?
        ),
        Governed::RegisterModel(register) => {
            let policies = register.facts.policies.iter().map(BundleName::as_str);
            let policies: Vec<_> = policies.collect();
            format!(
                "register model {} with tier {}, held against {}, owned by {}",
                register.model,
                register.tier,
                policies.join(", "),
                name(app, &register.facts.owner).await?
            )
        }
        Governed::SetModelTier {
            model,
            tier,
            rationale,
        } => {
            let rationale = app.unseal(rationale).await?;
            format!("lower the tier of model {model} to {tier}, because: {rationale}")
        }
        Governed::PublishBundle(bundle) => format!(
            "publish version {} of bundle {} ({})",
            bundle.version, bundle.name, bundle.digest
        ),
        Governed::DefineSystem(define) => format!(
            "let system {} go on by other rules than now when LUMOS cannot be reached",
            define.system
        ),
    })
}
