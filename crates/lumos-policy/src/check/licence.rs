//! The operators over licences: `license_allowed`, `licence_consistent`, and the SPDX licence
//! expressions (SPDX 2.3, annex D) they read. Not here: finding licences, or legal advice.

use serde_json::Value;

use super::paths::brief_text;
use super::{Seen, View};

/// What a candidate says about its licence: the licence evidence, or the card where there is none.
pub(super) fn allowed(allow: &[String], view: View<'_>) -> Seen {
    let expected = format!("licences among {}", allow.join(", "));
    let (record, found) = match (
        view.records("licence").next(),
        view.records("model_card").next(),
    ) {
        (Some(record), _) => (record, record.claim.get("expressions").cloned()),
        (None, Some(card)) => {
            let stated = card
                .claim
                .get("license")
                .filter(|licence| !licence.is_null());
            (card, Some(stated.cloned().into_iter().collect::<Value>()))
        }
        (None, None) => return Seen::missing("no `licence` or `model_card` evidence", expected),
    };
    let Some(Value::Array(found)) = found else {
        return Seen::error("the licence evidence has no list `expressions`", expected)
            .from([record]);
    };
    if found.is_empty() {
        return Seen::missing("no licence is stated", expected).from([record]);
    }
    let mut refused = Vec::new();
    for licence in &found {
        let Some(text) = licence.as_str() else {
            return Seen::error("a licence is not text", expected).from([record]);
        };
        match is_met(text, allow) {
            Ok(true) => {}
            Ok(false) => refused.push(brief_text(text)),
            Err(problem) => {
                let observed = format!("{} is no SPDX expression: {problem}", brief_text(text));
                return Seen::error(observed, expected).from([record]);
            }
        }
    }
    let all = || {
        found
            .iter()
            .filter_map(Value::as_str)
            .map(brief_text)
            .collect()
    };
    let observed: Vec<String> = if refused.is_empty() {
        all()
    } else {
        refused.clone()
    };
    Seen::judged(refused.is_empty(), observed.join(", "), expected).from([record])
}

pub(super) fn consistent(view: View<'_>) -> Seen {
    let expected = "every source names the same licence";
    let Some(record) = view.records("licence").next() else {
        return Seen::missing("no `licence` evidence", expected);
    };
    let Some(contradiction) = record.claim.get("contradiction").and_then(Value::as_bool) else {
        return Seen::error(
            "the licence evidence does not say whether its sources agree",
            expected,
        )
        .from([record]);
    };
    let sources = record
        .claim
        .get("sources")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let word = |source: &Value, key: &str| {
        source
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or("unnamed")
            .to_owned()
    };
    let told =
        |source: &Value| format!("{}: {}", word(source, "source"), word(source, "expression"));
    let told: Vec<String> = sources.take(8).map(told).collect();
    Seen::judged(!contradiction, told.join("; "), expected).from([record])
}

/// Whether the terms of `expression` can be met using the licences in `allow` alone.
fn is_met(expression: &str, allow: &[String]) -> Result<bool, String> {
    if expression.len() > 1_024 {
        return Err("longer than 1024 bytes".to_owned());
    }
    let spaced = expression.replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut reader = Reader {
        words: &words,
        allow,
        depth: 0,
    };
    let met = reader.any()?;
    match reader.words {
        [] => Ok(met),
        [word, ..] => Err(format!("`{word:.64}` is not expected there")),
    }
}

struct Reader<'w> {
    words: &'w [&'w str],
    allow: &'w [String],
    depth: usize,
}

impl<'w> Reader<'w> {
    fn next(&mut self) -> Option<&'w str> {
        let (first, rest) = self.words.split_first()?;
        self.words = rest;
        Some(first)
    }

    fn take(&mut self, word: &str) -> bool {
        let here = self
            .words
            .first()
            .is_some_and(|next| next.eq_ignore_ascii_case(word));
        if here {
            self.next();
        }
        here
    }

    fn any(&mut self) -> Result<bool, String> {
        let mut met = self.all()?;
        while self.take("OR") {
            met |= self.all()?;
        }
        Ok(met)
    }

    fn all(&mut self) -> Result<bool, String> {
        let mut met = self.one()?;
        while self.take("AND") {
            met &= self.one()?;
        }
        Ok(met)
    }

    fn one(&mut self) -> Result<bool, String> {
        let word = self.next().ok_or("it ends too early")?;
        if word == "(" {
            self.depth += 1;
            if self.depth > 16 {
                return Err("nested deeper than 16".to_owned());
            }
            let met = self.any()?;
            if !self.take(")") {
                return Err("a bracket is not closed".to_owned());
            }
            self.depth -= 1;
            return Ok(met);
        }
        let id = |text: &str| {
            let inner = text.strip_suffix('+').unwrap_or(text);
            !inner.is_empty()
                && inner
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':'))
                && !["AND", "OR", "WITH"]
                    .iter()
                    .any(|word| word.eq_ignore_ascii_case(text))
        };
        if !id(word) {
            return Err(format!("`{word:.64}` is no licence id"));
        }
        let mut licence = word.to_owned();
        if self.take("WITH") {
            let exception = self
                .next()
                .filter(|word| id(word))
                .ok_or("`WITH` names no exception")?;
            licence = format!("{word} WITH {exception}");
        }
        Ok(self
            .allow
            .iter()
            .any(|allowed| allowed.eq_ignore_ascii_case(&licence)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meets_spdx_expressions() {
        let allow = [
            "Apache-2.0",
            "MIT",
            "GPL-2.0-only WITH Classpath-exception-2.0",
        ];
        let allow = allow.map(str::to_owned);
        for (expression, expected) in [
            ("Apache-2.0", Ok(true)),
            ("apache-2.0", Ok(true)),
            ("GPL-3.0-only", Ok(false)),
            ("Apache-2.0 OR GPL-3.0-only", Ok(true)),
            ("Apache-2.0 AND GPL-3.0-only", Ok(false)),
            ("MIT AND (GPL-3.0-only OR Apache-2.0)", Ok(true)),
            ("GPL-3.0-only OR MIT AND Apache-2.0", Ok(true)),
            ("(GPL-3.0-only OR MIT) AND LicenseRef-secret", Ok(false)),
            ("GPL-2.0-only WITH Classpath-exception-2.0", Ok(true)),
            ("GPL-2.0-only", Ok(false)),
            ("MIT+", Ok(false)),
            ("Apache License 2.0", Err(())),
            ("MIT AND", Err(())),
            ("(MIT", Err(())),
            ("MIT)", Err(())),
            ("", Err(())),
            ("WITH MIT", Err(())),
        ] {
            assert_eq!(
                is_met(expression, &allow).map_err(drop),
                expected,
                "{expression}"
            );
        }
        assert!(is_met(&"(".repeat(500), &allow).is_err());
    }
}
