//! The ledger's own formats: what is read is written back the same, and what was changed does not verify.

use std::{collections::BTreeMap, convert::Infallible, sync::OnceLock};

use lumos_ledger::{
    Checkpoint, Envelope, Frontier, Hash, NoteSigner, VerifierKey,
    entry::Position,
    export::{EntryReader, Export, files},
    note::Note,
    proof::{self, MemoryHashes},
    tile::{self, Tile},
    tlog_policy::TlogPolicy,
    tlog_proof::TlogProof,
    tree,
    verify::{Depth, ReadError, Source, Trust, verify},
    witness::{AddCheckpoint, Seen},
};

use crate::Target;

const ORIGIN: &str = "ledger.acme.example";
/// Entries in the log that is exported: two tiles of entries and a partial one are too many to copy each time.
const SIZE: u64 = 5;

pub(crate) const NOTE: Target = Target {
    name: "ledger-note",
    run: note,
    seeds: || {
        let log = Log::get();
        let text = format!("{}\n{}", log.note, log.key);
        let path: Vec<Hash> = proof::inclusion(1, SIZE, &log.hashes).unwrap_or_default();
        let path: String = path.iter().map(|hash| hash.to_base64() + "\n").collect();
        let receipt = format!("c2sp.org/tlog-proof@v1\nindex 1\n{path}\n{}", log.note);
        vec![
            log.note.to_string().into_bytes(),
            log.key.to_string().into_bytes(),
            receipt.into_bytes(),
            text.into_bytes(),
            format!("old 0\n\n{}", log.note).into_bytes(),
            format!("log {} https://acme.example\nquorum none\n", log.key).into_bytes(),
        ]
    },
};

pub(crate) const ENTRY: Target = Target {
    name: "ledger-entry",
    run: entry,
    seeds: || Log::get().entries.clone(),
};

pub(crate) const TILE: Target = Target {
    name: "ledger-tile",
    run: tile,
    seeds: || {
        let log = Log::get();
        let mut seeds: Vec<Vec<u8>> = log.files.values().map(|file| prefixed(5, file)).collect();
        seeds.push(prefixed(0, log.hashes.frontier().to_bytes()));
        seeds.extend(["tile/0/000", "tile/entries/x001/234.p/5"].map(|path| prefixed(1, path)));
        seeds
    },
};

pub(crate) const EXPORT: Target = Target {
    name: "ledger-export",
    run: export,
    seeds: || {
        vec![
            Vec::new(),
            vec![0, 0, 7, 1],
            vec![2, 0, 200, 255, 3, 1, 0, 0],
        ]
    },
};

fn prefixed(byte: u8, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    [&[byte], bytes.as_ref()].concat()
}

/// A small log with everything that is made from it.
struct Log {
    entries: Vec<Vec<u8>>,
    hashes: MemoryHashes,
    key: VerifierKey,
    note: Note,
    files: BTreeMap<String, Vec<u8>>,
}

impl Log {
    fn get() -> &'static Self {
        static LOG: OnceLock<Log> = OnceLock::new();
        LOG.get_or_init(Self::make)
    }

    fn make() -> Self {
        let entries: Vec<Vec<u8>> = (1..=SIZE)
            .map(|n| {
                let entry = serde_json::json!({
                    "specversion": "1.0", "id": format!("c.{n}"), "source": ORIGIN,
                    "type": "lumos.role.defined.v1", "time": "2026-03-01T09:00:00Z", "subject": "org",
                    "streamversion": n, "commandid": "c", "actor": "clock",
                    "datacontenttype": "application/json", "data": {"role": "reader", "rights": ["read"]},
                });
                let text = entry.to_string();
                Envelope::parse(text.as_bytes())
                    .and_then(|envelope| envelope.to_bytes())
                    .expect("because it is a good entry")
            })
            .collect();
        let hashes: MemoryHashes = entries.iter().map(|entry| tree::leaf_hash(entry)).collect();
        let signer = NoteSigner::from_seed(ORIGIN, &[7; 32]).expect("because it is a good name");
        let note = Checkpoint::new(ORIGIN, SIZE, hashes.frontier().root())
            .and_then(|checkpoint| checkpoint.sign(&signer))
            .expect("because the size fits the root");
        let key = signer.verifier_key().clone();
        let mut log = Self {
            entries,
            hashes,
            key,
            note,
            files: BTreeMap::new(),
        };
        let keys = [log.key.clone()];
        let export = Export {
            checkpoint: &log.note,
            vkeys: &keys,
            entries: Entries(&log.entries),
            hashes: &log.hashes,
        };
        let bytes = |file: &_| export.bytes(file).expect("because all of it is there");
        log.files = files(SIZE)
            .map(|file| (file.to_string(), bytes(&file)))
            .collect();
        log
    }
}

struct Entries<'a>(&'a [Vec<u8>]);

impl EntryReader for Entries<'_> {
    type Error = Infallible;

    fn read_entries(&self, first: u64, count: u16) -> Result<Vec<Vec<u8>>, Infallible> {
        let first = usize::try_from(first).unwrap_or(usize::MAX);
        let entries = self.0.iter().skip(first).take(count.into());
        Ok(entries.cloned().collect())
    }
}

struct Files(BTreeMap<String, Vec<u8>>);

impl Source for Files {
    fn read(&self, path: &str, max_bytes: usize) -> Result<Vec<u8>, ReadError> {
        let bytes = self.0.get(path).ok_or("there is no such file")?;
        if bytes.len() > max_bytes {
            return Err("it is longer than it may be".into());
        }
        Ok(bytes.clone())
    }
}

fn note(bytes: &[u8]) {
    let log = Log::get();
    if let Ok(note) = Note::parse(bytes) {
        assert_eq!(note.to_string().as_bytes(), bytes, "a note is its bytes");
    }
    if let Ok(opened) = Checkpoint::open(bytes, std::slice::from_ref(&log.key)) {
        let signed = (opened.checkpoint.size(), *opened.checkpoint.root());
        assert_eq!(
            signed,
            (SIZE, log.hashes.frontier().root()),
            "only one was signed"
        );
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(asked) = text.parse::<AddCheckpoint>() {
        assert_eq!(asked.to_string(), text, "a request is its text");
        if let Ok(opened) = asked.judge(Seen::NOTHING, std::slice::from_ref(&log.key)) {
            assert_eq!(opened.checkpoint.size(), SIZE, "only one was signed");
        }
    }
    if let Ok(policy) = TlogPolicy::parse(bytes) {
        let trusted = policy.open(log.note.to_string().as_bytes()).is_ok();
        let knows = policy.logs().iter().any(|party| party.key == log.key);
        assert!(
            !trusted || knows,
            "a log was trusted that is not in the policy"
        );
    }
    if let Ok(key) = text.parse::<VerifierKey>() {
        assert_eq!(key.to_string(), text, "a key is its text");
    }
    if let Ok(proof) = text.parse::<TlogProof>() {
        let keys = std::slice::from_ref(&log.key);
        let forged = b"an entry that is not in the log";
        assert!(
            proof.verify(forged, keys).is_err(),
            "nothing proves a forged entry"
        );
    }
}

fn entry(bytes: &[u8]) {
    if let Ok(envelope) = Envelope::parse(bytes) {
        assert!(
            Position::parse(bytes).is_ok(),
            "what is an entry has a place"
        );
        if let Ok(written) = envelope.to_bytes() {
            let again = Envelope::parse(&written).map(|envelope| envelope.to_bytes());
            assert!(matches!(again, Ok(Ok(again)) if again == written));
        }
    }
}

fn tile(bytes: &[u8]) {
    let Some((width, rest)) = bytes.split_first() else {
        return;
    };
    let width = u16::from(*width);
    if let Ok(entries) = tile::decode_bundle(rest, width) {
        assert_eq!(tile::encode_bundle(&entries).ok().as_deref(), Some(rest));
    }
    if let Ok(hashes) = tile::decode_hashes(rest, width) {
        assert_eq!(hashes.len(), usize::from(width));
    }
    if let Ok(frontier) = Frontier::from_bytes(rest) {
        assert_eq!(frontier.to_bytes(), rest, "a frontier is its bytes");
    }
    if let Some(tile) = std::str::from_utf8(rest)
        .ok()
        .and_then(|path| path.parse::<Tile>().ok())
    {
        assert_eq!(tile.to_string().as_bytes(), rest, "a tile is its path");
    }
}

/// Changes an export: each four bytes name a file, a place in it and what to put there, or where to cut.
fn export(bytes: &[u8]) {
    let log = Log::get();
    let mut changed = Files(log.files.clone());
    let names: Vec<&String> = log.files.keys().collect();
    for change in bytes.chunks_exact(4).take(16) {
        let name = names[usize::from(change[0]) % names.len()];
        let Some(file) = changed.0.get_mut(name) else {
            continue;
        };
        let at = usize::from(change[1]) << 8 | usize::from(change[2]);
        match (file.get_mut(at), change[0] / 128) {
            (Some(byte), 0) => *byte = change[3],
            (Some(_), _) => file.truncate(at),
            (None, 0) => file.push(change[3]),
            (None, _) => drop(changed.0.remove(name)),
        }
    }
    let trust = Trust {
        keys: std::slice::from_ref(&log.key),
        earlier: &[],
        depth: Depth::Envelopes,
        keep: None,
    };
    // What nobody has to believe is not looked at.
    let judged = |files: &BTreeMap<String, Vec<u8>>| {
        let mut files = files.clone();
        files.retain(|name, _| name.starts_with("tile/"));
        files
    };
    if verify(&changed, &trust).is_ok() {
        assert_eq!(
            judged(&changed.0),
            judged(&log.files),
            "it verified though it was changed"
        );
    }
}
