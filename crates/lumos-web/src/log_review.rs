//! Whether the log must be examined, what there is to examine, and who signed for it: for the API and the pages.

use std::sync::Arc;

use jiff::Timestamp;
use lumos_domain::{
    actor::{Caller, Right},
    command::Command,
    event::{Event, LogReviewed},
    log_review::{self, Examined, LogReview, SignLogReview},
    refusal::Refusal,
    seal::{Sealed, SealedValue},
    stream::Stream,
    words::{Finding, Grade, Reading},
    world::Halt,
};
use lumos_engine::{DoorError, LedgerEntry, ask::log_reviews::shown_from, log_review::within};

use crate::{
    app::{App, refusal},
    auth::SignedIn,
    problem::Problem,
    readings,
};

/// Whether log reviews are asked for, and whether one is due.
pub(crate) async fn standing(app: &App) -> Result<LogReview, Problem> {
    Ok(app
        .door
        .ask(|world| Ok(world.log_review()?.clone()))
        .await?)
}

/// The word for where a log review stands at `now`.
pub(crate) fn state(standing: &LogReview, now: Timestamp) -> &'static str {
    match (&standing.schedule, &standing.open) {
        (None, _) => "not asked for",
        (Some(_), None) => "not due",
        (Some(_), Some(open)) if now < open.overdue => "due",
        (Some(_), Some(_)) => "overdue",
    }
}

/// A signature on a range of the log, with the entry that holds it.
pub(crate) struct Signed {
    pub(crate) entry: u64,
    pub(crate) when: Timestamp,
    pub(crate) what: LogReviewed,
}

/// Everything that was signed for, the newest first.
pub(crate) async fn signed(app: &App) -> Result<Vec<Signed>, Problem> {
    let history = app.door.history(&Stream::LogReview).await?;
    let signed = history.into_iter().rev().filter_map(|entry| {
        let LedgerEntry {
            index, time, event, ..
        } = entry;
        match event {
            Event::LogReviewed(what) => Some(Signed {
                entry: index,
                when: time,
                what,
            }),
            _ => None,
        }
    });
    Ok(signed.collect())
}

/// A range as it is shown to whoever examines it.
pub(crate) struct Shown {
    pub(crate) examined: Arc<Examined>,
    /// Why the reader cannot sign for it, if so; not because they have not given their password yet.
    pub(crate) refused: Option<Refusal>,
}

/// What there is to examine up to the checkpoint over `size` entries, or up to the last one: which is itself recorded, so
/// that everybody can see whether whoever signed had looked, and for how long.
pub(crate) async fn show(app: &App, who: &SignedIn, size: Option<u64>) -> Result<Shown, Problem> {
    who.must(app, Right::Read, None).await?;
    let shown = app.checkpoint();
    let size = size.unwrap_or(shown.size);
    let span = app.door.ask(|world| log_review::span(world, size)).await?;
    let beyond = |refusal: Refusal| Problem::from(DoorError::from(refusal));
    within(&shown, size).map_err(beyond)?;
    let examined = app.door.examined(span).await?;
    let about = shown_from(span.from);
    readings::note(app, who, Reading::LogReview, &about).await;
    let command = Command::SignLogReview(SignLogReview {
        from: span.from,
        size,
        record: examined.record(),
        finding: Finding::Nothing,
        reason: no_text(),
    });
    let caller = Caller {
        reauthenticated: true,
        ..who.caller.clone()
    };
    let now = app.door.ports().clock.now();
    let refused = app
        .door
        .ask(|world| refusal(world, &caller, &command, now))
        .await?;
    Ok(Shown { examined, refused })
}

/// A commitment to nothing, for commands that are only tried out.
fn no_text() -> Sealed {
    SealedValue::new([0; 32], String::new()).commitment
}

/// The grade that a signature needs at least, where one is asked for.
pub(crate) fn grade(standing: &LogReview) -> Grade {
    let schedule = standing.schedule.as_ref();
    schedule.map_or(Grade::Recorded, |schedule| schedule.grade)
}

/// Whether a review is due that `who` holds the role for.
pub(crate) async fn waits_for(app: &App, who: &SignedIn) -> Result<Option<LogReview>, Problem> {
    let me = &who.person.person;
    let asked = app.door.ask(|world| {
        if world.log_review()?.open.is_none() {
            return Ok(None);
        }
        match log_review::may_sign(world, me) {
            Ok(_) => Ok(Some(world.log_review()?.clone())),
            Err(Halt::Refused(_)) => Ok(None),
            Err(need) => Err(need),
        }
    });
    Ok(asked.await?)
}
