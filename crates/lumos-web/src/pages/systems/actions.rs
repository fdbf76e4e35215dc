//! What a form on the systems page does: one command through the door, then back to the page.

use axum::response::{IntoResponse, Redirect, Response};
use lumos_domain::{command::Command, id::SystemName};
use lumos_engine::secret::Sealer;

use crate::{
    app::text,
    pages::{
        frame::{Form, Path, Reasoned, Visit},
        oops::Oops,
    },
    problem::Problem,
};

/// The page that the forms stand on.
const PLACE: &str = "/systems";

/// Stops a system: one person is enough, it is the safe direction.
pub(in crate::pages) async fn stop(
    visit: Visit,
    Path(system): Path<SystemName>,
    Form(fields): Form<Reasoned>,
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
    Form(fields): Form<Reasoned>,
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
    fields: &Reasoned,
    command: impl FnOnce(&mut Sealer<'_>) -> Result<Command, Problem> + Send,
) -> Result<Response, Oops> {
    let sent = fields.sent(verb, system.as_str());
    match visit.submit(&sent, command).await {
        Ok(()) => Ok(Redirect::to(PLACE).into_response()),
        Err(oops) => Err(oops.back(PLACE)),
    }
}
