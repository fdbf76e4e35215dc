//! Reading in bulk is itself an entry (45 CFR 164.312(b)): evidence packs, exports, verifications, answers that name
//! people. A page view is none. Which is which, and why, is decision 17.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;
use lumos_domain::{
    actor::Actor,
    command::Command,
    event::ReadingRecorded,
    id::{ModelName, PersonId},
    words::Reading,
};
use lumos_engine::secret;

use crate::{
    app::{App, Once},
    auth::SignedIn,
    pack::turns::Turns,
    problem::Problem,
};

/// Seconds in which what somebody reads again is the same reading.
const WINDOW_S: i64 = 3_600;

/// What is read in bulk.
#[derive(Debug, Default)]
pub struct Readings {
    /// Who read what in the hour that runs, where a reading is many requests.
    seen: Mutex<BTreeMap<(PersonId, Reading, String), i64>>,
    /// Whose turn it is to have the log looked through for its review.
    pub(crate) looks: Turns,
}

/// The first reading of its kind in an hour. Unless it is kept, it is forgotten when it is dropped: what was not recorded,
/// because nothing could be written or the reader went away, is still to be recorded.
struct First<'a> {
    readings: &'a Readings,
    key: Option<(PersonId, Reading, String)>,
}

impl Readings {
    /// Takes note of a reading, if it is the first of its kind in the hour.
    fn first(&self, key: (PersonId, Reading, String), now: Timestamp) -> Option<First<'_>> {
        let hour = now.as_second().div_euclid(WINDOW_S);
        // A map is whole after every step: a thread that broke left nothing half done.
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|_, at| *at == hour);
        let is_first = seen.insert(key.clone(), hour).is_none();
        // Made only if it is the first: dropped, it would forget the reading that was.
        is_first.then(|| First {
            readings: self,
            key: Some(key),
        })
    }
}

impl First<'_> {
    fn keep(mut self) {
        self.key = None;
    }
}

impl Drop for First<'_> {
    fn drop(&mut self) {
        if let Some(key) = &self.key {
            let seen = &self.readings.seen;
            seen.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(key);
        }
    }
}

/// Records a reading.
///
/// # Errors
/// When the reader may not read that, or nothing can be recorded.
pub(crate) async fn record(
    app: &App,
    who: &SignedIn,
    reading: ReadingRecorded,
) -> Result<u64, Problem> {
    let once = Once(secret::command_id(&*app.door.ports().entropy)?);
    let command = Command::RecordReading(reading);
    let outcome = app
        .submit(who.caller.clone(), once, command, Vec::new())
        .await?;
    Ok(outcome.appended.map_or(0, |appended| appended.first))
}

/// Records a reading that is many requests, an answer to one, or what a client says that it is about to read: the first in
/// an hour of what `of` tells from others, so that nobody makes the ledger grow by reading. The entry; nothing for a
/// repeated one.
///
/// # Errors
/// When the reader may not read that, or nothing can be recorded.
async fn once_an_hour(
    app: &App,
    who: &SignedIn,
    reading: ReadingRecorded,
    of: String,
) -> Result<Option<u64>, Problem> {
    let (Actor::Person(person) | Actor::Service(person)) = &who.caller.actor else {
        return Ok(None);
    };
    let key = (person.clone(), reading.reading, of);
    let Some(first) = app.readings.first(key, app.door.ports().clock.now()) else {
        return Ok(None);
    };
    let entry = record(app, who, reading).await?;
    first.keep();
    Ok(Some(entry))
}

/// Records what a client declares: each time, but not again while there is still the same checkpoint to read, or declaring
/// would be all that makes the ledger grow. What it covers is no further reading.
///
/// # Errors
/// When the reader may not read that, or nothing can be recorded.
pub(crate) async fn declare(
    app: &App,
    who: &SignedIn,
    reading: ReadingRecorded,
    (kind, about): (Reading, &str),
) -> Result<Option<u64>, Problem> {
    let of = format!("{} at {}", reading.about, app.checkpoint().size);
    let entry = once_an_hour(app, who, reading, of).await?;
    if entry.is_some() {
        let key = (who.person.person.clone(), kind, about.to_owned());
        let covered = app.readings.first(key, app.door.ports().clock.now());
        covered.into_iter().for_each(First::keep);
    }
    Ok(entry)
}

/// Records a reading that goes on whatever happens: what is read stays readable where nothing can be written, above all
/// the proof of the ledger. Then the log says that it is not recorded.
pub(crate) async fn note(app: &App, who: &SignedIn, reading: Reading, about: &str) {
    let recorded = ReadingRecorded {
        reading,
        about: about.to_owned(),
        model: None::<ModelName>,
        size: app.published.borrow().size,
        digest: None,
    };
    if let Err(problem) = once_an_hour(app, who, recorded, about.to_owned()).await {
        tracing::error!(
            code = problem.code,
            reading = reading.as_str(),
            "something was read and it could not be recorded"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_recorded_is_still_to_be_recorded() {
        let readings = Readings::default();
        let key = |about: &str| {
            let person: PersonId = "p-1".parse().unwrap();
            (person, Reading::Tiles, about.to_owned())
        };
        let noon: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        // Its reader went away before it was written.
        drop(readings.first(key("entries"), noon).unwrap());
        readings.first(key("entries"), noon).unwrap().keep();
        // Said again, twice: it is not forgotten by being asked.
        assert!(readings.first(key("entries"), noon).is_none());
        assert!(readings.first(key("entries"), noon).is_none());
        assert!(readings.first(key("names"), noon).is_some());
        let later = noon + jiff::SignedDuration::from_hours(1);
        assert!(readings.first(key("entries"), later).is_some());
    }
}
