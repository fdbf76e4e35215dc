//! Strict reading of a tree of values, field by field: an unknown key is refused and the nearest
//! valid one named, a wrong type is named with its path. Not here: the shapes of bundles or candidates.

use jiff::Timestamp;
use serde_json::{Map, Value};

/// Why a value does not have the shape that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// A key that nobody reads. Refused, because a misspelt rule must not silently do nothing.
    #[error("`{path}` has the unknown key `{key}`{}", did_you_mean(nearest.as_deref()))]
    UnknownKey {
        /// Where the mapping stands.
        path: String,
        /// The key.
        key: String,
        /// The valid key it most resembles.
        nearest: Option<String>,
    },
    /// A key that must be there is not.
    #[error("`{path}` lacks `{key}`")]
    Missing {
        /// Where the mapping stands.
        path: String,
        /// The key.
        key: &'static str,
    },
    /// A value of another type was expected.
    #[error("`{path}` is {found}, expected {expected}")]
    WrongType {
        /// Where the value stands.
        path: String,
        /// What was expected.
        expected: &'static str,
        /// What was found.
        found: &'static str,
    },
    /// The type is right, the value is not.
    #[error("`{path}`: {problem}")]
    Invalid {
        /// Where the value stands.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl ShapeError {
    /// The stable code of this error, a page in `docs/errors/`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::UnknownKey { .. } => "unknown-key",
            Self::Missing { .. } => "missing-key",
            Self::WrongType { .. } => "wrong-type",
            Self::Invalid { .. } => "invalid-value",
        }
    }
}

/// `, did you mean X?` or nothing.
pub(crate) fn did_you_mean(nearest: Option<&str>) -> String {
    nearest
        .map(|name| format!(", did you mean `{name}`?"))
        .unwrap_or_default()
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct At<'v> {
    pub(crate) path: String,
    pub(crate) value: &'v Value,
}

type Read<T> = Result<T, ShapeError>;

impl<'v> At<'v> {
    pub(crate) fn root(name: &str, value: &'v Value) -> Self {
        Self {
            path: name.to_owned(),
            value,
        }
    }

    pub(crate) fn invalid<T>(&self, problem: impl Into<String>) -> Read<T> {
        Err(ShapeError::Invalid {
            path: self.path.clone(),
            problem: problem.into(),
        })
    }

    fn wrong<T>(&self, expected: &'static str) -> Read<T> {
        let found = type_name(self.value);
        Err(ShapeError::WrongType {
            path: self.path.clone(),
            expected,
            found,
        })
    }

    /// A mapping whose keys are all among `known`.
    pub(crate) fn object(&self, known: &'static [&'static str]) -> Read<Object<'v>> {
        let Value::Object(members) = self.value else {
            return self.wrong("a mapping");
        };
        if let Some(key) = members.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(ShapeError::UnknownKey {
                path: self.path.clone(),
                key: key.chars().take(64).collect(),
                nearest: nearest(key, known.iter().copied()).map(str::to_owned),
            });
        }
        Ok(Object {
            path: self.path.clone(),
            members,
        })
    }

    /// A mapping with any keys.
    pub(crate) fn members(&self) -> Read<Vec<(&'v str, At<'v>)>> {
        let Value::Object(members) = self.value else {
            return self.wrong("a mapping");
        };
        let at = |(key, value): (&'v String, &'v Value)| {
            (
                key.as_str(),
                At {
                    path: format!("{}.{key}", self.path),
                    value,
                },
            )
        };
        Ok(members.iter().map(at).collect())
    }

    pub(crate) fn items(&self) -> Read<Vec<At<'v>>> {
        let Value::Array(items) = self.value else {
            return self.wrong("a list");
        };
        let at = |(i, value)| At {
            path: format!("{}[{i}]", self.path),
            value,
        };
        Ok(items.iter().enumerate().map(at).collect())
    }

    pub(crate) fn text(&self) -> Read<&'v str> {
        match self.value {
            Value::String(text) => Ok(text),
            _ => self.wrong("text"),
        }
    }

    /// Text that is neither empty nor longer than `limit` bytes.
    pub(crate) fn bounded(&self, limit: usize) -> Read<&'v str> {
        let text = self.text()?;
        if text.trim().is_empty() {
            return self.invalid("is empty");
        }
        if text.len() > limit {
            return self.invalid(format!("is longer than {limit} bytes"));
        }
        Ok(text)
    }

    /// Text that `T` parses.
    pub(crate) fn parsed<T: std::str::FromStr<Err: ToString>>(&self) -> Read<T> {
        self.text()?
            .parse()
            .or_else(|error: T::Err| self.invalid(error.to_string()))
    }

    pub(crate) fn whole(&self, from: u64, to: u64) -> Read<u64> {
        let Some(number) = self.value.as_u64() else {
            return self.wrong("a whole number");
        };
        if (from..=to).contains(&number) {
            return Ok(number);
        }
        self.invalid(format!("{number} is not between {from} and {to}"))
    }

    pub(crate) fn number(&self) -> Read<f64> {
        match self.value.as_f64() {
            Some(number) if self.value.is_number() => Ok(number),
            _ => self.wrong("a number"),
        }
    }

    /// One word, and no other.
    pub(crate) fn exactly(&self, word: &str) -> Read<()> {
        if self.text()? == word {
            Ok(())
        } else {
            self.invalid(format!("is not `{word}`"))
        }
    }

    /// A day (its first instant in UTC) or an instant of RFC 3339.
    pub(crate) fn instant(&self) -> Read<Timestamp> {
        let text = self.text()?;
        let instant = if text.len() == 10 {
            format!("{text}T00:00:00Z")
        } else {
            text.to_owned()
        };
        instant.parse().or_else(|_| {
            self.invalid("is neither a day such as `2026-01-31` nor an RFC 3339 instant")
        })
    }

    pub(crate) fn flag(&self) -> Read<bool> {
        self.value
            .as_bool()
            .map_or_else(|| self.wrong("true or false"), Ok)
    }
}

/// A mapping whose keys were checked.
pub(crate) struct Object<'v> {
    pub(crate) path: String,
    members: &'v Map<String, Value>,
}

impl<'v> Object<'v> {
    /// The value under `key`; absent and null are the same.
    pub(crate) fn get(&self, key: &str) -> Option<At<'v>> {
        let value = self.members.get(key).filter(|value| !value.is_null())?;
        Some(At {
            path: format!("{}.{key}", self.path),
            value,
        })
    }

    pub(crate) fn need(&self, key: &'static str) -> Read<At<'v>> {
        self.get(key).ok_or_else(|| ShapeError::Missing {
            path: self.path.clone(),
            key,
        })
    }

    /// The value under `key`, read by `read` when it is there.
    pub(crate) fn maybe<T>(
        &self,
        key: &str,
        read: impl FnOnce(&At<'v>) -> Read<T>,
    ) -> Read<Option<T>> {
        self.get(key).as_ref().map(read).transpose()
    }
}

/// What a person would call the type of `value`.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

/// The word among `known` that `word` most resembles, when one is near enough to be meant.
pub(crate) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let word: Vec<char> = word.to_lowercase().chars().take(64).collect();
    let scored = known.into_iter().map(|name| {
        let name_chars: Vec<char> = name.to_lowercase().chars().collect();
        (distance(&word, &name_chars), name)
    });
    let (steps, name) = scored.min()?;
    let allowed = (word.len().max(name.len()) / 3).max(1);
    (steps <= allowed).then_some(name)
}

/// Steps of inserting, removing, replacing or swapping neighbours (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = vec![];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, &x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &y) in b.iter().enumerate() {
            let replace = last[j] + usize::from(x != y);
            let mut steps = replace.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && x == b[j - 1] && a[i - 1] == y {
                steps = steps.min(before[j - 1] + 1);
            }
            row.push(steps);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_nearest_word() {
        let known = ["severity", "enforcement", "weight", "check", "when"];
        for (word, expected) in [
            ("severty", Some("severity")),
            ("enforcment", Some("enforcement")),
            ("wieght", Some("weight")),
            ("whne", Some("when")),
            ("banana", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), expected, "{word}");
        }
    }
}
