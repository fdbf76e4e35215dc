//! People, services, roles, passwords and tokens.

use std::collections::BTreeSet;

use axum::extract::State;
use jiff::Timestamp;
use lumos_domain::{
    actor::{Grant, Right, Scope},
    command::Command,
    id::{Digest, PersonId, TokenId},
    person::{AddPerson, IssueToken},
    proposal::Governed,
    words::Reading,
};
use lumos_engine::{secret, views::people};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Answer,
    act::{Act, ActBytes},
    name, seal_one, sealer,
};
use crate::{
    app::{App, Json, Once, Path, login, text},
    auth::{SignedIn, end_sessions, hash_password},
    problem::Problem,
    readings,
};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, add))
        .routes(routes!(suspend))
        .routes(routes!(grant, revoke))
        .routes(routes!(set_password))
        .routes(routes!(tokens, issue))
        .routes(routes!(revoke_token))
        .routes(routes!(roles))
        .routes(routes!(define_role))
}

/// A person as others see them.
#[derive(Serialize, ToSchema)]
struct PersonView {
    person: String,
    name: String,
    login: String,
    service: bool,
    suspended: bool,
    roles: Vec<String>,
}

/// Everybody.
#[utoipa::path(get, path = "/api/v1/people", tag = "people",
    responses((status = 200, body = [PersonView]), (status = "4XX", body = Problem)))]
async fn list(State(app): State<App>, who: SignedIn) -> Result<Json<Vec<PersonView>>, Problem> {
    who.must(&app, Right::Read, None).await?;
    readings::note(&app, &who, Reading::Names, "everybody").await;
    let mut all = Vec::new();
    for row in people::all(&*app.door.ports().store).await? {
        let grants = app
            .door
            .ask(|world| Ok(world.person(&row.person)?.grants.clone()))
            .await?;
        all.push(PersonView {
            person: row.person.to_string(),
            name: app.unseal(&row.name).await?,
            login: app.unseal(&row.login).await?,
            service: row.service,
            suspended: row.suspended,
            roles: grants.iter().map(describe).collect(),
        });
    }
    Ok(Json(all))
}

fn describe(grant: &Grant) -> String {
    match &grant.scope {
        Scope::Organisation => grant.role.to_string(),
        Scope::Unit(unit) => format!("{} for unit {unit}", grant.role),
        Scope::Model(model) => format!("{} for model {model}", grant.role),
    }
}

/// A person or service to add.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewPerson {
    name: String,
    login: String,
    /// A first password, to be changed at the first sign-in. A service has none.
    #[serde(default)]
    password: Option<String>,
    #[serde(default)]
    service: bool,
}

/// What was added.
#[derive(Serialize, ToSchema)]
struct Added {
    person: String,
}

/// Add a person or service.
#[utoipa::path(post, path = "/api/v1/people", tag = "people", request_body = NewPerson,
    responses((status = 200, body = Added), (status = "4XX", body = Problem)))]
async fn add(Act(by, body): Act<NewPerson>) -> Result<Json<Added>, Problem> {
    // Derived, so that a repeated request speaks of the same person.
    let person: PersonId = name(&format!(
        "p{}",
        &Digest::of(by.once.0.as_str().as_bytes()).hex()[..20]
    ))?;
    let mut sealer = sealer(&by.app);
    let mut commands = vec![Command::AddPerson(AddPerson {
        person: person.clone(),
        name: sealer.seal(text("name", &body.name)?),
        login: sealer.seal(login(&body.login)?),
        service: body.service,
    })];
    if let Some(password) = &body.password {
        let hash = sealer.seal(&hashed(&by.app, password).await?);
        let person = person.clone();
        commands.push(Governed::SetCredential { person, hash }.into());
    }
    let request = lumos_engine::Request {
        caller: by.who.caller.clone(),
        command_id: by.once.0.clone(),
        commands,
        sealed: sealer.into_values(),
        causation: None,
    };
    by.app.door.submit(request).await?;
    Ok(Json(Added {
        person: person.to_string(),
    }))
}

/// Hashes a password off the async threads.
async fn hashed(app: &App, password: &str) -> Result<String, Problem> {
    let mut salt = [0; 16];
    app.door.ports().entropy.fill(&mut salt);
    let password = password.to_owned();
    tokio::task::spawn_blocking(move || hash_password(&password, salt))
        .await
        .map_err(|panicked| lumos_engine::ports::PortError::new("hashing a password", panicked))?
}

/// A reason.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Reason {
    pub(super) reason: String,
}

/// Take an account out of use.
#[utoipa::path(post, path = "/api/v1/people/{person}/suspension", tag = "people", request_body = Reason,
    params(("person" = String, Path)),
    responses((status = 200, body = super::Done), (status = "4XX", body = Problem)))]
async fn suspend(Path(person): Path<String>, Act(by, body): Act<Reason>) -> Answer {
    let (reason, sealed) = seal_one(&by.app, text("reason", &body.reason)?);
    let person: PersonId = name(&person)?;
    let command = Command::SuspendPerson {
        person: person.clone(),
        reason,
    };
    let done = by.submit(command, sealed).await?;
    end_sessions(&by.app, &person, Some(&by.who.credential)).await?;
    Ok(done)
}

/// A role on a scope: the whole organisation unless a unit or model is named.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RoleGrant {
    role: String,
    #[serde(default)]
    unit: Option<String>,
    #[serde(default)]
    model: Option<String>,
}

impl RoleGrant {
    fn grant(self) -> Result<Grant, Problem> {
        let scope = match (self.unit, self.model) {
            (None, None) => Scope::Organisation,
            (Some(unit), None) => Scope::Unit(unit),
            (None, Some(model)) => Scope::Model(name(&model)?),
            (Some(_), Some(_)) => {
                return Err(Problem::bad(
                    "bad-request",
                    "name a unit or a model, not both",
                ));
            }
        };
        Ok(Grant {
            role: name(&self.role)?,
            scope,
        })
    }
}

/// Grant a role.
#[utoipa::path(post, path = "/api/v1/people/{person}/roles", tag = "people", request_body = RoleGrant,
    params(("person" = String, Path)),
    responses((status = 200, body = super::Done), (status = "4XX", body = Problem)))]
async fn grant(Path(person): Path<String>, Act(by, body): Act<RoleGrant>) -> Answer {
    let command = Governed::GrantRole {
        person: name(&person)?,
        grant: body.grant()?,
    };
    by.submit(command, Vec::new()).await
}

/// Take a role back.
#[utoipa::path(delete, path = "/api/v1/people/{person}/roles", tag = "people", request_body = RoleGrant,
    params(("person" = String, Path)),
    responses((status = 200, body = super::Done), (status = "4XX", body = Problem)))]
async fn revoke(Path(person): Path<String>, Act(by, body): Act<RoleGrant>) -> Answer {
    let command = Command::RevokeRole {
        person: name(&person)?,
        grant: body.grant()?,
    };
    by.submit(command, Vec::new()).await
}

/// A new password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewPassword {
    /// One's present password; needed to change one's own.
    #[serde(default)]
    current: Option<String>,
    password: String,
}

/// Set a password: one's own with the present one, another's with `manage-people`.
#[utoipa::path(put, path = "/api/v1/people/{person}/password", tag = "people", request_body = NewPassword,
    params(("person" = String, Path)),
    responses((status = 200, body = super::Done), (status = "4XX", body = Problem)))]
async fn set_password(Path(person): Path<String>, Act(by, body): Act<NewPassword>) -> Answer {
    let person: PersonId = name(&person)?;
    if person == by.who.person.person {
        let current = body.current.as_deref().unwrap_or_default();
        by.app
            .gatekeeper
            .reauthenticate(&by.app.door, &person, current, &by.who.credential)
            .await?;
    }
    let (hash, sealed) = seal_one(&by.app, &hashed(&by.app, &body.password).await?);
    let command = Governed::SetCredential {
        person: person.clone(),
        hash,
    };
    let done = by.submit(command, sealed).await?;
    if person == by.who.person.person {
        end_sessions(&by.app, &person, Some(&by.who.credential)).await?;
    }
    Ok(done)
}

/// A token as its owner sees it.
#[derive(Serialize, ToSchema)]
struct TokenView {
    token: String,
    purpose: String,
    #[schema(value_type = String)]
    expires: Timestamp,
}

/// One's own tokens, or a service's.
#[utoipa::path(get, path = "/api/v1/people/{person}/tokens", tag = "people", params(("person" = String, Path)),
    responses((status = 200, body = [TokenView]), (status = "4XX", body = Problem)))]
async fn tokens(
    State(app): State<App>,
    who: SignedIn,
    Path(person): Path<String>,
) -> Result<Json<Vec<TokenView>>, Problem> {
    let person: PersonId = name(&person)?;
    if person != who.person.person {
        who.must(&app, Right::ManagePeople, None).await?;
    }
    let mut all = Vec::new();
    for row in people::tokens(&*app.door.ports().store, &person).await? {
        let purpose = app.unseal(&row.purpose).await?;
        all.push(TokenView {
            token: row.token.to_string(),
            purpose,
            expires: row.expires,
        });
    }
    Ok(Json(all))
}

/// A token to issue.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewToken {
    purpose: String,
    /// The rights it is limited to.
    rights: Vec<String>,
    /// How long it lives, at most 366 days.
    days: u32,
}

/// A token, shown once.
#[derive(Serialize, ToSchema)]
struct IssuedToken {
    token: String,
    /// Send it as `Authorization: Bearer …`. It is not shown again. Where it needs two people it is the first half:
    /// whoever confirms gets the second, and the agent sends both as one.
    credential: String,
    /// When it needs two people: the proposal that a second person has to confirm.
    #[serde(skip_serializing_if = "Option::is_none")]
    proposal: Option<String>,
    #[schema(value_type = String)]
    expires: Timestamp,
}

/// Issue a token that acts as oneself, or as a service. For an agent that records evidence of its own it needs two
/// people, each of whom gets half of it.
#[utoipa::path(post, path = "/api/v1/people/{person}/tokens", tag = "people", request_body = NewToken,
    params(("person" = String, Path)),
    responses((status = 200, body = IssuedToken), (status = "4XX", body = Problem)))]
async fn issue(
    State(app): State<App>,
    who: SignedIn,
    Path(person): Path<String>,
    Json(body): Json<NewToken>,
) -> Result<Json<IssuedToken>, Problem> {
    let entropy = &*app.door.ports().entropy;
    let token: TokenId = secret::id(entropy, "t")?;
    let key = secret::secret(entropy);
    let rights: BTreeSet<Right> = body
        .rights
        .iter()
        .map(|right| right.parse())
        .collect::<Result<_, _>>()?;
    let hours = i64::from(body.days.min(3_660)) * 24;
    let expires = app.door.ports().clock.now() + jiff::SignedDuration::from_hours(hours);
    let mut sealer = sealer(&app);
    let issue = Governed::IssueToken(IssueToken {
        person: name(&person)?,
        token: token.clone(),
        hash: sealer.seal(&Digest::of(key.as_bytes()).hex()),
        rights,
        purpose: sealer.seal(text("purpose", &body.purpose)?),
        expires,
    });
    // A repeated request would need the secret again, which is nowhere: each issues its own token.
    let once = Once(secret::command_id(entropy)?);
    let outcome = app.submit(who.caller, once, issue.into(), sealer.into_values());
    let Json(done) = outcome.await?.into();
    Ok(Json(IssuedToken {
        proposal: done.proposal,
        credential: format!("lumos_{token}_{key}"),
        token: token.to_string(),
        expires,
    }))
}

/// Revoke a token.
#[utoipa::path(delete, path = "/api/v1/people/{person}/tokens/{token}", tag = "people",
    params(("person" = String, Path), ("token" = String, Path)),
    responses((status = 200, body = super::Done), (status = "4XX", body = Problem)))]
async fn revoke_token(
    Path((person, token)): Path<(String, String)>,
    ActBytes(by, _): ActBytes,
) -> Answer {
    let command = Command::RevokeToken {
        person: name(&person)?,
        token: name(&token)?,
    };
    by.submit(command, Vec::new()).await
}

/// A role and its rights.
#[derive(Serialize, ToSchema)]
struct RoleView {
    role: String,
    rights: Vec<String>,
}

/// The roles and the rights they carry.
#[utoipa::path(get, path = "/api/v1/roles", tag = "people",
    responses((status = 200, body = [RoleView]), (status = "4XX", body = Problem)))]
async fn roles(State(app): State<App>, who: SignedIn) -> Result<Json<Vec<RoleView>>, Problem> {
    who.must(&app, Right::Read, None).await?;
    let roles = app.door.ask(|world| Ok(world.org()?.roles.clone())).await?;
    let view = |(role, rights): (lumos_domain::id::RoleName, BTreeSet<Right>)| RoleView {
        role: role.to_string(),
        rights: rights.iter().map(ToString::to_string).collect(),
    };
    Ok(Json(roles.into_iter().map(view).collect()))
}

/// The rights of a role.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RoleRights {
    rights: Vec<String>,
}

/// Define a role, or change its rights.
#[utoipa::path(put, path = "/api/v1/roles/{role}", tag = "people", request_body = RoleRights,
    params(("role" = String, Path)),
    responses((status = 200, body = super::Done), (status = "4XX", body = Problem)))]
async fn define_role(Path(role): Path<String>, Act(by, body): Act<RoleRights>) -> Answer {
    let rights = body
        .rights
        .iter()
        .map(|right| right.parse())
        .collect::<Result<_, _>>()?;
    let command = Governed::DefineRole {
        role: name(&role)?,
        rights,
    };
    by.submit(command, Vec::new()).await
}
