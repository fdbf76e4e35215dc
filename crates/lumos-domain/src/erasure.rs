//! Erasing a person: their name and words become unreadable, every proof stays (DESIGN promise 9). An erasure is
//! asked for by two people, waits until no record needs the name and no hold keeps it, and is carried out by the
//! clock. A duty to keep comes before the wish to be erased (GDPR 17(3)(b); docs/decisions/0013).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    actor::Caller,
    event::{ErasureCarriedOut, ErasurePostponed, ErasureRequested, ErasureWithdrawn, Event},
    id::{HoldId, PersonId},
    person,
    refusal::Refusal,
    retention::after,
    seal::Sealed,
    stream::Stream,
    words::RecordClass,
    world::{Decided, Halt, World},
};

mod records;

pub use records::{Entry, Record, Records, names, sealed};

/// The timer key under which a waiting erasure is looked at.
pub const ERASURE: &str = "erasure";

/// After how many days an erasure is looked at again that nobody can say the end of: a hold has no end, and a rule
/// may stay in force.
pub const LOOK_AGAIN_DAYS: u32 = 30;

/// What keeps a person's name readable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// The record in which the name stands.
    pub record: Stream,
    /// Its class, whose period holds.
    pub class: RecordClass,
    /// When its period ends; absent while it is in effect, or held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// The hold that keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<HoldId>,
}

/// Everything that keeps `id` readable at `now`, the longest first; empty when nothing does.
///
/// # Errors
/// [`Halt::Need`] when something must be loaded first.
pub fn kept(world: &World, id: &PersonId, now: Timestamp) -> Result<Vec<Kept>, Halt> {
    let org = world.org()?;
    let mut all = Vec::new();
    for record in world.records(id)?.of_streams() {
        let hold = |hold: &HoldId| Kept {
            record: record.stream.clone(),
            class: record.class,
            until: None,
            hold: Some(hold.clone()),
        };
        let holds = org.holds.iter();
        let holds = holds.filter(|(_, scope)| scope.covers(id, &record.stream));
        all.extend(holds.map(|(id, _)| hold(id)));
        let days = org.retention_days(record.class);
        let until = record.ended.map(|ended| after(ended, days));
        if until.is_none_or(|until| now < until) {
            all.push(Kept {
                record: record.stream.clone(),
                class: record.class,
                until,
                hold: None,
            });
        }
    }
    let order = |kept: &Kept| (kept.hold.is_none(), kept.until.is_some());
    all.sort_by(|a, b| order(a).cmp(&order(b)).then(b.until.cmp(&a.until)));
    Ok(all)
}

/// When an erasure kept by `first` is looked at.
fn due(first: Option<&Kept>, now: Timestamp) -> Timestamp {
    match first {
        None => now,
        Some(kept) => kept.until.unwrap_or_else(|| after(now, LOOK_AGAIN_DAYS)),
    }
}

/// Asks that a person be erased. They must not act any more: whoever could still sign has a name.
pub(crate) fn request(
    world: &World,
    id: &PersonId,
    reason: Sealed,
    now: Timestamp,
) -> Result<Decided, Halt> {
    let person = person::existing(world, id)?;
    if !person.suspended {
        return Err(Refusal::StillActive.into());
    }
    let kept = kept(world, id, now)?.into_iter().next();
    let due = due(kept.as_ref(), now);
    if person.erasure.is_some_and(|waiting| waiting <= due) {
        return Ok(Vec::new());
    }
    let requested = ErasureRequested { reason, due, kept };
    Ok(vec![(Stream::Person(id.clone()), requested.into())])
}

/// Takes a waiting erasure back.
pub(crate) fn withdraw(world: &World, id: &PersonId, reason: Sealed) -> Result<Decided, Halt> {
    if person::existing(world, id)?.erasure.is_none() {
        let name = id.to_string();
        let what = "waiting erasure of person";
        return Err(Refusal::Unknown { what, name }.into());
    }
    let stream = Stream::Person(id.clone());
    Ok(vec![(stream, ErasureWithdrawn { reason }.into())])
}

/// A waiting erasure came due: it happens, or waits on for what keeps the name now.
pub(crate) fn timer_due(world: &World, id: &PersonId, now: Timestamp) -> Result<Decided, Halt> {
    let waiting = world.person(id)?.erasure;
    if waiting.is_none_or(|due| now < due) {
        return Ok(Vec::new());
    }
    let first = kept(world, id, now)?.into_iter().next();
    let event: Event = match first {
        Some(kept) => {
            let due = due(Some(&kept), now);
            ErasurePostponed { due, kept }.into()
        }
        None => {
            let records = world.records(id)?;
            let digest = records.digest();
            let values = u32::try_from(records.values().len()).unwrap_or(u32::MAX);
            ErasureCarriedOut { values, digest }.into()
        }
    };
    Ok(vec![(Stream::Person(id.clone()), event)])
}

/// Nobody asks for their own erasure here, whatever they hold: a duty to keep is not theirs to waive.
pub(crate) fn not_oneself(caller: &Caller, id: &PersonId) -> Result<(), Halt> {
    if caller.person() == Some(id) {
        return Err(Refusal::OwnErasure.into());
    }
    Ok(())
}
