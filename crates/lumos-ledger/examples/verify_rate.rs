//! How close offline verification comes to the limit of hashing: prints entries per second at each depth,
//! beside a bare SHA-256 over the same bytes times the threads, measured just before, and their ratio; then
//! the time of one inclusion proof as the log grows (DESIGN section 8). Run it in release mode; the first
//! argument is the number of entries.
#![expect(
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a benchmark reads the clock and prints rates"
)]

use std::{
    collections::BTreeMap, convert::Infallible, env, hint::black_box, io::Write as _,
    num::NonZeroUsize, ops::Range, time::Instant,
};

use lumos_ledger::{
    Checkpoint, Envelope, NoteSigner, VerifierKey, entry,
    export::{EntryReader, Export, files},
    proof::{Absent, MemoryHashes, inclusion},
    tile::Tile,
    tile_hashes::{Cache, TileHashes, TileReader},
    tree::leaf_hash,
    verify::{Depth, ReadError, Source, Trust, verify_on},
};
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

type Failure = Box<dyn std::error::Error + Send + Sync>;

const ORIGIN: &str = "lumos.acme.example/prod";
/// Proofs of one warm measurement.
const PROOFS: u64 = 200_000;

/// Releases on their way at the same time, and entries of each: as in a busy organisation.
const RELEASES: u64 = 50;
const STEPS: u64 = 12;

/// An entry of ordinary length: some 600 bytes.
fn entry(index: u64) -> Result<Vec<u8>, entry::Error> {
    let note = "x".repeat(150);
    let digest = "0".repeat(64);
    let data = format!(r#"{{"index":{index},"note":"{note}","digest":"sha256:{digest}"}}"#);
    let (batch, step) = (index / (RELEASES * STEPS), index % (RELEASES * STEPS));
    Envelope {
        specversion: entry::SPEC_VERSION.into(),
        id: format!("event-{index}").into(),
        source: "https://lumos.acme.example".into(),
        kind: "lumos.release.identified.v1".into(),
        time: "2026-03-01T12:00:00Z".into(),
        subject: format!("release/credit/{}", batch * RELEASES + step % RELEASES).into(),
        streamversion: step / RELEASES + 1,
        commandid: format!("command-{index}").into(),
        actor: "p-1".into(),
        causation: None,
        correlation: None,
        sandbox: false,
        datacontenttype: "application/json".into(),
        data: RawValue::from_string(data)?,
    }
    .to_bytes()
}

struct Entries<'a>(&'a [Vec<u8>]);

impl EntryReader for Entries<'_> {
    type Error = Infallible;

    fn read_entries(&self, first: u64, count: u16) -> Result<Vec<Vec<u8>>, Infallible> {
        let all = self.0.iter();
        let from = usize::try_from(first).unwrap_or(usize::MAX);
        Ok(all.skip(from).take(count.into()).cloned().collect())
    }
}

/// An export in memory, so that no disk is measured.
struct Files(BTreeMap<String, Vec<u8>>);

impl Source for Files {
    fn read(&self, path: &str, _: usize) -> Result<Vec<u8>, ReadError> {
        let file = self.0.get(path);
        file.cloned()
            .ok_or_else(|| format!("no file `{path}`").into())
    }
}

struct Tiles<'a>(&'a MemoryHashes);

impl TileReader for Tiles<'_> {
    type Error = Absent;

    fn read_tile(&self, tile: &Tile) -> Result<Vec<u8>, Absent> {
        tile.read_hashes(self.0)
    }
}

fn say(line: &str) {
    // A closed standard output ends the printing, not the measuring.
    drop(writeln!(std::io::stdout(), "{line}"));
}

fn seconds(work: impl FnOnce() -> Result<(), Failure>) -> Result<f64, Failure> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed().as_secs_f64())
}

fn main() -> Result<(), Failure> {
    let entries = env::args()
        .nth(1)
        .map_or(Ok(300_000), |text| text.parse())?;
    verification(entries)?;
    for size in [100_000, 1_000_000, 10_000_000] {
        proofs(size)?;
    }
    Ok(())
}

fn verification(count: u64) -> Result<(), Failure> {
    let entries: Vec<Vec<u8>> = (0..count).map(entry).collect::<Result<_, _>>()?;
    let hashes: MemoryHashes = entries.iter().map(|entry| leaf_hash(entry)).collect();
    let signer = NoteSigner::from_seed(ORIGIN, &[7; 32])?;
    let keys = [signer.verifier_key().clone()];
    let export = Export {
        checkpoint: &Checkpoint::new(ORIGIN, count, hashes.frontier().root())?.sign(&signer)?,
        vkeys: &keys,
        entries: Entries(&entries),
        hashes: &hashes,
    };
    let read = |file: lumos_ledger::export::File| Ok((file.to_string(), export.bytes(&file)?));
    let source = Files(files(count).map(read).collect::<Result<_, Failure>>()?);
    for depth in [Depth::Bytes, Depth::Streams, Depth::Envelopes] {
        for threads in [1, 2] {
            verified(&source, &keys, &entries, depth, threads)?;
        }
    }
    Ok(())
}

fn verified(
    source: &Files,
    keys: &[VerifierKey],
    entries: &[Vec<u8>],
    depth: Depth,
    threads: usize,
) -> Result<(), Failure> {
    let limit = seconds(|| {
        for entry in entries {
            black_box(Sha256::digest(entry));
        }
        Ok(())
    })?;
    let json = seconds(|| {
        for entry in entries {
            black_box(serde_json::from_slice::<IgnoredAny>(entry)?);
        }
        Ok(())
    })?;
    let trust = Trust {
        keys,
        earlier: &[],
        depth,
        keep: None,
    };
    let on = NonZeroUsize::new(threads).unwrap_or(NonZeroUsize::MIN);
    let ours = seconds(|| Ok(verify_on(on, source, &trust).map(|_| ())?))?;
    let rate = entries.len() as f64 / ours;
    let bare = |limit| entries.len() as f64 * threads as f64 / limit;
    let (hashed, read) = (bare(limit), bare(limit + json));
    let (ratio, of_both) = (rate / hashed, rate / read);
    let depth = format!("{depth:?}");
    say(&format!(
        "{depth:<10} threads {threads}  bare SHA-256 {hashed:>9.0}/s  verify {rate:>9.0}/s  ratio {ratio:.2}  of SHA-256 and one look at the JSON {of_both:.2}"
    ));
    Ok(())
}

fn proofs(size: u64) -> Result<(), Failure> {
    let hashes: MemoryHashes = (0..size).map(|i| leaf_hash(&i.to_be_bytes())).collect();
    let cache = Cache::new(100_000);
    let tiles = TileHashes::new(size, Tiles(&hashes), &cache);
    let prove = |indices: &mut dyn Iterator<Item = u64>| {
        for index in indices {
            black_box(inclusion(index, size, &tiles)?);
        }
        Ok(())
    };
    let every: Range<u64> = 0..size;
    let cold = seconds(|| prove(&mut every.step_by(256)))? * 1e6 / size.div_ceil(256) as f64;
    // Knuth's multiplicative sequence: indices all over the log, the same in each run.
    let spread = |i: u64| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 16) % size;
    let warm = seconds(|| prove(&mut (0..PROOFS).map(spread)))? * 1e6 / PROOFS as f64;
    say(&format!(
        "proof in {size:>9} entries  cold {cold:>6.2} µs  warm {warm:>6.2} µs"
    ));
    Ok(())
}
