//! Making the tables beside the ledger anew from its entries. One replica does it while none appends; another that
//! wants to as well waits for it.

use deadpool_postgres::ClientWrapper;
use lumos_engine::ports::{PortError, Statement, Store as _, StoredEntry};

use super::{
    PostgresStore, clamp, connect::Use, failure::Failure, gather::gather, head, pipeline::in_order,
    rows,
};
use crate::rebuild::may_be_wiped;

const DOING: &str = "rebuilding the tables beside the ledger";

/// Entries that are replayed in one transaction.
const CHUNK: u32 = 512;

/// Any number, the same in every version: who holds this advisory lock rebuilds.
const LOCK: i64 = 0x6c75_6d6f_735f_7262;

impl PostgresStore {
    /// Empties `tables`, in this order, and runs over every entry what `meaning` says it means; `views` names what says
    /// so, and replicas that others made their tables for append no more. While it runs nothing
    /// is appended by any replica; when it is cut short, nothing is until one has run to its end, so that no decision
    /// is taken from half a table ([`Self::needs_rebuild`]).
    ///
    /// # Errors
    /// [`PortError`] when a name is not that of a table beside the ledger, a statement is refused, or the database
    /// fails.
    pub async fn rebuild(
        &self,
        tables: &[&str],
        views: &str,
        mut meaning: impl FnMut(&StoredEntry) -> Vec<Statement> + Send,
    ) -> Result<(), PortError> {
        if let Some(name) = tables.iter().find(|name| !may_be_wiped(name)) {
            let problem = format!("`{name}` is no table beside the ledger");
            return Err(PortError::new(DOING, problem));
        }
        let client = self.address.connect(Use::Change).await;
        let client = client.map_err(|error| PortError::new(DOING, error))?;
        let failed = |failure: Failure| failure.into_port(DOING);
        wipe(&client, tables).await.map_err(failed)?;
        let mut from = 0;
        loop {
            let entries = self.entries(from, CHUNK).await?;
            let Some(last) = entries.last() else { break };
            from = last.index + 1;
            let meant: Vec<_> = entries
                .iter()
                .map(|entry| (clamp(entry.index), meaning(entry)))
                .collect();
            replay(&client, &meant).await.map_err(failed)?;
        }
        finish(&client, views).await.map_err(failed)?;
        self.tables.are_read_by(views);
        Ok(())
    }

    /// Whether a rebuild was cut short: nothing can be appended until one has run to its end.
    ///
    /// # Errors
    /// [`PortError`] when the database fails.
    pub async fn needs_rebuild(&self) -> Result<bool, PortError> {
        let rows = self
            .query("SELECT 1 FROM meta WHERE key = 'rebuild'", Vec::new())
            .await?;
        Ok(!rows.is_empty())
    }
}

/// Marks the tables as unfinished and empties them, behind every append that is under way.
async fn wipe(client: &ClientWrapper, tables: &[&str]) -> Result<(), Failure> {
    client
        .execute("SELECT pg_advisory_lock($1)", &[&LOCK])
        .await?;
    client.batch_execute("BEGIN").await?;
    client.query(head::LOCK, &[]).await?;
    let mark =
        "INSERT INTO meta (key, value) VALUES ('rebuild', 'unfinished') ON CONFLICT DO NOTHING";
    client.batch_execute(mark).await?;
    for table in tables {
        client
            .batch_execute(&format!("DELETE FROM {table}"))
            .await?;
    }
    Ok(client.batch_execute("COMMIT").await?)
}

async fn replay(client: &ClientWrapper, entries: &[(i64, Vec<Statement>)]) -> Result<(), Failure> {
    client.batch_execute("BEGIN").await?;
    let mut sending = Vec::new();
    let projections = entries.iter().flat_map(|(index, statements)| {
        let of = statements.iter();
        of.map(move |statement| (statement, *index))
    });
    for heap in gather(projections) {
        sending.push(rows::project(client, heap).await?);
    }
    in_order(sending)
        .await
        .into_iter()
        .collect::<Result<(), _>>()?;
    Ok(client.batch_execute("COMMIT").await?)
}

/// The role of a replica may add to `meta` and remove from it, and change nothing in place: a mark is made anew.
async fn finish(client: &ClientWrapper, views: &str) -> Result<(), Failure> {
    client.batch_execute("BEGIN").await?;
    let marks = "DELETE FROM meta WHERE key IN ('rebuild', 'views')";
    client.batch_execute(marks).await?;
    let made = "INSERT INTO meta (key, value) VALUES ('views', $1)";
    client.execute(made, &[&views]).await?;
    client.batch_execute("COMMIT").await?;
    client
        .execute("SELECT pg_advisory_unlock($1)", &[&LOCK])
        .await?;
    Ok(())
}
