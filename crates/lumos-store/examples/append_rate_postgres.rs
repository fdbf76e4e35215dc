//! How close `PostgresStore::append` comes to a bare loop that writes the same rows, and how far it is before a hash chain
//! that a trigger keeps, which is what most build themselves: entries per second of each in alternating rounds of one run.
//! Run it in release mode; the first argument is the milliseconds of a round, the second how many rounds. It starts a
//! server of its own.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use lumos_engine::ports::{Append, NewEntry, Statement, Store as _, Value};
use lumos_ledger::{Frontier, tree};
use lumos_store::{PostgresSettings, PostgresStore};
use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls, types::ToSql};

#[path = "../tests/it/cluster.rs"]
#[expect(
    dead_code,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "the tests change servers in more ways, and fail where one cannot be had"
)]
mod cluster;

type Failure = Box<dyn std::error::Error + Send + Sync>;

const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS latest
    (stream TEXT NOT NULL PRIMARY KEY, entry BIGINT NOT NULL)";
const PROJECTION: &str = "INSERT INTO latest (stream, entry) VALUES ($1, $2)
    ON CONFLICT (stream) DO UPDATE SET entry = excluded.entry";
const KIND: &str = "lumos.test.happened.v1";

type Params<'a, const N: usize> = [&'a (dyn ToSql + Sync); N];

/// Bytes of an entry, as an ordinary event has them.
const BYTES: usize = 600;

/// The chain in the database: one row names the last hash, each insert continues it.
const CHAIN: &str = "
    CREATE TABLE IF NOT EXISTS chain_head (one INTEGER PRIMARY KEY, hash BYTEA NOT NULL);
    INSERT INTO chain_head VALUES (1, '') ON CONFLICT DO NOTHING;
    CREATE TABLE IF NOT EXISTS chained (id BIGSERIAL PRIMARY KEY, bytes BYTEA NOT NULL, hash BYTEA NOT NULL);
    CREATE OR REPLACE FUNCTION continue_chain() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      SELECT sha256(hash || NEW.bytes) INTO NEW.hash FROM chain_head WHERE one = 1 FOR UPDATE;
      UPDATE chain_head SET hash = NEW.hash WHERE one = 1;
      RETURN NEW;
    END $$;
    CREATE OR REPLACE TRIGGER chain BEFORE INSERT ON chained FOR EACH ROW EXECUTE FUNCTION continue_chain();";

fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let millis = args.next().map_or(Ok(1000), |text| text.parse())?;
    let rounds = args.next().map_or(Ok(3), |text| text.parse::<u32>())?;
    let Some(cluster) = cluster::Cluster::start() else {
        return Ok(());
    };
    let url = cluster.url("lumos", &cluster.database());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(compare(&url, Duration::from_millis(millis), rounds))
}

async fn compare(url: &str, time: Duration, rounds: u32) -> Result<(), Failure> {
    let settings = PostgresSettings {
        url: url.to_owned(),
        owner_url: None,
        accept_loss: false,
    };
    let store = Arc::new(PostgresStore::open(&settings, &[SCHEMA]).await?);
    let bare = connect(url).await?;
    bare.batch_execute(PLANS).await?;
    bare.batch_execute(&format!("{CHAIN} {BARE}")).await?;
    for clients in [1, 16, 256] {
        let (mut ours, mut looped, mut chain) = (0.0, 0.0, 0.0);
        for round in 0..rounds {
            let stored = stored(&store, (clients, round), time).await?;
            // A commit of the bare loop holds as many rows as one of the store did on average.
            let group = stored.1;
            looped += bare_loop(&bare, (clients, group), time).await? / f64::from(rounds);
            // PostgreSQL has a hundred connections.
            chain += chained(url, clients.min(64), time).await? / f64::from(rounds);
            ours += stored.0 / f64::from(rounds);
        }
        say(&format!(
            "clients {clients:>3}  store {ours:>7.0}/s  bare {looped:>7.0}/s  ratio {:.2}  hash chain {chain:>6.0}/s  times {:.1}",
            ours / looped,
            ours / chain,
        ));
    }
    let sql = "SELECT (sum(pg_total_relation_size(t)) / (SELECT count(*) FROM entries))::bigint
        FROM unnest(ARRAY['entries', 'streams', 'commands']::regclass[]) AS t";
    let bytes: i64 = bare.query_one(sql, &[]).await?.get(0);
    say(&format!(
        "an entry of {BYTES} bytes takes {bytes} with its stream and command"
    ));
    Ok(())
}

async fn connect(url: &str) -> Result<Client, Failure> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);
    // It ends with its client.
    tasks.detach_all();
    Ok(client)
}

/// Entries per second, and per commit.
async fn stored(
    store: &Arc<PostgresStore>,
    (clients, round): (u64, u32),
    time: Duration,
) -> Result<(f64, usize), Failure> {
    let start = now();
    let mut tasks = JoinSet::new();
    let mut commits = store.committed();
    commits.mark_unchanged();
    for client in 0..clients {
        let store = Arc::clone(store);
        tasks.spawn(async move {
            let name = format!("person/p{clients}-{round}-{client}");
            let mut version = 0;
            while now().duration_since(start) < time {
                store.append(append(&name, version)?).await?;
                version += 1;
            }
            Ok::<u64, Failure>(version)
        });
    }
    let (mut total, mut groups) = (0, 0_u64);
    loop {
        tokio::select! {
            joined = tasks.join_next() => match joined {
                Some(done) => total += done??,
                None => break,
            },
            changed = commits.changed() => {
                changed?;
                groups += 1;
            }
        }
    }
    let group = total.div_ceil(groups.max(1)).clamp(1, clients);
    Ok((rate(total, start), usize::try_from(group)?))
}

fn append(name: &str, version: u64) -> Result<Append, Failure> {
    let stream: lumos_domain::stream::Stream = name.parse()?;
    Ok(Append {
        command_id: format!("{}-{version}", name.replace('/', "-")).parse()?,
        reads: vec![(stream.clone(), version)],
        entries: vec![NewEntry {
            stream,
            version: version + 1,
            kind: KIND,
            bytes: vec![b'x'; BYTES],
            projections: vec![Statement {
                sql: PROJECTION,
                params: vec![name.into(), Value::Index],
            }],
        }],
        sealed: vec![],
        erase: vec![],
        lease: None,
    })
}

/// What holds for the appender's connection as well.
const PLANS: &str =
    "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET jit = off;";

/// Tables of the same shape as the ledger's.
const BARE: &str = "
    CREATE TABLE IF NOT EXISTS bare_entries (LIKE entries INCLUDING ALL);
    CREATE TABLE IF NOT EXISTS bare_streams (LIKE streams INCLUDING ALL);
    CREATE TABLE IF NOT EXISTS bare_commands (LIKE commands INCLUDING ALL);
    CREATE TABLE IF NOT EXISTS bare_latest (LIKE latest INCLUDING ALL);
    CREATE TABLE IF NOT EXISTS bare_head (LIKE head INCLUDING ALL);
    INSERT INTO bare_head SELECT 1, 0, frontier FROM head ON CONFLICT DO NOTHING;";

/// The same rows by the shortest way: no caller waits, nothing is looked at, locked, hashed or read back.
async fn bare_loop(
    client: &Client,
    (clients, group): (u64, usize),
    time: Duration,
) -> Result<f64, Failure> {
    let entries = client
        .prepare(
            "INSERT INTO bare_entries (idx, stream, version, kind, bytes, leaf) SELECT * FROM unnest
             ($1::bigint[], $2::text[], $3::bigint[], $4::text[], $5::bytea[], $6::bytea[])",
        )
        .await?;
    let streams = client
        .prepare(
            "INSERT INTO bare_streams SELECT * FROM unnest($1::text[], $2::bigint[])
             ON CONFLICT (stream) DO UPDATE SET version = excluded.version",
        )
        .await?;
    let commands = client
        .prepare("INSERT INTO bare_commands SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[])")
        .await?;
    let latest = client
        .prepare(
            "INSERT INTO bare_latest SELECT * FROM unnest($1::text[], $2::bigint[])
             ON CONFLICT (stream) DO UPDATE SET entry = excluded.entry",
        )
        .await?;
    let head = client
        .prepare("UPDATE bare_head SET size = $1, frontier = $2 WHERE one = 1")
        .await?;
    let bytes = vec![vec![b'x'; BYTES]; group];
    let (leaves, kinds, ones) = (
        vec![vec![7_u8; 32]; group],
        vec![KIND; group],
        vec![1_i64; group],
    );
    let clients = i64::try_from(clients)?;
    let mut frontier = Frontier::new();
    frontier.append(tree::leaf_hash(&bytes[0]));
    let frontier = frontier.to_bytes();
    let from: i64 = client
        .query_one("SELECT coalesce(max(idx) + 1, 0) FROM bare_entries", &[])
        .await?
        .get(0);
    let (mut index, start) = (from, now());
    while now().duration_since(start) < time {
        let next = index + i64::try_from(group)?;
        let indices: Vec<i64> = (index..next).collect();
        let turns = indices.iter().map(|n| (n % clients, n / clients + 1));
        let (names, versions): (Vec<String>, Vec<i64>) = turns
            .map(|(client, version)| (format!("person/b{clients}-{client}"), version))
            .unzip();
        let ids = names.iter().zip(&versions);
        let ids: Vec<String> = ids.map(|(name, n)| format!("{name}-{n}")).collect();
        let size = next;
        client.batch_execute("BEGIN").await?;
        let of_entries: Params<'_, 6> = [&indices, &names, &versions, &kinds, &bytes, &leaves];
        let of_streams: Params<'_, 2> = [&names, &versions];
        let of_commands: Params<'_, 3> = [&ids, &indices, &ones];
        let of_latest: Params<'_, 2> = [&names, &indices];
        let of_head: Params<'_, 2> = [&size, &frontier];
        // On the wire at once, as the store does it.
        tokio::try_join!(
            biased;
            client.execute(&entries, &of_entries),
            client.execute(&streams, &of_streams),
            client.execute(&commands, &of_commands),
            client.execute(&latest, &of_latest),
            client.execute(&head, &of_head),
        )?;
        client.batch_execute("COMMIT").await?;
        index = next;
    }
    Ok(rate(u64::try_from(index - from)?, start))
}

/// Inserts per second where a trigger keeps the chain.
async fn chained(url: &str, clients: u64, time: Duration) -> Result<f64, Failure> {
    let mut all = Vec::new();
    for _ in 0..clients {
        all.push(connect(url).await?);
    }
    let start = now();
    let mut tasks = JoinSet::new();
    for client in all {
        tasks.spawn(async move {
            let insert = "INSERT INTO chained (bytes) VALUES ($1)";
            let insert = client.prepare(insert).await?;
            let (bytes, mut count) = (vec![b'x'; BYTES], 0);
            while now().duration_since(start) < time {
                client.execute(&insert, &[&bytes]).await?;
                count += 1;
            }
            Ok::<u64, Failure>(count)
        });
    }
    let mut total = 0;
    while let Some(done) = tasks.join_next().await {
        total += done??;
    }
    Ok(rate(total, start))
}

#[expect(clippy::cast_precision_loss, reason = "a rate is shown to the entry")]
fn rate(count: u64, start: Instant) -> f64 {
    count as f64 / now().duration_since(start).as_secs_f64()
}

#[expect(clippy::disallowed_methods, reason = "this program measures time")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::print_stdout, reason = "this program's answer")]
fn say(line: &str) {
    println!("{line}");
}
