//! A release from detection to its reports: identity, author claims, evidence, gates asked for.
//!
//! Not here: what people decide (`review`) and what agents may use (`system`).

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::{
    actor::{Actor, Caller},
    event::{
        AcquisitionFailed, AuthorClaimed, CandidateDetected, DigestConflictFound, Event,
        EvidenceRecorded, GateRequested, PromotionFailed, PromotionObserved, ReleaseIdentified,
        ReleaseWithdrawn, ReportRecorded, ReviewClosed,
    },
    facts::{Binding, Cause, PromotionOrder, REPORTED_RESULTS_MAX, ReportFacts, Source},
    id::{AgentRef, Digest, Environment, PersonId, ReleaseId, ReviewId},
    model, outside, person,
    refusal::Refusal,
    review,
    seal::Sealed,
    stream::Stream,
    system,
    words::PartKind,
    world::{Decided, Halt, World},
};

/// The state of stream `release/M/V`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Release {
    /// Where it came from; `None` while it was never detected.
    pub source: Option<Source>,
    /// The environments it asked to enter, each with the agents it is for there.
    pub targets: BTreeMap<Environment, BTreeSet<AgentRef>>,
    /// The signed-in submitter.
    pub submitter: Option<PersonId>,
    /// The kind of change as declared.
    pub declared: Option<PartKind>,
    /// Whether it only tests the flow.
    pub test: bool,
    /// The claims nobody has taken yet, by number.
    pub open_claims: BTreeSet<u32>,
    /// The people who wrote it.
    pub authors: BTreeSet<PersonId>,
    /// The digest, once known.
    pub digest: Option<Digest>,
    /// The latest report for each environment.
    pub reports: BTreeMap<Environment, ReportFacts>,
    /// The latest review for each environment.
    pub reviews: BTreeMap<Environment, ReviewId>,
    /// Promotions that were ordered, by marker.
    pub promotions: BTreeMap<String, Promotion>,
    /// Whether it was withdrawn.
    pub withdrawn: bool,
}

/// A promotion and how far it got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promotion {
    /// What was ordered.
    pub order: PromotionOrder,
    /// Whether it is over: observed or failed.
    pub settled: bool,
}

impl Release {
    pub(crate) fn apply(&mut self, event: &Event) {
        match event {
            Event::CandidateDetected(e) => {
                self.source = Some(e.source.clone());
                self.targets.insert(e.environment.clone(), e.agents.clone());
                self.submitter.clone_from(&e.submitter);
                self.authors.extend(e.submitter.clone());
                self.declared = e.declared;
                self.test = e.test;
                self.open_claims = e.claims.iter().map(|claim| claim.number).collect();
            }
            Event::ReleaseIdentified(e) => self.digest = Some(e.digest),
            Event::AuthorClaimed(e) => {
                self.open_claims.remove(&e.claim);
                self.authors.insert(e.person.clone());
            }
            Event::GateRequested(e) => {
                self.targets.insert(e.environment.clone(), e.agents.clone());
            }
            Event::ReportRecorded(e) => {
                self.reports
                    .insert(e.report.environment.clone(), e.report.clone());
            }
            Event::ReviewStarted(e) => {
                self.reviews
                    .insert(e.review.environment.clone(), e.review.clone());
            }
            Event::PromotionIntended(e) => {
                let promotion = Promotion {
                    order: e.order.clone(),
                    settled: false,
                };
                self.promotions.insert(e.order.marker.clone(), promotion);
            }
            Event::PromotionObserved(PromotionObserved { marker, .. })
            | Event::PromotionFailed(PromotionFailed { marker, .. }) => {
                if let Some(promotion) = self.promotions.get_mut(marker) {
                    promotion.settled = true;
                }
            }
            Event::ReleaseWithdrawn(_) => self.withdrawn = true,
            _ => {}
        }
    }
}

/// The state of stream `subject/DIGEST`: what evidence there is. Its version is what reports cover.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    /// The newest evidence of each kind by each producer, and whether it was recorded in a sandbox.
    pub evidence: BTreeMap<(String, String), (Digest, bool)>,
}

impl Subject {
    pub(crate) fn apply(&mut self, event: &Event) {
        if let Event::EvidenceRecorded(e) = event {
            let by = (e.kind.clone(), e.producer.clone());
            self.evidence.insert(by, (e.digest, e.sandbox));
        }
    }
}

/// The release, if it was detected and not withdrawn.
pub(crate) fn active<'a>(world: &'a World, id: &ReleaseId) -> Result<&'a Release, Halt> {
    let release = world.release(id)?;
    if release.source.is_none() {
        return Err(Refusal::Unknown {
            what: "release",
            name: id.to_string(),
        }
        .into());
    }
    if release.withdrawn {
        return Err(Refusal::Withdrawn.into());
    }
    Ok(release)
}

/// A version that was found or submitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetectCandidate {
    /// The release.
    pub release: ReleaseId,
    /// Everything the event says.
    pub facts: CandidateDetected,
}

pub(crate) fn detect(
    world: &World,
    caller: &Caller,
    command: &DetectCandidate,
) -> Result<Decided, Halt> {
    model::registered(world, &command.release.model)?;
    let release = world.release(&command.release)?;
    if let Some(source) = &release.source {
        // Seen before: polling and webhooks find the same version again and again.
        return if *source == command.facts.source && caller.person().is_none() {
            Ok(Vec::new())
        } else {
            let name = command.release.to_string();
            Err(Refusal::Exists {
                what: "release",
                name,
            }
            .into())
        };
    }
    world.org()?.gate(&command.facts.environment)?;
    system::known_agents(world, &command.facts.agents)?;
    own_source(world, caller, command)?;
    let mut facts = command.facts.clone();
    // A submitter is the signed-in caller or nobody: it is never taken from what was sent.
    facts.submitter = caller.person().cloned();
    Ok(vec![(
        Stream::Release(command.release.clone()),
        facts.into(),
    )])
}

/// The registry name under which files sent with a submission are kept.
pub const UPLOAD: &str = "upload";

/// Refuses artifacts that are not this version's: a registry version must be the one of the same name under a
/// binding of this model, and on a bound model nobody sends files under a name that the registry may give to
/// other bytes. Nothing without an author is taken: unknown is a claim, too.
fn own_source(world: &World, caller: &Caller, command: &DetectCandidate) -> Result<(), Halt> {
    let wrong = |problem: &str| {
        Err(Refusal::WrongSource {
            problem: problem.to_owned(),
        }
        .into())
    };
    let (source, model) = (&command.facts.source, world.model(&command.release.model)?);
    if command.facts.claims.is_empty() && caller.person().is_none() {
        return wrong("nobody is named as its author, not even as unknown");
    }
    if source.registry.as_str() == UPLOAD {
        if !model.bindings.is_empty() {
            return wrong("this model's versions come from its registry; put the files there");
        }
        return Ok(());
    }
    let bound =
        |binding: &Binding| (&binding.registry, &binding.name) == (&source.registry, &source.name);
    if !model.bindings.iter().any(bound) {
        return wrong("this model is not bound to that name in that registry");
    }
    if source.version != command.release.version.as_str() {
        return wrong("the version must be named as its registry names it");
    }
    Ok(())
}

/// What the scanner found out about a release: its digest and the first evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentifyRelease {
    /// The release.
    pub release: ReleaseId,
    /// The release digest, whose manifest blob is stored already.
    pub digest: Digest,
    /// Evidence gathered in the same pass.
    pub evidence: Vec<EvidenceRecorded>,
}

pub(crate) fn identify(
    world: &World,
    caller: &Caller,
    command: &IdentifyRelease,
) -> Result<Decided, Halt> {
    let mut evidence = Vec::with_capacity(command.evidence.len());
    for found in &command.evidence {
        not_forged(caller, found)?;
        if !outside::is_reserved(world, &found.kind)? {
            evidence.push(found.clone());
        }
    }
    let release = active(world, &command.release)?;
    // The manifest must be there and canonical, or nothing could be compared later.
    world.manifest(&command.digest)?;
    let stream = Stream::Release(command.release.clone());
    match release.digest {
        Some(known) if known == command.digest => record_all(world, known, &evidence),
        Some(_) => {
            let conflict = DigestConflictFound {
                found: command.digest,
            };
            Ok(vec![(stream, conflict.into())])
        }
        None => {
            let mut events = vec![(
                stream,
                ReleaseIdentified {
                    digest: command.digest,
                }
                .into(),
            )];
            events.extend(record_all(world, command.digest, &evidence)?);
            Ok(events)
        }
    }
}

/// Evidence that its producer did not say last about `subject`. What was said once and then otherwise can be said again:
/// the newest counts.
pub(crate) fn record_all(
    world: &World,
    subject: Digest,
    evidence: &[EvidenceRecorded],
) -> Result<Decided, Halt> {
    let (known, sandbox) = (world.subject(&subject)?, world.org()?.sandbox);
    // What was recorded in a sandbox that was left is recorded again.
    let new = evidence.iter().filter(|e| {
        let by = (e.kind.clone(), e.producer.clone());
        known.evidence.get(&by) != Some(&(e.digest, sandbox))
    });
    let recorded = new.map(|e| EvidenceRecorded {
        sandbox,
        ..e.clone()
    });
    Ok(recorded
        .map(|e| (Stream::Subject(subject), e.into()))
        .collect())
}

/// Kinds of evidence that only LUMOS's own scanner may make: somebody else's would stand for a scan that
/// never happened.
pub const OWN_KINDS: [&str; 4] = ["artifact_scan", "formats", "licence", "model_card"];

/// The producer of evidence that somebody sends who is no agent.
pub const DEVELOPER: &str = "developer";

/// Evidence for a release, whatever its digest.
pub(crate) fn record_evidence(
    world: &World,
    caller: &Caller,
    id: &ReleaseId,
    evidence: &EvidenceRecorded,
) -> Result<Decided, Halt> {
    not_forged(caller, evidence)?;
    let evidence = outside::produced(world, caller, evidence)?;
    let digest = active(world, id)?.digest.ok_or(Refusal::NotIdentified)?;
    record_all(world, digest, std::slice::from_ref(&evidence))
}

/// Whether `kind` may name a kind of evidence: a-z, then a-z, 0-9 and `_`, 64 at most.
#[must_use]
pub fn is_kind(kind: &str) -> bool {
    kind.len() <= 64
        && kind.starts_with(|c: char| c.is_ascii_lowercase())
        && kind
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// Refuses evidence of an own kind from anybody but LUMOS's own agents, whatever rights they hold.
fn not_forged(caller: &Caller, evidence: &EvidenceRecorded) -> Result<(), Refusal> {
    if !is_kind(&evidence.kind) {
        return Err(Refusal::Unknown {
            what: "evidence kind",
            name: evidence.kind.chars().take(64).collect(),
        });
    }
    let own = matches!(caller.actor, Actor::Agent(_));
    if !own && OWN_KINDS.contains(&evidence.kind.as_str()) {
        return Err(Refusal::OwnEvidence {
            kind: evidence.kind.clone(),
        });
    }
    Ok(())
}

pub(crate) fn acquisition_failed(
    world: &World,
    id: &ReleaseId,
    failure: &AcquisitionFailed,
) -> Result<Decided, Halt> {
    active(world, id)?;
    Ok(vec![(Stream::Release(id.clone()), failure.clone().into())])
}

pub(crate) fn claim(
    world: &World,
    caller: &Caller,
    id: &ReleaseId,
    claim: u32,
) -> Result<Decided, Halt> {
    let person = person::human(world, caller)?;
    if !active(world, id)?.open_claims.contains(&claim) {
        return Err(Refusal::Unknown {
            what: "open author claim",
            name: claim.to_string(),
        }
        .into());
    }
    let claimed = AuthorClaimed {
        claim,
        person: person.clone(),
    };
    Ok(vec![(Stream::Release(id.clone()), claimed.into())])
}

pub(crate) fn withdraw(
    world: &World,
    id: &ReleaseId,
    reason: Sealed,
    now: Timestamp,
) -> Result<Decided, Halt> {
    let release = active(world, id)?;
    let mut events = vec![(
        Stream::Release(id.clone()),
        ReleaseWithdrawn { reason }.into(),
    )];
    for review in release.reviews.values() {
        let state = world.review(review)?;
        if state.live(now).is_ok() {
            return Err(Refusal::AlreadyApproved.into());
        }
        if state.is_open() {
            let closed = ReviewClosed {
                cause: Cause::Withdrawn,
            };
            events.push((Stream::Review(review.clone()), closed.into()));
        }
    }
    Ok(events)
}

pub(crate) fn request_gate(
    world: &World,
    id: &ReleaseId,
    environment: &Environment,
    agents: &BTreeSet<AgentRef>,
    now: Timestamp,
) -> Result<Decided, Halt> {
    let release = active(world, id)?;
    world.org()?.gate(environment)?;
    system::known_agents(world, agents)?;
    // Asked for again, once what was decided about it holds no more.
    let ended = match release.reviews.get(environment) {
        Some(last) => !world.review(last)?.is_open() && review::ended(world, last, now)?,
        None => false,
    };
    if release.targets.get(environment) == Some(agents) && !ended {
        return Ok(Vec::new());
    }
    let requested = GateRequested {
        environment: environment.clone(),
        agents: agents.clone(),
    };
    Ok(vec![(Stream::Release(id.clone()), requested.into())])
}

pub(crate) fn record_report(
    world: &World,
    id: &ReleaseId,
    report: &ReportFacts,
) -> Result<Decided, Halt> {
    let release = active(world, id)?;
    let digest = release.digest.ok_or(Refusal::NotIdentified)?;
    if !release.targets.contains_key(&report.environment) {
        return Err(Refusal::NoReport {
            environment: report.environment.clone(),
        }
        .into());
    }
    let now = world.version(&Stream::Subject(digest))?;
    if report.subject_version > now {
        return Err(Refusal::ReportOutdated {
            covers: report.subject_version,
            now,
        }
        .into());
    }
    if report.sandbox != world.org()?.sandbox {
        return Err(Refusal::ReportFromSandbox.into());
    }
    if report.results.len() > REPORTED_RESULTS_MAX {
        return Err(Refusal::BadRules {
            problem: "a report lists at most 200 results".into(),
        }
        .into());
    }
    if release.reports.get(&report.environment) == Some(report) {
        return Ok(Vec::new());
    }
    Ok(vec![(
        Stream::Release(id.clone()),
        ReportRecorded {
            report: report.clone(),
        }
        .into(),
    )])
}
