//! How heavy a review is, and opening it. Depth, slots and blocking are computed here from what the ledger
//! holds; nothing of it is taken from a command (DECISIONS 2).

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::approve;
use crate::{
    event::{Event, ReviewClosed, ReviewOpened, ReviewPaused, ReviewRecordChanged, ReviewStarted},
    facts::{Cause, ReportFacts, ReviewRecord},
    id::{AgentRef, AssignmentId, Digest, Environment, ModelName, ReleaseId, ReviewId},
    manifest::Change,
    model,
    refusal::Refusal,
    release::{self, Release},
    rules::{ReviewRules, Slot},
    stream::Stream,
    words::{Depth, Grade},
    world::{Decided, Halt, World},
};

/// What is known about a review before the rules are judged: the change and the depth to judge them for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlook {
    /// The release digest.
    pub digest: Digest,
    /// The agents it is for.
    pub agents: BTreeSet<AgentRef>,
    /// What differs from the release now running.
    pub change: Change,
    /// The release it was compared with.
    pub running: Option<Digest>,
    /// The depth that the matrix gives.
    pub depth: Depth,
    /// The version of the subject stream now.
    pub subject_version: u64,
    /// Whether it is in a sandbox.
    pub sandbox: bool,
}

/// The outlook of `release` for `environment`: what the compliance checker judges for, and what `open`
/// decides from, by the same code.
///
/// # Errors
/// A refusal, or what must be loaded first.
pub fn outlook(
    world: &World,
    id: &ReleaseId,
    environment: &Environment,
    now: Timestamp,
) -> Result<Outlook, Halt> {
    let release = release::active(world, id)?;
    let digest = release.digest.ok_or(Refusal::NotIdentified)?;
    let agents = release
        .targets
        .get(environment)
        .ok_or_else(|| Refusal::NoReport {
            environment: environment.clone(),
        })?
        .clone();
    let model = model::registered(world, &id.model)?;
    let (change, running) = computed_change(world, id, digest, environment, &agents, now)?;
    let rules = world.org()?.rules()?;
    let depth = rules.depth(
        environment,
        model.effective_tier(),
        change.tier,
        agents.len(),
    );
    let subject_version = world.version(&Stream::Subject(digest))?;
    Ok(Outlook {
        digest,
        agents,
        change,
        running,
        depth,
        subject_version,
        sandbox: world.org()?.sandbox,
    })
}

/// Compares the candidate with what each touched agent runs now, and takes the gravest change. An agent
/// that runs nothing of this model makes it incomparable, which counts as backbone (DECISIONS 8).
fn computed_change(
    world: &World,
    id: &ReleaseId,
    digest: Digest,
    environment: &Environment,
    agents: &BTreeSet<AgentRef>,
    now: Timestamp,
) -> Result<(Change, Option<Digest>), Halt> {
    let (release, model) = (world.release(id)?, world.model(&id.model)?);
    let mut running = BTreeSet::new();
    for agent in agents {
        let place = AssignmentId {
            system: agent.system.clone(),
            agent: agent.agent.clone(),
            environment: environment.clone(),
        };
        let current = world
            .assignment(&place)?
            .current()
            .filter(|a| a.release.model == id.model);
        running.insert(match current {
            Some(current) => measure(world, &current.approval, current.digest, now)?,
            None => None,
        });
    }
    if agents.is_empty() {
        running.insert(match model.current.get(environment) {
            Some(current) => measure(world, &current.approval, current.digest, now)?,
            None => None,
        });
    }
    let mut gravest: Option<(Change, Digest)> = None;
    for base in running {
        let Some(base) = base else {
            return Ok((Change::incomparable(), None));
        };
        let change = Change::between(world.manifest(&base)?, world.manifest(&digest)?);
        if gravest
            .as_ref()
            .is_none_or(|(known, _)| known.tier < change.tier)
        {
            gravest = Some((change, base));
        }
    }
    Ok(gravest.map_or_else(
        || (Change::incomparable(), None),
        |(change, base)| (change.raised_by(release.declared), Some(base)),
    ))
}

/// What a running release may be measured by: its digest while its approval holds. What was revoked, has
/// expired or was given in a sandbox that was left is no measure for what comes after it.
fn measure(
    world: &World,
    approval: &ReviewId,
    digest: Digest,
    now: Timestamp,
) -> Result<Option<Digest>, Halt> {
    match super::approved(world, approval, now) {
        Ok(_) => Ok(Some(digest)),
        Err(Halt::Refused(_)) => Ok(None),
        Err(need) => Err(need),
    }
}

/// Opens a review of `release` for `environment`, brings an open one up to date, or approves what is light.
pub(crate) fn open(
    world: &World,
    id: &ReleaseId,
    environment: &Environment,
    now: Timestamp,
) -> Result<Decided, Halt> {
    let record = record_now(world, id, environment, now)?;
    let release = world.release(id)?;
    let previous = release.reviews.get(environment);
    let mut events = Vec::new();
    let review = match previous {
        Some(review) => {
            let state = world.review(review)?;
            // An approval that holds is left alone, unless the release is now for other agents.
            let same_agents = state
                .record
                .as_ref()
                .is_some_and(|r| r.agents == record.agents);
            if state.record.as_ref() == Some(&record) || (same_agents && state.live(now).is_ok()) {
                return Ok(Vec::new());
            }
            if state.is_open() {
                let changed = ReviewRecordChanged {
                    record: record.clone(),
                };
                events.push((Stream::Review(review.clone()), changed.into()));
                review.clone()
            } else if state.closed == Some(Cause::Rejected) {
                return Err(Refusal::ReviewNotOpen.into());
            } else {
                next_round(id, environment, review.round)
            }
        }
        None => next_round(id, environment, 0),
    };
    if events.is_empty() {
        let due = due(world, &record, now)?;
        events.push((
            Stream::Release(id.clone()),
            ReviewStarted {
                review: review.clone(),
            }
            .into(),
        ));
        let opened = ReviewOpened {
            record: record.clone(),
            due,
        };
        events.push((Stream::Review(review.clone()), opened.into()));
    }
    if record.depth == Depth::Auto && !record.test {
        gate_is_open(world, id, &record, now)?;
        let reason = format!(
            "change `{}` of a `{}` tier model for `{environment}` asks for no signature, and no rule blocks",
            record.change_tier, record.model_tier
        );
        events.extend(approve(world, &review, &record, Some(reason), now)?);
    } else if record.depth == Depth::Auto {
        let closed: Event = ReviewClosed {
            cause: Cause::Withdrawn,
        }
        .into();
        events.push((Stream::Review(review), closed));
    } else if !record.critical.is_empty() {
        let hours = world.org()?.rules()?.escalate_critical_after_hours;
        let paused = ReviewPaused {
            rules: record.critical.clone(),
            escalates: now + SignedDuration::from_hours(i64::from(hours)),
        };
        events.push((Stream::Review(review), paused.into()));
    }
    Ok(events)
}

/// The record that a review of `id` for `environment` would be about now: its report must hold the release
/// against the bundles in force.
fn record_now(
    world: &World,
    id: &ReleaseId,
    environment: &Environment,
    now: Timestamp,
) -> Result<ReviewRecord, Halt> {
    for name in &world.model(&id.model)?.policies {
        let current = world.bundle(name)?.current.as_ref();
        let report = world.release(id)?.reports.get(environment);
        let lacks = |bundle| report.is_some_and(|report| !report.bundles.contains(bundle));
        if current.is_none_or(lacks) {
            return Err(Refusal::ReportLacksBundle {
                bundle: name.to_string(),
            }
            .into());
        }
    }
    pinned_record(world, id, environment, now)
}

/// The same for a review that is open: it stays pinned to the bundles of its report, everything else is as
/// it is now.
pub(super) fn pinned_record(
    world: &World,
    id: &ReleaseId,
    environment: &Environment,
    now: Timestamp,
) -> Result<ReviewRecord, Halt> {
    let outlook = outlook(world, id, environment, now)?;
    let release = world.release(id)?;
    let report = covering_report(release, environment, &outlook)?;
    record(world, release, &id.model, report, outlook)
}

fn next_round(id: &ReleaseId, environment: &Environment, last: u32) -> ReviewId {
    ReviewId {
        model: id.model.clone(),
        version: id.version.clone(),
        environment: environment.clone(),
        round: last.saturating_add(1),
    }
}

fn due(world: &World, record: &ReviewRecord, now: Timestamp) -> Result<Option<Timestamp>, Halt> {
    let rule = world.org()?.rules()?.depths.get(&record.depth);
    Ok(rule
        .filter(|_| record.depth > Depth::Auto)
        .map(|rule| now + SignedDuration::from_hours(i64::from(rule.overdue_hours))))
}

/// The report for `environment`, if it covers everything it must.
fn covering_report<'a>(
    release: &'a Release,
    environment: &Environment,
    outlook: &Outlook,
) -> Result<&'a ReportFacts, Halt> {
    let report = release
        .reports
        .get(environment)
        .ok_or_else(|| Refusal::NoReport {
            environment: environment.clone(),
        })?;
    if report.subject_version != outlook.subject_version {
        let (covers, now) = (report.subject_version, outlook.subject_version);
        return Err(Refusal::ReportOutdated { covers, now }.into());
    }
    if report.sandbox && !outlook.sandbox {
        return Err(Refusal::ReportFromSandbox.into());
    }
    if report.depth != outlook.depth {
        return Err(Refusal::ReportForOtherDepth {
            judged: report.depth,
            now: outlook.depth,
        }
        .into());
    }
    Ok(report)
}

/// The record to decide upon, with everything that raises its depth.
fn record(
    world: &World,
    release: &Release,
    name: &ModelName,
    report: &ReportFacts,
    outlook: Outlook,
) -> Result<ReviewRecord, Halt> {
    let org = world.org()?;
    let rules = org.rules()?;
    let blocking = report.blocking();
    let routes = report.routes();
    let mut depth = outlook.depth;
    let mut raised_by = Vec::new();
    if report.below_threshold {
        depth = depth.raised();
        raised_by.push("the score is below the threshold".to_owned());
    }
    for (holds, why) in [
        (!blocking.is_empty(), "a blocking gap ends auto"),
        (!routes.is_empty(), "a rule routes to a reviewer"),
        (
            !release.open_claims.is_empty() || release.authors.is_empty(),
            "its author is not known",
        ),
        (
            was_sent_back(world, release.reviews.get(&report.environment))?,
            "a person sent it back",
        ),
    ] {
        if holds && depth == Depth::Auto {
            depth = Depth::Light;
            raised_by.push(why.to_owned());
        }
    }
    Ok(ReviewRecord {
        digest: outlook.digest,
        environment: report.environment.clone(),
        agents: outlook.agents,
        bundles: report.bundles.clone(),
        report: report.report,
        as_of: report.as_of,
        subject_version: report.subject_version,
        score: report.score,
        running: outlook.running,
        change: outlook.change.kind,
        change_tier: outlook.change.tier,
        model_tier: world.model(name)?.effective_tier(),
        depth,
        raised_by,
        slots: slots(rules, depth, &routes)?,
        blocking,
        critical: report.critical(),
        sandbox: org.sandbox,
        test: release.test,
    })
}

/// Whether a person revoked the approval of this or an earlier round, or asked for changes: no rule undoes
/// what a person did.
fn was_sent_back(world: &World, latest: Option<&ReviewId>) -> Result<bool, Halt> {
    let Some(latest) = latest else {
        return Ok(false);
    };
    for round in 1..=latest.round {
        let review = ReviewId {
            round,
            ..latest.clone()
        };
        let state = world.review(&review)?;
        let sent_back =
            state.revoked == Some(Cause::Person) || state.closed == Some(Cause::ChangesRequested);
        if sent_back {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The slots of a depth, and one for each role that a failed rule routes to and that has none yet.
fn slots(
    rules: &ReviewRules,
    depth: Depth,
    routes: &BTreeSet<crate::id::RoleName>,
) -> Result<Vec<Slot>, Halt> {
    let rule = rules.depths.get(&depth).ok_or_else(|| Refusal::BadRules {
        problem: format!("depth `{depth}` has no rule"),
    })?;
    let mut slots = rule.slots.clone();
    for role in routes {
        if slots.iter().all(|slot| slot.role != *role) {
            slots.push(Slot {
                role: role.clone(),
                count: 1,
                grade: Grade::Recorded,
            });
        }
    }
    Ok(slots)
}

/// Refuses when the gate's own criteria are not met (DESIGN glossary: gate).
pub(super) fn gate_is_open(
    world: &World,
    id: &ReleaseId,
    record: &ReviewRecord,
    now: Timestamp,
) -> Result<(), Halt> {
    let gate = world.org()?.gate(&record.environment)?;
    let closed = |problem: String| {
        Halt::from(Refusal::GateClosed {
            environment: record.environment.clone(),
            problem,
        })
    };
    if let Some(min) = gate.min_score
        && record.score.is_none_or(|score| score < min)
    {
        return Err(closed(format!("it asks for a score of at least {min}")));
    }
    let oldest = now - SignedDuration::from_hours(i64::from(gate.report_max_age_days) * 24);
    if record.as_of < oldest {
        return Err(Refusal::ReportTooOld {
            days: gate.report_max_age_days,
        }
        .into());
    }
    if let Some(after) = &gate.after {
        let passed = match world.release(id)?.reviews.get(after) {
            None => false,
            Some(review) => match super::approved(world, review, now) {
                Ok(tuple) => tuple.digest == record.digest,
                Err(Halt::Refused(_)) => false,
                Err(need @ Halt::Need(_)) => return Err(need),
            },
        };
        if !passed {
            let problem = format!("the same release must hold a live approval for `{after}` first");
            return Err(closed(problem));
        }
    }
    Ok(())
}
