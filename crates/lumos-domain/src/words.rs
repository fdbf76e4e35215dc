//! The closed sets of words that rules, policy and pages share: depth, severity, enforcement, result.
//!
//! Not here: what follows from them. `review` computes depth, `lumos-policy` computes results.

use serde::{Deserialize, Serialize};

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $text)] $variant),* }

        impl $name {
            /// Every word of this set, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The word as it is written everywhere.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = UnknownWord;

            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                match text {
                    $($text => Ok(Self::$variant),)*
                    _ => Err(UnknownWord {
                        given: text.chars().take(64).collect(),
                        known: &[$($text),*],
                    }),
                }
            }
        }
    )*};
}

/// The text is none of the words of a closed set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("reading a word: `{given}` is none of {}", known.join(", "))]
pub struct UnknownWord {
    /// The text as given, cut to 64 characters.
    pub given: String,
    /// The words that would have been accepted.
    pub known: &'static [&'static str],
}

impl UnknownWord {
    /// The stable code of this error, a page in `docs/errors/`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "unknown-word"
    }
}

words! {
    /// What kind of record something is, which says how long it must stay readable.
    RecordClass {
        /// A person's own account: name, login, roles, tokens.
        Account = "account",
        /// Reviews, signatures, approvals, assignments.
        Decision = "decision",
        /// Policies, rules, roles, modes, systems, holds, and proposals of them.
        Governance = "governance",
        /// Models, releases and their evidence.
        TechnicalFile = "technical-file",
        /// What was denied, and what was read in bulk.
        Log = "log",
    }
    /// What somebody did who read in bulk (45 CFR 164.312(b): the log of the log).
    Reading {
        /// Made an evidence pack.
        EvidencePack = "evidence-pack",
        /// Exported the ledger.
        Export = "export",
        /// Verified the ledger of a running server.
        Verification = "verification",
        /// Read entries as tiles, with a tool that says nothing else about itself.
        Tiles = "tiles",
        /// Was shown an answer that names people.
        Answer = "answer",
        /// Was shown the names of everybody.
        Names = "names",
        /// Was shown what there is to examine in the log.
        LogReview = "log-review",
    }
    /// What kind of thing an entry is about, as whoever examines the log looks for it: in the order in which it is worth
    /// looking at.
    Matter {
        /// Accounts, roles, passwords and tokens.
        People = "people",
        /// Gates, rules of review, roles, policies, models, systems, modes, agents, and how the log is reviewed.
        Rules = "rules",
        /// The keys that sign the ledger.
        Keys = "keys",
        /// How long names stay readable, holds, and erasures.
        Retention = "retention",
        /// The clock was set, stood still, or is kept by something else.
        Clock = "clock",
        /// Something was let through with less than the ordinary way, or stopped and resumed.
        Exceptions = "exceptions",
        /// Something was refused.
        Refusals = "refusals",
        /// Something was read in bulk, or taken out of the house.
        Readings = "readings",
        /// The server began to run, and with which settings.
        Starts = "starts",
        /// Releases on their ordinary way.
        Releases = "releases",
    }
    /// What somebody found who examined the log.
    Finding {
        /// Nothing that must be followed up.
        Nothing = "nothing-found",
        /// Something, which the reason says.
        Something = "found",
    }
    /// What keeps the private half of a ledger key.
    KeyPlace {
        /// A file of the data directory.
        File = "file",
        /// A token behind PKCS#11, such as an HSM.
        Pkcs11 = "pkcs11",
        /// A key management service.
        Kms = "kms",
    }
    /// How heavy the human part of a decision is. Ordered from light to heavy.
    Depth {
        /// No person signs; approval is recorded with its reason.
        Auto = "auto",
        /// One or few people sign.
        Light = "light",
        /// People of several roles sign.
        Full = "full",
        /// A panel signs.
        Panel = "panel",
    }
    /// Materiality of a model: exposure and purpose. Ordered.
    ModelTier {
        /// Little depends on it.
        Low = "low",
        /// Customers or money depend on it.
        Medium = "medium",
        /// Health, livelihood or the institution depend on it.
        High = "high",
    }
    /// How severe a failed rule is. Ordered.
    Severity {
        /// Worth knowing.
        Info = "info",
        /// Small.
        Low = "low",
        /// Notable.
        Medium = "medium",
        /// Serious.
        High = "high",
        /// Must not pass unnoticed: pauses the review and escalates.
        Critical = "critical",
    }
    /// What a rule's failure does (DESIGN promise 5). Ordered.
    Enforcement {
        /// Only scores.
        Advisory = "advisory",
        /// Blocks unless waived.
        Waivable = "waivable",
        /// Blocks, whatever the score, the votes or the waivers.
        Mandatory = "mandatory",
    }
    /// The result of one rule.
    RuleResult {
        /// The rule holds.
        Pass = "pass",
        /// The rule does not hold.
        Fail = "fail",
        /// Evidence the rule requires is absent or too old. Counts as a failure.
        MissingEvidence = "missing_evidence",
        /// The rule could not be judged. Counts as a failure.
        Error = "error",
        /// The rule does not apply, with the reason.
        NotApplicable = "not_applicable",
        /// A failure that a waiver in force covers.
        Waived = "waived",
    }
    /// What of a model a part of its manifest is. The order is how much a change of it may change
    /// (documentation least), and is what "raise, never lower" compares.
    PartKind {
        /// Text for people: cards, licences, readme files.
        Documentation = "documentation",
        /// Names and times that a registry writes anew for each version.
        Identifier = "identifier",
        /// A prompt or chat template.
        Prompt = "prompt",
        /// Generation or serving parameters, thresholds.
        Parameters = "parameters",
        /// Training, retrieval or reference data.
        Data = "data",
        /// Adapter weights (LoRA and the like).
        Adapter = "adapter",
        /// Tools an agent may call.
        Tools = "tools",
        /// Code that decides.
        DecisionLogic = "decision_logic",
        /// Model weights, and anything that is not recognised.
        Backbone = "backbone",
    }
    /// How much a change may change. Ordered.
    ChangeTier {
        /// Nothing that runs differs.
        None = "none",
        /// Prompt or parameters.
        Minor = "minor",
        /// Data, adapter or tools.
        Moderate = "moderate",
        /// Decision logic or backbone, and whatever cannot be compared.
        Major = "major",
    }
    /// Whether denials are applied (DESIGN glossary: mode).
    Mode {
        /// Denials are recorded, not applied.
        Observe = "observe",
        /// Denials are applied.
        Enforce = "enforce",
    }
    /// How a signature was made (DECISIONS 14).
    Grade {
        /// Made with a session or token alone.
        Recorded = "recorded",
        /// Re-authenticated in the same request (21 CFR 11.200).
        Part11 = "part11",
    }
    /// What a signature says.
    Verdict {
        /// The signer approves.
        Approve = "approve",
        /// The signer rejects; the review ends.
        Reject = "reject",
        /// The signer wants something mended first; the review ends and a new round may follow.
        RequestChanges = "request_changes",
    }
}

impl PartKind {
    /// How much a change in a part of this kind may change.
    #[must_use]
    pub const fn tier(self) -> ChangeTier {
        match self {
            Self::Documentation | Self::Identifier => ChangeTier::None,
            Self::Prompt | Self::Parameters => ChangeTier::Minor,
            Self::Data | Self::Adapter | Self::Tools => ChangeTier::Moderate,
            Self::DecisionLogic | Self::Backbone => ChangeTier::Major,
        }
    }
}

impl Depth {
    /// One step heavier; `panel` stays `panel`.
    #[must_use]
    pub const fn raised(self) -> Self {
        match self {
            Self::Auto => Self::Light,
            Self::Light => Self::Full,
            Self::Full | Self::Panel => Self::Panel,
        }
    }
}

impl RuleResult {
    /// Whether this result is a failure of any kind: failed, missing or not judged.
    #[must_use]
    pub const fn is_gap(self) -> bool {
        matches!(self, Self::Fail | Self::MissingEvidence | Self::Error)
    }
}

/// A compliance score in basis points: 0 to 10,000, printed as a percentage. Never a float, so that
/// what is stored, hashed and compared is one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Score(u16);

impl Score {
    /// `part` of `whole`, rounded down; `None` when nothing was weighed.
    #[must_use]
    pub fn of(part: u64, whole: u64) -> Option<Self> {
        let points = part.min(whole).checked_mul(10_000)?.checked_div(whole)?;
        u16::try_from(points).ok().map(Self)
    }

    /// A score from basis points, capped at 10,000.
    #[must_use]
    pub fn from_basis_points(points: u16) -> Self {
        Self(points.min(10_000))
    }

    /// The score in basis points.
    #[must_use]
    pub const fn basis_points(self) -> u16 {
        self.0
    }
}

impl std::fmt::Display for Score {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:02} %", self.0 / 100, self.0 % 100)
    }
}
