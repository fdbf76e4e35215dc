//! The release scanner: finds versions in registries by polling and by webhook hints, fetches and hashes
//! them, has them scanned in the worker, and records what was found. It decides nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use lumos_domain::{
    actor::{Caller, OwnAgent},
    command::Command,
    event::{AcquisitionFailed, CandidateDetected, Event, EvidenceRecorded},
    facts::{Binding, Claim, Source},
    id::{Digest, ModelName, RegistryName, ReleaseId},
    release::{DetectCandidate, IdentifyRelease, OWN_KINDS, is_kind},
    stream::Stream,
    world::World,
};
use lumos_engine::{
    Door, DoorError, LedgerEntry, Request,
    ports::{
        FoundEvidence, FoundVersion, Hint, PortError, Registry, RegistryError, ScanError, Scanned,
        Scanner,
    },
    runtime::{Hand, HandleError, Subscriber, stopped},
    secret::Sealer,
    views,
};
use tokio::sync::{mpsc, watch};

/// The agent, with the registries it watches.
pub struct ReleaseScanner {
    registries: BTreeMap<RegistryName, Arc<dyn Registry>>,
    scanner: Arc<dyn Scanner>,
    work: PathBuf,
}

impl ReleaseScanner {
    /// A scanner of `registries` that fetches into folders below `work`.
    #[must_use]
    pub fn new(
        registries: BTreeMap<RegistryName, Arc<dyn Registry>>,
        scanner: Arc<dyn Scanner>,
        work: PathBuf,
    ) -> Self {
        Self {
            registries,
            scanner,
            work,
        }
    }

    /// Polls every registry each `every`, and looks where hints point, until `stop` turns true. A registry or a
    /// store that fails is logged and asked again later.
    pub async fn watch(
        &self,
        door: &Door,
        every: Duration,
        mut hints: mpsc::Receiver<Hint>,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut due = tokio::time::interval(every);
        due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = due.tick() => {
                    for registry in self.registries.values() {
                        unless_failed(self.poll(door, &**registry).await);
                    }
                }
                Some(hint) = hints.recv() => unless_failed(self.look(door, &hint).await),
                () = stopped(&mut stop) => return,
            }
        }
    }

    /// Looks at every bound model of one registry.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn poll(&self, door: &Door, registry: &dyn Registry) -> Result<(), PortError> {
        for (model, binding) in first_bindings(door, registry.name()).await? {
            let known = known_versions(door, &model).await?;
            let known = |version: &str| known.contains(version);
            match registry.versions(&binding.name, &known).await {
                Ok(found) => {
                    for version in found.iter().filter(|v| !known(&v.version)) {
                        detect(door, &model, &binding, version).await?;
                    }
                }
                Err(error) => warn(registry.name(), &error),
            }
        }
        Ok(())
    }

    async fn look(&self, door: &Door, hint: &Hint) -> Result<(), PortError> {
        let Some(registry) = self.registries.get(&hint.registry) else {
            return Ok(());
        };
        let Some(version) = &hint.version else {
            return self.poll(door, &**registry).await;
        };
        for (model, binding) in first_bindings(door, &hint.registry).await? {
            if binding.name != hint.name {
                continue;
            }
            // The hint is not believed: the version is read from the registry itself.
            match registry.version(&hint.name, version).await {
                Ok(found) => detect(door, &model, &binding, &found).await?,
                Err(error) => warn(&hint.registry, &error),
            }
        }
        Ok(())
    }

    /// Fetches and scans one candidate, and records its digest and first evidence.
    async fn acquire(
        &self,
        hand: &Hand,
        release: &ReleaseId,
        source: &Source,
    ) -> Result<(), HandleError> {
        // A release is identified once. Looked at again, as after a restore, nothing of it is fetched again.
        let known = |world: &World| Ok(world.release(release)?.digest.is_some());
        if hand.door.ask(known).await.is_ok_and(|known| known) {
            return Ok(());
        }
        let Some(registry) = self.registries.get(&source.registry) else {
            let problem = format!("no registry `{}` is configured", source.registry);
            return fail(hand, release, "unknown-registry", problem).await;
        };
        let folder = tempfile::Builder::new()
            .prefix("fetch-")
            .tempdir_in(&self.work)
            .map_err(|source| PortError::new("making a folder to fetch into", source))?;
        match registry
            .fetch(&source.name, &source.version, folder.path())
            .await
        {
            Ok(_) => {}
            Err(error) if error.is_transient() => return Err(HandleError::transient(error)),
            Err(error) => return fail(hand, release, error.code(), error.without_detail()).await,
        }
        let scanned = match self.scanner.scan(folder.path()).await {
            Ok(scanned) => scanned,
            Err(error) if error.transient => return Err(HandleError::transient(error)),
            Err(ScanError { code, problem, .. }) => {
                return fail(hand, release, &code, problem).await;
            }
        };
        let registered = match registry.evidence(&source.name, &source.version).await {
            Ok(evidence) => evidence,
            Err(error) if error.is_transient() => return Err(HandleError::transient(error)),
            Err(error) => {
                warn(&source.registry, &error);
                Vec::new()
            }
        };
        identify(hand, release, scanned, registered).await
    }
}

/// What could not be looked at because the store failed is found at a later poll.
fn unless_failed(looked: Result<(), PortError>) {
    if let Err(failed) = looked {
        tracing::error!(problem = %failed, source = %failed.source, "a registry could not be looked at");
    }
}

fn warn(registry: &RegistryName, error: &RegistryError) {
    tracing::warn!(%registry, code = error.code(), problem = %error, "a registry could not be read");
}

/// The first binding of each model in a registry: the environment detected versions ask for. Further
/// environments are asked for with `lumos release promote`.
async fn first_bindings(
    door: &Door,
    registry: &RegistryName,
) -> Result<Vec<(ModelName, Binding)>, PortError> {
    let all = views::models::bindings(&*door.ports().store, registry.as_str()).await?;
    let mut seen = BTreeSet::new();
    Ok(all
        .into_iter()
        .filter(|(model, b)| seen.insert((model.clone(), b.name.clone())))
        .collect())
}

async fn known_versions(door: &Door, model: &ModelName) -> Result<BTreeSet<String>, PortError> {
    let versions = views::releases::versions(&*door.ports().store, model.as_str()).await?;
    Ok(versions.into_iter().collect())
}

/// Submits what was found as a candidate. The command id is the version's own: found twice, detected once.
async fn detect(
    door: &Door,
    model: &ModelName,
    binding: &Binding,
    found: &FoundVersion,
) -> Result<(), PortError> {
    let Ok(version) = found.version.parse() else {
        tracing::warn!(registry = %binding.registry, version = found.version, "a version has no usable name");
        return Ok(());
    };
    let mut sealer = Sealer::new(&*door.ports().entropy);
    // Without a stated author there is still one, unknown: nothing unclaimed is approved.
    let unknown = [String::from("unknown author")];
    let authors = if found.authors.is_empty() {
        &unknown[..]
    } else {
        &found.authors
    };
    let claims = (1..).zip(authors.iter().take(32));
    let claims = claims
        .map(|(number, author)| Claim {
            number,
            identity: sealer.seal(author),
        })
        .collect();
    let command = Command::DetectCandidate(DetectCandidate {
        release: ReleaseId {
            model: model.clone(),
            version,
        },
        facts: CandidateDetected {
            source: Source {
                registry: binding.registry.clone(),
                name: found.name.clone(),
                version: found.version.clone(),
            },
            environment: binding.environment.clone(),
            agents: binding.agents.clone(),
            submitter: None,
            claims,
            declared: found.declared.as_deref().and_then(|kind| kind.parse().ok()),
            test: false,
        },
    });
    let place = format!(
        "{}/{}/{}/{model}",
        binding.registry, found.name, found.version
    );
    let id = format!(
        "release-scanner.detect.{}",
        Digest::of(place.as_bytes()).hex()
    );
    let mut request = Request::new(
        Caller::agent(OwnAgent::ReleaseScanner),
        id.parse()
            .map_err(|source| PortError::new("naming a command", source))?,
        command,
    );
    request.sealed = sealer.into_values();
    match door.submit(request).await {
        Ok(_) => Ok(()),
        Err(DoorError::Store(failed)) => Err(failed),
        Err(error) => {
            tracing::warn!(%place, code = error.code(), problem = %error, "a found version was not taken");
            Ok(())
        }
    }
}

async fn fail(
    hand: &Hand,
    release: &ReleaseId,
    code: &str,
    problem: String,
) -> Result<(), HandleError> {
    let failure = AcquisitionFailed {
        code: code.to_owned(),
        problem: problem.chars().take(1_000).collect(),
    };
    let command = Command::RecordAcquisitionFailure {
        release: release.clone(),
        failure,
    };
    hand.submit("failed", command).await?;
    Ok(())
}

/// The most bytes of one claim that is not LUMOS's own.
const CLAIM_BYTES_MAX: usize = 1 << 20;

/// Whether a claim that came with a version may be recorded: of a kind that is not LUMOS's own to make, an
/// object, and of a size that policy can read.
fn is_foreign(found: &FoundEvidence) -> bool {
    let usable = is_kind(&found.kind)
        && !OWN_KINDS.contains(&found.kind.as_str())
        && found.claim.is_object()
        && found.claim.to_string().len() <= CLAIM_BYTES_MAX;
    if !usable {
        tracing::warn!(
            kind = found.kind,
            "a claim beside a version is not taken as evidence"
        );
    }
    usable
}

/// Stores manifest and claims as blobs, then submits their digests.
async fn identify(
    hand: &Hand,
    release: &ReleaseId,
    scanned: Scanned,
    registered: Vec<FoundEvidence>,
) -> Result<(), HandleError> {
    let blobs = &hand.door.ports().blobs;
    let manifest = scanned
        .manifest
        .to_canonical()
        .map_err(HandleError::fatal)?;
    let digest = blobs.put(manifest).await?;
    let formats = FoundEvidence {
        kind: "formats".to_owned(),
        producer: OwnAgent::ReleaseScanner.as_str().to_owned(),
        claim: scanned
            .formats
            .into_iter()
            .collect::<BTreeMap<_, _>>()
            .into_iter()
            .map(|(path, format)| (path, format.into()))
            .collect::<serde_json::Map<_, _>>()
            .into(),
    };
    let mut evidence = Vec::new();
    for found in scanned
        .evidence
        .into_iter()
        .chain([formats])
        .chain(registered.into_iter().filter(is_foreign))
    {
        let bytes = serde_json::to_vec(&found.claim).map_err(HandleError::fatal)?;
        let digest = blobs.put(bytes).await?;
        evidence.push(EvidenceRecorded {
            kind: found.kind,
            producer: found.producer,
            digest,
            sandbox: false,
        });
    }
    let command = Command::IdentifyRelease(IdentifyRelease {
        release: release.clone(),
        digest,
        evidence,
    });
    hand.submit("identify", command).await?;
    Ok(())
}

#[async_trait]
impl Subscriber for ReleaseScanner {
    fn agent(&self) -> OwnAgent {
        OwnAgent::ReleaseScanner
    }

    fn wants(&self, event: &Event) -> bool {
        matches!(event, Event::CandidateDetected(_))
    }

    async fn handle(&self, hand: &Hand, entry: &LedgerEntry) -> Result<(), HandleError> {
        match (&entry.stream, &entry.event) {
            (Stream::Release(release), Event::CandidateDetected(detected)) => {
                match self.acquire(hand, release, &detected.source).await {
                    // It was withdrawn meanwhile: there is nothing left to do.
                    Err(HandleError {
                        retry: false,
                        problem,
                        ..
                    }) if problem.contains("withdrawn") => Ok(()),
                    other => other,
                }
            }
            _ => Ok(()),
        }
    }
}
