//! The entries that let a release run: its approval, its assignments, its promotions. The page offers the receipt of
//! each, and the reader's browser checks it.

use lumos_domain::{
    event::Event,
    id::{AssignmentId, ReleaseId},
    stream::Stream,
};
use lumos_engine::LedgerEntry;

use crate::{app::App, pages::oops::Oops};

/// An entry whose receipt the page offers, and what it must say.
#[derive(Debug, Clone)]
pub(in crate::pages) struct Proof {
    pub(in crate::pages) index: u64,
    pub(in crate::pages) kind: String,
    pub(in crate::pages) stream: String,
    /// In one word.
    pub(in crate::pages) what: &'static str,
    /// What must stand in the entry: the digest approved, the release assigned, the version promoted.
    pub(in crate::pages) names: String,
}

/// The proofs of `release`: from its own history and that of its review, and of the agents it was assigned to.
pub(super) async fn of(
    app: &App,
    release: &ReleaseId,
    history: &[LedgerEntry],
    assignments: impl Iterator<Item = &AssignmentId>,
) -> Result<Vec<Proof>, Oops> {
    let mut proofs: Vec<Proof> = history.iter().filter_map(|e| proof(e, release)).collect();
    for assignment in assignments {
        let stream = Stream::Assignment(assignment.clone());
        let entries = app.door.history(&stream).await?;
        proofs.extend(entries.iter().filter_map(|e| proof(e, release)));
    }
    proofs.sort_by_key(|proof| proof.index);
    Ok(proofs)
}

fn proof(entry: &LedgerEntry, release: &ReleaseId) -> Option<Proof> {
    let (what, names) = match &entry.event {
        Event::ReleaseApproved(e) => ("approval", e.tuple.digest.to_string()),
        Event::ReleasesAssigned(e) => {
            let assigned = e.releases.iter().any(|a| a.release == *release);
            assigned.then_some(("assignment", release.version.to_string()))?
        }
        Event::PromotionIntended(e) => ("promotion order", e.order.version.clone()),
        Event::PromotionObserved(e) => ("promotion", e.read_back.clone()),
        _ => return None,
    };
    Some(Proof {
        index: entry.index,
        kind: entry.event.kind().to_owned(),
        stream: entry.stream.to_string(),
        what,
        names,
    })
}
