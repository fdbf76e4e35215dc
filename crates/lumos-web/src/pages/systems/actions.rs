//! What a form on the systems page does: one command through the door, then back to the page.

use axum::response::{IntoResponse, Redirect, Response};
use lumos_domain::{command::Command, id::SystemName};
use lumos_engine::secret::Sealer;
use serde::Deserialize;

use crate::{
    app::text,
    pages::{
        frame::{Form, Path, Sent, Visit},
        oops::Oops,
    },
    problem::Problem,
};

/// The page that the forms stand on.
const PLACE: &str = "/systems";

/// The fields of a form that stops a system, or lets it run again.
#[derive(Deserialize)]
pub(in crate::pages) struct Fields {
    #[serde(default)]
    csrf: String,
    #[serde(default)]
    once: String,
    #[serde(default)]
    reason: String,
}

/// Stops a system: one person is enough, it is the safe direction.
pub(in crate::pages) async fn stop(
    visit: Visit,
    Path(system): Path<SystemName>,
    Form(fields): Form<Fields>,
) -> Result<Response, Oops> {
    act(visit, "stop", &system, &fields, |sealer| {
        let reason = sealer.seal(text("reason", &fields.reason)?);
        let system = system.clone();
        Ok(Command::StopSystem { system, reason })
    })
    .await
}

/// Asks that a stopped system run again, or confirms what somebody else asked.
pub(in crate::pages) async fn resume(
    visit: Visit,
    Path(system): Path<SystemName>,
    Form(fields): Form<Fields>,
) -> Result<Response, Oops> {
    act(visit, "resume", &system, &fields, |sealer| {
        let reason = sealer.seal(text("reason", &fields.reason)?);
        let system = system.clone();
        Ok(Command::ResumeSystem { system, reason })
    })
    .await
}

async fn act(
    visit: Visit,
    verb: &str,
    system: &SystemName,
    fields: &Fields,
    command: impl FnOnce(&mut Sealer<'_>) -> Result<Command, Problem> + Send,
) -> Result<Response, Oops> {
    let sent = Sent {
        csrf: &fields.csrf,
        once: &fields.once,
        password: "",
        content: vec![verb, system.as_str(), &fields.reason],
    };
    match visit.submit(&sent, command).await {
        Ok(()) => Ok(Redirect::to(PLACE).into_response()),
        Err(oops) => Err(oops.back(PLACE)),
    }
}
