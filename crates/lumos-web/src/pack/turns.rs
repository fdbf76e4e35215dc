//! Whose turn it is to have an evidence pack made. Each reads much, so one is made at a time; few may wait, and nobody
//! with more than two requests, so that no person keeps all others out.

use std::{collections::BTreeMap, sync::Mutex};

use lumos_domain::id::PersonId;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::problem::Problem;

/// Requests that wait or are served, everybody's together.
const ALL_MAX: usize = 16;
/// The same of one person: a pack, and a page that shows one.
const OWN_MAX: usize = 2;
/// After how many seconds it is worth asking again.
const AGAIN_S: u32 = 10;

/// The turns of one server.
#[derive(Debug)]
pub struct Turns {
    one: Semaphore,
    asked: Mutex<BTreeMap<PersonId, usize>>,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            one: Semaphore::new(1),
            asked: Mutex::default(),
        }
    }
}

/// A turn, from when it was asked for until it is dropped.
#[derive(Debug)]
pub struct Turn<'a> {
    turns: &'a Turns,
    who: PersonId,
    permit: Option<SemaphorePermit<'a>>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        drop(self.permit.take());
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
    pub async fn take(&self, who: &PersonId) -> Result<Turn<'_>, Problem> {
        let mut turn = self.place(who)?;
        // Never closed.
        turn.permit = self.one.acquire().await.ok();
        Ok(turn)
    }

    fn place(&self, who: &PersonId) -> Result<Turn<'_>, Problem> {
        let mut asked = self.asked();
        let own = asked.get(who).copied().unwrap_or(0);
        if own >= OWN_MAX {
            let detail = "your other evidence packs are being made; wait for them";
            return Err(Problem::busy(AGAIN_S, detail));
        }
        if asked.values().sum::<usize>() >= ALL_MAX {
            let detail = "evidence packs are made one at a time, and too many wait already";
            return Err(Problem::busy(AGAIN_S, detail));
        }
        asked.insert(who.clone(), own + 1);
        Ok(Turn {
            turns: self,
            who: who.clone(),
            permit: None,
        })
    }

    fn asked(&self) -> std::sync::MutexGuard<'_, BTreeMap<PersonId, usize>> {
        let asked = self.asked.lock();
        asked.unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse as _;

    use super::*;

    fn person(n: usize) -> PersonId {
        format!("p-{n}").parse().unwrap()
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
        drop((made, others, next));
        assert!(turns.asked().is_empty());
        drop(turns.take(&person(0)).await.unwrap());
    }
}
