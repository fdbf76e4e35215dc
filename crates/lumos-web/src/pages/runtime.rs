//! How far everybody is who follows the ledger, what they gave up, and the form that lets it be tried again.

use askama::Template;
use axum::response::{IntoResponse as _, Redirect, Response};
use jiff::Timestamp;
use lumos_domain::actor::Right;
use lumos_engine::runtime::{self, Progress};

use super::{
    frame::{Form, Frame, Path, Reasoned, Visit, may},
    oops::{Oops, paint},
    show::{State, When, count, cut},
};
use crate::api::runtime::try_again;

/// The page that the forms stand on.
const PLACE: &str = "/runtime";

#[derive(Template)]
#[template(path = "runtime.html")]
pub(super) struct RuntimePage {
    pub(super) frame: Frame,
    pub(super) size: u64,
    pub(super) published: u64,
    /// Entries under a cosigned checkpoint, where witnesses are asked.
    pub(super) cosigned: Option<u64>,
    pub(super) read_only: String,
    pub(super) agents: Vec<Agent>,
    /// Whether the reader may have dead letters tried again.
    pub(super) may_operate: bool,
}

/// One who follows the ledger.
#[derive(Debug, Clone)]
pub(super) struct Agent {
    /// As commands name it.
    pub(super) id: String,
    pub(super) name: String,
    pub(super) state: State,
    pub(super) next: u64,
    pub(super) behind: u64,
    pub(super) waiting: u64,
    /// Since when it is behind.
    pub(super) since: Option<When>,
    /// What went wrong the last time with what waits, or why nothing is done.
    pub(super) problem: String,
    pub(super) held: bool,
    pub(super) dead: Vec<(u64, String)>,
    pub(super) dead_count: String,
}

pub(super) async fn show(visit: Visit) -> Result<Response, Oops> {
    visit.must_read(None).await?;
    let door = &visit.app.door;
    let size = door.ports().store.frontier().await?.size();
    let progress = runtime::progress(&*door.ports().store).await?;
    let published = visit.app.published.borrow().size;
    let cosigned = visit.app.cosigned.as_ref().map(|last| last.borrow().size);
    Ok(paint(&RuntimePage {
        frame: visit.frame("Runtime", "/runtime").await?,
        size,
        published,
        cosigned,
        read_only: door.unknown_kind().unwrap_or_default().to_owned(),
        agents: progress
            .into_iter()
            .map(|p| agent(p, size, visit.now))
            .collect(),
        may_operate: door
            .ask(|world| may(world, &visit.who.caller, Right::Operate, None))
            .await?,
    }))
}

/// Has dead letters tried again.
pub(super) async fn retry(
    visit: Visit,
    Path(agent): Path<String>,
    Form(fields): Form<Reasoned>,
) -> Result<Response, Oops> {
    visit
        .who
        .check_csrf(fields.sent("retry", &agent).csrf)
        .map_err(Oops::from)?;
    match try_again(&visit.app, &visit.who, &agent, None).await {
        Ok(_) => Ok(Redirect::to(PLACE).into_response()),
        Err(problem) => Err(Oops::from(problem).back(PLACE)),
    }
}

fn agent(progress: Progress, size: u64, now: Timestamp) -> Agent {
    let behind = size.saturating_sub(progress.next);
    let state = match (
        &progress.held,
        progress.dead_count,
        progress.waiting + behind,
    ) {
        (Some(_), ..) => "stopped",
        (None, 1.., _) => "dead letter",
        (None, 0, 0) => "done",
        (None, 0, _) => "waiting",
    };
    let told = |(attempts, problem): (i64, String)| {
        let attempts = usize::try_from(attempts).unwrap_or(0);
        format!("{}: {problem}", count(attempts, "attempt"))
    };
    let held = progress.held.map(|(_, problem)| problem);
    Agent {
        name: progress.agent.replace('-', " ").replace(':', ": "),
        id: progress.agent,
        state: State::of(state),
        next: progress.next,
        behind,
        waiting: progress.waiting,
        since: progress.behind_since.map(|since| When::of(since, now)),
        held: held.is_some(),
        problem: cut(
            &held.or(progress.troubled.map(told)).unwrap_or_default(),
            500,
        ),
        dead_count: count(
            usize::try_from(progress.dead_count).unwrap_or(usize::MAX),
            "dead letter",
        ),
        dead: progress
            .dead
            .into_iter()
            .map(|(entry, problem)| (entry, cut(&problem, 1_000)))
            .collect(),
    }
}

#[cfg(test)]
impl RuntimePage {
    pub(super) fn sample() -> Self {
        let progress = Progress {
            agent: "release-scanner".into(),
            next: 3,
            waiting: 1,
            behind_since: Some(Timestamp::UNIX_EPOCH),
            troubled: Some((2, "<script>alert(2)</script>".into())),
            dead: vec![(2, "<script>alert(1)</script>".into())],
            dead_count: 1,
            ..Progress::default()
        };
        let held = Progress {
            agent: "webhook:card-checker".into(),
            held: Some((Timestamp::UNIX_EPOCH, "<script>alert(3)</script>".into())),
            ..Progress::default()
        };
        let now = Timestamp::UNIX_EPOCH;
        Self {
            frame: Frame::sample(),
            size: 9,
            published: 9,
            cosigned: Some(9),
            read_only: "lumos.future.thing.v9".into(),
            agents: vec![agent(progress, 9, now), agent(held, 9, now)],
            may_operate: true,
        }
    }
}
