//! Who acts, and what they may do. Rights come from roles; nobody signs by right, only by slot.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    id::{ModelName, ParseIdError, PersonId, RoleName, TokenId},
    words::UnknownWord,
};

/// One of LUMOS's own four agents. They propose; they never sign (DESIGN promise 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OwnAgent {
    /// Finds releases, fetches and hashes them, records evidence.
    ReleaseScanner,
    /// Holds releases against policy.
    ComplianceChecker,
    /// Opens reviews, assigns and promotes what was approved.
    ApprovalOrchestrator,
    /// Watches what runs.
    ReleaseMonitor,
}

impl OwnAgent {
    /// All four.
    pub const ALL: [Self; 4] = [
        Self::ReleaseScanner,
        Self::ComplianceChecker,
        Self::ApprovalOrchestrator,
        Self::ReleaseMonitor,
    ];

    /// The name as it is written everywhere.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReleaseScanner => "release-scanner",
            Self::ComplianceChecker => "compliance-checker",
            Self::ApprovalOrchestrator => "approval-orchestrator",
            Self::ReleaseMonitor => "release-monitor",
        }
    }

    /// The rights this agent has from genesis (DECISIONS 13).
    #[must_use]
    pub const fn rights(self) -> &'static [Right] {
        match self {
            Self::ReleaseScanner => &[Right::Detect],
            Self::ComplianceChecker => &[Right::Evaluate],
            Self::ApprovalOrchestrator => &[Right::Orchestrate],
            Self::ReleaseMonitor => &[Right::Observe],
        }
    }
}

/// Who a command comes from, written into every entry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Actor {
    /// The founding append, once.
    Genesis,
    /// A timer that came due.
    Clock,
    /// One of LUMOS's own agents.
    Agent(OwnAgent),
    /// A person.
    Person(PersonId),
    /// A service account: acts by token, never signs.
    Service(PersonId),
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Genesis => f.write_str("genesis"),
            Self::Clock => f.write_str("clock"),
            Self::Agent(agent) => write!(f, "agent/{}", agent.as_str()),
            Self::Person(id) => write!(f, "person/{id}"),
            Self::Service(id) => write!(f, "service/{id}"),
        }
    }
}

impl FromStr for Actor {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let wrong = || ParseIdError::Parts {
            what: "actor",
            text: text.chars().take(128).collect(),
        };
        match text.split_once('/') {
            None if text == "genesis" => Ok(Self::Genesis),
            None if text == "clock" => Ok(Self::Clock),
            Some(("agent", name)) => OwnAgent::ALL
                .into_iter()
                .find(|agent| agent.as_str() == name)
                .map(Self::Agent)
                .ok_or_else(wrong),
            Some(("person", id)) => id.parse().map(Self::Person),
            Some(("service", id)) => id.parse().map(Self::Service),
            _ => Err(wrong()),
        }
    }
}

impl TryFrom<String> for Actor {
    type Error = ParseIdError;

    fn try_from(text: String) -> Result<Self, ParseIdError> {
        text.parse()
    }
}

impl From<Actor> for String {
    fn from(actor: Actor) -> Self {
        actor.to_string()
    }
}

macro_rules! rights {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)*) => {
        /// A right that a role carries. Signing is not among them: a slot asks for a role.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Right { $($(#[$doc])* #[serde(rename = $text)] $variant),* }

        impl Right {
            /// Every right.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The word as it is written everywhere.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }
        }

        impl FromStr for Right {
            type Err = UnknownWord;

            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                match text {
                    $($text => Ok(Self::$variant),)*
                    _ => Err(UnknownWord { given: text.chars().take(64).collect(), known: &[$($text),*] }),
                }
            }
        }
    };
}

rights! {
    /// Read releases, reviews, reports and the ledger.
    Read = "read",
    /// Submit and withdraw releases, claim authorship, ask for the next gate.
    Submit = "submit",
    /// Record evidence about releases, and nothing else: for agents that check.
    AddEvidence = "add-evidence",
    /// For tokens only: sign reviews and claim authorship with it. A signed-in person needs no right to sign.
    Sign = "sign",
    /// Register models, set their tier, bind them to registries.
    ManageModels = "manage-models",
    /// Add people, grant and revoke roles, issue tokens for services.
    ManagePeople = "manage-people",
    /// Change environments, review rules, roles, systems and modes.
    Govern = "govern",
    /// Publish policy bundles.
    PublishPolicy = "publish-policy",
    /// Revoke an approval.
    Revoke = "revoke",
    /// Assign approved releases, stop systems, promote in registries.
    Operate = "operate",
    /// Ask for enforcement decisions and snapshots.
    AskDecisions = "ask-decisions",
    /// The release scanner's: detect, identify, record evidence.
    Detect = "detect",
    /// The compliance checker's: record reports.
    Evaluate = "evaluate",
    /// The approval orchestrator's: open reviews, assign, promote what was approved.
    Orchestrate = "orchestrate",
    /// Record observed deployments, denials and breaches.
    Observe = "observe",
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Right {
    /// Whether a token may carry this right. The own agents' rights stay in the process.
    #[must_use]
    pub const fn for_tokens(self) -> bool {
        !matches!(self, Self::Orchestrate | Self::Evaluate)
    }

    /// Whether an outside agent may use this right, whatever roles its account holds. It looks, it proposes, it
    /// records what it saw; nothing that decides who signs or what runs is among them (DESIGN promise 7).
    #[must_use]
    pub const fn for_outside_agents(self) -> bool {
        matches!(
            self,
            Self::Read | Self::Submit | Self::AddEvidence | Self::AskDecisions | Self::Observe
        )
    }
}

/// Where a granted role holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Everywhere.
    Organisation,
    /// For the models of one business unit.
    Unit(String),
    /// For one model.
    Model(ModelName),
}

/// A role held on a scope.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// The role.
    pub role: RoleName,
    /// Where it holds.
    pub scope: Scope,
}

/// Who asks, how they proved it, and how far their credential reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Who.
    pub actor: Actor,
    /// For a token: the rights it is limited to. `None` for a session and for the own agents.
    pub limited_to: Option<BTreeSet<Right>>,
    /// The token that asks; `None` for a session and for the own agents.
    pub token: Option<TokenId>,
    /// Whether a second component was given in this very request (DECISIONS 14).
    pub reauthenticated: bool,
}

impl Caller {
    /// A caller with the full rights of `actor` and no fresh second component.
    #[must_use]
    pub const fn new(actor: Actor) -> Self {
        Self {
            actor,
            limited_to: None,
            token: None,
            reauthenticated: false,
        }
    }

    /// One of LUMOS's own agents.
    #[must_use]
    pub const fn agent(agent: OwnAgent) -> Self {
        Self::new(Actor::Agent(agent))
    }

    /// The person asking, when a person asks.
    #[must_use]
    pub const fn person(&self) -> Option<&PersonId> {
        match &self.actor {
            Actor::Person(id) => Some(id),
            Actor::Genesis | Actor::Clock | Actor::Agent(_) | Actor::Service(_) => None,
        }
    }
}
