//! `lumos system`.

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Out, Said};
use crate::{cli::System, remote::Remote};

/// A system as a file describes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    system: String,
    owner: String,
    agents: Vec<String>,
    #[serde(default)]
    outage: Vec<Value>,
}

pub(super) async fn run(system: System, remote: &Remote, out: &Out) -> Result<Said> {
    match system {
        System::Apply { file } => {
            let text =
                std::fs::read(&file).with_context(|| format!("reading `{}`", file.display()))?;
            let File {
                system,
                owner,
                agents,
                outage,
            } = yaml_serde::from_slice(&text)
                .with_context(|| format!("reading `{}`", file.display()))?;
            let body = json!({ "owner": owner, "agents": agents, "outage": outage });
            out.done(
                &remote
                    .put(&format!("/api/v1/systems/{system}"), &body)
                    .await?,
            )
        }
        System::Show { system } => {
            let path = system.map_or_else(String::new, |system| format!("/{system}"));
            out.say(&remote.get(&format!("/api/v1/systems{path}")).await?);
            Ok(Said::Yes)
        }
        System::Stop { system, reason } => {
            let path = format!("/api/v1/systems/{system}/stop");
            out.done(&remote.post(&path, &json!({ "reason": reason })).await?)
        }
        System::Resume { system, reason } => {
            let path = format!("/api/v1/systems/{system}/resume");
            out.done(&remote.post(&path, &json!({ "reason": reason })).await?)
        }
        System::Mode {
            scope,
            env,
            mode,
            days,
            reason,
        } => {
            let body = json!({
                "scope": scope, "environment": env, "mode": mode, "days": days, "reason": reason,
            });
            out.done(&remote.post("/api/v1/modes", &body).await?)
        }
    }
}
