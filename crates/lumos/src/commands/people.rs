//! `lumos user`, `lumos role`, `lumos token`.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::{Out, Said, review::line_of_input, text};
use crate::{
    cli::{Role, Token, User},
    edge::OsEntropy,
    remote::{self, Remote},
};

pub(super) async fn user(user: User, remote: &Remote, out: &Out) -> Result<Said> {
    match user {
        User::Login { login } => {
            let password = line_of_input("the password")?;
            let body = json!({ "login": login, "password": password });
            let session = remote.post("/api/v1/sessions", &body).await?;
            remote::keep(&remote.address, session["credential"].as_str())?;
            out.tell(
                &format!(
                    "signed in at {} until {}",
                    remote.address,
                    text(&session, "ends")
                ),
                &json!({}),
            );
            Ok(Said::Yes)
        }
        User::Logout => {
            remote.delete("/api/v1/sessions/current", None).await?;
            remote::keep(&remote.address, None)?;
            Ok(Said::Yes)
        }
        User::Whoami => {
            out.say(&remote.get("/api/v1/me").await?);
            Ok(Said::Yes)
        }
        User::List => {
            out.say(&remote.get("/api/v1/people").await?);
            Ok(Said::Yes)
        }
        User::Add {
            login,
            name,
            service,
        } => add(remote, out, &login, &name, service).await,
        User::Invite { login } => invite(remote, out, &login).await,
        User::Password => {
            let (current, new) = (
                line_of_input("the present password")?,
                line_of_input("the new password")?,
            );
            let me = remote.get("/api/v1/me").await?;
            let path = format!("/api/v1/people/{}/password", text(&me, "person"));
            out.done(
                &remote
                    .put(&path, &json!({ "current": current, "password": new }))
                    .await?,
            )
        }
        User::Suspend { login, reason } => {
            let path = format!(
                "/api/v1/people/{}/suspension",
                person(remote, &login).await?
            );
            out.done(&remote.post(&path, &json!({ "reason": reason })).await?)
        }
        User::LeaveSandbox { founder } => out.done(
            &remote
                .post("/api/v1/sandbox/exit", &json!({ "founder": founder }))
                .await?,
        ),
    }
}

/// A password for somebody who then chooses their own.
fn first_password() -> String {
    lumos_engine::secret::secret(&OsEntropy)[..24].to_owned()
}

async fn invite(remote: &Remote, out: &Out, login: &str) -> Result<Said> {
    let path = format!("/api/v1/people/{}/password", person(remote, login).await?);
    let password = first_password();
    let done = remote.put(&path, &json!({ "password": password })).await?;
    let sentence = format!("first password of {login}, shown this once: {password}");
    let proposal = &done["proposal"];
    out.tell(
        &sentence,
        &json!({ "login": login, "password": password, "proposal": proposal }),
    );
    if proposal.is_string() && !out.json {
        out.done(&done)?;
    }
    Ok(Said::Yes)
}

async fn add(remote: &Remote, out: &Out, login: &str, name: &str, service: bool) -> Result<Said> {
    let password = (!service).then(first_password);
    let body = json!({ "login": login, "name": name, "password": password, "service": service });
    let added = remote.post("/api/v1/people", &body).await?;
    let shown = json!({ "person": added["person"], "password": password });
    let sentence = match &password {
        Some(password) => format!("added {login}; first password, shown this once: {password}"),
        None => format!(
            "added service {login}; issue it a token with `lumos token issue --service {login}`"
        ),
    };
    out.tell(&sentence, &shown);
    Ok(Said::Yes)
}

/// The id of the person with a login, or with that id: who was erased has no login.
pub(super) async fn person(remote: &Remote, login: &str) -> Result<String> {
    let people = remote.get("/api/v1/people").await?;
    let found = people
        .as_array()
        .into_iter()
        .flatten()
        .find(|p| text(p, "login") == login || text(p, "person") == login);
    found
        .map(|p| text(p, "person").to_owned())
        .with_context(|| format!("nobody signs in as `{login}`"))
}

pub(super) async fn role(role: Role, remote: &Remote, out: &Out) -> Result<Said> {
    match role {
        Role::List => {
            out.say(&remote.get("/api/v1/roles").await?);
            Ok(Said::Yes)
        }
        Role::Define { role, rights } => out.done(
            &remote
                .put(
                    &format!("/api/v1/roles/{role}"),
                    &json!({ "rights": rights }),
                )
                .await?,
        ),
        Role::Grant {
            login,
            role,
            model,
            unit,
        } => {
            let path = format!("/api/v1/people/{}/roles", person(remote, &login).await?);
            out.done(
                &remote
                    .post(
                        &path,
                        &json!({ "role": role, "model": model, "unit": unit }),
                    )
                    .await?,
            )
        }
        Role::Revoke {
            login,
            role,
            model,
            unit,
        } => {
            let path = format!("/api/v1/people/{}/roles", person(remote, &login).await?);
            let body = json!({ "role": role, "model": model, "unit": unit });
            out.done(&remote.delete(&path, Some(&body)).await?)
        }
    }
}

/// Whose tokens: a service's, or one's own.
async fn whose(remote: &Remote, service: Option<&str>) -> Result<String> {
    match service {
        Some(login) => person(remote, login).await,
        None => Ok(text(&remote.get("/api/v1/me").await?, "person").to_owned()),
    }
}

pub(super) async fn token(token: Token, remote: &Remote, out: &Out) -> Result<Said> {
    match token {
        Token::Issue {
            purpose,
            right,
            days,
            service,
        } => {
            let path = format!(
                "/api/v1/people/{}/tokens",
                whose(remote, service.as_deref()).await?
            );
            let body = json!({ "purpose": purpose, "rights": right, "days": days });
            let issued: Value = remote.post(&path, &body).await?;
            out.tell(text(&issued, "credential"), &issued);
            if let Some(proposal) = issued["proposal"].as_str() {
                // Not where the credential goes, which is put into a file or a variable.
                eprintln!(
                    "this is the first half of a token; a second person draws the other one with: lumos proposal \
                     confirm {proposal}"
                );
            }
            Ok(Said::Yes)
        }
        Token::List { service } => {
            let path = format!(
                "/api/v1/people/{}/tokens",
                whose(remote, service.as_deref()).await?
            );
            out.say(&remote.get(&path).await?);
            Ok(Said::Yes)
        }
        Token::Revoke { token, service } => {
            let whose = whose(remote, service.as_deref()).await?;
            out.done(
                &remote
                    .delete(&format!("/api/v1/people/{whose}/tokens/{token}"), None)
                    .await?,
            )
        }
    }
}
