//! How long records stay readable, and what keeps them longer: a period for each class of record, and legal
//! holds. The periods follow requirement A4 (45 CFR 164.316(b)(2)(i), SOX, EU AI Act 18, 19 and 26(6)); the
//! reasons are in docs/decisions/0013. What is erased when a period ends stands in `erasure`.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    event::{HoldLifted, HoldSet, RetentionSet},
    id::{HoldId, ModelName, ParseIdError, PersonId, ReleaseId},
    refusal::Refusal,
    seal::Sealed,
    stream::Stream,
    words::RecordClass,
    world::{Decided, Halt, World},
};

/// The longest period, in days (100 years).
pub const DAYS_MAX: u32 = 36_525;

/// How many days a record of this class stays readable after it was last in effect, unless another period is set.
#[must_use]
pub const fn default_days(class: RecordClass) -> u32 {
    match class {
        // Seven years: SOX, and more than HIPAA's six.
        RecordClass::Account | RecordClass::Decision | RecordClass::Governance => 2_557,
        // Ten years: EU AI Act, article 18.
        RecordClass::TechnicalFile => 3_653,
        // Six months: EU AI Act, articles 19 and 26(6).
        RecordClass::Log => 184,
    }
}

/// When `days` after `from` are over.
pub(crate) fn after(from: Timestamp, days: u32) -> Timestamp {
    let period = SignedDuration::from_hours(i64::from(days) * 24);
    from.checked_add(period).unwrap_or(Timestamp::MAX)
}

/// A period to set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetRetention {
    /// For which records.
    pub class: RecordClass,
    /// How many days after a record was last in effect.
    pub days: u32,
    /// Why.
    pub reason: Sealed,
}

impl SetRetention {
    /// Whether something could be erased sooner than before.
    pub(crate) fn loosens(&self, world: &World) -> Result<bool, Halt> {
        Ok(self.days < world.org()?.retention_days(self.class))
    }
}

pub(crate) fn set(world: &World, command: &SetRetention) -> Result<Decided, Halt> {
    let was_days = world.org()?.retention_days(command.class);
    if command.days > DAYS_MAX {
        let problem = format!("a record can be kept for at most {DAYS_MAX} days");
        return Err(Refusal::BadRules { problem }.into());
    }
    if command.days == was_days {
        return Ok(Vec::new());
    }
    let set = RetentionSet {
        class: command.class,
        days: command.days,
        was_days,
        reason: command.reason,
    };
    Ok(vec![(Stream::Org, set.into())])
}

/// What a legal hold keeps readable, written `person/ID`, `model/M` or `release/M/V`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum HoldScope {
    /// Everything in which a person is named.
    Person(PersonId),
    /// Everything about a model.
    Model(ModelName),
    /// Everything about a release.
    Release(ReleaseId),
}

impl HoldScope {
    /// Whether the hold keeps what `stream` says of `person`. Where the name of a stream does not tell which model
    /// it is about, every hold on a model or release covers it: keeping too much harms nobody's case.
    #[must_use]
    pub fn covers(&self, person: &PersonId, stream: &Stream) -> bool {
        let about = match stream {
            Stream::Model(model) => Some((model, None)),
            Stream::Release(release) => Some((&release.model, Some(&release.version))),
            Stream::Review(review) => Some((&review.model, Some(&review.version))),
            Stream::Subject(_) | Stream::Assignment(_) | Stream::Proposal(_) => None,
            Stream::Org
            | Stream::Person(_)
            | Stream::System(_)
            | Stream::Bundle(_)
            | Stream::Keys
            | Stream::LogReview
            | Stream::Denials(_)
            | Stream::Readings(_) => return matches!(self, Self::Person(held) if held == person),
        };
        match (self, about) {
            (Self::Person(held), _) => held == person,
            (Self::Model(_) | Self::Release(_), None) => true,
            (Self::Model(held), Some((model, _))) => held == model,
            (Self::Release(held), Some((model, version))) => {
                held.model == *model && version.is_none_or(|version| *version == held.version)
            }
        }
    }

    /// Refuses what is not there: a hold on a misspelt name would keep nothing.
    fn exists(&self, world: &World) -> Result<bool, Halt> {
        Ok(match self {
            Self::Person(person) => {
                let person = world.person(person)?;
                person.name.is_some() && !person.erased
            }
            Self::Model(model) => world.model(model)?.owner.is_some(),
            Self::Release(release) => world.release(release)?.source.is_some(),
        })
    }
}

impl fmt::Display for HoldScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person(person) => write!(f, "person/{person}"),
            Self::Model(model) => write!(f, "model/{model}"),
            Self::Release(release) => write!(f, "release/{release}"),
        }
    }
}

impl TryFrom<String> for HoldScope {
    type Error = ParseIdError;

    fn try_from(text: String) -> Result<Self, ParseIdError> {
        match text.parse()? {
            Stream::Person(person) => Ok(Self::Person(person)),
            Stream::Model(model) => Ok(Self::Model(model)),
            Stream::Release(release) => Ok(Self::Release(release)),
            _ => Err(ParseIdError::Parts {
                what: "scope of a hold",
                text,
            }),
        }
    }
}

impl From<HoldScope> for String {
    fn from(scope: HoldScope) -> Self {
        scope.to_string()
    }
}

/// A legal hold to set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetHold {
    /// The new id, drawn by the engine.
    pub hold: HoldId,
    /// What it keeps.
    pub scope: HoldScope,
    /// Why.
    pub reason: Sealed,
}

pub(crate) fn hold(world: &World, command: &SetHold) -> Result<Decided, Halt> {
    let SetHold {
        hold,
        scope,
        reason,
    } = command.clone();
    if world.org()?.holds.contains_key(&hold) {
        let name = hold.to_string();
        return Err(Refusal::Exists { what: "hold", name }.into());
    }
    if !scope.exists(world)? {
        let name = scope.to_string();
        return Err(Refusal::Unknown {
            what: "thing to hold",
            name,
        }
        .into());
    }
    let set = HoldSet {
        hold,
        scope,
        reason,
    };
    Ok(vec![(Stream::Org, set.into())])
}

pub(crate) fn lift(world: &World, hold: &HoldId, reason: Sealed) -> Result<Decided, Halt> {
    if !world.org()?.holds.contains_key(hold) {
        let name = hold.to_string();
        return Err(Refusal::Unknown { what: "hold", name }.into());
    }
    let lifted = HoldLifted {
        hold: hold.clone(),
        reason,
    };
    Ok(vec![(Stream::Org, lifted.into())])
}
