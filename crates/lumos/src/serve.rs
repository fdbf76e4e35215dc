//! Wiring: the store, the keys, the anchor, the agents and the web become one running server.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use jiff::SignedDuration;
use lumos_agents::{ApprovalOrchestrator, ComplianceChecker, ReleaseScanner};
use lumos_domain::{
    actor::{Actor, Caller},
    command::Command,
    id::RegistryName,
};
use lumos_enforce::dsse::StatementSigner;
use lumos_engine::{
    Door, Request, clock,
    keyring::{KeyRing, Servers},
    notary::Notary,
    ports::{Clock, Entropy as _, Hint, Ports, Registry},
    proofs::Hashes,
    runtime, secret, views,
};
use lumos_http::{Client, Egress};
use lumos_store::Opened;
use lumos_web::{
    app::{App, Inner},
    auth::Gatekeeper,
    decisions::Decisions,
    staging::{Limits, Staging},
    streams::Streams,
    sweep,
};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::JoinSet,
};

use crate::{
    edge::{OsEntropy, SystemClock, Uploads, WorkerScanner, clock_source, steady},
    keys::{self, Keys},
    same_keys,
    settings::{Loaded, Settings},
    storage::Storage,
    vouchers::{Vouchers, Witnesses},
    webhooks,
};

mod founding;

/// How long answers that were begun may go on once the server is to stop.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

/// How long the whole server may take to stop, whatever does not answer it.
const STOPPED_WITHIN: Duration = Duration::from_secs(15);

/// What a version of LUMOS calls itself in the ledger.
pub(crate) const SOFTWARE: &str = concat!("lumos/", env!("CARGO_PKG_VERSION"));

/// A running server.
pub(crate) struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// The application, for those in the same process.
    pub app: App,
    /// First passwords made at the founding, by login; shown once.
    pub first_passwords: BTreeMap<String, String>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<Result<()>>,
    /// Held until everything that runs on it has ended.
    _storage: Storage,
}

impl Running {
    /// Waits until a part of the server ends by itself, which is a failure, or `asked` completes.
    ///
    /// # Errors
    /// Why a part ended.
    pub(crate) async fn until(mut self, asked: impl Future<Output = ()>) -> Result<()> {
        tokio::select! {
            ended = self.tasks.join_next() => if let Some(ended) = ended { ended.context("a part of the server broke")?? },
            () = asked => {}
        }
        self.stop().await
    }

    /// Stops everything in order and waits for it.
    ///
    /// # Errors
    /// Why a part ended badly.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.stop.send_replace(true);
        let tasks = &mut self.tasks;
        let all = async {
            while let Some(ended) = tasks.join_next().await {
                ended.context("a part of the server broke")??;
            }
            Ok(())
        };
        if let Ok(ended) = tokio::time::timeout(STOPPED_WITHIN, all).await {
            return ended;
        }
        // A database that answers nobody must not keep the process either. What is cut off here is what a kill cuts off.
        tracing::warn!("a part of the server did not end in time and is cut off");
        self.tasks.abort_all();
        Ok(())
    }
}

/// How to found an empty ledger, beyond the settings: for the demo, which gives everybody a password.
#[derive(Default)]
pub(crate) struct Extras {
    /// Whether everybody gets a first password, not only the founders.
    pub passwords_for_all: bool,
    /// Polls more often than the settings can say.
    pub poll: Option<Duration>,
    /// The ids of keys that are lost for good: nothing but the way to another key is possible.
    pub keys_lost: Vec<String>,
}

/// Starts a server.
///
/// # Errors
/// When anything it stands on refuses: the data directory, the keys, the anchor, the address.
pub(crate) async fn start(loaded: &Loaded, extras: Extras) -> Result<Running> {
    let settings = &loaded.settings;
    // What can fail for a wrong setting comes before the founding, which happens once.
    let witnesses = Witnesses::of(settings)?;
    let http = client(settings, &witnesses)?;
    let registries = registries(loaded, &http)?;
    let listener = TcpListener::bind(settings.listen)
        .await
        .with_context(|| format!("listening on {}", settings.listen))?;
    let address = listener.local_addr()?;
    let base = Base::open(loaded, &extras, &http).await?;
    write_address(&settings.data, address)?;

    let (stop, stopped) = watch::channel(false);
    let (hints, hinted) = mpsc::channel(1_024);
    let mut salt = [0; 16];
    OsEntropy.fill(&mut salt);
    let proofs = Hashes::default();
    let beside = (base.door.ports(), proofs.clone());
    let vouchers = Vouchers::start(witnesses, settings, &http, beside, &base.notary).await?;
    let app = App(Arc::new(Inner {
        door: base.door.clone(),
        published: base.notary.published(),
        cosigned: vouchers.cosigned(),
        stamps: vouchers.stamps(),
        keys: Arc::clone(base.notary.keys()),
        trouble: base.notary.trouble(),
        decisions: Decisions::new(base.door.clone(), &settings.origin, base.statements),
        gatekeeper: Gatekeeper::new(salt).map_err(|problem| anyhow::anyhow!(problem.detail))?,
        registries: registries.clone(),
        readings: lumos_web::readings::Readings::default(),
        packs: lumos_web::pack::turns::Turns::default(),
        proofs,
        hints,
        uploads: staging(settings)?,
        decisions_kept: days(settings.decisions_kept_days),
        origin: settings.origin.clone(),
        proxies: settings.proxies.clone(),
        streams: Streams::default(),
        stop: stopped.clone(),
    }));
    let outside = webhooks::followers(settings, &http, &base.notary.published())?;
    let work = settings.data.join("work");
    clear(&work)?;
    let scanner = Arc::new(WorkerScanner::new(Duration::from_secs(
        settings.scan_timeout_s,
    ))?);
    let parts = Parts {
        door: base.door,
        notary: base.notary,
        scanner: Arc::new(ReleaseScanner::new(registries.clone(), scanner, work)),
        orchestrator: Arc::new(ApprovalOrchestrator::new(registries)),
        outside,
        poll: extras
            .poll
            .unwrap_or(Duration::from_secs(settings.poll_s.max(1))),
    };
    let mut tasks = parts.run(hinted, &stopped);
    vouchers.run(&stopped, &mut tasks);
    open_site(listener, &app, &stopped, &mut tasks);
    Ok(Running {
        address,
        app,
        first_passwords: base.first_passwords,
        stop,
        tasks,
        _storage: base.storage,
    })
}

/// Serves the site on `listener`, and sweeps up behind it.
fn open_site(
    listener: TcpListener,
    app: &App,
    stopped: &watch::Receiver<bool>,
    tasks: &mut JoinSet<Result<()>>,
) {
    let (sweeping, stopping) = (app.clone(), stopped.clone());
    tasks.spawn(async move {
        sweep::run(sweeping, stopping).await;
        Ok(())
    });
    let (router, mut stopping) = (lumos_web::routes::router(app.clone()), stopped.clone());
    tasks.spawn(async move {
        let router = router.into_make_service_with_connect_info::<SocketAddr>();
        let mut asked = stopping.clone();
        let serving = axum::serve(listener, router)
            .with_graceful_shutdown(async move { runtime::stopped(&mut stopping).await });
        // A reader who takes nothing any more would keep its connection, and the server, for ever.
        tokio::select! {
            served = serving => Ok(served?),
            () = async {
                runtime::stopped(&mut asked).await;
                tokio::time::sleep(ANSWERED_WITHIN).await;
            } => Ok(()),
        }
    });
}

/// What everything else stands on: the ledger, opened, checked against its anchor, and founded.
struct Base {
    door: Door,
    notary: Notary,
    statements: StatementSigner,
    first_passwords: BTreeMap<String, String>,
    storage: Storage,
}

impl Base {
    async fn open(loaded: &Loaded, extras: &Extras, http: &Client) -> Result<Self> {
        let (data, origin) = (&own_folder(&loaded.settings.data)?, &loaded.settings.origin);
        let storage = Storage::open(&loaded.settings, data, http).await?;
        let store = storage.opened().store();
        let size = store.frontier().await?.size();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let places = keys::places(&loaded.settings.keys, data, http, Arc::clone(&clock))?;
        let of = Arc::clone(&store);
        let ring = KeyRing::open(of, Arc::clone(&clock), places, origin).await?;
        let servers = Servers {
            this: secret::secret(&OsEntropy),
            count: storage.replicas(),
        };
        let ring = Arc::new(ring.without(&extras.keys_lost).await?.among(servers));
        // With the ledger's key the one for snapshots is often lost too. It vouches for a minute, and can be another one.
        let lost = !extras.keys_lost.is_empty();
        let keys = Keys::open(data, &OsEntropy, size == 0 || lost)?;
        let ports = Ports {
            store: Arc::clone(&store),
            blobs: storage.blobs(data)?,
            clock,
            entropy: Arc::new(OsEntropy),
            key: Arc::new(keys.server),
        };
        let (anchor, turn) = storage.anchor(data).await?;
        // Before anything is written: nothing starts behind or against what was signed.
        let of = Arc::clone(&store);
        let notary = Notary::start(of, anchor, Arc::clone(&ring), origin, turn).await?;
        let same = same_keys::check(&*store, &ports.key, &keys.statements, storage.replicas());
        same.await?;
        let found_by = views::lookups::are_made_with(&*store, &ports.key).await?;
        storage
            .opened()
            .is_read_by(&views::lookups::made_by(&ports.key));
        let restored = storage.opened().was_restored().await?;
        if restored {
            runtime::begin_anew(&*store).await?;
        }
        if storage.opened().needs_rebuild().await? || !found_by {
            rebuild(storage.opened(), &ports).await?;
        }
        let mut door = Door::open(ports, origin).await?;
        if lost {
            door = door.for_keys_only();
        }
        let first_passwords = if size == 0 {
            founding::found(&door, loaded, extras).await?
        } else {
            BTreeMap::new()
        };
        let told = clock::told(&*store).await?;
        record_start(&door, loaded, &ring, restored.then_some(size)).await?;
        if door.unknown_kind().is_none() {
            let source = clock_source(loaded.settings.clock.as_deref());
            clock::begin(&door, told, source).await?;
            if restored {
                storage.opened().forget_restore().await?;
            }
        }
        Ok(Self {
            door,
            notary,
            statements: keys.statements,
            first_passwords,
            storage,
        })
    }
}

/// The data directory, made for its owner only, by its real path: the anchor lies beside what it really is.
pub(crate) fn own_folder(data: &Path) -> Result<PathBuf> {
    use std::os::unix::fs::DirBuilderExt as _;
    let made = || -> std::io::Result<PathBuf> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(data)?;
        std::fs::canonicalize(data)
    };
    made().with_context(|| format!("making data directory `{}`", data.display()))
}

/// What runs beside the web.
struct Parts {
    door: Door,
    notary: Notary,
    scanner: Arc<ReleaseScanner>,
    orchestrator: Arc<ApprovalOrchestrator>,
    outside: Vec<Arc<dyn runtime::Follow>>,
    poll: Duration,
}

impl Parts {
    /// Starts the notary, the agents and the watch on registries; each stops when told.
    fn run(
        self,
        hinted: mpsc::Receiver<Hint>,
        stopped: &watch::Receiver<bool>,
    ) -> JoinSet<Result<()>> {
        let Self {
            door,
            notary,
            scanner,
            orchestrator,
            outside,
            poll,
        } = self;
        let mut agents: Vec<Arc<dyn runtime::Follow>> = vec![
            Arc::clone(&scanner) as _,
            Arc::new(ComplianceChecker::default()),
            orchestrator,
        ];
        agents.extend(outside);
        let mut tasks = JoinSet::new();
        let (ring, stopping) = (Arc::clone(notary.keys()), stopped.clone());
        tasks.spawn(async move {
            ring.say_what_it_reaches(stopping).await;
            Ok(())
        });
        let stopping = stopped.clone();
        tasks.spawn(async move { Ok(notary.run(stopping).await?) });
        if door.is_for_keys_only() {
            return tasks;
        }
        let (door_of_agents, stopping) = (door.clone(), stopped.clone());
        tasks.spawn(async move { Ok(runtime::run(door_of_agents, agents, stopping).await?) });
        let (door_of_clock, stopping) = (door.clone(), stopped.clone());
        tasks.spawn(async move {
            clock::run(door_of_clock, steady(), clock::PACE, stopping).await;
            Ok(())
        });
        let stopping = stopped.clone();
        tasks.spawn(async move {
            scanner.watch(&door, poll, hinted, stopping).await;
            Ok(())
        });
        tasks
    }
}

/// The outgoing client, which reaches what the settings name and nothing else.
fn client(settings: &Settings, witnesses: &Witnesses) -> Result<Client> {
    let registries = settings.registries.iter().filter_map(|r| r.address());
    let authority = settings.timestamps.as_ref().map(|one| one.url.as_str());
    let objects = settings.objects.as_ref().map(|one| one.url.as_str());
    let kms = settings.keys.kms.as_ref().map(|kms| kms.url.as_str());
    let named = registries.chain(witnesses.addresses()).chain(authority);
    let kept = objects.into_iter().chain(kms);
    let addresses = named.chain(kept).chain(webhooks::addresses(settings));
    Ok(Client::new(&Egress {
        hosts: addresses.map(str::to_owned).collect(),
        ..Egress::default()
    })?)
}

/// Where uploads wait, with the bounds of the settings.
fn staging(settings: &Settings) -> Result<Staging> {
    let limits = Limits {
        bytes_max: settings.uploads_bytes_max,
        bytes_max_per_caller: settings.uploads_bytes_max_per_caller,
        kept: SignedDuration::from_hours(i64::from(settings.uploads_kept_hours)),
        open: settings.uploads_are_seen_by_all(),
    };
    Staging::open(settings.uploads(), limits).context("looking at the uploads")
}

fn days(days: u32) -> SignedDuration {
    SignedDuration::from_hours(i64::from(days) * 24)
}

/// Leaves what a client in the same data directory needs to find this server: its address, nothing more.
fn write_address(data: &Path, address: SocketAddr) -> Result<()> {
    let text = serde_json::json!({ "server": format!("http://{address}") }).to_string();
    std::fs::write(data.join("server.json"), text).context("writing the server's address")
}

/// Empties a working folder: what a process that died left there is of no use.
fn clear(work: &Path) -> Result<()> {
    if work.exists() {
        std::fs::remove_dir_all(work).with_context(|| format!("emptying `{}`", work.display()))?;
    }
    std::fs::create_dir_all(work).with_context(|| format!("making `{}`", work.display()))
}

fn registries(loaded: &Loaded, http: &Client) -> Result<BTreeMap<RegistryName, Arc<dyn Registry>>> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mut all: BTreeMap<RegistryName, Arc<dyn Registry>> = BTreeMap::new();
    let upload: RegistryName = lumos_domain::release::UPLOAD.parse()?;
    let uploads = Uploads::new(upload.clone(), loaded.settings.uploads());
    all.insert(upload, Arc::new(uploads));
    for settings in &loaded.settings.registries {
        let registry = lumos_connect::build(settings, http, Arc::clone(&clock))?;
        if all.insert(settings.name().clone(), registry).is_some() {
            bail!("registry `{}` is configured twice", settings.name());
        }
    }
    Ok(all)
}

async fn record_start(
    door: &Door,
    loaded: &Loaded,
    ring: &KeyRing,
    reread: Option<u64>,
) -> Result<()> {
    if let Some(kind) = door.unknown_kind() {
        tracing::error!(
            kind,
            "the ledger holds an event type this version does not know: read-only"
        );
        return Ok(());
    }
    let command = Command::RecordStart {
        settings: loaded.digest,
        software: SOFTWARE.to_owned(),
    };
    let id = secret::command_id(&*door.ports().entropy)?;
    let mut request = Request::new(Caller::new(Actor::Clock), id, command);
    // Which key the ledger was begun with; nothing where it is known.
    let first = ring.first().clone();
    request.commands.push(Command::AdoptKey(first));
    let reread = reread.map(|size| Command::RecordReread { size });
    request.commands.extend(reread);
    door.submit(request).await?;
    Ok(())
}

/// Makes the decision projections anew from the ledger, sealed values and blobs. Cut short, it is done again at the
/// next start: which key they were made with is noted last.
async fn rebuild(opened: &Opened, ports: &Ports) -> Result<()> {
    let store = &*ports.store;
    if store.frontier().await?.size() > 0 {
        tracing::warn!("the decision projections are made anew from the ledger");
    }
    let facts = views::facts(ports).await?;
    views::lookups::forget(store).await?;
    let made_by = views::lookups::made_by(&ports.key);
    opened
        .rebuild(views::TABLES, &made_by, |entry| {
            views::meaning(entry, &facts)
        })
        .await?;
    Ok(views::lookups::note(store, &ports.key).await?)
}
