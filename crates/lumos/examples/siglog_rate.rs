//! How LUMOS's store, behind one HTTP route, compares with siglog, a Tessera-like log server in Rust: entries per second that
//! both acknowledge as sequenced, in alternating rounds of one run, asked by the same client. Both keep them in SQLite and
//! files; siglog may wait a millisecond for a batch to fill, its own default is a thousand. Run it in release mode; the first
//! argument is siglog's program, the second the milliseconds of a round, the third how many rounds.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Router, body::Bytes, extract::State, http::StatusCode, routing::post};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use lumos_engine::ports::{Append, NewEntry, Store as _};
use lumos_http::{Auth, Client, Egress, HttpError, Peer};
use lumos_ledger::NoteSigner;
use lumos_store::SqliteStore;
use tokio::{net::TcpListener, task::JoinSet, time};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Bytes of an entry, as an ordinary event has them.
const BYTES: usize = 600;
const ORIGIN: &str = "ledger.acme.example";
/// Acme's key for this run.
const SEED: [u8; 32] = [7; 32];

fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let program = args
        .next()
        .ok_or("the first argument is siglog's program")?;
    let millis = args.next().map_or(Ok(1000), |text| text.parse())?;
    let rounds = args.next().map_or(Ok(3), |text| text.parse::<u32>())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(compare(
        Path::new(&program),
        Duration::from_millis(millis),
        rounds,
    ))
}

async fn compare(program: &Path, time: Duration, rounds: u32) -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    let ours = serve(&dir.path().join("lumos")).await?;
    let siglog = Siglog::start(program, &dir.path().join("siglog")).await?;
    for clients in [1, 16, 256] {
        let (mut lumos, mut peer, mut failed) = (0.0, 0.0, 0);
        for _ in 0..rounds {
            let ours = rate(&ours, clients, time).await?;
            let theirs = rate(&siglog.peer, clients, time).await?;
            lumos += ours.0 / f64::from(rounds);
            peer += theirs.0 / f64::from(rounds);
            failed += theirs.1;
            if ours.1 > 0 {
                return Err("an entry was not taken".into());
            }
        }
        say(&format!(
            "clients {clients:>3}  lumos {lumos:>7.0}/s  siglog {peer:>7.0}/s and {failed} that it failed  times {:.1}",
            lumos / peer
        ));
    }
    Ok(())
}

/// LUMOS's store behind the route that siglog has: an entry in, its index out, once it is durable.
async fn serve(dir: &Path) -> Result<Peer, Failure> {
    let store = Arc::new(SqliteStore::open(dir, &[])?);
    let next = Arc::new(AtomicU64::new(0));
    let app = Router::new()
        .route("/add", post(add))
        .with_state((store, next));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { axum::serve(listener, app).await });
    // It ends with the process.
    tasks.detach_all();
    peer(address)
}

async fn add(
    State((store, next)): State<(Arc<SqliteStore>, Arc<AtomicU64>)>,
    bytes: Bytes,
) -> Result<String, StatusCode> {
    let number = next.fetch_add(1, Ordering::Relaxed);
    let append = append(number, bytes.to_vec()).map_err(|_| StatusCode::BAD_REQUEST)?;
    let appended = store.append(append).await;
    let appended = appended.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(appended.first.to_string())
}

fn append(number: u64, bytes: Vec<u8>) -> Result<Append, Failure> {
    Ok(Append {
        command_id: format!("c{number}").parse()?,
        reads: vec![],
        entries: vec![NewEntry {
            stream: format!("person/p{number}").parse()?,
            version: 1,
            kind: "lumos.test.happened.v1",
            bytes,
            projections: vec![],
        }],
        sealed: vec![],
        erase: vec![],
        lease: None,
    })
}

fn peer(address: SocketAddr) -> Result<Peer, Failure> {
    let base = format!("http://{address}");
    let egress = Egress {
        hosts: vec![base.clone()],
        ..Egress::default()
    };
    Ok(Client::new(&egress)?.peer(&base, Auth::None)?)
}

/// A running siglog, which ends with this.
struct Siglog {
    child: Child,
    peer: Peer,
}

impl Siglog {
    #[expect(
        clippy::disallowed_methods,
        reason = "this program starts the peer that it measures"
    )]
    async fn start(program: &Path, dir: &Path) -> Result<Self, Failure> {
        std::fs::create_dir_all(dir)?;
        let free = TcpListener::bind(("127.0.0.1", 0)).await?.local_addr()?;
        let signer = NoteSigner::from_seed(ORIGIN, &SEED)?;
        let vkey = signer.verifier_key().to_string();
        let id = vkey.split('+').nth(1).ok_or("a verifier key has an id")?;
        let seed = STANDARD.encode([&[1], &SEED[..]].concat());
        let child = Command::new(program)
            .env("LISTEN_ADDR", free.to_string())
            .env(
                "DATABASE_URL",
                format!("sqlite:{}?mode=rwc", dir.join("log.db").display()),
            )
            .env("STORAGE_BACKEND", "fs")
            .env("FS_ROOT", dir.join("tiles"))
            .env("LOG_ORIGIN", ORIGIN)
            .env(
                "LOG_PRIVATE_KEY",
                format!("PRIVATE+KEY+{ORIGIN}+{id}+{seed}"),
            )
            .env("BATCH_MAX_AGE_MS", "1")
            .env("RUST_LOG", "error")
            .stdout(Stdio::null())
            .spawn()?;
        let siglog = Self {
            child,
            peer: peer(free)?,
        };
        let end = now() + Duration::from_secs(20);
        while siglog.peer.get("health").ok().await.is_err() {
            if now() > end {
                return Err("siglog did not start".into());
            }
            time::sleep(Duration::from_millis(50)).await;
        }
        Ok(siglog)
    }
}

impl Drop for Siglog {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Entries per second that were acknowledged to so many clients at once, and how many were answered with a failure, as
/// siglog does where its own tasks meet in SQLite.
async fn rate(peer: &Peer, clients: u32, time: Duration) -> Result<(f64, u32), Failure> {
    static ENTRY: AtomicU64 = AtomicU64::new(0);
    let start = now();
    let mut tasks = JoinSet::new();
    for _ in 0..clients {
        let peer = peer.clone();
        tasks.spawn(async move {
            let (mut taken, mut failed) = (0_u32, 0_u32);
            while now().duration_since(start) < time {
                let number = ENTRY.fetch_add(1, Ordering::Relaxed);
                let entry = format!("{number:0>BYTES$}").into_bytes();
                let add = peer.post("add").bytes("application/octet-stream", entry);
                match add.ok().await {
                    Ok(_) => taken += 1,
                    Err(HttpError::Status { status: 500, .. }) => failed += 1,
                    Err(error) => return Err(error.into()),
                }
            }
            Ok::<(u32, u32), Failure>((taken, failed))
        });
    }
    let (mut taken, mut failed) = (0, 0);
    while let Some(done) = tasks.join_next().await {
        let done = done??;
        taken += done.0;
        failed += done.1;
    }
    let rate = f64::from(taken) / now().duration_since(start).as_secs_f64();
    Ok((rate, failed))
}

#[expect(clippy::disallowed_methods, reason = "this program measures time")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::print_stdout, reason = "this program's answer")]
fn say(line: &str) {
    println!("{line}");
}
