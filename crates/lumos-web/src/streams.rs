//! How many streams of events are open, so that no caller takes them all.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::http::StatusCode;
use lumos_domain::id::PersonId;

use crate::problem::Problem;

/// Streams that one person or service may have open, with whatever credentials.
pub const EACH_MAX: usize = 256;
/// The same once half of all are open, so that few accounts do not keep everybody else out.
const SCARCE_MAX: usize = 32;
/// Streams that may be open in all.
pub const ALL_MAX: usize = 1_024;

/// The open streams, by whose they are.
#[derive(Debug, Clone, Default)]
pub struct Streams(Arc<Mutex<BTreeMap<PersonId, usize>>>);

/// An open stream, counted until it is dropped.
#[derive(Debug)]
pub struct Place {
    streams: Streams,
    whose: PersonId,
}

impl Streams {
    fn open(&self) -> MutexGuard<'_, BTreeMap<PersonId, usize>> {
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
    pub fn enter(&self, whose: &PersonId) -> Result<Place, Problem> {
        let mut open = self.open();
        let own = open.get(whose).copied().unwrap_or(0);
        let all: usize = open.values().sum();
        let own_max = if all < ALL_MAX / 2 {
            EACH_MAX
        } else {
            SCARCE_MAX
        };
        let refused = if own >= own_max {
            format!("{own} streams of yours are open, and now {own_max} may be; close some")
        } else if all >= ALL_MAX {
            format!("{ALL_MAX} streams are open, which is all there are; try again later")
        } else {
            open.insert(whose.clone(), own + 1);
            return Ok(Place {
                streams: self.clone(),
                whose: whose.clone(),
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
        let left = open.get(&self.whose).map_or(0, |own| own - 1);
        if left == 0 {
            open.remove(&self.whose);
        } else {
            open.insert(self.whose.clone(), left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_every_place() {
        let streams = Streams::default();
        let id = |n: usize| format!("t{n}").parse::<PersonId>().unwrap();
        let mut places: Vec<Place> = (0..EACH_MAX)
            .map(|_| streams.enter(&id(0)).unwrap())
            .collect();
        assert_eq!(streams.enter(&id(0)).unwrap_err().code, "too-many-streams");
        places.pop();
        places.push(streams.enter(&id(0)).unwrap());
        places.extend((0..EACH_MAX).map(|_| streams.enter(&id(1)).unwrap()));
        // Half of them are gone: nobody takes the other half as these two did.
        let third = (0..).map_while(|_| streams.enter(&id(2)).ok());
        places.extend(third);
        assert_eq!(streams.count(), 2 * EACH_MAX + SCARCE_MAX);
        for n in 3..3 + ALL_MAX - streams.count() {
            places.push(streams.enter(&id(n)).unwrap());
        }
        assert_eq!(streams.count(), ALL_MAX);
        assert!(streams.enter(&id(ALL_MAX)).is_err());
        places.clear();
        assert_eq!(streams.count(), 0);
        assert!(streams.open().is_empty());
    }
}
