//! Keys as files: made once, readable by the owner only. Behind the engine's ports, so that a KMS or a token
//! can take their place.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result, bail};
use async_trait::async_trait;
use lumos_connect::{kms::KmsKeys, pkcs11::TokenKeys};
use lumos_domain::words::KeyPlace;
use lumos_enforce::dsse::StatementSigner;
use lumos_engine::{
    key::ServerKey,
    keyring::Places,
    ports::{Clock, Entropy, KeyStore, PortError, Signer},
};
use lumos_http::Client;
use lumos_ledger::NoteSigner;

use crate::{edge::OsEntropy, settings};

/// The ledger's keys that are kept as files: 64 hex digits of an Ed25519 seed each.
pub(crate) struct KeyFiles {
    folder: PathBuf,
    entropy: Arc<dyn Entropy>,
}

/// A key from such a file.
struct FileKey(NoteSigner);

#[async_trait]
impl Signer for FileKey {
    fn public(&self) -> &[u8; 32] {
        self.0.verifier_key().public()
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, PortError> {
        Ok(self.0.signature(message).to_vec())
    }
}

impl KeyFiles {
    /// The files in `DATA/keys`.
    pub(crate) fn of(data: &Path, entropy: Arc<dyn Entropy>) -> Self {
        let folder = data.join("keys");
        Self { folder, entropy }
    }

    /// Where the key called so lies: a file of this folder, and of this kind.
    fn path(&self, name: &str) -> Result<PathBuf, PortError> {
        let is_witness = name == "witness.ed25519";
        if is_witness || !name.ends_with(".ed25519") || !is_key_file(name) {
            let wrong = "a key file is called NAME.ed25519, of letters, digits, `.`, `_` and `-`";
            return Err(PortError::new(format!("opening key `{name}`"), wrong));
        }
        Ok(self.folder.join(name))
    }
}

#[async_trait]
impl KeyStore for KeyFiles {
    async fn open(&self, name: &str) -> Result<Option<Arc<dyn Signer>>, PortError> {
        let path = self.path(name)?;
        if !path.exists() {
            return Ok(None);
        }
        let failed = |error| PortError::new(format!("opening key `{name}`"), to_box(error));
        Ok(Some(Arc::new(FileKey(signer(
            &read(&path).map_err(failed)?,
        )?))))
    }

    async fn create(&self, name: &str) -> Result<Arc<dyn Signer>, PortError> {
        let failed = |error| PortError::new(format!("making key `{name}`"), to_box(error));
        fs::create_dir_all(&self.folder).map_err(|error| failed(error.into()))?;
        let drawn = seed(&self.path(name)?, &*self.entropy, true).map_err(failed)?;
        Ok(Arc::new(FileKey(signer(&drawn)?)))
    }
}

/// What keeps the ledger's keys, as the settings say.
///
/// # Errors
/// When the address of a service cannot be used.
pub(crate) fn places(
    settings: &settings::Keys,
    data: &Path,
    http: &Client,
    clock: Arc<dyn Clock>,
) -> Result<Places> {
    let files: Arc<dyn KeyStore> = Arc::new(KeyFiles::of(data, Arc::new(OsEntropy)));
    let mut stores = BTreeMap::from([(KeyPlace::File, files)]);
    if let Some(token) = &settings.pkcs11 {
        stores.insert(KeyPlace::Pkcs11, Arc::new(TokenKeys::new(token)));
    }
    if let Some(kms) = &settings.kms {
        let keys = KmsKeys::new(kms, http, clock).context("reaching the key management service")?;
        stores.insert(KeyPlace::Kms, Arc::new(keys));
    }
    Ok(Places {
        stores,
        new: settings.new,
    })
}

/// Whether a file of this name in `DATA/keys` holds a key.
pub(crate) fn is_key_file(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let kinds = [".ed25519", ".p256", ".hmac"];
    let stem = kinds.iter().find_map(|kind| name.strip_suffix(kind));
    stem.is_some_and(|stem| !stem.is_empty() && !stem.starts_with('.') && stem.chars().all(plain))
}

/// A signer that names no ledger: its name is the ring's affair.
fn signer(seed: &[u8; 32]) -> Result<NoteSigner, PortError> {
    NoteSigner::from_seed("key", seed).map_err(|error| PortError::new("reading a key", error))
}

/// An error and its causes as one.
fn to_box(error: anyhow::Error) -> Box<dyn std::error::Error + Send + Sync> {
    format!("{error:#}").into()
}

/// The keys of a data directory beside the ledger's own, made when they are not there.
pub(crate) struct Keys {
    /// Signs snapshots.
    pub statements: StatementSigner,
    /// For keyed hashes of what is looked up. Where it is missing another one serves as well, once the lookups
    /// are made anew.
    pub server: ServerKey,
}

impl Keys {
    /// Opens `DATA/keys`, making what is missing only if `fresh`: an old ledger without its key is not
    /// given another one.
    ///
    /// # Errors
    /// When a key is missing, malformed or cannot be made.
    pub(crate) fn open(data: &Path, entropy: &dyn Entropy, fresh: bool) -> Result<Self> {
        let folder = data.join("keys");
        fs::create_dir_all(&folder).with_context(|| format!("making `{}`", folder.display()))?;
        let server = seed(&folder.join("server.hmac"), entropy, true)?;
        let scalar = seed_p256(&folder.join("statements.p256"), entropy, fresh)?;
        Ok(Self {
            statements: scalar,
            server: ServerKey::new(server),
        })
    }
}

/// The seed of the key with which a witness that keeps its things in `data` cosigns, made only if `fresh`.
///
/// # Errors
/// When it is missing, malformed or cannot be made.
pub(crate) fn witness(data: &Path, entropy: &dyn Entropy, fresh: bool) -> Result<[u8; 32]> {
    let folder = data.join("keys");
    fs::create_dir_all(&folder).with_context(|| format!("making `{}`", folder.display()))?;
    seed(&folder.join("witness.ed25519"), entropy, fresh)
}

/// The key of a data directory for what is looked up; nothing where it is not there, as in a copy of the database alone.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn server(data: &Path) -> Result<Option<ServerKey>> {
    let path = data.join("keys/server.hmac");
    if !path.exists() {
        return Ok(None);
    }
    Ok(Some(ServerKey::new(read(&path)?)))
}

fn seed_p256(path: &Path, entropy: &dyn Entropy, fresh: bool) -> Result<StatementSigner> {
    // A random scalar is out of range once in 2^32 tries at most; draw again then.
    loop {
        let bytes = seed(path, entropy, fresh)?;
        match StatementSigner::from_bytes(&bytes) {
            Ok(signer) => return Ok(signer),
            Err(_) if fresh => fs::remove_file(path).context("drawing the statement key again")?,
            Err(error) => return Err(error).context("reading the statement key"),
        }
    }
}

/// 32 secret bytes from a file, drawn and written when it is missing and may be.
fn seed(path: &Path, entropy: &dyn Entropy, fresh: bool) -> Result<[u8; 32]> {
    if !path.exists() {
        if !fresh {
            bail!(
                "the key `{}` is missing though what was signed with it is not; restore it from the backup of keys",
                path.display()
            );
        }
        let mut bytes = [0; 32];
        entropy.fill(&mut bytes);
        write(path, hex::encode(bytes).as_bytes())
            .with_context(|| format!("writing key `{}`", path.display()))?;
        return Ok(bytes);
    }
    read(path)
}

fn read(path: &Path) -> Result<[u8; 32]> {
    let text =
        fs::read_to_string(path).with_context(|| format!("reading key `{}`", path.display()))?;
    let mut bytes = [0; 32];
    hex::decode_to_slice(text.trim(), &mut bytes)
        .with_context(|| format!("key `{}` is not 64 hex digits", path.display()))?;
    Ok(bytes)
}

/// Makes a key file, whole or not at all, and so that it is still there after a power cut: what is signed or looked
/// up with a key outlives the process that drew it.
pub(crate) fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    let unfinished = path.with_added_extension("unfinished");
    if unfinished.exists() {
        fs::remove_file(&unfinished)?;
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&unfinished)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    // The name of the file, and of the folder that was perhaps made for it.
    for folder in path.ancestors().skip(1).take(2) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[tokio::test]
    async fn a_key_is_there_whole_or_not_at_all() {
        let data = tempfile::tempdir().unwrap();
        let open = |fresh| Keys::open(data.path(), &OsEntropy, fresh).unwrap();
        let files = KeyFiles::of(data.path(), Arc::new(OsEntropy));
        let folder = data.path().join("keys");
        fs::create_dir(&folder).unwrap();
        // A process died while it wrote the ledger's key: the next one draws another.
        fs::write(folder.join("ledger.ed25519.unfinished"), "0123").unwrap();
        assert!(files.open("ledger.ed25519").await.unwrap().is_none());
        let first = files.create("ledger.ed25519").await.unwrap();
        let server = open(true).server;
        let names = || fs::read_dir(&folder).unwrap();
        let mut found: Vec<_> = names().map(|entry| entry.unwrap().file_name()).collect();
        found.sort();
        assert_eq!(found, ["ledger.ed25519", "server.hmac", "statements.p256"]);
        for entry in names() {
            let about = entry.unwrap().metadata().unwrap();
            assert_eq!(
                (about.permissions().mode() & 0o777, about.len()),
                (0o600, 64)
            );
        }
        let again = files.open("ledger.ed25519").await.unwrap().unwrap();
        assert_eq!(first.public(), again.public());
        assert_eq!(server.of(&["x"]), open(false).server.of(&["x"]));
    }

    #[tokio::test]
    async fn no_other_file_is_taken_for_a_ledger_key() {
        let data = tempfile::tempdir().unwrap();
        let files = KeyFiles::of(data.path(), Arc::new(OsEntropy));
        for name in [
            "",
            ".ed25519",
            "server.hmac",
            "statements.p256",
            "witness.ed25519",
            "../keys/ledger.ed25519",
            "/etc/x.ed25519",
            "a b.ed25519",
        ] {
            assert!(files.open(name).await.is_err(), "{name}");
            assert!(files.create(name).await.is_err(), "{name}");
        }
    }
}
