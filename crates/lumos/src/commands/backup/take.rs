//! `lumos backup DIR`: the ledger as it is now, in a folder that is there whole or not at all.

use std::{
    fs::{self, File},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result, bail};
use lumos_engine::ports::{Blobs, Clock as _};
use lumos_ledger::Checkpoint;
use lumos_store::{
    DirBlobs, SqliteStore,
    snapshot::{self, Checked},
};

use super::{ABOUT, About, CHECKPOINT, DATABASE, FORMAT, continues, copy, digest_of};
use crate::{
    cli::Common,
    commands::{Out, Said},
    edge::SystemClock,
    serve::SOFTWARE,
    settings::{self, Settings},
    storage::{self, Beside, Storage},
};

/// Makes a backup in the new folder `into`.
///
/// # Errors
/// When it exists, the ledger cannot be read or is damaged, or a file cannot be written.
pub(crate) async fn take(into: &Path, common: &Common, out: Out) -> Result<Said> {
    let settings = settings::load(common.config.as_deref(), common.data.as_deref())?.settings;
    if into.exists() {
        bail!("`{}` exists already: name a new folder", into.display());
    }
    let folder = begin(into)?;
    // Asked before the database is read: what was signed by then is in it.
    let anchored = Beside::of(&settings)?.anchor(&settings.data).await?;
    let anchored = anchored.load().await?.map(|held| held.note);
    let from = snapshot(&settings, &folder.join(DATABASE)).await?;
    let checked = check(&folder.join(DATABASE), anchored.as_deref())?;
    if let Some(note) = &anchored {
        write(&folder.join(CHECKPOINT), note)?;
    }
    let blobs = copy(&*from, &DirBlobs::open(&folder)?).await?;
    let about = About {
        format: FORMAT.to_owned(),
        origin: settings.origin,
        size: checked.head.size(),
        root: checked.head.root().to_base64(),
        database: digest_of(&folder.join(DATABASE))?,
        made: SystemClock.now(),
        software: SOFTWARE.to_owned(),
        blobs,
    };
    write(&folder.join(ABOUT), &serde_json::to_vec_pretty(&about)?)?;
    finish(&folder, into)?;
    let sentence = format!(
        "{} entries and {} blobs ({} bytes) are in `{}`; the keys and the anchor are not\nroot {}",
        about.size,
        about.blobs.count,
        about.blobs.bytes,
        into.display(),
        about.root,
    );
    out.tell(&sentence, &serde_json::to_value(&about)?);
    Ok(about.blobs.said())
}

/// Copies the database and says where its blobs are.
async fn snapshot(settings: &Settings, file: &Path) -> Result<Arc<dyn Blobs>> {
    let schema = storage::schema();
    match &settings.postgres {
        Some(postgres) => {
            let store = Storage::postgres(postgres, &schema).await?;
            store.snapshot(file, &schema).await?;
            Ok(Beside::of(settings)?.blobs(&store))
        }
        None => {
            SqliteStore::snapshot(&settings.data, file)?;
            Ok(Arc::new(DirBlobs::of(&settings.data)))
        }
    }
}

/// Reads the copy back, and holds it against what was signed.
fn check(database: &Path, anchored: Option<&[u8]>) -> Result<Checked> {
    let signed = anchored.map(Checkpoint::stated).transpose();
    let signed = signed.context("reading the anchored checkpoint")?;
    let checked = snapshot::check(database, signed.as_ref().map_or(0, Checkpoint::size))?;
    snapshot::check_told(database)?;
    if let Some(signed) = &signed {
        continues(&checked, signed)?;
    }
    Ok(checked)
}

/// Makes the folder that becomes `into` in the end, for its owner only: there are names in it. One that a killed backup
/// left is emptied.
fn begin(into: &Path) -> Result<PathBuf> {
    let folder = into.with_added_extension("unfinished");
    let make = || {
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(&folder)
    };
    make().with_context(|| format!("making `{}`", folder.display()))?;
    Ok(folder)
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    use std::io::Write as _;
    let write = || {
        let mut options = File::options();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().with_context(|| format!("writing `{}`", path.display()))
}

/// Gives the whole folder its name, durably.
fn finish(folder: &Path, into: &Path) -> Result<()> {
    let parent = into.parent().filter(|parent| *parent != Path::new(""));
    let finish = || {
        File::open(folder)?.sync_all()?;
        fs::rename(folder, into)?;
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
    };
    finish().with_context(|| format!("making `{}`", into.display()))
}
