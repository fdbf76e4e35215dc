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
/// Keys remembered at most. Beyond, what is not among them is slowed instead of counted: memory is bounded, and nobody
/// gets in by filling it.
const KEYS_MAX: usize = 100_000;

/// Where a try comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A network address.
    Address(IpAddr),
    /// A browser that signed in as this login before, or the person of a session or token who is asked again.
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

/// The failures that still count. Who is tried stands here by a short name that is not their login: what somebody
/// sent is neither kept nor counted by its length.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    failures: HashMap<String, Vec<Timestamp>>,
    turns: HashMap<String, Timestamp>,
    swept: Option<Timestamp>,
}

impl Attempts {
    /// Counts a try before it is made, so that many at once cannot slip through; [`Self::forget`] and
    /// [`Self::take_back`] undo it.
    pub(super) fn reserve(&mut self, who: &str, place: &Place, now: Timestamp) -> Try {
        self.sweep(now);
        let known = matches!(place, Place::Known(_));
        let [pair, from, everywhere] = keys(who, place);
        if self.count(&pair, now) >= PAIR_MAX {
            return Try::Refused;
        }
        if !known && *place != Place::Unknown && self.count(&from, now) >= PLACE_MAX {
            return Try::Refused;
        }
        let turn = if known {
            self.add(pair, now);
            Some(Duration::ZERO)
        } else if self.has_room_for(&[&pair, &from, &everywhere]) {
            let slowed = self.count(&everywhere, now) >= LOGIN_MAX;
            let turn = if slowed {
                self.turn(&everywhere, now)
            } else {
                Some(Duration::ZERO)
            };
            if turn.is_some() {
                for key in [pair, from, everywhere] {
                    self.add(key, now);
                }
            }
            turn
        } else {
            // What cannot be counted is paced, for the place and for the login.
            let of_place = self.turn(&from, now);
            of_place.and_then(|wait| Some(wait.max(self.turn(&everywhere, now)?)))
        };
        match turn {
            None => Try::Refused,
            Some(wait) if wait.is_zero() => Try::Now,
            Some(wait) => Try::After(wait),
        }
    }

    /// A success at a try of `at`: what this place failed at before counts no longer. What others failed at does.
    pub(super) fn forget(&mut self, who: &str, place: &Place, at: Timestamp) {
        self.take_back(who, place, at);
        let [pair, ..] = keys(who, place);
        self.failures.remove(&pair);
    }

    /// The try of `at` told nobody whether the password fits: it does not count.
    pub(super) fn take_back(&mut self, who: &str, place: &Place, at: Timestamp) {
        for key in keys(who, place) {
            let Some(times) = self.failures.get_mut(&key) else {
                continue;
            };
            if let Some(n) = times.iter().rposition(|time| *time == at) {
                times.remove(n);
            }
            if times.is_empty() {
                self.failures.remove(&key);
            }
        }
    }

    /// The next free turn of what is slowed, if its queue and the number of queues are not too long.
    fn turn(&mut self, key: &str, now: Timestamp) -> Option<Duration> {
        let queued = self.turns.get(key).copied();
        if queued.is_none() && self.turns.len() >= KEYS_MAX {
            return None;
        }
        let free = queued.unwrap_or(now).max(now);
        let wait = free.duration_since(now);
        if wait > WAIT_MAX {
            return None;
        }
        self.turns.insert(key.to_owned(), free + PACE);
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

    /// Whether a failure can be counted under every one of `keys`.
    fn has_room_for(&self, keys: &[&String]) -> bool {
        self.failures.len() < KEYS_MAX || keys.iter().all(|key| self.failures.contains_key(*key))
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

/// What a try counts for: who is tried from there, the place, and who is tried from everywhere.
fn keys(who: &str, place: &Place) -> [String; 3] {
    let from = place.key();
    [
        format!("p:{}:{who}:{from}", who.len()),
        from,
        format!("l:{who}"),
    ]
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
        attempts.forget("ada", &host(2), at(1));
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
            attempts.forget("ada", &host(1), at(0));
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
    fn a_try_that_told_nothing_does_not_count() {
        let mut attempts = Attempts::default();
        for seconds in 0..100 {
            assert_eq!(attempts.reserve("ada", &host(1), at(seconds)), Try::Now);
            attempts.take_back("ada", &host(1), at(seconds));
        }
        assert!(attempts.failures.is_empty());
        for _ in 0..PAIR_MAX {
            assert_eq!(attempts.reserve("ada", &host(1), at(200)), Try::Now);
        }
        attempts.take_back("ada", &host(1), at(199));
        assert_eq!(
            attempts.reserve("ada", &host(1), at(201)),
            Try::Refused,
            "and takes no other try back"
        );
    }

    #[test]
    fn a_network_is_one_place() {
        let v6 = |text: &str| Place::Address(text.parse().unwrap()).key();
        assert_eq!(v6("2001:db8:1:2::1"), v6("2001:db8:1:2:ffff::9"));
        assert_ne!(v6("2001:db8:1:2::1"), v6("2001:db8:1:3::1"));
        assert_eq!(v6("::ffff:10.0.0.1"), v6("10.0.0.1"));
    }

    #[test]
    fn memory_is_bounded_and_what_is_not_counted_is_paced() {
        let mut attempts = Attempts::default();
        for n in 0..=u32::try_from(KEYS_MAX / 3).unwrap() {
            attempts.reserve(&n.to_string(), &host(n), at(0));
        }
        assert!(
            attempts.failures.len() <= KEYS_MAX + 3,
            "{}",
            attempts.failures.len()
        );
        let mut paced = |who: &dyn Fn(u32) -> String, from: &dyn Fn(u32) -> Place| {
            let tries: Vec<_> = (0..20)
                .map(|n| attempts.reserve(&who(n), &from(n), at(0)))
                .collect();
            assert_eq!(
                tries[..2],
                [Try::Now, Try::After(Duration::from_secs(2))],
                "slowed"
            );
            assert_eq!(tries[19], Try::Refused, "and bounded");
        };
        // An unseen login; a login that is counted, from places that are not; one unseen place that tries them all.
        paced(&|_| "ada".to_owned(), &|n| host(200_000 + n));
        paced(&|_| "0".to_owned(), &|n| host(300_000 + n));
        paced(&|n| (n + 1).to_string(), &|_| host(400_000));
        for n in 0..u32::try_from(KEYS_MAX).unwrap() {
            attempts.reserve(&format!("more {n}"), &host(500_000 + n), at(0));
        }
        assert!(attempts.turns.len() <= KEYS_MAX, "{}", attempts.turns.len());
        let known = Place::Known("her browser".to_owned());
        assert_eq!(attempts.reserve("ada", &known, at(0)), Try::Now);
    }
}
