//! `lumos erase`, `lumos hold`, `lumos retention`.

use anyhow::Result;
use serde_json::json;

use super::{Out, Said, people::person};
use crate::{
    cli::{Erase, Hold, Retention},
    remote::Remote,
};

pub(super) async fn run(erase: Erase, remote: &Remote, out: &Out) -> Result<Said> {
    let path = format!(
        "/api/v1/people/{}/erasure",
        person(remote, &erase.person).await?
    );
    let Some(reason) = erase.reason else {
        let texts = erase.texts.to_string();
        out.say(&remote.look_up(&path, &[("texts", &texts)]).await?);
        return Ok(Said::Yes);
    };
    let body = json!({ "reason": reason });
    let done = match erase.withdraw {
        true => remote.delete(&path, Some(&body)).await?,
        false => remote.post(&path, &body).await?,
    };
    out.done(&done)
}

pub(super) async fn hold(hold: Hold, remote: &Remote, out: &Out) -> Result<Said> {
    const ALL: &str = "/api/v1/holds";
    match hold {
        Hold::List => {
            out.say(&remote.get(ALL).await?);
            Ok(Said::Yes)
        }
        Hold::Set { scope, reason } => {
            let scope = match scope.strip_prefix("person/") {
                Some(login) => format!("person/{}", person(remote, login).await?),
                None => scope,
            };
            let body = json!({ "scope": scope, "reason": reason });
            out.done(&remote.post(ALL, &body).await?)
        }
        Hold::Lift { hold, reason } => {
            let body = json!({ "reason": reason });
            out.done(&remote.delete(&format!("{ALL}/{hold}"), Some(&body)).await?)
        }
    }
}

pub(super) async fn retention(periods: Retention, remote: &Remote, out: &Out) -> Result<Said> {
    const ALL: &str = "/api/v1/retention";
    match periods {
        Retention::Show => {
            out.say(&remote.get(ALL).await?);
            Ok(Said::Yes)
        }
        Retention::Set {
            class,
            days,
            reason,
        } => {
            let body = json!({ "days": days, "reason": reason });
            out.done(&remote.put(&format!("{ALL}/{class}"), &body).await?)
        }
    }
}
