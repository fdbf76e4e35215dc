//! What the entries of a ledger say about its keys, read as a verifier reads them: whose word counted at which size.

use lumos_domain::{
    event::Event,
    keys::{Keys, LogKey},
};

use crate::{
    ports::StoredEntry,
    record::{LedgerEntry, ReadEntryError},
};

/// Every entry about keys, with its index, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History(Vec<(u64, Event)>);

/// What a key's signature under a checkpoint is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// It counts.
    Counts,
    /// The ledger does not know the key, or it signed nothing yet at that size.
    Unknown,
    /// The key was revoked, and only shorter checkpoints by it count.
    Revoked {
        /// Up to how many entries.
        good_until: u64,
        /// The entry that says so.
        entry: u64,
    },
}

impl History {
    /// Reads the entries of stream `keys`.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn of(stored: &[StoredEntry]) -> Result<Self, ReadEntryError> {
        let read = stored.iter().map(|entry| {
            let entry = LedgerEntry::read(entry)?;
            Ok((entry.index, entry.event))
        });
        read.collect::<Result<_, _>>().map(Self)
    }

    /// What holds after all of them.
    #[must_use]
    pub fn now(&self) -> Keys {
        self.at(u64::MAX)
    }

    /// What holds over the first `size` entries of the ledger.
    #[must_use]
    pub fn at(&self, size: u64) -> Keys {
        let mut keys = Keys::default();
        let below = self.0.iter().filter(|(index, _)| *index < size);
        below.for_each(|(_, event)| keys.apply(event));
        keys
    }

    /// The entry that revoked a key first.
    #[must_use]
    pub fn revoked_at(&self, key: &LogKey) -> Option<u64> {
        self.revocations(key).map(|(index, _)| index).next()
    }

    /// Each successor of a key, with the entry that says so.
    pub fn successions(&self) -> impl Iterator<Item = (u64, &LogKey, &LogKey)> {
        self.0.iter().filter_map(|(index, event)| match event {
            Event::KeyRotated(e) => Some((*index, e.from.as_ref()?, &e.to)),
            _ => None,
        })
    }

    /// What a signature of `key` under a checkpoint of `size` entries is worth.
    #[must_use]
    pub fn word(&self, key: &LogKey, size: u64) -> Word {
        // A revocation says nothing of entries after itself: nobody could have signed them honestly.
        let least = self
            .revocations(key)
            .map(|(entry, good_until)| (good_until.min(entry), entry))
            .min();
        match least {
            Some((good_until, entry)) if size > good_until => {
                return Word::Revoked { good_until, entry };
            }
            _ => {}
        }
        let begun = self.0.iter().any(|(index, event)| match event {
            Event::KeyAdopted(e) => e.key == *key,
            Event::KeyRotated(e) => e.to == *key && *index < size,
            _ => false,
        });
        if begun { Word::Counts } else { Word::Unknown }
    }

    fn revocations(&self, key: &LogKey) -> impl Iterator<Item = (u64, u64)> {
        self.0.iter().filter_map(move |(index, event)| match event {
            Event::KeyRevoked(e) if e.key == *key => Some((*index, e.good_until)),
            _ => None,
        })
    }
}
