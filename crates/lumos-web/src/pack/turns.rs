//! Whose turn it is to have something made that reads much: an evidence pack, or what there is to examine in the log. One
//! is made at a time; few may wait, and nobody with more than two requests, so that no person keeps all others out.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use lumos_domain::id::PersonId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::problem::Problem;

/// Requests that wait or are served, everybody's together.
const ALL_MAX: usize = 16;
/// The same of one person: a pack, and a page that shows one.
const OWN_MAX: usize = 2;
/// After how many seconds it is worth asking again.
const AGAIN_S: u32 = 10;

/// The turns of one server.
#[derive(Debug, Clone)]
pub struct Turns {
    one: Arc<Semaphore>,
    asked: Arc<Mutex<BTreeMap<PersonId, usize>>>,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            one: Arc::new(Semaphore::new(1)),
            asked: Arc::default(),
        }
    }
}

/// A turn, until it is dropped or what was made is sent.
#[derive(Debug)]
pub struct Turn {
    place: Place,
    _one: Option<OwnedSemaphorePermit>,
}

impl Turn {
    /// Makes way for the next one: what was made is only sent from here on. It takes room until all of it is, so the place
    /// is kept until then.
    #[must_use]
    pub fn made(self) -> Place {
        self.place
    }
}

/// A request that waits or is served, counted until it is dropped.
#[derive(Debug)]
pub struct Place {
    turns: Turns,
    who: PersonId,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut asked = self.turns.asked();
        if let Some(own) = asked.get_mut(&self.who) {
            *own -= 1;
            if *own == 0 {
                asked.remove(&self.who);
            }
        }
    }
}

impl Turns {
    /// Waits for a turn of `who`. A caller that goes away while it waits leaves its place to others.
    ///
    /// # Errors
    /// `busy` when too many wait, or `who` does with all that one person may.
    pub async fn take(&self, who: &PersonId) -> Result<Turn, Problem> {
        let place = self.place(who)?;
        // Never closed.
        let one = Arc::clone(&self.one).acquire_owned().await.ok();
        Ok(Turn { place, _one: one })
    }

    fn place(&self, who: &PersonId) -> Result<Place, Problem> {
        let mut asked = self.asked();
        let own = asked.get(who).copied().unwrap_or(0);
        if own >= OWN_MAX {
            let detail = "what you asked for before is still being made or sent; wait for it";
            return Err(Problem::busy(AGAIN_S, detail));
        }
        if asked.values().sum::<usize>() >= ALL_MAX {
            let detail =
                "what reads much of the ledger is made one at a time, and too many wait already";
            return Err(Problem::busy(AGAIN_S, detail));
        }
        asked.insert(who.clone(), own + 1);
        Ok(Place {
            turns: self.clone(),
            who: who.clone(),
        })
    }

    fn asked(&self) -> MutexGuard<'_, BTreeMap<PersonId, usize>> {
        // A count is whole after every step: a thread that broke left nothing half done.
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse as _;

    use super::*;

    fn person(n: usize) -> PersonId {
        format!("p-{n}").parse().unwrap()
    }

    /// A turn for whoever waits in `place`.
    async fn next_turn(turns: &Turns, place: Place) -> Turn {
        let who = place.who.clone();
        drop(place);
        turns.take(&who).await.unwrap()
    }

    #[tokio::test]
    async fn one_person_leaves_room_for_others_and_all_of_them_have_an_end() {
        let turns = Turns::default();
        let made = turns.take(&person(0)).await.unwrap();
        let waits = turns.place(&person(0)).unwrap();
        let refused = turns.place(&person(0)).unwrap_err();
        assert_eq!((refused.status, refused.code.as_str()), (503, "busy"));
        let others: Vec<_> = (2..ALL_MAX)
            .map(|n| turns.place(&person(n)).unwrap())
            .collect();
        let refused = turns.place(&person(1)).unwrap_err();
        assert_eq!(refused.code, "busy");
        let answer = refused.into_response();
        assert_eq!(answer.headers()["retry-after"], AGAIN_S.to_string());
        // Who goes away, served or not, makes room.
        drop(waits);
        let next = turns.place(&person(1)).unwrap();
        // What is sent makes way for the next one, and is a request until all of it is sent.
        let sent = made.made();
        let next = next_turn(&turns, next).await;
        assert_eq!(turns.place(&person(1)).unwrap_err().code, "busy");
        drop((sent, others, next));
        assert!(turns.asked().is_empty());
        drop(turns.take(&person(0)).await.unwrap());
    }
}
