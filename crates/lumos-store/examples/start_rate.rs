//! How long a start takes over ledgers of growing size, and what an entry takes on disk: prints the time to open the
//! store, which hashes the right edge of the tree again, and the bytes of the database over those of the entries.
//! Opening must not grow with the ledger (under 1 s). Run it in release mode; the arguments are sizes in thousands of
//! entries, `1000 10000` unless given. Ten million take some 12 GB in the temporary directory for a minute or two.

use std::{path::Path, time::Instant};

use lumos_engine::ports::Store as _;
use lumos_ledger::{Frontier, tree};
use lumos_store::SqliteStore;
use rusqlite::Connection;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Bytes of an entry, as an ordinary event has them.
const BYTES: usize = 600;
/// Entries of a stream, about as a release has.
const PER_STREAM: u64 = 10;
/// Entries in a transaction while the ledger is filled.
const CHUNK: u64 = 50_000;
/// Starts of each size, of which the middle one counts.
const STARTS: usize = 5;

fn main() -> Result<(), Failure> {
    let sizes: Vec<u64> = std::env::args()
        .skip(1)
        .map(|text| text.parse::<u64>().map(|thousands| thousands * 1_000))
        .collect::<Result<_, _>>()?;
    let sizes = if sizes.is_empty() {
        vec![1_000_000, 10_000_000]
    } else {
        sizes
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let dir = tempfile::tempdir()?;
    drop(SqliteStore::open(dir.path(), &[])?);
    let file = dir.path().join("lumos.db");
    let mut frontier = Frontier::new();
    for size in sizes {
        // One more than a power of two of entries is the best case, one less the worst: most subtrees are at the edge.
        let size = size - 1;
        fill(&file, &mut frontier, size)?;
        let mut times = Vec::new();
        for _ in 0..STARTS {
            let begin = now();
            let store = SqliteStore::open(dir.path(), &[])?;
            times.push(begin.elapsed());
            let found = runtime.block_on(store.frontier())?;
            if found != frontier {
                return Err("the head is not the one that was written".into());
            }
        }
        times.sort_unstable();
        let bytes = std::fs::metadata(&file)?.len();
        #[expect(
            clippy::cast_precision_loss,
            reason = "a ratio is shown with two digits"
        )]
        let each = bytes as f64 / size as f64;
        #[expect(
            clippy::cast_precision_loss,
            reason = "a ratio is shown with two digits"
        )]
        let over = each / BYTES as f64;
        say(&format!(
            "entries {size:>9}  start {:>6.1} ms (up to {:.1})  bytes an entry {each:.0}, of which {BYTES} are its own  ratio {over:.2}",
            times[STARTS / 2].as_secs_f64() * 1e3,
            times[STARTS - 1].as_secs_f64() * 1e3,
        ));
    }
    Ok(())
}

/// Brings the ledger to `size` entries, with the rows that appends of one entry each would have written.
fn fill(file: &Path, frontier: &mut Frontier, size: u64) -> Result<(), Failure> {
    let mut connection = Connection::open(file)?;
    connection.execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -262144")?;
    while frontier.size() < size {
        let until = size.min(frontier.size() + CHUNK);
        let transaction = connection.transaction()?;
        {
            let mut entry = transaction.prepare_cached(
                "INSERT INTO entries (idx, stream, version, kind, bytes, leaf) VALUES ($1, $2, $3, $4, $5, $6)",
            )?;
            let mut stream = transaction.prepare_cached(
                "INSERT INTO streams (stream, version) VALUES ($1, $2)
                 ON CONFLICT (stream) DO UPDATE SET version = excluded.version",
            )?;
            let mut command = transaction.prepare_cached(
                "INSERT INTO commands (command_id, first, count) VALUES ($1, $2, 1)",
            )?;
            for index in frontier.size()..until {
                let name = format!("release/triage/{}", index / PER_STREAM);
                let version = index % PER_STREAM + 1;
                let mut bytes = vec![b'x'; BYTES];
                bytes[..8].copy_from_slice(&index.to_be_bytes());
                let leaf = tree::leaf_hash(&bytes);
                let at = i64::try_from(index)?;
                let version = i64::try_from(version)?;
                entry.execute((
                    at,
                    &name,
                    version,
                    "lumos.test.happened.v1",
                    &bytes,
                    leaf.as_bytes(),
                ))?;
                stream.execute((&name, version))?;
                command.execute((format!("c-{index:032x}"), at))?;
                frontier.append(leaf);
            }
        }
        let head = (i64::try_from(frontier.size())?, frontier.to_bytes());
        transaction.execute("UPDATE head SET size = $1, frontier = $2", head)?;
        transaction.commit()?;
    }
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?;
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::print_stdout, reason = "it is what this program is for")]
fn say(line: &str) {
    println!("{line}");
}
