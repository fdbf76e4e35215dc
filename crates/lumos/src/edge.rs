//! The system's clock and randomness, the worker as the scanner port, uploads as a registry.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use lumos_domain::id::RegistryName;
use lumos_engine::ports::{
    Clock, Delivery, Entropy, FoundEvidence, FoundModel, FoundVersion, InboundError, Registry,
    RegistryError, ScanError, Scanned, Scanner,
};
use lumos_evidence::scan::Inspection;
use lumos_worker::{Worker, WorkerError};

/// Where Linux says what it counts time with.
const KERNEL_CLOCK: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";

/// The system's clock.
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the edge where time comes in"
    )]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// The time that has gone by since now, by a clock that nobody can set.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the edge where time comes in"
)]
pub(crate) fn steady() -> impl Fn() -> Duration + Send {
    let begin = std::time::Instant::now();
    move || begin.elapsed()
}

/// What keeps the clock: as the settings say, and what the kernel counts with.
pub(crate) fn clock_source(stated: Option<&str>) -> String {
    let stated = stated.unwrap_or("nobody said what keeps the clock");
    let kernel = std::fs::read_to_string(KERNEL_CLOCK);
    let kernel = kernel.as_deref().map_or("unknown", str::trim);
    format!("{stated}; kernel clock {kernel}")
}

/// The operating system's randomness.
pub(crate) struct OsEntropy;

impl Entropy for OsEntropy {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the edge where randomness comes in"
    )]
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("because without randomness no secret may be made");
    }
}

/// Scans in a worker: this same binary run again, confined.
pub(crate) struct WorkerScanner {
    worker: Worker,
    deadline: Duration,
}

impl WorkerScanner {
    /// A scanner that gives each worker `deadline`.
    ///
    /// # Errors
    /// When the path of this binary is unknown.
    pub(crate) fn new(deadline: Duration) -> std::io::Result<Self> {
        Ok(Self {
            worker: Worker {
                exe: std::env::current_exe()?,
            },
            deadline,
        })
    }
}

#[async_trait]
impl Scanner for WorkerScanner {
    async fn scan(&self, tree: &Path) -> Result<Scanned, ScanError> {
        let (worker, deadline, tree) = (self.worker.clone(), self.deadline, tree.to_owned());
        let scanned =
            tokio::task::spawn_blocking(move || worker.scan(&tree, deadline, |_| {})).await;
        match scanned {
            Ok(Ok(inspection)) => scanned_of(inspection),
            Ok(Err(error)) => Err(failed(&error)),
            Err(panicked) => {
                let problem = panicked.to_string();
                Err(ScanError {
                    code: "worker-failed".into(),
                    problem,
                    transient: true,
                })
            }
        }
    }
}

fn failed(error: &WorkerError) -> ScanError {
    ScanError {
        code: error.code().to_owned(),
        problem: error.to_string(),
        transient: matches!(error, WorkerError::Start(_)),
    }
}

/// An inspection as the engine's port carries it.
///
/// # Errors
/// Never in practice: claims are plain data.
pub(crate) fn scanned_of(inspection: Inspection) -> Result<Scanned, ScanError> {
    let claim = |value: serde_json::Result<serde_json::Value>| {
        value.map_err(|e| ScanError {
            code: "bad-answer".into(),
            problem: e.to_string(),
            transient: false,
        })
    };
    let found = |kind: &str, claim| FoundEvidence {
        kind: kind.to_owned(),
        producer: "release-scanner".to_owned(),
        claim,
    };
    let mut evidence = vec![found(
        "artifact_scan",
        claim(serde_json::to_value(&inspection.scan))?,
    )];
    if let Some(card) = &inspection.card {
        evidence.push(found("model_card", claim(serde_json::to_value(card))?));
    }
    if let Some(licence) = &inspection.licence {
        evidence.push(found("licence", claim(serde_json::to_value(licence))?));
    }
    let formats = inspection
        .formats
        .iter()
        .map(|(path, format)| (path.clone(), format.as_str().to_owned()));
    Ok(Scanned {
        formats: formats.collect(),
        manifest: inspection.manifest,
        evidence,
    })
}

/// The most bytes of one claim that is read.
const CLAIM_BYTES_MAX: u64 = 1 << 20;

/// Files that were sent with a submission: a registry of its own, named `upload`.
pub(crate) struct Uploads {
    name: RegistryName,
    folder: PathBuf,
}

impl Uploads {
    /// The uploads staged in `folder`.
    #[must_use]
    pub(crate) fn new(name: RegistryName, folder: PathBuf) -> Self {
        Self { name, folder }
    }

    fn local(&self, problem: impl ToString) -> RegistryError {
        RegistryError::Local {
            registry: self.name.to_string(),
            problem: problem.to_string(),
        }
    }

    fn missing(&self, what: &str) -> RegistryError {
        RegistryError::NotFound {
            registry: self.name.to_string(),
            what: what.to_owned(),
        }
    }
}

#[async_trait]
impl Registry for Uploads {
    fn name(&self) -> &RegistryName {
        &self.name
    }

    async fn models(&self) -> Result<Vec<FoundModel>, RegistryError> {
        Ok(Vec::new())
    }

    async fn versions(
        &self,
        _name: &str,
        _known: &(dyn for<'a> Fn(&'a str) -> bool + Send + Sync),
    ) -> Result<Vec<FoundVersion>, RegistryError> {
        Ok(Vec::new())
    }

    async fn version(&self, name: &str, _version: &str) -> Result<FoundVersion, RegistryError> {
        Err(self.missing(name))
    }

    async fn fetch(&self, name: &str, _version: &str, into: &Path) -> Result<u64, RegistryError> {
        let (from, into) = (self.folder.join(name).join("files"), into.to_owned());
        if !from.is_dir() {
            return Err(self.missing("such upload"));
        }
        let copied = tokio::task::spawn_blocking(move || link_tree(&from, &into)).await;
        copied
            .map_err(|panicked| self.local(panicked))?
            .map_err(|error| self.local(error))
    }

    async fn evidence(
        &self,
        name: &str,
        _version: &str,
    ) -> Result<Vec<FoundEvidence>, RegistryError> {
        let folder = self.folder.join(name).join("evidence");
        let mut found = Vec::new();
        let mut files = tokio::fs::read_dir(&folder)
            .await
            .map_err(|error| self.local(error))?;
        while let Some(file) = files
            .next_entry()
            .await
            .map_err(|error| self.local(error))?
        {
            let kind = file.file_name().to_string_lossy().into_owned();
            let size = file
                .metadata()
                .await
                .map_err(|error| self.local(error))?
                .len();
            if size > CLAIM_BYTES_MAX {
                return Err(self.missing(&format!("usable evidence `{kind}`: it is over 1 MiB")));
            }
            let bytes = tokio::fs::read(file.path())
                .await
                .map_err(|error| self.local(error))?;
            let claim = serde_json::from_slice(&bytes)
                .map_err(|_| self.missing(&format!("usable evidence `{kind}`: it is not JSON")))?;
            // What only LUMOS's own scanner may say is not taken from a submitter.
            if !lumos_domain::release::OWN_KINDS.contains(&kind.as_str()) {
                found.push(FoundEvidence {
                    kind,
                    producer: "developer".to_owned(),
                    claim,
                });
            }
        }
        found.sort_by(|a, b| a.kind.cmp(&b.kind));
        Ok(found)
    }

    async fn alias(&self, _name: &str, _alias: &str) -> Result<Option<String>, RegistryError> {
        Ok(None)
    }

    async fn set_alias(
        &self,
        _name: &str,
        _alias: &str,
        _version: &str,
        _marker: &str,
    ) -> Result<(), RegistryError> {
        Err(self.missing("aliases"))
    }

    async fn missing_permissions(&self) -> Result<Vec<String>, RegistryError> {
        Ok(Vec::new())
    }

    fn receive(
        &self,
        _headers: &[(String, String)],
        _body: &[u8],
        _now: Timestamp,
    ) -> Option<Result<Delivery, InboundError>> {
        None
    }
}

/// Hard-links a tree of plain files that a server of this ledger wrote itself, or copies it where it lies on another
/// disk; returns the bytes.
fn link_tree(from: &Path, into: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = into.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            std::fs::create_dir(&target)?;
            bytes += link_tree(&entry.path(), &target)?;
        } else {
            match std::fs::hard_link(entry.path(), &target) {
                Err(error) if error.kind() == std::io::ErrorKind::CrossesDevices => {
                    std::fs::copy(entry.path(), &target)?;
                }
                linked => linked?,
            }
            bytes += entry.metadata()?.len();
        }
    }
    Ok(bytes)
}
