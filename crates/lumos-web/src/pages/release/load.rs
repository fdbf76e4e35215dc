//! Reads everything the release page shows.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use lumos_domain::{
    actor::Caller,
    command::Command,
    event::Event,
    facts::{Assigned, Cause, ReviewRecord},
    id::{AssignmentId, Digest, Environment, PersonId, ReleaseId, ReviewId},
    org::Org,
    refusal::Refusal,
    release::Release,
    review::{Outlook, Review, approved, free_seats, outlook},
    rules::Slot,
    stream::Stream,
    world::{Halt, World},
};
use lumos_engine::{LedgerEntry, views::reviews};

use super::{
    Head, ReleasePage, Tab, address, change, evidence, follow,
    judged::Judgement,
    people::{self, Allowed, Seat},
    proofs,
    turn::{self, Turn},
};
use crate::app::refusal;
use crate::{
    pages::{
        frame::{Visit, no_text},
        ledger,
        oops::Oops,
        show::{Names, State, When, cut},
    },
    problem::Problem,
};

/// Governed state about a release in one environment, read in one go.
struct Governed {
    org: Org,
    release: Release,
    environment: Option<Environment>,
    outlook: Option<Outlook>,
    review: Option<(ReviewId, Review)>,
    free: Vec<Slot>,
    seats: Vec<Seat>,
    allowed: Option<Allowed>,
    not_live: Option<String>,
    may_withdraw: bool,
    may_revoke: bool,
    gates: Vec<String>,
    assignments: Vec<(AssignmentId, Vec<Assigned>)>,
}

/// Who reads, and what.
struct Reader<'a> {
    caller: &'a Caller,
    me: &'a PersonId,
    now: Timestamp,
}

/// The page of `id`, for the environment asked for or the one where something is to be done.
pub(super) async fn page(
    visit: &Visit,
    id: &ReleaseId,
    asked: Option<Environment>,
) -> Result<ReleasePage, Oops> {
    let (app, now) = (&visit.app, visit.now);
    let rows = reviews::of_release(
        &*app.door.ports().store,
        id.model.as_str(),
        id.version.as_str(),
    )
    .await?;
    let wanted = asked.or_else(|| to_decide(&rows));
    let reader = Reader {
        caller: &visit.who.caller,
        me: &visit.who.person.person,
        now,
    };
    let governed = app
        .door
        .ask(|world| governed(world, &reader, id, wanted.as_ref()))
        .await?;
    if governed.release.source.is_none() {
        return Err(Problem::not_found("release of this name").into());
    }
    let release_history = app.door.history(&Stream::Release(id.clone())).await?;
    let review_history = match &governed.review {
        Some((review, _)) => app.door.history(&Stream::Review(review.clone())).await?,
        None => Vec::new(),
    };
    let mut history = release_history.clone();
    history.extend(review_history.iter().cloned());
    history.sort_by_key(|entry| std::cmp::Reverse(entry.index));
    let assignments = governed.assignments.iter().map(|(id, _)| id);
    let proofs = proofs::of(app, id, &history, assignments).await?;
    let names = people::names(app, &history).await?;
    let head = head(visit, id, &governed, &release_history, &rows).await?;
    let due = governed.due(&rows);
    let turn = Turn::of(&governed.turn(&release_history, due, now));
    let frame = visit.frame(&format!("{id}"), "/releases").await?;
    let (record, record_hash) = (governed.record(), governed.record_hash());
    let (sign, no_sign) = governed.sign(record_hash);
    Ok(ReleasePage {
        frame,
        turn,
        judged: judgement(visit, &governed).await?,
        change: change::view(app, &governed.release, record, governed.outlook.as_ref()).await?,
        evidence: evidence::about(app, governed.release.digest, now).await?,
        sign,
        no_sign,
        signatures: people::signatures(app, &review_history, record_hash, &names, now).await?,
        remarks: people::remarks(app, &review_history, &names, now).await?,
        claims: people::claims(app, &release_history, &names).await?,
        approval: governed.approval(now),
        assigned: follow::assigned(&governed.assignments, id, now),
        promotions: follow::promotions(&release_history),
        proofs,
        verifier_key: app.verifier_key(),
        may_withdraw: governed.may_withdraw,
        next_gate: governed.next_gate(),
        history: lines(&history, &names, visit),
        seats: governed.seats,
        head,
    })
}

fn lines(history: &[LedgerEntry], names: &Names, visit: &Visit) -> Vec<ledger::Row> {
    history
        .iter()
        .map(|entry| ledger::row(entry, names, visit))
        .collect()
}

fn governed(
    world: &World,
    reader: &Reader<'_>,
    id: &ReleaseId,
    wanted: Option<&Environment>,
) -> Result<Governed, Halt> {
    let release = world.release(id)?.clone();
    let known = wanted.filter(|env| release.targets.contains_key(*env));
    let environment = known.or_else(|| release.targets.keys().next()).cloned();
    let mut found = Governed {
        org: world.org()?.clone(),
        outlook: None,
        review: None,
        free: Vec::new(),
        seats: Vec::new(),
        allowed: None,
        not_live: None,
        may_withdraw: may_withdraw(world, reader, id)?,
        may_revoke: false,
        gates: gates(world, reader, id)?,
        assignments: Vec::new(),
        environment,
        release,
    };
    let Some(environment) = &found.environment else {
        return Ok(found);
    };
    found.outlook = lenient(outlook(world, id, environment, reader.now))?.ok();
    for agent in found.release.targets.get(environment).into_iter().flatten() {
        let assignment = AssignmentId {
            system: agent.system.clone(),
            agent: agent.agent.clone(),
            environment: environment.clone(),
        };
        let releases = world.assignment(&assignment)?.releases.clone();
        found.assignments.push((assignment, releases));
    }
    if let Some(review) = found.release.reviews.get(environment).cloned() {
        in_review(world, reader, &review, &mut found)?;
    }
    Ok(found)
}

/// Adds what the review of the environment says.
fn in_review(
    world: &World,
    reader: &Reader<'_>,
    id: &ReviewId,
    found: &mut Governed,
) -> Result<(), Halt> {
    let review = world.review(id)?.clone();
    if review.is_open() {
        found.free = free_seats(world, id)?;
        found.seats = people::seats(world, id, reader.me, &found.free)?;
        if let Some(record) = review.record_hash {
            found.allowed = Some(people::allowed(
                world,
                reader.caller,
                id,
                record,
                reader.now,
            )?);
        }
    }
    if review.approval.is_some() {
        found.not_live = lenient(approved(world, id, reader.now).map(|_| ()))?
            .err()
            .map(|refusal| match refusal {
                Refusal::NoApproval { problem } => problem,
                other => other.to_string(),
            });
        let revoke = Command::RevokeApproval {
            review: id.clone(),
            cause: Cause::Person,
            reason: Some(no_text()),
        };
        found.may_revoke = refusal(world, reader.caller, &revoke, reader.now)?.is_none();
    }
    found.review = Some((id.clone(), review));
    Ok(())
}

fn may_withdraw(world: &World, reader: &Reader<'_>, id: &ReleaseId) -> Result<bool, Halt> {
    let withdraw = Command::WithdrawRelease {
        release: id.clone(),
        reason: no_text(),
    };
    Ok(refusal(world, reader.caller, &withdraw, reader.now)?.is_none())
}

/// The environments that the reader may ask the release to enter next.
fn gates(world: &World, reader: &Reader<'_>, id: &ReleaseId) -> Result<Vec<String>, Halt> {
    let entered = &world.release(id)?.targets;
    let mut open = Vec::new();
    for environment in world.org()?.gates.keys() {
        let ask = Command::RequestGate {
            release: id.clone(),
            environment: environment.clone(),
            agents: BTreeSet::new(),
        };
        if !entered.contains_key(environment)
            && refusal(world, reader.caller, &ask, reader.now)?.is_none()
        {
            open.push(environment.to_string());
        }
    }
    Ok(open)
}

/// A refusal as a value; only what must be loaded first still stops.
fn lenient<T>(answer: Result<T, Halt>) -> Result<Result<T, Refusal>, Halt> {
    match answer {
        Ok(value) => Ok(Ok(value)),
        Err(Halt::Refused(refusal)) => Ok(Err(refusal)),
        Err(need @ Halt::Need(_)) => Err(need),
    }
}

/// The environment where something is to be decided, else the one looked at last.
fn to_decide(rows: &[reviews::ReviewRow]) -> Option<Environment> {
    let open = rows.iter().rev().find(|row| row.state == "open");
    let row = open.or_else(|| rows.first())?;
    Some(row.review.environment.clone())
}

impl Governed {
    fn record(&self) -> Option<&ReviewRecord> {
        self.review.as_ref()?.1.record.as_ref()
    }

    fn record_hash(&self) -> Option<Digest> {
        self.review.as_ref()?.1.record_hash
    }

    /// When the review shown escalates.
    fn due(&self, rows: &[reviews::ReviewRow]) -> Option<Timestamp> {
        let (id, _) = self.review.as_ref()?;
        rows.iter().find(|row| row.review == *id)?.due
    }

    fn turn<'a>(
        &'a self,
        history: &[LedgerEntry],
        due: Option<Timestamp>,
        now: Timestamp,
    ) -> turn::Facts<'a> {
        let failure = history.iter().rev().find_map(|entry| match &entry.event {
            Event::AcquisitionFailed(e) => Some((e.code.clone(), e.problem.clone())),
            _ => None,
        });
        turn::Facts {
            release: &self.release,
            report: self
                .environment
                .as_ref()
                .and_then(|env| self.release.reports.get(env)),
            outlook: self.outlook.as_ref(),
            review: self.review.as_ref().map(|(_, review)| review),
            free: &self.free,
            org: &self.org,
            failure,
            due,
            not_live: self.not_live.clone(),
            now,
        }
    }

    fn sign(&self, record: Option<Digest>) -> (Option<people::SignForm>, String) {
        let nothing = "There is nothing to sign: no review is open here.".to_owned();
        match (&self.allowed, record) {
            (Some(allowed), Some(record)) => match people::form(allowed, record, &self.seats) {
                Ok(form) => (Some(form), String::new()),
                Err(why) => (None, why),
            },
            _ => (None, nothing),
        }
    }

    /// The form that asks for the next gate, with the agents named so far.
    fn next_gate(&self) -> Option<follow::NextGate> {
        let environment = self.environment.as_ref();
        let agents = environment.and_then(|env| self.release.targets.get(env));
        let agents: Vec<_> = agents
            .into_iter()
            .flatten()
            .map(ToString::to_string)
            .collect();
        (!self.gates.is_empty()).then(|| follow::NextGate {
            environments: self.gates.clone(),
            agents: agents.join(", "),
        })
    }

    fn approval(&self, now: Timestamp) -> Option<follow::Approval> {
        let (_, review) = self.review.as_ref()?;
        let tuple = review.approval.as_ref()?;
        Some(follow::approval(
            tuple,
            self.not_live.as_deref(),
            self.may_revoke,
            now,
        ))
    }
}

async fn judgement(visit: &Visit, governed: &Governed) -> Result<Option<Judgement>, Oops> {
    let environment = governed.environment.as_ref();
    let Some(report) = environment.and_then(|env| governed.release.reports.get(env)) else {
        return Ok(None);
    };
    let blob = visit.app.door.ports().blobs.get(&report.report).await?;
    let judged = Judgement::of(report, governed.record(), blob.as_deref(), visit.now);
    Ok(Some(judged))
}

async fn head(
    visit: &Visit,
    id: &ReleaseId,
    governed: &Governed,
    history: &[LedgerEntry],
    rows: &[reviews::ReviewRow],
) -> Result<Head, Oops> {
    let release = &governed.release;
    let states: BTreeMap<&Environment, &str> = rows
        .iter()
        .rev()
        .map(|row| (&row.review.environment, row.state.as_str()))
        .collect();
    let tab = |environment: &Environment| Tab {
        environment: environment.to_string(),
        href: address(id, Some(environment)),
        state: State::of(states.get(environment).copied().unwrap_or("waiting")),
        chosen: Some(environment) == governed.environment.as_ref(),
    };
    let submitter = match &release.submitter {
        Some(person) => Some(
            Names::of(&visit.app, [person.clone()])
                .await?
                .person(person),
        ),
        None => None,
    };
    let source = release.source.as_ref().map(|source| {
        format!(
            "registry `{}`: `{}` version `{}`",
            source.registry,
            cut(&source.name, 200),
            cut(&source.version, 200)
        )
    });
    Ok(Head {
        model: id.model.to_string(),
        version: id.version.to_string(),
        digest: release.digest.map(|digest| digest.to_string()),
        source: source.unwrap_or_default(),
        detected: history.first().map(|entry| When::of(entry.time, visit.now)),
        submitter,
        test: release.test,
        environments: release.targets.keys().map(tab).collect(),
        environment: governed
            .environment
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        review: governed
            .review
            .as_ref()
            .map(|(review, _)| review.to_string())
            .unwrap_or_default(),
    })
}
