//! What there is to examine in a range of the log, read from its entries and hashed with them: whoever changes rows of the
//! database while somebody looks is found by the root that comes out. The range ends at a checkpoint that is signed and
//! anchored: what nobody vouches for, nobody has examined.

use std::sync::Arc;

use lumos_domain::{
    event::Event,
    id::Digest,
    log_review::{Examined, Span, matter, not_those},
    refusal::Refusal,
    words::Matter,
};
use lumos_ledger::{Checkpoint, Frontier, Hash, proof::verify_consistency, tree::leaf_hash};
use tokio::sync::Mutex;

use crate::{
    door::DoorError,
    notary::Published,
    ports::{PortError, Store, StoredEntry},
    proofs::Hashes,
    record::LedgerEntry,
};

/// Entries read at a time.
const CHUNK: u64 = 1_024;
/// Entries after which what was looked through is remembered, and others have their turn.
const STEP: u64 = 16 * CHUNK;
/// Signatures read at a time.
const SIGNATURES: u32 = 100;
/// Ranges that are remembered.
const REMEMBERED: usize = 8;

/// Looks through ranges of the log, and remembers how far it came: a range that goes on is looked at from there, and so is
/// one whose reader went away.
#[derive(Clone, Default)]
pub(crate) struct Examiner {
    hashes: Hashes,
    known: Arc<Mutex<Vec<Looked>>>,
}

/// How far a range was looked through.
#[derive(Clone)]
struct Looked {
    examined: Arc<Examined>,
    /// The tree of the entries up to there, as they were read.
    tree: Frontier,
    /// Whether somebody asked for a range that ends there.
    asked: bool,
}

impl Examiner {
    /// What there is to examine in `span`. Its entries are read a part at a time; what is kept of them is as large as
    /// there are types, matters and people who acted. Its root is that of the tree of the entries that were read: see
    /// [`vouched`].
    pub(crate) async fn examine(
        &self,
        store: &dyn Store,
        span: Span,
    ) -> Result<Arc<Examined>, DoorError> {
        let held = store.frontier().await?.size();
        if span.from >= span.size || held < span.size {
            let (from, size) = (span.from, span.size);
            let problem = format!("the ledger has {held} entries, and no range {from} to {size}");
            return Err(Refusal::LogRange { problem }.into());
        }
        loop {
            // Held for a step: twice at once would be twice the work. Whoever waits goes on from where this one came to,
            // also if its reader goes away.
            let mut known = self.known.lock().await;
            let begun = known.iter().enumerate().filter(|(_, known)| {
                let has = known.examined.span();
                has.from == span.from && has.size <= span.size
            });
            let begun = begun.max_by_key(|(_, known)| known.examined.span().size);
            let begun = begun.map(|(at, _)| at);
            let mut looked = match begun {
                Some(at) => known[at].clone(),
                None => Looked::nothing(self.hashes.frontier(store, span.from).await?),
            };
            if looked.examined.span() != span {
                looked.step(store, span.size).await?;
            }
            looked.asked |= looked.examined.span() == span;
            // What nobody asked for is only the way to what is further on.
            if let Some(at) = begun
                && (!known[at].asked || known[at].examined.span() == looked.examined.span())
            {
                known.remove(at);
            }
            if known.len() >= REMEMBERED {
                known.remove(0);
            }
            let examined = Arc::clone(&looked.examined);
            known.push(looked);
            if examined.span() == span {
                return Ok(examined);
            }
        }
    }
}

impl Looked {
    /// A range that begins behind `tree`, before any entry of it was looked at.
    fn nothing(tree: Frontier) -> Self {
        let (from, size) = (tree.size(), tree.size());
        let examined = Examined::new(Span { from, size }, digest(&tree.root()));
        Self {
            examined: Arc::new(examined),
            tree,
            asked: false,
        }
    }

    /// Looks at the next entries, those before `size`.
    async fn step(&mut self, store: &dyn Store, size: u64) -> Result<(), DoorError> {
        let mut next = self.examined.span().size;
        let end = size.min(next + STEP);
        let mut examined = Examined::clone(&self.examined);
        while next < end {
            for stored in chunk(store, next, end).await? {
                let entry = LedgerEntry::read(&stored)?;
                self.tree.append(leaf_hash(&stored.bytes));
                examined.add(next, entry.time, &entry.actor, &entry.stream, &entry.event);
                next += 1;
            }
        }
        let root = digest(&self.tree.root());
        self.examined = Arc::new(examined.onward(end, root));
        self.asked = false;
        Ok(())
    }
}

fn digest(root: &Hash) -> Digest {
    Digest::from_bytes(*root.as_bytes())
}

/// The next entries from `next` on, of those before `end`: at least one, and none left out.
async fn chunk(store: &dyn Store, next: u64, end: u64) -> Result<Vec<StoredEntry>, PortError> {
    let max = u32::try_from((end - next).min(CHUNK)).unwrap_or(u32::MAX);
    let stored = store.entries(next, max).await?;
    let whole = (next..).zip(&stored).all(|(at, entry)| at == entry.index);
    if stored.is_empty() || !whole {
        let missing = format!("entry {next} or one of the next is not there");
        return Err(PortError::new("reading entries", missing));
    }
    Ok(stored)
}

/// Entries about a matter.
#[derive(Debug)]
pub struct Found {
    /// The entries, in order.
    pub entries: Vec<LedgerEntry>,
    /// The first entry that was not looked at; `None` where the range ends.
    pub next: Option<u64>,
}

/// The first entries of `span` that are about `about`: `max` of them at most, and of those that a step looks at, so that
/// nobody has all of the ledger read for what is rare.
///
/// # Errors
/// When the store fails, or an entry cannot be read.
pub async fn about(
    store: &dyn Store,
    span: Span,
    about: Matter,
    max: usize,
) -> Result<Found, DoorError> {
    let mut next = span.from;
    let end = span.size.min(next.saturating_add(STEP));
    let mut entries = Vec::new();
    'looking: while next < end {
        for stored in chunk(store, next, end).await? {
            let entry = LedgerEntry::read(&stored)?;
            next += 1;
            if matter(&entry.actor, &entry.event) == about {
                entries.push(entry);
            }
            if entries.len() >= max {
                break 'looking;
            }
        }
    }
    let next = (next < span.size).then_some(next);
    Ok(Found { entries, next })
}

/// Up to `max` entries before `before` that are signatures on a range, the newest first.
///
/// # Errors
/// When the store fails, or an entry cannot be read.
pub async fn signed(
    store: &dyn Store,
    before: u64,
    max: u32,
) -> Result<Vec<LedgerEntry>, DoorError> {
    let sql =
        "SELECT idx, bytes FROM entries WHERE kind = 'lumos.log_review.signed.v1' AND idx < $1
               ORDER BY idx DESC LIMIT $2";
    let before = i64::try_from(before).unwrap_or(i64::MAX);
    let rows = store
        .query(sql, vec![before.into(), i64::from(max).into()])
        .await?;
    let stored = rows.into_iter().filter_map(StoredEntry::of_row);
    Ok(stored
        .map(|stored| LedgerEntry::read(&stored))
        .collect::<Result<_, _>>()?)
}

/// The signatures on ranges of a log, held against its entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signatures {
    /// How many there are.
    pub all: u64,
    /// The entries of those that name another root or another record than the entries of their range give.
    pub differing: Vec<u64>,
}

/// Makes the record of every range that was signed for again, from its entries.
///
/// # Errors
/// When the store fails, or an entry cannot be read.
pub async fn signatures(store: &dyn Store) -> Result<Signatures, DoorError> {
    let examiner = Examiner::default();
    let (mut all, mut differing) = (0, Vec::new());
    let mut before = u64::MAX;
    loop {
        let page = signed(store, before, SIGNATURES).await?;
        let Some(last) = page.last() else { break };
        before = last.index;
        for entry in &page {
            let Event::LogReviewed(e) = &entry.event else {
                continue;
            };
            let (from, size) = (e.from, e.size);
            let holds = match examiner.examine(store, Span { from, size }).await {
                Ok(examined) => (examined.root(), examined.record()) == (e.root, e.record),
                Err(DoorError::Refused(_)) => false,
                Err(error) => return Err(error),
            };
            all += 1;
            if !holds {
                differing.push(entry.index);
            }
        }
    }
    differing.reverse();
    Ok(Signatures { all, differing })
}

/// The root hash of the tree of the first `size` entries, which the checkpoint that is shown to the world vouches for:
/// whatever stands in the database now.
///
/// # Errors
/// When `size` goes beyond it, or the database holds another tree.
pub async fn vouched(
    store: &dyn Store,
    hashes: &Hashes,
    shown: &Published,
    size: u64,
) -> Result<Digest, DoorError> {
    within(shown, size)?;
    let head = Checkpoint::stated(&shown.note)
        .map_err(|error| PortError::new("reading our own checkpoint", error))?;
    if size == head.size() {
        return Ok(digest(head.root()));
    }
    let root = hashes.frontier(store, size).await?.root();
    let proof = hashes.consistency(store, size, head.size()).await?;
    match verify_consistency((size, &root), (head.size(), head.root()), &proof) {
        Ok(()) => Ok(digest(&root)),
        Err(_) => Err(not_those(size).into()),
    }
}

/// Refuses a range that ends beyond the checkpoint that is shown to the world, or before the first entry.
fn within(shown: &Published, size: u64) -> Result<(), Refusal> {
    if (1..=shown.size).contains(&size) {
        return Ok(());
    }
    let problem = format!(
        "the last checkpoint is over {} entries, so it cannot end at {size}",
        shown.size
    );
    Err(Refusal::LogRange { problem })
}

#[cfg(test)]
mod tests;
