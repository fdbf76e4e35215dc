//! What there is to examine in a range of the log, read from its entries, and the command that signs for it. The range
//! ends at a checkpoint that is signed and anchored: what nobody vouches for, nobody has examined.

use std::sync::Arc;

use lumos_domain::{
    command::Command,
    id::Digest,
    log_review::{Examined, SignLogReview, Span, matter},
    refusal::Refusal,
    words::Matter,
};
use lumos_ledger::proof;
use tokio::sync::Mutex;

use crate::{
    door::DoorError,
    notary::Published,
    ports::{PortError, Store},
    proofs::Hashes,
    record::LedgerEntry,
};

/// Entries read at a time.
const CHUNK: u64 = 1_024;
/// Ranges that are remembered.
const REMEMBERED: usize = 8;

/// Looks through ranges of the log, and remembers the last ones: a range that goes on is looked at from where it ended.
#[derive(Clone, Default)]
pub(crate) struct Examiner {
    hashes: Hashes,
    known: Arc<Mutex<Vec<Arc<Examined>>>>,
}

impl Examiner {
    /// What there is to examine in `span`. Its entries are read a part at a time; what is kept of them is as large as
    /// there are types, matters and people who acted.
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
        // Whoever asks while it is looked through waits: twice at once would be twice the work.
        let mut known = self.known.lock().await;
        let begun = known.iter().filter(|known| {
            let has = known.span();
            has.from == span.from && has.size <= span.size
        });
        let begun = begun.max_by_key(|known| known.span().size).cloned();
        if let Some(same) = begun.as_ref().filter(|known| known.span() == span) {
            return Ok(Arc::clone(same));
        }
        let root = self.root(store, span.size).await?;
        let (mut examined, from) = match begun {
            Some(begun) => (begun.onward(span.size, root), begun.span().size),
            None => (Examined::new(span, root), span.from),
        };
        each(store, Span { from, ..span }, |entry| {
            let LedgerEntry { index, time, .. } = *entry;
            examined.add(index, time, &entry.actor, &entry.stream, &entry.event);
            true
        })
        .await?;
        let examined = Arc::new(examined);
        if known.len() >= REMEMBERED {
            known.remove(0);
        }
        known.push(Arc::clone(&examined));
        Ok(examined)
    }

    /// The root hash of the tree of the first `size` entries.
    async fn root(&self, store: &dyn Store, size: u64) -> Result<Digest, DoorError> {
        let (last, absent) = (size - 1, "the last entry has no leaf");
        let proof = self.hashes.inclusion(store, last, size).await?;
        let leaf = store.leaves(last, size).await?.pop();
        let leaf = leaf.ok_or_else(|| PortError::new("reading a leaf", absent))?;
        let root = proof::inclusion_root(leaf, last, size, &proof)
            .map_err(|error| PortError::new(format!("the root of {size} entries"), error))?;
        Ok(Digest::from_bytes(*root.as_bytes()))
    }
}

/// Shows every entry of `span` in order, until one is not wanted.
async fn each(
    store: &dyn Store,
    span: Span,
    mut show: impl FnMut(&LedgerEntry) -> bool + Send,
) -> Result<(), DoorError> {
    let mut next = span.from;
    while next < span.size {
        let max = u32::try_from((span.size - next).min(CHUNK)).unwrap_or(u32::MAX);
        let stored = store.entries(next, max).await?;
        let Some(last) = stored.last() else {
            let missing = format!("entry {next} is not there");
            return Err(PortError::new("reading entries", missing).into());
        };
        next = last.index + 1;
        for entry in &stored {
            if !show(&LedgerEntry::read(entry)?) {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Up to `max` entries of `span` that are about `about`, in order.
///
/// # Errors
/// When the store fails, or an entry cannot be read.
pub async fn about(
    store: &dyn Store,
    span: Span,
    about: Matter,
    max: usize,
) -> Result<Vec<LedgerEntry>, DoorError> {
    let mut found = Vec::new();
    each(store, span, |entry| {
        if matter(&entry.actor, &entry.event) == about {
            found.push(entry.clone());
        }
        found.len() < max
    })
    .await?;
    Ok(found)
}

/// The command that signs for a range, if it ends at or before the checkpoint that is shown to the world.
///
/// # Errors
/// When the range goes beyond it.
pub fn command(shown: &Published, sign: SignLogReview) -> Result<Command, Refusal> {
    within(shown, sign.size)?;
    Ok(Command::SignLogReview(sign))
}

/// Refuses a range that ends beyond the checkpoint that is shown to the world.
///
/// # Errors
/// When it does.
pub fn within(shown: &Published, size: u64) -> Result<(), Refusal> {
    if size <= shown.size {
        return Ok(());
    }
    let problem = format!(
        "the last checkpoint is over {} entries, so it cannot end at {size}",
        shown.size
    );
    Err(Refusal::LogRange { problem })
}
