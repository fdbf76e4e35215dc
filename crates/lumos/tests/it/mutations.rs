//! Seeded changes to everything that a ledger is kept in: rows of the database, an export, receipts. Each must be caught
//! by somebody who holds nothing but the ledger's key and one checkpoint, and the account says by which check.
//! `cargo xtask soak mutations` runs 10,000.

use std::{collections::BTreeMap, path::Path};

use lumos_engine::ports::Store as _;
use lumos_ledger::{
    Checkpoint, Frontier, NoteSigner, VerifierKey,
    export::{self, EntryReader, Export},
    proof::MemoryHashes,
    tlog_proof::TlogProof,
    tree::leaf_hash,
    verify::{Depth, ReadError, Source, Trust, verify},
};
use lumos_store::SqliteStore;

use crate::world::{World, promoted};

mod rows;

/// What is changed where the environment asks for no more.
const CHANGES: u64 = 300;
/// Every so many changes one is made to the database: each of them starts the real binary.
const EVERY: u64 = 6;

/// Repeatable numbers (splitmix64), so that a failing change can be named.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn at(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap()
    }

    /// Changes bytes in one place: a bit, a cut, something put in, two places swapped. Says what it did.
    fn change(&mut self, bytes: &mut Vec<u8>) -> &'static str {
        let at = self.at(bytes.len());
        match self.below(4) {
            0 => {
                bytes[at] ^= 1 << self.below(8);
                "bit"
            }
            1 => {
                bytes.truncate(at);
                "cut"
            }
            2 => {
                bytes.insert(at, u8::try_from(self.below(256)).unwrap());
                "insert"
            }
            _ => {
                let other = self.at(bytes.len());
                bytes.swap(at, other);
                "swap"
            }
        }
    }
}

type Files = BTreeMap<String, Vec<u8>>;

struct Folder<'a>(&'a Files);

impl Source for Folder<'_> {
    fn read(&self, path: &str, max_bytes: usize) -> Result<Vec<u8>, ReadError> {
        let file = self.0.get(path).filter(|file| file.len() <= max_bytes);
        file.cloned().ok_or_else(|| "it is not there".into())
    }
}

struct Entries<'a>(&'a [Vec<u8>]);

impl EntryReader for Entries<'_> {
    type Error = std::convert::Infallible;

    fn read_entries(&self, first: u64, count: u16) -> Result<Vec<Vec<u8>>, Self::Error> {
        let first = usize::try_from(first).unwrap();
        Ok(self.0[first..first + usize::from(count)].to_vec())
    }
}

/// The signed head of these entries.
fn note(entries: &[Vec<u8>], signer: &NoteSigner) -> lumos_ledger::note::Note {
    let frontier = frontier(entries);
    let name = signer.verifier_key().name();
    let head = Checkpoint::new(name, frontier.size(), frontier.root());
    head.unwrap().sign(signer).unwrap()
}

fn frontier(entries: &[Vec<u8>]) -> Frontier {
    let mut frontier = Frontier::new();
    for entry in entries {
        frontier.append(leaf_hash(entry));
    }
    frontier
}

/// An export of these entries, signed by whoever has the key.
fn exported(entries: &[Vec<u8>], signer: &NoteSigner) -> Files {
    let hashes: MemoryHashes = entries.iter().map(|entry| leaf_hash(entry)).collect();
    let note = note(entries, signer);
    let export = Export {
        checkpoint: &note,
        vkeys: &[],
        entries: Entries(entries),
        hashes: &hashes,
    };
    export::files(entries.len() as u64)
        .filter(|file| !["VERIFY.md", "vkeys"].contains(&file.to_string().as_str()))
        .map(|file| (file.to_string(), export.bytes(&file).unwrap()))
        .collect()
}

/// What the campaign is about.
struct Ledger {
    world: World,
    signer: NoteSigner,
    keys: Vec<VerifierKey>,
    entries: Vec<Vec<u8>>,
    held: Checkpoint,
}

/// What was changed, how, and which check caught it.
type Account = BTreeMap<(&'static str, &'static str, String), u64>;

impl Ledger {
    async fn new() -> Self {
        let mut world = World::acme().await;
        assert!(world.stop().await.success());
        // The data directory as it was before anything was approved, with its own signed head.
        copy(&world, "lumos-data", "older");
        copy_anchor(&world, "lumos-data", "older");
        world.start(0).await;
        world.approve("1.0").await;
        let developer = world.person("developer").await;
        developer.until("triage/1.0", promoted).await;
        let vkey = world.vkey().parse().unwrap();
        assert!(world.stop().await.success());
        let seed = std::fs::read_to_string(world.path("lumos-data/keys/ledger.ed25519")).unwrap();
        let mut bytes = [0; 32];
        for (byte, digits) in bytes.iter_mut().zip(seed.trim().as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap();
        }
        let keys: Vec<VerifierKey> = vec![vkey];
        let signer = NoteSigner::from_seed(keys[0].name(), &bytes).unwrap();
        let store = open(&world.path("lumos-data"));
        let entries = store.entries(0, 100_000).await.unwrap();
        drop(store);
        let entries: Vec<Vec<u8>> = entries.into_iter().map(|entry| entry.bytes).collect();
        let anchor = std::fs::read(world.path("lumos-data.anchor/checkpoint")).unwrap();
        let held = Checkpoint::open(&anchor, &keys).unwrap().checkpoint;
        assert_eq!(held.size(), entries.len() as u64);
        std::fs::write(world.path("held"), anchor).unwrap();
        Self {
            world,
            signer,
            keys,
            entries,
            held,
        }
    }

    /// Which check refuses an export, or nothing.
    fn refuses(&self, files: &Files) -> Option<&'static str> {
        let trust = Trust {
            keys: &self.keys,
            earlier: std::slice::from_ref(&self.held),
            depth: Depth::Envelopes,
            keep: None,
        };
        verify(&Folder(files), &trust).err().map(|e| e.code())
    }

    /// One change to an export: to a file, or by the log's own key to all of them.
    fn change_export(&self, numbers: &mut Numbers, whole: &Files) -> (&'static str, String) {
        let size = self.entries.len();
        let (what, files) = loop {
            let mut files = whole.clone();
            let what = match numbers.below(10) {
                0 => {
                    let kept = 1 + numbers.at(size - 1);
                    files = exported(&self.entries[..kept], &self.signer);
                    "tail cut, signed again"
                }
                1 => {
                    let mut entries = self.entries.clone();
                    let at = numbers.at(size);
                    let place = numbers.at(entries[at].len());
                    entries[at][place] ^= 1 << numbers.below(8);
                    files = exported(&entries, &self.signer);
                    "rewritten, signed again"
                }
                2 => {
                    let mut entries = self.entries.clone();
                    let (one, other) = (numbers.at(size), numbers.at(size));
                    entries.swap(one, other);
                    files = exported(&entries, &self.signer);
                    "two entries swapped, signed again"
                }
                3 => {
                    let names: Vec<String> = whole.keys().cloned().collect();
                    let (one, other) = (numbers.at(names.len()), numbers.at(names.len()));
                    files.insert(names[one].clone(), whole[&names[other]].clone());
                    "one file for another"
                }
                _ => {
                    let names: Vec<String> = whole.keys().cloned().collect();
                    let name = &names[numbers.at(names.len())];
                    numbers.change(files.get_mut(name).unwrap())
                }
            };
            if files != *whole {
                break (what, files);
            }
        };
        let refused = self.refuses(&files);
        (
            what,
            refused
                .unwrap_or_else(|| panic!("{what} went unnoticed"))
                .to_owned(),
        )
    }

    fn change_receipt(
        &self,
        numbers: &mut Numbers,
        hashes: &MemoryHashes,
    ) -> (&'static str, String) {
        let size = self.entries.len();
        let index = numbers.at(size);
        let proof = lumos_ledger::proof::inclusion(index as u64, size as u64, hashes);
        let receipt = TlogProof {
            extra: Some(self.entries[index].clone()),
            index: index as u64,
            hashes: proof.unwrap(),
            checkpoint: note(&self.entries, &self.signer).to_string(),
        };
        let good = receipt.to_string().into_bytes();
        let mut bytes = good.clone();
        let mut what = "";
        while bytes == good {
            what = numbers.change(&mut bytes);
        }
        let Ok(text) = String::from_utf8(bytes) else {
            return (what, "not text".to_owned());
        };
        let refused = match text.parse::<TlogProof>() {
            Err(error) => Some(error.code()),
            Ok(read) => match read.entry() {
                None => Some("no entry"),
                Some(entry) => read.verify(entry, &self.keys).err().map(|e| e.code()),
            },
        };
        let refused = refused.unwrap_or_else(|| panic!("{what} in receipt {index}: {text}"));
        (what, refused.to_owned())
    }

    /// One change to a data directory, judged by the real command.
    async fn change_database(&self, numbers: &mut Numbers) -> (&'static str, String) {
        let from = if numbers.below(8) == 0 {
            "older"
        } else {
            "lumos-data"
        };
        for folder in ["mutant", "mutant.anchor"] {
            drop(std::fs::remove_dir_all(self.world.path(folder)));
        }
        copy(&self.world, from, "mutant");
        copy_anchor(&self.world, from, "mutant");
        let what = if from == "older" {
            "an older copy restored"
        } else {
            let store = open(&self.world.path("mutant"));
            let (what, statements) = self.rows(numbers);
            let changed = store.execute(statements).await.unwrap();
            assert!(changed.iter().all(|rows| *rows > 0), "{what}: {changed:?}");
            what
        };
        let line = format!(
            "ledger verify --data mutant --vkey {} --since held --json",
            self.keys[0]
        );
        let said = self.world.say(&line).await;
        assert_eq!(said.code, Some(3), "{what} went unnoticed: {said:#?}");
        let said = said.json();
        let no = ["integrity", "completeness", "anchored"];
        let no = no.iter().find(|question| said[**question]["yes"] == false);
        let no = no.unwrap_or_else(|| panic!("{what}: {said:#}"));
        (what, (*no).to_owned())
    }
}

fn open(folder: &Path) -> SqliteStore {
    let schema = [lumos_engine::schema(), lumos_web::schema()].concat();
    SqliteStore::open(folder, &schema).unwrap()
}

/// Copies a data directory: database, keys, blobs.
fn copy(world: &World, from: &str, into: &str) {
    let (from, into) = (world.path(from), world.path(into));
    std::fs::create_dir_all(&into).unwrap();
    for entry in std::fs::read_dir(&from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        if entry.path().is_dir() && (name == "blobs" || name == "keys" || from.ends_with("blobs")) {
            std::fs::create_dir_all(into.join(&name)).unwrap();
            for file in walk(&entry.path()) {
                let target = into.join(file.strip_prefix(&from).unwrap());
                std::fs::create_dir_all(target.parent().unwrap()).unwrap();
                std::fs::copy(&file, target).unwrap();
            }
        } else if name.to_string_lossy().starts_with("lumos.db")
            && !name.to_string_lossy().ends_with("shm")
        {
            std::fs::copy(entry.path(), into.join(&name)).unwrap();
        }
    }
}

fn walk(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(walk(&path));
        } else {
            files.push(path);
        }
    }
    files
}

fn copy_anchor(world: &World, from: &str, into: &str) {
    let note = std::fs::read(world.path(&format!("{from}.anchor/checkpoint"))).unwrap();
    world.write(&format!("{into}.anchor/checkpoint"), note);
}

#[expect(
    clippy::disallowed_methods,
    reason = "how much the soak asks for stands in the environment"
)]
fn changes() -> u64 {
    let asked = std::env::var("LUMOS_SOAK_MUTATIONS");
    asked.map_or(CHANGES, |text| text.parse().unwrap())
}

#[tokio::test]
async fn every_change_to_a_ledger_is_caught_by_somebody_other_than_its_writer() {
    let ledger = Ledger::new().await;
    let whole = exported(&ledger.entries, &ledger.signer);
    assert_eq!(ledger.refuses(&whole), None, "what nobody changed verifies");
    let hashes: MemoryHashes = ledger
        .entries
        .iter()
        .map(|entry| leaf_hash(entry))
        .collect();
    let mut account = Account::new();
    let changes = changes();
    for seed in 0..changes {
        let mut numbers = Numbers(seed);
        let (place, (what, by)) = match seed % EVERY {
            0 => ("database", ledger.change_database(&mut numbers).await),
            1 | 2 => ("receipt", ledger.change_receipt(&mut numbers, &hashes)),
            _ => ("export", ledger.change_export(&mut numbers, &whole)),
        };
        let signed_again = what.contains("signed again") || what.contains("restored");
        // Every hash of it holds; what gives it away is the checkpoint held apart, or what the entries say.
        let beyond_hashes = ["history", "entry", "stream", "anchored", "completeness"];
        assert!(
            !signed_again || beyond_hashes.iter().any(|check| by.contains(check)),
            "{what}: {by} cannot have caught it"
        );
        *account.entry((place, what, by)).or_default() += 1;
    }
    for ((place, what, by), times) in &account {
        println!("{times:>6}  {place:<9} {what:<36} caught by {by}");
    }
    assert_eq!(account.values().sum::<u64>(), changes);
}
