//! Sign-in, sessions and tokens: who asks. What they may do, the domain decides.
//!
//! Passwords are Argon2id, hashed off the async threads. Sessions and tokens are looked up by an id and
//! compared by a hash in constant time; neither is stored readable.

use std::sync::Mutex;

use argon2::{
    Argon2, PasswordHasher as _, PasswordVerifier as _, password_hash::phc::PasswordHash,
};
use axum::http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use lumos_domain::id::{Digest, PersonId, TokenId};
use lumos_engine::{
    Door,
    key::ServerKey,
    ports::{PortError, Statement},
    secret,
    views::people::{self, PersonRow},
};
use tokio::sync::Semaphore;

use crate::problem::Problem;

use self::attempts::{Attempts, Try};

pub use self::{
    attempts::Place,
    origin::{KNOWN, Origin, known},
    signed_in::{SignedIn, end_session, end_sessions, still_signed_in},
};

mod attempts;
mod origin;
mod signed_in;

/// The table of sessions: operational state. Each holds for the password it was begun with, by its commitment.
/// An earlier table, `sessions`, did not know it: who was signed in by it signs in again.
pub const SCHEMA: &[&str] = &["CREATE TABLE IF NOT EXISTS open_sessions (
    session TEXT PRIMARY KEY, hash TEXT NOT NULL, csrf TEXT NOT NULL, person TEXT NOT NULL,
    password TEXT NOT NULL, seen_us BIGINT NOT NULL, ends_us BIGINT NOT NULL)"];

/// The cookie of a session.
pub const COOKIE: &str = "lumos_session";
/// A session ends after so long without a request (45 CFR 164.312(a)(2)(iii), automatic logoff).
pub(crate) const IDLE: SignedDuration = SignedDuration::from_mins(30);
/// A session ends after so long whatever happens.
const LONGEST: SignedDuration = SignedDuration::from_hours(12);
/// Passwords hashed at the same time; each takes 19 MiB and a core.
const HASHES_AT_ONCE: usize = 2;
/// How long a sign-in waits for its turn to be hashed.
const HASH_WAIT: std::time::Duration = std::time::Duration::from_secs(10);
/// The shortest password.
pub const PASSWORD_CHARS_MIN: usize = 12;

/// Checks who people are.
pub struct Gatekeeper {
    attempts: Mutex<Attempts>,
    decoy: String,
    hashing: Semaphore,
}

/// A new session, as it is handed out once.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// What the cookie or bearer header carries.
    pub credential: String,
    /// Who signed in.
    pub person: PersonRow,
    /// When it ends at the latest.
    pub ends: Timestamp,
}

impl Gatekeeper {
    /// A gatekeeper that has seen nobody fail yet.
    ///
    /// # Errors
    /// When a password cannot be hashed at all.
    pub fn new(salt: [u8; 16]) -> Result<Self, Problem> {
        let decoy = hash_password("a password that nobody has", salt)?;
        Ok(Self {
            hashing: Semaphore::new(HASHES_AT_ONCE),
            attempts: Mutex::default(),
            decoy,
        })
    }

    /// Signs a person in.
    ///
    /// # Errors
    /// Wrong login or password alike, or too many failures.
    pub async fn sign_in(
        &self,
        door: &Door,
        login: &str,
        password: &str,
        place: &Place,
    ) -> Result<NewSession, Problem> {
        let now = door.ports().clock.now();
        let who = counted(&door.ports().key, login);
        self.reserve(&who, place, now).await?;
        let checked = self.of_login(door, login, password).await;
        let person = self.settle(&who, place, now, checked)?;
        let store = &*door.ports().store;
        let entropy = &*door.ports().entropy;
        let session: TokenId = secret::id(entropy, "s")?;
        let (key, csrf) = (secret::secret(entropy), secret::secret(entropy));
        let ends = now + LONGEST;
        store
            .execute(vec![Statement {
                sql: "INSERT INTO open_sessions (session, hash, csrf, person, password, seen_us, ends_us)
                      VALUES ($1, $2, $3, $4, $5, $6, $7)",
                params: vec![
                    session.as_str().into(),
                    Digest::of(key.as_bytes()).hex().into(),
                    csrf.into(),
                    person.person.as_str().into(),
                    begun_with(&person).into(),
                    now.into(),
                    ends.into(),
                ],
            }])
            .await?;
        Ok(NewSession {
            credential: format!("lumos_{session}_{key}"),
            person,
            ends,
        })
    }

    /// Whether `password` is that of `id`, counting the failures of the person: more tokens are no more guesses.
    ///
    /// # Errors
    /// When it is wrong, or there were too many failures.
    pub async fn reauthenticate(
        &self,
        door: &Door,
        id: &PersonId,
        password: &str,
        credential: &TokenId,
    ) -> Result<(), Problem> {
        let now = door.ports().clock.now();
        let place = Place::Known(id.to_string());
        self.reserve(id.as_str(), &place, now).await?;
        let checked = self.of_person(door, id, password).await;
        self.settle(id.as_str(), &place, now, checked)
            .inspect_err(|problem| tracing::warn!(%credential, code = problem.code, "a password was asked for again"))?;
        Ok(())
    }

    /// The person who may sign in by `login` and `password`.
    async fn of_login(
        &self,
        door: &Door,
        login: &str,
        password: &str,
    ) -> Result<Option<PersonRow>, Problem> {
        let person = people::by_login(&*door.ports().store, &door.ports().key, login).await?;
        let active = person.filter(|p| !p.suspended && !p.service);
        let fits = self.password_fits(door, active.as_ref(), password).await?;
        Ok(active.filter(|_| fits))
    }

    /// The person `id`, if `password` is theirs.
    async fn of_person(
        &self,
        door: &Door,
        id: &PersonId,
        password: &str,
    ) -> Result<Option<PersonRow>, Problem> {
        let person = people::by_id(&*door.ports().store, id).await?;
        let fits = self.password_fits(door, person.as_ref(), password).await?;
        Ok(person.filter(|_| fits))
    }

    /// What a try of `at` came to: only one that said that the password is wrong counts.
    fn settle(
        &self,
        who: &str,
        place: &Place,
        at: Timestamp,
        checked: Result<Option<PersonRow>, Problem>,
    ) -> Result<PersonRow, Problem> {
        let Ok(mut attempts) = self.attempts.lock() else {
            // Nobody is let in uncounted.
            return Err(wrong());
        };
        match checked {
            Ok(Some(person)) => {
                attempts.forget(who, place, at);
                Ok(person)
            }
            Ok(None) => {
                tracing::warn!("a sign-in failed");
                Err(wrong())
            }
            Err(problem) => {
                attempts.take_back(who, place, at);
                Err(problem)
            }
        }
    }

    async fn password_fits(
        &self,
        door: &Door,
        person: Option<&PersonRow>,
        password: &str,
    ) -> Result<bool, Problem> {
        let sealed = person.and_then(|p| p.credential);
        let known = match sealed {
            Some(sealed) => door.ports().store.unseal(&[sealed]).await?.pop().flatten(),
            None => None,
        };
        // Few at a time: hashing must not starve what else the process does.
        let waiting = tokio::time::timeout(HASH_WAIT, self.hashing.acquire()).await;
        let Ok(Ok(_turn)) = waiting else {
            let detail = "too many people sign in at the same time; try again";
            return Err(Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "busy",
                detail,
            ));
        };
        // An unknown login costs as much time as a wrong password.
        let (hash, real) = known.map_or_else(|| (self.decoy.clone(), false), |hash| (hash, true));
        let password = password.to_owned();
        let fits = tokio::task::spawn_blocking(move || {
            PasswordHash::new(&hash).is_ok_and(|parsed| {
                Argon2::default()
                    .verify_password(password.as_bytes(), &parsed)
                    .is_ok()
            })
        })
        .await
        .map_err(|panicked| PortError::new("checking a password", panicked))?;
        Ok(fits && real)
    }

    /// Counts an attempt before it is made, and waits for its turn where the login is slowed.
    async fn reserve(&self, who: &str, place: &Place, now: Timestamp) -> Result<(), Problem> {
        let asked = self.attempts.lock().map_or(Try::Refused, |mut attempts| {
            attempts.reserve(who, place, now)
        });
        match asked {
            Try::Now => Ok(()),
            Try::After(wait) => {
                tokio::time::sleep(wait).await;
                Ok(())
            }
            Try::Refused => {
                let detail = "too many failed sign-ins from here; wait a quarter of an hour, or sign in from a \
                              browser that you used before";
                let status = StatusCode::TOO_MANY_REQUESTS;
                Err(Problem::new(status, "too-many-attempts", detail))
            }
        }
    }
}

/// The commitment of a person's present password: a session holds as long as it is the one it was begun with.
fn begun_with(person: &PersonRow) -> String {
    person
        .credential
        .map(|sealed| sealed.hex())
        .unwrap_or_default()
}

/// What the tries of a login are counted by: of one length however long it is, and not to be read from memory.
fn counted(key: &ServerKey, login: &str) -> String {
    key.of(&["tries of", &folded(login)])
}

/// A login as it is looked up and counted.
fn folded(login: &str) -> String {
    login.trim().to_lowercase()
}

fn wrong() -> Problem {
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "wrong-credentials",
        "the login or the password is wrong",
    )
}

/// The Argon2id hash of a password as it is sealed.
///
/// # Errors
/// When the password is too short or cannot be hashed.
pub fn hash_password(password: &str, salt: [u8; 16]) -> Result<String, Problem> {
    if password.chars().count() < PASSWORD_CHARS_MIN {
        let detail = format!("a password has at least {PASSWORD_CHARS_MIN} characters");
        return Err(Problem::bad("short-password", detail));
    }
    let hash = Argon2::default()
        .hash_password_with_salt(password.as_bytes(), &salt)
        .map_err(|_| Problem::bad("short-password", "this password cannot be hashed"))?;
    Ok(hash.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_sent_as_a_login_is_not_what_is_remembered() {
        let key = ServerKey::new([3; 32]);
        assert_eq!(counted(&key, " Ada "), counted(&key, "ada"));
        assert_ne!(counted(&key, "ada"), counted(&key, "bo"));
        for login in ["ada", "", &"a".repeat(1 << 20)] {
            assert_eq!(counted(&key, login).len(), 64);
        }
    }
}
