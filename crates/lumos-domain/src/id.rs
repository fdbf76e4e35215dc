//! Names and digests: validated text newtypes, so that a wrong name cannot be said inside the system.
//!
//! Not here: how ids are made. Randomness is an input; the engine draws it and hands finished ids in.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Why a piece of text is not a name, a digest or a stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseIdError {
    /// The text does not fit the shape of a name.
    #[error(
        "reading a {what}: `{text}` is not 1 to 128 of A-Z a-z 0-9 . _ + - starting with a letter or digit"
    )]
    Name {
        /// The kind of name that was read.
        what: &'static str,
        /// The text as given, cut to 128 characters.
        text: String,
    },
    /// The text is not `sha256:` and 64 lower-case hex digits.
    #[error("reading a digest: `{0}` is not `sha256:` followed by 64 lower-case hex digits")]
    Digest(String),
    /// The text names no stream or compound id.
    #[error("reading a {what}: `{text}` has the wrong number of parts")]
    Parts {
        /// The kind of id that was read.
        what: &'static str,
        /// The text as given.
        text: String,
    },
}

impl ParseIdError {
    /// The stable code of this error, a page in `docs/errors/`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Name { .. } | Self::Parts { .. } => "bad-name",
            Self::Digest(_) => "bad-digest",
        }
    }
}

/// Whether `text` may be a name: 1–128 of `A-Z a-z 0-9 . _ + -`, starting with a letter or digit.
fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    text.len() <= 128
        && chars.next().is_some_and(|c| c.is_ascii_alphanumeric())
        && chars.all(|c| c.is_ascii_alphanumeric() || "._+-".contains(c))
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident = $what:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                if is_name(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(ParseIdError::Name { what: $what, text: text.chars().take(128).collect() })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseIdError;

            fn try_from(text: String) -> Result<Self, ParseIdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

names! {
    /// The name of a governed model, unique in the organisation.
    ModelName = "model name";
    /// The version of a model, as its registry or submitter calls it.
    Version = "version";
    /// An environment, such as `staging` or `production`.
    Environment = "environment";
    /// A governed multi-agent system.
    SystemName = "system name";
    /// One agent in a system.
    AgentName = "agent name";
    /// Somebody's own agent that works from outside, beside LUMOS's four.
    OutsideAgentName = "outside agent name";
    /// A role that people hold and slots ask for.
    RoleName = "role name";
    /// A policy bundle.
    BundleName = "bundle name";
    /// A registry connector as the settings name it.
    RegistryName = "registry name";
    /// A person's random id; the name of the person is sealed elsewhere.
    PersonId = "person id";
    /// A token's random id; the secret is kept only as a sealed hash.
    TokenId = "token id";
    /// A proposal that waits for a second person: what it proposes, hashed.
    ProposalId = "proposal id";
    /// A legal hold's random id.
    HoldId = "hold id";
    /// What makes a command unique: a second append under the same id is refused.
    CommandId = "command id";
}

/// A SHA-256 digest, written `sha256:` and 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// The SHA-256 of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// A digest that was computed elsewhere.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The 64 hex digits without the `sha256:` prefix.
    #[must_use]
    pub fn hex(&self) -> String {
        hex::encode(self.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Digest {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let wrong = || ParseIdError::Digest(text.chars().take(128).collect());
        let digits = text.strip_prefix("sha256:").ok_or_else(wrong)?;
        if digits.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(wrong());
        }
        let mut bytes = [0; 32];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| wrong())?;
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Digest {
    type Error = ParseIdError;

    fn try_from(text: String) -> Result<Self, ParseIdError> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

macro_rules! compound {
    ($($(#[$doc:meta])* $name:ident = $what:literal { $($(#[$fdoc:meta])* $field:ident: $ty:ty),* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name { $($(#[$fdoc])* pub $field: $ty),* }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let wrong = || ParseIdError::Parts { what: $what, text: text.chars().take(256).collect() };
                let mut parts = text.split('/');
                let id = Self { $($field: parts.next().ok_or_else(wrong)?.parse().map_err(|_| wrong())?),* };
                // One thing has one name: a number may not be written as `01` or `+1`.
                if parts.next().is_some() || id.to_string() != text { Err(wrong()) } else { Ok(id) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseIdError;

            fn try_from(text: String) -> Result<Self, ParseIdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut separator = "";
                $(write!(f, "{separator}{}", self.$field)?; separator = "/";)*
                let _ = separator;
                Ok(())
            }
        }
    )*};
}

compound! {
    /// One immutable version of a model, written `MODEL/VERSION`.
    ReleaseId = "release" {
        /// The model.
        model: ModelName,
        /// Its version.
        version: Version
    }
    /// One agent in a system, written `SYSTEM/AGENT`.
    AgentRef = "agent" {
        /// The system the agent belongs to.
        system: SystemName,
        /// The agent.
        agent: AgentName
    }
    /// One round of review, written `MODEL/VERSION/ENVIRONMENT/ROUND`.
    ReviewId = "review" {
        /// The model under review.
        model: ModelName,
        /// Its version.
        version: Version,
        /// The environment it asks to enter.
        environment: Environment,
        /// 1 for the first review of this release for this environment.
        round: u32
    }
    /// The place where an agent's releases are assigned, written `SYSTEM/AGENT/ENVIRONMENT`.
    AssignmentId = "assignment" {
        /// The system.
        system: SystemName,
        /// The agent.
        agent: AgentName,
        /// The environment.
        environment: Environment
    }
}

impl ReviewId {
    /// The release under review.
    #[must_use]
    pub fn release(&self) -> ReleaseId {
        ReleaseId {
            model: self.model.clone(),
            version: self.version.clone(),
        }
    }
}

impl AssignmentId {
    /// The agent this assignment is for.
    #[must_use]
    pub fn agent_ref(&self) -> AgentRef {
        AgentRef {
            system: self.system.clone(),
            agent: self.agent.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compound_id_has_one_name() {
        let check = |text: &str, good: bool| {
            let read = text.parse::<ReviewId>();
            assert_eq!(read.is_ok(), good, "{text}: {read:?}");
        };
        check("triage/1.0/production/1", true);
        check("triage/01/production/4294967295", true);
        for round in ["01", "+1", "-1", "", " 1", "1 ", "1/", "4294967296"] {
            check(&format!("triage/1.0/production/{round}"), false);
        }
    }
}
