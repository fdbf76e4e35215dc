use proptest::prelude::*;

use super::*;

/// The well-known RFC 6962 test entries.
const ENTRIES: [&[u8]; 8] = [
    b"",
    &[0x00],
    &[0x10],
    &[0x20, 0x21],
    &[0x30, 0x31],
    &[0x40, 0x41, 0x42, 0x43],
    &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
    &[
        0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e,
        0x6f,
    ],
];

fn leaves() -> Vec<Hash> {
    ENTRIES.iter().map(|entry| leaf_hash(entry)).collect()
}

/// RFC 6962, 2.1, word for word and slow.
fn naive_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => EMPTY_ROOT,
        [leaf] => *leaf,
        _ => {
            let mut k = 1;
            while k * 2 < leaves.len() {
                k *= 2;
            }
            node_hash(&naive_root(&leaves[..k]), &naive_root(&leaves[k..]))
        }
    }
}

#[test]
fn known_hashes() {
    fn check(hash: Hash, starts: &str) {
        assert!(
            hash.to_string().starts_with(starts),
            "{hash} does not start with {starts}"
        );
    }
    let leaf = leaves();
    let expected = [
        "6e340b9c", "96a296d2", "0298d122", "07506a85", "bc1a0643", "4271a26b", "b08693ec",
        "46f6ffad",
    ];
    leaf.iter()
        .zip(expected)
        .for_each(|(leaf, expected)| check(*leaf, expected));
    let pair = |hashes: &[Hash]| -> Vec<Hash> {
        hashes
            .chunks(2)
            .map(|pair| node_hash(&pair[0], &pair[1]))
            .collect()
    };
    let one = pair(&leaf);
    one.iter()
        .zip(["fac54203", "5f083f0a", "0ebc5d34", "ca854ea1"])
        .for_each(|(h, e)| check(*h, e));
    let two = pair(&one);
    two.iter()
        .zip(["d37ee418", "6b47aaf2"])
        .for_each(|(h, e)| check(*h, e));
    check(
        root(&leaf),
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    );
    check(
        root(&[]),
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    );
    assert_eq!(
        EMPTY_ROOT.to_base64(),
        "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
    );
}

#[test]
fn the_frontier_has_the_root_of_the_definition_at_every_size() {
    let leaves: Vec<Hash> = (0u32..300).map(|n| leaf_hash(&n.to_be_bytes())).collect();
    let mut frontier = Frontier::new();
    for size in 0..=leaves.len() {
        assert_eq!(frontier.root(), naive_root(&leaves[..size]), "size {size}");
        assert_eq!(frontier.size(), size as u64);
        let stored = Frontier::from_bytes(&frontier.to_bytes()).unwrap();
        assert_eq!(stored, frontier, "size {size}");
        if let Some(leaf) = leaves.get(size) {
            frontier.append(*leaf);
        }
    }
}

#[test]
fn append_hands_over_each_subtree_once_complete() {
    let mut frontier = Frontier::new();
    let mut seen = Vec::new();
    for leaf in leaves() {
        frontier.append_each(leaf, |level, index, hash| seen.push((level, index, hash)));
    }
    let places: Vec<_> = seen
        .iter()
        .map(|(level, index, _)| (*level, *index))
        .collect();
    let order = [
        (0, 0),
        (0, 1),
        (1, 0),
        (0, 2),
        (0, 3),
        (1, 1),
        (2, 0),
        (0, 4),
        (0, 5),
        (1, 2),
        (0, 6),
        (0, 7),
        (1, 3),
        (2, 1),
        (3, 0),
    ];
    assert_eq!(places, order);
    assert_eq!(seen.last().unwrap().2, root(&leaves()));
}

#[test]
fn damaged_frontiers_are_refused() {
    fn check(bytes: &[u8]) {
        let error = Frontier::from_bytes(bytes).unwrap_err();
        assert_eq!(error.code(), "ledger-frontier-damaged");
    }
    let mut frontier = Frontier::new();
    leaves()
        .into_iter()
        .take(5)
        .for_each(|leaf| frontier.append(leaf));
    let good = frontier.to_bytes();
    check(&[]);
    check(&good[..7]);
    check(&good[..8]);
    check(&good[..good.len() - 1]);
    check(&[&good[..], &[0]].concat());
    let mut other_size = good.clone();
    other_size[7] = 7;
    check(&other_size);
    let mut too_large = (1u64 << 63).to_be_bytes().to_vec();
    too_large.extend_from_slice(&[0; 32]);
    check(&too_large);
}

#[test]
fn hashes_have_one_spelling() {
    let hash = leaf_hash(b"acme");
    assert_eq!(Hash::from_hex(&hash.to_string()), Ok(hash));
    assert_eq!(Hash::from_base64(&hash.to_base64()), Ok(hash));
    assert!(Hash::from_hex(&hash.to_string().to_uppercase()).is_err());
    assert!(Hash::from_hex(&hash.to_string()[1..]).is_err());
    // The last character holds two bits that no byte uses: they must be zero.
    assert!(Hash::from_base64("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV=").is_err());
    assert!(Hash::from_base64("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU").is_err());
    assert!(Hash::from_base64("47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU=").is_err());
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600), text in ".*") {
        if let Ok(frontier) = Frontier::from_bytes(&bytes) {
            prop_assert_eq!(frontier.to_bytes(), bytes);
        }
        let _ = (Hash::from_hex(&text), Hash::from_base64(&text));
    }
}
