//! The rows of appends that were judged: those of the ledger in one statement for each table, then what projections
//! make of the entries, then the new head and a look at what was written, all on the wire at once.

use std::collections::{BTreeMap, BTreeSet};

use deadpool_postgres::ClientWrapper;
use lumos_domain::seal::Sealed;
use lumos_engine::ports::{AppendError, PortError, Statement};
use lumos_ledger::{Frontier, Hash, tree};
use tokio_postgres::{Statement as Prepared, types::ToSql};

use super::{
    clamp,
    failure::Failure,
    gather::{Heap, gather},
    head,
    pipeline::Sent,
    value,
};
use crate::ready::Ready;

const ENTRIES: &str = "INSERT INTO entries (idx, stream, version, kind, bytes, leaf)
    SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[], $5::bytea[], $6::bytea[])";
const STREAMS: &str = "INSERT INTO streams (stream, version)
    SELECT * FROM unnest($1::text[], $2::bigint[])
    ON CONFLICT (stream) DO UPDATE SET version = excluded.version";
const COMMANDS: &str = "INSERT INTO commands (command_id, first, count)
    SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[])";
const SEALED: &str = "INSERT INTO sealed (commitment, salt, value)
    SELECT * FROM unnest($1::text[], $2::bytea[], $3::text[]) ON CONFLICT DO NOTHING";
const ERASED: &str = "DELETE FROM sealed WHERE commitment = ANY($1::text[])";
const KINDS: &str = "INSERT INTO kinds (kind) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING";
const WRITTEN: &str = "SELECT bytes, leaf FROM entries WHERE idx >= $1 ORDER BY idx";

/// A statement on its way, which says how it failed.
pub(super) type Sending<'a> = Sent<'a, Result<(), Failure>>;

type Params<'a> = Vec<&'a (dyn ToSql + Sync)>;

/// Some appends behind one another, each of which begins at an index, as the columns of their rows.
#[derive(Default)]
pub(super) struct Columns<'a> {
    leases: Vec<&'a Statement>,
    command: Vec<&'a str>,
    first: Vec<i64>,
    count: Vec<i64>,
    index: Vec<i64>,
    stream: Vec<&'a str>,
    version: Vec<i64>,
    kind: Vec<&'a str>,
    bytes: Vec<&'a [u8]>,
    leaf: Vec<&'a [u8]>,
    /// The streams that were continued, and the version that each has now.
    continued: Vec<&'a str>,
    continued_to: Vec<i64>,
    /// Event types that may be new.
    kinds: Vec<&'a str>,
    commitment: Vec<String>,
    salt: Vec<&'a [u8]>,
    value: Vec<&'a str>,
    erased: Vec<String>,
    projections: Vec<(&'a Statement, i64)>,
}

impl<'a> Columns<'a> {
    /// `known` are event types that the database has.
    pub(super) fn of(writes: &[(&'a Ready, u64)], known: &BTreeSet<&'static str>) -> Self {
        let (mut all, mut continued, mut kinds) =
            (Self::default(), BTreeMap::new(), BTreeSet::new());
        for (append, first) in writes {
            all.leases.extend(&append.lease);
            all.command.push(&append.command_id);
            all.first.push(clamp(*first));
            all.count.push(clamp(append.count()));
            for (entry, index) in append.entries.iter().zip(*first..) {
                let (index, version) = (clamp(index), clamp(entry.version));
                all.index.push(index);
                all.stream.push(&entry.name);
                all.version.push(version);
                all.kind.push(entry.kind);
                all.bytes.push(&entry.bytes);
                all.leaf.push(entry.leaf.as_bytes());
                continued.insert(entry.name.as_str(), version);
                kinds.insert(entry.kind);
                let projections = entry.projections.iter();
                all.projections
                    .extend(projections.map(|projection| (projection, index)));
            }
            for sealed in &append.sealed {
                all.commitment.push(sealed.commitment.hex());
                all.salt.push(&sealed.salt);
                all.value.push(&sealed.value);
            }
            all.erased.extend(append.erase.iter().map(Sealed::hex));
        }
        (all.continued, all.continued_to) = continued.into_iter().unzip();
        all.kinds = kinds.difference(known).copied().collect();
        all
    }

    /// The rows of the ledger's own tables, each with the statement that inserts them.
    fn tables(&'a self) -> impl Iterator<Item = (&'static str, Params<'a>)> {
        let all: [(_, bool, Params<'a>); 6] = [
            (
                COMMANDS,
                self.command.is_empty(),
                vec![&self.command, &self.first, &self.count],
            ),
            (
                ENTRIES,
                self.index.is_empty(),
                vec![
                    &self.index,
                    &self.stream,
                    &self.version,
                    &self.kind,
                    &self.bytes,
                    &self.leaf,
                ],
            ),
            (
                STREAMS,
                self.continued.is_empty(),
                vec![&self.continued, &self.continued_to],
            ),
            (
                SEALED,
                self.commitment.is_empty(),
                vec![&self.commitment, &self.salt, &self.value],
            ),
            (ERASED, self.erased.is_empty(), vec![&self.erased]),
            (KINDS, self.kinds.is_empty(), vec![&self.kinds]),
        ];
        let filled = all.into_iter().filter(|(_, is_empty, _)| !is_empty);
        filled.map(|(sql, _, params)| (sql, params))
    }
}

/// What writes the rows within the open transaction, to be sent in this order. After an error, what was written must be
/// rolled back.
pub(super) async fn write<'a>(
    client: &'a ClientWrapper,
    columns: &'a Columns<'a>,
) -> Result<Vec<Sending<'a>>, Failure> {
    let mut sending = Vec::new();
    for lease in &columns.leases {
        sending.push(is_held(client, lease).await?);
    }
    for (sql, params) in columns.tables() {
        sending.push(ledger(client, sql, params).await?);
    }
    for heap in gather(columns.projections.iter().copied()) {
        sending.push(project(client, heap).await?);
    }
    Ok(sending)
}

async fn ledger<'a>(
    client: &'a ClientWrapper,
    sql: &str,
    params: Params<'a>,
) -> Result<Sending<'a>, Failure> {
    let statement = client.prepare_cached(sql).await?;
    Ok(Box::pin(async move {
        client.execute(&statement, &params).await?;
        Ok(())
    }))
}

/// Looks whether a caller still holds its lease, and holds on to it until the transaction ends.
async fn is_held<'a>(
    client: &'a ClientWrapper,
    lease: &'a Statement,
) -> Result<Sending<'a>, Failure> {
    let prepared = value::prepare(client, lease.sql, &lease.params).await?;
    let params = value::bound(&lease.params, None)?;
    Ok(Box::pin(async move {
        match client.execute_raw(&prepared, params).await? {
            1 => Ok(()),
            _ => Err(AppendError::LeaseLost.into()),
        }
    }))
}

/// Applies projections that differ only in their values, once it is polled.
pub(super) async fn project<'a>(
    client: &'a ClientWrapper,
    heap: Heap<'a>,
) -> Result<Sending<'a>, Failure> {
    let sql = heap.statement.sql;
    let refused = move |failure: Failure| match failure {
        failure if failure.is_taken() => AppendError::Taken.into(),
        failure if failure.is_fatal() => failure,
        failure => {
            let doing = format!("running `{sql}`");
            AppendError::Store(PortError::new(doing, failure)).into()
        }
    };
    if let Some(sql) = heap.over_arrays() {
        let columns = value::columns(&heap.rows).map_err(refused)?;
        let prepared = value::prepare_over(client, &sql, &columns).await;
        return Ok(run(client, prepared.map_err(refused)?, columns, refused));
    }
    let params = &heap.statement.params;
    let prepared = value::prepare(client, sql, params).await;
    let params = value::bound(params, Some(heap.index)).map_err(refused)?;
    Ok(run(client, prepared.map_err(refused)?, params, refused))
}

fn run<'a>(
    client: &'a ClientWrapper,
    prepared: Prepared,
    params: Vec<impl ToSql + Sync + Send + 'a>,
    refused: impl Fn(Failure) -> Failure + Send + 'a,
) -> Sending<'a> {
    Box::pin(async move {
        let done = client.execute_raw(&prepared, params).await;
        done.map(|_| ()).map_err(|error| refused(error.into()))
    })
}

/// What saves the new head over `before` entries, and hashes what the database will give back of the new ones, before it
/// is committed: a bit that flipped on the way there must not be signed (Yeti 2022 and Nessie 2024 ended that way).
pub(super) async fn finish<'a>(
    client: &'a ClientWrapper,
    before: u64,
    frontier: &Frontier,
    leaves: &'a [Hash],
) -> Result<[Sending<'a>; 2], Failure> {
    let save = client.prepare_cached(head::SAVE).await?;
    let written = client.prepare_cached(WRITTEN).await?;
    let (size, bytes, before) = (clamp(frontier.size()), frontier.to_bytes(), clamp(before));
    let save = async move {
        let params: &[&(dyn ToSql + Sync)] = &[&size, &bytes, &before];
        match client.execute(&save, params).await? {
            1 => Ok(()),
            _ => Err(damaged("the head is not the one that was locked")),
        }
    };
    let look = async move {
        let rows = client.query(&written, &[&before]).await?;
        if rows.len() != leaves.len() {
            return Err(damaged("a written entry is not there"));
        }
        for (row, leaf) in rows.iter().zip(leaves) {
            let (bytes, stored): (&[u8], &[u8]) = (row.try_get(0)?, row.try_get(1)?);
            if tree::leaf_hash(bytes) != *leaf || stored != leaf.as_bytes() {
                return Err(damaged(
                    "a written entry does not read back as it was hashed",
                ));
            }
        }
        Ok(())
    };
    Ok([Box::pin(save), Box::pin(look)])
}

fn damaged(problem: &str) -> Failure {
    Failure::Damaged(problem.to_owned())
}
