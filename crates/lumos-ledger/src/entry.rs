//! One entry of the log: a CloudEvents 1.0 envelope in JSON, written once and kept byte for byte. It
//! knows the envelope, not what the data means, and seals nothing.

use std::borrow::{Borrow, Cow};
use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::tile::MAX_ENTRY;

/// The only `specversion` written and read.
pub const SPEC_VERSION: &str = "1.0";

/// Largest stream version: CloudEvents integers have 31 bits and a sign (CloudEvents 1.0, 2.3).
pub const MAX_STREAM_VERSION: u64 = i32::MAX as u64;

/// The envelope around one event. Attribute names in JSON are those of the fields, `kind` being
/// `type` and `subject` being the stream.
///
/// The bytes made by [`Envelope::to_bytes`] are the entry for ever: they are hashed, stored and
/// exported as they are, and never made again from the fields. The index in the ledger is not among
/// them, because it is not known before the append.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope<'a, D = &'a RawValue> {
    /// Version of CloudEvents: `1.0`.
    #[serde(borrow)]
    pub specversion: Cow<'a, str>,
    /// Id of the event, unique within its source.
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    /// Who holds the ledger, as a URI reference.
    #[serde(borrow)]
    pub source: Cow<'a, str>,
    /// What happened, such as `lumos.release.approved.v1`.
    #[serde(rename = "type", borrow)]
    pub kind: Cow<'a, str>,
    /// When, as an RFC 3339 time.
    #[serde(borrow)]
    pub time: Cow<'a, str>,
    /// The stream this event belongs to.
    #[serde(borrow)]
    pub subject: Cow<'a, str>,
    /// Place in the stream, from 1 without gaps.
    pub streamversion: u64,
    /// The command that caused it; a command is applied once.
    #[serde(borrow)]
    pub commandid: Cow<'a, str>,
    /// Who acted, as a pseudonymous id.
    #[serde(borrow)]
    pub actor: Cow<'a, str>,
    /// Id of the event that led to this one.
    #[serde(
        default,
        borrow,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "present"
    )]
    pub causation: Option<Cow<'a, str>>,
    /// Id of the whole course of events this one is part of.
    #[serde(
        default,
        borrow,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "present"
    )]
    pub correlation: Option<Cow<'a, str>>,
    /// Written in a sandbox, where nothing counts.
    #[serde(default, skip_serializing_if = "is_false")]
    pub sandbox: bool,
    /// Media type of the data: `application/json`.
    #[serde(borrow)]
    pub datacontenttype: Cow<'a, str>,
    /// The event itself, as JSON text.
    pub data: D,
}

/// Where an entry stands in its stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position<'a> {
    /// The stream.
    pub stream: Cow<'a, str>,
    /// Place in the stream, from 1.
    pub version: u64,
}

/// Why an envelope was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Over 65,535 bytes, which an entry bundle cannot hold.
    #[error("an entry of {bytes} bytes is over 65535")]
    TooLarge {
        /// Length of the entry.
        bytes: usize,
    },
    /// Not the JSON of an envelope: broken, a field missing, unknown or twice.
    #[error("an entry is not a CloudEvents envelope")]
    Json(#[from] serde_json::Error),
    /// Another version of CloudEvents.
    #[error("an entry has the unknown specversion `{0}`")]
    SpecVersion(String),
    /// A field holds what it must not.
    #[error("an entry's `{field}` is not {needed}")]
    Field {
        /// Name of the field in JSON.
        field: &'static str,
        /// What it must be.
        needed: &'static str,
    },
}

impl Error {
    fn spec_version(version: &str) -> Self {
        Self::SpecVersion(version.chars().take(80).collect())
    }

    /// Stable name of this failure, with a page in `docs/errors/`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "ledger-entry-too-large",
            Self::Json(_) | Self::Field { .. } => "ledger-entry-malformed",
            Self::SpecVersion(_) => "ledger-entry-version-unknown",
        }
    }
}

impl<D: Borrow<RawValue> + Serialize> Envelope<'_, D> {
    /// The bytes of the entry: one line of JSON, fields in the order above, data as given.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when over 65,535 bytes; the others when the fields are not an envelope.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        let bytes = serde_json::to_vec(self)?;
        // INVARIANT: what is written is what every reader takes, nested as deep as it stands in the entry.
        Envelope::<UniqueKeys>::read(&bytes)?;
        Ok(bytes)
    }
}

impl<'a> Envelope<'a> {
    /// Reads an entry, strictly: every field known, present at most once (in the data too), and
    /// holding what it must. Nothing is copied but texts with escapes in them.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        Envelope::<UniqueKeys>::read(bytes)?;
        Ok(serde_json::from_str(text(bytes)?)?)
    }
}

impl<'a, D: Deserialize<'a>> Envelope<'a, D> {
    fn read(bytes: &'a [u8]) -> Result<Self, Error> {
        let text = text(bytes)?;
        let envelope: Self = match serde_json::from_str(text) {
            Ok(envelope) => envelope,
            Err(error) => return Err(foreign_version(text).unwrap_or(Error::Json(error))),
        };
        envelope.check()?;
        Ok(envelope)
    }
}

impl<D> Envelope<'_, D> {
    fn check(&self) -> Result<(), Error> {
        if self.specversion != SPEC_VERSION {
            return Err(Error::spec_version(&self.specversion));
        }
        let texts = [
            ("id", Some(&self.id)),
            ("source", Some(&self.source)),
            ("type", Some(&self.kind)),
            ("subject", Some(&self.subject)),
            ("commandid", Some(&self.commandid)),
            ("actor", Some(&self.actor)),
            ("causation", self.causation.as_ref()),
            ("correlation", self.correlation.as_ref()),
        ];
        let present = texts
            .into_iter()
            .filter_map(|(field, text)| Some((field, text?)));
        for (field, text) in present {
            if text.is_empty() || !is_one_line(text) {
                return Err(Error::Field {
                    field,
                    needed: "one line of text",
                });
            }
        }
        if !is_rfc3339(&self.time) {
            return Err(Error::Field {
                field: "time",
                needed: "an RFC 3339 time",
            });
        }
        if self.datacontenttype != "application/json" {
            return Err(Error::Field {
                field: "datacontenttype",
                needed: "`application/json`",
            });
        }
        check_version(self.streamversion)
    }
}

impl<'a> Position<'a> {
    /// Reads only where an entry stands in its stream. The JSON is checked to its end, but fields
    /// other than these are not looked at.
    ///
    /// # Errors
    /// [`Error::Json`], [`Error::SpecVersion`] or [`Error::Field`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Fields<'a> {
            #[serde(borrow)]
            specversion: Cow<'a, str>,
            #[serde(borrow)]
            subject: Cow<'a, str>,
            streamversion: u64,
        }
        let fields: Fields<'a> = serde_json::from_str(text(bytes)?)?;
        if fields.specversion != SPEC_VERSION {
            return Err(Error::spec_version(&fields.specversion));
        }
        check_version(fields.streamversion)?;
        Ok(Self {
            stream: fields.subject,
            version: fields.streamversion,
        })
    }

    /// As strict as [`Envelope::parse`] and in one pass, for readers who do not need the data.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub fn parse_strict(bytes: &'a [u8]) -> Result<Self, Error> {
        let envelope = Envelope::<UniqueKeys>::read(bytes)?;
        Ok(Self {
            stream: envelope.subject,
            version: envelope.streamversion,
        })
    }
}

/// The text of an entry, checked as UTF-8 at once: faster than text by text.
fn text(bytes: &[u8]) -> Result<&str, Error> {
    check_size(bytes)?;
    std::str::from_utf8(bytes).map_err(|error| Error::Json(serde_json::Error::custom(error)))
}

fn is_one_line(text: &str) -> bool {
    let plain = |byte: &u8| (b' '..=b'~').contains(byte);
    text.as_bytes().iter().all(plain) || !text.chars().any(char::is_control)
}

fn check_size(bytes: &[u8]) -> Result<(), Error> {
    if bytes.len() > MAX_ENTRY {
        Err(Error::TooLarge { bytes: bytes.len() })
    } else {
        Ok(())
    }
}

fn check_version(version: u64) -> Result<(), Error> {
    if (1..=MAX_STREAM_VERSION).contains(&version) {
        Ok(())
    } else {
        Err(Error::Field {
            field: "streamversion",
            needed: "from 1 to 2147483647",
        })
    }
}

/// A later CloudEvents may have other fields: its version is the better answer than the first field
/// we do not know.
fn foreign_version(text: &str) -> Option<Error> {
    #[derive(Deserialize)]
    struct Version<'a> {
        #[serde(borrow)]
        specversion: Cow<'a, str>,
    }
    let version = serde_json::from_str::<Version<'_>>(text).ok()?.specversion;
    (version != SPEC_VERSION).then(|| Error::spec_version(&version))
}

fn is_false(value: &bool) -> bool {
    !value
}

/// An optional attribute is absent or a text; `null` is neither.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Cow<'de, str>>, D::Error> {
    Text::deserialize(deserializer).map(|text| Some(text.0))
}

/// `2026-03-01T12:00:00Z`, with any fraction and any offset (RFC 3339, 5.6). Days are counted up to
/// 31 in every month: this guards the form, the writer's clock guards the rest.
fn is_rfc3339(text: &str) -> bool {
    let number = |range: std::ops::Range<usize>, low: u32, high: u32| {
        text.get(range)
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|digits| digits.parse().ok())
            .is_some_and(|value: u32| (low..=high).contains(&value))
    };
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    let bytes = text.as_bytes();
    let date_time = marks.iter().all(|(at, mark)| bytes.get(*at) == Some(mark))
        && number(0..4, 0, 9999)
        && number(5..7, 1, 12)
        && number(8..10, 1, 31)
        && number(11..13, 0, 23)
        && number(14..16, 0, 59)
        && number(17..19, 0, 60);
    let Some(mut zone) = text.get(19..).filter(|_| date_time && text.len() <= 40) else {
        return false;
    };
    if let Some(fraction) = zone.strip_prefix('.') {
        zone = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
        if zone.len() == fraction.len() {
            return false;
        }
    }
    let start = text.len() - zone.len();
    zone == "Z"
        || (zone.len() == 6
            && zone.starts_with(['+', '-'])
            && zone.as_bytes()[3] == b':'
            && number(start + 1..start + 3, 0, 23)
            && number(start + 4..start + 6, 0, 59))
}

/// JSON in which no object names a key twice: two readers of one entry must see one thing.
struct UniqueKeys;

impl<'de> Deserialize<'de> for UniqueKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueKeysVisitor)
    }
}

struct UniqueKeysVisitor;

impl<'de> Visitor<'de> for UniqueKeysVisitor {
    type Value = UniqueKeys;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without repeated keys")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<UniqueKeys, A::Error> {
        let mut seen = Keys::default();
        while let Some(Text(key)) = map.next_key::<Text<'de>>()? {
            map.next_value::<UniqueKeys>()?;
            if let Some(twice) = seen.add(key) {
                return Err(A::Error::custom(format_args!(
                    "the key `{twice}` stands twice"
                )));
            }
        }
        Ok(UniqueKeys)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<UniqueKeys, A::Error> {
        while seq.next_element::<UniqueKeys>()?.is_some() {}
        Ok(UniqueKeys)
    }

    fn visit_unit<E>(self) -> Result<UniqueKeys, E> {
        Ok(UniqueKeys)
    }

    fn visit_bool<E>(self, _: bool) -> Result<UniqueKeys, E> {
        Ok(UniqueKeys)
    }

    fn visit_u64<E>(self, _: u64) -> Result<UniqueKeys, E> {
        Ok(UniqueKeys)
    }

    fn visit_i64<E>(self, _: i64) -> Result<UniqueKeys, E> {
        Ok(UniqueKeys)
    }

    fn visit_f64<E>(self, _: f64) -> Result<UniqueKeys, E> {
        Ok(UniqueKeys)
    }

    fn visit_str<E>(self, _: &str) -> Result<UniqueKeys, E> {
        Ok(UniqueKeys)
    }
}

/// The keys of one object: most have few, and comparing few is faster than hashing them. A hostile
/// object with thousands is still read in linear time.
#[derive(Default)]
struct Keys<'a> {
    few: Vec<Cow<'a, str>>,
    many: HashSet<Cow<'a, str>>,
}

impl<'a> Keys<'a> {
    /// Gives the key back when it was there already.
    fn add(&mut self, key: Cow<'a, str>) -> Option<Cow<'a, str>> {
        const FEW: usize = 16;
        if self.few.contains(&key) {
            return Some(key);
        }
        if self.few.len() < FEW {
            self.few.push(key);
            return None;
        }
        self.many.replace(key)
    }
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests;
