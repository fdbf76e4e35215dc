//! Key files as one file that only its recipient or its passphrase opens (age-encryption.org/v1), and back. A key on a
//! token never leaves it: its maker's tools save it.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
};

use age::{Decryptor, Encryptor, Identity, Recipient, scrypt, secrecy::SecretString, x25519};
use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    commands::{Out, Said, ledger::is_held, review::line_of_input},
    keys,
};

/// Scrypt's cost, as a power of two: a second or so on a small machine, 256 MiB.
const WORK_FACTOR: u8 = 18;
/// The dearest passphrase that is tried, so that a hostile file cannot ask for a day's work.
const WORK_FACTOR_MAX: u8 = 22;
/// The largest backup read, in bytes; real ones have a few hundred.
const BYTES_MAX: u64 = 1 << 20;
/// The shortest passphrase, in characters: the file may fall into anybody's hands.
const PASSPHRASE_CHARS_MIN: usize = 16;

/// Why a backup cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackupError {
    /// Another passphrase or identity, or a damaged file.
    #[error("opening the backup of keys")]
    Closed(#[source] age::DecryptError),
    /// It was opened, and is cut short.
    #[error("reading the backup of keys")]
    Cut(#[source] std::io::Error),
    /// It was opened, and holds something else.
    #[error("reading the backup of keys: it is no file of `lumos key backup`")]
    Other(#[source] serde_json::Error),
}

impl BackupError {
    /// The stable code of this error, a page in `docs/errors/`.
    pub(crate) const fn code(&self) -> &'static str {
        "backup-unreadable"
    }
}

/// What is in a backup: the files of `DATA/keys` by name.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    format: Format,
    keys: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
enum Format {
    #[serde(rename = "lumos-keys/v1")]
    V1,
}

/// Writes every key file of `data` into the new file `into`, for `recipients`, or for a passphrase from standard input.
pub(super) fn backup(data: &Path, into: &Path, recipients: &[String], out: &Out) -> Result<Said> {
    if into.exists() {
        bail!(
            "`{}` is there already; an older backup is not written over",
            into.display()
        );
    }
    let folder = data.join("keys");
    let listed =
        fs::read_dir(&folder).with_context(|| format!("reading `{}`", folder.display()))?;
    let mut found = BTreeMap::new();
    for file in listed {
        let file = file?;
        let name = file.file_name().to_string_lossy().into_owned();
        if keys::is_key_file(&name) {
            let text = fs::read_to_string(file.path());
            found.insert(
                name,
                text.with_context(|| format!("reading `{}`", file.path().display()))?,
            );
        }
    }
    if found.is_empty() {
        bail!("there is no key in `{}`", folder.display());
    }
    let names: Vec<String> = found.keys().cloned().collect();
    let contents = Contents {
        format: Format::V1,
        keys: found,
    };
    let sealed = seal(&serde_json::to_vec(&contents)?, recipients)?;
    std::path::absolute(into)
        .and_then(|path| keys::write(&path, &sealed))
        .with_context(|| format!("writing `{}`", into.display()))?;
    let sentence = format!(
        "{} keys are in {}: {}",
        names.len(),
        into.display(),
        names.join(", ")
    );
    out.tell(&sentence, &json!({ "keys": names }));
    Ok(Said::Yes)
}

fn seal(bytes: &[u8], recipients: &[String]) -> Result<Vec<u8>> {
    let mut all: Vec<Box<dyn Recipient>> = Vec::new();
    for recipient in recipients {
        let recipient: x25519::Recipient = recipient.parse().map_err(|problem: &str| {
            anyhow::anyhow!("reading recipient `{recipient}`: {problem}")
        })?;
        all.push(Box::new(recipient));
    }
    if all.is_empty() {
        let mut passphrase = scrypt::Recipient::new(passphrase()?);
        passphrase.set_work_factor(WORK_FACTOR);
        all.push(Box::new(passphrase));
    }
    let encryptor = Encryptor::with_recipients(all.iter().map(|one| &**one))?;
    let mut sealed = Vec::new();
    let mut into = encryptor.wrap_output(&mut sealed)?;
    into.write_all(bytes)?;
    into.finish()?;
    Ok(sealed)
}

/// Writes back what is missing in `data`; nothing is written over, and nothing at all where one key differs.
pub(super) fn restore(
    data: &Path,
    from: &Path,
    identity: Option<&Path>,
    out: &Out,
) -> Result<Said> {
    if is_held(data) {
        bail!("`{}` is in use by a server: stop it first", data.display());
    }
    let mut sealed = Vec::new();
    fs::File::open(from)
        .and_then(|file| file.take(BYTES_MAX).read_to_end(&mut sealed))
        .with_context(|| format!("reading `{}`", from.display()))?;
    let Contents { keys, .. } = open(&sealed, identity)?;
    let folder = data.join("keys");
    let mut missing: Vec<(PathBuf, &String)> = Vec::new();
    for (name, text) in &keys {
        if !keys::is_key_file(name) {
            bail!("restoring keys: the backup holds `{name}`, which is no key file");
        }
        let path = folder.join(name);
        match fs::read_to_string(&path) {
            Ok(there) if there.trim() == text.trim() => {}
            Ok(_) => bail!(
                "restoring keys: `{}` is there already, and is another key",
                path.display()
            ),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                missing.push((path, text));
            }
            Err(error) => {
                return Err(error).with_context(|| format!("reading `{}`", path.display()));
            }
        }
    }
    fs::create_dir_all(&folder).with_context(|| format!("making `{}`", folder.display()))?;
    for (path, text) in &missing {
        keys::write(path, text.as_bytes())
            .with_context(|| format!("writing `{}`", path.display()))?;
    }
    let restored = missing.len();
    let sentence = format!(
        "{restored} of {} keys were missing and are there again",
        keys.len()
    );
    out.tell(
        &sentence,
        &json!({ "restored": restored, "keys": keys.keys().collect::<Vec<_>>() }),
    );
    Ok(Said::Yes)
}

fn open(sealed: &[u8], identity: Option<&Path>) -> Result<Contents> {
    let decryptor = Decryptor::new_buffered(sealed).map_err(BackupError::Closed)?;
    let mut identities: Vec<Box<dyn Identity>> = Vec::new();
    match identity {
        Some(path) => {
            let text = fs::read_to_string(path)
                .with_context(|| format!("reading `{}`", path.display()))?;
            // A file of `age-keygen`: comments, and an identity a line.
            for line in text
                .lines()
                .filter(|line| line.starts_with("AGE-SECRET-KEY-"))
            {
                let identity = line.trim().parse::<x25519::Identity>();
                let identity = identity.map_err(|problem| {
                    anyhow::anyhow!("reading an identity of `{}`: {problem}", path.display())
                })?;
                identities.push(Box::new(identity));
            }
        }
        None => {
            let mut identity = scrypt::Identity::new(passphrase()?);
            identity.set_max_work_factor(WORK_FACTOR_MAX);
            identities.push(Box::new(identity));
        }
    }
    let identities = identities.iter().map(|one| &**one);
    let mut opened = decryptor.decrypt(identities).map_err(BackupError::Closed)?;
    let mut bytes = Vec::new();
    opened.read_to_end(&mut bytes).map_err(BackupError::Cut)?;
    Ok(serde_json::from_slice(&bytes).map_err(BackupError::Other)?)
}

fn passphrase() -> Result<SecretString> {
    let line = line_of_input("the passphrase")?;
    if line.chars().count() < PASSPHRASE_CHARS_MIN {
        bail!("reading the passphrase: it has fewer than {PASSPHRASE_CHARS_MIN} characters");
    }
    Ok(SecretString::from(line))
}
