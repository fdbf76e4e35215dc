//! The head of the ledger in the database: its size and frontier, and what must agree with them.

use deadpool_postgres::ClientWrapper;
use lumos_ledger::{Frontier, Hash, tree};
use tokio_postgres::Row;

use super::{clamp, failure::Failure};
use crate::{OpenError, edge};

/// Reads the head and holds it until the transaction ends: whoever else wants to append waits.
pub(super) const LOCK: &str = "SELECT size, frontier FROM head WHERE one = 1 FOR UPDATE";

/// Reads the head.
pub(super) const READ: &str = "SELECT size, frontier FROM head WHERE one = 1";

/// Replaces the head, provided that it is still the one that was read.
pub(super) const SAVE: &str =
    "UPDATE head SET size = $1, frontier = $2 WHERE one = 1 AND size = $3";

/// The frontier as stored, whose size is that of the head row.
pub(super) fn frontier(rows: &[Row]) -> Result<Frontier, Failure> {
    let [row] = rows else {
        return Err(Failure::Damaged("the head is missing".to_owned()));
    };
    let (size, bytes): (i64, &[u8]) = (row.try_get(0)?, row.try_get(1)?);
    let frontier =
        Frontier::from_bytes(bytes).map_err(|error| Failure::Damaged(error.to_string()))?;
    if u64::try_from(size) != Ok(frontier.size()) {
        return Err(Failure::Damaged(format!(
            "the head says {size} entries, its frontier {}",
            frontier.size()
        )));
    }
    Ok(frontier)
}

/// The committed frontier.
pub(super) async fn load(client: &ClientWrapper) -> Result<Frontier, Failure> {
    let statement = client.prepare_cached(READ).await?;
    frontier(&client.query(&statement, &[]).await?)
}

/// Checks at the start that head and entries belong together: their count, and the right edge of the tree
/// over the last entries, from their bytes. Others may append meanwhile, so all of it is read in one snapshot.
pub(super) async fn check(client: &ClientWrapper) -> Result<Frontier, OpenError> {
    let failed = |failure: Failure| match failure {
        Failure::Damaged(problem) => OpenError::Head { problem },
        failure => OpenError::postgres("reading the head")(failure),
    };
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    let run = async |sql| client.batch_execute(sql).await.map_err(Failure::from);
    run(begin).await.map_err(failed)?;
    let checked = compare(client).await.map_err(failed)?;
    run("COMMIT").await.map_err(failed)?;
    Ok(checked)
}

async fn compare(client: &ClientWrapper) -> Result<Frontier, Failure> {
    let frontier = load(client).await?;
    let last = client
        .query_one("SELECT max(idx) FROM entries", &[])
        .await?;
    let last: Option<i64> = last.try_get(0)?;
    let entries = last.map_or(0, |last| last.saturating_add(1));
    if u64::try_from(entries) != Ok(frontier.size()) {
        return Err(Failure::Damaged(format!(
            "the head says {} entries, there are {entries}",
            frontier.size()
        )));
    }
    let sql = "SELECT bytes FROM entries WHERE idx >= $1 AND idx < $2 ORDER BY idx";
    let statement = client.prepare_cached(sql).await?;
    for subtree in edge::subtrees(&frontier) {
        let range = (clamp(subtree.start), clamp(subtree.end));
        let rows = client.query(&statement, &[&range.0, &range.1]).await?;
        let leaf = |row: &Row| Ok(tree::leaf_hash(row.try_get(0)?));
        let leaves: Vec<Hash> = rows.iter().map(leaf).collect::<Result<_, Failure>>()?;
        if *tree::root(&leaves).as_bytes() != subtree.root {
            return Err(Failure::Damaged(edge::contradiction(&subtree)));
        }
    }
    Ok(frontier)
}
