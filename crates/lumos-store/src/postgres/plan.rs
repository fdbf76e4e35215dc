//! What becomes of the appends of one transaction, decided in memory once the head is locked and everything they
//! look at was read: nothing that is refused here was ever written.

use std::collections::HashMap;

use lumos_engine::ports::{AppendError, Appended};
use lumos_ledger::Frontier;

use super::failure::Failure;
use crate::ready::{self, Ready};

/// The ledger as the transaction sees it, with what it appended so far.
pub(super) struct Ledger {
    pub(super) frontier: Frontier,
    /// Of every stream that the batch names; one that is not here is at version 0.
    pub(super) versions: HashMap<String, u64>,
    /// Of every command of the batch that was done before.
    pub(super) landed: HashMap<String, Appended>,
    pub(super) rebuilding: bool,
    /// Whether another version changed the tables.
    pub(super) other_version: bool,
}

/// What is to be done about an append.
pub(super) enum Verdict {
    /// It was done before.
    Landed(Appended),
    /// It is not done, and why.
    Refused(Failure),
    /// It is written, its first entry at this index.
    Write(u64),
}

impl Ledger {
    /// Compares the read set with what is there. A command that was done before is answered, whatever became of
    /// its read set since.
    pub(super) fn judge(&self, append: &Ready) -> Verdict {
        if let Some(appended) = self.landed.get(&append.command_id) {
            return Verdict::Landed(*appended);
        }
        if let Err(conflict) = self.fits(append) {
            return Verdict::Refused(conflict.into());
        }
        if self.other_version {
            return Verdict::Refused(AppendError::OtherVersion.into());
        }
        if self.rebuilding {
            return Verdict::Refused(Failure::refused(
                "appending to the ledger",
                "the tables beside it are being rebuilt",
            ));
        }
        Verdict::Write(self.frontier.size())
    }

    fn fits(&self, append: &Ready) -> Result<(), AppendError> {
        for seen in &append.reads {
            let now = self.version(&seen.name);
            if now != seen.version {
                return Err(ready::conflict(&seen.stream, seen.version, now));
            }
        }
        let mut own: HashMap<&str, u64> = HashMap::new();
        for entry in &append.entries {
            let known = own.get(entry.name.as_str()).copied();
            let now = known.unwrap_or_else(|| self.version(&entry.name));
            if now.checked_add(1) != Some(entry.version) {
                return Err(ready::conflict(&entry.stream, entry.version - 1, now));
            }
            own.insert(&entry.name, entry.version);
        }
        Ok(())
    }

    fn version(&self, stream: &str) -> u64 {
        self.versions.get(stream).copied().unwrap_or(0)
    }

    /// Takes over an append that can no longer fail by itself.
    pub(super) fn take(&mut self, append: &Ready) -> Appended {
        let first = self.frontier.size();
        for entry in &append.entries {
            self.frontier.append(entry.leaf);
        }
        let versions = append.versions();
        self.versions
            .extend(versions.map(|(stream, version)| (stream.to_owned(), version)));
        let mut appended = Appended {
            first,
            count: append.count(),
            repeated: true,
        };
        self.landed.insert(append.command_id.clone(), appended);
        appended.repeated = false;
        appended
    }
}
