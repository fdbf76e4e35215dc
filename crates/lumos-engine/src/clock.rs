//! Watches the clock that every recorded time comes from. Another clock that nobody can set runs beside it; when the two do
//! not go on alike, that is an entry.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use lumos_domain::{
    actor::{Actor, Caller},
    clock::{has_stepped, is_behind},
    command::Command,
};
use tokio::sync::watch;

use crate::{
    Door, DoorError, Request,
    ports::{PortError, Store},
    record::LedgerEntry,
    runtime::stopped,
    secret,
};

/// How often it is looked at.
pub const PACE: Duration = Duration::from_secs(10);

/// How far the clock and the one that nobody can set are at one moment.
#[derive(Debug, Clone, Copy)]
struct Look {
    wall: Timestamp,
    steady: Duration,
}

impl Look {
    /// What the wall clock should show when the steady one shows `steady`.
    fn expected(&self, steady: Duration) -> Timestamp {
        let gone = SignedDuration::try_from(steady.saturating_sub(self.steady));
        gone.ok()
            .and_then(|gone| self.wall.checked_add(gone).ok())
            .unwrap_or(Timestamp::MAX)
    }
}

/// The time of the last entry: what the clock showed when something was written last. To be asked at a start before
/// anything is written.
///
/// # Errors
/// When it cannot be read.
pub async fn told(store: &dyn Store) -> Result<Option<Timestamp>, DoorError> {
    let size = store.frontier().await?.size();
    let last = store.entries(size.saturating_sub(1), 1).await?;
    let read = last.first().map(LedgerEntry::read).transpose()?;
    Ok(read.map(|entry| entry.time))
}

/// At a start: names what keeps the clock, and records that it is behind what it showed before, if it is.
///
/// # Errors
/// When nothing can be written.
pub async fn begin(door: &Door, told: Option<Timestamp>, source: String) -> Result<(), DoorError> {
    let found = door.ports().clock.now();
    if let Some(expected) = told.filter(|told| is_behind(*told, found)) {
        record(door, expected, found).await?;
    }
    submit(door, Command::NameClockSource { source }).await
}

/// Looks at every `pace` until the server stops. `steady` never goes back, whatever is set.
pub async fn run(
    door: Door,
    steady: impl Fn() -> Duration + Send,
    pace: Duration,
    mut stopping: watch::Receiver<bool>,
) {
    let look = || Look {
        wall: door.ports().clock.now(),
        steady: steady(),
    };
    let mut before = look();
    loop {
        tokio::select! {
            () = tokio::time::sleep(pace) => {}
            () = stopped(&mut stopping) => return,
        }
        let now = look();
        let expected = before.expected(now.steady);
        if has_stepped(expected, now.wall)
            && let Err(error) = record(&door, expected, now.wall).await
        {
            // Not given up: the next look compares with the same one again.
            tracing::warn!(%error, "a step of the clock could not be recorded");
            continue;
        }
        before = now;
    }
}

async fn record(door: &Door, expected: Timestamp, found: Timestamp) -> Result<(), DoorError> {
    tracing::warn!(%expected, %found, "the clock was set, or the machine stood still");
    submit(door, Command::RecordClockStep { expected, found }).await
}

async fn submit(door: &Door, command: Command) -> Result<(), DoorError> {
    let id = secret::command_id(&*door.ports().entropy)
        .map_err(|error| PortError::new("drawing the id of a command", error))?;
    let request = Request::new(Caller::new(Actor::Clock), id, command);
    door.submit(request).await.map(|_| ())
}
