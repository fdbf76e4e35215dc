//! Which entries somebody wants: patterns over types and streams, as a request or the settings write them.

use std::str::FromStr;

use crate::record::LedgerEntry;

/// The most patterns of one list.
const PATTERNS_MAX: usize = 16;
/// The longest pattern: a stream has two names of 128 bytes and a word.
const PATTERN_BYTES_MAX: usize = 300;

/// Why a list of patterns cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// A pattern is empty, too long, or has characters that no name has.
    #[error(
        "reading a pattern: `{0}` is not a type or stream, or the beginning of one followed by `*`"
    )]
    Malformed(String),
    /// There are more than are looked at.
    #[error("reading patterns: there are more than {PATTERNS_MAX}")]
    TooMany,
}

impl PatternError {
    /// The stable code of this error, a page in `docs/errors/`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "bad-pattern"
    }
}

/// A whole name, or the beginning of one.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    text: String,
    /// Whether anything may follow.
    open: bool,
}

impl Pattern {
    fn fits(&self, name: &str) -> bool {
        if self.open {
            name.starts_with(&self.text)
        } else {
            name == self.text
        }
    }
}

/// Names that are wanted: those that fit one of the patterns, or all where there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Patterns(Vec<Pattern>);

impl Patterns {
    /// Whether `name` is wanted.
    #[must_use]
    pub fn want(&self, name: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|pattern| pattern.fits(name))
    }
}

/// Patterns with commas between them, such as `lumos.release.*,lumos.evidence.recorded.v1`.
impl FromStr for Patterns {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let mut patterns = Vec::new();
        for part in text.split(',') {
            if patterns.len() == PATTERNS_MAX {
                return Err(PatternError::TooMany);
            }
            let (name, open) = match part.strip_suffix('*') {
                Some(begin) => (begin, true),
                None => (part, false),
            };
            let said = |c: char| c.is_ascii_alphanumeric() || "._+-/:".contains(c);
            if (name.is_empty() && !open)
                || name.len() > PATTERN_BYTES_MAX
                || !name.chars().all(said)
            {
                let shown = part.chars().take(64).collect();
                return Err(PatternError::Malformed(shown));
            }
            patterns.push(Pattern {
                text: name.to_owned(),
                open,
            });
        }
        Ok(Self(patterns))
    }
}

/// Which entries are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pick {
    /// By their CloudEvents type.
    pub types: Patterns,
    /// By their stream.
    pub streams: Patterns,
}

impl Pick {
    /// Whether `entry` is wanted.
    #[must_use]
    pub fn wants(&self, entry: &LedgerEntry) -> bool {
        self.types.want(entry.event.kind()) && self.streams.want(&entry.stream.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_whole_names_or_beginnings() {
        fn check(patterns: &str, name: &str, wanted: bool) {
            let read: Patterns = patterns.parse().unwrap();
            assert_eq!(read.want(name), wanted, "{patterns} {name}");
        }
        check("", "lumos.release.identified.v1", true);
        check("*", "anything", true);
        check("lumos.release.*", "lumos.release.identified.v1", true);
        check("lumos.release.*", "lumos.released.v1", false);
        check("lumos.release.*,org", "org", true);
        check("org", "organisation", false);
        check("release/triage/*", "release/triage/1.0+b", true);
        check("release/triage/*", "release/triage2/1.0", false);
    }

    #[test]
    fn what_no_name_has_is_refused() {
        for text in [
            ",", "a,", "a b", "*a", "a**", "a*b", "ä", "a\n", "%", "'", "a,,b",
        ] {
            let read: Result<Patterns, _> = text.parse();
            assert!(
                matches!(read, Err(PatternError::Malformed(_))),
                "{text:?}: {read:?}"
            );
        }
        assert!("a".repeat(300).parse::<Patterns>().is_ok());
        assert!("a".repeat(301).parse::<Patterns>().is_err());
        let many = |n: usize| vec!["a"; n].join(",").parse::<Patterns>();
        assert!(many(16).is_ok());
        assert_eq!(many(17), Err(PatternError::TooMany));
        // A long refusal is cut.
        let error = " ".repeat(100_000).parse::<Patterns>().unwrap_err();
        assert!(error.to_string().len() < 300);
    }
}
