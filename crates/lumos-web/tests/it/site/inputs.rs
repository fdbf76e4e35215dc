//! Time and randomness of a test: both are inputs.

use std::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering},
};

use jiff::{SignedDuration, Timestamp};
use lumos_domain::id::Digest;
use lumos_engine::ports::{Clock, Entropy};

/// Goes when it is told to, and by so much whenever it is looked at.
pub(crate) struct SetClock(pub(super) Mutex<(Timestamp, SignedDuration)>);

impl SetClock {
    pub(crate) fn forward(&self, hours: i64) {
        self.0.lock().unwrap().0 += SignedDuration::from_hours(hours);
    }

    /// Everything takes `seconds` from now on.
    pub(crate) fn slow(&self, seconds: i64) {
        self.0.lock().unwrap().1 = SignedDuration::from_secs(seconds);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        let mut clock = self.0.lock().unwrap();
        let (now, pace) = *clock;
        clock.0 += pace;
        now
    }
}

/// Counted, so that every run is the same; unique, which is what ids need.
pub(super) struct Counted(pub(super) AtomicU64);

impl Entropy for Counted {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(32) {
            let n = self.0.fetch_add(1, Ordering::Relaxed);
            let digest = Digest::of(&n.to_be_bytes());
            chunk.copy_from_slice(&digest.as_bytes()[..chunk.len()]);
        }
    }
}
