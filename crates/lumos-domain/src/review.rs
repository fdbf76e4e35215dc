//! The human part: a review, who has signed, the approval it ends in, and its revocation.
//!
//! `review/open.rs` decides how heavy a review is and opens it; this file holds its state and what people do.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::{
    actor::{Actor, Caller},
    event::{
        ApprovalExpired, ApprovalRevoked, CurrentReleaseSet, Event, ReleaseApproved, Remarked,
        ReviewClosed, ReviewEscalated, Signed,
    },
    facts::{ApprovalTuple, Cause, ReviewRecord},
    id::{Digest, PersonId, ReleaseId, ReviewId, RoleName},
    person,
    refusal::{Duty, Refusal},
    release,
    rules::Slot,
    seal::Sealed,
    stream::Stream,
    words::{Grade, Verdict},
    world::{Decided, Halt, World},
};

mod open;

pub(crate) use open::open;
pub use open::{Outlook, outlook};

/// The timer key under which an undecided review escalates.
pub const OVERDUE: &str = "overdue";
/// The timer key under which a review with a critical gap escalates.
pub const CRITICAL: &str = "critical";

/// The timer key under which an approval ends.
pub const EXPIRY: &str = "expiry";

/// The state of stream `review/M/V/ENV/ROUND`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Review {
    /// What is decided upon; `None` before it opens.
    pub record: Option<ReviewRecord>,
    /// The hash of the record, which people sign.
    pub record_hash: Option<Digest>,
    /// Seats added by escalation.
    pub escalated_to: Vec<RoleName>,
    /// Signatures on any record of this review, in order.
    pub votes: Vec<Vote>,
    /// The approval this review ended in.
    pub approval: Option<ApprovalTuple>,
    /// Why the approval ended early.
    pub revoked: Option<Cause>,
    /// Whether the end of the approval was recorded.
    pub expired: bool,
    /// Why the review ended without approval.
    pub closed: Option<Cause>,
}

/// One signature as rules see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vote {
    /// Who signed.
    pub person: PersonId,
    /// The slot it fills.
    pub slot: Option<RoleName>,
    /// What was said.
    pub verdict: Verdict,
    /// How it was made.
    pub grade: Grade,
    /// The record that was signed.
    pub record: Digest,
}

impl Review {
    /// Whether people can still sign.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.record.is_some() && self.approval.is_none() && self.closed.is_none()
    }

    /// The approval, if it holds at `now` by its own terms. Whether its sandbox was left is asked where
    /// the organisation is at hand: [`approved`].
    ///
    /// # Errors
    /// Why it does not hold.
    pub fn live(&self, now: Timestamp) -> Result<&ApprovalTuple, Refusal> {
        let problem = |text: String| Refusal::NoApproval { problem: text };
        let tuple = self
            .approval
            .as_ref()
            .ok_or_else(|| problem("the review has not ended in one".into()))?;
        if let Some(cause) = &self.revoked {
            return Err(problem(format!("it was revoked: {}", cause.as_str())));
        }
        if now >= tuple.expires {
            return Err(problem(format!("it expired at {}", tuple.expires)));
        }
        Ok(tuple)
    }

    /// The seats of this review: the record's slots and those added by escalation.
    #[must_use]
    pub fn seats(&self) -> Vec<Slot> {
        let slots = || self.record.iter().flat_map(|record| &record.slots);
        // A role that sits in the review already is not asked for a second person by escalation.
        let missing = self
            .escalated_to
            .iter()
            .filter(|role| slots().all(|slot| slot.role != **role));
        let senior = missing.map(|role| Slot {
            role: role.clone(),
            count: 1,
            grade: Grade::Recorded,
        });
        slots().cloned().chain(senior).collect()
    }

    /// Approving signatures on the record as it stands now.
    pub fn approvals(&self) -> impl Iterator<Item = &Vote> {
        self.votes.iter().filter(|vote| {
            vote.verdict == Verdict::Approve && Some(vote.record) == self.record_hash
        })
    }

    pub(crate) fn apply(&mut self, event: &Event) {
        match event {
            Event::ReviewOpened(e) => self.set_record(&e.record),
            Event::ReviewRecordChanged(e) => self.set_record(&e.record),
            Event::ReviewEscalated(e) => self.escalated_to.push(e.role.clone()),
            Event::Signed(e) => self.votes.push(Vote {
                person: e.person.clone(),
                slot: e.slot.clone(),
                verdict: e.verdict,
                grade: e.grade,
                record: e.record,
            }),
            Event::ReleaseApproved(e) => self.approval = Some(e.tuple.clone()),
            Event::ReviewClosed(e) => self.closed = Some(e.cause.clone()),
            Event::ApprovalRevoked(e) => self.revoked = Some(e.cause.clone()),
            Event::ApprovalExpired(_) => self.expired = true,
            _ => {}
        }
    }

    fn set_record(&mut self, record: &ReviewRecord) {
        self.record_hash = Some(record.hash());
        self.record = Some(record.clone());
    }
}

/// Why `person` may not approve this release, if so (DESIGN promise 6). A sandbox has one person, who may.
///
/// # Errors
/// [`Halt::Need`] when something must be loaded first.
pub fn duty(world: &World, release: &ReleaseId, who: &PersonId) -> Result<Option<Duty>, Halt> {
    if world.org()?.sandbox {
        return Ok(None);
    }
    let state = world.release(release)?;
    Ok(if state.submitter.as_ref() == Some(who) {
        Some(Duty::Submitter)
    } else if state.authors.contains(who) {
        Some(Duty::Author)
    } else if world.model(&release.model)?.data_owner.as_ref() == Some(who) {
        Some(Duty::DataOwner)
    } else {
        None
    })
}

/// The seats still free, counting only signers who may sign now: roles held, duties separate, distinct.
///
/// # Errors
/// [`Halt::Need`] when something must be loaded first.
pub fn free_seats(world: &World, id: &ReviewId) -> Result<Vec<Slot>, Halt> {
    let review = world.review(id)?;
    let model = world.model(&id.model)?;
    let release = id.release();
    let mut seats: BTreeMap<RoleName, Slot> = BTreeMap::new();
    for slot in review.seats() {
        let seat = seats.entry(slot.role.clone()).or_insert(Slot {
            count: 0,
            ..slot.clone()
        });
        seat.count += slot.count;
        seat.grade = seat.grade.max(slot.grade);
    }
    let mut counted = BTreeSet::new();
    for vote in review.approvals() {
        let Some(seat) = vote.slot.as_ref().and_then(|role| seats.get_mut(role)) else {
            continue;
        };
        let signer = world.person(&vote.person)?;
        let may = signer.is_active_human()
            && signer.holds(&seat.role, Some((&id.model, model)))
            && duty(world, &release, &vote.person)?.is_none()
            && vote.grade >= seat.grade;
        if may && counted.insert(vote.person.clone()) {
            seat.count = seat.count.saturating_sub(1);
        }
    }
    Ok(seats.into_values().filter(|seat| seat.count > 0).collect())
}

/// A signature to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sign {
    /// The review.
    pub review: ReviewId,
    /// What is said.
    pub verdict: Verdict,
    /// The slot to fill; chosen among the signer's own when not given.
    pub slot: Option<RoleName>,
    /// Why.
    pub reason: Sealed,
    /// The hash of the record the signer saw.
    pub record: Digest,
}

pub(crate) fn sign(
    world: &World,
    caller: &Caller,
    sign: &Sign,
    now: Timestamp,
) -> Result<Decided, Halt> {
    let signer = person::signer(world, caller)?.clone();
    let release = release::active(world, &sign.review.release())?;
    let review = world.review(&sign.review)?;
    let (true, Some(record), Some(hash)) = (review.is_open(), &review.record, review.record_hash)
    else {
        return Err(Refusal::ReviewNotOpen.into());
    };
    if sign.record != hash {
        return Err(Refusal::StaleRecord {
            signed: sign.record,
            now: hash,
        }
        .into());
    }
    if review
        .votes
        .iter()
        .any(|vote| vote.person == signer && vote.record == hash)
    {
        return Err(Refusal::AlreadySigned.into());
    }
    let grade = if caller.reauthenticated {
        Grade::Part11
    } else {
        Grade::Recorded
    };
    let slot = match sign.verdict {
        Verdict::Approve => Some(approving_slot(
            world, sign, &signer, record, release, grade, now,
        )?),
        Verdict::Reject | Verdict::RequestChanges => {
            seated(world, &sign.review, &signer)?;
            None
        }
    };
    let signed = Signed {
        person: signer,
        slot,
        verdict: sign.verdict,
        reason: sign.reason,
        meaning: meaning(sign.verdict).to_owned(),
        grade,
        record: hash,
    };
    let stream = Stream::Review(sign.review.clone());
    let mut events: Decided = vec![(stream.clone(), signed.into())];
    if sign.verdict == Verdict::Approve {
        let mut after = world.clone();
        after.advance(&events);
        if free_seats(&after, &sign.review)?.is_empty() {
            events.extend(approve(world, &sign.review, record, None, now)?);
        }
    } else {
        let rejected = sign.verdict == Verdict::Reject;
        let cause = if rejected {
            Cause::Rejected
        } else {
            Cause::ChangesRequested
        };
        events.push((stream, ReviewClosed { cause }.into()));
    }
    Ok(events)
}

/// What a signature with this verdict means, as it is printed (21 CFR 11.50).
#[must_use]
pub const fn meaning(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Approve => "I reviewed this record and approve that the release runs as it says",
        Verdict::Reject => "I reviewed this record and reject the release",
        Verdict::RequestChanges => {
            "I reviewed this record and ask for changes before it is decided"
        }
    }
}

/// Everything that must hold before an approving signature counts, and the slot it fills.
#[expect(
    clippy::too_many_arguments,
    reason = "one check over everything that was loaded for it"
)]
fn approving_slot(
    world: &World,
    sign: &Sign,
    signer: &PersonId,
    record: &ReviewRecord,
    release: &release::Release,
    grade: Grade,
    now: Timestamp,
) -> Result<RoleName, Halt> {
    if let Some(duty) = duty(world, &sign.review.release(), signer)? {
        return Err(Refusal::SeparationOfDuties { duty }.into());
    }
    approvable(world, &sign.review, record, release, now)?;
    let model = world.model(&sign.review.model)?;
    let who = world.person(signer)?;
    let free = free_seats(world, &sign.review)?;
    let mut mine = free.iter().filter(|slot| {
        who.holds(&slot.role, Some((&sign.review.model, model)))
            && sign.slot.as_ref().is_none_or(|wanted| *wanted == slot.role)
    });
    let Some(slot) = mine.next() else {
        let roles: Vec<_> = free.iter().map(|slot| slot.role.to_string()).collect();
        return Err(Refusal::NoSlot {
            roles: roles.join(", "),
        }
        .into());
    };
    if grade < slot.grade {
        return Err(Refusal::GradeTooLow { needed: slot.grade }.into());
    }
    Ok(slot.role.clone())
}

/// Refuses when this record cannot be approved by anybody now.
fn approvable(
    world: &World,
    id: &ReviewId,
    record: &ReviewRecord,
    release: &release::Release,
    now: Timestamp,
) -> Result<(), Halt> {
    if record.test {
        return Err(Refusal::TestRelease.into());
    }
    if !record.blocking.is_empty() {
        return Err(Refusal::Blocked {
            rules: record.blocking.join(", "),
        }
        .into());
    }
    if !release.open_claims.is_empty() || release.authors.is_empty() {
        return Err(Refusal::UnclaimedAuthor {
            open: release.open_claims.len().max(1),
        }
        .into());
    }
    // Whatever made the record heavier since (evidence, a report, a tier, rules, a revoked base, a left
    // sandbox) is not signed past: the record is computed anew and must be the one that was signed.
    let fresh = open::pinned_record(world, &id.release(), &record.environment, now)?;
    if fresh != *record {
        let (signed, now) = (record.hash(), fresh.hash());
        return Err(Refusal::StaleRecord { signed, now }.into());
    }
    open::gate_is_open(world, &id.release(), record, now)
}

/// Refuses a person who holds none of the review's roles.
fn seated(world: &World, id: &ReviewId, who: &PersonId) -> Result<(), Halt> {
    let review = world.review(id)?;
    let model = world.model(&id.model)?;
    let person = world.person(who)?;
    let seats = review.seats();
    if seats
        .iter()
        .any(|slot| person.holds(&slot.role, Some((&id.model, model))))
    {
        return Ok(());
    }
    let roles: Vec<_> = seats.iter().map(|slot| slot.role.to_string()).collect();
    Err(Refusal::NoSlot {
        roles: roles.join(", "),
    }
    .into())
}

/// The events of an approval: the tuple, and what the environment runs when no agent is named.
fn approve(
    world: &World,
    id: &ReviewId,
    record: &ReviewRecord,
    auto: Option<String>,
    now: Timestamp,
) -> Result<Decided, Halt> {
    let org = world.org()?;
    let rules = org.rules()?;
    let days = rules
        .depths
        .get(&record.depth)
        .map_or(1, |rule| rule.approval_days);
    let tuple = ApprovalTuple {
        release: id.release(),
        digest: record.digest,
        bundles: record.bundles.clone(),
        report: record.report,
        environment: record.environment.clone(),
        agents: record.agents.clone(),
        expires: now + jiff::SignedDuration::from_hours(i64::from(days) * 24),
        sandbox: record.sandbox,
    };
    let current = CurrentReleaseSet {
        environment: record.environment.clone(),
        release: id.release(),
        digest: record.digest,
        approval: id.clone(),
    };
    Ok(vec![
        (
            Stream::Review(id.clone()),
            ReleaseApproved { tuple, auto }.into(),
        ),
        (Stream::Model(id.model.clone()), current.into()),
    ])
}

/// Whether the review `id` came to no approval that holds at `now`.
pub(crate) fn ended(world: &World, id: &ReviewId, now: Timestamp) -> Result<bool, Halt> {
    match approved(world, id, now) {
        Ok(_) => Ok(false),
        Err(Halt::Refused(_)) => Ok(true),
        Err(need @ Halt::Need(_)) => Err(need),
    }
}

/// The approval `id` ended in, if it holds at `now` in this organisation and duties were kept: what every
/// use of an approval asks (DESIGN promises 4 and 6).
///
/// # Errors
/// Why it does not hold, or what must be loaded first.
pub fn approved<'a>(
    world: &'a World,
    id: &ReviewId,
    now: Timestamp,
) -> Result<&'a ApprovalTuple, Halt> {
    let review = world.review(id)?;
    let tuple = review.live(now)?;
    let no = |problem: String| Halt::from(Refusal::NoApproval { problem });
    if tuple.sandbox != world.org()?.sandbox {
        return Err(no("it was given in a sandbox that was left".into()));
    }
    if world.release(&tuple.release)?.digest != Some(tuple.digest) {
        return Err(no("the release is not the one that was approved".into()));
    }
    for vote in review.approvals() {
        if let Some(duty) = duty(world, &tuple.release, &vote.person)? {
            return Err(no(format!("a signer turned out to be {duty}")));
        }
    }
    Ok(tuple)
}

pub(crate) fn remark(world: &World, id: &ReviewId, text: Sealed) -> Result<Decided, Halt> {
    if world.review(id)?.record.is_none() {
        return Err(Refusal::ReviewNotOpen.into());
    }
    Ok(vec![(Stream::Review(id.clone()), Remarked { text }.into())])
}

pub(crate) fn revoke(
    world: &World,
    caller: &Caller,
    id: &ReviewId,
    cause: &Cause,
    reason: Option<Sealed>,
) -> Result<Decided, Halt> {
    let review = world.review(id)?;
    let Some(tuple) = &review.approval else {
        return Err(Refusal::NoApproval {
            problem: "the review has not ended in one".into(),
        }
        .into());
    };
    if review.revoked.is_some() {
        return Ok(Vec::new());
    }
    // An own agent revokes only what follows from a fact in the ledger; a person states a reason.
    let cause = match &caller.actor {
        Actor::Agent(_)
            if *cause == Cause::SandboxLeft && tuple.sandbox && !world.org()?.sandbox =>
        {
            Cause::SandboxLeft
        }
        Actor::Person(_) if reason.is_some() => Cause::Person,
        Actor::Person(_) => return Err(Refusal::Empty { what: "reason" }.into()),
        _ => return Err(Refusal::NotAPerson.into()),
    };
    Ok(vec![(
        Stream::Review(id.clone()),
        ApprovalRevoked { cause, reason }.into(),
    )])
}

/// A timer came due. Nothing is approved by a timeout: the only consequence is escalation.
pub(crate) fn timer_due(
    world: &World,
    stream: &Stream,
    key: &str,
    now: Timestamp,
) -> Result<Decided, Halt> {
    let Stream::Review(id) = stream else {
        return Ok(Vec::new());
    };
    let review = world.review(id)?;
    if key == EXPIRY {
        return Ok(expired(stream, review, now));
    }
    let (true, Some(record)) = (review.is_open(), &review.record) else {
        return Ok(Vec::new());
    };
    let cause = match key {
        CRITICAL if !record.critical.is_empty() => Cause::CriticalGap,
        OVERDUE => Cause::Overdue,
        _ => return Ok(Vec::new()),
    };
    let role = world.org()?.rules()?.senior_role.clone();
    if review.escalated_to.contains(&role) {
        return Ok(Vec::new());
    }
    Ok(vec![(
        stream.clone(),
        ReviewEscalated { role, cause }.into(),
    )])
}

/// Nothing is decided by this entry: whoever uses an approval looks at the clock. It wakes the agents.
fn expired(stream: &Stream, review: &Review, now: Timestamp) -> Vec<(Stream, Event)> {
    let ended = review
        .approval
        .as_ref()
        .filter(|tuple| tuple.expires <= now && review.revoked.is_none() && !review.expired);
    let event = |tuple: &ApprovalTuple| ApprovalExpired { at: tuple.expires }.into();
    ended
        .map(|tuple| (stream.clone(), event(tuple)))
        .into_iter()
        .collect()
}
