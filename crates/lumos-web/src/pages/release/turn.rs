//! Why a release waits, whose turn it is, and the next step.

use jiff::Timestamp;
use lumos_domain::{
    facts::ReportFacts,
    org::Org,
    release::Release,
    review::{Outlook, Review},
    rules::Slot,
};

use crate::pages::{
    inbox,
    show::{State, When, count, cut},
};

/// Where a release stands in one environment.
#[derive(Debug, Clone)]
pub(in crate::pages) struct Turn {
    pub(in crate::pages) state: State,
    pub(in crate::pages) why: String,
    pub(in crate::pages) whose: String,
    pub(in crate::pages) next: String,
    pub(in crate::pages) due: Option<When>,
}

/// Everything this is told from.
pub(super) struct Facts<'a> {
    pub(super) release: &'a Release,
    pub(super) report: Option<&'a ReportFacts>,
    pub(super) outlook: Option<&'a Outlook>,
    pub(super) review: Option<&'a Review>,
    pub(super) free: &'a [Slot],
    pub(super) org: &'a Org,
    pub(super) failure: Option<(String, String)>,
    pub(super) due: Option<Timestamp>,
    /// Why the approval, if there is one, does not hold.
    pub(super) not_live: Option<String>,
    pub(super) now: Timestamp,
}

impl Turn {
    fn new(
        state: &str,
        why: impl Into<String>,
        whose: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        Self {
            state: State::of(state),
            why: why.into(),
            whose: whose.into(),
            next: next.into(),
            due: None,
        }
    }

    /// Where things stand.
    pub(super) fn of(facts: &Facts<'_>) -> Self {
        if facts.release.withdrawn {
            return Self::new(
                "withdrawn",
                "The release was withdrawn.",
                "nobody",
                "Submit a new version if it is still wanted.",
            );
        }
        match facts.review {
            Some(review) if review.approval.is_some() => Self::approved(facts),
            Some(review) if review.is_open() => {
                let mut turn = Self::open(facts, review);
                turn.due = facts.due.map(|due| When::of(due, facts.now));
                turn
            }
            Some(review) if review.closed.is_some() => {
                let cause = review.closed.as_ref().map_or("", |cause| cause.as_str());
                Self::new(
                    cause,
                    format!("The review ended without approval: {cause}."),
                    "the model's owner and developers",
                    "Mend what the signature names. New evidence leads to a new report and a new round of review.",
                )
            }
            _ => Self::before_review(facts),
        }
    }

    fn before_review(facts: &Facts<'_>) -> Self {
        if facts.release.digest.is_none() {
            if let Some((code, problem)) = &facts.failure {
                return Self::new(
                    "not fetched",
                    format!(
                        "The artifacts could not be fetched ({code}): {}",
                        cut(problem, 400)
                    ),
                    "the operator of the registry connector",
                    "Repair the connection or the version in its registry; the release scanner then tries again.",
                );
            }
            return Self::new(
                "waiting",
                "The artifacts are being fetched, hashed and scanned.",
                "the release scanner",
                "Nothing to do: the compliance checker follows by itself.",
            );
        }
        if facts.report.is_none() {
            return Self::new(
                "waiting",
                "There is no compliance report for this environment yet.",
                "the compliance checker",
                "Nothing to do: a report follows, then the review.",
            );
        }
        if facts.is_outdated() {
            return Self::new(
                "waiting",
                "There is evidence, or a change of what it is compared with, that the latest report does not cover.",
                "the compliance checker",
                "Nothing to do: a new report follows by itself.",
            );
        }
        let gate = facts
            .report
            .and_then(|report| facts.org.gates.get(&report.environment));
        if let Some(after) = gate.and_then(|gate| gate.after.as_ref()) {
            return Self::new(
                "waiting",
                format!("The gate asks for a live approval for `{after}` first."),
                "the approval orchestrator",
                format!("See the review for `{after}`; this one opens when that is approved."),
            );
        }
        Self::new(
            "waiting",
            "The report is there; the review is not open yet.",
            "the approval orchestrator",
            "Nothing to do: the review opens by itself.",
        )
    }

    fn open(facts: &Facts<'_>, review: &Review) -> Self {
        let Some(record) = &review.record else {
            return Self::before_review(facts);
        };
        let claims = facts.release.open_claims.len();
        let whose = inbox::turn(record, claims, facts.free);
        if record.test {
            return Self::new(
                "in review",
                "This release only tests the flow; it can be reviewed, never approved.",
                whose,
                "Withdraw it when the test is over.",
            );
        }
        if !record.blocking.is_empty() {
            let rules = match record.blocking.len() {
                1 => "1 rule blocks".to_owned(),
                n => format!("{n} rules block"),
            };
            let why = format!("{rules}, listed below: nobody can approve while this stays.");
            let (state, whose) = match &facts.org.rules {
                Some(rules) if !record.critical.is_empty() => {
                    ("paused", inbox::paused(&whose, &rules.senior_role))
                }
                _ => ("blocked", whose),
            };
            return Self::new(
                state,
                why,
                whose,
                "Mend each gap as its remediation says and submit the evidence; a new report follows by itself.",
            );
        }
        if claims > 0 {
            return Self::new(
                "waiting",
                format!(
                    "{} unresolved: who wrote this decides who may not approve it.",
                    count(claims, "author claim")
                ),
                whose,
                "Each author signs in and takes their claim below.",
            );
        }
        if facts.is_outdated() {
            return Self::new(
                "waiting",
                "New evidence came in that the report does not cover.",
                "the compliance checker",
                "Nothing to do: the record is brought up to date, then people sign it.",
            );
        }
        Self::new(
            "in review",
            format!(
                "Nothing blocks. {} still to be made.",
                signatures(facts.free)
            ),
            whose,
            "A person who holds the role reads this page and signs below.",
        )
    }

    fn approved(facts: &Facts<'_>) -> Self {
        match &facts.not_live {
            None => Self::new(
                "approved",
                "The release may run here, as the approval below says.",
                "nobody",
                "Nothing to do before it expires.",
            ),
            Some(problem) => Self::new(
                "revoked",
                format!("The approval does not hold: {problem}."),
                "the model's owner",
                "Ask for a new review, or submit a new version.",
            ),
        }
    }

    #[cfg(test)]
    pub(in crate::pages) fn sample() -> Self {
        let mut turn = Self::new(
            "blocked",
            "2 rules block, listed below <script>",
            "the model's owner and developers",
            "Mend each gap.",
        );
        turn.due = Some(When::sample());
        turn
    }
}

fn signatures(free: &[Slot]) -> String {
    let missing: u32 = free.iter().map(|slot| slot.count).sum();
    count(usize::try_from(missing).unwrap_or(usize::MAX), "signature")
}

impl Facts<'_> {
    /// Whether the latest report leaves something out that is known by now.
    fn is_outdated(&self) -> bool {
        match (self.report, self.outlook) {
            (Some(report), Some(now)) => {
                report.subject_version != now.subject_version || report.depth != now.depth
            }
            _ => false,
        }
    }
}
