//! One LUMOS, from its start on what lies on the disk to its end: wired as `lumos serve` wires it, and driven by
//! turns instead of tasks.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use anyhow::{Context as _, Result, ensure};
use async_trait::async_trait;
use futures::future::join_all;
use lumos_agents::{ApprovalOrchestrator, ComplianceChecker, ReleaseScanner};
use lumos_connect::registries::{Directory, DirectorySettings};
use lumos_domain::{
    actor::{Actor, Caller},
    command::Command,
    id::Digest,
    keys::AddKey,
    words::KeyPlace,
};
use lumos_engine::{
    Door, Request,
    keyring::{KeyRing, Places},
    notary::{Notary, Turn},
    ports::{
        FoundEvidence, KeyStore, PortError, Ports, Registry, ScanError, Scanned, Scanner, Signer,
    },
    runtime::{self, Follow, Follower},
    secret,
};
use lumos_evidence::scan::{Inspection, Limits};
use lumos_ledger::{NoteSigner, VerifierKey};
use lumos_store::FileAnchor;

use crate::{
    fault::{FaultyAnchor, FaultyBlobs, FaultyStore},
    house,
    registry::FaultyRegistry,
    world::Outside,
};

/// Jobs that an agent works off at the same time.
const AT_ONCE: usize = 4;

/// The key that signs Acme's ledger.
pub(crate) struct Key(NoteSigner);

impl Key {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self(NoteSigner::from_seed(house::ORIGIN, &[7; 32])?))
    }

    pub(crate) fn verifier_key(&self) -> &VerifierKey {
        self.0.verifier_key()
    }
}

#[async_trait]
impl Signer for Key {
    fn public(&self) -> &[u8; 32] {
        self.0.verifier_key().public()
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, PortError> {
        Ok(self.0.signature(message).to_vec())
    }
}

/// Where Acme keeps it. It has no other.
struct Drawer;

#[async_trait]
impl KeyStore for Drawer {
    async fn open(&self, _name: &str) -> Result<Option<Arc<dyn Signer>>, PortError> {
        let key = Key::new().map_err(|error| PortError::new("opening the key", error))?;
        Ok(Some(Arc::new(key)))
    }

    async fn create(&self, name: &str) -> Result<Arc<dyn Signer>, PortError> {
        Err(PortError::new(
            format!("making key `{name}`"),
            "the drawer holds one",
        ))
    }
}

/// The worker's inspection, in this process: nothing in a world is hostile.
struct Inspector;

#[async_trait]
impl Scanner for Inspector {
    async fn scan(&self, tree: &Path) -> Result<Scanned, ScanError> {
        let inspected =
            lumos_worker::tree::inspect(tree, Limits::default(), Vec::new(), &mut |_| {});
        let refused = |code: &str, problem: String| ScanError {
            code: code.to_owned(),
            problem,
            transient: false,
        };
        let inspection = inspected.map_err(|error| refused(error.code(), error.to_string()))?;
        scanned(inspection).map_err(|error| refused("bad-answer", error.to_string()))
    }
}

fn scanned(inspection: Inspection) -> serde_json::Result<Scanned> {
    let claims = [
        (
            "artifact_scan",
            Some(serde_json::to_value(&inspection.scan)?),
        ),
        (
            "model_card",
            inspection
                .card
                .as_ref()
                .map(serde_json::to_value)
                .transpose()?,
        ),
        (
            "licence",
            inspection
                .licence
                .as_ref()
                .map(serde_json::to_value)
                .transpose()?,
        ),
    ];
    let evidence = claims.into_iter().filter_map(|(kind, claim)| {
        Some(FoundEvidence {
            kind: kind.to_owned(),
            producer: "release-scanner".to_owned(),
            claim: claim?,
        })
    });
    let formats = inspection
        .formats
        .iter()
        .map(|(path, format)| (path.clone(), format.as_str().to_owned()));
    Ok(Scanned {
        formats: formats.collect(),
        evidence: evidence.collect(),
        manifest: inspection.manifest,
    })
}

/// A LUMOS that runs.
pub(crate) struct Process {
    pub(crate) door: Door,
    pub(crate) notary: Notary,
    pub(crate) followers: Vec<Follower>,
    scanner: Arc<ReleaseScanner>,
    registry: Arc<dyn Registry>,
}

impl Process {
    /// Starts on what lies in the world's folder, as `holder`, a name that no process before it had.
    pub(crate) async fn start(outside: Outside, holder: String) -> Result<Self> {
        let data = outside.data();
        let plan = || Arc::clone(&outside.plan);
        let opened = plan().wait(outside.ground.open(&data)).await?;
        ensure!(
            !plan().read(opened.needs_rebuild()).await?,
            "nothing rebuilt anything, yet a rebuild is unfinished"
        );
        let ports = Ports {
            store: Arc::new(FaultyStore::new(opened.store(), plan())),
            blobs: Arc::new(FaultyBlobs::new(opened.blobs(&data)?, plan())),
            clock: Arc::clone(&outside.clock) as _,
            entropy: Arc::clone(&outside.entropy) as _,
            key: house::key(),
        };
        let size = ports.store.frontier().await?.size();
        let anchor = FaultyAnchor::new(FileAnchor::beside(&data)?, plan());
        let (store, clock) = (Arc::clone(&ports.store), Arc::clone(&ports.clock));
        let drawer: Arc<dyn KeyStore> = Arc::new(Drawer);
        let places = Places {
            stores: [(KeyPlace::File, drawer)].into(),
            new: KeyPlace::File,
        };
        let ring = KeyRing::open(Arc::clone(&store), clock, places, house::ORIGIN).await?;
        let ring = Arc::new(ring);
        let first = ring.first().clone();
        // Whose turn it is to sign, where others could.
        let turn = if store.is_shared() {
            Some(Turn::new(Arc::clone(&store), Arc::clone(&ports.clock), holder).await?)
        } else {
            None
        };
        let notary = Notary::start(store, Arc::new(anchor), ring, house::ORIGIN, turn).await?;
        let door = Door::open(ports, house::ORIGIN).await?;
        if size == 0 {
            house::found(&door).await?;
        }
        record_start(&door, first).await?;
        let settings = DirectorySettings {
            name: house::registry()?,
            root: outside.models(),
            settle_s: 10,
            max_bytes: 1 << 20,
        };
        let registry = Directory::new(&settings, Arc::clone(&outside.clock) as _);
        let moves = Arc::clone(&outside.moves);
        let registry: Arc<dyn Registry> = Arc::new(FaultyRegistry::new(registry, plan(), moves));
        let registries = BTreeMap::from([(settings.name, Arc::clone(&registry))]);
        let work = tempfile::tempdir_in(outside.folder())?.keep();
        let scanner = ReleaseScanner::new(registries.clone(), Arc::new(Inspector), work);
        let scanner = Arc::new(scanner);
        let agents: [Arc<dyn Follow>; 3] = [
            Arc::clone(&scanner) as _,
            Arc::new(ComplianceChecker::default()),
            Arc::new(ApprovalOrchestrator::new(registries)),
        ];
        let follow = |agent| Follower::new(door.clone(), agent);
        Ok(Self {
            followers: agents.into_iter().map(follow).collect(),
            door,
            notary,
            scanner,
            registry,
        })
    }

    /// One turn of an agent; `fresh` when it begins, or begins again after a failure.
    pub(crate) async fn follow(&self, agent: usize, fresh: bool) -> Result<()> {
        let follower = &self.followers[agent];
        if fresh && !self.door.ports().store.is_shared() {
            follower.take_over().await?;
        }
        let due = follower.due(AT_ONCE).await?;
        let worked = join_all(due.iter().map(|taken| follower.work(*taken))).await;
        let worked: Result<(), PortError> = worked.into_iter().collect();
        if worked.is_err() {
            for taken in due {
                follower.give_back(taken).await;
            }
        }
        Ok(worked?)
    }

    /// One poll of the registry.
    pub(crate) async fn poll(&self) -> Result<()> {
        Ok(self.scanner.poll(&self.door, &*self.registry).await?)
    }

    /// One look at the timers.
    pub(crate) async fn fire(&self) -> Result<()> {
        Ok(runtime::fire_due(&self.door).await?)
    }
}

async fn record_start(door: &Door, first: AddKey) -> Result<()> {
    let command = Command::RecordStart {
        settings: Digest::of(b"settings"),
        software: "lumos/sim".to_owned(),
    };
    let id = secret::command_id(&*door.ports().entropy)?;
    let mut request = Request::new(Caller::new(Actor::Clock), id, command);
    request.commands.push(Command::AdoptKey(first));
    door.submit(request).await.context("recording the start")?;
    Ok(())
}
