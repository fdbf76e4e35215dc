//! The inbox: open reviews, those that wait for the reader first, each with whose turn it is.

use askama::Template;
use axum::response::Response;
use lumos_domain::{
    actor::{Caller, Right},
    facts::ReviewRecord,
    id::{PersonId, ReviewId, RoleName},
    review::{duty, free_seats},
    rules::Slot,
    stream::Stream,
    world::{Halt, World},
};
use lumos_engine::views::reviews::{self, ReviewRow};
use serde::Deserialize;

use super::{
    ROWS,
    frame::{Frame, Query, Visit, may},
    oops::{Oops, paint},
    show::{State, When, count},
};

/// Open reviews looked through to find those that wait for the reader.
const LOOK_MAX: u32 = 400;

#[derive(Template)]
#[template(path = "inbox.html")]
pub(super) struct InboxPage {
    pub(super) frame: Frame,
    pub(super) only_mine: bool,
    /// Proposals that the reader can confirm.
    pub(super) proposals: usize,
    /// The review of the log that waits for the reader, if one does.
    pub(super) log: Option<LogDue>,
    pub(super) mine: Vec<Row>,
    pub(super) others: Vec<Row>,
    /// Reviews that nobody can approve as they stand.
    pub(super) held: Vec<Row>,
    /// The key of the next page.
    pub(super) next: Option<u64>,
    /// Whether this is not the first page.
    pub(super) further: bool,
}

/// A review of the log that is due.
#[derive(Debug, Clone)]
pub(super) struct LogDue {
    pub(super) overdue: When,
    pub(super) missed: u32,
}

/// One open review.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) href: String,
    pub(super) release: String,
    pub(super) environment: String,
    pub(super) depth: String,
    pub(super) blocking: String,
    pub(super) first_rule: String,
    pub(super) change: String,
    pub(super) turn: String,
    pub(super) opened: When,
    pub(super) due: Option<When>,
    pub(super) score: String,
    pub(super) state: State,
    pub(super) test: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    show: String,
    after: Option<u64>,
}

pub(super) async fn show(visit: Visit, Query(asked): Query<Asked>) -> Result<Response, Oops> {
    let only_mine = asked.show == "mine";
    let max = if only_mine { LOOK_MAX } else { ROWS };
    let after = asked
        .after
        .map_or(-1, |a| i64::try_from(a).unwrap_or(i64::MAX));
    let store = &*visit.app.door.ports().store;
    let rows = reviews::open(store, after, max).await?;
    let full = rows.len() >= usize::try_from(max).unwrap_or(usize::MAX);
    let next = rows.last().filter(|_| full).map(|row| row.entry);
    let [mine, mut others, mut held] = sorted(&visit, rows).await?;
    if only_mine {
        others.clear();
        held.clear();
    }
    Ok(paint(&InboxPage {
        frame: visit.frame("Inbox", "/").await?,
        only_mine,
        proposals: crate::proposals::count_for(&visit.app, &visit.who.caller).await?,
        log: log_due(&visit).await?,
        mine,
        others,
        held,
        next,
        further: asked.after.is_some(),
    }))
}

/// The review of the log, if it is due and the reader holds its role.
async fn log_due(visit: &Visit) -> Result<Option<LogDue>, Oops> {
    let waiting = crate::log_review::waits_for(&visit.app, &visit.who).await?;
    let open = waiting.and_then(|waiting| waiting.open);
    Ok(open.map(|open| LogDue {
        overdue: When::of(open.overdue, visit.now),
        missed: open.missed,
    }))
}

/// Whom a review waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum List {
    /// The reader's signature.
    Mine,
    /// Other people's signatures.
    Others,
    /// Something that must happen before anybody can approve.
    Held,
}

/// What governed state says about a review in the list.
struct Standing {
    record: ReviewRecord,
    list: List,
    state: &'static str,
    turn: String,
}

/// The reviews of each list, in the order of [`List`].
async fn sorted(visit: &Visit, rows: Vec<ReviewRow>) -> Result<[Vec<Row>; 3], Oops> {
    let (caller, me) = (&visit.who.caller, &visit.who.person.person);
    let ids: Vec<ReviewId> = rows.iter().map(|row| row.review.clone()).collect();
    let standing = visit
        .app
        .door
        .ask(|world| {
            let each = ids.iter().map(|id| standing(world, caller, me, id));
            each.collect::<Result<Vec<_>, Halt>>()
        })
        .await?;
    let mut lists = [const { Vec::new() }; 3];
    for (row, standing) in rows.into_iter().zip(standing) {
        if let Some(standing) = standing {
            lists[standing.list as usize].push(line(&row, &standing, visit));
        }
    }
    Ok(lists)
}

/// Where a review stands for the reader; `None` when they may not read it or it has just ended.
fn standing(
    world: &World,
    caller: &Caller,
    me: &PersonId,
    id: &ReviewId,
) -> Result<Option<Standing>, Halt> {
    if !may(world, caller, Right::Read, Some(&id.model))? {
        return Ok(None);
    }
    let review = world.review(id)?;
    let Some(record) = review.record.clone().filter(|_| review.is_open()) else {
        return Ok(None);
    };
    let free = free_seats(world, id)?;
    let claims = world.release(&id.release())?.open_claims.len();
    let person = world.person(me)?;
    let model = world.model(&id.model)?;
    let seated = free
        .iter()
        .any(|slot| person.holds(&slot.role, Some((&id.model, model))));
    let signed = review
        .votes
        .iter()
        .any(|vote| vote.person == *me && Some(vote.record) == review.record_hash);
    let mine = seated && !signed && duty(world, &id.release(), me)?.is_none();
    let outdated = record.subject_version < world.version(&Stream::Subject(record.digest))?;
    let state = match () {
        () if record.test => "test",
        () if outdated => "waiting",
        () if !record.critical.is_empty() => "paused",
        () if !record.blocking.is_empty() => "blocked",
        () if claims > 0 => "waiting",
        () => "in review",
    };
    let turn = match state {
        _ if outdated => "the compliance checker: new evidence came in".to_owned(),
        "paused" => match &world.org()?.rules {
            Some(rules) => paused(&turn(&record, claims, &free), &rules.senior_role),
            None => turn(&record, claims, &free),
        },
        _ => turn(&record, claims, &free),
    };
    let list = match state {
        "in review" if mine => List::Mine,
        "in review" => List::Others,
        _ => List::Held,
    };
    Ok(Some(Standing {
        record,
        list,
        state,
        turn,
    }))
}

/// Whose turn it is where a critical rule fails.
pub(super) fn paused(mend: &str, senior: &RoleName) -> String {
    format!("{mend}; when it is due, {senior} is called")
}

/// Whose turn it is, in a few words.
pub(super) fn turn(record: &ReviewRecord, open_claims: usize, free: &[Slot]) -> String {
    if record.test {
        return "nobody: a test release is never approved".to_owned();
    }
    if !record.blocking.is_empty() {
        let rules = count(record.blocking.len(), "rule");
        return format!("the model's owner and developers: mend {rules}");
    }
    if open_claims > 0 {
        return format!(
            "its authors: {} to take",
            count(open_claims, "author claim")
        );
    }
    let seats: Vec<String> = free
        .iter()
        .map(|slot| match slot.count {
            1 => slot.role.to_string(),
            n => format!("{n} × {}", slot.role),
        })
        .collect();
    seats.join(", ")
}

fn line(row: &ReviewRow, standing: &Standing, visit: &Visit) -> Row {
    let id = &row.review;
    let record = &standing.record;
    let change = match record.change {
        None => record.change_tier.to_string(),
        Some(kind) => format!(
            "{} ({})",
            record.change_tier,
            kind.as_str().replace('_', " ")
        ),
    };
    Row {
        href: format!(
            "/releases/{}/{}?env={}",
            id.model,
            id.version,
            super::frame::query(id.environment.as_str())
        ),
        release: id.release().to_string(),
        environment: id.environment.to_string(),
        depth: record.depth.to_string(),
        blocking: count(record.blocking.len(), "rule"),
        first_rule: record.blocking.first().cloned().unwrap_or_default(),
        change,
        turn: standing.turn.clone(),
        opened: When::of(row.opened, visit.now),
        due: row.due.map(|due| When::of(due, visit.now)),
        score: record
            .score
            .map_or_else(|| "none".to_owned(), |score| score.to_string()),
        state: State::of(standing.state),
        test: record.test,
    }
}

#[cfg(test)]
impl InboxPage {
    pub(super) fn sample() -> Self {
        let row = Row {
            href: "/releases/triage/1.2?env=production".into(),
            release: "triage/1.2<script>".into(),
            environment: "production".into(),
            depth: "full".into(),
            blocking: "2 rules".into(),
            first_rule: "\"><script>alert(1)</script>".into(),
            change: "major (backbone)".into(),
            turn: "clinical-safety".into(),
            opened: When::sample(),
            due: Some(When::sample()),
            score: "87.50 %".into(),
            state: State::of("blocked"),
            test: false,
        };
        Self {
            frame: Frame::sample(),
            only_mine: false,
            proposals: 1,
            log: Some(LogDue {
                overdue: When::sample(),
                missed: 2,
            }),
            mine: vec![row.clone()],
            others: vec![row.clone()],
            held: vec![row],
            next: Some(7),
            further: true,
        }
    }

    pub(super) fn empty() -> Self {
        let frame = Frame::sample();
        Self {
            frame,
            mine: Vec::new(),
            others: Vec::new(),
            held: Vec::new(),
            next: None,
            further: false,
            only_mine: true,
            proposals: 0,
            log: None,
        }
    }
}
