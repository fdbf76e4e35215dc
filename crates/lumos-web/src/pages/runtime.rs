//! How far LUMOS's own agents are, and what they gave up.

use askama::Template;
use axum::response::Response;
use lumos_engine::runtime::{self, Progress};

use super::{
    frame::{Frame, Visit},
    oops::{Oops, paint},
    show::{State, count, cut},
};

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
}

/// One of LUMOS's own agents.
#[derive(Debug, Clone)]
pub(super) struct Agent {
    pub(super) name: String,
    pub(super) state: State,
    pub(super) next: u64,
    pub(super) behind: u64,
    pub(super) waiting: u64,
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
        agents: progress.into_iter().map(|p| agent(p, size)).collect(),
    }))
}

fn agent(progress: Progress, size: u64) -> Agent {
    let behind = size.saturating_sub(progress.next);
    let state = match (progress.dead.is_empty(), progress.waiting + behind) {
        (false, _) => "dead letter",
        (true, 0) => "done",
        (true, _) => "waiting",
    };
    Agent {
        name: progress.agent.replace('-', " "),
        state: State::of(state),
        next: progress.next,
        behind,
        waiting: progress.waiting,
        dead_count: count(progress.dead.len(), "dead letter"),
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
            agent: "release-scanner",
            next: 3,
            waiting: 1,
            dead: vec![(2, "<script>alert(1)</script>".into())],
        };
        Self {
            frame: Frame::sample(),
            size: 9,
            published: 9,
            cosigned: Some(9),
            read_only: "lumos.future.thing.v9".into(),
            agents: vec![agent(progress, 9)],
        }
    }
}
