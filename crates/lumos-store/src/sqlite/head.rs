//! The head of the ledger in the database: its size and frontier, and what must agree with them.

use lumos_ledger::{Frontier, Hash, tree};
use rusqlite::{Connection, OptionalExtension as _};

use super::writer::JobError;
use crate::{OpenError, edge};

/// The frontier as stored, whose size is that of the head row.
pub(super) fn load(connection: &Connection) -> Result<Frontier, JobError> {
    let (size, bytes): (i64, Vec<u8>) = connection
        .prepare_cached("SELECT size, frontier FROM head WHERE one = 1")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let frontier = Frontier::from_bytes(&bytes).map_err(|error| damaged(error.to_string()))?;
    if u64::try_from(size) != Ok(frontier.size()) {
        return Err(damaged(format!(
            "the head says {size} entries, its frontier {}",
            frontier.size()
        )));
    }
    Ok(frontier)
}

/// Replaces the stored frontier.
pub(super) fn save(connection: &Connection, frontier: &Frontier) -> Result<(), JobError> {
    connection
        .prepare_cached("UPDATE head SET size = $1, frontier = $2 WHERE one = 1")?
        .execute((super::int(frontier.size())?, frontier.to_bytes()))?;
    Ok(())
}

/// Checks at the start that head and entries belong together: their count, and the right edge of the tree
/// over the last entries, from their bytes.
pub(super) fn check(connection: &Connection) -> Result<(), OpenError> {
    let frontier = load(connection).map_err(open_error)?;
    let last: Option<i64> = connection
        .query_row("SELECT max(idx) FROM entries", [], |row| row.get(0))
        .optional()
        .map(Option::flatten)
        .map_err(OpenError::database("counting the entries"))?;
    let entries = last.map_or(0, |last| last.saturating_add(1));
    if u64::try_from(entries) != Ok(frontier.size()) {
        return Err(head(format!(
            "the head says {} entries, there are {entries}",
            frontier.size()
        )));
    }
    for subtree in edge::subtrees(&frontier) {
        let leaves = leaves_from_bytes(connection, subtree.start, subtree.end)?;
        if *tree::root(&leaves).as_bytes() != subtree.root {
            return Err(head(edge::contradiction(&subtree)));
        }
    }
    Ok(())
}

fn leaves_from_bytes(
    connection: &Connection,
    start: u64,
    end: u64,
) -> Result<Vec<Hash>, OpenError> {
    let range = (|| Ok((super::int(start)?, super::int(end)?)))().map_err(open_error)?;
    let read = || {
        connection
            .prepare("SELECT bytes FROM entries WHERE idx >= $1 AND idx < $2 ORDER BY idx")?
            .query_map(range, |row| Ok(tree::leaf_hash(row.get_ref(0)?.as_blob()?)))?
            .collect::<rusqlite::Result<Vec<_>>>()
    };
    read().map_err(OpenError::database("reading the last entries"))
}

fn damaged(problem: String) -> JobError {
    JobError::Damaged(problem)
}

fn head(problem: String) -> OpenError {
    OpenError::Head { problem }
}

fn open_error(error: JobError) -> OpenError {
    match error {
        JobError::Database(source) => OpenError::Database {
            doing: "reading the head".to_owned(),
            source,
        },
        error => head(error.to_string()),
    }
}
