//! The right edge of the tree: what a start hashes again to see that head and entries belong together.

use lumos_ledger::{Frontier, Hash};

/// Entries at the end of the ledger that are hashed again at each start. Bounded, so that a start takes
/// as long over a million entries as over a thousand; the whole is checked by `lumos ledger verify`.
const EDGE: u64 = 512;

/// Bytes of a hash in a stored frontier, and of the size before them (`Frontier::to_bytes`).
const HASH: usize = Hash::SIZE;
const SIZE: usize = 8;

/// A run of entries at the right edge, and the root that the frontier holds over them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Subtree {
    /// The first entry of it.
    pub(crate) start: u64,
    /// The first entry behind it.
    pub(crate) end: u64,
    /// Its root as the frontier has it.
    pub(crate) root: [u8; HASH],
}

/// The subtrees at the right edge of `frontier`, from the right, none larger than a start can hash.
pub(crate) fn subtrees(frontier: &Frontier) -> Vec<Subtree> {
    let bytes = frontier.to_bytes();
    let mut end = frontier.size();
    let mut all = Vec::new();
    // The frontier holds one hash per set bit of the size, largest subtree first: walked from the right.
    for stored in bytes[SIZE..].rchunks_exact(HASH) {
        let width = 1_u64 << end.trailing_zeros();
        let Ok(root) = <[u8; HASH]>::try_from(stored) else {
            break;
        };
        if width > EDGE {
            break;
        }
        let start = end - width;
        all.push(Subtree { start, end, root });
        end = start;
    }
    all
}

/// What is wrong when a subtree's entries do not hash to its root.
pub(crate) fn contradiction(subtree: &Subtree) -> String {
    let last = subtree.end.saturating_sub(1);
    format!(
        "entries {} to {last} do not hash to the stored frontier",
        subtree.start
    )
}

#[cfg(test)]
mod tests {
    use lumos_ledger::tree;

    use super::*;

    #[test]
    fn the_edge_is_bounded_and_whole() {
        for size in [0, 1, 7, 512, 513, 1_023, 1_024, 3_000] {
            let leaves: Vec<Hash> = (0..size)
                .map(|n: u64| tree::leaf_hash(&n.to_be_bytes()))
                .collect();
            let mut frontier = Frontier::new();
            leaves.iter().for_each(|leaf| frontier.append(*leaf));
            let mut end = size;
            for subtree in subtrees(&frontier) {
                assert_eq!(subtree.end, end);
                let range = usize::try_from(subtree.start).unwrap()..usize::try_from(end).unwrap();
                assert!(range.len() as u64 <= EDGE);
                assert_eq!(tree::root(&leaves[range]).as_bytes(), &subtree.root);
                end = subtree.start;
            }
            assert_eq!(end % EDGE, 0, "{size}");
        }
    }
}
