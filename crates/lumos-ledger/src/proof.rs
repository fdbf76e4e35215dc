//! Inclusion and consistency proofs (RFC 6962 section 2.1, verification as in RFC 9162 section 2.1):
//! making them from stored subtree hashes, and checking them. It never looks at entries or signatures.

use std::convert::Infallible;

use crate::tree::{EMPTY_ROOT, Frontier, Hash, fold_right, node_hash};

/// Hashes a proof may hold: a tree whose size fits 64 bits never needs more.
pub const MAX_PROOF: usize = 64;

/// Serves the roots of complete subtrees.
pub trait HashReader {
    /// Why a hash could not be served.
    type Error;

    /// Root of the complete subtree over the leaves `index * 2^level .. (index + 1) * 2^level`.
    ///
    /// # Errors
    /// Whatever the store behind it says, for instance that the hash is not there.
    fn read(&self, level: u8, index: u64) -> Result<Hash, Self::Error>;
}

impl<R: HashReader + ?Sized> HashReader for &R {
    type Error = R::Error;

    fn read(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        (**self).read(level, index)
    }
}

/// Every complete subtree hash of one tree in memory: 64 bytes an entry. For tests and small logs.
#[derive(Debug, Clone, Default)]
pub struct MemoryHashes {
    frontier: Frontier,
    levels: Vec<Vec<Hash>>,
}

impl MemoryHashes {
    /// A tree without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one leaf hash at the end.
    pub fn push(&mut self, leaf: Hash) {
        let levels = &mut self.levels;
        self.frontier.append_each(leaf, |level, _, hash| {
            let level = usize::from(level);
            if levels.len() == level {
                levels.push(Vec::new());
            }
            levels[level].push(hash);
        });
    }

    /// The right edge of this tree.
    pub fn frontier(&self) -> &Frontier {
        &self.frontier
    }
}

impl FromIterator<Hash> for MemoryHashes {
    fn from_iter<I: IntoIterator<Item = Hash>>(leaves: I) -> Self {
        let mut hashes = Self::new();
        leaves.into_iter().for_each(|leaf| hashes.push(leaf));
        hashes
    }
}

impl HashReader for MemoryHashes {
    type Error = Absent;

    fn read(&self, level: u8, index: u64) -> Result<Hash, Absent> {
        self.levels
            .get(usize::from(level))
            .zip(usize::try_from(index).ok())
            .and_then(|(hashes, index)| hashes.get(index).copied())
            .ok_or(Absent { level, index })
    }
}

/// A subtree hash that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("reading the tree: no hash at level {level}, index {index}")]
pub struct Absent {
    /// Height of the subtree above the leaves.
    pub level: u8,
    /// Its place at that height.
    pub index: u64,
}

impl Absent {
    /// Stable name of this failure, with a page in `docs/errors/`.
    pub fn code(&self) -> &'static str {
        "ledger-hash-absent"
    }
}

/// Why a proof could not be made, or proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error<R = Infallible> {
    /// The entry asked for is not in a tree of that size.
    #[error("proving inclusion: index {index} is outside a tree of size {size}")]
    Index {
        /// Index asked for, from 0.
        index: u64,
        /// Size of the tree.
        size: u64,
    },
    /// The older tree is larger than the newer one.
    #[error("proving consistency: the older size {old} exceeds the newer size {new}")]
    Order {
        /// Size called older.
        old: u64,
        /// Size called newer.
        new: u64,
    },
    /// More or fewer hashes than a proof between these sizes has.
    #[error("checking a proof: {found} hashes do not fit the tree sizes")]
    Length {
        /// Hashes in the proof.
        found: usize,
    },
    /// The proof leads to another root than the one it is checked against.
    #[error("checking a proof: it leads to another root")]
    Root,
    /// The hashes could not be read.
    #[error("reading the tree's hashes")]
    Read(#[source] R),
}

impl<R> Error<R> {
    /// Stable name of this failure, with a page in `docs/errors/`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Index { .. } | Self::Order { .. } => "ledger-proof-out-of-range",
            Self::Length { .. } => "ledger-proof-length",
            Self::Root => "ledger-proof-wrong",
            Self::Read(_) => "ledger-hash-absent",
        }
    }
}

/// Proof that entry `index` stands in the tree of `size` entries; the leaf's sibling comes first.
///
/// Reads at most one hash a level, plus one a level for the tree's unfinished right edge.
///
/// # Errors
/// [`Error::Index`] when `index >= size`, [`Error::Read`] when the reader fails.
pub fn inclusion<R: HashReader>(
    index: u64,
    size: u64,
    reader: &R,
) -> Result<Vec<Hash>, Error<R::Error>> {
    if index >= size {
        return Err(Error::Index { index, size });
    }
    let mut proof = Vec::with_capacity(MAX_PROOF);
    let (mut low, mut high) = (0, size);
    while high - low > 1 {
        let middle = low + split(high - low);
        let sibling = if index < middle {
            (middle, high)
        } else {
            (low, middle)
        };
        proof.push(range_root(sibling.0, sibling.1, reader).map_err(Error::Read)?);
        (low, high) = if index < middle {
            (low, middle)
        } else {
            (middle, high)
        };
    }
    proof.reverse();
    Ok(proof)
}

/// Proof that the tree of `new` entries begins with the tree of `old` entries. Empty when `old` is 0
/// or equal to `new`.
///
/// # Errors
/// [`Error::Order`] when `old > new`, [`Error::Read`] when the reader fails.
pub fn consistency<R: HashReader>(
    old: u64,
    new: u64,
    reader: &R,
) -> Result<Vec<Hash>, Error<R::Error>> {
    if old > new {
        return Err(Error::Order { old, new });
    }
    let mut proof = Vec::with_capacity(MAX_PROOF);
    if old == 0 {
        return Ok(proof);
    }
    let read = |low, high| range_root(low, high, reader).map_err(Error::Read);
    let (mut low, mut high) = (0, new);
    while high != old {
        let middle = low + split(high - low);
        if old <= middle {
            proof.push(read(middle, high)?);
            high = middle;
        } else {
            proof.push(read(low, middle)?);
            low = middle;
        }
    }
    // While we only went left the verifier holds this very subtree: it is the old root.
    if low != 0 {
        proof.push(read(low, high)?);
    }
    proof.reverse();
    Ok(proof)
}

/// The frontier of the tree of `size` entries, read back from its stored hashes.
///
/// # Errors
/// The reader's own error.
pub fn frontier<R: HashReader>(size: u64, reader: &R) -> Result<Frontier, R::Error> {
    Ok(Frontier::from_parts(size, range_roots(0, size, reader)?))
}

/// Largest power of two strictly below `length`, which is at least 2.
fn split(length: u64) -> u64 {
    1 << (length - 1).ilog2()
}

/// Roots of the complete subtrees that make up `low..high`, largest first; `low` is a multiple of the
/// first one's size, which holds for every range RFC 6962 asks for.
fn range_roots<R: HashReader>(low: u64, high: u64, reader: &R) -> Result<Vec<Hash>, R::Error> {
    let (mut low, mut roots) = (low, Vec::new());
    while low < high {
        let level = (high - low).ilog2();
        // `ilog2` of a u64 is below 64.
        roots.push(reader.read(u8::try_from(level).unwrap_or(u8::MAX), low >> level)?);
        low += 1 << level;
    }
    Ok(roots)
}

fn range_root<R: HashReader>(low: u64, high: u64, reader: &R) -> Result<Hash, R::Error> {
    Ok(fold_right(&range_roots(low, high, reader)?, None).unwrap_or(EMPTY_ROOT))
}

/// The root that an inclusion proof leads to (RFC 9162, 2.1.3.2). The size itself is *not* proven:
/// take size and root from one signed checkpoint.
///
/// # Errors
/// [`Error::Index`] or [`Error::Length`] when the proof cannot fit index and size.
pub fn inclusion_root(leaf: Hash, index: u64, size: u64, proof: &[Hash]) -> Result<Hash, Error> {
    if index >= size {
        return Err(Error::Index { index, size });
    }
    let wrong_length = Error::Length { found: proof.len() };
    let (mut node, mut last, mut hash) = (index, size - 1, leaf);
    for sibling in proof {
        if last == 0 {
            return Err(wrong_length);
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            skip_left_edge(&mut node, &mut last);
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last == 0 {
        Ok(hash)
    } else {
        Err(wrong_length)
    }
}

/// Levels at which a right-edge node has no sibling are left out of proofs.
fn skip_left_edge(node: &mut u64, last: &mut u64) {
    while *node & 1 == 0 && *node != 0 {
        *node >>= 1;
        *last >>= 1;
    }
}

/// Checks that `leaf` stands at `index` in the tree of `size` entries with this `root`.
///
/// # Errors
/// [`Error::Index`], [`Error::Length`] or [`Error::Root`]; nothing else than `Ok` proves anything.
pub fn verify_inclusion(
    leaf: Hash,
    index: u64,
    size: u64,
    root: &Hash,
    proof: &[Hash],
) -> Result<(), Error> {
    if inclusion_root(leaf, index, size, proof)? == *root {
        Ok(())
    } else {
        Err(Error::Root)
    }
}

/// Checks that the tree `new` (size, root) begins with the tree `old` (size, root), as RFC 9162,
/// 2.1.4.2 says; an older size of 0 asks for [`EMPTY_ROOT`] and an empty proof.
///
/// # Errors
/// [`Error::Order`], [`Error::Length`] or [`Error::Root`]; nothing else than `Ok` proves anything.
pub fn verify_consistency(
    old: (u64, &Hash),
    new: (u64, &Hash),
    proof: &[Hash],
) -> Result<(), Error> {
    let ((old, old_root), (new, new_root)) = (old, new);
    let wrong_length = Error::Length { found: proof.len() };
    if old > new {
        return Err(Error::Order { old, new });
    }
    if old == 0 || old == new {
        let known = if old == 0 { &EMPTY_ROOT } else { new_root };
        // The newer tree may be empty too, and then has only one root.
        let fits = old_root == known && (new != 0 || *new_root == EMPTY_ROOT);
        return match (proof.is_empty(), fits) {
            (false, _) => Err(wrong_length),
            (true, false) => Err(Error::Root),
            (true, true) => Ok(()),
        };
    }
    let (mut node, mut last) = (old - 1, new - 1);
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    // A complete older tree is a subtree of the newer: its root starts the proof without being in it.
    let (first, rest) = if old.is_power_of_two() {
        (old_root, proof)
    } else {
        proof.split_first().ok_or(wrong_length)?
    };
    let (mut old_hash, mut new_hash) = (*first, *first);
    for sibling in rest {
        if last == 0 {
            return Err(wrong_length);
        }
        if node & 1 == 1 || node == last {
            old_hash = node_hash(sibling, &old_hash);
            new_hash = node_hash(sibling, &new_hash);
            skip_left_edge(&mut node, &mut last);
        } else {
            new_hash = node_hash(&new_hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    match last {
        0 if old_hash == *old_root && new_hash == *new_root => Ok(()),
        0 => Err(Error::Root),
        _ => Err(wrong_length),
    }
}

#[cfg(test)]
mod tests;
