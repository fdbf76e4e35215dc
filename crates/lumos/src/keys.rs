//! Keys as files: made once, readable by the owner only. Behind the engine's ports, so that a KMS or a token
//! can take their place.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
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
    /// Whether it was made just now.
    pub server_is_new: bool,
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
        let server_is_new = !folder.join("server.hmac").exists();
        let server = seed(&folder.join("server.hmac"), entropy, true)?;
        let seed = seed(&folder.join("ledger.ed25519"), entropy, fresh)?;
        let scalar = seed_p256(&folder.join("statements.p256"), entropy, fresh)?;
        Ok(Self {
            ledger: FileLedgerKey(
                NoteSigner::from_seed(origin, &seed).context("reading the ledger key")?,
            ),
            statements: scalar,
            server: ServerKey::new(server),
            server_is_new,
        })
    }
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
                "the key `{}` is missing though the ledger is not empty; restore it from the backup of keys",
                path.display()
            );
        }
        let mut bytes = [0; 32];
        entropy.fill(&mut bytes);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .with_context(|| format!("writing key `{}`", path.display()))?;
        file.write_all(hex::encode(bytes).as_bytes())?;
        file.sync_all()?;
        return Ok(bytes);
    }
    let text =
        fs::read_to_string(path).with_context(|| format!("reading key `{}`", path.display()))?;
    let mut bytes = [0; 32];
    hex::decode_to_slice(text.trim(), &mut bytes)
        .with_context(|| format!("key `{}` is not 64 hex digits", path.display()))?;
    Ok(bytes)
}
