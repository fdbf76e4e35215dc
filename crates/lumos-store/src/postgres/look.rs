//! Taking the lock of the head, and reading behind it what the appends of a batch look at.

use std::collections::{BTreeSet, HashMap};

use deadpool_postgres::ClientWrapper;
use lumos_engine::ports::Appended;
use lumos_ledger::Frontier;
use tokio_postgres::{Row, Statement, types::ToSql};

use super::{
    count,
    failure::Failure,
    head, landed,
    pipeline::{Sent, in_order},
    plan::Ledger,
    version::{self, Said, Tables},
};
use crate::ready::Ready;

/// The versions of streams, and where commands landed that were done before.
const LOOK: &str = "
    SELECT 'stream', stream, version, 0::bigint FROM streams WHERE stream = ANY($1) UNION ALL
    SELECT 'command', command_id, first, count FROM commands WHERE command_id = ANY($2)";

/// Streams that are remembered at most.
const REMEMBERED: usize = 16_384;

/// Which commands of a batch are looked up.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Commands {
    /// All, before anything else.
    All,
    /// Those whose read set does not fit, because they may be repeated ones: [`landed_of`]. A repeated one that fits is
    /// refused by the database.
    OnDoubt,
}

/// The versions of streams that this process left behind: true for as long as the head is where it left it as well.
#[derive(Default)]
pub(super) struct Remembered {
    versions: HashMap<String, u64>,
    /// Whether others appended since the last look, and so may again: then nothing is believed before the head was read.
    others: bool,
}

impl Remembered {
    /// Takes over what a committed transaction knew.
    pub(super) fn keep(&mut self, versions: HashMap<String, u64>) {
        if self.versions.len() + versions.len() > REMEMBERED {
            self.versions.clear();
        }
        self.versions.extend(versions);
    }
}

/// Begins a transaction, waits for the head, and reads all that the batch looks at: each statement sees what was
/// committed when the lock was got, since each takes its snapshot after that. `seen` is where this process left the head.
pub(super) async fn lock(
    client: &ClientWrapper,
    batch: &[Ready],
    commands: Commands,
    tables: &Tables,
    remembered: &mut Remembered,
    seen: &Frontier,
) -> Result<Ledger, Failure> {
    if remembered.others {
        remembered.versions.clear();
    }
    let named: BTreeSet<&str> = batch.iter().flat_map(names).collect();
    let (believed, streams): (Vec<&str>, Vec<&str>) = named
        .into_iter()
        .partition(|name| remembered.versions.contains_key(*name));
    let ids: Vec<&str> = match commands {
        Commands::All => batch.iter().map(id).collect(),
        Commands::OnDoubt => Vec::new(),
    };
    let begin = client.prepare_cached("BEGIN").await?;
    let lock = client.prepare_cached(head::LOCK).await?;
    let version = client.prepare_cached(version::SQL).await?;
    let look = client.prepare_cached(LOOK).await?;
    let params: &[&(dyn ToSql + Sync)] = &[&streams, &ids];
    let sent = vec![
        ask(client, &begin, &[]),
        ask(client, &lock, &[]),
        ask(client, &version, &[]),
        ask(client, &look, params),
    ];
    let answers: Result<Vec<Vec<Row>>, Failure> = in_order(sent).await.into_iter().collect();
    let [_, head, said, looked] = &answers?[..] else {
        return Err(Failure::Stopped);
    };
    let said = Said::read(said)?;
    let mut ledger = Ledger {
        frontier: head::frontier(head)?,
        versions: HashMap::new(),
        landed: HashMap::new(),
        rebuilding: said.rebuilding,
        other_version: tables.compare(&said),
    };
    read(&mut ledger, looked)?;
    remembered.others = ledger.frontier.size() != seen.size();
    if remembered.others && !believed.is_empty() {
        let none: &[&str] = &[];
        read(
            &mut ledger,
            &client.query(&look, &[&believed, &none]).await?,
        )?;
        return Ok(ledger);
    }
    for name in believed {
        if let Some((name, version)) = remembered.versions.get_key_value(name) {
            ledger.versions.insert(name.clone(), *version);
        }
    }
    Ok(ledger)
}

/// Where those of these commands landed that were done before.
pub(super) async fn landed_of(
    client: &ClientWrapper,
    commands: &[&Ready],
) -> Result<HashMap<String, Appended>, Failure> {
    let ids: Vec<&str> = commands.iter().map(|append| id(append)).collect();
    let sql = "SELECT command_id, first, count FROM commands WHERE command_id = ANY($1)";
    let statement = client.prepare_cached(sql).await?;
    let rows = client.query(&statement, &[&ids]).await?;
    rows.iter()
        .map(|row| Ok((row.try_get(0)?, landed(row, 1)?)))
        .collect()
}

fn read(ledger: &mut Ledger, rows: &[Row]) -> Result<(), Failure> {
    for row in rows {
        let (what, name): (&str, String) = (row.try_get(0)?, row.try_get(1)?);
        match what {
            "stream" => {
                ledger.versions.insert(name, count(row.try_get(2)?)?);
            }
            _ => {
                ledger.landed.insert(name, landed(row, 2)?);
            }
        }
    }
    Ok(())
}

fn ask<'a>(
    client: &'a ClientWrapper,
    statement: &'a Statement,
    params: &'a [&'a (dyn ToSql + Sync)],
) -> Sent<'a, Result<Vec<Row>, Failure>> {
    Box::pin(async move { Ok(client.query(statement, params).await?) })
}

fn id(append: &Ready) -> &str {
    &append.command_id
}

/// Every stream that an append looks at or continues.
fn names(append: &Ready) -> impl Iterator<Item = &str> {
    let reads = append.reads.iter().map(|seen| seen.name.as_str());
    reads.chain(append.entries.iter().map(|entry| entry.name.as_str()))
}
