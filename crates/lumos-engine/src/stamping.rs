//! Has the checkpoint that is shown timestamped by a foreign authority, now and then, beside everything else: a
//! timestamp says that the ledger up to there stood so at that time, whatever its operator does later.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use tokio::{
    sync::{Notify, watch},
    time::sleep,
};

use crate::{
    cosigning::shown,
    notary::Published,
    ports::{Clock, PortError, Statement, Store, TimestampAuthority},
    runtime::stopped,
};

/// Checkpoints with their timestamps.
pub const SCHEMA: &[&str] = &["CREATE TABLE IF NOT EXISTS timestamps (
        size BIGINT PRIMARY KEY, at_us BIGINT NOT NULL, note TEXT NOT NULL, reply TEXT NOT NULL)"];

/// Between two tries: the first wait after a failure, and the longest.
const TRY_AGAIN: Duration = Duration::from_secs(2);
const TRY_AGAIN_MAX: Duration = Duration::from_mins(10);
/// How often it is looked whether a timestamp is due.
const LOOK_AGAIN: Duration = Duration::from_mins(1);

/// A checkpoint that an authority gave a timestamp for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// Entries under the checkpoint.
    pub size: u64,
    /// When the authority says it saw it.
    pub time: Timestamp,
    /// The file that was stamped: the checkpoint as it was shown, cosignatures included.
    pub note: String,
    /// The reply (RFC 3161, section 2.4.2), in DER.
    pub reply: Vec<u8>,
}

/// Where the timestamps of a ledger come from.
pub struct Stamping {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    authority: Arc<dyn TimestampAuthority>,
    every: SignedDuration,
    published: watch::Receiver<Published>,
    cosigned: Option<watch::Receiver<Published>>,
    stamped: watch::Sender<Published>,
    wanted: Arc<Notify>,
}

/// For those who wait for a timestamp.
#[derive(Debug, Clone)]
pub struct Stamps {
    /// The checkpoint that was stamped last; of size 0 before the first.
    pub latest: watch::Receiver<Published>,
    /// Asks for one now.
    pub wanted: Arc<Notify>,
}

impl Stamping {
    /// Goes on after the last timestamp that was kept, one `every` so long.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn start(
        (store, clock): (Arc<dyn Store>, Arc<dyn Clock>),
        authority: Arc<dyn TimestampAuthority>,
        every: SignedDuration,
        published: watch::Receiver<Published>,
        cosigned: Option<watch::Receiver<Published>>,
    ) -> Result<Self, PortError> {
        let last = last(&*store).await?;
        let (size, note) = last.map(|last| (last.size, last.note)).unwrap_or_default();
        let note = note.into_bytes().into();
        let (stamped, _) = watch::channel(Published { size, note });
        Ok(Self {
            store,
            clock,
            authority,
            every,
            published,
            cosigned,
            stamped,
            wanted: Arc::default(),
        })
    }

    /// For those who wait for a timestamp.
    #[must_use]
    pub fn stamps(&self) -> Stamps {
        Stamps {
            latest: self.stamped.subscribe(),
            wanted: self.wanted.clone(),
        }
    }

    /// Has a checkpoint stamped whenever one is due or wanted, until `stop` turns true. An authority that fails is
    /// asked again.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let (mut wait, mut wanted) = (TRY_AGAIN, false);
        loop {
            let stamped = tokio::select! {
                stamped = self.stamp(wanted) => stamped,
                () = stopped(&mut stop) => return,
            };
            let pause = match stamped {
                Ok(()) => {
                    (wait, wanted) = (TRY_AGAIN, false);
                    LOOK_AGAIN
                }
                Err(failed) => {
                    tracing::error!(problem = %failed, source = %failed.source, "the checkpoint was not timestamped; it will be tried again");
                    let pause = wait;
                    wait = (wait * 2).min(TRY_AGAIN_MAX);
                    pause
                }
            };
            tokio::select! {
                () = sleep(pause) => {}
                () = self.wanted.notified() => wanted = true,
                () = stopped(&mut stop) => return,
            }
        }
    }

    /// Has the checkpoint that is shown stamped if that is due or `wanted`, and it is not stamped yet.
    ///
    /// # Errors
    /// When the authority or the store fails.
    pub async fn stamp(&self, wanted: bool) -> Result<(), PortError> {
        let shown = shown(&self.published, self.cosigned.as_ref());
        if shown.size <= self.stamped.borrow().size || !(wanted || self.is_due().await?) {
            return Ok(());
        }
        let given = self.authority.stamp(&shown.note).await?;
        let note = String::from_utf8_lossy(&shown.note).into_owned();
        let kept = Statement {
            sql: "INSERT INTO timestamps (size, at_us, note, reply) VALUES ($1, $2, $3, $4)
                  ON CONFLICT (size) DO NOTHING",
            params: vec![
                i64::try_from(shown.size).unwrap_or(i64::MAX).into(),
                given.time.into(),
                note.into(),
                hex::encode(&given.reply).into(),
            ],
        };
        self.store.execute(vec![kept]).await?;
        self.stamped.send_replace(shown);
        Ok(())
    }

    async fn is_due(&self) -> Result<bool, PortError> {
        let last = last(&*self.store).await?;
        Ok(last.is_none_or(|last| self.clock.now().duration_since(last.time) >= self.every))
    }
}

async fn last(store: &dyn Store) -> Result<Option<Stamp>, PortError> {
    let sql = "SELECT size, at_us, note, reply FROM timestamps ORDER BY size DESC LIMIT 1";
    let rows = store.query(sql, Vec::new()).await?;
    Ok(rows.first().and_then(stamp))
}

/// The timestamps of checkpoints over `from` entries or more, `max` at most, oldest first.
///
/// # Errors
/// When the store fails.
pub async fn stamps(store: &dyn Store, from: u64, max: u32) -> Result<Vec<Stamp>, PortError> {
    let sql =
        "SELECT size, at_us, note, reply FROM timestamps WHERE size >= $1 ORDER BY size LIMIT $2";
    let from = i64::try_from(from).unwrap_or(i64::MAX);
    let rows = store
        .query(sql, vec![from.into(), i64::from(max).into()])
        .await?;
    Ok(rows.iter().filter_map(stamp).collect())
}

fn stamp(row: &crate::ports::Row) -> Option<Stamp> {
    Some(Stamp {
        size: u64::try_from(row.int(0)?).ok()?,
        time: row.time(1)?,
        note: row.text(2).to_owned(),
        reply: hex::decode(row.text(3)).ok()?,
    })
}
