//! The clock as a part of the record: what keeps it, and when it did not go on evenly (21 CFR 11.10(e); requirement A6).
//! Every entry carries a time from it, and so does every end of an approval, so an auditor is told when not to believe it.

use jiff::{SignedDuration, Timestamp};

use crate::{
    event::{ClockSourceNamed, ClockStepped},
    log_review,
    refusal::Refusal,
    stream::Stream,
    world::{Decided, Halt, World},
};

/// What is not yet a step: the skew between replicas, and what a time daemon corrects at once.
pub const TOLERANCE: SignedDuration = SignedDuration::from_secs(5);

/// Characters of the name of a source that are kept.
const SOURCE_MAX: usize = 512;

/// Whether a clock that should show `expected` and shows `found` has been set, or stood still.
#[must_use]
pub fn has_stepped(expected: Timestamp, found: Timestamp) -> bool {
    found.duration_since(expected).abs() > TOLERANCE
}

/// Whether a clock that shows `found` is behind the time `last` of the last entry, by which it must not be.
#[must_use]
pub fn is_behind(last: Timestamp, found: Timestamp) -> bool {
    last.duration_since(found) > TOLERANCE
}

/// Names what keeps the clock; the same again is no news.
pub(crate) fn name_source(world: &World, source: &str) -> Result<Decided, Halt> {
    let org = world.org()?;
    if org.founders.is_empty() {
        return Err(Refusal::NotFounded.into());
    }
    let plain = source.chars().filter(|c| !c.is_control());
    let source: String = plain.take(SOURCE_MAX).collect();
    if org.clock_source.as_deref() == Some(&source) {
        return Ok(Vec::new());
    }
    let named = ClockSourceNamed { source };
    Ok(vec![(Stream::Org, named.into())])
}

/// Records that the clock did not go on evenly.
pub(crate) fn record_step(
    world: &World,
    expected: Timestamp,
    found: Timestamp,
) -> Result<Decided, Halt> {
    if world.org()?.founders.is_empty() {
        return Err(Refusal::NotFounded.into());
    }
    if !has_stepped(expected, found) {
        return Ok(Vec::new());
    }
    let stepped = ClockStepped { expected, found };
    let mut decided = vec![(Stream::Org, stepped.into())];
    if found < expected {
        decided.extend(log_review::set_back(world, found)?);
    }
    Ok(decided)
}
