//! How many streams of events are open, so that no caller takes them all.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::http::StatusCode;
use lumos_domain::id::TokenId;

use crate::problem::Problem;

/// Streams that one session or token may have open.
pub const EACH_MAX: usize = 32;
/// Streams that may be open in all.
pub const ALL_MAX: usize = 1_024;

/// The open streams, by the credential they were opened with.
#[derive(Debug, Clone, Default)]
pub struct Streams(Arc<Mutex<BTreeMap<TokenId, usize>>>);

/// An open stream, counted until it is dropped.
#[derive(Debug)]
pub struct Place {
    streams: Streams,
    credential: TokenId,
}

impl Streams {
    fn open(&self) -> MutexGuard<'_, BTreeMap<TokenId, usize>> {
        // A count is whole after every step: a thread that broke left nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many are open.
    #[must_use]
    pub fn count(&self) -> usize {
        self.open().values().sum()
    }

    /// Takes a place for one more.
    ///
    /// # Errors
    /// `too-many-streams`.
    pub fn enter(&self, credential: &TokenId) -> Result<Place, Problem> {
        let mut open = self.open();
        let own = open.get(credential).copied().unwrap_or(0);
        let refused = if own >= EACH_MAX {
            format!("{EACH_MAX} streams are open with this credential; close some")
        } else if open.values().sum::<usize>() >= ALL_MAX {
            format!("{ALL_MAX} streams are open, which is all there are; try again later")
        } else {
            open.insert(credential.clone(), own + 1);
            return Ok(Place {
                streams: self.clone(),
                credential: credential.clone(),
            });
        };
        Err(Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too-many-streams",
            refused,
        ))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.streams.open();
        let left = open.get(&self.credential).map_or(0, |own| own - 1);
        if left == 0 {
            open.remove(&self.credential);
        } else {
            open.insert(self.credential.clone(), left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_every_place() {
        let streams = Streams::default();
        let id = |n: usize| format!("t{n}").parse::<TokenId>().unwrap();
        let mut places: Vec<Place> = (0..EACH_MAX)
            .map(|_| streams.enter(&id(0)).unwrap())
            .collect();
        assert_eq!(streams.enter(&id(0)).unwrap_err().code, "too-many-streams");
        places.pop();
        places.push(streams.enter(&id(0)).unwrap());
        for n in 1..=ALL_MAX - EACH_MAX {
            places.push(streams.enter(&id(n)).unwrap());
        }
        assert_eq!(streams.count(), ALL_MAX);
        assert!(streams.enter(&id(ALL_MAX)).is_err());
        places.clear();
        assert_eq!(streams.count(), 0);
        assert!(streams.open().is_empty());
    }
}
