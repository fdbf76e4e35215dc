//! What reading a bundle cannot refuse but its author should know: misspelt fields in expressions,
//! unused parameters, rules that cannot do what they seem to. Not here: reading; judging.

use std::fmt;

use lumos_domain::words::{Depth, Enforcement};

use crate::bundle::Bundle;
use crate::cel::Cel;
use crate::check::{Check, metric::Op};
use crate::rule::{Message, Rule, RuleId, Status};
use crate::schema::{Problem, check_cel, check_path};

/// How sure a finding is to be a mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The rule cannot work as written.
    Error,
    /// The rule works, perhaps not as meant.
    Warning,
}

/// One thing found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How sure it is to be a mistake.
    pub level: Level,
    /// The rule; `None` for the bundle.
    pub rule: Option<RuleId>,
    /// What was found, in words.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Error => "error",
            Level::Warning => "warning",
        };
        match &self.rule {
            Some(rule) => write!(f, "{level}: {rule}: {}", self.text),
            None => write!(f, "{level}: {}", self.text),
        }
    }
}

/// Looks at every rule of `bundle`; the findings stand in the order of the bundle.
#[must_use]
pub fn lint(bundle: &Bundle) -> Vec<Finding> {
    let mut notes = Notes {
        rule: None,
        found: Vec::new(),
    };
    if let Some(cel) = bundle.applies_to() {
        notes.expression("applies_to.cel", cel, bundle, &[]);
    }
    for name in bundle.unused_params() {
        notes.warn(format!("the parameter `{name}` is not used"));
    }
    let in_use: Vec<&Rule> = bundle
        .rules()
        .iter()
        .filter(|rule| rule.status == Status::Active)
        .collect();
    let never_blocks = |rule: &&Rule| {
        Depth::ALL
            .iter()
            .all(|depth| rule.enforcement.at(*depth) == Enforcement::Advisory)
    };
    if in_use.is_empty() {
        notes.error("no rule is in use: every report would be blocked without a score".to_owned());
    } else if in_use.iter().all(never_blocks) {
        notes.warn("every rule is advisory: no failure ever blocks".to_owned());
    }
    for rule in bundle.rules() {
        notes.rule = Some(rule.id.clone());
        notes.fields(rule, bundle);
        notes.enforcement(rule);
        notes.evidence(rule);
        notes.words(rule);
    }
    notes.found
}

struct Notes {
    rule: Option<RuleId>,
    found: Vec<Finding>,
}

impl Notes {
    fn error(&mut self, text: String) {
        self.found.push(Finding {
            level: Level::Error,
            rule: self.rule.clone(),
            text,
        });
    }

    fn warn(&mut self, text: String) {
        self.found.push(Finding {
            level: Level::Warning,
            rule: self.rule.clone(),
            text,
        });
    }

    fn problems(&mut self, place: &str, problems: Vec<Problem>) {
        for Problem { certain, text } in problems {
            let text = format!("`{place}`: {text}");
            if certain {
                self.error(text);
            } else {
                self.warn(text);
            }
        }
    }

    fn expression(&mut self, place: &str, cel: &Cel, bundle: &Bundle, extra: &[&'static str]) {
        self.problems(place, check_cel(cel, bundle.params(), extra));
    }

    /// Fields and paths against the shape of the candidate document.
    fn fields(&mut self, rule: &Rule, bundle: &Bundle) {
        for (place, cel) in rule.expressions() {
            let extra: &[_] = if place == "message.cel" {
                &["observed", "expected"]
            } else {
                &[]
            };
            self.expression(place, cel, bundle, extra);
        }
        match &rule.check {
            Check::Present(path)
            | Check::MinLength { path, .. }
            | Check::OneOf { path, .. }
            | Check::Matches { path, .. } => self.problems("check", check_path(path)),
            Check::Metric(metric) if matches!(metric.op, Op::Equal | Op::NotEqual) => {
                self.warn("a measured number is compared for equality".to_owned());
            }
            _ => {}
        }
    }

    fn enforcement(&mut self, rule: &Rule) {
        let levels: Vec<Enforcement> = Depth::ALL
            .iter()
            .map(|depth| rule.enforcement.at(*depth))
            .collect();
        if levels.windows(2).any(|pair| pair[1] < pair[0]) {
            self.warn("enforcement gets lighter as the review gets deeper".to_owned());
        }
        if rule.routes_to.is_some() && levels.iter().all(|level| *level == Enforcement::Mandatory) {
            self.warn(
                "routes a failure to a role, but a mandatory failure blocks whoever signs"
                    .to_owned(),
            );
        }
        if let (Some(from), Some(to)) = (rule.effective_from, rule.effective_to)
            && to <= from
        {
            self.error("ends before it takes effect: it is never judged".to_owned());
        }
    }

    fn evidence(&mut self, rule: &Rule) {
        if let Check::Cel(cel) = &rule.check {
            let guarded = rule.when.as_ref().map(Cel::kinds).unwrap_or_default();
            for kind in cel.kinds() {
                let asked = rule.requires.contains(&kind) || guarded.contains(&kind);
                if !asked
                    && !cel.source().contains("has(")
                    && !cel.source().contains(" in evidence")
                {
                    self.warn(format!(
                        "reads `evidence.{kind}` without `requires`: where it is absent the result is an error instead of missing evidence"
                    ));
                }
            }
        }
        if matches!(rule.check, Check::EvidenceFresh { .. }) && rule.evidence_max_age.is_some() {
            self.warn("has both `evidence_fresh` and `evidence_max_age`; one is enough".to_owned());
        }
    }

    /// What a developer is told when the rule fails.
    fn words(&mut self, rule: &Rule) {
        if rule.remediation.is_none() {
            self.warn(
                "has no `remediation`: a developer is not told how to mend a failure".to_owned(),
            );
        }
        if rule.rationale.is_none() {
            self.warn("has no `rationale`: a reader is not told why it is asked".to_owned());
        }
        if let Some(Message::Text(text)) = &rule.message
            && text.contains("{{")
        {
            self.warn(
                "`message.text` holds `{{`, which stands for nothing; use `message.cel`".to_owned(),
            );
        }
    }
}
