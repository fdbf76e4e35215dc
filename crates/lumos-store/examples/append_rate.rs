//! How close `Store::append` comes to a bare SQLite loop that writes the same rows: prints entries per
//! second of both, in alternating rounds of one run, and their ratio (DESIGN section 8); beside it what the
//! whole door does, which also authorises, loads, decides, seals and projects. Run it in release
//! mode; the first argument is the milliseconds of a round, the second how many rounds, the third the
//! directory to write in.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use jiff::Timestamp;
use lumos_domain::{
    actor::{Actor, Caller, Grant, Right, Scope},
    command::Command,
    id::{CommandId, Digest, PersonId, RoleName},
    org::Genesis,
    person::AddPerson,
    proposal::Governed,
    stream::Stream,
};
use lumos_engine::{
    Door, Request,
    key::ServerKey,
    ports::{Append, Clock, Entropy, NewEntry, Ports, Statement, Store as _, Value},
    secret::{self, Sealer},
    views,
};
use lumos_ledger::Frontier;
use lumos_store::{DirBlobs, SqliteStore};
use rusqlite::Connection;
use tokio::task::JoinSet;

type Failure = Box<dyn std::error::Error + Send + Sync>;

const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS latest
    (stream TEXT NOT NULL PRIMARY KEY, entry BIGINT NOT NULL)";
const PROJECTION: &str = "INSERT INTO latest (stream, entry) VALUES ($1, $2)
    ON CONFLICT (stream) DO UPDATE SET entry = excluded.entry";
const KIND: &str = "lumos.test.happened.v1";

/// Bytes of an entry, as an ordinary event has them.
const BYTES: usize = 600;

fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let millis = args.next().map_or(Ok(1000), |text| text.parse())?;
    let rounds = args.next().map_or(Ok(3), |text| text.parse::<u32>())?;
    let parent = args.next().map_or_else(std::env::temp_dir, Into::into);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()?;
    for clients in [1, 16, 256] {
        let dir = tempfile::tempdir_in(&parent)?;
        let time = Duration::from_millis(millis);
        let (mut bare, mut ours, mut whole, mut ratios, mut groups) =
            (0.0, 0.0, 0.0, Vec::new(), 0);
        for round in 0..rounds {
            let here = dir.path().join(round.to_string());
            let bare_dir = here.join("bare");
            let (warm, here) = (here.join("warm"), here.join("store"));
            let group = runtime
                .block_on(store(&warm, clients, time / 4, true))?
                .group;
            let stored = runtime.block_on(store(&here, clients, time, false))?;
            // A commit of the bare loop holds as many rows as one of the store did on average.
            let looped = bare_loop(&bare_dir, clients, group, time)?;
            ratios.push(stored.rate / looped);
            let people = runtime.block_on(door(
                &dir.path().join(format!("{round}-door")),
                clients,
                time,
            ))?;
            whole += people / f64::from(rounds);
            groups += group;
            ours += stored.rate / f64::from(rounds);
            bare += looped / f64::from(rounds);
        }
        ratios.sort_by(f64::total_cmp);
        say(&format!(
            "clients {clients:>3}  bare {bare:>8.0}/s  store {ours:>8.0}/s  rows in a commit {:>3}  ratio {:.2} (from {:.2} to {:.2})  door {whole:>7.0}/s",
            groups / u64::from(rounds),
            ratios[ratios.len() / 2],
            ratios[0],
            ratios[ratios.len() - 1],
        ));
    }
    Ok(())
}

struct Rate {
    /// Entries per second.
    rate: f64,
    /// Entries per commit, where they were counted; counting slows a store on two cores.
    group: u64,
}

async fn store(dir: &Path, clients: u64, time: Duration, counted: bool) -> Result<Rate, Failure> {
    let store = Arc::new(SqliteStore::open(dir, &[SCHEMA])?);
    let start = now();
    let mut tasks = JoinSet::new();
    for client in 0..clients {
        let store = store.clone();
        tasks.spawn(async move {
            let stream: Stream = format!("person/p{client}").parse()?;
            let mut version = 0;
            while now().duration_since(start) < time {
                store.append(append(&stream, client, version)?).await?;
                version += 1;
            }
            Ok::<_, Failure>(version)
        });
    }
    let (mut commits, mut count, mut total) = (store.committed(), 0_u64, 0);
    loop {
        tokio::select! {
            joined = tasks.join_next() => match joined {
                Some(done) => total += done??,
                None => break,
            },
            changed = commits.changed(), if counted => {
                changed?;
                count += 1;
            }
        }
    }
    Ok(Rate {
        rate: rate(total, start),
        group: total.div_ceil(count.max(1)).clamp(1, clients),
    })
}

fn append(stream: &Stream, client: u64, version: u64) -> Result<Append, Failure> {
    Ok(Append {
        command_id: command(client, version).parse::<CommandId>()?,
        reads: vec![(stream.clone(), version)],
        entries: vec![NewEntry {
            stream: stream.clone(),
            version: version + 1,
            kind: KIND,
            bytes: vec![b'x'; BYTES],
            projections: vec![Statement {
                sql: PROJECTION,
                params: vec![stream.to_string().into(), Value::Index],
            }],
        }],
        sealed: vec![],
        erase: vec![],
        lease: None,
    })
}

struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "entries carry a time")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// Counted and hashed: unique, which is all that ids and salts need here.
#[derive(Default)]
struct Counted(AtomicU64);

impl Entropy for Counted {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(32) {
            let count = self.0.fetch_add(1, Ordering::Relaxed);
            chunk.copy_from_slice(&Digest::of(&count.to_be_bytes()).as_bytes()[..chunk.len()]);
        }
    }
}

/// People added per second through the door by one administrator: one entry, one name and one login sealed.
async fn door(dir: &Path, clients: u64, time: Duration) -> Result<f64, Failure> {
    let entropy = Arc::new(Counted::default());
    let door = Door::open(
        Ports {
            store: Arc::new(SqliteStore::open(dir, &views::schema())?),
            blobs: Arc::new(DirBlobs::open(&dir.join("blobs"))?),
            clock: Arc::new(SystemClock),
            entropy: entropy.clone(),
            key: Arc::new(ServerKey::new([7; 32])),
        },
        "lumos.acme.example/main",
    )
    .await?;
    let founder: PersonId = "p-founder".parse()?;
    door.submit(founding(&founder, &*entropy)?).await?;
    let start = now();
    let mut tasks = JoinSet::new();
    for _ in 0..clients {
        let (door, entropy, founder) = (door.clone(), entropy.clone(), founder.clone());
        tasks.spawn(async move {
            let mut count = 0;
            while now().duration_since(start) < time {
                let person: PersonId = secret::id(&*entropy, "p-")?;
                let mut sealer = Sealer::new(&*entropy);
                let add = add(&person, &mut sealer);
                let caller = Caller::new(Actor::Person(founder.clone()));
                let request = Request::new(caller, secret::command_id(&*entropy)?, add);
                let sealed = sealer.into_values();
                door.submit(Request { sealed, ..request }).await?;
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

fn add(person: &PersonId, sealer: &mut Sealer<'_>) -> Command {
    Command::AddPerson(AddPerson {
        person: person.clone(),
        name: sealer.seal("Acme Model Developer"),
        login: sealer.seal(&person.to_string()),
        service: false,
    })
}

/// A sandbox whose one founder may add people.
fn founding(founder: &PersonId, entropy: &dyn Entropy) -> Result<Request, Failure> {
    let mut sealer = Sealer::new(entropy);
    let role: RoleName = "administrator".parse()?;
    let grant = Grant {
        role: role.clone(),
        scope: Scope::Organisation,
    };
    let commands = vec![
        Command::Found(Genesis {
            founders: vec![founder.clone()],
            origin: "lumos.acme.example/main".to_owned(),
            sandbox: true,
            seeds: Vec::new(),
            settings: Digest::of(b"settings"),
        }),
        Governed::DefineRole {
            role,
            rights: [Right::ManagePeople].into(),
        }
        .into(),
        add(founder, &mut sealer),
        Governed::GrantRole {
            person: founder.clone(),
            grant,
        }
        .into(),
    ];
    Ok(Request {
        caller: Caller::new(Actor::Genesis),
        command_id: secret::command_id(entropy)?,
        commands,
        sealed: sealer.into_values(),
        causation: None,
    })
}

/// As random as the ids that callers draw.
fn command(client: u64, version: u64) -> String {
    let random = (client << 40 | version).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("{random:016x}{client:04x}{version:012x}")
}

/// The same rows by the shortest way: no caller waits, nothing is checked, nothing is hashed.
fn bare_loop(dir: &Path, clients: u64, group: u64, time: Duration) -> Result<f64, Failure> {
    drop(SqliteStore::open(dir, &[SCHEMA])?);
    let connection = Connection::open(dir.join("lumos.db"))?;
    connection.execute_batch(include_str!("../migrations/sqlite/connection.sql"))?;
    let names: Vec<_> = (0..clients)
        .map(|client| format!("person/p{client}"))
        .collect();
    let bytes = vec![b'x'; BYTES];
    let mut frontier = Frontier::new();
    // A frontier of the right length, grown once: the bare loop hashes nothing.
    frontier.append(lumos_ledger::tree::leaf_hash(&bytes));
    let head = frontier.to_bytes();
    let mut index = 0_u64;
    let start = now();
    while now().duration_since(start) < time {
        connection.execute_batch("BEGIN IMMEDIATE")?;
        for _ in 0..group {
            let (client, version) = (index % clients, index / clients);
            let row = i64::try_from(index)?;
            let name = &names[usize::try_from(client)?];
            write_rows(
                &connection,
                name,
                (row, i64::try_from(version)? + 1),
                &bytes,
            )?;
            connection
                .prepare_cached(
                    "INSERT INTO commands (command_id, first, count) VALUES ($1, $2, 1)",
                )?
                .execute((command(client, version), row))?;
            index += 1;
        }
        connection
            .prepare_cached("UPDATE head SET size = $1, frontier = $2 WHERE one = 1")?
            .execute((i64::try_from(index)?, &head))?;
        connection.execute_batch("COMMIT")?;
    }
    Ok(rate(index, start))
}

fn write_rows(
    connection: &Connection,
    stream: &str,
    (row, version): (i64, i64),
    bytes: &[u8],
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO streams (stream, version) VALUES ($1, $2)
             ON CONFLICT (stream) DO UPDATE SET version = excluded.version",
        )?
        .execute((stream, version))?;
    connection
        .prepare_cached(
            "INSERT INTO entries (idx, stream, version, kind, bytes, leaf)
             VALUES ($1, $2, $3, $4, $5, $6)",
        )?
        .execute((row, stream, version, KIND, bytes, [7_u8; 32]))?;
    connection
        .prepare_cached(PROJECTION)?
        .execute((stream, row))?;
    Ok(())
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
