//! Whose turn it is to sign, where several replicas share a ledger, and what was signed last: one row that all of them
//! see. A turn is short and its number fences off the turns before it. A holder that stood still may believe to hold
//! it all the same; the anchor then decides between it and its successor.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use jiff::{SignedDuration, Timestamp};

use crate::{
    ports::{Clock, PortError, Store},
    views::statement,
};

/// One row, made by whoever comes first. What it shows was anchored before it was written there.
pub const SCHEMA: &[&str] = &["CREATE TABLE IF NOT EXISTS signing (
    one BIGINT PRIMARY KEY, holder TEXT NOT NULL, turn BIGINT NOT NULL, until_us BIGINT NOT NULL,
    size BIGINT NOT NULL, note TEXT NOT NULL)"];

/// How long a turn lasts without being renewed: as long as everybody waits after a signer was killed.
const LASTS: SignedDuration = SignedDuration::from_secs(2);
/// A turn that ends later than this was written by a clock that is wrong; nobody waits for it.
const LASTS_MAX: SignedDuration = SignedDuration::from_secs(20);

/// The right to sign, as one replica sees it.
pub struct Turn {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    /// This process, unlike any other.
    holder: String,
    /// The number of the turn that was ours last; 0 before the first.
    number: AtomicI64,
}

impl Turn {
    /// The turns of the ledger in `store`, as `holder` takes them: a name that no other process has.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        holder: String,
    ) -> Result<Self, PortError> {
        let row = statement!(
            "INSERT INTO signing (one, holder, turn, until_us, size, note) VALUES (1, '', 0, 0, 0, '')
             ON CONFLICT (one) DO NOTHING",
        );
        store.execute(vec![row]).await?;
        Ok(Self {
            store,
            clock,
            holder,
            number: AtomicI64::new(0),
        })
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Takes a turn unless another replica has it; says whether it is ours.
    pub(super) async fn take(&self) -> Result<bool, PortError> {
        if self.is_mine().await? {
            return Ok(true);
        }
        let now = self.now();
        let take = statement!(
            "UPDATE signing SET holder = $1, turn = turn + 1, until_us = $2
             WHERE one = 1 AND (until_us <= $3 OR until_us > $4)",
            &*self.holder,
            now + LASTS,
            now,
            now + LASTS_MAX,
        );
        if self.store.execute(vec![take]).await? != [1] {
            return Ok(false);
        }
        let sql = "SELECT turn FROM signing WHERE one = 1 AND holder = $1";
        let rows = self.store.query(sql, vec![(&*self.holder).into()]).await?;
        let Some(number) = rows.first().and_then(|row| row.int(0)) else {
            return Ok(false);
        };
        self.number.store(number, Ordering::SeqCst);
        Ok(true)
    }

    /// Renews our turn; says whether it was still ours.
    pub(super) async fn is_mine(&self) -> Result<bool, PortError> {
        let renew = statement!(
            "UPDATE signing SET until_us = $1 WHERE one = 1 AND holder = $2 AND turn = $3",
            self.now() + LASTS,
            &*self.holder,
            self.number.load(Ordering::SeqCst),
        );
        Ok(self.store.execute(vec![renew]).await? == [1])
    }

    /// Lets another replica sign at once. Where that fails, the turn runs out.
    pub(super) async fn give_back(&self) {
        let end = statement!(
            "UPDATE signing SET until_us = 0 WHERE one = 1 AND holder = $1 AND turn = $2",
            &*self.holder,
            self.number.load(Ordering::SeqCst),
        );
        if let Err(failed) = self.store.execute(vec![end]).await {
            tracing::debug!(problem = %failed, "the turn to sign could not be given back");
        }
    }

    /// The checkpoint that was anchored last, as far as it was written down: its size and note.
    pub(super) async fn shown(&self) -> Result<Option<(u64, String)>, PortError> {
        let sql = "SELECT size, note FROM signing WHERE one = 1 AND size > 0";
        let rows = self.store.query(sql, Vec::new()).await?;
        Ok(rows.first().and_then(|row| {
            let size = u64::try_from(row.int(0)?).ok()?;
            Some((size, row.text(1).to_owned()))
        }))
    }

    /// Writes down what was anchored, for the other replicas.
    pub(super) async fn show(&self, size: u64, note: &[u8]) -> Result<(), PortError> {
        let write = statement!(
            "UPDATE signing SET size = $1, note = $2 WHERE one = 1 AND size < $1",
            i64::try_from(size).unwrap_or(i64::MAX),
            String::from_utf8_lossy(note).into_owned(),
        );
        self.store.execute(vec![write]).await?;
        Ok(())
    }
}
