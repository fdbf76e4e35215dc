//! The operator over measured numbers: `metric`. Not here: measuring.

use std::cmp::Ordering;

use serde_json::Value;

use super::{Seen, View};
use crate::candidate::Record;

/// How a value is compared with the threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// `>=`
    AtLeast,
    /// `>`
    Above,
    /// `<=`
    AtMost,
    /// `<`
    Below,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
}

impl Op {
    /// Every comparison, in order.
    pub const ALL: &'static [Self] = &[
        Self::AtLeast,
        Self::Above,
        Self::AtMost,
        Self::Below,
        Self::Equal,
        Self::NotEqual,
    ];

    /// The comparison as written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AtLeast => ">=",
            Self::Above => ">",
            Self::AtMost => "<=",
            Self::Below => "<",
            Self::Equal => "==",
            Self::NotEqual => "!=",
        }
    }

    fn holds(self, value: f64, threshold: f64) -> bool {
        let Some(order) = value.partial_cmp(&threshold) else {
            return false;
        };
        match self {
            Self::AtLeast => order != Ordering::Less,
            Self::Above => order == Ordering::Greater,
            Self::AtMost => order != Ordering::Greater,
            Self::Below => order == Ordering::Less,
            Self::Equal => order == Ordering::Equal,
            Self::NotEqual => order != Ordering::Equal,
        }
    }
}

/// Whether every matching metric must hold, or one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantifier {
    /// Every one.
    All,
    /// One at least.
    Any,
}

/// A measured number and what it must be.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// The kind of evidence; `evaluation` and `fairness` when absent.
    pub evidence: Option<String>,
    /// The suite; any when absent.
    pub suite: Option<String>,
    /// The metric's name.
    pub name: String,
    /// The slice of the data; `*` for every slice.
    pub slice: String,
    /// The comparison.
    pub op: Op,
    /// The threshold.
    pub value: f64,
    /// Which of the matching metrics must hold.
    pub quantifier: Quantifier,
}

impl Metric {
    /// The kinds of evidence looked into.
    #[must_use]
    pub fn kinds(&self) -> Vec<String> {
        match &self.evidence {
            Some(kind) => vec![kind.clone()],
            None => vec!["evaluation".to_owned(), "fairness".to_owned()],
        }
    }

    pub(crate) fn expected(&self) -> String {
        let which = match (self.slice.as_str(), self.quantifier) {
            ("*", Quantifier::All) => " in every slice".to_owned(),
            ("*", Quantifier::Any) => " in some slice".to_owned(),
            (slice, _) => format!(" in slice `{slice}`"),
        };
        let suite = self
            .suite
            .as_ref()
            .map(|suite| format!("{suite}/"))
            .unwrap_or_default();
        format!(
            "{suite}{} {} {}{which}",
            self.name,
            self.op.as_str(),
            self.value
        )
    }

    pub(super) fn see(&self, view: View<'_>) -> Seen {
        let expected = self.expected();
        for kind in self.kinds() {
            for record in view.records(&kind) {
                match self.matching(record) {
                    Err(problem) => return Seen::error(problem, expected).from([record]),
                    Ok(found) if found.is_empty() => {}
                    Ok(found) => return self.judge(&found, expected).from([record]),
                }
            }
        }
        Seen::missing("no such metric was reported", expected)
    }

    /// The metrics of one report that this check is about, with their slices.
    fn matching<'r>(&self, record: &'r Record) -> Result<Vec<(&'r str, f64)>, String> {
        let Some(metrics) = record.claim.get("metrics") else {
            return Ok(vec![]);
        };
        let metrics = metrics.as_array().ok_or("`metrics` is not a list")?;
        let mut found = Vec::new();
        for metric in metrics {
            let word = |key: &str| metric.get(key).and_then(Value::as_str);
            let slice = word("slice").unwrap_or("all");
            let wanted = word("name") == Some(&self.name)
                && self
                    .suite
                    .as_ref()
                    .is_none_or(|suite| word("suite") == Some(suite))
                && (self.slice == "*" || self.slice == slice);
            if wanted {
                let value = metric.get("value").and_then(Value::as_f64);
                found.push((
                    slice,
                    value.ok_or_else(|| format!("{} has no number", self.name))?,
                ));
            }
        }
        Ok(found)
    }

    fn judge(&self, found: &[(&str, f64)], expected: String) -> Seen {
        let (held, broken): (Vec<_>, Vec<_>) = found
            .iter()
            .copied()
            .partition(|(_, value)| self.op.holds(*value, self.value));
        let holds = match self.quantifier {
            Quantifier::All => broken.is_empty(),
            Quantifier::Any => !held.is_empty(),
        };
        let shown = if holds { &held } else { &broken };
        let told = |(slice, value): &(&str, f64)| format!("{value} ({slice})");
        let mut shown: Vec<String> = shown.iter().take(5).map(told).collect();
        if found.len() > shown.len() {
            shown.push(format!("of {} values", found.len()));
        }
        Seen::judged(holds, shown.join(", "), expected)
    }
}
