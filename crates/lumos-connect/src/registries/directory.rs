//! Folders on a disk as a registry: `ROOT/MODEL/VERSION/`. For those who keep models on a share, and for
//! trying LUMOS without a server.
//!
//! | file | means |
//! |---|---|
//! | `MODEL/VERSION/.complete` | the version is all there; without it, it must not change for a while |
//! | `MODEL/VERSION/.author` | who made it, one identity a line |
//! | `MODEL/VERSION/.change` | the kind of change as its developer states it |
//! | `MODEL/VERSION/.evidence/KIND.json` | a claim of the developer about it |
//! | `MODEL/.owner`, `MODEL/.description` | what the names say |
//! | `MODEL/.aliases/ALIAS` | the version it names, in one line |
//! | `MODEL/.approvals/VERSION` | the marker that LUMOS leaves before it moves an alias |
//!
//! None of these is part of the artifacts. Not here: any trust in them; they are claims.

use std::{
    collections::{HashMap, HashSet},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use async_trait::async_trait;
use cap_std::{ambient_authority, fs::Dir};
use jiff::{SignedDuration, Timestamp};
use lumos_domain::id::{RegistryName, Version};
use lumos_engine::ports::{
    Clock, Delivery, FoundEvidence, FoundModel, FoundVersion, InboundError, Registry, RegistryError,
};

use super::DirectorySettings;
use tree::{Listing, TreeError};

mod notes;
#[cfg(test)]
mod tests;
mod tree;

const ALIASES: &str = ".aliases";
const APPROVALS: &str = ".approvals";
/// Files and folders of a version that tell about it and are no artifacts.
const NOTES: [&str; 4] = [".complete", ".author", ".change", ".evidence"];

/// A connector to folders on a disk.
#[derive(Clone)]
pub struct Directory {
    shared: Arc<Shared>,
}

struct Shared {
    name: RegistryName,
    root: PathBuf,
    settle: SignedDuration,
    max_bytes: u64,
    clock: Arc<dyn Clock>,
    memory: Mutex<Memory>,
}

/// What was seen before. Forgotten at a restart, which only makes a version wait once more.
#[derive(Default)]
struct Memory {
    /// By model and version: the fingerprint of its listing, and since when it is the same.
    settling: HashMap<(String, String), (u64, Timestamp)>,
    /// Names that were warned about already.
    warned: HashSet<String>,
}

impl Directory {
    /// A connector as `settings` describe it. Reads nothing yet.
    #[must_use]
    pub fn new(settings: &DirectorySettings, clock: Arc<dyn Clock>) -> Self {
        let shared = Shared {
            name: settings.name.clone(),
            root: settings.root.clone(),
            settle: SignedDuration::from_secs(settings.settle_s.into()),
            max_bytes: settings.max_bytes,
            clock,
            memory: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Runs `work` where waiting for a disk holds up nobody.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T, RegistryError> + Send + 'static,
    ) -> Result<T, RegistryError> {
        let shared = Arc::clone(&self.shared);
        let registry = shared.name.to_string();
        let done = tokio::task::spawn_blocking(move || work(&shared)).await;
        done.unwrap_or_else(|error| {
            let problem = error.to_string();
            Err(RegistryError::Broken { registry, problem })
        })
    }
}

/// A version that is there, complete or not.
struct Candidate {
    name: String,
    folder: Dir,
}

impl Shared {
    fn broken(&self, problem: impl Into<String>) -> RegistryError {
        RegistryError::Broken {
            registry: self.name.to_string(),
            problem: problem.into(),
        }
    }

    fn not_found(&self, what: impl Into<String>) -> RegistryError {
        RegistryError::NotFound {
            registry: self.name.to_string(),
            what: what.into(),
        }
    }

    /// What it means that `what` could not be read or written.
    fn io(&self, what: &str, error: &io::Error) -> RegistryError {
        let registry = self.name.to_string();
        let problem = format!("{what}: {error}");
        match error.kind() {
            io::ErrorKind::NotFound => self.not_found(what),
            io::ErrorKind::PermissionDenied => RegistryError::Refused { registry, problem },
            _ => RegistryError::Broken { registry, problem },
        }
    }

    fn tree(&self, what: &str, error: TreeError) -> RegistryError {
        let registry = self.name.to_string();
        match error {
            TreeError::Read(error) => self.io(what, &error),
            TreeError::Write(error) => RegistryError::Local {
                registry,
                problem: error.to_string(),
            },
            TreeError::Unfit(problem) => self.broken(format!("{what}: {problem}")),
        }
    }

    fn open_root(&self) -> Result<Dir, RegistryError> {
        let opened = Dir::open_ambient_dir(&self.root, ambient_authority());
        opened.map_err(|error| RegistryError::Unreachable {
            registry: self.name.to_string(),
            problem: format!("folder `{}`: {error}", self.root.display()),
        })
    }

    /// The folder `name` in `parent`, which must have a safe name and be no link.
    fn open(&self, parent: &Dir, name: &str, what: &str) -> Result<Dir, RegistryError> {
        let shown = || {
            let name: String = name.chars().take(128).collect();
            format!("{what} `{}`", name.escape_debug())
        };
        if !is_safe(name) || !parent.symlink_metadata(name).is_ok_and(|it| it.is_dir()) {
            return Err(self.not_found(shown()));
        }
        parent
            .open_dir(name)
            .map_err(|error| self.io(&shown(), &error))
    }

    fn open_model(&self, name: &str) -> Result<Dir, RegistryError> {
        self.open(&self.open_root()?, name, "model")
    }

    fn open_version(&self, name: &str, version: &str) -> Result<Dir, RegistryError> {
        self.open(&self.open_model(name)?, version, "version")
    }

    /// The folders in `parent` with safe names; others are warned about once.
    fn folders(&self, parent: &Dir, inside: &str) -> Result<Vec<String>, RegistryError> {
        let problem = |error: &io::Error| self.io(inside, error);
        let mut names = Vec::new();
        for entry in parent.entries().map_err(|error| problem(&error))? {
            let entry = entry.map_err(|error| problem(&error))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if name.starts_with('.') || !is_folder {
                continue;
            }
            if is_safe(&name) {
                names.push(name);
            } else {
                self.warn_once(inside, &name);
            }
        }
        Ok(names)
    }

    fn warn_once(&self, inside: &str, name: &str) {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        // Bounded: past a thousand bad names the first ones have said it all.
        if memory.warned.len() < 1_000 && memory.warned.insert(format!("{inside}/{name}")) {
            tracing::warn!(
                registry = self.name.as_str(),
                inside,
                name = %name.escape_debug(),
                "skipped a folder: names are 1 to 128 of A-Z a-z 0-9 . _ + -, a letter or digit first"
            );
        }
    }

    fn models(&self) -> Result<Vec<FoundModel>, RegistryError> {
        let root = self.open_root()?;
        let mut models = Vec::new();
        for name in self.folders(&root, "the root")? {
            let folder = self.open(&root, &name, "model")?;
            let mut versions = Vec::new();
            for version in self.folders(&folder, &name)? {
                let made = folder
                    .symlink_metadata(&version)
                    .and_then(|it| it.modified());
                versions.push((made.ok().map(cap_std::time::SystemTime::into_std), version));
            }
            models.push(FoundModel {
                description: notes::line(&folder, ".description").unwrap_or_default(),
                owner: notes::line(&folder, ".owner"),
                latest: versions.into_iter().max().map(|(_, version)| version),
                name,
            });
        }
        models.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(models)
    }

    fn candidates(&self, model: &str) -> Result<Vec<Candidate>, RegistryError> {
        let parent = self.open_model(model)?;
        let mut found = Vec::new();
        for name in self.folders(&parent, model)? {
            let folder = self.open(&parent, &name, "version")?;
            found.push(Candidate { name, folder });
        }
        Ok(found)
    }

    /// Which of the versions that are not known are complete, newest first.
    fn complete(
        &self,
        model: &str,
        candidates: Vec<Candidate>,
    ) -> Result<Vec<FoundVersion>, RegistryError> {
        let now = self.clock.now();
        let mut found: Vec<(Option<SystemTime>, FoundVersion)> = Vec::new();
        let mut settling = HashMap::new();
        for candidate in candidates {
            let what = format!("version `{}` of model `{model}`", candidate.name);
            let listing = match tree::list(&candidate.folder) {
                Ok(listing) => listing,
                Err(error) => {
                    // One unreadable version must not hide the others.
                    let error = self.tree(&what, error);
                    tracing::warn!(registry = self.name.as_str(), %error, "skipped a version");
                    continue;
                }
            };
            let key = (model.to_owned(), candidate.name.clone());
            let since = self.unchanged_since(&key, &listing, now);
            let marked = candidate.folder.symlink_metadata(".complete").is_ok();
            if marked || now.duration_since(since) >= self.settle {
                let version = self.found(model, &candidate.name, &candidate.folder, &listing)?;
                found.push((listing.newest(), version));
            }
            settling.insert(key, (listing.fingerprint(), since));
        }
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.settling.retain(|(of, _), _| of != model);
        memory.settling.extend(settling);
        found.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| b.1.version.cmp(&a.1.version)));
        Ok(found.into_iter().map(|(_, version)| version).collect())
    }

    /// Since when the listing is the one that was seen: now, when it is new or changed.
    fn unchanged_since(
        &self,
        key: &(String, String),
        listing: &Listing,
        now: Timestamp,
    ) -> Timestamp {
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        match memory.settling.get(key) {
            Some((fingerprint, since)) if *fingerprint == listing.fingerprint() => *since,
            _ => now,
        }
    }

    fn found(
        &self,
        model: &str,
        version: &str,
        folder: &Dir,
        listing: &Listing,
    ) -> Result<FoundVersion, RegistryError> {
        let authors = notes::lines(folder, ".author");
        Ok(FoundVersion {
            name: model.to_owned(),
            version: version.to_owned(),
            authors: authors.map_err(|error| self.io("file `.author`", &error))?,
            created: listing.newest().and_then(|at| Timestamp::try_from(at).ok()),
            declared: notes::line(folder, ".change"),
        })
    }

    fn version(&self, name: &str, version: &str) -> Result<FoundVersion, RegistryError> {
        let folder = self.open_version(name, version)?;
        let what = format!("version `{version}` of model `{name}`");
        let listing = tree::list(&folder).map_err(|error| self.tree(&what, error))?;
        self.found(name, version, &folder, &listing)
    }

    fn fetch(&self, name: &str, version: &str, into: &Path) -> Result<u64, RegistryError> {
        let folder = self.open_version(name, version)?;
        let what = format!("version `{version}` of model `{name}`");
        let failed = |error| self.tree(&what, error);
        let before = tree::list(&folder).map_err(failed)?;
        if before.is_empty() {
            return Err(self.not_found(format!("artifacts of {what}")));
        }
        let fetched = tree::copy(&folder, &before, into, self.max_bytes).map_err(failed)?;
        let after = tree::list(&folder).map_err(failed)?;
        if before.fingerprint() == after.fingerprint() {
            Ok(fetched)
        } else {
            Err(self.broken(format!("{what} changed while it was copied")))
        }
    }

    fn evidence(&self, name: &str, version: &str) -> Result<Vec<FoundEvidence>, RegistryError> {
        let folder = self.open_version(name, version)?;
        notes::evidence(&folder).map_err(|problem| self.broken(problem))
    }

    fn alias(&self, name: &str, alias: &str) -> Result<Option<String>, RegistryError> {
        let model = self.open_model(name)?;
        if !is_safe(alias) {
            return Ok(None);
        }
        let read = notes::text(&model, &format!("{ALIASES}/{alias}"));
        let text = read.map_err(|error| self.io(&format!("alias `{alias}`"), &error))?;
        Ok(text
            .map(|text| text.trim().to_owned())
            .filter(|version| !version.is_empty()))
    }

    /// The marker goes first: wherever the alias points, the approval can be read there.
    fn set_alias(
        &self,
        name: &str,
        alias: &str,
        version: &str,
        marker: &str,
    ) -> Result<(), RegistryError> {
        let model = self.open_model(name)?;
        self.open(&model, version, "version")?;
        if !is_safe(alias) {
            return Err(self.not_found("an alias by such a name"));
        }
        for (folder, file, text) in [(APPROVALS, version, marker), (ALIASES, alias, version)] {
            let written = notes::replace(&model, folder, file, text);
            written.map_err(|error| self.io(&format!("file `{folder}/{file}`"), &error))?;
        }
        Ok(())
    }

    fn missing_permissions(&self) -> Result<Vec<String>, RegistryError> {
        let root = self.open_root()?;
        let mut missing = Vec::new();
        for name in self.folders(&root, "the root")? {
            let Ok(folder) = self.open(&root, &name, "model") else {
                missing.push(format!("read folder `{name}`"));
                continue;
            };
            if notes::probe(&folder).is_err() {
                missing.push(format!("write aliases in folder `{name}`"));
            }
        }
        Ok(missing)
    }
}

/// Whether the registry's name for a model, version or alias may be a folder or file of ours.
fn is_safe(name: &str) -> bool {
    name.parse::<Version>().is_ok()
}

#[async_trait]
impl Registry for Directory {
    fn name(&self) -> &RegistryName {
        &self.shared.name
    }

    async fn models(&self) -> Result<Vec<FoundModel>, RegistryError> {
        self.blocking(Shared::models).await
    }

    async fn versions(
        &self,
        name: &str,
        known: &(dyn for<'a> Fn(&'a str) -> bool + Send + Sync),
    ) -> Result<Vec<FoundVersion>, RegistryError> {
        let model = name.to_owned();
        let mut candidates = self.blocking(move |it| it.candidates(&model)).await?;
        // Known ones are not walked: a poll costs what is new, not what there is.
        candidates.retain(|candidate| !known(&candidate.name));
        let model = name.to_owned();
        self.blocking(move |it| it.complete(&model, candidates))
            .await
    }

    async fn version(&self, name: &str, version: &str) -> Result<FoundVersion, RegistryError> {
        let (name, version) = (name.to_owned(), version.to_owned());
        self.blocking(move |it| it.version(&name, &version)).await
    }

    async fn fetch(&self, name: &str, version: &str, into: &Path) -> Result<u64, RegistryError> {
        let (name, version, into) = (name.to_owned(), version.to_owned(), into.to_owned());
        self.blocking(move |it| it.fetch(&name, &version, &into))
            .await
    }

    async fn evidence(
        &self,
        name: &str,
        version: &str,
    ) -> Result<Vec<FoundEvidence>, RegistryError> {
        let (name, version) = (name.to_owned(), version.to_owned());
        self.blocking(move |it| it.evidence(&name, &version)).await
    }

    async fn alias(&self, name: &str, alias: &str) -> Result<Option<String>, RegistryError> {
        let (name, alias) = (name.to_owned(), alias.to_owned());
        self.blocking(move |it| it.alias(&name, &alias)).await
    }

    async fn set_alias(
        &self,
        name: &str,
        alias: &str,
        version: &str,
        marker: &str,
    ) -> Result<(), RegistryError> {
        let [name, alias, version, marker] = [name, alias, version, marker].map(str::to_owned);
        self.blocking(move |it| it.set_alias(&name, &alias, &version, &marker))
            .await
    }

    /// Writes and removes one hidden file in each model's folder: nothing less shows that a share lets us.
    async fn missing_permissions(&self) -> Result<Vec<String>, RegistryError> {
        self.blocking(Shared::missing_permissions).await
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
