//! Whether somebody reads the log: every so many days it must be examined and signed for by a person of a role (45 CFR
//! 164.308(a)(1)(ii)(D): review the records of activity regularly). The clock says when it is due and when it is
//! overdue; a signature says which entries were examined, and no entry is left out between two of them
//! (docs/decisions/0020).

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    actor::{Actor, Caller, Right},
    event::{Event, LogReviewDue, LogReviewOverdue, LogReviewSet, LogReviewed},
    id::{Digest, PersonId, RoleName},
    org::Org,
    person::{self, authorise},
    refusal::Refusal,
    seal::Sealed,
    stream::Stream,
    words::{Finding, Grade},
    world::{Decided, Halt, World},
};

mod examined;

pub use examined::{Act, Examined, Span, called, matter};

/// The timer key under which the next log review is looked at.
pub const LOG_REVIEW: &str = "log-review";

/// The longest time between two log reviews, in days.
pub const EVERY_DAYS_MAX: u32 = 366;

/// Who examines the log, and how often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// The role that a signer must hold everywhere.
    pub role: RoleName,
    /// How many days after the last entry that was examined the next review is due.
    pub every_days: u32,
    /// How many days after that it is overdue.
    pub within_days: u32,
    /// The least grade of signature that counts.
    #[serde(default = "recorded")]
    pub grade: Grade,
}

const fn recorded() -> Grade {
    Grade::Recorded
}

impl Schedule {
    /// Whether the log would be examined less often, less well, or by others than before.
    fn loosens(&self, was: &Self) -> bool {
        self.role != was.role
            || self.every_days > was.every_days
            || self.within_days > was.within_days
            || self.grade < was.grade
    }

    fn problem(&self, org: &Org) -> Option<String> {
        let Self {
            role,
            every_days,
            within_days,
            ..
        } = self;
        if !(1..=EVERY_DAYS_MAX).contains(every_days) {
            return Some(format!(
                "the log is reviewed every 1 to {EVERY_DAYS_MAX} days"
            ));
        }
        if !(1..=*every_days).contains(within_days) {
            return Some(
                "a log review is overdue after 1 day at least, and before the next".into(),
            );
        }
        let reads = |role| {
            let rights = org.roles.get(role);
            rights.is_some_and(|rights| rights.contains(&Right::Read))
        };
        (!reads(role))
            .then(|| format!("the role `{role}` may not `read`, so it can examine nothing"))
    }

    fn overdue(&self, since: Timestamp) -> Timestamp {
        days_after(since, self.within_days)
    }
}

fn days_after(from: Timestamp, days: u32) -> Timestamp {
    let days = SignedDuration::from_hours(i64::from(days) * 24);
    from.checked_add(days).unwrap_or(Timestamp::MAX)
}

/// The state of stream `log-review`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogReview {
    /// What is asked for; nothing where nobody asks for log reviews, or nobody does any more.
    pub schedule: Option<Schedule>,
    /// How many entries were examined: the next range begins at this index.
    pub examined: u64,
    /// When the last entry that was examined was written, or the first schedule was set.
    pub until: Option<Timestamp>,
    /// When the clock looks at it next: when it is due, and once it is, when it is overdue.
    pub next: Option<Timestamp>,
    /// The review that is due.
    pub open: Option<Open>,
}

/// A log review that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// Since when.
    pub since: Timestamp,
    /// When it is overdue.
    pub overdue: Timestamp,
    /// How many reviews in a row were not signed in time, as far as the clock has said so.
    pub missed: u32,
}

impl LogReview {
    /// Moves on by what happened.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::LogReviewSet(e) => self.set(e),
            Event::LogReviewDue(e) => {
                self.next = Some(e.overdue);
                self.open = Some(Open {
                    since: e.since,
                    overdue: e.overdue,
                    missed: 0,
                });
            }
            Event::LogReviewOverdue(e) => {
                self.next = Some(e.again);
                if let Some(open) = &mut self.open {
                    open.missed = e.missed;
                }
            }
            Event::LogReviewed(e) => {
                self.examined = e.size;
                self.until = Some(e.until);
                self.next = Some(e.next);
                self.open = None;
            }
            _ => {}
        }
    }

    fn set(&mut self, e: &LogReviewSet) {
        self.next = e.next;
        self.schedule.clone_from(&e.schedule);
        match (&e.schedule, &mut self.open) {
            (Some(schedule), Some(open)) => open.overdue = schedule.overdue(open.since),
            // What was never examined is due a whole period after the first schedule was set.
            (Some(schedule), None) => {
                let period = SignedDuration::from_hours(i64::from(schedule.every_days) * 24);
                let set = || e.next?.checked_sub(period).ok();
                self.until = self.until.or_else(set);
            }
            (None, _) => self.open = None,
        }
    }

    /// When the clock must look at it under `schedule`, as of `now`.
    fn next_under(&self, schedule: &Schedule, now: Timestamp) -> Timestamp {
        match &self.open {
            Some(open) if open.missed == 0 => schedule.overdue(open.since.min(now)).max(now),
            Some(open) => again(schedule, open.since.min(now), now).1,
            None => due_after(self.until.unwrap_or(now), schedule, now).max(now),
        }
    }
}

/// When the next review is due after entries up to `until` were examined. A clock that was set ahead, and back again, has
/// put nothing off.
fn due_after(until: Timestamp, schedule: &Schedule, now: Timestamp) -> Timestamp {
    days_after(until.min(now), schedule.every_days)
}

/// How many reviews were not signed in time at `now`, of those due at `since` and each period after it; and when the next
/// one joins them.
fn again(schedule: &Schedule, since: Timestamp, now: Timestamp) -> (u32, Timestamp) {
    let late = now.duration_since(schedule.overdue(since)).as_secs().max(0);
    let period = i64::from(schedule.every_days.max(1)) * 24 * 3_600;
    let missed = u32::try_from(late / period + 1).unwrap_or(u32::MAX);
    let days = missed.saturating_mul(schedule.every_days);
    (missed, days_after(schedule.overdue(since), days))
}

/// What is asked for from then on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetLogReview {
    /// Who examines the log, and how often; nothing where nobody has to any more.
    pub schedule: Option<Schedule>,
    /// Why.
    pub reason: Sealed,
}

impl SetLogReview {
    /// Whether the log would be examined less often, less well, by others, or not at all. Whoever asks for the first
    /// reviews, or for more of them, needs nobody.
    pub(crate) fn loosens(&self, world: &World) -> Result<bool, Halt> {
        Ok(match (&world.log_review()?.schedule, &self.schedule) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(was), Some(schedule)) => schedule.loosens(was),
        })
    }
}

pub(crate) fn set(world: &World, command: &SetLogReview, now: Timestamp) -> Result<Decided, Halt> {
    let state = world.log_review()?;
    if let Some(schedule) = &command.schedule
        && let Some(problem) = schedule.problem(world.org()?)
    {
        return Err(Refusal::BadRules { problem }.into());
    }
    if command.schedule == state.schedule {
        return Ok(Vec::new());
    }
    let next = command.schedule.as_ref().map(|schedule| {
        let next = state.next_under(schedule, now);
        // What one person may do alone puts nothing off, whatever the clock shows meanwhile.
        let was = state.schedule.as_ref();
        let alone = was.is_some_and(|was| !schedule.loosens(was));
        let before = state.next.filter(|_| alone);
        before.map_or(next, |before| next.min(before))
    });
    let set = LogReviewSet {
        schedule: command.schedule.clone(),
        was: state.schedule.clone(),
        next,
        reason: command.reason,
    };
    Ok(vec![(Stream::LogReview, set.into())])
}

/// The clock looks: what is not due yet becomes due, what is due becomes overdue, and what is overdue is missed again
/// when a further period has passed. However long the clock stood still, one entry says so.
pub(crate) fn timer_due(world: &World, now: Timestamp) -> Result<Decided, Halt> {
    let state = world.log_review()?;
    let (Some(schedule), Some(next)) = (&state.schedule, state.next) else {
        return Ok(Vec::new());
    };
    if now < next {
        return Ok(Vec::new());
    }
    let event: Event = match &state.open {
        None => LogReviewDue {
            since: next,
            overdue: schedule.overdue(next),
        }
        .into(),
        Some(open) => {
            let (missed, again) = again(schedule, open.since, now);
            LogReviewOverdue {
                since: open.since,
                missed,
                again,
            }
            .into()
        }
    };
    Ok(vec![(Stream::LogReview, event)])
}

/// The clock was set back to `now`, and believed before. Where that has put off by a day or more what the entries ask for,
/// as a signature does that was made in a year to come, a review is due at once.
pub(crate) fn set_back(world: &World, now: Timestamp) -> Result<Decided, Halt> {
    let state = world.log_review()?;
    let (Some(schedule), Some(next)) = (&state.schedule, state.next) else {
        return Ok(Vec::new());
    };
    if next < days_after(state.next_under(schedule, now), 1) {
        return Ok(Vec::new());
    }
    let since = state.open.as_ref().map_or(now, |open| open.since.min(now));
    let due = LogReviewDue {
        since,
        overdue: schedule.overdue(since),
    };
    Ok(vec![(Stream::LogReview, due.into())])
}

/// A log review to sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignLogReview {
    /// The index of the first entry of the range.
    pub from: u64,
    /// The size of the checkpoint that the range ends at: the index after its last entry.
    pub size: u64,
    /// The root hash of that checkpoint, as it was signed.
    pub root: Digest,
    /// The hash of the record that the signer was shown: [`Examined::record`].
    pub record: Digest,
    /// What was found.
    pub finding: Finding,
    /// What was found, or how it was looked for.
    pub reason: Sealed,
}

/// What a signature with this finding means, as it is printed (21 CFR 11.50).
#[must_use]
pub const fn meaning(finding: Finding) -> &'static str {
    match finding {
        Finding::Nothing => {
            "I examined these entries of the log and found nothing that must be followed up"
        }
        Finding::Something => "I examined these entries of the log and found what my reason says",
    }
}

/// The range that is to be examined next, if it ends at `size`.
///
/// # Errors
/// [`Halt::Need`] when something must be loaded first; a refusal when no range ends there.
pub fn span(world: &World, size: u64) -> Result<Span, Halt> {
    let from = world.log_review()?.examined;
    if from >= size {
        let problem = format!("every entry before {from} is examined; it cannot end at {size}");
        return Err(Refusal::LogRange { problem }.into());
    }
    Ok(Span { from, size })
}

/// The refusal where the entries that were read are others than those that were signed.
#[must_use]
pub fn not_those(size: u64) -> Refusal {
    let problem = format!(
        "the entries that were read are not those under the signed checkpoint over {size} entries: somebody changed the \
         database. Sign nothing, and run `lumos ledger verify`"
    );
    Refusal::LogRange { problem }
}

/// Whether `who` may sign at all: who holds the role everywhere, as long as log reviews are asked for.
///
/// # Errors
/// A refusal, or what must be loaded first.
pub fn may_sign(world: &World, who: &PersonId) -> Result<Schedule, Halt> {
    let schedule = world.log_review()?.schedule.as_ref();
    let schedule = schedule.ok_or(Refusal::NoLogReview)?;
    let role = &schedule.role;
    if !world.person(who)?.holds(role, None) {
        return Err(Refusal::NoSlot {
            roles: role.to_string(),
        }
        .into());
    }
    // Whoever cannot read all of it has examined nothing.
    authorise(
        world,
        &Caller::new(Actor::Person(who.clone())),
        Right::Read,
        None,
    )?;
    Ok(schedule.clone())
}

/// Why `who` may not sign for what was examined, if so: nobody examines what they themselves did to the house. A
/// sandbox has one person, who may.
///
/// # Errors
/// [`Halt::Need`] when something must be loaded first.
pub fn own_act<'a>(
    world: &World,
    examined: &'a Examined,
    who: &PersonId,
) -> Result<Option<&'a Act>, Halt> {
    if world.org()?.sandbox {
        return Ok(None);
    }
    Ok(examined.act_of(who))
}

pub(crate) fn sign(
    world: &World,
    caller: &Caller,
    sign: &SignLogReview,
    now: Timestamp,
) -> Result<Decided, Halt> {
    let signer = person::signer(world, caller)?.clone();
    let schedule = may_sign(world, &signer)?;
    let state = world.log_review()?;
    if sign.from != state.examined {
        let problem = format!(
            "the next range begins at entry {}, where the last one that was signed ends, not at {}",
            state.examined, sign.from
        );
        return Err(Refusal::LogRange { problem }.into());
    }
    let examined = world.examined(&span(world, sign.size)?)?;
    if let Some(open) = &state.open
        && examined.due_since() != Some(open.since)
    {
        let problem = "it must reach to the entry by which this review became due".to_owned();
        return Err(Refusal::LogRange { problem }.into());
    }
    let record = examined.record();
    if sign.record != record {
        return Err(Refusal::StaleRecord {
            signed: sign.record,
            now: record,
        }
        .into());
    }
    if sign.root != examined.root() {
        return Err(not_those(sign.size).into());
    }
    if let Some(act) = own_act(world, examined, &signer)? {
        return Err(Refusal::OwnActs {
            what: act.matter,
            entry: act.entry,
        }
        .into());
    }
    let grade = if caller.reauthenticated {
        Grade::Part11
    } else {
        Grade::Recorded
    };
    if grade < schedule.grade {
        return Err(Refusal::GradeTooLow {
            needed: schedule.grade,
        }
        .into());
    }
    let signed = LogReviewed {
        person: signer,
        role: schedule.role.clone(),
        from: sign.from,
        size: sign.size,
        root: examined.root(),
        record,
        until: examined.until(),
        finding: sign.finding,
        reason: sign.reason,
        meaning: meaning(sign.finding).to_owned(),
        grade,
        next: due_after(examined.until(), &schedule, now),
    };
    Ok(vec![(Stream::LogReview, signed.into())])
}
