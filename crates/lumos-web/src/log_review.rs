//! Whether the log must be examined, what there is to examine, and who signed for it: for the API and the pages.

use std::sync::Arc;

use jiff::Timestamp;
use lumos_domain::{
    actor::{Caller, Right},
    command::Command,
    event::{Event, LogReviewed},
    log_review::{self, Examined, LogReview, SignLogReview, Span},
    refusal::Refusal,
    seal::{Sealed, SealedValue},
    words::{Finding, Grade, Matter, Reading},
    world::Halt,
};
use lumos_engine::{
    DoorError,
    ask::log_reviews::shown_from,
    log_review::{self as engine, Found},
};

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

/// Up to `max` signatures from before entry `before`, the newest first; all of them are in the ledger.
pub(crate) async fn signed(
    app: &App,
    before: Option<u64>,
    max: u32,
) -> Result<Vec<Signed>, Problem> {
    let store = &*app.door.ports().store;
    let entries = engine::signed(store, before.unwrap_or(u64::MAX), max).await?;
    let signed = entries.into_iter().filter_map(|entry| match entry.event {
        Event::LogReviewed(what) => Some(Signed {
            entry: entry.index,
            when: entry.time,
            what,
        }),
        _ => None,
    });
    Ok(signed.collect())
}

/// Whether `who` may sign, and so may choose where the range ends: each end is a look through the log.
pub(crate) async fn may_sign(app: &App, who: &SignedIn) -> Result<bool, Problem> {
    let me = &who.person.person;
    let asked = app.door.ask(|world| log_review::may_sign(world, me)).await;
    match asked {
        Ok(_) => Ok(true),
        Err(DoorError::Refused(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// A range as it is shown to whoever examines it.
pub(crate) struct Shown {
    pub(crate) examined: Arc<Examined>,
    /// Why the reader cannot sign for it, if so; not because they have not given their password yet.
    pub(crate) refused: Option<Refusal>,
}

/// What there is to examine up to the last checkpoint, or, for whoever may sign, to the one over `size` entries: which is
/// itself recorded, so that everybody can see whether whoever signed had looked, and for how long.
pub(crate) async fn show(app: &App, who: &SignedIn, size: Option<u64>) -> Result<Shown, Problem> {
    who.must(app, Right::Read, None).await?;
    let shown = app.checkpoint();
    let size = size.unwrap_or(shown.size);
    let span = app.door.ask(|world| log_review::span(world, size)).await?;
    let root = engine::vouched(&*app.door.ports().store, &app.proofs, &shown, size).await?;
    if size != shown.size {
        let me = &who.person.person;
        app.door
            .ask(|world| log_review::may_sign(world, me))
            .await?;
    }
    let examined = {
        let _turn = app.readings.looks.take(&who.person.person).await?;
        app.door.examined(span).await?
    };
    if examined.root() != root {
        tracing::error!(
            size,
            "the entries in the database are not those that were signed"
        );
        return Err(DoorError::from(log_review::not_those(size)).into());
    }
    let about = shown_from(span.from);
    readings::note(app, who, Reading::LogReview, &about).await;
    let command = Command::SignLogReview(SignLogReview {
        from: span.from,
        size,
        root,
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

/// Up to `max` entries about a matter, of those that are to be examined: from entry `from` on, or from where the last
/// signed range ended.
pub(crate) async fn about(
    app: &App,
    who: &SignedIn,
    matter: Matter,
    (from, size): (Option<u64>, Option<u64>),
    max: usize,
) -> Result<(Span, Found), Problem> {
    who.must(app, Right::Read, None).await?;
    let shown = app.checkpoint().size;
    let from = match from {
        Some(from) => from,
        None => standing(app).await?.examined,
    };
    let size = size.unwrap_or(shown).min(shown);
    let span = Span { from, size };
    let found = {
        let _turn = app.readings.looks.take(&who.person.person).await?;
        engine::about(&*app.door.ports().store, span, matter, max).await?
    };
    let read = format!("entries about {matter}");
    readings::note(app, who, Reading::LogReview, &read).await;
    Ok((span, found))
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
