//! Judging: a bundle over a candidate, at an instant and a depth, with waivers, gives a report.
//! Not here: reading, printing, deciding.
//!
//! The order for each rule: is it in use, does the bundle apply, does the rule apply, is the
//! evidence there and young enough, does the check hold, is a failure waived. Whatever cannot be
//! judged is an error, and an error counts as a failure.

use jiff::Timestamp;
use lumos_domain::facts::BundleRef;
use lumos_domain::words::{Depth, RuleResult};
use serde_json::Value;

use crate::bundle::Bundle;
use crate::candidate::{Candidate, Record};
use crate::cel::{Cel, Scope};
use crate::check::{Check, Seen, View, paths::days_between};
use crate::report::{self, Judged, ReleaseRef, Report, Summary, WaiverUsed};
use crate::rule::{Message, Rule, Status};
use crate::waiver::Waiver;

/// What a report depends on besides bundle and candidate.
#[derive(Debug, Clone, Copy)]
pub struct Context<'w> {
    /// The instant the report speaks of.
    pub as_of: Timestamp,
    /// The review depth.
    pub depth: Depth,
    /// Every waiver that may apply; those of other rules are ignored.
    pub waivers: &'w [Waiver],
}

/// Judges `candidate` by `bundle`.
#[must_use]
pub fn evaluate(bundle: &Bundle, candidate: &Candidate, ctx: &Context<'_>) -> Report {
    let params: Value = bundle
        .params()
        .iter()
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let scope = Scope::new(candidate, &params);
    let applies = bundle.applies_to().map(|cel| (cel, cel.holds(&scope)));
    let outside = match &applies {
        None | Some((_, Ok(true))) => None,
        Some((cel, Ok(false))) => {
            let why = format!("the bundle applies only where `{}`", cel.source());
            Some(Answer::plain(RuleResult::NotApplicable, why))
        }
        Some((_, Err(error))) => {
            let why = format!("whether the bundle applies cannot be judged: {error}");
            Some(Answer::plain(RuleResult::Error, why))
        }
    };
    let court = Court {
        candidate,
        ctx,
        scope: &scope,
    };
    let mut waivers = Vec::new();
    let results: Vec<Judged> = bundle
        .rules()
        .iter()
        .map(|rule| court.judge(rule, outside.as_ref(), &mut waivers))
        .collect();
    waivers.sort();
    let summary = Summary::of(&results);
    let threshold = bundle.pass_threshold();
    Report {
        schema: report::SCHEMA.to_owned(),
        evaluator: report::EVALUATOR.to_owned(),
        bundle: BundleRef {
            name: bundle.name().clone(),
            version: bundle.version().to_owned(),
            digest: bundle.digest(),
        },
        release: ReleaseRef {
            model: candidate.model().clone(),
            version: candidate.version().clone(),
            digest: candidate.release(),
            environment: candidate.environment().clone(),
        },
        candidate_digest: candidate.digest(),
        as_of: ctx.as_of,
        depth: ctx.depth,
        results,
        waivers,
        pass_threshold: threshold,
        // `None < Some(_)`: without a score, a threshold is not reached.
        below_threshold: summary.score_raw < threshold,
        blocked: summary.score_raw.is_none() || !summary.blocking.is_empty(),
        score_raw: summary.score_raw,
        score_with_waivers: summary.score_with_waivers,
        blocking: summary.blocking,
        gaps: summary.gaps,
        routes: summary.routes,
    }
}

/// The answer to one rule before waivers.
#[derive(Debug, Clone)]
struct Answer {
    result: RuleResult,
    message: String,
    seen: Option<Seen>,
}

impl Answer {
    fn plain(result: RuleResult, message: String) -> Self {
        Self {
            result,
            message,
            seen: None,
        }
    }
}

struct Court<'a> {
    candidate: &'a Candidate,
    ctx: &'a Context<'a>,
    scope: &'a Scope<'a, 'a>,
}

impl Court<'_> {
    fn judge(&self, rule: &Rule, outside: Option<&Answer>, used: &mut Vec<WaiverUsed>) -> Judged {
        let enforcement = rule.enforcement.at(self.ctx.depth);
        let answer = self
            .not_in_use(rule)
            .or_else(|| outside.cloned())
            .or_else(|| self.does_not_apply(rule))
            .or_else(|| self.lacks_evidence(rule))
            .unwrap_or_else(|| self.check(rule));
        let (observed, expected, evidence) = match answer.seen {
            Some(seen) => (Some(seen.observed), Some(seen.expected), seen.evidence),
            None => (None, None, vec![]),
        };
        let mut judged = Judged {
            rule: rule.id.clone(),
            rule_digest: rule.digest,
            title: rule.title.clone(),
            severity: rule.severity,
            enforcement,
            weight: rule.weight,
            result: answer.result,
            before_waiver: None,
            message: answer.message,
            observed,
            expected,
            evidence,
            controls: rule.controls.clone(),
            remediation: rule.remediation.clone(),
            routes_to: rule.routes_to.clone(),
            waived_by: None,
            waiver_reason: None,
        };
        if judged.result.is_gap() {
            used.extend(self.waive(rule, &mut judged));
        }
        judged
    }

    fn not_in_use(&self, rule: &Rule) -> Option<Answer> {
        let as_of = self.ctx.as_of;
        let why = match rule.status {
            Status::Draft => "the rule is a draft".to_owned(),
            Status::Deprecated => "the rule is deprecated".to_owned(),
            Status::Active => match (rule.effective_from, rule.effective_to) {
                (Some(from), _) if as_of < from => format!("the rule takes effect on {from}"),
                (_, Some(to)) if to <= as_of => format!("the rule ended on {to}"),
                _ => return None,
            },
        };
        Some(Answer::plain(RuleResult::NotApplicable, why))
    }

    fn does_not_apply(&self, rule: &Rule) -> Option<Answer> {
        let when = rule.when.as_ref()?;
        match when.holds(self.scope) {
            Ok(true) => None,
            Ok(false) => {
                let why = format!("applies only where `{}`", when.source());
                Some(Answer::plain(RuleResult::NotApplicable, why))
            }
            Err(error) => {
                let why = format!("whether the rule applies cannot be judged: {error}");
                Some(Answer::plain(RuleResult::Error, why))
            }
        }
    }

    /// Evidence that is absent, too old, or recorded after the instant the report speaks of.
    fn lacks_evidence(&self, rule: &Rule) -> Option<Answer> {
        let as_of = self.ctx.as_of;
        let mut kinds = rule.requires.clone();
        kinds.extend(rule.check.kinds());
        for kind in &kinds {
            let newest = self.candidate.evidence(kind).first();
            if let Some(record) = newest.filter(|record| record.recorded_at > as_of) {
                let why = format!("`{kind}` evidence was recorded after {as_of}");
                return Some(told(Seen::error(why, "evidence known then"), record));
            }
        }
        for kind in &rule.requires {
            if self.candidate.evidence(kind).is_empty() {
                let seen = Seen::missing(
                    format!("no `{kind}` evidence"),
                    format!("`{kind}` evidence"),
                );
                return Some(Answer {
                    result: seen.result,
                    message: seen.observed.clone(),
                    seen: Some(seen),
                });
            }
        }
        // An operator sees only what is young enough; an expression sees all, so its kinds are
        // held to the same age here.
        let days = rule.evidence_max_age?;
        let held = if matches!(rule.check, Check::Cel(_)) {
            &kinds
        } else {
            &rule.requires
        };
        let old = held.iter().find_map(|kind| {
            let newest = self.candidate.evidence(kind).first()?;
            (!days.covers(newest.recorded_at, as_of)).then_some((kind, newest))
        });
        let (kind, record) = old?;
        let age = days_between(record.recorded_at, as_of);
        let observed = format!("the newest `{kind}` evidence is {age} days old");
        Some(told(
            Seen::missing(observed, format!("at most {days} old")),
            record,
        ))
    }

    fn check(&self, rule: &Rule) -> Answer {
        let max_age = rule.evidence_max_age;
        let view = View {
            candidate: self.candidate,
            as_of: self.ctx.as_of,
            max_age,
        };
        let seen = match &rule.check {
            Check::Cel(cel) => self.expression(cel),
            check => match check.see(view) {
                Some(seen) => seen,
                None => Seen::error("the check has no operator", "an operator"),
            },
        };
        let message = match seen.result {
            RuleResult::Pass => format!("holds: {}", seen.observed),
            RuleResult::Fail => self.failure(rule, &seen),
            _ => seen.observed.clone(),
        };
        Answer {
            result: seen.result,
            message,
            seen: Some(seen),
        }
    }

    fn expression(&self, cel: &Cel) -> Seen {
        let expected = format!("`{}`", cel.source());
        let seen = match cel.holds(self.scope) {
            Ok(true) => Seen::new(RuleResult::Pass, "true", expected),
            Ok(false) => Seen::new(RuleResult::Fail, cel.values(self.candidate), expected),
            Err(error) => Seen::error(error.to_string(), expected),
        };
        let records = cel.kinds();
        seen.from(
            records
                .iter()
                .flat_map(|kind| self.candidate.evidence(kind))
                .take(32),
        )
    }

    fn failure(&self, rule: &Rule, seen: &Seen) -> String {
        let plain = format!("observed {}, expected {}", seen.observed, seen.expected);
        match &rule.message {
            None => plain,
            Some(Message::Text(text)) => text.clone(),
            Some(Message::Cel(cel)) => {
                let scope = self.scope.with(&seen.observed, &seen.expected);
                // A broken message must not change a result: the plain one stands in.
                cel.text(&scope)
                    .unwrap_or(plain)
                    .chars()
                    .take(1_024)
                    .collect()
            }
        }
    }

    /// Applies the first waiver, by id, that excuses this gap; else says why none does.
    fn waive(&self, rule: &Rule, judged: &mut Judged) -> Option<WaiverUsed> {
        let mut mine: Vec<&Waiver> = self
            .ctx
            .waivers
            .iter()
            .filter(|waiver| waiver.rule == rule.id)
            .collect();
        mine.sort();
        let mut reasons = Vec::new();
        for waiver in mine {
            match waiver.excuses(rule, judged.enforcement, self.candidate, self.ctx.as_of) {
                Ok(()) => {
                    judged.before_waiver = Some(judged.result);
                    judged.result = RuleResult::Waived;
                    judged.waived_by = Some(waiver.id.clone());
                    judged.waiver_reason = None;
                    return Some(WaiverUsed {
                        id: waiver.id.clone(),
                        rule: rule.id.clone(),
                        expires_at: waiver.expires_at,
                    });
                }
                Err(refusal) => reasons.push(format!("{}: {}", refusal.as_str(), waiver.id)),
            }
        }
        judged.waiver_reason = (!reasons.is_empty()).then(|| reasons.join("; "));
        None
    }
}

fn told(seen: Seen, record: &Record) -> Answer {
    let seen = seen.from([record]);
    Answer {
        result: seen.result,
        message: seen.observed.clone(),
        seen: Some(seen),
    }
}
