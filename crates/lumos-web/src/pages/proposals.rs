//! The changes that wait for a second person, and the two forms that settle each.

use askama::Template;
use axum::response::{IntoResponse as _, Redirect, Response};
use lumos_domain::{command::Command, id::ProposalId, refusal::Refusal};
use lumos_engine::views;

use super::{
    frame::{Form, Frame, Path, Reasoned, Sent, Visit},
    oops::{Oops, paint},
    show::When,
};
use crate::{
    app::text,
    proposals::{self, Difference, Told, tell},
};

/// The page that the forms stand on.
const PLACE: &str = "/proposals";

#[derive(Template)]
#[template(path = "proposals.html")]
pub(super) struct ProposalsPage {
    pub(super) frame: Frame,
    pub(super) waiting: Vec<Shown>,
    /// The reader's half of a token that was just confirmed: told in the answer to the form, and never again.
    pub(super) half: Option<String>,
}

/// One change that waits.
pub(super) struct Shown {
    pub(super) id: String,
    pub(super) says: String,
    pub(super) by: String,
    pub(super) until: When,
    /// Whose turn it is, and what the reader can do.
    pub(super) turn: String,
    pub(super) may_confirm: bool,
    pub(super) may_decline: bool,
    pub(super) differences: Vec<Difference>,
}

pub(super) async fn show(visit: Visit) -> Result<Response, Oops> {
    visit.must_read(None).await?;
    page(&visit, None).await
}

async fn page(visit: &Visit, half: Option<String>) -> Result<Response, Oops> {
    let store = &*visit.app.door.ports().store;
    let mut waiting = Vec::new();
    for row in views::proposals::waiting(store, visit.now).await? {
        let told = tell(&visit.app, &visit.who.caller, &row.proposal).await?;
        waiting.extend(told.map(|told| shown(told, visit)));
    }
    let frame = visit.frame("Proposals", PLACE).await?;
    Ok(paint(&ProposalsPage {
        frame,
        waiting,
        half,
    }))
}

fn shown(told: Told, visit: &Visit) -> Shown {
    let own = told.refused == Some(Refusal::NeedsSecondPerson);
    let turn = match &told.refused {
        None => "yours: confirm it or say no".to_owned(),
        Some(Refusal::NeedsSecondPerson) => {
            "somebody else who may ask for the same, or who governs: tell them".to_owned()
        }
        Some(refusal) => format!("not yours: {refusal}"),
    };
    Shown {
        id: told.proposal.to_string(),
        says: told.says,
        by: told.by,
        until: When::of(told.until, visit.now),
        turn,
        may_confirm: told.refused.is_none(),
        may_decline: own || told.refused.is_none(),
        differences: told.differences,
    }
}

/// Confirms what somebody else proposed.
pub(super) async fn confirm(
    visit: Visit,
    Path(proposal): Path<ProposalId>,
    Form(fields): Form<Reasoned>,
) -> Result<Response, Oops> {
    let sent = fields.sent("confirm", proposal.as_str());
    match settle(&visit, &sent, &proposal).await {
        Ok(None) => Ok(Redirect::to(PLACE).into_response()),
        Ok(half) => page(&visit, half).await,
        Err(oops) => Err(oops.back(PLACE)),
    }
}

async fn settle(
    visit: &Visit,
    sent: &Sent<'_>,
    proposal: &ProposalId,
) -> Result<Option<String>, Oops> {
    visit.who.check_csrf(sent.csrf)?;
    let once = visit.once(sent.once, &sent.content)?;
    let caller = visit.who.caller.clone();
    let (_, half) = proposals::confirm(&visit.app, caller, once, proposal.clone()).await?;
    Ok(half)
}

/// Says no, or takes one's own proposal back.
pub(super) async fn decline(
    visit: Visit,
    Path(proposal): Path<ProposalId>,
    Form(fields): Form<Reasoned>,
) -> Result<Response, Oops> {
    let sent = fields.sent("decline", proposal.as_str());
    let decline = visit.submit(&sent, |sealer| {
        let reason = sealer.seal(text("reason", &fields.reason)?);
        let proposal = proposal.clone();
        Ok(Command::DeclineProposal { proposal, reason })
    });
    back(decline.await)
}

fn back(done: Result<(), Oops>) -> Result<Response, Oops> {
    match done {
        Ok(()) => Ok(Redirect::to(PLACE).into_response()),
        Err(oops) => Err(oops.back(PLACE)),
    }
}

#[cfg(test)]
impl ProposalsPage {
    pub(super) fn sample(hostile: &str) -> Self {
        let shown = |may: bool| Shown {
            id: format!("0123456789abcdef012{}", u8::from(may)),
            says: hostile.into(),
            by: hostile.into(),
            until: When::sample(),
            turn: hostile.into(),
            may_confirm: may,
            may_decline: true,
            differences: vec![Difference {
                what: hostile.into(),
                is: may.then(|| hostile.into()),
                would_be: Some(hostile.into()),
            }],
        };
        Self {
            frame: Frame::sample(),
            waiting: vec![shown(true), shown(false)],
            half: Some(hostile.into()),
        }
    }
}
