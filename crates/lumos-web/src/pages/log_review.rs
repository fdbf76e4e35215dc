//! The review of the log: what there is to examine, the form that signs for it, and what was signed so far.

use askama::Template;
use axum::response::{IntoResponse as _, Redirect, Response};
use lumos_domain::{
    command::Command,
    id::Digest,
    log_review::{Examined, LogReview, SignLogReview, Span, called, meaning},
    refusal::Refusal,
    words::{Finding, Grade, Matter},
};
use lumos_engine::log_review::{self as engine, Found};
use serde::Deserialize;

use super::{
    ROWS, filters,
    frame::{Form, Frame, Path, Query, Sent, Visit},
    ledger::{self, Row},
    oops::{Oops, paint},
    show::{Names, State, When, person_of, texts},
};
use crate::{
    app::text,
    log_review::{self, Shown, Signed},
    problem::Problem,
};

/// The page that the form stands on.
const PLACE: &str = "/log-review";

#[derive(Template)]
#[template(path = "log_review.html")]
pub(super) struct LogReviewPage {
    pub(super) frame: Frame,
    pub(super) standing: Standing,
    /// What there is to examine; `None` where every entry was examined.
    pub(super) range: Option<Range>,
    pub(super) signatures: Vec<Signature>,
    /// The entry before which there are older ones, perhaps.
    pub(super) older: Option<u64>,
}

/// What is asked for, and where it stands.
pub(super) struct Standing {
    pub(super) state: State,
    pub(super) asked: String,
    pub(super) due: Option<When>,
    pub(super) overdue: Option<When>,
    pub(super) missed: u32,
    pub(super) turn: String,
}

/// The entries that are to be examined.
pub(super) struct Range {
    pub(super) from: u64,
    pub(super) last: u64,
    pub(super) size: u64,
    pub(super) root: String,
    pub(super) record: String,
    pub(super) first: When,
    pub(super) until: When,
    pub(super) matters: Vec<MatterRows>,
    /// What nothing happened about.
    pub(super) quiet: String,
    pub(super) types: Vec<(String, u64)>,
    pub(super) actors: Vec<(String, u64)>,
    /// Why the reader cannot sign for it, if so.
    pub(super) refused: Option<String>,
    pub(super) choices: Vec<(&'static str, String, &'static str)>,
    pub(super) password_needed: bool,
}

/// The entries about one matter.
pub(super) struct MatterRows {
    pub(super) matter: &'static str,
    pub(super) called: &'static str,
    pub(super) entries: u64,
    pub(super) rows: Vec<Row>,
}

/// A signature on a range.
pub(super) struct Signature {
    pub(super) entry: u64,
    pub(super) from: u64,
    pub(super) last: u64,
    pub(super) name: String,
    pub(super) role: String,
    pub(super) when: When,
    pub(super) finding: String,
    pub(super) meaning: String,
    pub(super) grade: String,
    pub(super) reason: String,
}

/// Where the range ends, with the last checkpoint if nothing else is said; and before which entry the signatures are.
#[derive(Deserialize)]
pub(super) struct Until {
    size: Option<u64>,
    before: Option<u64>,
}

pub(super) async fn show(visit: Visit, Query(until): Query<Until>) -> Result<Response, Oops> {
    visit.must_read(None).await?;
    let standing = log_review::standing(&visit.app).await?;
    let chosen = match until.size {
        Some(size) if log_review::may_sign(&visit.app, &visit.who).await? => Some(size),
        _ => None,
    };
    let range = match standing.examined < chosen.unwrap_or(visit.app.checkpoint().size) {
        true => {
            let shown = log_review::show(&visit.app, &visit.who, chosen).await?;
            Some(range(&visit, &shown, &standing).await?)
        }
        false => None,
    };
    let signatures = signatures(&visit, until.before).await?;
    let full = signatures.len() >= ROWS as usize;
    Ok(paint(&LogReviewPage {
        frame: visit.frame("Log review", PLACE).await?,
        standing: told(&standing, range.as_ref(), &visit),
        range,
        older: signatures.last().filter(|_| full).map(|last| last.entry),
        signatures,
    }))
}

fn told(standing: &LogReview, range: Option<&Range>, visit: &Visit) -> Standing {
    let asked = standing.schedule.as_ref().map(|asked| {
        format!(
            "Within {} days after the last entry that was examined, and {} more at most, by somebody who holds the role {}, \
             with a signature of grade {}.",
            asked.every_days, asked.within_days, asked.role, asked.grade
        )
    });
    let turn = match (&standing.schedule, &standing.open, range) {
        (None, _, _) => "nobody's: who governs says how often, and by which role".to_owned(),
        (Some(_), None, _) => "nobody's yet; it can be signed before it is due".to_owned(),
        (Some(_), Some(_), Some(range)) if range.refused.is_none() => {
            "yours, or somebody else's of your role".to_owned()
        }
        (Some(asked), Some(_), _) => format!("somebody's who holds the role {}", asked.role),
    };
    let open = standing.open.as_ref();
    let due = open.map_or(standing.next, |open| Some(open.since));
    Standing {
        state: State::of(log_review::state(standing, visit.now)),
        asked: asked.unwrap_or_else(|| "Nothing is asked for.".to_owned()),
        due: due.map(|due| When::of(due, visit.now)),
        overdue: open.map(|open| When::of(open.overdue, visit.now)),
        missed: open.map_or(0, |open| open.missed),
        turn,
    }
}

async fn range(visit: &Visit, shown: &Shown, standing: &LogReview) -> Result<Range, Oops> {
    let examined = &*shown.examined;
    let Span { from, size } = examined.span();
    let people = examined.actors().keys().filter_map(person_of);
    let names = Names::of(&visit.app, people).await?;
    let actors = examined.actors().iter();
    let mut actors: Vec<_> = actors.map(|(who, n)| (names.actor(who), *n)).collect();
    actors.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let mut types: Vec<_> = examined.kinds().iter().collect();
    types.sort_by(|a, b| b.1.cmp(a.1));
    let types = types.into_iter().map(|(kind, n)| ((*kind).to_owned(), *n));
    let choice = |finding: &Finding| {
        let label = finding.as_str().replace('-', " ");
        (finding.as_str(), label, meaning(*finding))
    };
    Ok(Range {
        from,
        last: size - 1,
        size,
        root: examined.root().to_string(),
        record: examined.record().to_string(),
        first: When::of(examined.first(), visit.now),
        until: When::of(examined.until(), visit.now),
        matters: matters(visit, shown).await?,
        quiet: quiet(examined),
        types: types.collect(),
        actors,
        refused: shown.refused.as_ref().map(Refusal::to_string),
        choices: Finding::ALL.iter().map(choice).collect(),
        password_needed: log_review::grade(standing) == Grade::Part11,
    })
}

/// The matters that no entry is about: that there was nothing is worth saying too.
fn quiet(examined: &Examined) -> String {
    let all = Matter::ALL.iter();
    let none = all.filter(|matter| !examined.matters().contains_key(matter));
    let none: Vec<_> = none.map(|matter| called(*matter)).collect();
    none.join("; ")
}

async fn matters(visit: &Visit, shown: &Shown) -> Result<Vec<MatterRows>, Oops> {
    let store = &*visit.app.door.ports().store;
    let mut all = Vec::new();
    for (matter, entries) in shown.examined.matters() {
        let mut stored = Vec::new();
        for index in shown.examined.named(*matter) {
            stored.extend(store.entries(*index, 1).await?);
        }
        all.push(MatterRows {
            matter: matter.as_str(),
            called: called(*matter),
            entries: *entries,
            rows: ledger::rows(visit, &stored).await?,
        });
    }
    Ok(all)
}

async fn signatures(visit: &Visit, before: Option<u64>) -> Result<Vec<Signature>, Oops> {
    let signed = log_review::signed(&visit.app, before, ROWS).await?;
    let people = signed.iter().map(|signed| signed.what.person.clone());
    let names = Names::of(&visit.app, people).await?;
    let reasons: Vec<_> = signed.iter().map(|signed| signed.what.reason).collect();
    let reasons = texts(&visit.app, &reasons).await?;
    let row = |(signed, reason): (Signed, String)| Signature {
        entry: signed.entry,
        from: signed.what.from,
        last: signed.what.size.saturating_sub(1),
        name: names.person(&signed.what.person),
        role: signed.what.role.to_string(),
        when: When::of(signed.when, visit.now),
        finding: signed.what.finding.as_str().replace('-', " "),
        meaning: signed.what.meaning,
        grade: signed.what.grade.to_string(),
        reason,
    };
    Ok(signed.into_iter().zip(reasons).map(row).collect())
}

/// The fields of the form that signs.
#[derive(Deserialize)]
pub(super) struct Fields {
    #[serde(default)]
    csrf: String,
    #[serde(default)]
    once: String,
    #[serde(default)]
    from: u64,
    #[serde(default)]
    size: u64,
    #[serde(default)]
    record: String,
    #[serde(default)]
    finding: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    password: String,
}

/// Signs that a range was examined.
pub(super) async fn sign(visit: Visit, Form(fields): Form<Fields>) -> Result<Response, Oops> {
    let sent = Sent {
        csrf: &fields.csrf,
        once: &fields.once,
        password: &fields.password,
        content: vec![
            "log-review",
            &fields.record,
            &fields.finding,
            &fields.reason,
        ],
    };
    let (store, shown) = (&*visit.app.door.ports().store, visit.app.checkpoint());
    let root = engine::vouched(store, &visit.app.proofs, &shown, fields.size).await;
    let signed = visit.submit(&sent, |sealer| {
        let record: Digest = fields.record.parse()?;
        let sign = SignLogReview {
            from: fields.from,
            size: fields.size,
            root: root?,
            record,
            finding: fields.finding.parse()?,
            reason: sealer.seal(text("reason", &fields.reason)?),
        };
        Ok(Command::SignLogReview(sign))
    });
    match signed.await {
        Ok(()) => Ok(Redirect::to(PLACE).into_response()),
        Err(oops) => Err(oops.back(PLACE)),
    }
}

#[derive(Template)]
#[template(path = "log_review_entries.html")]
pub(super) struct EntriesPage {
    pub(super) frame: Frame,
    pub(super) called: &'static str,
    pub(super) matter: &'static str,
    pub(super) size: u64,
    pub(super) rows: Vec<Row>,
    pub(super) next: Option<u64>,
}

/// Which entries of a matter.
#[derive(Deserialize)]
pub(super) struct From {
    from: Option<u64>,
    size: Option<u64>,
}

/// Every entry about one matter, of those that are to be examined.
pub(super) async fn entries(
    visit: Visit,
    Path(matter): Path<String>,
    Query(asked): Query<From>,
) -> Result<Response, Oops> {
    let matter: Matter = matter
        .parse()
        .map_err(|_| Problem::not_found("such matter"))?;
    let max = usize::try_from(ROWS).unwrap_or(usize::MAX);
    let bounds = (asked.from, asked.size);
    let (span, Found { entries, next }) =
        log_review::about(&visit.app, &visit.who, matter, bounds, max).await?;
    let found = entries;
    let names = Names::of(&visit.app, found.iter().flat_map(ledger::people)).await?;
    let rows = found.iter().map(|entry| ledger::row(entry, &names, &visit));
    Ok(paint(&EntriesPage {
        rows: rows.collect(),
        frame: visit.frame("Log review", PLACE).await?,
        called: called(matter),
        matter: matter.as_str(),
        size: span.size,
        next,
    }))
}

#[cfg(test)]
impl LogReviewPage {
    pub(super) fn sample(hostile: &str) -> Self {
        let range = Range {
            from: 41,
            last: 99,
            size: 100,
            root: Digest::of(b"root").to_string(),
            record: Digest::of(b"record").to_string(),
            first: When::sample(),
            until: When::sample(),
            matters: vec![MatterRows {
                matter: "people",
                called: called(Matter::People),
                entries: 12,
                rows: vec![Row::sample()],
            }],
            quiet: called(Matter::Clock).to_owned(),
            types: vec![("lumos.role.granted.v1".into(), 12)],
            actors: vec![(hostile.into(), 12)],
            refused: None,
            choices: vec![("found", "found".into(), meaning(Finding::Something))],
            password_needed: true,
        };
        Self {
            frame: Frame::sample(),
            standing: Standing {
                state: State::of("overdue"),
                asked: hostile.into(),
                due: Some(When::sample()),
                overdue: Some(When::sample()),
                missed: 2,
                turn: hostile.into(),
            },
            range: Some(range),
            signatures: vec![Signature {
                entry: 40,
                from: 0,
                last: 39,
                name: hostile.into(),
                role: "auditor".into(),
                when: When::sample(),
                finding: "nothing found".into(),
                meaning: meaning(Finding::Nothing).into(),
                grade: "recorded".into(),
                reason: hostile.into(),
            }],
            older: Some(40),
        }
    }

    pub(super) fn empty() -> Self {
        let mut page = Self::sample("");
        page.standing.missed = 0;
        Self {
            range: None,
            signatures: Vec::new(),
            older: None,
            ..page
        }
    }

    pub(super) fn refused(hostile: &str) -> Self {
        let mut page = Self::sample(hostile);
        if let Some(range) = &mut page.range {
            range.refused = Some(hostile.to_owned());
        }
        page
    }
}

#[cfg(test)]
impl EntriesPage {
    pub(super) fn sample() -> Self {
        Self {
            frame: Frame::sample(),
            called: called(Matter::Keys),
            matter: "keys",
            size: 100,
            rows: vec![Row::sample()],
            next: Some(7),
        }
    }
}
