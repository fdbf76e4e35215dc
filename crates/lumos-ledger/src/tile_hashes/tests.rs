use std::cell::Cell;

use super::*;
use crate::fixture::Numbers;
use crate::proof::{MemoryHashes, consistency, inclusion};
use crate::tree::leaf_hash;

/// Serves tiles from a tree in memory and counts how often it is asked.
struct Tiles<'a>(&'a MemoryHashes, Cell<usize>);

impl TileReader for &Tiles<'_> {
    type Error = crate::proof::Absent;

    fn read_tile(&self, tile: &Tile) -> Result<Vec<u8>, Self::Error> {
        self.1.set(self.1.get() + 1);
        tile.read_hashes(self.0)
    }
}

fn tree(size: u64) -> MemoryHashes {
    (0..size).map(|n| leaf_hash(&n.to_be_bytes())).collect()
}

#[test]
fn tiles_prove_the_same_as_the_whole_tree() {
    let whole = tree(70_000);
    let tiles = Tiles(&whole, Cell::new(0));
    let cache = Cache::new(40);
    let mut numbers = Numbers(3);
    for _ in 0..200 {
        let size = 1 + numbers.below(70_000);
        let index = numbers.below(size);
        let hashes = TileHashes::new(size, &tiles, &cache);
        assert_eq!(
            inclusion(index, size, &hashes).unwrap(),
            inclusion(index, size, &whole).unwrap(),
            "{index} of {size}",
        );
        assert_eq!(
            consistency(index, size, &hashes).unwrap(),
            consistency(index, size, &whole).unwrap(),
            "{index} to {size}",
        );
    }
}

#[test]
fn a_warm_cache_reads_no_tile_and_a_small_one_stays_small() {
    let whole = tree(70_000);
    let tiles = Tiles(&whole, Cell::new(0));
    let cache = Cache::new(10);
    let hashes = TileHashes::new(70_000, &tiles, &cache);
    inclusion(33_000, 70_000, &hashes).unwrap();
    let cold = tiles.1.get();
    assert!((3..=6).contains(&cold), "{cold} tiles for one proof");
    inclusion(33_001, 70_000, &hashes).unwrap();
    assert_eq!(
        tiles.1.get(),
        cold,
        "the neighbour's proof needs no other tile"
    );
    for index in (0..70_000).step_by(256) {
        inclusion(index, 70_000, &hashes).unwrap();
    }
    let kept = cache.generations.lock().unwrap();
    assert!(kept.0.len() + kept.1.len() <= 10);
}

#[test]
fn hashes_beyond_the_tree_and_damaged_tiles_are_refused() {
    struct Short;
    impl TileReader for Short {
        type Error = &'static str;
        fn read_tile(&self, tile: &Tile) -> Result<Vec<u8>, &'static str> {
            if tile.index() == 0 {
                Ok(vec![0; 31])
            } else {
                Err("disk on fire")
            }
        }
    }
    let cache = Cache::new(2);
    let hashes = TileHashes::new(300, Short, &cache);
    let check = |level, index, code| {
        assert_eq!(
            hashes.read(level, index).unwrap_err().code(),
            code,
            "{level} {index}"
        );
    };
    check(0, 300, "ledger-hash-absent");
    check(9, 0, "ledger-hash-absent");
    check(255, u64::MAX, "ledger-hash-absent");
    check(0, 0, "ledger-tile-malformed");
    check(0, 299, "ledger-hash-absent");
}
