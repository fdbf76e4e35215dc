//! Everything that is read from outside: the settings file and the environment. Nothing else reads either.

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use lumos_connect::{ObjectSettings, RegistrySettings, kms::KmsSettings, pkcs11::TokenSettings};
use lumos_domain::{
    id::{Digest, OutsideAgentName},
    words::KeyPlace,
};
use lumos_http::Secret;
use serde::Deserialize;
use yaml_serde::Value;

/// The settings of a server: one `lumos.yaml`. Unknown keys are refused.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// The address to serve on. Loopback unless said otherwise.
    pub listen: SocketAddr,
    /// The ledger's origin, which names its key: a schema-less address such as `lumos.acme.example/main`.
    pub origin: String,
    /// Where the ledger, its blobs and keys are kept; the anchor lies beside it.
    pub data: PathBuf,
    /// The database that keeps the ledger and its blobs instead of the data directory.
    pub postgres: Option<Postgres>,
    /// The object store that holds the anchor of several servers, and their blobs where it says so.
    pub objects: Option<ObjectSettings>,
    /// Logins of the two founders. One login, or none, founds a single-person sandbox.
    pub founders: Vec<String>,
    /// The file that describes the organisation at genesis. Read once, into an empty ledger.
    pub organisation: Option<PathBuf>,
    /// Policy bundles published at genesis.
    pub policies: Vec<PathBuf>,
    /// The model registries to watch.
    pub registries: Vec<RegistrySettings>,
    /// Addresses of TLS proxies in front, trusted to say whom they speak for (`X-Forwarded-For`). One on this
    /// machine always is.
    pub proxies: Vec<IpAddr>,
    /// A trust policy (C2SP tlog-policy) that names this ledger and the witnesses to ask, with their addresses.
    pub witnesses: Option<PathBuf>,
    /// The authority that timestamps checkpoints.
    pub timestamps: Option<Timestamps>,
    /// What keeps this machine's clock, such as `NTP by time.acme.example`: recorded, for whoever relies on times.
    pub clock: Option<String>,
    /// Where entries are brought to outside agents: each here, or in a file of its own. What an agent may do is not said
    /// here, but in the ledger.
    pub agents: Vec<AgentSettings>,
    /// Where the keys that sign the ledger are kept.
    pub keys: Keys,
    /// Where files that were sent wait to be fetched, if not in the data directory: a folder that all servers of a
    /// ledger see.
    pub uploads: Option<PathBuf>,
    /// How often registries are polled, in seconds.
    pub poll_s: u64,
    /// How long one scan may take, in seconds.
    pub scan_timeout_s: u64,
    /// Bytes of files that were sent and not yet fetched, everybody's together.
    pub uploads_bytes_max: u64,
    /// The same of one caller.
    pub uploads_bytes_max_per_caller: u64,
    /// After so many hours without anything happening an upload is thrown away.
    pub uploads_kept_hours: u32,
    /// How many days after it was last asked a decision can be explained.
    pub decisions_kept_days: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8417)),
            origin: "lumos.localhost/sandbox".to_owned(),
            data: PathBuf::from("lumos-data"),
            postgres: None,
            objects: None,
            founders: Vec::new(),
            organisation: None,
            policies: Vec::new(),
            registries: Vec::new(),
            proxies: Vec::new(),
            witnesses: None,
            timestamps: None,
            clock: None,
            agents: Vec::new(),
            keys: Keys::default(),
            uploads: None,
            poll_s: 15 * 60,
            scan_timeout_s: 60 * 60,
            uploads_bytes_max: 1 << 40,
            uploads_bytes_max_per_caller: 256 << 30,
            uploads_kept_hours: 48,
            decisions_kept_days: 180,
        }
    }
}

impl Settings {
    /// Where files that were sent wait.
    pub(crate) fn uploads(&self) -> PathBuf {
        let own = || self.data.join("uploads");
        self.uploads.clone().unwrap_or_else(own)
    }

    /// Whether every server of the ledger sees the files that were sent to any of them.
    pub(crate) fn uploads_are_seen_by_all(&self) -> bool {
        self.uploads.is_some() || self.postgres.as_ref().is_none_or(|db| db.replicas == 1)
    }
}

/// A PostgreSQL database that keeps the ledger and its blobs.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Postgres {
    /// `postgres://USER:PASSWORD@HOST/DATABASE`, with the role that adds to the ledger.
    pub url: Secret,
    /// The same with the role that owns the tables, while a new version has to change them.
    pub owner_url: Option<Secret>,
    /// How many LUMOS servers write to it.
    pub replicas: u16,
    /// Whether a server is accepted that may lose acknowledged entries.
    #[serde(default)]
    pub accept_loss: bool,
}

/// Where the keys that sign the ledger are kept, besides files of the data directory.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Keys {
    /// Where a new one is made, the first one too: `file`, `pkcs11` or `kms`.
    pub new: KeyPlace,
    /// A token behind PKCS#11.
    pub pkcs11: Option<TokenSettings>,
    /// A key management service.
    pub kms: Option<KmsSettings>,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            new: KeyPlace::File,
            pkcs11: None,
            kms: None,
        }
    }
}

/// A timestamp authority (RFC 3161).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Timestamps {
    /// Where it is asked.
    pub url: String,
    /// Its certificates in PEM, its own first, the root one trusts last.
    pub chain: PathBuf,
    /// How often, in hours, a checkpoint is stamped.
    #[serde(default = "a_day")]
    pub every_hours: u32,
}

const fn a_day() -> u32 {
    24
}

/// An outside agent's webhook, or the file that describes it.
#[derive(Debug, Clone)]
pub(crate) enum AgentSettings {
    /// A file that is read instead.
    File(PathBuf),
    /// The webhook.
    Webhook(WebhookSettings),
}

impl<'de> Deserialize<'de> for AgentSettings {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        match Value::deserialize(from)? {
            Value::String(path) => Ok(Self::File(path.into())),
            described => yaml_serde::from_value(described)
                .map(Self::Webhook)
                .map_err(D::Error::custom),
        }
    }
}

/// Where the entries that an outside agent asks for are brought.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebhookSettings {
    /// The agent, as the ledger names it.
    pub name: OutsideAgentName,
    /// The address that takes them.
    pub webhook: String,
    /// What each message is signed with, `whsec_…`; two while one takes the place of the other.
    pub secrets: Vec<Secret>,
    /// The types to bring: names, or beginnings that end in `*`.
    #[serde(default)]
    pub events: Vec<String>,
    /// The streams to bring, written the same way.
    #[serde(default)]
    pub streams: Vec<String>,
}

impl AgentSettings {
    /// Reads the file, where this names one.
    fn read(&mut self, folder: &Path) -> Result<()> {
        if let Self::File(path) = self {
            let path = folder.join(&*path);
            let reading = || format!("reading agent `{}`", path.display());
            let text = std::fs::read_to_string(&path).with_context(reading)?;
            let mut value: Value = yaml_serde::from_str(&text).with_context(reading)?;
            resolve(&mut value).with_context(reading)?;
            let read: Result<WebhookSettings, _> = yaml_serde::from_value(value);
            let read = read.map_err(|error| anyhow::anyhow!(with_nearest(&error.to_string())));
            *self = Self::Webhook(read.with_context(reading)?);
        }
        Ok(())
    }
}

/// Settings as they were read: the values, and the digest of the bytes they came from.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    /// The values.
    pub settings: Settings,
    /// SHA-256 of the file, or of nothing for the embedded defaults.
    pub digest: Digest,
}

/// Reads the settings file, `lumos.yaml` when it exists, or the embedded defaults.
///
/// # Errors
/// When the file cannot be read or says something unknown.
pub(crate) fn load(config: Option<&Path>, data: Option<&Path>) -> Result<Loaded> {
    let default = Path::new("lumos.yaml");
    let path = config.or_else(|| default.exists().then_some(default));
    let mut loaded = match path {
        None => Loaded {
            settings: Settings::default(),
            digest: Digest::of(b""),
        },
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("reading settings `{}`", path.display()))?;
            let mut settings =
                parse(&text).with_context(|| format!("reading settings `{}`", path.display()))?;
            let folder = path.parent().unwrap_or(Path::new("."));
            let beside = |file: &mut PathBuf| *file = folder.join(&*file);
            settings.organisation.iter_mut().for_each(beside);
            settings.policies.iter_mut().for_each(beside);
            settings.witnesses.iter_mut().for_each(beside);
            settings.uploads.iter_mut().for_each(beside);
            let chains = settings.timestamps.iter_mut();
            chains.for_each(|authority| beside(&mut authority.chain));
            beside(&mut settings.data);
            for agent in &mut settings.agents {
                agent.read(folder)?;
            }
            for registry in &mut settings.registries {
                if let RegistrySettings::Directory(directory) = registry {
                    beside(&mut directory.root);
                }
            }
            Loaded {
                settings,
                digest: Digest::of(text.as_bytes()),
            }
        }
    };
    if let Some(data) = data {
        loaded.settings.data = data.to_owned();
    }
    Ok(loaded)
}

pub(crate) fn parse(text: &str) -> Result<Settings> {
    let mut value: Value = yaml_serde::from_str(text).context("it is not YAML")?;
    if value.is_null() {
        return Ok(Settings::default());
    }
    resolve(&mut value)?;
    yaml_serde::from_value(value.clone()).map_err(|error| {
        let message = with_nearest(&error.to_string());
        match culprit(&value) {
            Some(key) => anyhow::anyhow!("`{key}`: {message}"),
            None => anyhow::anyhow!(message),
        }
    })
}

/// One registry as a settings file would describe it.
///
/// # Errors
/// When it says something unknown, or names a variable that is not set.
pub(crate) fn registry(described: &serde_json::Value) -> Result<RegistrySettings> {
    let mut value = yaml_serde::to_value(described).context("describing the registry")?;
    resolve(&mut value)?;
    yaml_serde::from_value(value).context("describing the registry")
}

/// The key whose value cannot be used: a message about a wrong type does not say where.
fn culprit(value: &Value) -> Option<&str> {
    let known = |(key, value): (&Value, &Value)| {
        let alone = Value::Mapping([(key.clone(), value.clone())].into_iter().collect());
        yaml_serde::from_value::<Settings>(alone).is_err()
    };
    let mut wrong = value.as_mapping()?.iter().filter(|pair| known(*pair));
    wrong.next()?.0.as_str()
}

/// Replaces `${NAME}` by the environment and `file:PATH` by a file's text, in every string.
fn resolve(value: &mut Value) -> Result<()> {
    match value {
        Value::String(text) => {
            if let Some(name) = text
                .strip_prefix("${")
                .and_then(|rest| rest.strip_suffix('}'))
            {
                *text = variable(name)
                    .with_context(|| format!("environment variable `{name}` is not set"))?;
            } else if let Some(path) = text.strip_prefix("file:") {
                let read = std::fs::read_to_string(path);
                *text = read
                    .with_context(|| format!("reading secret file `{path}`"))?
                    .trim_end()
                    .to_owned();
            }
        }
        Value::Sequence(items) => items.iter_mut().try_for_each(resolve)?,
        Value::Mapping(members) => {
            for (_, member) in members.iter_mut() {
                resolve(member)?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// Adds the nearest valid key to a message about an unknown one.
fn with_nearest(message: &str) -> String {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    if !message.contains("unknown field") || quoted.len() < 2 {
        return message.to_owned();
    }
    let nearest = quoted[1..]
        .iter()
        .min_by_key(|known| distance(quoted[0], known));
    nearest.map_or_else(
        || message.to_owned(),
        |known| format!("{message}; did you mean `{known}`?"),
    )
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let changed = corner + usize::from(from != *to);
            corner = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(corner + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

/// A variable of the environment.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the environment"
)]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Where `lumos user login` keeps credentials, one per server.
///
/// # Errors
/// When there is no home folder to keep them in.
pub(crate) fn credentials_file() -> Result<PathBuf> {
    let base = variable("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| variable("HOME").map(|home| Path::new(&home).join(".config")));
    match base {
        Some(base) => Ok(base.join("lumos").join("credentials.json")),
        None => bail!("finding the credentials file: neither XDG_CONFIG_HOME nor HOME is set"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_keys_name_the_nearest_known_one() {
        let error = parse("lisen: 127.0.0.1:80").unwrap_err().to_string();
        assert!(error.contains("did you mean `listen`?"), "{error}");
        assert!(parse("listen: 7").is_err() && parse("a: [").is_err());
        assert_eq!(parse("").unwrap().poll_s, 900);
    }

    #[test]
    fn relative_paths_lie_beside_the_file() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("lumos.yaml");
        let yaml = "{data: d, organisation: o.yaml, registries: [{kind: directory, name: m, root: models}]}";
        std::fs::write(&file, yaml).unwrap();
        let settings = load(Some(&file), None).unwrap().settings;
        assert_eq!(settings.data, home.path().join("d"));
        assert_eq!(settings.organisation, Some(home.path().join("o.yaml")));
        let [RegistrySettings::Directory(models)] = &settings.registries[..] else {
            panic!("{settings:?}");
        };
        assert_eq!(models.root, home.path().join("models"));
    }

    #[test]
    fn the_address_of_a_database_is_never_shown() {
        let yaml = "postgres: {url: 'postgres://lumos:hunter2@localhost/lumos', replicas: 1}";
        let settings = parse(yaml).unwrap();
        assert!(!format!("{settings:?}").contains("hunter2"));
        assert!(parse("postgres: {url: 'postgres://localhost/lumos'}").is_err());
        assert!(parse("postgres: {url: a, replicas: 1, colour: red}").is_err());
    }

    #[test]
    fn agents_are_described_here_or_in_files() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("lumos.yaml");
        let write = |name: &str, text: &str| std::fs::write(home.path().join(name), text).unwrap();
        write(
            "tone.yaml",
            "{name: tone, webhook: 'http://127.0.0.1:9/', secrets: [file:secret.txt]}",
        );
        write(
            "lumos.yaml",
            "agents: [tone.yaml, {name: cards, webhook: 'https://acme.example', secrets: [hunter2], events: [org]}]",
        );
        let absent = load(Some(&file), None).unwrap_err();
        assert!(format!("{absent:#}").contains("secret.txt"), "{absent:#}");
        write(
            "tone.yaml",
            "{name: tone, webhook: 'http://127.0.0.1:9/', secrets: [a]}",
        );
        let settings = load(Some(&file), None).unwrap().settings;
        assert!(!format!("{settings:?}").contains("hunter2"));
        let names: Vec<_> = settings
            .agents
            .iter()
            .map(|agent| match agent {
                AgentSettings::Webhook(agent) => agent.name.as_str(),
                AgentSettings::File(_) => "unread",
            })
            .collect();
        assert_eq!(names, ["tone", "cards"]);
        write("tone.yaml", "{name: tone, webhok: a, secrets: [a]}");
        let unknown = format!("{:#}", load(Some(&file), None).unwrap_err());
        assert!(unknown.contains("did you mean `webhook`?"), "{unknown}");
        assert!(parse("agents: [{name: a b, webhook: x, secrets: []}]").is_err());
    }

    #[test]
    fn secrets_come_from_files_and_the_environment() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "lumos.acme.example/x\n").unwrap();
        let yaml = format!("origin: file:{}", file.path().display());
        assert_eq!(parse(&yaml).unwrap().origin, "lumos.acme.example/x");
        assert!(parse("origin: ${LUMOS_NO_SUCH_VARIABLE}").is_err());
    }
}
