//! What happened, as a sentence for people. The words of the ledger stay beside it.

use std::collections::BTreeSet;

use lumos_domain::{
    actor::{Right, Scope},
    erasure::Kept,
    event::{Event, ReadingRecorded},
    id::PersonId,
    words::Reading,
};

use super::show::{Names, count, cut};

/// The people an event names.
pub(super) fn people(event: &Event) -> Vec<PersonId> {
    match event {
        Event::GenesisRecorded(e) => e.founders.clone(),
        Event::SandboxLeft(e) => vec![e.founder.clone()],
        Event::ModelRegistered(e) => vec![e.owner.clone()],
        Event::AuthorClaimed(e) => vec![e.person.clone()],
        Event::Signed(e) => vec![e.person.clone()],
        Event::LogReviewed(e) => vec![e.person.clone()],
        Event::SystemDefined(e) => vec![e.owner.clone()],
        Event::ResumeRequested(e) => vec![e.person.clone()],
        Event::ProposalMade(e) => vec![e.person.clone()],
        Event::ProposalConfirmed(e) => vec![e.first.clone()],
        _ => Vec::new(),
    }
}

/// What happened in a model, a release, its evidence or its review.
pub(super) fn sentence(event: &Event, names: &Names) -> String {
    match event {
        Event::ModelRegistered(e) => format!("registered; {} owns it", names.person(&e.owner)),
        Event::ModelTierSet(e) => format!("tier set to {}", e.tier),
        Event::ModelBound(e) => format!(
            "bound to `{}` in registry `{}` for {}",
            cut(&e.binding.name, 80),
            e.binding.registry,
            e.binding.environment
        ),
        Event::CurrentReleaseSet(e) => format!("{} now runs {}", e.environment, e.release),
        Event::CandidateDetected(e) => format!(
            "detected in registry `{}`, asks for {}",
            e.source.registry, e.environment
        ),
        Event::ReleaseIdentified(_) => "artifacts fetched and hashed".to_owned(),
        Event::DigestConflictFound(_) => {
            "other bytes appeared under this version; refused".to_owned()
        }
        Event::AcquisitionFailed(e) => {
            format!(
                "artifacts could not be fetched ({}): {}",
                e.code,
                cut(&e.problem, 200)
            )
        }
        Event::AuthorClaimed(e) => {
            format!("{} took author claim {}", names.person(&e.person), e.claim)
        }
        Event::ReleaseWithdrawn(_) => "withdrawn".to_owned(),
        Event::GateRequested(e) => format!("asks to enter {}", e.environment),
        Event::ReportRecorded(e) => format!(
            "held against policy for {}: {} blocking",
            e.report.environment,
            count(e.report.blocking().len(), "rule")
        ),
        Event::ReviewStarted(e) => {
            format!(
                "review round {} for {}",
                e.review.round, e.review.environment
            )
        }
        Event::PromotionIntended(e) => {
            format!(
                "alias `{}` to be set in `{}`",
                cut(&e.order.alias, 80),
                e.order.registry
            )
        }
        Event::PromotionObserved(e) => {
            format!("the registry was read back: `{}`", cut(&e.read_back, 80))
        }
        Event::PromotionFailed(e) => {
            format!("promotion failed ({}): {}", e.code, cut(&e.problem, 200))
        }
        Event::EvidenceRecorded(e) => {
            format!(
                "{} evidence from {}",
                cut(&e.kind, 60).replace('_', " "),
                cut(&e.producer, 80)
            )
        }
        other => in_review(other, names),
    }
}

/// What somebody read in bulk.
fn read(e: &ReadingRecorded) -> String {
    match e.reading {
        Reading::EvidencePack => format!("made an evidence pack: {}", e.about),
        Reading::Export => format!("exported the ledger over {} entries", e.size),
        Reading::Verification => format!("verified the ledger over {} entries", e.size),
        Reading::Tiles => format!("read entries as tiles, over {} entries", e.size),
        Reading::Answer => format!("was shown names in the answer to `{}`", e.about),
        Reading::Names => "was shown everybody's name".to_owned(),
        Reading::LogReview => format!("was shown what there is to examine, {}", e.about),
    }
}

/// What happened in a review, a system or the organisation.
fn in_review(event: &Event, names: &Names) -> String {
    match event {
        Event::ReviewOpened(e) => format!("review opened, depth {}", e.record.depth),
        Event::ReviewRecordChanged(_) => {
            "the record changed; earlier signatures no longer count".to_owned()
        }
        Event::ReviewPaused(e) => format!("paused by {}", count(e.rules.len(), "critical rule")),
        Event::ReviewEscalated(e) => format!("escalated to {}: {}", e.role, e.cause.as_str()),
        Event::Signed(e) => format!(
            "{} signed: {}",
            names.person(&e.person),
            e.verdict.as_str().replace('_', " ")
        ),
        Event::Remarked(_) => "remark".to_owned(),
        Event::ReleaseApproved(e) => match &e.auto {
            None => format!("approved for {}", e.tuple.environment),
            Some(why) => format!(
                "approved for {} without signatures: {why}",
                e.tuple.environment
            ),
        },
        Event::ReviewClosed(e) => format!("review closed: {}", e.cause.as_str()),
        Event::ApprovalExpired(_) => "the approval ended, as it was given".to_owned(),
        Event::ApprovalRevoked(e) => format!("approval revoked: {}", e.cause.as_str()),
        Event::BundlePublished(e) => format!("version {} published", e.bundle.version),
        Event::SystemDefined(e) => format!("defined; {} owns it", names.person(&e.owner)),
        Event::SystemStopped(_) => "stopped".to_owned(),
        Event::SystemResumed(_) => "running again".to_owned(),
        Event::ResumeRequested(e) => {
            format!(
                "{} asked that it run again; a second person must confirm",
                names.person(&e.person)
            )
        }
        Event::ProposalMade(e) => format!(
            "{} asked for a change that needs two people",
            names.person(&e.person)
        ),
        Event::ProposalConfirmed(e) => {
            format!("confirmed what {} had proposed", names.person(&e.first))
        }
        Event::ReleasesAssigned(e) => match e.releases.first() {
            Some(first) => format!("may use {}", first.release),
            None => "may use nothing".to_owned(),
        },
        Event::DenialRecorded(e) => {
            format!(
                "denied {} {}: {}",
                cut(&e.model, 80),
                cut(&e.wanted, 80),
                e.reason
            )
        }
        Event::ReadingRecorded(e) => read(e),
        Event::GenesisRecorded(e) => {
            let founders: Vec<_> = e.founders.iter().map(|f| names.person(f)).collect();
            format!("founded by {}", founders.join(" and "))
        }
        Event::ClockSourceNamed(e) => format!("the clock is kept by: {}", cut(&e.source, 200)),
        Event::ClockStepped(e) => format!(
            "the clock showed {} where it should have shown {}",
            e.found, e.expected
        ),
        Event::SandboxLeft(e) => format!(
            "the sandbox was left with {} as second founder",
            names.person(&e.founder)
        ),
        other => in_house(other, names),
    }
}

/// What happened to how long names stay readable.
fn in_house(event: &Event, names: &Names) -> String {
    let kept = |kept: &Kept| match (&kept.hold, kept.until) {
        (Some(hold), _) => format!("{} is held by {hold}", kept.record),
        (None, Some(until)) => format!("{} is kept until {until}", kept.record),
        (None, None) => format!("{} is in effect", kept.record),
    };
    match event {
        Event::LedgerReread(e) => format!(
            "everything beside the ledger was made anew from its {} entries, as after a restore",
            e.size
        ),
        Event::RetentionSet(e) => {
            format!(
                "records of class {} are kept {} days; it was {}",
                e.class, e.days, e.was_days
            )
        }
        Event::OutsideAgentDefined(e) => {
            let kinds: Vec<_> = e.evidence.iter().map(String::as_str).collect();
            format!("agent {} records {}", e.agent, cut(&kinds.join(", "), 200))
        }
        Event::HoldSet(e) => format!("legal hold on {}", e.scope),
        Event::ErasureRequested(e) => match &e.kept {
            Some(by) => format!("to be erased; {}", kept(by)),
            None => "to be erased now".to_owned(),
        },
        Event::ErasurePostponed(e) => format!("to be erased later; {}", kept(&e.kept)),
        Event::ErasureCarriedOut(e) => {
            let values = usize::try_from(e.values).unwrap_or(usize::MAX);
            format!("erased: {} cannot be read any more", count(values, "text"))
        }
        Event::LogReviewSet(_)
        | Event::LogReviewDue(_)
        | Event::LogReviewOverdue(_)
        | Event::LogReviewed(_) => of_log_review(event, names),
        other => of_keys(other),
    }
}

/// What happened to the review of the log.
fn of_log_review(event: &Event, names: &Names) -> String {
    match event {
        Event::LogReviewSet(e) => match &e.schedule {
            Some(s) => format!(
                "the log is reviewed every {} by {}",
                count(usize::try_from(s.every_days).unwrap_or(usize::MAX), "day"),
                s.role
            ),
            None => "nobody has to review the log any more".to_owned(),
        },
        Event::LogReviewDue(e) => format!("the log must be reviewed by {}", e.overdue),
        Event::LogReviewOverdue(e) => format!(
            "the review of the log is overdue: {} missed since {}",
            e.missed, e.since
        ),
        Event::LogReviewed(e) => format!(
            "{} examined entries {} to {}: {}",
            names.person(&e.person),
            e.from,
            e.size.saturating_sub(1),
            e.finding.as_str().replace('-', " ")
        ),
        other => plain(other.kind()),
    }
}

/// What happened to the keys that sign the ledger.
fn of_keys(event: &Event) -> String {
    match event {
        Event::KeyAdopted(e) => format!("the ledger is signed with key {}", e.key.id()),
        Event::KeyCreated(e) => format!("key {} was made; it signs nothing yet", e.key.id()),
        Event::KeyRotated(e) => match &e.from {
            Some(from) => format!(
                "key {} signs the ledger from here on, key {} beside it until {}",
                e.to.id(),
                from.id(),
                e.overlap_until
            ),
            None => format!("key {} signs the ledger from here on", e.to.id()),
        },
        Event::KeyRevoked(e) => format!(
            "key {} was revoked: it counts up to {} entries",
            e.key.id(),
            e.good_until
        ),
        other => of_people(other),
    }
}

/// What happened to people and to what they may do.
fn of_people(event: &Event) -> String {
    let place = |scope: &Scope| match scope {
        Scope::Organisation => "everywhere".to_owned(),
        Scope::Unit(unit) => format!("for unit {}", cut(unit, 80)),
        Scope::Model(model) => format!("for model {model}"),
    };
    let words = |rights: &BTreeSet<Right>| {
        let words: Vec<_> = rights.iter().map(|right| right.as_str()).collect();
        words.join(", ")
    };
    match event {
        Event::PersonAdded(e) if e.service => "service added".to_owned(),
        Event::PersonAdded(_) => "person added".to_owned(),
        Event::PersonSuspended(_) => "may act no more".to_owned(),
        Event::RoleGranted(e) => {
            format!("is {} {}", e.grant.role, place(&e.grant.scope))
        }
        Event::RoleRevoked(e) => {
            format!("is no longer {} {}", e.grant.role, place(&e.grant.scope))
        }
        Event::CredentialSet(e) if e.by_other => "password set by somebody else".to_owned(),
        Event::CredentialSet(_) => "password set".to_owned(),
        Event::TokenIssued(e) => {
            format!("token issued until {}: {}", e.expires, words(&e.rights))
        }
        Event::RoleDefined(e) => format!("role {} may {}", e.role, words(&e.rights)),
        Event::GateDefined(e) => format!("gate to {} defined", e.gate.environment),
        Event::ModeSet(e) => {
            let scope = String::from(e.scope.clone());
            format!("{} in {} for {}", e.mode, e.environment, scope)
        }
        other => plain(other.kind()),
    }
}

/// A type of event as words: `lumos.mode.set.v1` is `mode set`.
pub(super) fn plain(kind: &str) -> String {
    let middle = kind.strip_prefix("lumos.").unwrap_or(kind);
    let middle = middle.rsplit_once(".v").map_or(middle, |(name, _)| name);
    middle.replace(['.', '_'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_type_has_words() {
        for kind in Event::KINDS {
            let words = plain(kind);
            assert!(
                !words.is_empty() && !words.contains(['.', '_']),
                "{kind}: {words}"
            );
        }
        assert_eq!(plain("lumos.review_rules.set.v1"), "review rules set");
    }
}
