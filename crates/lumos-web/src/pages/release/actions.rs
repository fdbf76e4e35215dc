//! What a form on the release page does: one command through the door, then back to the page.

use axum::response::{IntoResponse, Redirect, Response};
use lumos_domain::{
    command::Command,
    facts::Cause,
    id::{Digest, ReleaseId, ReviewId, RoleName},
    review::Sign,
    words::Verdict,
};
use lumos_engine::secret::Sealer;
use serde::Deserialize;

use super::{Named, address};
use crate::{
    app::text,
    pages::{
        frame::{Form, Path, Sent, Visit},
        oops::Oops,
    },
    problem::Problem,
};

/// The fields of every form on the release page; each form sends those it has.
#[derive(Deserialize)]
pub(in crate::pages) struct Fields {
    #[serde(default)]
    csrf: String,
    #[serde(default)]
    once: String,
    #[serde(default)]
    review: String,
    #[serde(default)]
    record: String,
    #[serde(default)]
    verdict: String,
    #[serde(default)]
    slot: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    text: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    claim: String,
    #[serde(default)]
    environment: String,
    #[serde(default)]
    agents: String,
}

impl Fields {
    /// What the form brings; its content is everything that makes it another one than the next.
    fn sent<'a>(&'a self, release: &'a str) -> Sent<'a> {
        Sent {
            csrf: &self.csrf,
            once: &self.once,
            password: &self.password,
            content: vec![
                release,
                &self.review,
                &self.record,
                &self.verdict,
                &self.slot,
                &self.reason,
                &self.text,
                &self.claim,
                &self.environment,
                &self.agents,
            ],
        }
    }

    /// The review named, which must be one of `release`.
    fn review(&self, release: &ReleaseId) -> Result<ReviewId, Problem> {
        let review: ReviewId = self.review.parse()?;
        if review.release() == *release {
            Ok(review)
        } else {
            Err(Problem::not_found("such review of this release"))
        }
    }
}

pub(in crate::pages) async fn sign(
    visit: Visit,
    Path(named): Path<Named>,
    Form(fields): Form<Fields>,
) -> Result<Response, Oops> {
    act(visit, named, fields, |release, fields, sealer| {
        let verdict: Verdict = fields.verdict.parse()?;
        let record: Digest = fields.record.parse()?;
        let slot: Option<RoleName> = match fields.slot.as_str() {
            "" => None,
            role => Some(role.parse()?),
        };
        Ok(Command::Sign(Sign {
            review: fields.review(release)?,
            verdict,
            slot,
            reason: sealer.seal(text("reason", &fields.reason)?),
            record,
        }))
    })
    .await
}

pub(in crate::pages) async fn remark(
    visit: Visit,
    Path(named): Path<Named>,
    Form(fields): Form<Fields>,
) -> Result<Response, Oops> {
    act(visit, named, fields, |release, fields, sealer| {
        Ok(Command::Remark {
            review: fields.review(release)?,
            text: sealer.seal(text("remark", &fields.text)?),
        })
    })
    .await
}

pub(in crate::pages) async fn claim(
    visit: Visit,
    Path(named): Path<Named>,
    Form(fields): Form<Fields>,
) -> Result<Response, Oops> {
    act(visit, named, fields, |release, fields, _| {
        let claim = fields
            .claim
            .parse()
            .map_err(|_| Problem::bad("bad-request", "an author claim is a number"))?;
        let release = release.clone();
        Ok(Command::ClaimAuthorship { release, claim })
    })
    .await
}

pub(in crate::pages) async fn withdraw(
    visit: Visit,
    Path(named): Path<Named>,
    Form(fields): Form<Fields>,
) -> Result<Response, Oops> {
    act(visit, named, fields, |release, fields, sealer| {
        Ok(Command::WithdrawRelease {
            release: release.clone(),
            reason: sealer.seal(text("reason", &fields.reason)?),
        })
    })
    .await
}

pub(in crate::pages) async fn revoke(
    visit: Visit,
    Path(named): Path<Named>,
    Form(fields): Form<Fields>,
) -> Result<Response, Oops> {
    act(visit, named, fields, |release, fields, sealer| {
        Ok(Command::RevokeApproval {
            review: fields.review(release)?,
            cause: Cause::Person,
            reason: Some(sealer.seal(text("reason", &fields.reason)?)),
        })
    })
    .await
}

/// Asks to enter a further environment: a report and a review of its own follow.
pub(in crate::pages) async fn next_gate(
    visit: Visit,
    Path(named): Path<Named>,
    Form(fields): Form<Fields>,
) -> Result<Response, Oops> {
    act(visit, named, fields, |release, fields, _| {
        let agents = fields.agents.split([',', ' ', '\n', '\r']);
        let agents = agents.filter(|agent| !agent.is_empty());
        Ok(Command::RequestGate {
            release: release.clone(),
            environment: fields.environment.parse()?,
            agents: agents.map(str::parse).collect::<Result<_, _>>()?,
        })
    })
    .await
}

/// Makes the form's command, submits it, and goes back to the page.
async fn act(
    visit: Visit,
    (model, version): Named,
    fields: Fields,
    command: impl FnOnce(&ReleaseId, &Fields, &mut Sealer<'_>) -> Result<Command, Problem> + Send,
) -> Result<Response, Oops> {
    let release = ReleaseId { model, version };
    let asked = fields.environment.parse().ok();
    let reviewed = || {
        fields
            .review(&release)
            .ok()
            .map(|review| review.environment)
    };
    let place = address(&release, asked.or_else(reviewed).as_ref());
    let name = release.to_string();
    let sent = fields.sent(&name);
    let done = visit.submit(&sent, |sealer| command(&release, &fields, sealer));
    match done.await {
        Ok(()) => Ok(Redirect::to(&place).into_response()),
        Err(oops) => Err(oops.back(&place)),
    }
}
