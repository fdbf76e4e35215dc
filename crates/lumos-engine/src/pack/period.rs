//! What came to run in a period: the whole population, what is wrong with it first, and a sample that anybody can draw
//! again.

use jiff::Timestamp;
use lumos_domain::{
    event::Event,
    id::{Digest, Environment, ReleaseId, ReviewId},
    stream::Stream,
};
use serde::{Deserialize, Serialize};

use super::{
    Asked, Parts,
    content::Who,
    parts,
    tables::{self, Workpaper},
};
use crate::{
    LedgerEntry, ask,
    ask::changes::{Changed, changed},
};

/// The most changes that something is wrong with and that are shown in full, beside the sample.
const WRONG_MAX: usize = 60;

/// How a sample is drawn, so that it can be drawn again with `sha256sum`.
const METHOD: &str = "Each change is given the SHA-256 of the seed, a slash, the index of its entry, a slash and its \
                      release; those with the smallest digests are the sample.";

/// What came to run in a period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Period {
    /// The first instant.
    pub from: Timestamp,
    /// The first instant after it.
    pub to: Timestamp,
    /// Where; everywhere if none is named.
    pub environment: Option<Environment>,
    /// How many changes there are.
    pub population: usize,
    /// Of these, those with a check that does not hold.
    pub unmatched: usize,
    /// How many are drawn.
    pub drawn: usize,
    /// With what.
    pub seed: String,
    /// How.
    pub method: String,
    /// Every change, those first that something is wrong with.
    pub changes: Vec<Change>,
    /// What else happened in the period, a table each.
    pub tables: Vec<Workpaper>,
}

/// A release that came to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// The entry by which it came to run.
    pub entry: u64,
    /// The file that proves it.
    pub receipt: String,
    /// When.
    pub time: Timestamp,
    /// What runs it.
    pub what: String,
    /// Where.
    pub environment: Environment,
    /// The release.
    pub release: ReleaseId,
    /// Its digest.
    pub digest: Digest,
    /// Who did it.
    pub by: Who,
    /// Whether its approval stood before it ran, and was not revoked.
    pub approved_before: bool,
    /// Whether no signer is an author or deployed it.
    pub by_others: bool,
    /// Whether what came to run is what was approved.
    pub same_digest: bool,
    /// The review that approved it.
    pub approval: ReviewId,
    /// The entry of the approval.
    pub approval_entry: Option<u64>,
    /// When it was approved.
    pub approved_at: Option<Timestamp>,
    /// Who signed.
    pub approved_by: Vec<Who>,
    /// Whether a rule approved and nobody signed.
    pub by_rule: bool,
    /// Who wrote it.
    pub authors: Vec<Who>,
    /// What it is drawn by, 64 hex digits.
    pub draw: String,
    /// Whether it is in the sample.
    pub sampled: bool,
}

impl Change {
    /// Whether every check holds.
    #[must_use]
    pub const fn is_matched(&self) -> bool {
        self.approved_before && self.by_others && self.same_digest
    }
}

/// What came to run by an entry, where the pack asks for it: each release with the approval it rests on. More than is
/// new, where only a list of releases was set anew.
pub(super) fn runs(entry: &LedgerEntry, asked: &Asked) -> Vec<(ReleaseId, ReviewId)> {
    let Asked::Period { environment, .. } = asked else {
        return Vec::new();
    };
    let here = |place: &Environment| environment.as_ref().is_none_or(|asked| asked == place);
    match (&entry.stream, &entry.event) {
        (Stream::Model(_), Event::CurrentReleaseSet(e)) if here(&e.environment) => {
            vec![(e.release.clone(), e.approval.clone())]
        }
        (Stream::Assignment(id), Event::ReleasesAssigned(e)) if here(&id.environment) => {
            let releases = e.releases.iter();
            releases
                .map(|assigned| (assigned.release.clone(), assigned.approval.clone()))
                .collect()
        }
        _ => Vec::new(),
    }
}

/// The changes that are asked for, with the sample drawn.
pub(super) fn changes(parts: &Parts, asked: &Asked) -> Vec<Change> {
    let Asked::Period {
        from,
        to,
        environment,
        sample,
        seed,
    } = asked
    else {
        return Vec::new();
    };
    let within = ask::Period {
        from: *from,
        to: *to,
    };
    let here = |change: &Changed| {
        let environment = environment.as_ref();
        environment.is_none_or(|environment| change.environment == *environment)
    };
    let found = changed(parts.entries(), &within).into_iter().filter(here);
    let mut changes: Vec<Change> = found.map(|found| change(parts, found, seed)).collect();
    let mut drawn: Vec<&mut Change> = changes.iter_mut().collect();
    drawn.sort_by(|a, b| a.draw.cmp(&b.draw));
    let sample = usize::try_from(*sample).unwrap_or(usize::MAX);
    for change in drawn.into_iter().take(sample) {
        change.sampled = true;
    }
    changes
}

fn change(parts: &Parts, found: Changed, seed: &str) -> Change {
    let approved = found.approved;
    let approval_entry = approved.as_ref().map(|approved| approved.entry);
    let approved_at = approval_entry.and_then(|entry| parts.entry(entry));
    let draw = Digest::of(format!("{seed}/{}/{}", found.entry, found.release).as_bytes());
    let people = |people: &[_]| people.iter().map(|person| parts.person(person)).collect();
    Change {
        entry: found.entry,
        receipt: parts::receipt(found.entry),
        time: found.time,
        what: found.what,
        environment: found.environment,
        digest: found.digest,
        by: parts.who(&found.by),
        approved_before: found.approved_before,
        by_others: found.by_others,
        same_digest: found.same_digest,
        approval: found.approval,
        approval_entry,
        approved_at: approved_at.map(|entry| entry.time),
        by_rule: approved.as_ref().is_some_and(|approved| approved.by_rule),
        approved_by: approved.map_or_else(Vec::new, |approved| people(&approved.by)),
        authors: people(&found.authors),
        draw: draw.hex(),
        sampled: false,
        release: found.release,
    }
}

/// The releases that are shown in full: what is drawn, and the first of what something is wrong with.
pub(super) fn in_full(changes: &[Change]) -> Vec<ReleaseId> {
    let wrong = changes.iter().filter(|change| !change.is_matched());
    let drawn = changes.iter().filter(|change| change.sampled);
    let mut releases = Vec::new();
    for change in wrong.take(WRONG_MAX).chain(drawn) {
        if !releases.contains(&change.release) {
            releases.push(change.release.clone());
        }
    }
    releases
}

/// The period that is asked for.
pub(super) fn of(parts: &Parts, asked: &Asked) -> Option<Period> {
    let Asked::Period {
        from,
        to,
        environment,
        seed,
        ..
    } = asked
    else {
        return None;
    };
    let changes = changes(parts, asked);
    Some(Period {
        from: *from,
        to: *to,
        environment: environment.clone(),
        population: changes.len(),
        unmatched: changes.iter().filter(|c| !c.is_matched()).count(),
        drawn: changes.iter().filter(|c| c.sampled).count(),
        seed: seed.clone(),
        method: METHOD.to_owned(),
        tables: tables::of(parts, *from, *to),
        changes,
    })
}
