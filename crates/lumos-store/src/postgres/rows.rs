//! The rows of appends that were judged: those of the ledger in one statement for each table, then what projections
//! make of each entry, all on the wire at once.

use std::collections::{BTreeMap, BTreeSet};

use deadpool_postgres::ClientWrapper;
use lumos_domain::seal::Sealed;
use lumos_engine::ports::{AppendError, PortError, Statement};
use lumos_ledger::{Frontier, Hash, tree};
use tokio_postgres::types::ToSql;

use super::{
    clamp,
    failure::Failure,
    head,
    pipeline::{Sent, in_order},
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
type Sending<'a> = Sent<'a, Result<(), Failure>>;

type Params<'a> = Vec<&'a (dyn ToSql + Sync)>;

/// The columns of some appends, each of which begins at an index.
#[derive(Default)]
struct Columns<'a> {
    index: Vec<i64>,
    stream: Vec<&'a str>,
    version: Vec<i64>,
    kind: Vec<&'a str>,
    bytes: Vec<&'a [u8]>,
    leaf: Vec<&'a [u8]>,
    streams: BTreeMap<&'a str, i64>,
    command: Vec<&'a str>,
    first: Vec<i64>,
    count: Vec<i64>,
    commitment: Vec<String>,
    salt: Vec<&'a [u8]>,
    value: Vec<&'a str>,
    erased: Vec<String>,
}

impl<'a> Columns<'a> {
    fn of(writes: &[(&'a Ready, u64)]) -> Self {
        let mut all = Self::default();
        for (append, first) in writes {
            all.command.push(&append.command_id);
            all.first.push(clamp(*first));
            all.count.push(clamp(append.count()));
            for (entry, index) in append.entries.iter().zip(*first..) {
                let version = clamp(entry.version);
                all.index.push(clamp(index));
                all.stream.push(&entry.name);
                all.version.push(version);
                all.kind.push(entry.kind);
                all.bytes.push(&entry.bytes);
                all.leaf.push(entry.leaf.as_bytes());
                all.streams.insert(&entry.name, version);
            }
            for sealed in &append.sealed {
                all.commitment.push(sealed.commitment.hex());
                all.salt.push(&sealed.salt);
                all.value.push(&sealed.value);
            }
            all.erased.extend(append.erase.iter().map(Sealed::hex));
        }
        all
    }
}

/// Writes appends behind one another within the open transaction. After an error, what was written must be rolled
/// back.
pub(super) async fn write(
    client: &ClientWrapper,
    writes: &[(&Ready, u64)],
    known: &BTreeSet<&'static str>,
) -> Result<(), Failure> {
    let columns = Columns::of(writes);
    let (streams, versions): (Vec<&str>, Vec<i64>) = columns.streams.iter().unzip();
    let kinds: BTreeSet<&str> = columns.kind.iter().copied().collect();
    let kinds: Vec<&str> = kinds
        .into_iter()
        .filter(|kind| !known.contains(kind))
        .collect();
    let c = &columns;
    let mut sending: Vec<Sending<'_>> = Vec::new();
    for lease in writes
        .iter()
        .filter_map(|(append, _)| append.lease.as_ref())
    {
        sending.push(is_held(client, lease).await?);
    }
    sending.push(ledger(client, COMMANDS, vec![&c.command, &c.first, &c.count]).await?);
    if !c.index.is_empty() {
        let entries: Params<'_> = vec![&c.index, &c.stream, &c.version, &c.kind, &c.bytes, &c.leaf];
        sending.push(ledger(client, ENTRIES, entries).await?);
        sending.push(ledger(client, STREAMS, vec![&streams, &versions]).await?);
    }
    if !c.commitment.is_empty() {
        let sealed: Params<'_> = vec![&c.commitment, &c.salt, &c.value];
        sending.push(ledger(client, SEALED, sealed).await?);
    }
    if !c.erased.is_empty() {
        sending.push(ledger(client, ERASED, vec![&c.erased]).await?);
    }
    if !kinds.is_empty() {
        sending.push(ledger(client, KINDS, vec![&kinds]).await?);
    }
    for (append, first) in writes {
        for (entry, index) in append.entries.iter().zip(*first..) {
            for projection in &entry.projections {
                sending.push(project(client, projection, clamp(index)).await?);
            }
        }
    }
    in_order(sending).await.into_iter().collect()
}

async fn ledger<'a>(
    client: &'a ClientWrapper,
    sql: &str,
    params: Params<'a>,
) -> Result<Sending<'a>, Failure> {
    let statement = client.prepare_cached(sql).await?;
    Ok(Box::pin(async move {
        match client
            .execute(&statement, &params)
            .await
            .map_err(Failure::from)
        {
            Ok(_) => Ok(()),
            // The head was locked and everything looked at: nothing of the ledger's own can be taken.
            Err(failure) if failure.is_taken() => Err(Failure::Damaged(failure.to_string())),
            Err(failure) => Err(failure),
        }
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

/// Applies one projection of the entry at `index`, once it is polled.
pub(super) async fn project<'a>(
    client: &'a ClientWrapper,
    projection: &'a Statement,
    index: i64,
) -> Result<Sending<'a>, Failure> {
    let refused = |failure: Failure| match failure {
        failure if failure.is_taken() => AppendError::Taken.into(),
        failure if failure.is_fatal() => failure,
        failure => {
            let doing = format!("running `{}`", projection.sql);
            AppendError::Store(PortError::new(doing, failure)).into()
        }
    };
    let prepared = value::prepare(client, projection.sql, &projection.params).await;
    let prepared = prepared.map_err(refused)?;
    let params = value::bound(&projection.params, Some(index)).map_err(refused)?;
    Ok(Box::pin(async move {
        let done = client.execute_raw(&prepared, params).await;
        done.map(|_| ()).map_err(|error| refused(error.into()))
    }))
}

/// Saves the new head over `before` entries, and hashes what the database will give back of the new ones, before it
/// is committed: a bit that flipped on the way there must not be signed (Yeti 2022 and Nessie 2024 ended that way).
pub(super) async fn finish(
    client: &ClientWrapper,
    before: u64,
    frontier: &Frontier,
    leaves: &[Hash],
) -> Result<(), Failure> {
    let save = client.prepare_cached(head::SAVE).await?;
    let written = client.prepare_cached(WRITTEN).await?;
    let (size, bytes, before) = (clamp(frontier.size()), frontier.to_bytes(), clamp(before));
    let params: &[&(dyn ToSql + Sync)] = &[&size, &bytes, &before];
    let from: &[&(dyn ToSql + Sync)] = &[&before];
    let (saved, rows) = tokio::join!(
        biased;
        client.execute(&save, params),
        client.query(&written, from),
    );
    if saved? != 1 {
        return Err(Failure::Damaged(
            "the head is not the one that was locked".to_owned(),
        ));
    }
    let rows = rows?;
    if rows.len() != leaves.len() {
        return Err(Failure::Damaged("a written entry is not there".to_owned()));
    }
    for (row, leaf) in rows.iter().zip(leaves) {
        let (bytes, stored): (&[u8], &[u8]) = (row.try_get(0)?, row.try_get(1)?);
        if tree::leaf_hash(bytes) != *leaf || stored != leaf.as_bytes() {
            let problem = "a written entry does not read back as it was hashed";
            return Err(Failure::Damaged(problem.to_owned()));
        }
    }
    Ok(())
}
