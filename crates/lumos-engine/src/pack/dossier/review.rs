//! The human part of a release: what was decided upon, the votes with their reasons, the decision.

use std::collections::BTreeMap;

use lumos_domain::{
    event::Event,
    facts::{ApprovalTuple, ReviewRecord},
    id::{ReleaseId, ReviewId},
    manifest::{Change, How},
    stream::Stream,
};

use super::{LISTED_MAX, manifest, step};
use crate::{
    LedgerEntry,
    pack::{
        Parts,
        shapes::{Approval, Record, Review, Vote},
    },
};

/// Every round of review of a release, in the order they began.
pub(super) fn reviews(parts: &Parts, release: &ReleaseId) -> Vec<Review> {
    let mut rounds: BTreeMap<ReviewId, (u64, Vec<&LedgerEntry>)> = BTreeMap::new();
    for entry in parts.entries() {
        if let Stream::Review(review) = &entry.stream
            && review.release() == *release
        {
            let round = rounds
                .entry(review.clone())
                .or_insert((entry.index, Vec::new()));
            round.1.push(entry);
        }
    }
    let mut rounds: Vec<_> = rounds.into_iter().collect();
    rounds.sort_by_key(|(_, (first, _))| *first);
    let told = rounds.into_iter();
    told.map(|(id, (_, entries))| review(parts, id, &entries))
        .collect()
}

fn review(parts: &Parts, id: ReviewId, entries: &[&LedgerEntry]) -> Review {
    let mut review = Review {
        review: id,
        state: "open".to_owned(),
        record: None,
        votes: Vec::new(),
        steps: Vec::new(),
        approval: None,
    };
    for entry in entries {
        match &entry.event {
            Event::ReviewOpened(e) => review.record = Some(record(parts, entry.index, &e.record)),
            Event::ReviewRecordChanged(e) => {
                review.record = Some(record(parts, entry.index, &e.record));
                review.steps.push(step(
                    parts,
                    entry,
                    "what is decided upon changed; earlier votes no longer count",
                ));
            }
            Event::Signed(e) => review.votes.push(Vote {
                entry: entry.index,
                time: entry.time,
                by: parts.person(&e.person),
                role: e.slot.as_ref().map(ToString::to_string),
                verdict: e.verdict.as_str().replace('_', " "),
                reason: parts.said(e.reason),
                meaning: e.meaning.clone(),
                grade: e.grade.to_string(),
                record: e.record,
                counts: false,
            }),
            Event::ReleaseApproved(e) => {
                review.state = "approved".to_owned();
                review.approval = Some(approval(entry, &e.tuple, e.auto.clone()));
            }
            Event::ApprovalRevoked(e) => {
                review.state = format!("approved, then revoked: {}", e.cause.as_str());
                let mut revoked = step(parts, entry, e.cause.as_str());
                revoked.said = e.reason.map(|reason| parts.said(reason));
                if let Some(approval) = &mut review.approval {
                    approval.revoked = Some(revoked);
                }
            }
            Event::ApprovalExpired(_) => review.state = "approved, then expired".to_owned(),
            Event::ReviewClosed(e) => review.state = format!("ended: {}", e.cause.as_str()),
            Event::ReviewPaused(e) => {
                let what = format!("paused by critical gaps: {}", e.rules.join(", "));
                review.steps.push(step(parts, entry, &what));
            }
            Event::ReviewEscalated(e) => {
                let what = format!("escalated to {}: {}", e.role, e.cause.as_str());
                review.steps.push(step(parts, entry, &what));
            }
            Event::Remarked(e) => {
                let mut remark = step(parts, entry, "a remark");
                remark.said = Some(parts.said(e.text));
                review.steps.push(remark);
            }
            _ => {}
        }
    }
    let signed = review.record.as_ref().map(|record| record.hash);
    for vote in &mut review.votes {
        vote.counts = Some(vote.record) == signed;
    }
    review
}

fn record(parts: &Parts, entry: u64, record: &ReviewRecord) -> Record {
    let sides = record
        .running
        .and_then(|running| Some((manifest(parts, &running)?, manifest(parts, &record.digest)?)));
    let change = sides.map(|(running, own)| Change::between(&running, &own));
    let differences = change.into_iter().flat_map(|change| change.differences);
    let how = |how| match how {
        How::Added => "added",
        How::Removed => "removed",
        How::Changed => "changed",
    };
    Record {
        entry,
        hash: record.hash(),
        digest: record.digest,
        depth: record.depth.to_string(),
        raised_by: record.raised_by.clone(),
        model_tier: record.model_tier.to_string(),
        change_tier: record.change_tier.to_string(),
        change: record.change,
        running: record.running,
        differences: differences
            .take(LISTED_MAX)
            .map(|d| (d.path, how(d.how).to_owned(), d.kind))
            .collect(),
        score: record.score.map(|score| score.to_string()),
        report: record.report,
        slots: record
            .slots
            .iter()
            .map(|slot| (slot.role.to_string(), slot.count, slot.grade.to_string()))
            .collect(),
        blocking: record.blocking.clone(),
        sandbox: record.sandbox,
    }
}

fn approval(entry: &LedgerEntry, tuple: &ApprovalTuple, auto: Option<String>) -> Approval {
    Approval {
        entry: entry.index,
        time: entry.time,
        digest: tuple.digest,
        environment: tuple.environment.clone(),
        agents: tuple.agents.iter().map(ToString::to_string).collect(),
        report: tuple.report,
        expires: tuple.expires,
        sandbox: tuple.sandbox,
        auto,
        revoked: None,
    }
}
