//! `lumos migrate`: the ledger of a data directory moves to the PostgreSQL database that the settings name. Entry for
//! entry the same, so that its root, its anchor and every proof stay what they are.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use lumos_engine::{ports::Store as _, runtime};
use lumos_ledger::Checkpoint;
use lumos_store::{
    DirBlobs, DirLock, FileAnchor, PostgresStore, SnapshotError, SqliteStore,
    snapshot::{self, Checked},
};

use super::{DATABASE, continues, copy};
use crate::{
    cli::Common,
    commands::{Out, Said},
    serve::own_folder,
    settings,
    storage::{self, Beside, Storage},
};

/// What ends the names of the files that were moved from.
const MOVED: &str = "lumos.db.moved";

/// Moves the ledger.
///
/// # Errors
/// When the settings name no database to move to, a server runs, there is no ledger or one that was not all signed for,
/// the database holds another one, or something cannot be read or written.
pub(crate) async fn migrate(common: &Common, out: Out) -> Result<Said> {
    let settings = settings::load(common.config.as_deref(), common.data.as_deref())?.settings;
    let Some(postgres) = &settings.postgres else {
        bail!("the settings name no database to move to: add `postgres:` to them");
    };
    let data = own_folder(&settings.data)?;
    let database = data.join(DATABASE);
    if !database.exists() {
        bail!("there is no ledger to move in `{}`", data.display());
    }
    let lock = DirLock::take(&data)?;
    let work = tempfile::tempdir_in(&data).context("making a folder for the copy")?;
    let copied = work.path().join(DATABASE);
    SqliteStore::snapshot(&data, &copied)?;
    let note = FileAnchor::beside(&data)?.checkpoint()?;
    let note = note.context("reading the anchor: there is none, so what was signed is unknown")?;
    let signed = Checkpoint::stated(&note).context("reading the anchored checkpoint")?;
    let checked = snapshot::check(&copied, signed.size())?;
    continues(&checked, &signed)?;

    let store = Storage::postgres(postgres, &storage::schema()).await?;
    let blobs = copy(&DirBlobs::of(&data), &*Beside::of(&settings)?.blobs(&store)).await?;
    load(&store, &copied, &checked).await?;
    // The ledger is there now; what is here must not be taken for it again.
    let kept = set_aside(&data)?;
    drop(lock);
    let (size, root) = (checked.head.size(), checked.head.root().to_base64());
    let sentence = format!(
        "{size} entries and {} blobs are in the database now, with the same root\nroot {root}\n\
         what was here is kept as `{}`, and the blobs in `{}`: remove them when you have a backup",
        blobs.count,
        kept.display(),
        data.join("blobs").display()
    );
    let value = serde_json::json!({ "size": size, "root": root, "blobs": blobs });
    out.tell(&sentence, &value);
    Ok(blobs.said())
}

/// Fills the database, or finds that an earlier attempt did.
async fn load(store: &PostgresStore, copied: &Path, checked: &Checked) -> Result<()> {
    match store.load(copied, &[], false).await {
        Ok(there) if there == checked.head => {}
        Ok(_) => bail!("what was loaded has another root than what was read"),
        Err(SnapshotError::NotEmpty { .. }) if store.frontier().await? == checked.head => {}
        Err(error) => return Err(error.into()),
    }
    // The server that had taken them does not run: its directory is ours.
    runtime::let_all_go(store).await?;
    Ok(())
}

/// Renames the database and the log that belongs to it.
fn set_aside(data: &Path) -> Result<PathBuf> {
    for rest in ["", "-wal", "-shm"] {
        let from = data.join(format!("{DATABASE}{rest}"));
        let to = data.join(format!("{MOVED}{rest}"));
        if from.exists() {
            fs::rename(&from, &to).with_context(|| format!("renaming `{}`", from.display()))?;
        }
    }
    let sync = || fs::File::open(data)?.sync_all();
    sync().with_context(|| format!("setting aside what is in `{}`", data.display()))?;
    Ok(data.join(MOVED))
}
