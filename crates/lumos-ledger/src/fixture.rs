//! A small Acme log for the tests of this crate: entries, hashes, a signed checkpoint, all its files.

use std::collections::BTreeMap;
use std::convert::Infallible;

use serde_json::value::RawValue;

use crate::checkpoint::Checkpoint;
use crate::entry::{Envelope, SPEC_VERSION};
use crate::export::{EntryReader, Export, files};
use crate::note::{Note, NoteSigner, VerifierKey};
use crate::proof::MemoryHashes;
use crate::tree::leaf_hash;
use crate::verify::{ReadError, Source};

pub(crate) const ORIGIN: &str = "lumos.acme.example/prod";

pub(crate) fn signer() -> NoteSigner {
    NoteSigner::from_seed(ORIGIN, &[7; 32]).unwrap()
}

pub(crate) fn envelope(stream: &str, version: u64) -> Envelope<'static, Box<RawValue>> {
    Envelope {
        specversion: SPEC_VERSION.into(),
        id: format!("{stream}-{version}").into(),
        source: "https://lumos.acme.example".into(),
        kind: "lumos.release.identified.v1".into(),
        time: "2026-03-01T12:00:00Z".into(),
        subject: stream.to_owned().into(),
        streamversion: version,
        commandid: format!("command-{stream}-{version}").into(),
        actor: "p-1".into(),
        causation: None,
        correlation: Some("c-1".into()),
        sandbox: false,
        datacontenttype: "application/json".into(),
        data: RawValue::from_string(r#"{"digest": "sha256:00", "n": [1, 2.5]}"#.to_owned())
            .unwrap(),
    }
}

/// A log of `size` entries over three streams.
pub(crate) struct Log {
    pub(crate) entries: Vec<Vec<u8>>,
    pub(crate) hashes: MemoryHashes,
}

impl Log {
    pub(crate) fn new(size: u64) -> Self {
        let streams = ["org", "model/credit", "release/credit/1.0"];
        let entry = |n: u64| {
            envelope(streams[(n % 3) as usize], n / 3 + 1)
                .to_bytes()
                .unwrap()
        };
        Self::of((0..size).map(entry).collect())
    }

    pub(crate) fn of(entries: Vec<Vec<u8>>) -> Self {
        let hashes = entries.iter().map(|entry| leaf_hash(entry)).collect();
        Self { entries, hashes }
    }

    pub(crate) fn checkpoint(&self) -> Checkpoint {
        let frontier = self.hashes.frontier();
        Checkpoint::new(ORIGIN, frontier.size(), frontier.root()).unwrap()
    }

    pub(crate) fn note(&self) -> Note {
        self.checkpoint().sign(&signer()).unwrap()
    }

    pub(crate) fn keys() -> Vec<VerifierKey> {
        vec![signer().verifier_key().clone()]
    }

    pub(crate) fn export(&self) -> Files {
        let (note, keys) = (self.note(), Self::keys());
        let export = Export {
            checkpoint: &note,
            vkeys: &keys,
            entries: self,
            hashes: &self.hashes,
        };
        let size = self.entries.len() as u64;
        Files(
            files(size)
                .map(|file| (file.to_string(), export.bytes(&file).unwrap()))
                .collect(),
        )
    }
}

impl EntryReader for &Log {
    type Error = Infallible;

    fn read_entries(&self, first: u64, count: u16) -> Result<Vec<Vec<u8>>, Infallible> {
        Ok(self
            .entries
            .iter()
            .skip(first as usize)
            .take(count.into())
            .cloned()
            .collect())
    }
}

/// An export in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Files(pub(crate) BTreeMap<String, Vec<u8>>);

impl Source for Files {
    fn read(&self, path: &str, max_bytes: usize) -> Result<Vec<u8>, ReadError> {
        match self.0.get(path) {
            Some(bytes) if bytes.len() <= max_bytes => Ok(bytes.clone()),
            Some(_) => Err("longer than it may be".into()),
            None => Err("no such file".into()),
        }
    }
}

/// A small generator of repeatable numbers (splitmix64), so that a failing seed can be named.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    pub(crate) fn index(&mut self, bound: usize) -> usize {
        self.below(bound as u64) as usize
    }
}
