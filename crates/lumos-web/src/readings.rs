//! Reading in bulk is itself an entry (45 CFR 164.312(b)): evidence packs, exports, verifications, answers that name
//! people. A page view is none. Which is which, and why, is decision 17.

use std::{collections::BTreeMap, sync::Mutex};

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
    problem::Problem,
};

/// Seconds in which what somebody reads again is the same reading.
const WINDOW_S: i64 = 3_600;

/// Who read what in the hour that runs, where a reading is many requests.
#[derive(Debug, Default)]
pub struct Readings(Mutex<BTreeMap<(PersonId, Reading, String), i64>>);

impl Readings {
    /// Whether this is the first of its kind in the hour; it is noted.
    fn is_first(&self, key: (PersonId, Reading, String), now: Timestamp) -> bool {
        let hour = now.as_second().div_euclid(WINDOW_S);
        let Ok(mut seen) = self.0.lock() else {
            return true;
        };
        seen.retain(|_, at| *at == hour);
        seen.insert(key, hour).is_none()
    }

    fn forget(&self, key: &(PersonId, Reading, String)) {
        if let Ok(mut seen) = self.0.lock() {
            seen.remove(key);
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

/// Records what a client says that it is about to read: the first of its kind in an hour, so that nobody makes the
/// ledger grow by saying it. Only then is what follows no further reading. The entry; nothing for a repeated word.
///
/// # Errors
/// When the reader may not read that, or nothing can be recorded.
pub(crate) async fn declare(
    app: &App,
    who: &SignedIn,
    reading: ReadingRecorded,
    covers: (Reading, &str),
) -> Result<Option<u64>, Problem> {
    let (Actor::Person(person) | Actor::Service(person)) = &who.caller.actor else {
        return Ok(None);
    };
    let now = app.door.ports().clock.now();
    let key = (person.clone(), reading.reading, reading.about.clone());
    if !app.readings.is_first(key.clone(), now) {
        return Ok(None);
    }
    match record(app, who, reading).await {
        Ok(entry) => {
            let covered = (person.clone(), covers.0, covers.1.to_owned());
            app.readings.is_first(covered, now);
            Ok(Some(entry))
        }
        Err(problem) => {
            app.readings.forget(&key);
            Err(problem)
        }
    }
}

/// Records a reading that is many requests, or an answer to one: the first of its kind in an hour. What is read stays
/// readable where nothing can be written, above all the proof of the ledger: then the log says that it is not recorded.
pub(crate) async fn note(app: &App, who: &SignedIn, reading: Reading, about: &str) {
    let (Actor::Person(person) | Actor::Service(person)) = &who.caller.actor else {
        return;
    };
    let key = (person.clone(), reading, about.to_owned());
    if !app
        .readings
        .is_first(key.clone(), app.door.ports().clock.now())
    {
        return;
    }
    let recorded = ReadingRecorded {
        reading,
        about: about.to_owned(),
        model: None::<ModelName>,
        size: app.published.borrow().size,
        digest: None,
    };
    if let Err(problem) = record(app, who, recorded).await {
        app.readings.forget(&key);
        tracing::error!(
            code = problem.code,
            reading = reading.as_str(),
            "something was read and it could not be recorded"
        );
    }
}
