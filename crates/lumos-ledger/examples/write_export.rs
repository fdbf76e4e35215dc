//! Writes an export of a made-up Acme log, for trying foreign verifiers on it:
//! `cargo run --example write_export -- DIRECTORY ENTRIES`. Prints the log's verifier key.

use std::path::PathBuf;
use std::{env, fs};

use lumos_ledger::entry::{Envelope, SPEC_VERSION};
use lumos_ledger::export::{EntryReader, Export, files};
use lumos_ledger::proof::MemoryHashes;
use lumos_ledger::tree::leaf_hash;
use lumos_ledger::{Checkpoint, NoteSigner, entry};
use serde_json::value::RawValue;

const ORIGIN: &str = "lumos.acme.example/prod";

struct Entries;

fn entry(index: u64) -> Result<Vec<u8>, entry::Error> {
    let (stream, version) = (index % 1000, index / 1000 + 1);
    let data = format!(r#"{{"index":{index},"note":"{}"}}"#, "x".repeat(200));
    Envelope {
        specversion: SPEC_VERSION.into(),
        id: format!("event-{index}").into(),
        source: "https://lumos.acme.example".into(),
        kind: "lumos.release.identified.v1".into(),
        time: "2026-03-01T12:00:00Z".into(),
        subject: format!("release/credit/{stream}").into(),
        streamversion: version,
        commandid: format!("command-{index}").into(),
        actor: "p-1".into(),
        causation: None,
        correlation: None,
        sandbox: true,
        datacontenttype: "application/json".into(),
        data: RawValue::from_string(data)?,
    }
    .to_bytes()
}

impl EntryReader for Entries {
    type Error = entry::Error;

    fn read_entries(&self, first: u64, count: u16) -> Result<Vec<Vec<u8>>, entry::Error> {
        (first..first + u64::from(count)).map(entry).collect()
    }
}

#[expect(
    clippy::print_stdout,
    reason = "the key is what this example is run for"
)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = env::args().skip(1);
    let (Some(directory), Some(size)) = (arguments.next(), arguments.next()) else {
        return Err("usage: write_export DIRECTORY ENTRIES".into());
    };
    let (directory, size): (_, u64) = (PathBuf::from(directory), size.parse()?);
    let mut hashes = MemoryHashes::new();
    for index in 0..size {
        hashes.push(leaf_hash(&entry(index)?));
    }
    // A made-up log has a made-up key; a real one is made from 32 random bytes.
    let signer = NoteSigner::from_seed(ORIGIN, &[7; 32])?;
    let checkpoint = Checkpoint::new(ORIGIN, size, hashes.frontier().root())?.sign(&signer)?;
    let vkeys = [signer.verifier_key().clone()];
    let export = Export {
        checkpoint: &checkpoint,
        vkeys: &vkeys,
        entries: Entries,
        hashes: &hashes,
    };
    for file in files(size) {
        let path = directory.join(file.to_string());
        fs::create_dir_all(path.parent().unwrap_or(&directory))?;
        fs::write(path, export.bytes(&file)?)?;
    }
    println!("{}", vkeys[0]);
    Ok(())
}
