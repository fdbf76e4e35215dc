//! Fires what is due. A timer only asks; `decide` answers.

use lumos_domain::{
    actor::{Actor, Caller},
    command::Command,
    id::Digest,
};
use tokio::sync::watch;

use super::{LOOK_AGAIN, stopped};
use crate::{
    door::{Door, DoorError, Request},
    ports::PortError,
    views::timers,
};

/// Looks at the timers until `stop` turns true; when the store fails, it looks again later.
pub(super) async fn watch(door: Door, mut stop: watch::Receiver<bool>) -> Result<(), PortError> {
    loop {
        if let Err(failed) = fire_due(&door).await {
            tracing::error!(problem = %failed, source = %failed.source, "the timers could not be looked at; they will be again");
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_AGAIN) => {}
            () = stopped(&mut stop) => return Ok(()),
        }
    }
}

/// Asks `decide` about each timer that is due. Nothing is approved by a timeout.
///
/// # Errors
/// When the store fails.
pub async fn fire_due(door: &Door) -> Result<(), PortError> {
    let store = &door.ports().store;
    for timer in timers::due(&**store, door.ports().clock.now()).await? {
        let id = format!("timer.{}.{}", timer.due.as_microsecond(), short(&timer));
        let id = id
            .parse()
            .map_err(|source| PortError::new("naming a timer's command", source))?;
        let command = Command::TimerDue {
            stream: timer.stream.clone(),
            key: timer.key.clone(),
        };
        let caller = Caller::new(Actor::Clock);
        match door.submit(Request::new(caller, id, command)).await {
            Ok(_) | Err(DoorError::Refused(_)) => {}
            Err(DoorError::Busy | DoorError::ReadOnly(_) | DoorError::OtherVersion) => continue,
            Err(DoorError::Store(failed)) => return Err(failed),
            Err(error) => {
                tracing::warn!(stream = %timer.stream, problem = %error, "a timer led to nothing");
            }
        }
        store.execute(vec![timers::fired(&timer)]).await?;
    }
    Ok(())
}

fn short(timer: &timers::Due) -> String {
    let name = format!("{} {}", timer.stream, timer.key);
    Digest::of(name.as_bytes()).hex()[..32].to_owned()
}
