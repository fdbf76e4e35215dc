//! The checkpoints that a key and its successor signed both: whoever knows only the first learns the second by them.

use lumos_ledger::note::{Note, SignatureLine};

use super::{Held, KeyRing};
use crate::{
    ports::{PortError, Statement, Store},
    views::statement,
};

/// A checkpoint that a key and its successor signed both, for whoever knows only the first.
pub(crate) const SCHEMA: &[&str] = &["CREATE TABLE IF NOT EXISTS key_handovers (
    key_id TEXT PRIMARY KEY, size BIGINT NOT NULL, note TEXT NOT NULL)"];

impl KeyRing {
    /// Keeps a checkpoint that a key and its successor signed both, the first time there is one. Where that successor
    /// was revoked since, what the key signs with the next one takes its place: else it would lead nowhere.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn hand_over(&self, size: u64, note: &Note) -> Result<(), PortError> {
        let mut held = self.held.lock().await;
        // What an anchor brought along beside our own lines is nobody's word.
        let known = held.history.now();
        let ids = note.signatures().iter().map(SignatureLine::key_id);
        let own: Vec<u32> = ids
            .filter(|id| known.by_id(&named(*id)).is_some())
            .collect();
        let Some((&to, outgoing)) = own.split_first() else {
            return Ok(());
        };
        for &from in outgoing {
            if held.handed_over.get(&from) == Some(&to) {
                continue;
            }
            if let Some(kept) = handover(&*self.store, &named(from)).await?
                && held.leads_on(&kept)
            {
                held.handed_over.insert(from, to);
                continue;
            }
            self.store.execute(vec![keep(from, size, note)]).await?;
            held.handed_over.insert(from, to);
        }
        Ok(())
    }
}

impl Held {
    /// Whether the successor that a kept handover names may sign still.
    fn leads_on(&self, kept: &str) -> bool {
        let Ok(note) = Note::parse(kept.as_bytes()) else {
            return false;
        };
        let known = self.history.now();
        let successor = note.signatures().first().map(SignatureLine::key_id);
        let successor = successor.and_then(|id| known.by_id(&named(id)));
        successor.is_some_and(|key| key.good_until.is_none())
    }
}

fn keep(from: u32, size: u64, note: &Note) -> Statement {
    statement!(
        "INSERT INTO key_handovers (key_id, size, note) VALUES ($1, $2, $3)
         ON CONFLICT (key_id) DO UPDATE SET size = excluded.size, note = excluded.note",
        named(from),
        i64::try_from(size).unwrap_or(i64::MAX),
        note.to_string(),
    )
}

/// A key's id as people write it.
fn named(id: u32) -> String {
    format!("{id:08x}")
}

/// The checkpoint by which the key with this id handed over, if it did.
///
/// # Errors
/// When the store fails.
pub async fn handover(store: &dyn Store, key_id: &str) -> Result<Option<String>, PortError> {
    let sql = "SELECT note FROM key_handovers WHERE key_id = $1";
    let rows = store.query(sql, vec![key_id.into()]).await?;
    Ok(rows.first().map(|row| row.text(0).to_owned()))
}
