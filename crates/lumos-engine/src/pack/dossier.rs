//! One release in full, in the order an auditor reads: request, model and risk, change, scans and card, report, votes,
//! approval, what followed.

use std::collections::BTreeMap;

use lumos_domain::{
    event::Event,
    facts::{Assigned, ReportFacts},
    id::{Digest, ReleaseId},
    manifest::Manifest,
    stream::Stream,
};
use serde_json::Value;

use super::{
    Parts,
    shapes::{Author, Dossier, Evidence, Model, PartLine, Report, Request, RuleLine, Step, Tier},
};
use crate::LedgerEntry;

mod review;

/// Parts and differences that are listed; the manifest holds all.
const LISTED_MAX: usize = 1_000;

/// The dossier of a release.
pub(super) fn of(parts: &Parts, release: &ReleaseId) -> Dossier {
    let own = Stream::Release(release.clone());
    let history: Vec<&LedgerEntry> = parts.entries().filter(|e| e.stream == own).collect();
    let mut digest = None;
    let mut test = false;
    for entry in &history {
        match &entry.event {
            Event::ReleaseIdentified(e) => digest = Some(e.digest),
            Event::CandidateDetected(e) => test = e.test,
            _ => {}
        }
    }
    let manifest = digest.and_then(|digest| manifest(parts, &digest));
    let listed = manifest.as_ref().map(Manifest::parts).unwrap_or_default();
    let lines = listed.iter().take(LISTED_MAX).map(|part| PartLine {
        path: part.path.clone(),
        kind: part.kind,
        size: part.size,
        sha256: part.sha256,
    });
    Dossier {
        release: release.clone(),
        digest,
        manifest: digest.map(|digest| parts.cited(&digest)),
        test,
        parts: lines.collect(),
        more_parts: listed.len().saturating_sub(LISTED_MAX),
        request: request(parts, &history),
        model: model(parts, release),
        evidence: digest.map_or_else(Vec::new, |digest| evidence(parts, digest)),
        reports: history.iter().filter_map(|e| report(parts, e)).collect(),
        reviews: review::reviews(parts, release),
        followed: followed(parts, release, &history),
        other: other(parts, release, &history),
    }
}

fn manifest(parts: &Parts, digest: &Digest) -> Option<Manifest> {
    Manifest::from_canonical(parts.bytes(digest)?).ok()
}

fn request(parts: &Parts, history: &[&LedgerEntry]) -> Option<Request> {
    let mut taken = BTreeMap::new();
    for entry in history {
        if let Event::AuthorClaimed(e) = &entry.event {
            taken.insert(e.claim, (parts.person(&e.person), entry.index));
        }
    }
    let (entry, e) = history.iter().find_map(|entry| match &entry.event {
        Event::CandidateDetected(e) => Some((entry, e)),
        _ => None,
    })?;
    let author = |claim: &lumos_domain::facts::Claim| {
        let (person, entry) = taken.remove(&claim.number).unzip();
        Author {
            claim: claim.number,
            stated: parts.said(claim.identity),
            person,
            entry,
        }
    };
    Some(Request {
        entry: entry.index,
        time: entry.time,
        by: parts.who(&entry.actor),
        registry: e.source.registry.to_string(),
        name: e.source.name.clone(),
        version: e.source.version.clone(),
        environment: e.environment.clone(),
        agents: e.agents.iter().map(ToString::to_string).collect(),
        submitter: e.submitter.as_ref().map(|person| parts.person(person)),
        declared: e.declared,
        authors: e.claims.iter().map(author).collect(),
    })
}

fn model(parts: &Parts, release: &ReleaseId) -> Model {
    let own = Stream::Model(release.model.clone());
    let mut model = Model {
        owner: None,
        data_owner: None,
        purpose: None,
        frameworks: Vec::new(),
        policies: Vec::new(),
        tiers: Vec::new(),
        entries: Vec::new(),
    };
    for entry in parts.entries().filter(|entry| entry.stream == own) {
        match &entry.event {
            Event::ModelRegistered(e) => {
                model.owner = Some(parts.person(&e.owner));
                model.data_owner = e.data_owner.as_ref().map(|person| parts.person(person));
                model.purpose = Some(parts.said(e.purpose));
                model.frameworks = e.frameworks.iter().cloned().collect();
                model.policies = e.policies.iter().map(ToString::to_string).collect();
                model.entries.push(entry.index);
            }
            Event::ModelTierSet(e) => model.tiers.push(Tier {
                entry: entry.index,
                time: entry.time,
                by: parts.who(&entry.actor),
                tier: e.tier.to_string(),
                rationale: parts.said(e.rationale),
            }),
            _ => {}
        }
    }
    model
}

fn evidence(parts: &Parts, digest: Digest) -> Vec<Evidence> {
    let own = Stream::Subject(digest);
    let about = parts.entries().filter(|entry| entry.stream == own);
    let told = about.filter_map(|entry| match &entry.event {
        Event::EvidenceRecorded(e) => Some(Evidence {
            entry: entry.index,
            time: entry.time,
            kind: e.kind.clone(),
            producer: e.producer.clone(),
            claim: parts.cited(&e.digest),
            says: says(parts.bytes(&e.digest).unwrap_or_default()),
        }),
        _ => None,
    });
    told.collect()
}

/// The plain members of a claim, and how long its lists are. What stands in the lists is in the file.
fn says(claim: &[u8]) -> Vec<(String, String)> {
    let Ok(Value::Object(members)) = serde_json::from_slice(claim) else {
        return Vec::new();
    };
    let told = members.into_iter().filter_map(|(name, value)| {
        let value = match value {
            Value::Array(items) if items.is_empty() => "none".to_owned(),
            Value::Array(items) if items.iter().all(Value::is_string) && items.len() <= 8 => {
                let items: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
                items.join(", ")
            }
            Value::Array(items) => items.len().to_string(),
            Value::Object(_) | Value::Null => return None,
            Value::String(text) => text.chars().take(500).collect(),
            plain => plain.to_string(),
        };
        Some((name.replace('_', " "), value))
    });
    told.collect()
}

fn report(parts: &Parts, entry: &LedgerEntry) -> Option<Report> {
    let Event::ReportRecorded(e) = &entry.event else {
        return None;
    };
    let facts = &e.report;
    let whole = parts.bytes(&facts.report).and_then(results);
    Some(Report {
        entry: entry.index,
        time: entry.time,
        as_of: facts.as_of,
        environment: facts.environment.clone(),
        depth: facts.depth.to_string(),
        score: facts.score.map(|score| score.to_string()),
        blocking: facts.blocking(),
        bundles: facts
            .bundles
            .iter()
            .map(|b| {
                let text = parts.cited(&b.digest);
                (b.name.to_string(), b.version.clone(), text)
            })
            .collect(),
        evidence: facts.evidence.clone(),
        report: parts.cited(&facts.report),
        whole: whole.is_some(),
        results: whole.unwrap_or_else(|| summary(facts)),
    })
}

/// Each result of a stored assessment, bundle after bundle.
fn results(blob: &[u8]) -> Option<Vec<RuleLine>> {
    let whole: Value = serde_json::from_slice(blob).ok()?;
    let reports = whole["reports"].as_array()?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let control = |c: &Value| {
        let words = ["framework", "edition", "control"].map(|member| text(&c[member]));
        words.join(" ").trim().to_owned()
    };
    let judged = reports
        .iter()
        .flat_map(|report| report["results"].as_array().into_iter().flatten());
    let line = |judged: &Value| RuleLine {
        rule: text(&judged["rule"]),
        title: text(&judged["title"]),
        result: text(&judged["result"]),
        severity: text(&judged["severity"]),
        enforcement: text(&judged["enforcement"]),
        message: text(&judged["message"]),
        controls: judged["controls"]
            .as_array()
            .into_iter()
            .flatten()
            .map(control)
            .collect(),
    };
    Some(judged.map(line).collect())
}

/// The results that the entry itself holds.
fn summary(facts: &ReportFacts) -> Vec<RuleLine> {
    let line = |result: &lumos_domain::facts::ReportedResult| RuleLine {
        rule: result.rule.clone(),
        title: String::new(),
        result: result.result.to_string(),
        severity: result.severity.to_string(),
        enforcement: result.enforcement.to_string(),
        message: String::new(),
        controls: Vec::new(),
    };
    facts.results.iter().map(line).collect()
}

/// What agents may use, and what registries were told.
fn followed(parts: &Parts, release: &ReleaseId, history: &[&LedgerEntry]) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut used: BTreeMap<&Stream, bool> = BTreeMap::new();
    for entry in parts.entries() {
        let what = match (&entry.stream, &entry.event) {
            (Stream::Model(_), Event::CurrentReleaseSet(e)) if e.release == *release => {
                format!("current in {}, approved by {}", e.environment, e.approval)
            }
            (Stream::Assignment(id), Event::ReleasesAssigned(e)) => {
                let mut own = e.releases.iter().filter(|a| a.release == *release);
                let before = used.insert(&entry.stream, false).unwrap_or_default();
                match own.next() {
                    Some(assigned) => {
                        used.insert(&entry.stream, true);
                        assigned_to(&id.to_string(), assigned)
                    }
                    None if before => format!("no longer assigned to {id}"),
                    None => continue,
                }
            }
            _ => continue,
        };
        steps.push(step(parts, entry, &what));
    }
    for entry in history {
        let what = match &entry.event {
            Event::PromotionIntended(e) => format!(
                "alias `{}` of `{}` in {} is to name version `{}`",
                e.order.alias, e.order.name, e.order.registry, e.order.version
            ),
            Event::PromotionObserved(e) => {
                format!(
                    "the alias was read back and names version `{}`",
                    e.read_back
                )
            }
            Event::PromotionFailed(e) => format!("the alias was not moved: {}", e.problem),
            _ => continue,
        };
        steps.push(step(parts, entry, &what));
    }
    steps.sort_by_key(|step| step.entry);
    steps
}

fn assigned_to(place: &str, assigned: &Assigned) -> String {
    let share = assigned.share;
    let until = assigned
        .until
        .map(|until| format!(", until {until}"))
        .unwrap_or_default();
    format!("assigned to {place}: {share} % of what it does{until}")
}

/// What else happened to a release: gates, conflicts, failures, denials.
fn other(parts: &Parts, release: &ReleaseId, history: &[&LedgerEntry]) -> Vec<Step> {
    let mut steps = Vec::new();
    for entry in history {
        let (what, said) = match &entry.event {
            Event::GateRequested(e) => (format!("asked to enter {}", e.environment), None),
            Event::DigestConflictFound(e) => (
                format!("other bytes were found under this version: {}", e.found),
                None,
            ),
            Event::AcquisitionFailed(e) => (format!("could not be fetched: {}", e.problem), None),
            Event::ReleaseWithdrawn(e) => ("withdrawn".to_owned(), Some(parts.said(e.reason))),
            _ => continue,
        };
        let mut step = step(parts, entry, &what);
        step.said = said;
        steps.push(step);
    }
    for entry in parts.entries() {
        if let Event::DenialRecorded(e) = &entry.event
            && e.model == release.model.as_str()
        {
            let what = format!(
                "{} was denied {} in {}: {} ({})",
                e.agent, e.wanted, e.environment, e.reason, e.mode
            );
            steps.push(step(parts, entry, &what));
        }
    }
    steps.sort_by_key(|step| step.entry);
    steps
}

fn step(parts: &Parts, entry: &LedgerEntry, what: &str) -> Step {
    Step {
        entry: entry.index,
        time: entry.time,
        by: parts.who(&entry.actor),
        what: what.to_owned(),
        said: None,
    }
}
