//! The keys that sign the ledger. Which of them vouches for it is governed state: every change is an entry, one person
//! can take a key's word away, and only two can give it to another (docs/decisions/0015). The private halves are never
//! here, nor is how anything is signed.

use std::{fmt, str::FromStr};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    event::{Event, KeyAdopted, KeyCreated, KeyRevoked, KeyRotated},
    refusal::Refusal,
    seal::Sealed,
    stream::Stream,
    words::KeyPlace,
    world::{Decided, Halt, World},
};

/// The longest overlap of two keys, in days.
pub const OVERLAP_DAYS_MAX: u16 = 400;
/// The longest text of a key, in bytes; a key name has 255 at most.
const KEY_BYTES_MAX: usize = 384;
/// The longest name of a key in its place, in characters; a KMS's are the longest.
const NAME_CHARS_MAX: usize = 2_048;

/// A verifier key of this ledger, `ORIGIN+ID+KEY` as C2SP signed-note writes it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LogKey(String);

/// The text is no verifier key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("reading a ledger key: `{0}` is not `ORIGIN+ID+KEY`")]
pub struct ParseKeyError(String);

impl ParseKeyError {
    /// The stable code of this error, a page in `docs/errors/`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "bad-name"
    }
}

impl LogKey {
    /// The whole text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its id, eight hex digits: how people name it.
    #[must_use]
    pub fn id(&self) -> &str {
        self.0.split('+').nth(1).unwrap_or_default()
    }
}

impl FromStr for LogKey {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, ParseKeyError> {
        let hex =
            |id: &str| id.len() == 8 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let base64 = |key: &str| {
            key.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b))
        };
        let is_name = |name: &str| {
            !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control())
        };
        let mut parts = text.splitn(3, '+');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(name), Some(id), Some(key))
                if text.len() <= KEY_BYTES_MAX
                    && is_name(name)
                    && hex(id)
                    && !key.is_empty()
                    && base64(key) =>
            {
                Ok(Self(text.to_owned()))
            }
            _ => Err(ParseKeyError(text.chars().take(128).collect())),
        }
    }
}

impl TryFrom<String> for LogKey {
    type Error = ParseKeyError;

    fn try_from(text: String) -> Result<Self, ParseKeyError> {
        text.parse()
    }
}

impl From<LogKey> for String {
    fn from(key: LogKey) -> Self {
        key.0
    }
}

impl fmt::Display for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A key and where its private half is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The verifier key.
    pub key: LogKey,
    /// What keeps it.
    pub place: KeyPlace,
    /// How it is called there: a file, a label, a key id.
    pub name: String,
    /// Once it is revoked: up to how many entries its word still counts.
    pub good_until: Option<u64>,
    /// Whether it ever was the one that signs.
    pub used: bool,
}

/// The state of stream `keys`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys {
    /// Every key, in the order in which they came.
    pub known: Vec<Key>,
    /// The one that signs; nothing before the first, and after it was revoked.
    pub current: Option<LogKey>,
    /// Those that it replaced and that sign beside it until their overlap ends.
    pub outgoing: Vec<(LogKey, Timestamp)>,
}

impl Keys {
    /// The key called so.
    #[must_use]
    pub fn get(&self, key: &LogKey) -> Option<&Key> {
        self.known.iter().find(|known| known.key == *key)
    }

    /// The key with this id.
    #[must_use]
    pub fn by_id(&self, id: &str) -> Option<&Key> {
        self.known.iter().find(|known| known.key.id() == id)
    }

    /// The keys that sign at `now`, the current one first.
    #[must_use]
    pub fn signing(&self, now: Timestamp) -> Vec<&Key> {
        let outgoing = self.outgoing.iter().filter(|(_, until)| now < *until);
        let outgoing = outgoing.map(|(key, _)| key);
        let all = self.current.iter().chain(outgoing);
        all.filter_map(|key| self.get(key)).collect()
    }

    /// Moves on by what happened.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::KeyAdopted(e) => {
                self.add(&e.key, e.place, &e.name);
                self.begin(&e.key);
            }
            Event::KeyCreated(e) => self.add(&e.key, e.place, &e.name),
            Event::KeyRotated(e) => {
                if let Some(from) = &e.from {
                    self.outgoing.push((from.clone(), e.overlap_until));
                }
                self.begin(&e.to);
            }
            Event::KeyRevoked(e) => {
                if let Some(known) = self.known.iter_mut().find(|known| known.key == e.key) {
                    let least = known.good_until.unwrap_or(u64::MAX);
                    known.good_until = Some(e.good_until.min(least));
                }
                self.current.take_if(|current| *current == e.key);
                self.outgoing.retain(|(key, _)| *key != e.key);
            }
            _ => {}
        }
    }

    fn add(&mut self, key: &LogKey, place: KeyPlace, name: &str) {
        self.known.push(Key {
            key: key.clone(),
            place,
            name: name.to_owned(),
            good_until: None,
            used: false,
        });
    }

    fn begin(&mut self, key: &LogKey) {
        self.current = Some(key.clone());
        let begun = self.known.iter_mut().filter(|known| known.key == *key);
        begun.for_each(|known| known.used = true);
    }
}

/// A key that was made and signs nothing yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddKey {
    /// The verifier key.
    pub key: LogKey,
    /// What keeps it.
    pub place: KeyPlace,
    /// How it is called there.
    pub name: String,
}

/// A key is to sign in place of the current one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RotateKey {
    /// The key that signs from then on.
    pub key: LogKey,
    /// How many days the current one signs beside it.
    pub overlap_days: u16,
    /// Why.
    pub reason: Sealed,
}

/// A key's word is taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevokeKey {
    /// Which.
    pub key: LogKey,
    /// Up to how many entries it still counts.
    pub good_until: u64,
    /// Why.
    pub reason: Sealed,
}

/// The first key, as the ledger was begun with it; nothing where a key is known already.
pub(crate) fn adopt(world: &World, first: &AddKey) -> Result<Decided, Halt> {
    if !world.keys()?.known.is_empty() {
        return Ok(Vec::new());
    }
    let AddKey { key, place, name } = named(first)?;
    Ok(vec![(Stream::Keys, KeyAdopted { key, place, name }.into())])
}

pub(crate) fn create(world: &World, new: &AddKey) -> Result<Decided, Halt> {
    let keys = world.keys()?;
    let same_place = |known: &Key| known.place == new.place && known.name == new.name;
    // Two keys with one id would be one to everybody who names them.
    if keys.by_id(new.key.id()).is_some() || keys.known.iter().any(same_place) {
        let name = new.key.id().to_owned();
        return Err(Refusal::Exists { what: "key", name }.into());
    }
    let AddKey { key, place, name } = named(new)?;
    Ok(vec![(Stream::Keys, KeyCreated { key, place, name }.into())])
}

fn named(new: &AddKey) -> Result<AddKey, Halt> {
    let chars = new.name.chars().count();
    if chars == 0 || chars > NAME_CHARS_MAX || new.name.contains(char::is_control) {
        let problem = format!("a key is named by 1 to {NAME_CHARS_MAX} printable characters");
        return Err(Refusal::BadRules { problem }.into());
    }
    Ok(new.clone())
}

pub(crate) fn rotate(world: &World, command: &RotateKey, now: Timestamp) -> Result<Decided, Halt> {
    let keys = world.keys()?;
    let to = known(keys, &command.key)?;
    if keys.current.as_ref() == Some(&to.key) {
        return Ok(Vec::new());
    }
    if to.good_until.is_some() {
        return Err(Refusal::KeyRevoked.into());
    }
    if to.used {
        return Err(Refusal::KeyUsed.into());
    }
    if command.overlap_days > OVERLAP_DAYS_MAX {
        let problem = format!("two keys sign side by side for at most {OVERLAP_DAYS_MAX} days");
        return Err(Refusal::BadRules { problem }.into());
    }
    let overlap = SignedDuration::from_hours(i64::from(command.overlap_days) * 24);
    let rotated = KeyRotated {
        from: keys.current.clone(),
        to: to.key.clone(),
        overlap_until: now.checked_add(overlap).unwrap_or(now),
        reason: command.reason,
    };
    Ok(vec![(Stream::Keys, rotated.into())])
}

pub(crate) fn revoke(world: &World, command: &RevokeKey) -> Result<Decided, Halt> {
    let key = known(world.keys()?, &command.key)?;
    if key
        .good_until
        .is_some_and(|until| until <= command.good_until)
    {
        return Ok(Vec::new());
    }
    let revoked = KeyRevoked {
        key: key.key.clone(),
        good_until: command.good_until,
        reason: command.reason,
    };
    Ok(vec![(Stream::Keys, revoked.into())])
}

fn known<'a>(keys: &'a Keys, key: &LogKey) -> Result<&'a Key, Refusal> {
    keys.get(key).ok_or_else(|| Refusal::Unknown {
        what: "key",
        name: key.id().to_owned(),
    })
}
