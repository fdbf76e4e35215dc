//! Streams: the units of consistency (DECISIONS 1). An entry belongs to exactly one.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::id::{
    AssignmentId, BundleName, Digest, ModelName, ParseIdError, PersonId, ProposalId, ReleaseId,
    ReviewId, SystemName,
};

/// The name of a stream.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Stream {
    /// The organisation: founders, environments, review rules, roles, modes.
    Org,
    /// A person or a service: roles, credentials, tokens.
    Person(PersonId),
    /// A model: owner, tier, bindings.
    Model(ModelName),
    /// Evidence about one release digest.
    Subject(Digest),
    /// A release from detection on.
    Release(ReleaseId),
    /// One round of review, ending in the approval.
    Review(ReviewId),
    /// A governed system.
    System(SystemName),
    /// What one agent may use in one environment.
    Assignment(AssignmentId),
    /// A policy bundle.
    Bundle(BundleName),
    /// A change that waits for a second person.
    Proposal(ProposalId),
    /// The keys that sign the ledger.
    Keys,
    /// Whether the log is examined, and by whom.
    LogReview,
    /// First denials, per system asked for; nothing is decided from it.
    Denials(SystemName),
    /// What one person or service read in bulk; nothing is decided from it.
    Readings(PersonId),
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Org => f.write_str("org"),
            Self::Person(id) => write!(f, "person/{id}"),
            Self::Model(name) => write!(f, "model/{name}"),
            Self::Subject(digest) => write!(f, "subject/{digest}"),
            Self::Release(id) => write!(f, "release/{id}"),
            Self::Review(id) => write!(f, "review/{id}"),
            Self::System(name) => write!(f, "system/{name}"),
            Self::Assignment(id) => write!(f, "assignment/{id}"),
            Self::Bundle(name) => write!(f, "bundle/{name}"),
            Self::Proposal(id) => write!(f, "proposal/{id}"),
            Self::Keys => f.write_str("keys"),
            Self::LogReview => f.write_str("log-review"),
            Self::Denials(name) => write!(f, "denials/{name}"),
            Self::Readings(id) => write!(f, "readings/{id}"),
        }
    }
}

impl FromStr for Stream {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let (noun, id) = text.split_once('/').unwrap_or((text, ""));
        Ok(match (noun, id) {
            ("org", "") if text == "org" => Self::Org,
            ("keys", "") if text == "keys" => Self::Keys,
            ("log-review", "") if text == "log-review" => Self::LogReview,
            ("person", id) => Self::Person(id.parse()?),
            ("model", id) => Self::Model(id.parse()?),
            ("subject", id) => Self::Subject(id.parse()?),
            ("release", id) => Self::Release(id.parse()?),
            ("review", id) => Self::Review(id.parse()?),
            ("system", id) => Self::System(id.parse()?),
            ("assignment", id) => Self::Assignment(id.parse()?),
            ("bundle", id) => Self::Bundle(id.parse()?),
            ("proposal", id) => Self::Proposal(id.parse()?),
            ("denials", id) => Self::Denials(id.parse()?),
            ("readings", id) => Self::Readings(id.parse()?),
            _ => {
                let text = text.chars().take(256).collect();
                return Err(ParseIdError::Parts {
                    what: "stream",
                    text,
                });
            }
        })
    }
}

impl TryFrom<String> for Stream {
    type Error = ParseIdError;

    fn try_from(text: String) -> Result<Self, ParseIdError> {
        text.parse()
    }
}

impl From<Stream> for String {
    fn from(stream: Stream) -> Self {
        stream.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_print_and_parse() {
        let digest = Digest::of(b"x");
        for text in [
            "org",
            "person/p1",
            "model/triage",
            &format!("subject/{digest}"),
            "release/triage/1.2+b",
            "review/triage/1.2/production/3",
            "system/ward",
            "assignment/ward/intake/production",
            "bundle/starter",
            "proposal/0123456789abcdef0123",
            "keys",
            "log-review",
            "denials/ward",
            "readings/p-1",
        ] {
            assert_eq!(text.parse::<Stream>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "org/",
            "keys/",
            "log-review/",
            "release/a",
            "release/a/b/c",
            "review/a/b/c/x",
            "thing/a",
            "model/a b",
            "model/../x",
        ] {
            assert!(text.parse::<Stream>().is_err(), "{text}");
        }
    }
}
