//! The anchored range: which prefix of a log somebody other than its writer vouches for. Integrity says that the
//! files agree with what the log signed; only this says that the log did not sign something else before.

use crate::checkpoint::Opened;
use crate::note::{Algorithm, VerifierKey};
use crate::tlog_policy::TlogPolicy;

/// Who vouches for a prefix.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum By {
    /// A witness of the policy, by its key's name.
    Witness(String),
}

/// One party's word for the first `size` entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cover {
    /// Who.
    pub by: By,
    /// Entries covered, from the first on.
    pub size: u64,
    /// When, by its own clock, in seconds since 1970.
    pub time: u64,
}

/// What is anchored of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchored {
    /// Entries that a quorum of the policy covers; `None` where the policy asks for no witness.
    pub quorum: Option<u64>,
    /// The longest prefix each known party vouches for, the longest first.
    pub covers: Vec<Cover>,
}

impl Anchored {
    /// Whether the policy asks for witnesses and not one entry has a quorum of them.
    pub fn is_bare(&self) -> bool {
        self.quorum == Some(0)
    }
}

/// Gathers what `checkpoints` say under `policy`. The caller has proven that all of them are prefixes of one log.
pub fn anchored(policy: &TlogPolicy, checkpoints: &[Opened<'_>]) -> Anchored {
    let mut covers: Vec<Cover> = Vec::new();
    for opened in checkpoints {
        let known = |key: &VerifierKey| policy.witnesses().iter().any(|party| party.key == *key);
        for signature in &opened.signatures {
            if signature.key.algorithm() != Algorithm::Cosignature || !known(signature.key) {
                continue;
            }
            let cover = Cover {
                by: By::Witness(signature.key.name().to_owned()),
                size: opened.checkpoint.size(),
                time: signature.time.unwrap_or_default(),
            };
            match covers.iter_mut().find(|c| c.by == cover.by) {
                // The earliest word for the longest prefix says most.
                Some(c) if (c.size, u64::MAX - c.time) < (cover.size, u64::MAX - cover.time) => {
                    *c = cover;
                }
                Some(_) => {}
                None => covers.push(cover),
            }
        }
    }
    covers.sort_by(|a, b| (b.size, &a.by).cmp(&(a.size, &b.by)));
    let quorate = checkpoints.iter().filter(|o| policy.check(o).is_ok());
    let quorum = quorate.map(|o| o.checkpoint.size()).max().unwrap_or(0);
    Anchored {
        quorum: policy.asks_for_witnesses().then_some(quorum),
        covers,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Checkpoint;
    use crate::cosignature::Cosigner;
    use crate::fixture::Log;
    use crate::note::Note;

    fn witness(n: u8) -> Cosigner {
        Cosigner::from_seed(&format!("w{n}.acme.example"), &[n; 32]).unwrap()
    }

    /// The checkpoint of a log of `size` entries, cosigned by these witnesses at these times.
    fn cosigned(size: u64, by: &[(u8, u64)]) -> String {
        let mut note: Note = Log::new(size).note();
        for (n, time) in by {
            let line = witness(*n).sign(note.text(), *time);
            note = note.with(line).unwrap();
        }
        note.to_string()
    }

    fn check(quorum: &str, notes: &[String], expected: Option<u64>, covers: &[(&str, u64, u64)]) {
        let (w1, w2) = (witness(1), witness(2));
        let text = format!(
            "log {}\nwitness one {}\nwitness two {}\ngroup both all one two\nquorum {quorum}\n",
            Log::keys()[0],
            w1.verifier_key(),
            w2.verifier_key()
        );
        let policy = TlogPolicy::parse(text.as_bytes()).unwrap();
        let open = |note: &String| Checkpoint::open(note.as_bytes(), policy.keys()).unwrap();
        let opened: Vec<_> = notes.iter().map(open).collect();
        let found = anchored(&policy, &opened);
        assert_eq!(found.quorum, expected, "{quorum}");
        assert_eq!(found.is_bare(), expected == Some(0));
        let found: Vec<_> = found
            .covers
            .iter()
            .map(|c| {
                let By::Witness(name) = &c.by;
                (&name[..2], c.size, c.time)
            })
            .collect();
        assert_eq!(found, covers);
    }

    #[test]
    fn the_longest_prefix_with_a_quorum_counts() {
        let bare = cosigned(9, &[]);
        check("one", std::slice::from_ref(&bare), Some(0), &[]);
        check("none", std::slice::from_ref(&bare), None, &[]);
        let notes = [
            bare,
            cosigned(5, &[(1, 50), (2, 51)]),
            cosigned(7, &[(1, 70)]),
        ];
        let covers = [("w1", 7, 70), ("w2", 5, 51)];
        check("both", &notes, Some(5), &covers);
        check("one", &notes, Some(7), &covers);
        check("two", &notes, Some(5), &covers);
        // The same size twice: since when it is covered is what the earlier one says.
        let twice = [cosigned(7, &[(1, 80)]), cosigned(7, &[(1, 70)])];
        check("one", &twice, Some(7), &[("w1", 7, 70)]);
        // A witness that the policy does not know says nothing.
        check("one", &[cosigned(7, &[(3, 9)])], Some(0), &[]);
    }
}
