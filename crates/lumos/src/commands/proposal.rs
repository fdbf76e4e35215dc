//! `lumos proposal`.

use anyhow::Result;
use serde_json::json;

use super::{Out, Said};
use crate::{cli::Proposal, remote::Remote};

pub(super) async fn run(proposal: Proposal, remote: &Remote, out: &Out) -> Result<Said> {
    const ALL: &str = "/api/v1/proposals";
    match proposal {
        Proposal::List => {
            out.say(&remote.get(ALL).await?);
            Ok(Said::Yes)
        }
        Proposal::Show { proposal } => {
            out.say(&remote.get(&format!("{ALL}/{proposal}")).await?);
            Ok(Said::Yes)
        }
        Proposal::Confirm { proposal } => {
            let path = format!("{ALL}/{proposal}/confirmation");
            out.done(&remote.post(&path, &json!({})).await?)
        }
        Proposal::Decline { proposal, reason } => {
            let path = format!("{ALL}/{proposal}/refusal");
            out.done(&remote.post(&path, &json!({ "reason": reason })).await?)
        }
    }
}
