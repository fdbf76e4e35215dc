//! Everything that ever broke a target, its seeds, and mutations of both: nothing breaks it again.
#![expect(
    clippy::unwrap_used,
    reason = "a corpus that cannot be read fails the test"
)]

use std::{fs, path::Path};

use lumos_fuzz::TARGETS;

/// Mutations of each input.
const MUTATIONS: u64 = 1_000;

/// Repeatable numbers (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let bound = u64::try_from(bound.max(1)).unwrap();
        usize::try_from((mixed ^ (mixed >> 31)) % bound).unwrap()
    }
}

/// Changes a few bytes: one set, one flipped, a piece cut, repeated or moved.
fn mutated(bytes: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=numbers.below(4) {
        let (from, to) = (numbers.below(bytes.len()), numbers.below(bytes.len()));
        let (from, to) = (from.min(to), from.max(to).min(from + 64));
        let byte = u8::try_from(numbers.below(256)).unwrap();
        match numbers.below(5) {
            0 => bytes.insert(from, byte),
            1 => drop(bytes.drain(from..to)),
            2 => bytes.extend_from_within(from..to),
            3 => bytes[from..to].reverse(),
            _ => bytes
                .iter_mut()
                .skip(from)
                .take(1)
                .for_each(|at| *at ^= byte),
        }
    }
    bytes
}

#[test]
fn every_corpus_is_replayed() {
    for target in TARGETS {
        let mut inputs = (target.seeds)();
        assert!(!inputs.is_empty(), "{} begins with nothing", target.name);
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("corpus")
            .join(target.name);
        for file in fs::read_dir(folder).into_iter().flatten() {
            inputs.push(fs::read(file.unwrap().path()).unwrap());
        }
        (target.run)(b"");
        for (seed, input) in (0_u64..).zip(&inputs) {
            (target.run)(input);
            let mut numbers = Numbers(seed);
            for _ in 0..MUTATIONS {
                (target.run)(&mutated(input, &mut numbers));
            }
        }
    }
}

/// A folder without a target would never be replayed.
#[test]
fn every_folder_of_the_corpus_has_a_target() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for folder in fs::read_dir(corpus).into_iter().flatten() {
        let name = folder.unwrap().file_name().into_string().unwrap();
        assert!(lumos_fuzz::target(&name).is_some(), "{name}");
    }
}
