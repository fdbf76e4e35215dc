//! Model registries: their settings, and the connector made from them. Not here: when they are asked.

use std::{path::PathBuf, sync::Arc};

use lumos_domain::id::RegistryName;
use lumos_engine::ports::{Clock, Registry};
use lumos_http::{Client, HttpError, Secret};
use serde::Deserialize;

pub mod directory;
pub mod mlflow;

pub use directory::Directory;
pub use mlflow::Mlflow;

/// How many bytes of one version are fetched unless the settings say otherwise: 200 GiB.
const MAX_BYTES: u64 = 200 << 30;
/// How many files and folders one version may have.
const MAX_FILES: usize = 20_000;
/// How deep its folders may lie in one another.
const MAX_DEPTH: usize = 32;

/// One registry in the settings.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum RegistrySettings {
    /// Folders on a disk.
    Directory(DirectorySettings),
    /// An MLflow server.
    Mlflow(MlflowSettings),
}

/// Folders on a disk: `ROOT/MODEL/VERSION/`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectorySettings {
    /// The connector's name.
    pub name: RegistryName,
    /// Where the models lie.
    pub root: PathBuf,
    /// For how long a version without `.complete` must not change before it counts as complete.
    #[serde(default = "settle_s")]
    pub settle_s: u32,
    /// How many bytes of one version are fetched at most.
    #[serde(default = "max_bytes")]
    pub max_bytes: u64,
}

/// An MLflow server.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MlflowSettings {
    /// The connector's name.
    pub name: RegistryName,
    /// The base address, with the path it lies under if it has one.
    pub address: String,
    /// The user, together with `password`.
    #[serde(default)]
    pub user: Option<String>,
    /// The password, together with `user`.
    #[serde(default)]
    pub password: Option<Secret>,
    /// A bearer token, in place of user and password.
    #[serde(default)]
    pub token: Option<Secret>,
    /// What webhooks are signed with; without it none are taken.
    #[serde(default)]
    pub webhook_secret: Option<Secret>,
    /// How many bytes of one version are fetched at most.
    #[serde(default = "max_bytes")]
    pub max_bytes: u64,
}

const fn settle_s() -> u32 {
    10
}

const fn max_bytes() -> u64 {
    MAX_BYTES
}

impl RegistrySettings {
    /// The connector's name.
    #[must_use]
    pub const fn name(&self) -> &RegistryName {
        match self {
            Self::Directory(settings) => &settings.name,
            Self::Mlflow(settings) => &settings.name,
        }
    }

    /// The base address it calls, to be named in the egress of the outgoing client.
    #[must_use]
    pub fn address(&self) -> Option<&str> {
        match self {
            Self::Directory(_) => None,
            Self::Mlflow(settings) => Some(&settings.address),
        }
    }
}

/// Why no connector can be made from these settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The address cannot be called.
    #[error("preparing registry `{registry}`")]
    Address {
        /// The connector.
        registry: String,
        /// Why not.
        #[source]
        source: HttpError,
    },
    /// The settings contradict themselves.
    #[error("preparing registry `{registry}`: {problem}")]
    Fields {
        /// The connector.
        registry: String,
        /// In what.
        problem: &'static str,
    },
}

impl SettingsError {
    /// The stable code of this error, a page in `docs/errors/`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "registry-settings"
    }
}

/// The connector that `settings` describe. Asks the registry nothing yet.
///
/// # Errors
/// When the address is not in the egress of `http`, or fields contradict each other.
pub fn build(
    settings: &RegistrySettings,
    http: &Client,
    clock: Arc<dyn Clock>,
) -> Result<Arc<dyn Registry>, SettingsError> {
    Ok(match settings {
        RegistrySettings::Directory(settings) => Arc::new(Directory::new(settings, clock)),
        RegistrySettings::Mlflow(settings) => Arc::new(Mlflow::new(settings, http)?),
    })
}

/// Whether `name` can be one step of a path below a folder of ours, whoever chose it.
fn is_plain_step(name: &str) -> bool {
    !matches!(name, "" | "." | "..")
        && name.len() <= 255
        && !name.contains(['/', '\\'])
        && !name.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_strictly() {
        fn check(json: &str, expected: Result<&str, &str>) {
            let read = serde_json::from_str::<RegistrySettings>(json);
            match (read, expected) {
                (Ok(settings), Ok(name)) => assert_eq!(settings.name().as_str(), name),
                (Err(error), Err(text)) => assert!(error.to_string().contains(text), "{error}"),
                (read, _) => panic!("{json} was read as {read:?}"),
            }
        }
        check(
            r#"{"kind":"directory","name":"disk","root":"/models"}"#,
            Ok("disk"),
        );
        check(
            r#"{"kind":"mlflow","name":"acme","address":"http://127.0.0.1:5000"}"#,
            Ok("acme"),
        );
        check(r#"{"kind":"directory","name":"disk"}"#, Err("root"));
        check(
            r#"{"kind":"directory","name":"a b","root":"/"}"#,
            Err("registry name"),
        );
        check(
            r#"{"kind":"directory","name":"d","root":"/","rot":1}"#,
            Err("rot"),
        );
        check(
            r#"{"kind":"mlflow","name":"m","address":"x","pass":1}"#,
            Err("pass"),
        );
        check(r#"{"kind":"floppy","name":"m"}"#, Err("floppy"));
    }

    #[test]
    fn a_step_stays_where_it_is() {
        fn check(name: &str, plain: bool) {
            assert_eq!(is_plain_step(name), plain, "{name:?}");
        }
        check("model.skops", true);
        check("a b-ü.json", true);
        check("...", true);
        check(".hidden", true);
        check("", false);
        check(".", false);
        check("..", false);
        check("a/b", false);
        check("/etc", false);
        check("..\\x", false);
        check("a\0b", false);
        check("a\nb", false);
        check(&"x".repeat(256), false);
    }
}
