//! A policy bundle: a versioned set of rules, read strictly from YAML. Not here: judging.
//!
//! Reading refuses whatever it does not understand. A key that is misspelt would otherwise be a rule
//! that silently does nothing.

mod read;

use std::collections::BTreeMap;

use lumos_domain::id::{BundleName, Digest};
use lumos_domain::words::Score;
use serde_json::Value;

use crate::cel::{Cel, CelError};
use crate::decode::{ShapeError, did_you_mean};
use crate::rule::{Rule, RuleId};
use crate::tree::{self, Limits, TreeError};

/// Most bytes of one bundle: 1 MiB.
pub const MAX_BYTES: usize = 1 << 20;
/// Most rules of one bundle.
pub const MAX_RULES: usize = 1_000;

const LIMITS: Limits = Limits {
    bytes: MAX_BYTES,
    nodes: 100_000,
    text: 4 << 20,
    depth: 16,
};

/// Why a bundle was refused. A message is whole: what is wrong in the bundle is part of it, not a cause behind it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// Longer than [`MAX_BYTES`].
    #[error("reading a policy bundle: {0}")]
    TooLarge(TreeError),
    /// Not one YAML document, or one that repeats a key or grows too large with its aliases.
    #[error("reading a policy bundle as YAML: {0}")]
    NotYaml(TreeError),
    /// A key or value is not as it must be.
    #[error("reading a policy bundle: {0}")]
    Shape(ShapeError),
    /// Two rules have the same id.
    #[error("reading a policy bundle: the rule id `{0}` stands twice")]
    DuplicateRule(RuleId),
    /// There is no rule.
    #[error("reading a policy bundle: `spec.rules` holds no rule")]
    NoRules,
    /// A rule has no check, or more than one.
    #[error(
        "reading a policy bundle: `{path}` must hold exactly one check, found {}",
        or_none(found)
    )]
    NotOneCheck {
        /// Where the check stands.
        path: String,
        /// The checks found, joined by commas.
        found: String,
    },
    /// A rule is written in Python.
    #[error("reading a policy bundle: `{path}`: python rules are not supported by this version")]
    Python {
        /// Where it stands.
        path: String,
    },
    /// An expression was refused.
    #[error("reading a policy bundle: `{path}`: {problem}")]
    Cel {
        /// Where it stands.
        path: String,
        /// Why.
        problem: CelError,
    },
    /// A regular expression was refused.
    #[error("reading a policy bundle: `{path}`: {problem}")]
    Pattern {
        /// Where it stands.
        path: String,
        /// Why.
        problem: String,
    },
    /// A parameter that `spec.params` does not hold.
    #[error("reading a policy bundle: `{path}` names the unknown parameter `{name}`{}", did_you_mean(nearest.as_deref()))]
    UnknownParam {
        /// Where it stands.
        path: String,
        /// Its name.
        name: String,
        /// The parameter it most resembles.
        nearest: Option<String>,
    },
}

impl From<ShapeError> for BundleError {
    fn from(error: ShapeError) -> Self {
        Self::Shape(error)
    }
}

fn or_none(found: &str) -> &str {
    if found.is_empty() { "none" } else { found }
}

impl BundleError {
    /// The stable code of this error, a page in `docs/errors/`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLarge(_) => "bundle-too-large",
            Self::NotYaml(_) => "bundle-not-yaml",
            Self::Shape(error) => error.code(),
            Self::DuplicateRule(_) => "bundle-duplicate-rule",
            Self::NoRules => "bundle-no-rules",
            Self::NotOneCheck { .. } => "bundle-one-check",
            Self::Python { .. } => "bundle-python-rule",
            Self::Cel { problem, .. } => problem.code(),
            Self::Pattern { .. } => "bundle-bad-pattern",
            Self::UnknownParam { .. } => "bundle-unknown-param",
        }
    }
}

/// A policy bundle.
#[derive(Debug, Clone)]
pub struct Bundle {
    name: BundleName,
    version: String,
    owner: Option<String>,
    description: Option<String>,
    digest: Digest,
    applies_to: Option<Cel>,
    pass_threshold: Option<Score>,
    params: BTreeMap<String, Value>,
    used_params: Vec<String>,
    rules: Vec<Rule>,
}

impl Bundle {
    /// Reads a bundle.
    ///
    /// # Errors
    /// On the first thing that is not as `docs/formats/policy-bundle.md` describes, with its path.
    pub fn parse(yaml: &[u8]) -> Result<Self, BundleError> {
        let value = tree::read_yaml(yaml, LIMITS).map_err(|error| match error {
            TreeError::TooLarge { .. } => BundleError::TooLarge(error),
            TreeError::Broken(_) => BundleError::NotYaml(error),
        })?;
        read::bundle(&value, Digest::of(yaml))
    }

    /// The bundle's name.
    #[must_use]
    pub const fn name(&self) -> &BundleName {
        &self.name
    }

    /// Its version, as its author counts.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Who answers for it, when stated.
    #[must_use]
    pub fn owner(&self) -> Option<&str> {
        self.owner.as_deref()
    }

    /// What it is for, when stated.
    #[must_use]
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// SHA-256 of the YAML bytes that were read, exactly.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// The models it applies to; all when absent.
    #[must_use]
    pub const fn applies_to(&self) -> Option<&Cel> {
        self.applies_to.as_ref()
    }

    /// The score below which review deepens.
    #[must_use]
    pub const fn pass_threshold(&self) -> Option<Score> {
        self.pass_threshold
    }

    /// Its parameters.
    #[must_use]
    pub const fn params(&self) -> &BTreeMap<String, Value> {
        &self.params
    }

    /// Its rules, in the order written.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// One rule.
    #[must_use]
    pub fn rule(&self, id: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.id.as_str() == id)
    }

    /// The same bundle with this one rule.
    pub(crate) fn with_only(&self, rule: Rule) -> Self {
        Self {
            rules: vec![rule],
            name: self.name.clone(),
            version: self.version.clone(),
            owner: None,
            description: None,
            digest: self.digest,
            applies_to: self.applies_to.clone(),
            pass_threshold: self.pass_threshold,
            params: self.params.clone(),
            used_params: Vec::new(),
        }
    }

    /// The parameters that no rule and no expression uses.
    pub(crate) fn unused_params(&self) -> impl Iterator<Item = &str> {
        self.params
            .keys()
            .filter(|name| !self.used_params.contains(name))
            .map(String::as_str)
    }
}
