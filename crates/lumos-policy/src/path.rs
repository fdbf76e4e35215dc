//! A path into a candidate document, written as in CEL: `candidate.model.purpose`,
//! `evidence.rollback_plan[0].claim.summary`. Not here: anything computed; that is CEL.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use crate::candidate::{Candidate, is_kind};

/// A path into a candidate document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    text: String,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

impl FromStr for Path {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text:.128}` is not a path such as `candidate.model.purpose` or `evidence.KIND[0].claim.FIELD`"
            )
        };
        if text.len() > 256 {
            return Err(wrong());
        }
        let mut steps = Vec::new();
        for part in text.split('.') {
            let (key, indexes) = part
                .split_once('[')
                .map_or((part, None), |(k, i)| (k, Some(i)));
            let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            if key.is_empty() || !key.chars().all(word) {
                return Err(wrong());
            }
            steps.push(Step::Key(key.to_owned()));
            for index in indexes.into_iter().flat_map(|rest| rest.split('[')) {
                let index = index
                    .strip_suffix(']')
                    .and_then(|i| i.parse().ok())
                    .ok_or_else(wrong)?;
                steps.push(Step::Index(index));
            }
        }
        let rooted = match steps.first() {
            Some(Step::Key(root)) if root == "candidate" => {
                steps.remove(0);
                true
            }
            Some(Step::Key(root)) => root == "evidence",
            _ => false,
        };
        if !rooted || steps.is_empty() {
            return Err(wrong());
        }
        Ok(Self {
            text: text.to_owned(),
            steps,
        })
    }
}

impl Path {
    /// Whether it names a kind of evidence, and nothing within its records.
    pub(crate) fn is_kind(&self) -> bool {
        self.kind().is_some() && matches!(self.steps.as_slice(), [_, Step::Key(_)])
    }

    /// The value at this path; `None` when a step is absent or the value is null.
    pub(crate) fn find<'c>(&self, candidate: &'c Candidate) -> Option<&'c Value> {
        let step = |value: &'c Value, step: &Step| match step {
            Step::Key(key) => value.get(key),
            Step::Index(index) => value.get(index),
        };
        self.steps
            .iter()
            .try_fold(candidate.value(), step)
            .filter(|value| !value.is_null())
    }

    /// The kind of evidence this path looks into, when it does.
    pub(crate) fn kind(&self) -> Option<&str> {
        match (self.steps.first(), self.steps.get(1)) {
            (Some(Step::Key(root)), Some(Step::Key(kind))) if root == "evidence" => Some(kind),
            _ => None,
        }
    }

    /// The record of its kind this path looks into: the newest when it names none.
    pub(crate) fn record(&self) -> usize {
        match self.steps.get(2) {
            Some(Step::Index(index)) => *index,
            _ => 0,
        }
    }

    /// The keys and indexes after the root, an index as `[]`.
    pub(crate) fn words(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().map(|step| match step {
            Step::Key(key) => key.as_str(),
            Step::Index(_) => "[]",
        })
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Reads `evidence.KIND`.
pub(crate) fn evidence_kind(text: &str) -> Result<String, String> {
    match text.strip_prefix("evidence.") {
        Some(kind) if is_kind(kind) => Ok(kind.to_owned()),
        _ => Err(format!(
            "`{text:.128}` is not `evidence.KIND`, such as `evidence.model_card`"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_paths() {
        for (text, good) in [
            ("candidate.model.purpose", true),
            ("evidence.rollback_plan[0].claim.summary", true),
            ("evidence.evaluation", true),
            ("model.purpose", false),
            ("candidate", false),
            ("candidate.", false),
            ("evidence.a[x]", false),
            ("evidence.a[0", false),
            ("candidate.mo del", false),
            ("", false),
        ] {
            assert_eq!(text.parse::<Path>().is_ok(), good, "{text}");
        }
    }
}
