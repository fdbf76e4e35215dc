//! One rule of a bundle, typed. Not here: how it is read (`bundle::read`) or judged (`evaluate`).

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use lumos_domain::id::{Digest, RoleName};
use lumos_domain::words::{Depth, Enforcement, Severity};
use serde::{Deserialize, Serialize};

use crate::cel::Cel;
use crate::check::Check;

/// The id of a rule: `^[A-Z][A-Z0-9]*(-[A-Z0-9]+)*-[0-9]{3}$`, at most 64 characters; never reused.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RuleId(String);

/// The text is not the id of a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a rule id such as `ACME-CARD-001`: capitals and digits in groups joined by `-`, three digits last"
)]
pub struct ParseRuleIdError(String);

impl ParseRuleIdError {
    /// The stable code of this error, a page in `docs/errors/`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "bad-rule-id"
    }
}

impl RuleId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RuleId {
    type Err = ParseRuleIdError;

    fn from_str(text: &str) -> Result<Self, ParseRuleIdError> {
        let group = |group: &str| {
            !group.is_empty()
                && group
                    .bytes()
                    .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
        };
        let number = |n: &str| n.len() == 3 && n.bytes().all(|b| b.is_ascii_digit());
        let good = text.len() <= 64
            && text.starts_with(|c: char| c.is_ascii_uppercase())
            && text
                .rsplit_once('-')
                .is_some_and(|(groups, n)| number(n) && groups.split('-').all(group));
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParseRuleIdError(text.chars().take(64).collect()))
        }
    }
}

impl TryFrom<String> for RuleId {
    type Error = ParseRuleIdError;

    fn try_from(text: String) -> Result<Self, ParseRuleIdError> {
        text.parse()
    }
}

impl From<RuleId> for String {
    fn from(id: RuleId) -> Self {
        id.0
    }
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What a rule's failure does, by review depth (DECISIONS 3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Levels {
    /// The enforcement at every depth not named.
    pub default: Enforcement,
    /// The enforcement at the depths named.
    pub by_depth: BTreeMap<Depth, Enforcement>,
}

impl Levels {
    /// The enforcement at `depth`.
    #[must_use]
    pub fn at(&self, depth: Depth) -> Enforcement {
        self.by_depth.get(&depth).copied().unwrap_or(self.default)
    }
}

/// Whether a rule is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Being written: never judged.
    Draft,
    /// In use.
    Active,
    /// Retired: no longer judged; the id stays taken.
    Deprecated,
}

impl Status {
    /// Every status, in order.
    pub const ALL: &'static [Self] = &[Self::Draft, Self::Active, Self::Deprecated];

    /// The word as written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Active => "active",
            Self::Deprecated => "deprecated",
        }
    }
}

/// A whole number of days, written as an ISO 8601 duration: `P90D`, `P2W`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Days(pub u32);

impl FromStr for Days {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let days = text.strip_prefix('P').and_then(|rest| {
            let unit = rest.chars().last()?;
            let count = &rest[..rest.len() - unit.len_utf8()];
            if count.is_empty() || count.len() > 5 || !count.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            let count: u32 = count.parse().ok()?;
            match unit {
                'D' => Some(count),
                'W' => Some(count * 7),
                _ => None,
            }
        });
        match days {
            Some(days) if (1..=36_500).contains(&days) => Ok(Self(days)),
            _ => Err(format!(
                "`{text:.32}` is not a duration in days or weeks such as `P90D` or `P12W`"
            )),
        }
    }
}

impl fmt::Display for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} day{}", self.0, if self.0 == 1 { "" } else { "s" })
    }
}

impl Days {
    /// Whether what was recorded at `then` is at most this old at `now`.
    #[must_use]
    pub fn covers(self, then: Timestamp, now: Timestamp) -> bool {
        now.as_second().saturating_sub(then.as_second()) <= i64::from(self.0) * 86_400
    }
}

/// How a failure is told.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// Always the same text.
    Text(String),
    /// An expression that may name `observed` and `expected`.
    Cel(Cel),
}

/// How a rule stands to a control of a framework.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Relation {
    /// Passing the rule satisfies the control.
    Satisfies,
    /// Passing the rule is part of what the control asks.
    Contributes,
    /// The rule's evidence is evidence for the control.
    EvidenceFor,
}

impl Relation {
    /// Every relation, in order.
    pub const ALL: &'static [Self] = &[Self::Satisfies, Self::Contributes, Self::EvidenceFor];

    /// The word as written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Satisfies => "satisfies",
            Self::Contributes => "contributes",
            Self::EvidenceFor => "evidence-for",
        }
    }
}

/// A control of a framework that a rule speaks to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Control {
    /// The framework, such as `nist-ai-rmf`.
    pub framework: String,
    /// Its edition, such as `1.0`: laws and guidance change.
    pub edition: String,
    /// The control's id in that edition.
    pub control: String,
    /// How the rule stands to it.
    pub relation: Relation,
}

/// How a failure is mended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remediation {
    /// What to do, in words.
    pub text: String,
    /// How long it takes, such as `hours`.
    pub effort: Option<String>,
    /// The role that usually does it.
    pub owner_role: Option<RoleName>,
    /// Where to read more.
    pub docs: Vec<String>,
}

/// One rule.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Its id.
    pub id: RuleId,
    /// What it asks, in one line.
    pub title: String,
    /// What it asks, in full.
    pub description: Option<String>,
    /// Why it asks.
    pub rationale: Option<String>,
    /// How severe a failure is.
    pub severity: Severity,
    /// What a failure does.
    pub enforcement: Levels,
    /// Its share in the score, 1 to 1,000.
    pub weight: u32,
    /// A word to group by.
    pub category: Option<String>,
    /// Whether it is in use.
    pub status: Status,
    /// First instant it is judged.
    pub effective_from: Option<Timestamp>,
    /// First instant it is no longer judged.
    pub effective_to: Option<Timestamp>,
    /// When false, the rule does not apply.
    pub when: Option<Cel>,
    /// Kinds of evidence without which the rule is not judged but missing evidence.
    pub requires: Vec<String>,
    /// How old the evidence may be.
    pub evidence_max_age: Option<Days>,
    /// What is checked.
    pub check: Check,
    /// How a failure is told.
    pub message: Option<Message>,
    /// The controls it speaks to.
    pub controls: Vec<Control>,
    /// How a failure is mended.
    pub remediation: Option<Remediation>,
    /// Where to read more.
    pub references: Vec<String>,
    /// The role whose signature a failure asks for.
    pub routes_to: Option<RoleName>,
    /// SHA-256 of the rule's canonical form with its parameters: what a waiver is pinned to.
    pub digest: Digest,
}

impl Rule {
    /// Every expression of this rule and where it stands.
    pub(crate) fn expressions(&self) -> Vec<(&'static str, &Cel)> {
        let mut found = Vec::new();
        found.extend(self.when.as_ref().map(|cel| ("when.cel", cel)));
        if let Check::Cel(cel) = &self.check {
            found.push(("check.cel", cel));
        }
        if let Some(Message::Cel(cel)) = &self.message {
            found.push(("message.cel", cel));
        }
        found
    }
}
