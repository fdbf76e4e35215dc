//! Exports read by crates that share no line with this one, at every size around which the tiles change: signature,
//! root, inclusion and consistency are the same, and a changed byte is refused.

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use sha2::Sha256;
use signed_note::{Note, StandardVerifier, VerifierList};
use tlog_tiles::{HashReader, TileHashReader, TileReader};

use super::*;
use crate::checkpoint::Checkpoint;
use crate::fixture::{Files, Log, Numbers};
use crate::proof::{consistency, inclusion, verify_consistency, verify_inclusion};
use crate::tree::{Hash, leaf_hash};

const SIZES: [u64; 9] = [0, 1, 255, 256, 257, 65_535, 65_536, 65_537, 70_000];

/// The files of an export as `tlog_tiles` asks for them; its paths name the height.
struct Tiles<'a>(&'a Files);

impl TileReader for Tiles<'_> {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[tlog_tiles::Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        let path = |tile: &tlog_tiles::Tile| tile.path().replacen("tile/8/", "tile/", 1);
        let read = |tile| self.0.0.get(&path(tile)).cloned();
        let all = tiles.iter().map(read).collect::<Option<_>>();
        all.ok_or(tlog_tiles::Error::InvalidTile)
    }

    fn save_tiles(&self, _: &[tlog_tiles::Tile], _: &[Vec<u8>]) {}
}

/// What the foreign crates say of an export: the size and root that were signed, if the signature holds.
fn opened(files: &Files) -> Option<(u64, tlog_tiles::Hash)> {
    let vkey = Log::keys()[0].to_string();
    let theirs = StandardVerifier::new(&vkey).ok()?;
    let note = Note::from_bytes(&files.0["checkpoint"]).ok()?;
    let (verified, _) = note
        .verify(&VerifierList::new(vec![Box::new(theirs)]))
        .ok()?;
    assert_eq!(verified.len(), 1);
    let checkpoint = tlog_tiles::Checkpoint::from_bytes(note.text()).ok()?;
    Some((checkpoint.size(), *checkpoint.hash()))
}

/// The leaf hashes at these places, each proven against the root before it is believed.
fn leaves(files: &Files, at: &[u64]) -> Option<Vec<[u8; 32]>> {
    let (size, root) = opened(files)?;
    let tiles = Tiles(files);
    let reader = TileHashReader::new(size, root, &tiles);
    let at: Vec<u64> = at
        .iter()
        .map(|index| tlog_tiles::stored_hash_index(0, *index))
        .collect();
    let hashes = reader.read_hashes(&at).ok()?;
    Some(hashes.into_iter().map(|hash| hash.0).collect())
}

#[test]
fn other_crates_agree_on_root_inclusion_and_consistency_at_every_kind_of_size() {
    let mut numbers = Numbers(6962);
    let whole = Log::new(70_000);
    let mut theirs = MemoryBackedTree::<Sha256, Vec<u8>>::new();
    for size in SIZES {
        let log = Log::of(whole.entries[..size as usize].to_vec());
        for entry in &log.entries[theirs.len() as usize..] {
            theirs.push(entry.clone());
        }
        let root = log.hashes.frontier().root();
        let files = log.export();
        let signed = opened(&files).unwrap();
        assert_eq!(signed, (size, tlog_tiles::Hash(*root.as_bytes())), "{size}");
        assert_eq!(theirs.root().as_bytes().as_slice(), root.as_bytes(), "{size}");
        if size == 0 {
            continue;
        }
        let tiles = Tiles(&files);
        let reader = TileHashReader::new(size, signed.1, &tiles);
        for index in [0, size / 2, size - 1, numbers.below(size), numbers.below(size)] {
            let leaf = leaf_hash(&log.entries[index as usize]);
            assert_eq!(leaves(&files, &[index]).unwrap(), [*leaf.as_bytes()]);
            let ours = inclusion(index, size, &log.hashes).unwrap();
            let flat: Vec<u8> = ours.iter().flat_map(|hash| *hash.as_bytes()).collect();
            let proof = theirs.prove_inclusion(index as usize);
            assert_eq!(proof.as_bytes(), flat, "{index} of {size}");
            let record = tlog_tiles::prove_record(size, index, &reader).unwrap();
            let record: Vec<Hash> = record.iter().map(|hash| Hash::new(hash.0)).collect();
            verify_inclusion(leaf, index, size, &root, &record).unwrap();
            let own: Vec<tlog_tiles::Hash> =
                ours.iter().map(|h| tlog_tiles::Hash(*h.as_bytes())).collect();
            let leaf = tlog_tiles::Hash(*leaf.as_bytes());
            tlog_tiles::check_record(&own, size, signed.1, index, leaf).unwrap();

            let older = index + 1;
            let old = Log::of(log.entries[..older as usize].to_vec());
            let old_root = old.hashes.frontier().root();
            let tree = tlog_tiles::prove_tree(size, older, &reader).unwrap();
            let tree: Vec<Hash> = tree.iter().map(|hash| Hash::new(hash.0)).collect();
            verify_consistency((older, &old_root), (size, &root), &tree).unwrap();
            let ours = consistency(older, size, &log.hashes).unwrap();
            assert_eq!(ours, tree, "{older} to {size}");
            if older < size {
                let flat: Vec<u8> = ours.iter().flat_map(|hash| *hash.as_bytes()).collect();
                let proof = theirs.prove_consistency((size - older) as usize);
                assert_eq!(proof.as_bytes(), flat, "{older} to {size}");
            }
        }
    }
}

#[test]
fn other_crates_refuse_what_was_changed() {
    for size in &SIZES[1..] {
        let log = Log::new(*size);
        let mut files = log.export();
        let all: Vec<u64> = (0..*size).collect();
        let expected: Vec<[u8; 32]> = log
            .entries
            .iter()
            .map(|entry| *leaf_hash(entry).as_bytes())
            .collect();
        assert_eq!(leaves(&files, &all), Some(expected), "{size}");
        let last = files.0.keys().rfind(|path| path.starts_with("tile/0/"));
        let last = last.unwrap().clone();
        for path in [last, "tile/0/000".to_owned()] {
            if let Some(tile) = files.0.get_mut(&path) {
                let middle = tile.len() / 2;
                tile[middle] ^= 4;
                assert_eq!(leaves(&files, &all), None, "{path} of {size}");
                files.0.get_mut(&path).unwrap()[middle] ^= 4;
            }
        }
        let note = files.0.get_mut("checkpoint").unwrap();
        let text = String::from_utf8(note.clone()).unwrap();
        let more = text.replace(&format!("\n{size}\n"), &format!("\n{}\n", size + 1));
        *note = more.into_bytes();
        assert_eq!(opened(&files), None, "{size}");
        // Another root of the same size, which the same key did sign, is not that of the tiles.
        let other = Checkpoint::new(crate::fixture::ORIGIN, *size, leaf_hash(b"other")).unwrap();
        let other = other.sign(&crate::fixture::signer()).unwrap();
        files
            .0
            .insert("checkpoint".to_owned(), other.to_string().into_bytes());
        assert_eq!(leaves(&files, &[0]), None, "{size}");
    }
}
