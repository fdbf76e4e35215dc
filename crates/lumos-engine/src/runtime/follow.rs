//! Whoever follows the ledger by a cursor of their own: LUMOS's agents, and the webhooks of others.

use async_trait::async_trait;
use tokio::sync::watch;

use super::{Hand, HandleError, Subscriber, Taken};
use crate::{
    door::Door,
    notary::Published,
    ports::{PortError, StoredEntry},
    record::LedgerEntry,
};

/// After so many failed attempts a job is a dead letter.
const ATTEMPTS_MAX: i64 = 12;

/// One who follows the ledger. Each entry that is wanted becomes a job, worked off at least once.
#[async_trait]
pub trait Follow: Send + Sync {
    /// The name of the cursor and the jobs.
    fn name(&self) -> &str;

    /// Whether anything is done about `entry`.
    fn wants(&self, entry: &LedgerEntry) -> bool;

    /// Does it. Called again after a crash or failure.
    async fn follow(
        &self,
        door: &Door,
        taken: Taken,
        stored: &StoredEntry,
        entry: &LedgerEntry,
    ) -> Result<(), HandleError>;

    /// Whether nothing is to be done at present; the cursor stays where it is.
    async fn is_held(&self, _door: &Door) -> Result<bool, PortError> {
        Ok(false)
    }

    /// The signed checkpoint beyond which nothing is looked at, for those outside. LUMOS's own agents follow what is
    /// committed.
    fn published(&self) -> Option<watch::Receiver<Published>> {
        None
    }

    /// Whether a new cursor begins at the end of the ledger.
    fn begins_with_what_is_new(&self) -> bool {
        false
    }

    /// Attempts before a job is a dead letter.
    fn attempts_max(&self) -> i64 {
        ATTEMPTS_MAX
    }
}

/// LUMOS's own agents: each handles an entry with a hand of its own.
#[async_trait]
impl<T: Subscriber> Follow for T {
    fn name(&self) -> &str {
        self.agent().as_str()
    }

    fn wants(&self, entry: &LedgerEntry) -> bool {
        Subscriber::wants(self, &entry.event)
    }

    async fn follow(
        &self,
        door: &Door,
        taken: Taken,
        _stored: &StoredEntry,
        entry: &LedgerEntry,
    ) -> Result<(), HandleError> {
        let hand = Hand::new(door.clone(), self.agent(), taken);
        self.handle(&hand, entry).await
    }
}

/// Waits for a checkpoint; for ever where nobody waits for one.
pub(super) async fn changed(published: &mut Option<watch::Receiver<Published>>) {
    if let Some(signed) = published
        && signed.changed().await.is_ok()
    {
        return;
    }
    std::future::pending::<()>().await;
}
