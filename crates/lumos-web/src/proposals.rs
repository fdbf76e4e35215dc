//! A proposal as its second person must understand it: what would change, in words and value by value. For the
//! API and the pages.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use lumos_domain::{
    actor::{Caller, Scope},
    command::Command,
    event::Event,
    facts::ModeScope,
    id::{BundleName, Digest, PersonId, ProposalId},
    keys::{AddKey, Key, RotateKey},
    person::IssueToken,
    proposal::{Governed, Waiting},
    refusal::Refusal,
    seal::{Sealed, SealedValue},
};
use lumos_engine::{
    Outcome, secret,
    views::{self, people},
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    app::{App, Once, refusal},
    problem::Problem,
};

/// A proposal, told to one reader.
#[derive(Debug, Clone)]
pub struct Told {
    /// Its id.
    pub proposal: ProposalId,
    /// What it would do.
    pub says: String,
    /// The name and login of its proposer.
    pub by: String,
    /// Until when it waits.
    pub until: Timestamp,
    /// Why the reader cannot confirm it, if so.
    pub refused: Option<Refusal>,
    /// Every value that would become another one.
    pub differences: Vec<Difference>,
}

/// One value that would become another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Difference {
    /// Which, as a path of names.
    pub what: String,
    /// What it is; absent where there is nothing.
    pub is: Option<String>,
    /// What it would be; absent where there would be nothing.
    pub would_be: Option<String>,
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
    let confirm = Half::draw(app).confirms(proposal);
    let seen = app
        .door
        .ask(|world| {
            let Some(waiting) = world.proposal(proposal)?.waiting.clone() else {
                return Ok(None);
            };
            let replaces = waiting.change.replaces(world)?;
            let refused = refusal(world, caller, &confirm, now)?;
            Ok(Some((waiting, replaces, refused)))
        })
        .await?;
    let Some((waiting, replaces, refused)) = seen else {
        return Ok(None);
    };
    let Waiting {
        by, change, until, ..
    } = waiting;
    Ok(Some(Told {
        proposal: proposal.clone(),
        says: says(app, &change).await?,
        by: name(app, &by).await?,
        until,
        refused,
        differences: differences(app, &replaces, &change).await?,
    }))
}

/// Confirms a proposal. If it is a token that two people draw, the caller's half of it is told, once and to nobody
/// else: the ledger has its hash.
///
/// # Errors
/// A problem with the refusal or failure.
pub async fn confirm(
    app: &App,
    caller: Caller,
    once: Once,
    proposal: ProposalId,
) -> Result<(Outcome, Option<String>), Problem> {
    let half = Half::draw(app);
    let (command, sealed) = (half.confirms(&proposal), vec![half.sealed.clone()]);
    can_sign(app, &caller, &command, &proposal).await?;
    let outcome = app.submit(caller, once, command, sealed).await?;
    // Where the same request was done before, another half was told then.
    let is_ours = |event: &Event| matches!(event, Event::TokenIssued(e) if e.second == Some(half.sealed.commitment));
    let told = outcome.events.iter().any(|(_, event)| is_ours(event));
    Ok((outcome, told.then_some(half.secret)))
}

/// Where another key is to sign: that it can, on every server. Days may lie between the proposal and this. For whoever may
/// not confirm nothing is tried out: that is left to the answer they get.
async fn can_sign(
    app: &App,
    caller: &Caller,
    confirm: &Command,
    proposal: &ProposalId,
) -> Result<(), Problem> {
    let now = app.door.ports().clock.now();
    let key = app.door.ask(|world| {
        if refusal(world, caller, confirm, now)?.is_some() {
            return Ok(None);
        }
        let waiting = world.proposal(proposal)?.waiting.as_ref();
        Ok(match waiting.map(|waiting| &waiting.change) {
            Some(Governed::RotateKey(rotate)) => world.keys()?.get(&rotate.key).cloned(),
            _ => None,
        })
    });
    match key.await? {
        Some(Key {
            key, place, name, ..
        }) => Ok(app
            .keys
            .try_out_everywhere(&AddKey { key, place, name })
            .await?),
        None => Ok(()),
    }
}

/// The half of a secret that whoever confirms adds, if the proposal turns out to need one.
struct Half {
    secret: String,
    sealed: SealedValue,
}

impl Half {
    fn draw(app: &App) -> Self {
        let entropy = &*app.door.ports().entropy;
        let secret = secret::secret(entropy);
        let mut salt = [0; 32];
        entropy.fill(&mut salt);
        let sealed = SealedValue::new(salt, Digest::of(secret.as_bytes()).hex());
        Self { secret, sealed }
    }

    fn confirms(&self, proposal: &ProposalId) -> Command {
        Command::ConfirmProposal {
            proposal: proposal.clone(),
            half: Some(self.sealed.commitment),
        }
    }
}

/// What would become something else, value by value.
async fn differences(
    app: &App,
    replaces: &Value,
    change: &Governed,
) -> Result<Vec<Difference>, Problem> {
    let proposed = serde_json::to_value(change).unwrap_or_default();
    // `{"grant_role": {…}}`: the word is told by the sentence.
    let proposed = proposed.as_object().and_then(|o| o.values().next());
    let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
    flatten("", replaces, &mut before);
    flatten("", proposed.unwrap_or(&Value::Null), &mut after);
    // What the role or the token gives is handed out with it.
    match change {
        Governed::GrantRole { .. } => after.extend(before.remove_entry("rights")),
        Governed::IssueToken(_) => after.extend(before.remove_entry("records")),
        _ => {}
    }
    if !before.is_empty() {
        // Its name is in the sentence.
        after.retain(|what, _| !["model", "system"].contains(&what.as_str()));
        before.retain(|what, _| !["model", "system"].contains(&what.as_str()));
    }
    let secret = match change {
        Governed::SetCredential { .. } => Some("(a password)"),
        Governed::IssueToken(_) => Some("(half of a secret)"),
        _ => None,
    };
    let paths: BTreeSet<String> = before.keys().chain(after.keys()).cloned().collect();
    let mut found = Vec::new();
    for what in paths {
        let (is, would_be) = (before.get(&what), after.get(&what));
        if is != would_be {
            found.push(Difference {
                is: shown(app, &what, is, secret).await?,
                would_be: shown(app, &what, would_be, secret).await?,
                what,
            });
        }
    }
    Ok(found)
}

/// The values of `value` by their paths; a list is one value, an empty one none.
fn flatten(path: &str, value: &Value, into: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(fields) if !fields.contains_key("sealed") => {
            for (key, inner) in fields {
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                flatten(&path, inner, into);
            }
        }
        Value::Null => {}
        Value::Array(items) if items.is_empty() => {}
        other => {
            into.insert(path.to_owned(), other.clone());
        }
    }
}

async fn shown(
    app: &App,
    what: &str,
    value: Option<&Value>,
    secret: Option<&str>,
) -> Result<Option<String>, Problem> {
    let Some(value) = value else { return Ok(None) };
    let text = match (serde_json::from_value::<Sealed>(value.clone()), value) {
        (Ok(_), _) if what == "hash" => secret.unwrap_or("(a secret)").to_owned(),
        (Ok(sealed), _) => app.unseal(&sealed).await?,
        (Err(_), Value::String(text)) if what == "person" || what.ends_with("owner") => {
            named(app, text).await?
        }
        (Err(_), Value::String(text)) => text.clone(),
        (Err(_), Value::Array(items)) => {
            let items = items.iter().map(|item| match item {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            });
            items.collect::<Vec<_>>().join(", ")
        }
        (Err(_), other) => other.to_string(),
    };
    Ok(Some(text))
}

/// The name and login of a person where the text is the id of one, else the text.
async fn named(app: &App, text: &str) -> Result<String, Problem> {
    match text.parse::<PersonId>() {
        Ok(person) => name(app, &person).await,
        Err(_) => Ok(text.to_owned()),
    }
}

/// How many proposals wait for `caller` to confirm them.
///
/// # Errors
/// When the store fails.
pub async fn count_for(app: &App, caller: &Caller) -> Result<usize, Problem> {
    let now = app.door.ports().clock.now();
    let mut mine = 0;
    for row in views::proposals::waiting(&*app.door.ports().store, now).await? {
        let confirm = Half::draw(app).confirms(&row.proposal);
        let refused = app.door.ask(|world| refusal(world, caller, &confirm, now));
        mine += usize::from(refused.await?.is_none());
    }
    Ok(mine)
}

/// Names are free text; the login tells whose account it is.
async fn name(app: &App, person: &PersonId) -> Result<String, Problem> {
    match people::by_id(&*app.door.ports().store, person).await? {
        Some(row) => {
            let mut both = app
                .door
                .ports()
                .store
                .unseal(&[row.name, row.login])
                .await?;
            match (both.pop().flatten(), both.pop().flatten()) {
                (Some(login), Some(name)) => Ok(format!("{name} ({login})")),
                _ => Ok(format!("(erased) {person}")),
            }
        }
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
                "register or describe model {} with tier {}, held against {}, owned by {}",
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
            format!("set the tier of model {model} to {tier}, because: {rationale}")
        }
        Governed::BindModel { model, binding } => format!(
            "bind model {model} to `{}` in registry {} for {}",
            binding.name, binding.registry, binding.environment
        ),
        Governed::PublishBundle(bundle) => format!(
            "publish version {} of bundle {} ({})",
            bundle.version, bundle.name, bundle.digest
        ),
        other => says_of_the_rest(app, other).await?,
    })
}

/// The same, of systems and of how long names stay readable.
async fn says_of_the_rest(app: &App, change: &Governed) -> Result<String, Problem> {
    Ok(match change {
        Governed::DefineSystem(define) => format!(
            "define system {}, and how it goes on when LUMOS cannot be reached",
            define.system
        ),
        Governed::DefineOutsideAgent(define) => {
            let kinds: Vec<_> = define.evidence.iter().map(String::as_str).collect();
            let kinds = match kinds[..] {
                [] => "no evidence".to_owned(),
                _ => format!("evidence of {}", kinds.join(", ")),
            };
            let account = name(app, &define.account).await?;
            format!(
                "let {account} be the agent {}, which alone records {kinds}",
                define.agent
            )
        }
        Governed::SetRetention(set) => {
            let reason = app.unseal(&set.reason).await?;
            format!(
                "keep records of class {} readable for {} days, because: {reason}",
                set.class, set.days
            )
        }
        Governed::LiftHold { hold, reason } => {
            let reason = app.unseal(reason).await?;
            format!("lift the legal hold {hold}, because: {reason}")
        }
        Governed::RotateKey(rotate) => says_of_key(app, rotate).await?,
        Governed::IssueToken(issue) => says_of_token(app, issue).await?,
        Governed::SetLogReview(set) => {
            let reason = app.unseal(&set.reason).await?;
            match &set.schedule {
                Some(schedule) => format!(
                    "have the log reviewed every {} days by {}, {} days after that at the latest, because: {reason}",
                    schedule.every_days, schedule.role, schedule.within_days
                ),
                None => format!("have nobody review the log any more, because: {reason}"),
            }
        }
        Governed::ErasePerson { person, reason } => format!(
            "erase {} for ever, as soon as no period and no hold keeps the name, because: {}",
            name(app, person).await?,
            app.unseal(reason).await?
        ),
        // Each has its sentence; one that had none would at least say everything.
        other => serde_json::to_string(other).unwrap_or_default(),
    })
}

async fn says_of_token(app: &App, issue: &IssueToken) -> Result<String, Problem> {
    let rights: Vec<_> = issue.rights.iter().map(ToString::to_string).collect();
    Ok(format!(
        "draw a token for {} with the rights {}, to be used for: {}; each of you gets half of it",
        name(app, &issue.person).await?,
        rights.join(", "),
        app.unseal(&issue.purpose).await?
    ))
}

async fn says_of_key(app: &App, rotate: &RotateKey) -> Result<String, Problem> {
    let now = app.door.ports().clock.now();
    let nobody = app
        .door
        .ask(|world| Ok(world.keys()?.signing(now).is_empty()));
    let beside = if nobody.await? {
        "though no key that counts will vouch for it: everybody who verifies must be told"
            .to_owned()
    } else {
        format!("the present one beside it for {} days", rotate.overlap_days)
    };
    Ok(format!(
        "sign the ledger with key {} from then on, {beside}, because: {}",
        rotate.key.id(),
        app.unseal(&rotate.reason).await?
    ))
}
