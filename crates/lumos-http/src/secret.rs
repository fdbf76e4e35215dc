//! Text that is never shown. Not encryption: whoever holds a `Secret` can read it, but has to say so.

use std::fmt;

use serde::Deserialize;

/// What is printed in place of a secret.
const STARS: &str = "***";

/// A credential. `Debug` and `Display` print stars; it cannot be serialised.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes `text` into hiding.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that sends or checks it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(STARS)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(STARS)
    }
}

/// `text` with every one of `secrets` struck out.
#[must_use]
pub fn redact(text: &str, secrets: &[Secret]) -> String {
    secrets
        .iter()
        .filter(|secret| !secret.0.is_empty())
        .fold(text.to_owned(), |text, secret| {
            text.replace(&secret.0, STARS)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_only_stars() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?}"), "*** ***");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn secrets_are_struck_out_of_text() {
        fn check(text: &str, secrets: &[&str], expected: &str) {
            let secrets: Vec<Secret> = secrets.iter().map(|secret| Secret::new(*secret)).collect();
            assert_eq!(redact(text, &secrets), expected);
        }
        check("no secret here", &["hunter2"], "no secret here");
        check(
            "hunter2 and hunter2 again",
            &["hunter2"],
            "*** and *** again",
        );
        check("two: a1b2, c3d4", &["c3d4", "a1b2"], "two: ***, ***");
        check(
            "an empty secret hides nothing",
            &[""],
            "an empty secret hides nothing",
        );
    }
}
