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

    /// Each successor of a key, with the entry that says so: of the key that it replaced, and of those that signed
    /// beside that one then. Where the last successor was revoked, these alone can vouch for the next one.
    pub fn successions(&self) -> impl Iterator<Item = (u64, LogKey, &LogKey)> {
        self.0.iter().flat_map(|(index, event)| {
            let Event::KeyRotated(e) = event else {
                return Vec::new();
            };
            let beside = self.at(*index).outgoing.into_iter().map(|(key, _)| key);
            let all = e.from.iter().cloned().chain(beside);
            all.map(|from| (*index, from, &e.to)).collect()
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

#[cfg(test)]
mod tests {
    use lumos_domain::{
        event::{KeyAdopted, KeyCreated, KeyRevoked, KeyRotated},
        seal::Sealed,
        words::KeyPlace,
    };

    use super::*;

    fn key(id: &str) -> LogKey {
        format!("ledger.acme.example+{id}+AAAA").parse().unwrap()
    }

    fn why() -> Sealed {
        let sealed = format!(r#"{{"sealed":"hmac-sha256:{}"}}"#, "0".repeat(64));
        serde_json::from_str(&sealed).unwrap()
    }

    fn adopted(id: &str) -> Event {
        let (place, name) = (KeyPlace::File, "ledger.ed25519".to_owned());
        let key = key(id);
        KeyAdopted { key, place, name }.into()
    }

    fn created(id: &str) -> Event {
        let (place, name) = (KeyPlace::File, format!("{id}.ed25519"));
        let key = key(id);
        KeyCreated { key, place, name }.into()
    }

    fn rotated(from: &str, to: &str) -> Event {
        KeyRotated {
            from: Some(key(from)),
            to: key(to),
            overlap_until: "2026-03-31T09:00:00Z".parse().unwrap(),
            reason: why(),
        }
        .into()
    }

    fn revoked(id: &str, good_until: u64) -> Event {
        KeyRevoked {
            key: key(id),
            good_until,
            reason: why(),
        }
        .into()
    }

    #[test]
    fn a_word_counts_from_its_rotation_to_its_revocation() {
        let (a, b, c) = ("0000000a", "0000000b", "0000000c");
        let until = |good_until, entry| Word::Revoked { good_until, entry };
        let mut entries = vec![
            (7, adopted(a)),
            (8, created(b)),
            (10, rotated(a, b)),
            (20, revoked(a, 15)),
        ];
        for (key_id, size, word) in [
            (a, 0, Word::Counts),
            (a, 15, Word::Counts),
            (a, 16, until(15, 20)),
            (a, u64::MAX, until(15, 20)),
            (b, 10, Word::Unknown),
            (b, 11, Word::Counts),
            (b, u64::MAX, Word::Counts),
            (c, 11, Word::Unknown),
        ] {
            let history = History(entries.clone());
            assert_eq!(history.word(&key(key_id), size), word, "{key_id} at {size}");
        }
        // A revocation never lets a key count beyond itself, and a later one only takes more away.
        entries[3] = (20, revoked(a, 1_000));
        let wide = History(entries.clone());
        assert_eq!(wide.word(&key(a), 20), Word::Counts);
        assert_eq!(wide.word(&key(a), 21), until(20, 20));
        entries.push((30, revoked(a, 12)));
        entries.push((31, revoked(a, 900)));
        let narrow = History(entries);
        assert_eq!(narrow.word(&key(a), 12), Word::Counts);
        assert_eq!(narrow.word(&key(a), 13), until(12, 30));
    }

    #[test]
    fn who_signs_beside_a_revoked_key_vouches_for_its_successor() {
        let (a, b, c) = ("0000000a", "0000000b", "0000000c");
        let mut third = rotated(b, c);
        let Event::KeyRotated(e) = &mut third else {
            panic!("{third:?}");
        };
        e.from = None;
        let history = History(vec![
            (0, adopted(a)),
            (1, created(b)),
            (2, rotated(a, b)),
            (3, revoked(b, 3)),
            (4, created(c)),
            (5, third),
        ]);
        let found: Vec<_> = history.successions().collect();
        let ids: Vec<_> = found.iter().map(|(i, f, t)| (*i, f.id(), t.id())).collect();
        assert_eq!(ids, [(2, a, b), (5, a, c)]);
        // A key that was revoked itself vouches for nobody.
        let mut revoked_too = history;
        revoked_too.0.insert(4, (3, revoked(a, 3)));
        assert_eq!(revoked_too.successions().count(), 1);
    }

    #[test]
    fn at_each_size_the_entries_below_it_say_who_signs() {
        let (a, b) = ("0000000a", "0000000b");
        let history = History(vec![
            (0, adopted(a)),
            (4, created(b)),
            (5, rotated(a, b)),
            (9, revoked(b, 9)),
        ]);
        let day = |day: &str| format!("2026-03-{day}T09:00:00Z").parse().unwrap();
        for (size, when, expected) in [
            (0, "01", &[][..]),
            (5, "01", &[a]),
            (6, "01", &[b, a]),
            (9, "30", &[b, a]),
            // The overlap is over at its end, not after it.
            (9, "31", &[b]),
            (10, "30", &[a]),
            (10, "31", &[]),
        ] {
            let keys = history.at(size);
            let signing: Vec<&str> = keys.signing(day(when)).iter().map(|k| k.key.id()).collect();
            assert_eq!(signing, expected, "{size} on day {when}");
        }
    }
}
