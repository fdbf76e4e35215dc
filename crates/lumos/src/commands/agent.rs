//! `lumos agent`: the agents of others, beside LUMOS's four.

use anyhow::Result;
use serde_json::json;

use super::{Out, Said};
use crate::{cli::OutsideAgent, remote::Remote};

pub(super) async fn run(agent: OutsideAgent, remote: &Remote, out: &Out) -> Result<Said> {
    match agent {
        OutsideAgent::List => {
            out.say(&remote.get("/api/v1/agents").await?);
            Ok(Said::Yes)
        }
        OutsideAgent::Define {
            agent,
            account,
            evidence,
        } => {
            let body = json!({ "account": account, "evidence": evidence });
            let path = format!("/api/v1/agents/{agent}");
            out.done(&remote.put(&path, &body).await?)
        }
    }
}
