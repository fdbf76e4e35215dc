//! Inclusion and consistency proofs and tiles, for pages, programs and witnesses. Roots of complete blocks of 256 leaves are kept in memory (a quarter of
//! a byte an entry); what lies below is read from the store, at most two blocks a proof.

use std::sync::Arc;

use lumos_ledger::{
    Frontier, Hash,
    proof::{self, Absent, HashReader, MemoryHashes},
    tile::{Kind, Tile},
    tree,
};
use tokio::sync::Mutex;

use crate::ports::{PortError, Store};

/// Leaves in a block, and the level its root stands on.
const BLOCK: u64 = 256;
const BLOCK_LEVEL: u8 = 8;
/// Leaves read at a time while the roots of blocks are made.
const CHUNK: u64 = 256 * BLOCK;

/// The roots of complete blocks, made as they are needed.
#[derive(Clone, Default)]
pub struct Hashes(Arc<Mutex<MemoryHashes>>);

impl Hashes {
    /// The proof that entry `index` stands in the tree of `size` entries.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn inclusion(
        &self,
        store: &dyn Store,
        index: u64,
        size: u64,
    ) -> Result<Vec<Hash>, PortError> {
        self.prove(store, [index / BLOCK, size / BLOCK], size, |reader| {
            proof::inclusion(index, size, reader)
        })
        .await
    }

    /// The proof that the tree of `new` entries continues that of `old`.
    ///
    /// # Errors
    /// When the store fails, or `old` is over `new`.
    pub async fn consistency(
        &self,
        store: &dyn Store,
        old: u64,
        new: u64,
    ) -> Result<Vec<Hash>, PortError> {
        self.prove(store, [old / BLOCK, new / BLOCK], new, |reader| {
            proof::consistency(old, new, reader)
        })
        .await
    }

    /// The right edge of the tree of the first `size` entries.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn frontier(&self, store: &dyn Store, size: u64) -> Result<Frontier, PortError> {
        let mut upper = self.0.lock().await;
        extend(&mut upper, store, size / BLOCK).await?;
        let last = size / BLOCK;
        let blocks = vec![(last, leaves(store, last, size).await?)];
        let upper = &*upper;
        proof::frontier(size, &Blocks { upper, blocks })
            .map_err(|error| PortError::new(format!("the edge of a tree of {size}"), error))
    }

    /// Makes a proof in the tree of `size` entries that looks inside these blocks only.
    async fn prove(
        &self,
        store: &dyn Store,
        [one, other]: [u64; 2],
        size: u64,
        make: impl FnOnce(&Blocks<'_>) -> Result<Vec<Hash>, proof::Error<Absent>> + Send,
    ) -> Result<Vec<Hash>, PortError> {
        let mut upper = self.0.lock().await;
        extend(&mut upper, store, size / BLOCK).await?;
        let mut blocks = vec![(one, leaves(store, one, size).await?)];
        if one != other {
            blocks.push((other, leaves(store, other, size).await?));
        }
        let upper = &*upper;
        make(&Blocks { upper, blocks })
            .map_err(|error| PortError::new(format!("proving in a tree of {size}"), error))
    }
}

impl Hashes {
    /// The bytes of a hash tile of the tree of `size` entries, which must have it.
    ///
    /// # Errors
    /// When the store fails, or the tree has no such tile.
    pub async fn tile(
        &self,
        store: &dyn Store,
        tile: &Tile,
        size: u64,
    ) -> Result<Vec<u8>, PortError> {
        let (first, width) = (tile.index().saturating_mul(BLOCK), u64::from(tile.width()));
        let mut bytes = Vec::new();
        match tile.kind() {
            Kind::Hashes(level) if level > 0 => {
                let mut upper = self.0.lock().await;
                extend(&mut upper, store, size / BLOCK).await?;
                for index in first..first.saturating_add(width) {
                    let hash = upper
                        .read((level - 1).saturating_mul(BLOCK_LEVEL), index)
                        .map_err(|error| PortError::new(format!("reading tile {tile}"), error))?;
                    bytes.extend_from_slice(hash.as_bytes());
                }
            }
            Kind::Hashes(_) | Kind::Entries => {
                for leaf in store.leaves(first, first.saturating_add(width)).await? {
                    bytes.extend_from_slice(leaf.as_bytes());
                }
            }
        }
        Ok(bytes)
    }
}

/// Makes the roots of the blocks up to `wanted`.
async fn extend(upper: &mut MemoryHashes, store: &dyn Store, wanted: u64) -> Result<(), PortError> {
    while upper.frontier().size() < wanted {
        let from = upper.frontier().size() * BLOCK;
        let to = (from + CHUNK).min(wanted * BLOCK);
        let read = store.leaves(from, to).await?;
        if u64::try_from(read.len()).ok() != Some(to - from) {
            return Err(PortError::new(
                "reading leaves",
                "there are fewer than the ledger has",
            ));
        }
        for block in read.chunks(256) {
            upper.push(tree::root(block));
        }
    }
    Ok(())
}

async fn leaves(store: &dyn Store, block: u64, size: u64) -> Result<Vec<Hash>, PortError> {
    let (from, to) = (block * BLOCK, ((block + 1) * BLOCK).min(size));
    if from >= to {
        return Ok(Vec::new());
    }
    store.leaves(from, to).await
}

/// Reads hashes above the blocks from memory, those inside from the blocks at hand.
struct Blocks<'a> {
    upper: &'a MemoryHashes,
    blocks: Vec<(u64, Vec<Hash>)>,
}

impl HashReader for Blocks<'_> {
    type Error = Absent;

    fn read(&self, level: u8, index: u64) -> Result<Hash, Absent> {
        if level >= BLOCK_LEVEL {
            return self.upper.read(level - BLOCK_LEVEL, index);
        }
        let (from, width) = (index << level, 1_u64 << level);
        let block = self.blocks.iter().find(|(block, _)| *block == from / BLOCK);
        let within = usize::try_from(from % BLOCK).ok();
        let width = usize::try_from(width).ok();
        block
            .zip(within.zip(width))
            .and_then(|((_, leaves), (from, width))| leaves.get(from..from + width))
            .map(tree::root)
            .ok_or(Absent { level, index })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(leaves: &[Hash]) -> MemoryHashes {
        leaves.chunks_exact(256).map(tree::root).collect()
    }

    /// The reader as [`Hashes::prove`] makes it, over leaves in memory.
    fn blocks<'a>(tree: &[Hash], upper: &'a MemoryHashes, edges: [u64; 2]) -> Blocks<'a> {
        let cut = |edge: u64| {
            let block = edge / BLOCK;
            let at = |block: u64| usize::try_from(block * BLOCK).unwrap().min(tree.len());
            (block, tree[at(block)..at(block + 1)].to_vec())
        };
        let blocks = edges.map(cut).to_vec();
        Blocks { upper, blocks }
    }

    #[test]
    fn consistency_from_blocks_leads_from_root_to_root() {
        let all: Vec<Hash> = (0..1_100_u32)
            .map(|n| tree::leaf_hash(&n.to_be_bytes()))
            .collect();
        let sizes = [
            1_usize, 2, 255, 256, 257, 511, 512, 513, 1_023, 1_024, 1_100,
        ];
        for new in sizes {
            let upper = whole(&all[..new]);
            for old in sizes.into_iter().filter(|old| *old <= new) {
                let (from, to) = (old as u64, new as u64);
                let reader = blocks(&all[..new], &upper, [from, to]);
                let proof = proof::consistency(from, to, &reader).unwrap();
                let roots = (tree::root(&all[..old]), tree::root(&all[..new]));
                let verdict = proof::verify_consistency((from, &roots.0), (to, &roots.1), &proof);
                assert_eq!(verdict, Ok(()), "{old} to {new}");
            }
        }
    }

    #[test]
    fn edges_from_blocks_are_those_of_the_leaves() {
        let all: Vec<Hash> = (0..1_100_u32)
            .map(|n| tree::leaf_hash(&n.to_be_bytes()))
            .collect();
        for size in [0_usize, 1, 255, 256, 257, 512, 700, 1_024, 1_100] {
            let (upper, edge) = (whole(&all[..size]), size as u64);
            let reader = blocks(&all[..size], &upper, [edge, edge]);
            let mut found = proof::frontier(edge, &reader).unwrap();
            assert_eq!(found.root(), tree::root(&all[..size]), "{size}");
            all[size..].iter().for_each(|leaf| found.append(*leaf));
            assert_eq!(found.root(), tree::root(&all), "{size}");
        }
    }

    #[test]
    fn proofs_from_blocks_lead_to_the_root() {
        let leaves: Vec<Hash> = (0..1_500_u32)
            .map(|n| tree::leaf_hash(&n.to_be_bytes()))
            .collect();
        for size in [1_u64, 2, 255, 256, 257, 511, 512, 513, 1_000, 1_024, 1_500] {
            let tree = &leaves[..usize::try_from(size).unwrap()];
            let (root, upper) = (tree::root(tree), whole(tree));
            for index in [0, 1, 254, 255, 256, 300, 511, 512, 1_023, 1_499] {
                if index < size {
                    let reader = blocks(tree, &upper, [index, size]);
                    let proof = proof::inclusion(index, size, &reader).unwrap();
                    let leaf = leaves[usize::try_from(index).unwrap()];
                    let verdict = proof::verify_inclusion(leaf, index, size, &root, &proof);
                    assert_eq!(verdict, Ok(()), "{index} of {size}");
                }
            }
        }
    }
}
