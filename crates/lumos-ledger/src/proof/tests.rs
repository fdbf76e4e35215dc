use ct_merkle::mem_backed_tree::MemoryBackedTree;
use sha2::Sha256;

use super::*;
use crate::fixture::Numbers;
use crate::tree::{leaf_hash, root};

fn leaf(n: u64) -> Hash {
    leaf_hash(&n.to_be_bytes())
}

fn flipped(hash: &Hash, bit: usize) -> Hash {
    let mut bytes = *hash.as_bytes();
    bytes[bit / 8 % 32] ^= 1 << (bit % 8);
    Hash::new(bytes)
}

/// Changes a proof in one place: a bit, a hash too few, a hash too many, two hashes swapped.
fn mutations(proof: &[Hash], numbers: &mut Numbers) -> Vec<Vec<Hash>> {
    let mut longer = proof.to_vec();
    longer.push(leaf(numbers.below(1000)));
    let mut first = proof.to_vec();
    first.insert(0, leaf(numbers.below(1000)));
    let mut all = vec![longer, first];
    if !proof.is_empty() {
        let (at, bit) = (numbers.index(proof.len()), numbers.index(256));
        let mut bit_flip = proof.to_vec();
        bit_flip[at] = flipped(&proof[at], bit);
        let mut without = proof.to_vec();
        without.remove(at);
        all.extend([bit_flip, without]);
    }
    if proof.len() > 1 {
        let at = numbers.index(proof.len() - 1);
        let mut swapped = proof.to_vec();
        swapped.swap(at, at + 1);
        all.push(swapped);
    }
    all
}

fn check_inclusion(
    index: u64,
    size: u64,
    tree: &MemoryHashes,
    whole: &Hash,
    numbers: &mut Numbers,
) {
    let case = format!("index {index} of {size}");
    let proof = inclusion(index, size, tree).unwrap();
    let leaf = leaf(index);
    let verify =
        |leaf, index, root: &Hash, proof: &[Hash]| verify_inclusion(leaf, index, size, root, proof);
    verify(leaf, index, whole, &proof).unwrap_or_else(|error| panic!("{case}: {error}"));
    let bit = numbers.index(256);
    assert_eq!(
        verify(flipped(&leaf, bit), index, whole, &proof),
        Err(Error::Root),
        "{case}"
    );
    assert_eq!(
        verify(leaf, index, &flipped(whole, bit), &proof),
        Err(Error::Root),
        "{case}"
    );
    let elsewhere = (index + 1 + numbers.below(size)) % (size + 1);
    if elsewhere != index {
        assert!(
            verify(leaf, elsewhere, whole, &proof).is_err(),
            "{case} as {elsewhere}"
        );
    }
    for wrong in mutations(&proof, numbers) {
        assert!(verify(leaf, index, whole, &wrong).is_err(), "{case}");
    }
}

fn check_consistency(
    old: (u64, &Hash),
    new: (u64, &Hash),
    tree: &MemoryHashes,
    numbers: &mut Numbers,
) {
    let case = format!("{} to {}", old.0, new.0);
    let proof = consistency(old.0, new.0, tree).unwrap();
    verify_consistency(old, new, &proof).unwrap_or_else(|error| panic!("{case}: {error}"));
    let bit = numbers.index(256);
    let wrong_old = flipped(old.1, bit);
    assert!(
        verify_consistency((old.0, &wrong_old), new, &proof).is_err(),
        "{case}"
    );
    if old.0 > 0 {
        // From nothing to anything is consistent; every other newer root is bound.
        let wrong_new = flipped(new.1, bit);
        assert!(
            verify_consistency(old, (new.0, &wrong_new), &proof).is_err(),
            "{case}"
        );
    }
    for wrong in mutations(&proof, numbers) {
        assert!(verify_consistency(old, new, &wrong).is_err(), "{case}");
    }
}

#[test]
fn every_proof_of_every_size_to_300_holds_and_no_changed_one_does() {
    const LARGEST: u64 = 300;
    let tree: MemoryHashes = (0..LARGEST).map(leaf).collect();
    let leaves: Vec<Hash> = (0..LARGEST).map(leaf).collect();
    let roots: Vec<Hash> = (0..=leaves.len())
        .map(|size| root(&leaves[..size]))
        .collect();
    let mut numbers = Numbers(1);
    for (new, new_root) in (0..).zip(&roots) {
        for index in 0..new {
            check_inclusion(index, new, &tree, new_root, &mut numbers);
        }
        for (old, old_root) in (0..=new).zip(&roots) {
            check_consistency((old, old_root), (new, new_root), &tree, &mut numbers);
        }
    }
}

#[test]
fn random_larger_sizes_agree_with_ct_merkle_and_tlog_tiles() {
    let mut numbers = Numbers(2);
    let mut theirs = MemoryBackedTree::<Sha256, [u8; 8]>::new();
    let mut stored = Vec::new();
    let mut ours = MemoryHashes::new();
    for n in 0u64..3_000 {
        theirs.push(n.to_be_bytes());
        ours.push(leaf(n));
        let reader = Stored(&stored);
        let hash = tlog_tiles::Hash(*leaf(n).as_bytes());
        let new = tlog_tiles::stored_hashes_for_record_hash(n, hash, &reader).unwrap();
        stored.extend(new);
    }
    let size = 3_000;
    let whole = ours.frontier().root();
    assert_eq!(theirs.root().as_bytes().as_slice(), whole.as_bytes());
    for _ in 0..300 {
        let index = numbers.below(size);
        let proof = inclusion(index, size, &ours).unwrap();
        let flat: Vec<u8> = proof.iter().flat_map(|hash| *hash.as_bytes()).collect();
        assert_eq!(
            theirs.prove_inclusion(index as usize).as_bytes(),
            flat,
            "index {index}"
        );
        let smaller = index + 1 + numbers.below(size - index);
        check_against_tlog(index, smaller, &ours, &stored);
    }
}

struct Stored<'a>(&'a [tlog_tiles::Hash]);

impl tlog_tiles::HashReader for Stored<'_> {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::Error> {
        Ok(indexes
            .iter()
            .map(|index| self.0[*index as usize])
            .collect())
    }
}

fn check_against_tlog(index: u64, size: u64, ours: &MemoryHashes, stored: &[tlog_tiles::Hash]) {
    let bytes =
        |proof: Vec<Hash>| -> Vec<[u8; 32]> { proof.iter().map(|hash| *hash.as_bytes()).collect() };
    let theirs = |proof: Vec<tlog_tiles::Hash>| -> Vec<[u8; 32]> {
        proof.iter().map(|hash| hash.0).collect()
    };
    let reader = Stored(stored);
    let record = tlog_tiles::prove_record(size, index, &reader).unwrap();
    assert_eq!(
        bytes(inclusion(index, size, ours).unwrap()),
        theirs(record),
        "{index} of {size}"
    );
    let old = index + 1;
    let tree = tlog_tiles::prove_tree(size, old, &reader).unwrap();
    assert_eq!(
        bytes(consistency(old, size, ours).unwrap()),
        theirs(tree),
        "{old} to {size}"
    );
}

#[test]
fn what_the_rfc_says_must_be_refused_is() {
    fn check(result: Result<(), Error>, code: &str) {
        assert_eq!(result.unwrap_err().code(), code);
    }
    let tree: MemoryHashes = (0..8).map(leaf).collect();
    let whole = tree.frontier().root();
    let other = leaf(99);
    let proof = inclusion(3, 8, &tree).unwrap();
    check(
        verify_inclusion(leaf(3), 8, 8, &whole, &proof),
        "ledger-proof-out-of-range",
    );
    check(
        verify_inclusion(leaf(3), 0, 0, &whole, &[]),
        "ledger-proof-out-of-range",
    );
    check(
        verify_inclusion(leaf(3), u64::MAX, 8, &whole, &proof),
        "ledger-proof-out-of-range",
    );
    check(
        verify_inclusion(leaf(3), 3, 8, &whole, &proof[1..]),
        "ledger-proof-length",
    );
    check(
        verify_inclusion(leaf(3), 3, 8, &whole, &[]),
        "ledger-proof-length",
    );
    check(
        verify_inclusion(other, 3, 8, &whole, &proof),
        "ledger-proof-wrong",
    );
    assert_eq!(
        inclusion(8, 8, &tree).unwrap_err().code(),
        "ledger-proof-out-of-range"
    );
    assert_eq!(
        inclusion(0, 9, &tree).unwrap_err().code(),
        "ledger-hash-absent"
    );
}

#[test]
fn consistency_is_never_proven_by_what_the_rfc_refuses() {
    fn check(result: Result<(), Error>, code: &str) {
        assert_eq!(result.unwrap_err().code(), code);
    }
    let tree: MemoryHashes = (0..8).map(leaf).collect();
    let whole = tree.frontier().root();
    let (one, other) = (leaf(0), leaf(99));
    let consistent = |old, new, proof: &[Hash]| verify_consistency(old, new, proof);
    check(
        consistent((0, &EMPTY_ROOT), (8, &whole), &[one]),
        "ledger-proof-length",
    );
    check(
        consistent((0, &one), (8, &whole), &[]),
        "ledger-proof-wrong",
    );
    check(
        consistent((0, &EMPTY_ROOT), (0, &one), &[]),
        "ledger-proof-wrong",
    );
    check(
        consistent((8, &whole), (8, &other), &[]),
        "ledger-proof-wrong",
    );
    check(
        consistent((8, &whole), (8, &whole), &[one]),
        "ledger-proof-length",
    );
    check(
        consistent((9, &whole), (8, &whole), &[]),
        "ledger-proof-out-of-range",
    );
    check(
        consistent((3, &other), (8, &whole), &[]),
        "ledger-proof-length",
    );
    check(
        consistent((4, &other), (8, &whole), &[]),
        "ledger-proof-length",
    );
    assert_eq!(
        consistency(9, 8, &tree).unwrap_err().code(),
        "ledger-proof-out-of-range"
    );
}

#[test]
fn the_frontier_can_be_read_back_at_every_size() {
    let tree: MemoryHashes = (0..300).map(leaf).collect();
    let mut grown = Frontier::new();
    for size in 0..=300 {
        assert_eq!(frontier(size, &tree), Ok(grown.clone()), "size {size}");
        grown.append(leaf(size));
    }
}

proptest::proptest! {
    #[test]
    fn arbitrary_proofs_never_panic(a in 0u64.., b in 0u64.., hashes: Vec<[u8; 32]>) {
        let proof: Vec<Hash> = hashes.into_iter().map(Hash::new).collect();
        proptest::prop_assert!(verify_inclusion(leaf(0), a, b, &leaf(1), &proof).is_err());
        proptest::prop_assert!(
            verify_consistency((a, &leaf(0)), (b, &leaf(1)), &proof).is_err()
        );
    }
}
