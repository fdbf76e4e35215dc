//! Keys as files: made once, readable by the owner only. Behind the engine's ports, so that a KMS or a token
//! can take their place.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use anyhow::{Context as _, Result, bail};
use lumos_enforce::dsse::StatementSigner;
use lumos_engine::{
    key::ServerKey,
    ports::{Entropy, LedgerKey, PortError},
};
use lumos_ledger::{Checkpoint, NoteSigner, VerifierKey};

/// The ledger's Ed25519 key, from a seed file.
pub(crate) struct FileLedgerKey(NoteSigner);

impl LedgerKey for FileLedgerKey {
    fn sign(&self, checkpoint: &Checkpoint) -> Result<Vec<u8>, PortError> {
        let note = checkpoint
            .sign(&self.0)
            .map_err(|e| PortError::new("signing a checkpoint", e))?;
        Ok(note.to_string().into_bytes())
    }

    fn verifier_key(&self) -> &VerifierKey {
        self.0.verifier_key()
    }
}

/// The keys of a data directory, made when they are not there.
pub(crate) struct Keys {
    /// Signs checkpoints.
    pub ledger: FileLedgerKey,
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
    pub(crate) fn open(
        data: &Path,
        origin: &str,
        entropy: &dyn Entropy,
        fresh: bool,
    ) -> Result<Self> {
        let folder = data.join("keys");
        fs::create_dir_all(&folder).with_context(|| format!("making `{}`", folder.display()))?;
        let server = seed(&folder.join("server.hmac"), entropy, true)?;
        let seed = seed(&folder.join("ledger.ed25519"), entropy, fresh)?;
        let scalar = seed_p256(&folder.join("statements.p256"), entropy, fresh)?;
        Ok(Self {
            ledger: FileLedgerKey(
                NoteSigner::from_seed(origin, &seed).context("reading the ledger key")?,
            ),
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
fn write(path: &Path, text: &[u8]) -> io::Result<()> {
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
    use crate::edge::OsEntropy;

    #[test]
    fn a_key_is_there_whole_or_not_at_all() {
        let data = tempfile::tempdir().unwrap();
        let open = |fresh| Keys::open(data.path(), "ledger.acme.example", &OsEntropy, fresh);
        let folder = data.path().join("keys");
        fs::create_dir(&folder).unwrap();
        // A process died while it wrote the ledger's key: the next one draws another.
        fs::write(folder.join("ledger.ed25519.unfinished"), "0123").unwrap();
        let first = open(true).unwrap();
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
        let again = open(false).unwrap();
        assert_eq!(
            first.ledger.verifier_key().to_string(),
            again.ledger.verifier_key().to_string()
        );
        assert_eq!(first.server.of(&["x"]), again.server.of(&["x"]));
    }
}
