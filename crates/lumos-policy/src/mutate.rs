//! Rules changed in one small way each, to see whether their tests notice: a change that no test notices is one that
//! somebody could make tomorrow. Not here: the tests themselves (`cases`).

use std::fmt::Display;

use lumos_domain::words::Severity;
use serde_json::Value;

use crate::{
    bundle::Bundle,
    cases::{Case, Cases},
    cel::{Cel, compile_pattern},
    check::{
        Check,
        metric::{Metric, Op, Quantifier},
    },
    path::Path,
    rule::{Days, Rule, RuleId, Status},
};

mod tokens;

/// A rule that was changed.
#[derive(Debug, Clone)]
pub struct Mutant {
    /// What was changed, in a few words.
    pub what: String,
    rule: Rule,
}

/// A change that no test noticed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survivor {
    /// The rule.
    pub rule: RuleId,
    /// What was changed, in a few words.
    pub what: String,
}

/// What became of all mutants of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hunt {
    /// How many there were.
    pub mutants: usize,
    /// Those that no test noticed, in the order of the rules.
    pub survivors: Vec<Survivor>,
}

/// Changes every rule in use of `bundle` in each way that there is, and runs its tests over each.
#[must_use]
pub fn hunt(bundle: &Bundle, cases: &Cases, base: &Value) -> Hunt {
    let mut hunt = Hunt::default();
    let in_use = |rule: &&Rule| rule.status == Status::Active;
    for rule in bundle.rules().iter().filter(in_use) {
        // One that does not hold to begin with would notice everything.
        let holds = |case: &&Case| cases.problem(case, (bundle, rule), base).is_none();
        let own = cases.all().iter().filter(|case| case.rule == rule.id);
        let own: Vec<_> = own.filter(holds).collect();
        for mutant in mutants(rule) {
            hunt.mutants += 1;
            let mut told = own.iter();
            if !told.any(|case| cases.problem(case, (bundle, &mutant.rule), base).is_some()) {
                hunt.survivors.push(Survivor {
                    rule: rule.id.clone(),
                    what: mutant.what,
                });
            }
        }
    }
    hunt
}

/// The rule in each way that it can be changed.
#[must_use]
pub fn mutants(rule: &Rule) -> Vec<Mutant> {
    let checks = of_check(&rule.check).into_iter().map(|(what, check)| {
        let check = Rule {
            check,
            ..rule.clone()
        };
        (what, check)
    });
    around(rule)
        .into_iter()
        .chain(checks)
        .map(|(what, rule)| Mutant { what, rule })
        .collect()
}

type Changed<T> = Vec<(String, T)>;

/// Changes of when a rule applies, and of the evidence that it asks for.
fn around(rule: &Rule) -> Changed<Rule> {
    let with = |change: &dyn Fn(&mut Rule)| {
        let mut rule = rule.clone();
        change(&mut rule);
        rule
    };
    let mut all = Vec::new();
    if let Some(when) = &rule.when {
        all.push((
            "it applies always".to_owned(),
            with(&|rule| rule.when = None),
        ));
        for (what, cel) in of_cel(when) {
            let what = format!("`when`: {what}");
            all.push((what, with(&|rule| rule.when = Some(cel.clone()))));
        }
    }
    // The one kind that an operator looks into is missing without being asked for; an expression fails without it.
    let seen = match &rule.check {
        Check::Cel(_) => Vec::new(),
        check => check.kinds(),
    };
    let seen = if seen.len() == 1 { seen } else { Vec::new() };
    for kind in rule.requires.iter().filter(|kind| !seen.contains(kind)) {
        let without = |rule: &mut Rule| rule.requires.retain(|other| other != kind);
        all.push((format!("it does not require `{kind}`"), with(&without)));
    }
    if let Some(age) = rule.evidence_max_age {
        all.push((
            "evidence may be of any age".to_owned(),
            with(&|rule| rule.evidence_max_age = None),
        ));
        for days in days_beside(age) {
            let what = format!("evidence may be {days} old");
            all.push((what, with(&|rule| rule.evidence_max_age = Some(days))));
        }
    }
    all
}

/// Changes of what is checked.
fn of_check(check: &Check) -> Changed<Check> {
    let mut all = Vec::new();
    for (what, always) in [("it always holds", "true"), ("it never holds", "false")] {
        let is_other = |cel: &Cel| !matches!(check, Check::Cel(own) if own == cel);
        let cel = Cel::parse(always).ok().filter(is_other);
        all.extend(cel.map(|cel| (what.to_owned(), Check::Cel(cel))));
    }
    all.extend(match check {
        Check::MinLength { path, min } => named("min", beside(*min), |min| Check::MinLength {
            path: path.clone(),
            min,
        }),
        Check::OneOf { path, values } => without_each(values, |values| Check::OneOf {
            path: path.clone(),
            values,
        }),
        Check::Matches { path, pattern } => of_pattern(path, pattern.as_str()),
        Check::Metric(metric) => of_metric(metric),
        Check::ScanMaxSeverity(max) => {
            named("max", severities_beside(*max), Check::ScanMaxSeverity)
        }
        Check::NoFinding(codes) => without_each(codes, Check::NoFinding),
        Check::EvidenceFresh { kind, max_age } => named("max_age", days_beside(*max_age), |days| {
            Check::EvidenceFresh {
                kind: kind.clone(),
                max_age: days,
            }
        }),
        Check::LicenseAllowed(allow) => without_each(allow, Check::LicenseAllowed),
        Check::SectionPresent { titles, min_words } => {
            let mut all = named("min_words", beside(*min_words), |min_words| {
                Check::SectionPresent {
                    titles: titles.clone(),
                    min_words,
                }
            });
            all.extend(without_each(titles, |titles| Check::SectionPresent {
                titles,
                min_words: *min_words,
            }));
            all
        }
        Check::Cel(cel) => {
            let changed = of_cel(cel).into_iter();
            changed.map(|(what, cel)| (what, Check::Cel(cel))).collect()
        }
        // Nothing of these can be set.
        Check::Present(_)
        | Check::DigestMatches { .. }
        | Check::LicenceConsistent
        | Check::FullyScanned => Vec::new(),
    });
    all
}

/// The check with other values of a key.
fn named<T: Display + Clone>(
    key: &str,
    values: impl IntoIterator<Item = T>,
    check: impl Fn(T) -> Check,
) -> Changed<Check> {
    let changed = values
        .into_iter()
        .map(|value| (format!("`{key}` is {value}"), check(value)));
    changed.collect()
}

/// The check without each item of its list, where it has more than one.
fn without_each<T: Display + Clone>(
    items: &[T],
    check: impl Fn(Vec<T>) -> Check,
) -> Changed<Check> {
    let several = items.len() > 1;
    let each = items.iter().enumerate().filter(|_| several);
    let changed = each.map(|(at, item)| {
        let mut rest = items.to_vec();
        rest.remove(at);
        (format!("without {item}"), check(rest))
    });
    changed.collect()
}

/// A pattern without either of its anchors.
fn of_pattern(path: &Path, pattern: &str) -> Changed<Check> {
    let loosened = [pattern.strip_prefix('^'), pattern.strip_suffix('$')];
    let changed = loosened.into_iter().flatten().filter_map(|text| {
        let check = Check::Matches {
            path: path.clone(),
            pattern: compile_pattern(text).ok()?,
        };
        Some((format!("`pattern` is {text}"), check))
    });
    changed.collect()
}

fn of_metric(metric: &Metric) -> Changed<Check> {
    let mut all = Vec::new();
    let mut push = |what: String, change: &dyn Fn(&mut Metric)| {
        let mut metric = metric.clone();
        change(&mut metric);
        all.push((what, Check::Metric(metric)));
    };
    for op in other_ops(metric.op) {
        push(format!("`op` is {}", op.as_str()), &|metric| {
            metric.op = *op;
        });
    }
    // A hundredth of it to either side; around zero, a hundredth.
    let step = if metric.value == 0.0 {
        0.01
    } else {
        metric.value.abs() / 100.0
    };
    for value in [metric.value - step, metric.value + step] {
        push(format!("`value` is {value}"), &|metric| {
            metric.value = value;
        });
    }
    if metric.slice == "*" {
        let other = match metric.quantifier {
            Quantifier::All => Quantifier::Any,
            Quantifier::Any => Quantifier::All,
        };
        push("`quantifier` is the other".to_owned(), &|metric| {
            metric.quantifier = other;
        });
        push("`slice` is all".to_owned(), &|metric| {
            "all".clone_into(&mut metric.slice);
        });
    } else {
        push("`slice` is every one".to_owned(), &|metric| {
            "*".clone_into(&mut metric.slice);
        });
    }
    if metric.suite.is_some() {
        push("`suite` is any".to_owned(), &|metric| metric.suite = None);
    }
    all
}

/// The comparison that differs at the threshold alone, and the one that points the other way.
const fn other_ops(op: Op) -> &'static [Op] {
    match op {
        Op::AtLeast => &[Op::Above, Op::AtMost],
        Op::Above => &[Op::AtLeast, Op::Below],
        Op::AtMost => &[Op::Below, Op::AtLeast],
        Op::Below => &[Op::AtMost, Op::Above],
        Op::Equal => &[Op::NotEqual],
        Op::NotEqual => &[Op::Equal],
    }
}

/// An expression with one operator or number of it changed, as far as that is an expression.
fn of_cel(cel: &Cel) -> Changed<Cel> {
    tokens::changed(cel.source())
        .into_iter()
        .filter_map(|(what, source)| Some((what, Cel::parse(&source).ok()?)))
        .collect()
}

fn beside(number: u64) -> impl Iterator<Item = u64> {
    [number.checked_sub(1), number.checked_add(1)]
        .into_iter()
        .flatten()
}

fn days_beside(days: Days) -> impl Iterator<Item = Days> {
    let days = [days.0.checked_sub(1), days.0.checked_add(1)];
    days.into_iter().flatten().map(Days)
}

fn severities_beside(severity: Severity) -> impl Iterator<Item = Severity> {
    let all = Severity::ALL;
    let at = all.iter().position(|other| *other == severity);
    let beside = at.map(|at| [at.checked_sub(1), at.checked_add(1)]);
    let beside = beside.into_iter().flatten().flatten();
    beside.filter_map(|at| all.get(at).copied())
}
