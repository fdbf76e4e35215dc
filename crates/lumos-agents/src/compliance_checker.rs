//! The compliance checker: holds each release against the policy bundles that bind its model, whenever
//! there is something new to hold it against, and records the report. It decides nothing.

use std::collections::BTreeSet;

use async_trait::async_trait;
use jiff::Timestamp;
use lumos_domain::{
    actor::OwnAgent,
    command::Command,
    event::Event,
    facts::{REPORTED_RESULTS_MAX, ReportFacts, ReportedResult},
    id::{Digest, Environment, ModelName, ReleaseId},
    refusal::Refusal,
    review::outlook,
    stream::Stream,
    words::{Depth, RuleResult, Score},
};
use lumos_engine::{
    Door, DoorError, LedgerEntry,
    ports::PortError,
    runtime::{Hand, HandleError, Subscriber},
    views,
};
use lumos_policy::{Bundle, Candidate, Context, Report, evaluate};
use serde_json::json;
use tokio::sync::Mutex;

use crate::{
    candidate::{self, Dossier},
    reread,
};

/// The agent. Reports are made one at a time, so that a burst of evidence leads to one report, not many.
#[derive(Default)]
pub struct ComplianceChecker {
    one_at_a_time: Mutex<()>,
}

impl ComplianceChecker {
    /// Makes a report of `release` for `environment`, unless the latest one still covers everything.
    async fn check(
        &self,
        hand: &Hand,
        release: &ReleaseId,
        environment: &Environment,
        why: Why,
    ) -> Result<(), HandleError> {
        let _turn = self.one_at_a_time.lock().await;
        if reread::is_decided(hand, release, environment).await? {
            return Ok(());
        }
        match covered(&hand.door, release, environment, why).await {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            // Withdrawn, or not identified yet: there is nothing to check.
            Err(DoorError::Refused(refusal)) => {
                tracing::debug!(%release, %environment, %refusal, "nothing to check");
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
        let dossier = candidate::dossier(&hand.door, release, environment).await?;
        let report = assess(&hand.door, &dossier, hand.door.ports().clock.now()).await?;
        let facts = record(&hand.door, environment, &dossier, &report).await?;
        // One entry may lead to reports of several releases: the step names what it is about. What was asked for
        // once is judged once, whatever the depth is when the entry is handled again.
        let depth = match why {
            Why::Changed => dossier.outlook.depth.to_string(),
            Why::Asked => String::new(),
        };
        let about = format!(
            "{release} {environment} {} {depth} {:?}",
            dossier.outlook.subject_version, facts.bundles
        );
        let step = format!("report.{}", Digest::of(about.as_bytes()).hex());
        let record = Command::RecordReport {
            release: release.clone(),
            report: facts,
        };
        match hand.submit(&step, record).await {
            // It was left meanwhile.
            Err(DoorError::Refused(left @ Refusal::ReportFromSandbox)) => {
                Err(HandleError::transient(left))
            }
            recorded => Ok(recorded.map(drop)?),
        }
    }

    async fn check_everywhere(
        &self,
        hand: &Hand,
        release: &ReleaseId,
        why: Why,
    ) -> Result<(), HandleError> {
        let targets = hand
            .door
            .ask(|world| Ok(world.release(release)?.targets.clone()))
            .await?;
        for environment in targets.keys() {
            self.check(hand, release, environment, why).await?;
        }
        Ok(())
    }

    /// Checks the releases that people are looking at, of one model or of all: what they are held against or
    /// compared with changed.
    async fn check_open(&self, hand: &Hand, model: Option<&ModelName>) -> Result<(), HandleError> {
        for row in views::reviews::all_open(&*hand.door.ports().store, model).await? {
            let (release, environment) = (row.review.release(), &row.review.environment);
            self.check(hand, &release, environment, Why::Changed)
                .await?;
        }
        Ok(())
    }

    /// Checks releases that have a report but no review yet. What is under review stays pinned to its bundles.
    async fn check_unopened(&self, hand: &Hand) -> Result<(), HandleError> {
        for release in views::releases::in_state(&*hand.door.ports().store, "checked").await? {
            self.check_everywhere(hand, &release, Why::Changed).await?;
        }
        Ok(())
    }
}

/// What a release is checked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// Something it is held against may have changed.
    Changed,
    /// Somebody asked for it.
    Asked,
}

/// Whether the latest report covers the evidence, the depth and the bundles as they are now. The depth a decided
/// review would have today calls for no report until somebody asks: an entry that is handled late, when the
/// release itself runs already, must not begin its review anew.
async fn covered(
    door: &Door,
    release: &ReleaseId,
    environment: &Environment,
    why: Why,
) -> Result<bool, DoorError> {
    let now = door.ports().clock.now();
    door.ask(|world| {
        let outlook = outlook(world, release, environment, now)?;
        let mut bundles = BTreeSet::new();
        for name in &world.model(&release.model)?.policies {
            bundles.extend(world.bundle(name)?.current.clone());
        }
        let state = world.release(release)?;
        let decided = match state.reviews.get(environment) {
            Some(review) => why == Why::Changed && !world.review(review)?.is_open(),
            None => false,
        };
        Ok(state.reports.get(environment).is_some_and(|report| {
            report.subject_version == outlook.subject_version
                && (decided || report.depth == outlook.depth)
                && (outlook.sandbox || !report.sandbox)
                && bundles.is_subset(&report.bundles)
        }))
    })
    .await
}

/// Every bundle's report on one release, as it is stored.
#[derive(Debug, Clone)]
pub struct Assessment {
    /// One report for each bundle, by bundle name.
    pub reports: Vec<Report>,
    /// The instant they were judged as of.
    pub as_of: Timestamp,
}

/// Holds a dossier against its bundles.
///
/// # Errors
/// When a bundle or the document cannot be read.
pub async fn assess(
    door: &Door,
    dossier: &Dossier,
    as_of: Timestamp,
) -> Result<Assessment, HandleError> {
    let bytes = serde_json::to_vec(&dossier.document).map_err(HandleError::fatal)?;
    let candidate = Candidate::parse(&bytes).map_err(HandleError::fatal)?;
    let mut reports = Vec::new();
    for bundle in &dossier.bundles {
        let yaml = door
            .ports()
            .blobs
            .get(&bundle.digest)
            .await?
            .ok_or_else(|| {
                PortError::new(
                    format!("reading bundle {}", bundle.name),
                    "its text is missing",
                )
            })?;
        let bundle = Bundle::parse(&yaml).map_err(HandleError::fatal)?;
        let context = Context {
            as_of,
            depth: dossier.outlook.depth,
            waivers: &[],
        };
        reports.push(evaluate(&bundle, &candidate, &context));
    }
    Ok(Assessment { reports, as_of })
}

/// Stores the whole report as a blob, and sums it up for decisions.
async fn record(
    door: &Door,
    environment: &Environment,
    dossier: &Dossier,
    assessment: &Assessment,
) -> Result<ReportFacts, HandleError> {
    let whole = json!({
        "schema": "lumos.assessment/v1",
        "candidate": dossier.document,
        "reports": assessment.reports,
    });
    let bytes = serde_json::to_vec(&whole).map_err(HandleError::fatal)?;
    let digest = door.ports().blobs.put(bytes).await?;
    Ok(facts(digest, environment, dossier, assessment))
}

fn facts(
    report: Digest,
    environment: &Environment,
    dossier: &Dossier,
    assessment: &Assessment,
) -> ReportFacts {
    let judged = assessment.reports.iter().flat_map(|report| &report.results);
    let mut results: Vec<ReportedResult> = judged
        .filter(|j| !matches!(j.result, RuleResult::Pass | RuleResult::NotApplicable))
        .map(|j| ReportedResult {
            rule: j.rule.to_string(),
            rule_digest: j.rule_digest,
            enforcement: j.enforcement,
            severity: j.severity,
            result: j.result,
            routes_to: j.routes_to.clone(),
        })
        .collect();
    // What blocks comes first, so that nothing that blocks is ever among the omitted.
    results.sort_by_key(|result| std::cmp::Reverse((result.blocks(), result.severity)));
    let omitted = results.len().saturating_sub(REPORTED_RESULTS_MAX);
    results.truncate(REPORTED_RESULTS_MAX);
    ReportFacts {
        report,
        environment: environment.clone(),
        bundles: assessment
            .reports
            .iter()
            .map(|report| report.bundle.clone())
            .collect(),
        evidence: dossier.evidence.clone(),
        as_of: assessment.as_of,
        subject_version: dossier.outlook.subject_version,
        depth: dossier.outlook.depth,
        score: lowest(&assessment.reports),
        below_threshold: assessment
            .reports
            .iter()
            .any(|report| report.below_threshold),
        results,
        omitted: u32::try_from(omitted).unwrap_or(u32::MAX),
        sandbox: dossier.outlook.sandbox,
    }
}

/// The lowest score among the bundles; none when one of them could not score, which blocks.
fn lowest(reports: &[Report]) -> Option<Score> {
    let scores: Option<Vec<Score>> = reports.iter().map(|report| report.score_raw).collect();
    scores.and_then(|scores| scores.into_iter().min())
}

#[async_trait]
impl Subscriber for ComplianceChecker {
    fn agent(&self) -> OwnAgent {
        OwnAgent::ComplianceChecker
    }

    fn wants(&self, event: &Event) -> bool {
        matches!(
            event,
            Event::ReleaseIdentified(_)
                | Event::EvidenceRecorded(_)
                | Event::GateRequested(_)
                | Event::ModelTierSet(_)
                | Event::CurrentReleaseSet(_)
                | Event::ReleasesAssigned(_)
                | Event::BundlePublished(_)
                | Event::ReviewRulesSet(_)
                | Event::ModelRegistered(_)
                | Event::ApprovalRevoked(_)
                | Event::ApprovalExpired(_)
                | Event::SandboxLeft(_)
        )
    }

    async fn handle(&self, hand: &Hand, entry: &LedgerEntry) -> Result<(), HandleError> {
        match (&entry.stream, &entry.event) {
            (Stream::Release(release), Event::GateRequested(_)) => {
                self.check_everywhere(hand, release, Why::Asked).await
            }
            (Stream::Release(release), _) => {
                self.check_everywhere(hand, release, Why::Changed).await
            }
            (Stream::Subject(digest), _) => {
                let (rows, _) =
                    views::releases::by_digest(&*hand.door.ports().store, digest).await?;
                for row in rows {
                    self.check_everywhere(hand, &row.release, Why::Changed)
                        .await?;
                }
                Ok(())
            }
            (Stream::Model(model), _) => self.check_open(hand, Some(model)).await,
            // What it ended may have been the measure of another release.
            (Stream::Review(ended), _) => self.check_open(hand, Some(&ended.model)).await,
            (Stream::Bundle(_), _) => self.check_unopened(hand).await,
            (Stream::Org, _) => {
                self.check_open(hand, None).await?;
                self.check_unopened(hand).await
            }
            (Stream::Assignment(_), Event::ReleasesAssigned(set)) => {
                for assigned in set.releases.iter().take(1) {
                    self.check_open(hand, Some(&assigned.release.model)).await?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// The depth and result words of a report, for logs and pages.
#[must_use]
pub fn summary(depth: Depth, facts: &ReportFacts) -> String {
    let score = facts
        .score
        .map_or_else(|| "no score".to_owned(), |score| score.to_string());
    format!(
        "{score}, {} blocking, depth {depth}",
        facts.blocking().len()
    )
}
