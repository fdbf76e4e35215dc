//! `lumos model`.

use anyhow::Result;
use serde_json::json;

use super::{Out, Said};
use crate::{cli::Model, remote::Remote};

pub(super) async fn run(model: Model, remote: &Remote, out: &Out) -> Result<Said> {
    match model {
        Model::List => out.say(&remote.get("/api/v1/models").await?),
        Model::Show { model } => out.say(&remote.get(&format!("/api/v1/models/{model}")).await?),
        Model::Register {
            model,
            owner,
            data_owner,
            purpose,
            tier,
            rationale,
            unit,
            policy,
            framework,
        } => {
            let body = json!({
                "owner": owner, "data_owner": data_owner, "purpose": purpose, "tier": tier,
                "rationale": rationale, "unit": unit, "policies": policy, "frameworks": framework,
            });
            return out.done(
                &remote
                    .put(&format!("/api/v1/models/{model}"), &body)
                    .await?,
            );
        }
        Model::Tier {
            model,
            tier,
            rationale,
        } => {
            let body = json!({ "tier": tier, "rationale": rationale });
            return out.done(
                &remote
                    .put(&format!("/api/v1/models/{model}/tier"), &body)
                    .await?,
            );
        }
        Model::Bind {
            model,
            registry,
            name,
            env,
            agent,
            alias,
        } => {
            let body = json!({
                "registry": registry, "name": name, "environment": env, "agents": agent, "alias": alias,
            });
            return out.done(
                &remote
                    .post(&format!("/api/v1/models/{model}/bindings"), &body)
                    .await?,
            );
        }
    }
    Ok(Said::Yes)
}
