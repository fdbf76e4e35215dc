//! How often a password may be tried, so that guessing is hopeless and yet nobody can lock somebody else out.
//!
//! Failures count for a login *and* where they come from: eight, and that pair waits. Who guesses from many places is
//! slowed for the login as a whole, one try after the other, never locked. A browser that signed in before is known,
//! and waits only for its own failures.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use jiff::{SignedDuration, Timestamp};

/// Failures of one login from one place within [`WINDOW`] after which that pair waits.
const PAIR_MAX: usize = 8;
/// Failures from one place, whatever the login, after which that place waits.
const PLACE_MAX: usize = 64;
/// Failures of one login from everywhere after which its tries are slowed.
const LOGIN_MAX: usize = 32;
/// How long failures count.
const WINDOW: SignedDuration = SignedDuration::from_mins(15);
/// The pace of a login that is slowed.
const PACE: SignedDuration = SignedDuration::from_secs(2);
/// The longest that a slowed try waits for its turn; a longer queue is refused.
const WAIT_MAX: SignedDuration = SignedDuration::from_secs(20);
/// Keys remembered at most. Beyond, every login that is not among them is slowed: memory is bounded, and nobody gets
/// in by filling it.
const KEYS_MAX: usize = 100_000;

/// Where a try comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A network address.
    Address(IpAddr),
    /// A browser that signed in as this login before, or a session that does.
    Known(String),
    /// Nothing is known about it.
    Unknown,
}

impl Place {
    /// What counts as one place: an IPv6 network of 64 bits is one household.
    fn key(&self) -> String {
        match self {
            Self::Address(IpAddr::V4(v4)) => format!("a:{v4}"),
            Self::Address(IpAddr::V6(v6)) => match v6.to_ipv4_mapped() {
                Some(v4) => format!("a:{v4}"),
                None => format!("n:{:x?}", &v6.segments()[..4]),
            },
            Self::Known(what) => format!("k:{what}"),
            Self::Unknown => "u".to_owned(),
        }
    }
}

/// Whether a password may be tried now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Try {
    /// At once.
    Now,
    /// After so long: its turn in the queue of a login that is slowed.
    After(Duration),
    /// Not now.
    Refused,
}

/// The failures that still count.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    failures: HashMap<String, Vec<Timestamp>>,
    turns: HashMap<String, Timestamp>,
    swept: Option<Timestamp>,
}

impl Attempts {
    /// Counts a try before it is made, so that many at once cannot slip through; [`Self::forget`] takes it back.
    pub(super) fn reserve(&mut self, login: &str, place: &Place, now: Timestamp) -> Try {
        self.sweep(now);
        let known = matches!(place, Place::Known(_));
        let (pair, everywhere) = (pair(login, place), format!("l:{login}"));
        if self.count(&pair, now) >= PAIR_MAX {
            return Try::Refused;
        }
        if !known && *place != Place::Unknown && self.count(&place.key(), now) >= PLACE_MAX {
            return Try::Refused;
        }
        let unseen = self.is_full() && !self.failures.contains_key(&everywhere);
        let slowed = !known && (unseen || self.count(&everywhere, now) >= LOGIN_MAX);
        let turn = if slowed {
            self.turn(login, now)
        } else {
            Some(Duration::ZERO)
        };
        let Some(wait) = turn else {
            return Try::Refused;
        };
        if known || !self.is_full() {
            self.add(pair, now);
        }
        if !known && !self.is_full() {
            self.add(place.key(), now);
            self.add(everywhere, now);
        }
        if wait.is_zero() {
            Try::Now
        } else {
            Try::After(wait)
        }
    }

    /// A success: what this place failed at before counts no longer. What others failed at does.
    pub(super) fn forget(&mut self, login: &str, place: &Place) {
        self.failures.remove(&pair(login, place));
        for key in [place.key(), format!("l:{login}")] {
            // The try that succeeded was counted as well.
            if let Some(times) = self.failures.get_mut(&key) {
                times.pop();
            }
        }
    }

    /// The next free turn of a login that is slowed, if the queue is not too long.
    fn turn(&mut self, login: &str, now: Timestamp) -> Option<Duration> {
        let free = self.turns.get(login).copied().unwrap_or(now).max(now);
        let wait = free.duration_since(now);
        if wait > WAIT_MAX {
            return None;
        }
        self.turns.insert(login.to_owned(), free + PACE);
        Duration::try_from(wait).ok()
    }

    fn count(&self, key: &str, now: Timestamp) -> usize {
        let counts = |time: &&Timestamp| now.duration_since(**time) < WINDOW;
        let times = self.failures.get(key).map(Vec::as_slice);
        times.unwrap_or_default().iter().filter(counts).count()
    }

    fn add(&mut self, key: String, now: Timestamp) {
        let times = self.failures.entry(key).or_default();
        times.retain(|time| now.duration_since(*time) < WINDOW);
        if times.len() < PLACE_MAX {
            times.push(now);
        }
    }

    fn is_full(&self) -> bool {
        self.failures.len() >= KEYS_MAX
    }

    /// Forgets what counts no longer, now and then.
    fn sweep(&mut self, now: Timestamp) {
        let due = self
            .swept
            .is_none_or(|swept| now.duration_since(swept) >= SignedDuration::from_mins(1));
        if due {
            let counts = |times: &Vec<Timestamp>| {
                times.iter().any(|time| now.duration_since(*time) < WINDOW)
            };
            self.failures.retain(|_, times| counts(times));
            self.turns.retain(|_, turn| *turn > now);
            self.swept = Some(now);
        }
    }
}

fn pair(login: &str, place: &Place) -> String {
    format!("p:{}:{login}:{}", login.len(), place.key())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).unwrap()
    }

    fn host(n: u32) -> Place {
        Place::Address(IpAddr::V4((0x0a00_0000 + n).into()))
    }

    #[test]
    fn who_guesses_is_locked_out_and_the_person_is_not() {
        let mut attempts = Attempts::default();
        for _ in 0..PAIR_MAX {
            assert_eq!(attempts.reserve("ada", &host(1), at(0)), Try::Now);
        }
        assert_eq!(attempts.reserve("ada", &host(1), at(1)), Try::Refused);
        assert_eq!(
            attempts.reserve("ada", &host(2), at(1)),
            Try::Now,
            "Ada comes from elsewhere"
        );
        assert_eq!(
            attempts.reserve("bo", &host(1), at(1)),
            Try::Now,
            "one wrong login locks no other"
        );
        attempts.forget("ada", &host(2));
        assert_eq!(
            attempts.reserve("ada", &host(1), at(2)),
            Try::Refused,
            "her success frees nobody else"
        );
        assert_eq!(
            attempts.reserve("ada", &host(1), at(16 * 60)),
            Try::Now,
            "a quarter of an hour later"
        );
    }

    #[test]
    fn a_success_makes_a_new_start_for_its_place() {
        let mut attempts = Attempts::default();
        for _ in 0..100 {
            for _ in 0..PAIR_MAX {
                assert_eq!(attempts.reserve("ada", &host(1), at(0)), Try::Now);
            }
            attempts.forget("ada", &host(1));
            // What the pair failed at is forgotten; what the login and the place failed at still counts.
            attempts.failures.retain(|key, _| key.starts_with("p:"));
        }
        assert!(attempts.failures.is_empty());
    }

    #[test]
    fn guessing_from_everywhere_is_slowed_one_after_the_other_and_never_locks() {
        let mut attempts = Attempts::default();
        for n in 0..u32::try_from(LOGIN_MAX).unwrap() {
            assert_eq!(attempts.reserve("ada", &host(n), at(0)), Try::Now);
        }
        let mut waits = Vec::new();
        for n in 1_000..1_100 {
            match attempts.reserve("ada", &host(n), at(0)) {
                Try::Now => waits.push(0),
                Try::After(wait) => waits.push(wait.as_secs()),
                Try::Refused => {}
            }
        }
        assert_eq!(
            waits,
            [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20],
            "a pace, and a queue that ends"
        );
        // A browser that Ada used before goes past the queue, but not past its own failures.
        let known = Place::Known("her browser".to_owned());
        for _ in 0..PAIR_MAX {
            assert_eq!(attempts.reserve("ada", &known, at(0)), Try::Now);
        }
        assert_eq!(attempts.reserve("ada", &known, at(0)), Try::Refused);
        assert_eq!(
            attempts.reserve("bo", &host(2_000), at(0)),
            Try::Now,
            "others are not slowed"
        );
        // Where nobody guesses for a while, the queue is gone.
        assert_eq!(attempts.reserve("ada", &host(3_000), at(60)), Try::Now);
    }

    #[test]
    fn one_place_that_tries_every_login_waits() {
        let mut attempts = Attempts::default();
        for n in 0..PLACE_MAX {
            assert_eq!(
                attempts.reserve(&format!("login {n}"), &host(1), at(0)),
                Try::Now
            );
        }
        assert_eq!(attempts.reserve("ada", &host(1), at(0)), Try::Refused);
        assert_eq!(attempts.reserve("ada", &host(2), at(0)), Try::Now);
    }

    #[test]
    fn a_network_is_one_place_and_memory_is_bounded() {
        let v6 = |text: &str| Place::Address(text.parse().unwrap()).key();
        assert_eq!(v6("2001:db8:1:2::1"), v6("2001:db8:1:2:ffff::9"));
        assert_ne!(v6("2001:db8:1:2::1"), v6("2001:db8:1:3::1"));
        assert_eq!(v6("::ffff:10.0.0.1"), v6("10.0.0.1"));
        let mut attempts = Attempts::default();
        for n in 0..u32::try_from(KEYS_MAX).unwrap() {
            attempts.reserve(&n.to_string(), &host(n), at(0));
        }
        assert!(
            attempts.failures.len() <= KEYS_MAX + 3,
            "{}",
            attempts.failures.len()
        );
        let tries: Vec<_> = (0..20)
            .map(|n| attempts.reserve("ada", &host(200_000 + n), at(0)))
            .collect();
        assert_eq!(
            tries[..2],
            [Try::Now, Try::After(Duration::from_secs(2))],
            "slowed"
        );
        assert_eq!(tries[19], Try::Refused, "and bounded");
        let known = Place::Known("her browser".to_owned());
        assert_eq!(attempts.reserve("ada", &known, at(0)), Try::Now);
    }
}
