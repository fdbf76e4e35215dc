//! The versions of streams that the writer has seen committed: a read set is compared without asking the
//! database for what its one writer wrote itself. A cache, and nothing else: it is emptied when in doubt.

use std::collections::HashMap;

/// Streams kept at most between commits; some hundred bytes each.
const STREAMS: usize = 16_384;

/// Versions by the name of their stream.
#[derive(Default)]
pub(super) struct Versions(HashMap<String, u64>);

impl Versions {
    pub(super) fn get(&self, stream: &str) -> Option<u64> {
        self.0.get(stream).copied()
    }

    /// Takes over what became true with a commit.
    pub(super) fn extend(&mut self, committed: HashMap<String, u64>) {
        if self.0.len() + committed.len() > STREAMS {
            self.0.clear();
        }
        self.0.extend(committed);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_committed_last_is_known_or_nothing_is() {
        let mut versions = Versions::default();
        for round in 1..=3 {
            for stream in 0..STREAMS {
                let name = format!("model/m{stream}");
                versions.extend([(name.clone(), round)].into());
                assert_eq!(versions.get(&name), Some(round));
                let other = versions.get(&format!("model/m{}", stream.saturating_sub(1)));
                assert!(other.is_none_or(|known| known == round), "{other:?}");
            }
        }
        versions.extend((0..STREAMS).map(|n| (format!("person/p{n}"), 1)).collect());
        assert_eq!(versions.get("model/m1"), None);
        versions.clear();
        assert_eq!(versions.get("person/p1"), None);
    }
}
