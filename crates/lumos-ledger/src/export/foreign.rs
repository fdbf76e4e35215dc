//! Exports read by crates that share no line with this one, at every size around which the tiles change: signature,
//! root, inclusion and consistency are the same, and a changed byte is refused.

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use sha2::Sha256;
use signed_note::{Note, StandardVerifier, VerifierList};
use tlog_tiles::{TileHashReader, TileReader};

use crate::checkpoint::Checkpoint;
use crate::fixture::{Files, Log, Numbers};
use crate::proof::{consistency, inclusion, verify_consistency, verify_inclusion};
use crate::tile::{Kind, Tile};
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

/// Whether `tlog_tiles` accepts that this entry stands at this index: it finds a proof in the tiles and checks it
/// against the signed root. That its `TileHashReader` hands out a hash proves nothing: at sizes with several one-bits
/// version 0.2, like Go's original, does not hold every tile against its parent.
fn accepts(files: &Files, index: u64, entry: &[u8]) -> bool {
    let Some((size, root)) = opened(files) else {
        return false;
    };
    let tiles = Tiles(files);
    let reader = TileHashReader::new(size, root, &tiles);
    let proof = tlog_tiles::prove_record(size, index, &reader);
    let leaf = tlog_tiles::record_hash(entry);
    proof.is_ok_and(|proof| tlog_tiles::check_record(&proof, size, root, index, leaf).is_ok())
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
        assert_eq!(
            theirs.root().as_bytes().as_slice(),
            root.as_bytes(),
            "{size}"
        );
        if size == 0 {
            continue;
        }
        let tiles = Tiles(&files);
        let reader = TileHashReader::new(size, signed.1, &tiles);
        for index in [
            0,
            size / 2,
            size - 1,
            numbers.below(size),
            numbers.below(size),
        ] {
            let leaf = leaf_hash(&log.entries[index as usize]);
            assert!(accepts(&files, index, &log.entries[index as usize]));
            let ours = inclusion(index, size, &log.hashes).unwrap();
            let flat: Vec<u8> = ours.iter().flat_map(|hash| *hash.as_bytes()).collect();
            let proof = theirs.prove_inclusion(index as usize);
            assert_eq!(proof.as_bytes(), flat, "{index} of {size}");
            let record = tlog_tiles::prove_record(size, index, &reader).unwrap();
            let record: Vec<Hash> = record.iter().map(|hash| Hash::new(hash.0)).collect();
            verify_inclusion(leaf, index, size, &root, &record).unwrap();
            let own: Vec<tlog_tiles::Hash> = ours
                .iter()
                .map(|h| tlog_tiles::Hash(*h.as_bytes()))
                .collect();
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
        let last = *size - 1;
        let (first, newest) = (log.entries[0].clone(), log.entries[last as usize].clone());
        assert!(accepts(&files, 0, &first) && accepts(&files, last, &newest));
        // A changed hash breaks the proof of its neighbour.
        let path = |index| {
            Tile::in_tree(Kind::Hashes(0), index, *size)
                .unwrap()
                .to_string()
        };
        if *size > 1 {
            let tile = files.0.get_mut(&path(0)).unwrap();
            tile[40] ^= 4;
            assert!(!accepts(&files, 0, &first), "{size}");
            files.0.get_mut(&path(0)).unwrap()[40] ^= 4;
        }
        // So does an entry that was changed together with its hash.
        let mut forged = first.clone();
        forged[9] ^= 1;
        let tile = files.0.get_mut(&path(0)).unwrap();
        tile[..32].copy_from_slice(leaf_hash(&forged).as_bytes());
        assert!(!accepts(&files, 0, &forged), "{size}");
        let tile = files.0.get_mut(&path(0)).unwrap();
        tile[..32].copy_from_slice(leaf_hash(&first).as_bytes());
        assert!(accepts(&files, 0, &first), "{size}");
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
        assert!(!accepts(&files, 0, &first), "{size}");
    }
}
