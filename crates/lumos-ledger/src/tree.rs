//! The RFC 6962 Merkle tree over leaf hashes: hashing, roots, and the frontier that grows it. It keeps
//! no entries and no inner nodes beyond the frontier, and makes no proofs (see [`crate::proof`]).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

/// A SHA-256 value: of an entry as a leaf, of an inner node, or a root. Prints as lower-case hex.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash([u8; Hash::SIZE]);

/// Root of the tree without entries: SHA-256 of nothing (RFC 6962, 2.1).
pub const EMPTY_ROOT: Hash = Hash([
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
    0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
]);

/// Largest tree size read anywhere in this crate: 2^63 - 1, as other implementations have it.
pub const MAX_SIZE: u64 = i64::MAX as u64;

impl Hash {
    /// Bytes in a hash.
    pub const SIZE: usize = 32;

    /// Takes 32 bytes as they are.
    pub const fn new(bytes: [u8; Self::SIZE]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::SIZE] {
        &self.0
    }

    /// Standard base64 with padding, 44 characters, as checkpoints and proofs write it.
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.0)
    }

    /// Reads what [`Hash::to_base64`] wrote; any other spelling is refused.
    ///
    /// # Errors
    /// [`Error::Hash`] when the text is not canonical base64 of 32 bytes.
    pub fn from_base64(text: &str) -> Result<Self, Error> {
        // The length is checked first so that hostile text is never decoded at length.
        let decoded = if text.len() == 44 {
            STANDARD.decode(text).ok()
        } else {
            None
        };
        decoded
            .and_then(|bytes| Self::try_from(bytes.as_slice()).ok())
            .ok_or(Error::Hash { encoding: "base64" })
    }

    /// Reads 64 lower-case hex digits.
    ///
    /// # Errors
    /// [`Error::Hash`] when the text is anything else.
    pub fn from_hex(text: &str) -> Result<Self, Error> {
        let refused = Error::Hash { encoding: "hex" };
        if text.len() != 2 * Self::SIZE {
            return Err(refused);
        }
        let mut bytes = [0; Self::SIZE];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            match (hex_digit(pair[0]), hex_digit(pair[1])) {
                (Some(high), Some(low)) => *byte = high << 4 | low,
                _ => return Err(refused),
            }
        }
        Ok(Self(bytes))
    }
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

impl TryFrom<&[u8]> for Hash {
    type Error = Error;

    fn try_from(bytes: &[u8]) -> Result<Self, Error> {
        bytes
            .try_into()
            .map(Self)
            .map_err(|_| Error::Hash { encoding: "binary" })
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

/// Why a hash or a stored frontier could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not 32 bytes, or not spelled the one way this encoding allows.
    #[error("reading a hash: not canonical {encoding} of 32 bytes")]
    Hash {
        /// `base64`, `hex` or `binary`.
        encoding: &'static str,
    },
    /// The stored frontier does not hold exactly the hashes its size asks for.
    #[error("reading a frontier: {found} bytes where a tree of this size needs {needed}")]
    Frontier {
        /// Bytes the stated size asks for.
        needed: usize,
        /// Bytes found.
        found: usize,
    },
}

impl Error {
    /// Stable name of this failure, with a page in `docs/errors/`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Hash { .. } => "ledger-hash-malformed",
            Self::Frontier { .. } => "ledger-frontier-damaged",
        }
    }
}

/// Hash of one entry as a leaf: `SHA-256(0x00 || entry)` (RFC 6962, 2.1).
pub fn leaf_hash(entry: &[u8]) -> Hash {
    Hash(
        Sha256::new()
            .chain_update([0])
            .chain_update(entry)
            .finalize()
            .into(),
    )
}

/// Hash of two subtrees: `SHA-256(0x01 || left || right)` (RFC 6962, 2.1).
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut block = [1; 1 + 2 * Hash::SIZE];
    block[1..=Hash::SIZE].copy_from_slice(&left.0);
    block[1 + Hash::SIZE..].copy_from_slice(&right.0);
    Hash(Sha256::digest(block).into())
}

/// Root of the tree over these leaf hashes, in order; [`EMPTY_ROOT`] for none.
pub fn root(leaves: &[Hash]) -> Hash {
    let mut frontier = Frontier::new();
    for leaf in leaves {
        frontier.append(*leaf);
    }
    frontier.root()
}

/// The right edge of a tree: all that is needed to append to it and to know its root.
///
/// Holds the roots of the complete subtrees whose sizes are the set bits of `size`, largest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    // INVARIANT: roots.len() == size.count_ones().
    roots: Vec<Hash>,
}

impl Frontier {
    /// The frontier of the empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Entries in the tree.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Root of the tree as it stands.
    pub fn root(&self) -> Hash {
        fold_right(&self.roots, None).unwrap_or(EMPTY_ROOT)
    }

    /// Adds one leaf hash at the end, in amortised constant time.
    pub fn append(&mut self, leaf: Hash) {
        self.append_each(leaf, |_, _, _| {});
    }

    /// Like [`Frontier::append`], and hands every subtree that became complete to `sink` as
    /// `(level, index, hash)`, the leaf itself first as level 0. A store of tiles keeps those whose
    /// level is a multiple of 8.
    pub fn append_each(&mut self, leaf: Hash, mut sink: impl FnMut(u8, u64, Hash)) {
        let (mut level, mut hash) = (0, leaf);
        sink(0, self.size, hash);
        // Each trailing 1-bit of the size is a complete subtree that the new leaf completes to twice
        // its size.
        while (self.size >> level) & 1 == 1 {
            let Some(left) = self.roots.pop() else { break };
            hash = node_hash(&left, &hash);
            level += 1;
            sink(level, self.size >> level, hash);
        }
        self.roots.push(hash);
        self.size += 1;
    }

    /// For storage: the size as 8 bytes big-endian, then the hashes, largest subtree first.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.size.to_be_bytes().to_vec();
        self.roots
            .iter()
            .for_each(|root| bytes.extend_from_slice(&root.0));
        bytes
    }

    /// Reads what [`Frontier::to_bytes`] wrote. That the hashes are the right ones is for the caller
    /// to check, by comparing [`Frontier::root`] with a checkpoint.
    ///
    /// # Errors
    /// [`Error::Frontier`] when the length does not fit the size, or the size exceeds [`MAX_SIZE`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let found = bytes.len();
        let (size, hashes) = bytes
            .split_first_chunk::<8>()
            .ok_or(Error::Frontier { needed: 8, found })?;
        let size = u64::from_be_bytes(*size);
        let needed = 8 + Hash::SIZE * size.count_ones() as usize;
        if found != needed || size > MAX_SIZE {
            return Err(Error::Frontier { needed, found });
        }
        let roots = hashes
            .chunks_exact(Hash::SIZE)
            .map(Hash::try_from)
            .collect::<Result<_, _>>()?;
        Ok(Self { size, roots })
    }

    pub(crate) fn from_parts(size: u64, roots: Vec<Hash>) -> Self {
        Self { size, roots }
    }

    pub(crate) fn roots(&self) -> &[Hash] {
        &self.roots
    }
}

/// Joins adjacent subtrees from right to left, `right` being what already stands to their right.
pub(crate) fn fold_right(roots: &[Hash], right: Option<Hash>) -> Option<Hash> {
    roots.iter().rev().fold(right, |right, left| match right {
        Some(right) => Some(node_hash(left, &right)),
        None => Some(*left),
    })
}

#[cfg(test)]
mod tests;
