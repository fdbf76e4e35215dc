//! A snapshot of the database while replicas write to it, and a database made from one. The rows are carried over as
//! they are, table by table, in one transaction on either side.

use std::{path::Path, pin::pin};

use deadpool_postgres::ClientWrapper;
use futures::TryStreamExt as _;
use lumos_ledger::{Frontier, tree};
use rusqlite::{Connection, params_from_iter};
use tokio_postgres::{
    binary_copy::BinaryCopyInWriter,
    types::{ToSql, Type},
};

use super::{PostgresStore, clamp, connect::Use, failure::Failure, head, value};
use crate::{
    snapshot::{self, MARKS, SnapshotError, seal},
    sqlite,
};

const DUMPING: &str = "copying the database";
const LOADING: &str = "making the database from a snapshot";

impl PostgresStore {
    /// Writes everything but the blobs to the new file `file`, as it is at one moment. Nobody who writes is held up.
    /// `schema` is what the store was opened with.
    ///
    /// # Errors
    /// [`SnapshotError`] when the database cannot be read or the file cannot be written.
    pub async fn snapshot(&self, file: &Path, schema: &[&str]) -> Result<(), SnapshotError> {
        let client = self.address.connect(Use::Copy).await?;
        let copy = sqlite::blank(file, schema)?;
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        let failed = |failure: Failure| failure.into_port(DUMPING);
        let begun = client.batch_execute(begin).await.map_err(Failure::from);
        begun.map_err(failed)?;
        for (table, columns) in snapshot::tables(&copy)? {
            dump(&client, &copy, &table, &columns).await?;
        }
        let frontier = head::load(&client).await.map_err(failed)?;
        let marks = marks(&client).await.map_err(failed)?;
        let write = SnapshotError::database("writing the snapshot");
        copy.execute(
            "UPDATE head SET size = $1, frontier = $2 WHERE one = 1",
            (clamp(frontier.size()), frontier.to_bytes()),
        )
        .map_err(&write)?;
        for mark in marks {
            copy.execute(snapshot::MARK, [mark]).map_err(&write)?;
        }
        copy.execute_batch("COMMIT; PRAGMA journal_mode = DELETE")
            .map_err(&write)?;
        copy.close().map_err(|(_, error)| write(error))?;
        seal(file)
    }

    /// Fills this empty database from the snapshot `file`, all of it or nothing but the rows of `forget`, and says what
    /// its head is. Every entry is hashed again as the database gives it back, before it is committed. With `anew` the
    /// tables beside the ledger must be made anew from it before anything is appended.
    ///
    /// # Errors
    /// [`SnapshotError::NotEmpty`] when it is not empty, others when the snapshot cannot be read, what comes back is
    /// not what was sent, or the database fails.
    pub async fn load(
        &self,
        file: &Path,
        forget: &[&str],
        anew: bool,
    ) -> Result<Frontier, SnapshotError> {
        let source = snapshot::open(file)?;
        let client = self.address.connect(Use::Copy).await?;
        let failed = |failure: Failure| failure.into_port(LOADING);
        let begun = client.batch_execute("BEGIN").await.map_err(Failure::from);
        begun.map_err(failed)?;
        let rows = client.query(head::LOCK, &[]).await.map_err(Failure::from);
        let before = head::frontier(&rows.map_err(failed)?).map_err(failed)?;
        if before.size() != 0 {
            let found = format!("the database has {} entries", before.size());
            return Err(SnapshotError::NotEmpty { found });
        }
        let kept = |(table, _): &(String, _)| !forget.contains(&table.as_str());
        for (table, columns) in snapshot::tables(&source)?.into_iter().filter(kept) {
            load(&client, &source, &table, &columns).await?;
        }
        let read = SnapshotError::database("reading the head of the snapshot");
        let (size, bytes): (i64, Vec<u8>) = source
            .query_row("SELECT size, frontier FROM head WHERE one = 1", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .map_err(&read)?;
        let mut marks = Vec::new();
        for mark in MARKS {
            let sql = "SELECT EXISTS (SELECT 1 FROM meta WHERE key = $1)";
            let noted: bool = source
                .query_row(sql, [mark], |row| row.get(0))
                .map_err(&read)?;
            marks.extend((noted || anew).then_some(mark));
        }
        let end = async || -> Result<Frontier, Failure> {
            let params: &[&(dyn ToSql + Sync)] = &[&size, &bytes, &0_i64];
            client.execute(head::SAVE, params).await?;
            let frontier = head::load(&client).await?;
            if read_back(&client).await? != frontier {
                let problem = "the entries do not read back as they were sent";
                return Err(Failure::Damaged(problem.to_owned()));
            }
            for mark in &marks {
                client.execute(snapshot::MARK, &[mark]).await?;
            }
            client.batch_execute("COMMIT").await?;
            Ok(frontier)
        };
        Ok(end().await.map_err(failed)?)
    }
}

/// What is noted of the tables.
async fn marks(client: &ClientWrapper) -> Result<Vec<&'static str>, Failure> {
    let sql = "SELECT key FROM meta WHERE key = ANY($1)";
    let rows = client.query(sql, &[&&MARKS[..]]).await?;
    let noted: Vec<&str> = rows
        .iter()
        .map(|row| row.try_get(0))
        .collect::<Result<_, _>>()?;
    Ok(MARKS
        .into_iter()
        .filter(|mark| noted.contains(mark))
        .collect())
}

/// Copies one table out.
async fn dump(
    client: &ClientWrapper,
    copy: &Connection,
    table: &str,
    columns: &[String],
) -> Result<(), SnapshotError> {
    let names = columns.join(", ");
    let marks: Vec<String> = (1..=columns.len()).map(|n| format!("${n}")).collect();
    let sql = format!(
        "INSERT INTO {table} ({names}) VALUES ({})",
        marks.join(", ")
    );
    let write = SnapshotError::database("writing the snapshot");
    let mut insert = copy.prepare(&sql).map_err(&write)?;
    let failed = |failure: Failure| failure.into_port(DUMPING);
    let sql = format!("SELECT {names} FROM {table}");
    let none: [&(dyn ToSql + Sync); 0] = [];
    let rows = client.query_raw(&sql, none).await.map_err(Failure::from);
    let mut rows = pin!(rows.map_err(failed)?);
    while let Some(row) = rows.try_next().await.map_err(|e| failed(e.into()))? {
        let row = value::row(&row).map_err(failed)?;
        let values = row.0.iter().map(sqlite::to_sql);
        insert.execute(params_from_iter(values)).map_err(&write)?;
    }
    Ok(())
}

/// Copies one table in.
async fn load(
    client: &ClientWrapper,
    source: &Connection,
    table: &str,
    columns: &[String],
) -> Result<(), SnapshotError> {
    let failed = |failure: Failure| failure.into_port(LOADING);
    let names = columns.join(", ");
    let (select, copy) = (
        format!("SELECT {names} FROM {table}"),
        format!("COPY {table} ({names}) FROM STDIN BINARY"),
    );
    let types = async || -> Result<Vec<Type>, Failure> {
        let statement = client.prepare(&select).await?;
        let types = statement.columns().iter().map(|c| c.type_().clone());
        Ok(types.collect())
    };
    let types = types().await.map_err(failed)?;
    let sink = client.copy_in(&copy).await.map_err(Failure::from);
    let mut writer = pin!(BinaryCopyInWriter::new(sink.map_err(failed)?, &types));
    let read = SnapshotError::database("reading the snapshot");
    let mut statement = source.prepare(&select).map_err(&read)?;
    let mut rows = statement.query([]).map_err(&read)?;
    while let Some(row) = rows.next().map_err(&read)? {
        let row = sqlite::from_sql(row, columns.len())?;
        let params = value::fitting(&row.0, &types).map_err(failed)?;
        let sent = writer.as_mut().write_raw(params).await;
        sent.map_err(|error| failed(error.into()))?;
    }
    let done = writer.finish().await.map_err(Failure::from);
    done.map(|_| ()).map_err(|failure| failed(failure).into())
}

/// The frontier over the entries as the database gives them back.
async fn read_back(client: &ClientWrapper) -> Result<Frontier, Failure> {
    let none: [&(dyn ToSql + Sync); 0] = [];
    let sql = "SELECT idx, bytes, leaf FROM entries ORDER BY idx";
    let mut rows = pin!(client.query_raw(sql, none).await?);
    let mut frontier = Frontier::new();
    while let Some(row) = rows.try_next().await? {
        let (index, bytes, stored): (i64, &[u8], &[u8]) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let leaf = tree::leaf_hash(bytes);
        if clamp(frontier.size()) != index || stored != leaf.as_bytes() {
            return Err(Failure::Damaged(format!(
                "entry {index} reads back otherwise"
            )));
        }
        frontier.append(leaf);
    }
    Ok(frontier)
}
