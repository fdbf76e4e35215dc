//! `lumos restore BACKUP`: a ledger where there is none, from a backup that does not go back behind what was signed.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use lumos_engine::{ports::Anchor, runtime};
use lumos_ledger::Checkpoint;
use lumos_store::{
    DirBlobs, DirLock,
    snapshot::{self, Checked},
};

use super::{
    ABOUT, ABOUT_MAX, About, CHECKPOINT, Copied, DATABASE, FORMAT, continues, copy, digest_of,
};
use crate::{
    cli::Common,
    commands::{Out, Said},
    serve::own_folder,
    settings::{self, Settings},
    storage::{self, Beside, Storage},
};

/// What is not restored, because no entry proves it and nothing is lost with it. Whoever was signed in when the backup was
/// made may have signed out since; what was signed last is what the anchor says, not what several servers told each other
/// then; which keys they have is seen when they start; and a request or delivery that is sent again is found done by the
/// entries.
const FORGOTTEN: &[&str] = &[
    "open_sessions",
    "signing",
    "server_keys",
    "key_reach",
    "idempotency",
    "deliveries",
];

/// Makes the ledger that the settings name from the backup in `from`. `held` is a checkpoint from elsewhere, to begin
/// with where the anchor was lost.
///
/// # Errors
/// When the backup is damaged, of another ledger or older than what was signed, there is a ledger already, or something
/// cannot be read or written.
pub(crate) async fn restore(
    from: &Path,
    held: Option<&Path>,
    common: &Common,
    out: Out,
) -> Result<Said> {
    let settings = settings::load(common.config.as_deref(), common.data.as_deref())?.settings;
    let about = about(from)?;
    if about.origin != settings.origin {
        let (theirs, ours) = (about.origin, settings.origin);
        bail!("the backup is of ledger `{theirs}`, the settings are those of `{ours}`");
    }
    let database = from.join(DATABASE);
    if digest_of(&database)? != about.database {
        bail!(
            "`{}` is not the file that the backup was finished with",
            database.display()
        );
    }
    let data = own_folder(&settings.data)?;
    let held_data = DirLock::take(&data)?;
    if settings.postgres.is_none() {
        snapshot::is_vacant(&data)?;
    }
    let beside = Beside::of(&settings)?;
    let anchor = beside.anchor(&data).await?;
    let begin = beginning(&*anchor, from, held).await?;
    let signed = Checkpoint::stated(&begin.note).context("reading the checkpoint")?;
    let checked = snapshot::check(&database, signed.size())?;
    snapshot::check_told(&database)?;
    continues(&checked, &signed)?;
    if begin.is_new {
        // Before the database: it must never be there without.
        let replaced = anchor.replace(None, &begin.note).await;
        replaced.context("beginning an anchor")?;
    }
    // Whoever wrote the backup could have written anything into the tables beside the ledger: the first start makes them
    // anew from what was hashed.
    let blobs = fill((&settings, &beside), (&data, &held_data), from).await?;
    tell(&checked, &signed, &about.root, &blobs, (&data, out));
    let said = blobs.said();
    let found = blobs.count + blobs.damaged.len() as u64;
    if found < about.blobs.count {
        eprintln!(
            "the backup had {} blobs, {found} are there: the rest is missing from it",
            about.blobs.count
        );
        return Ok(Said::No);
    }
    Ok(said)
}

/// Says what is there, and what of it nobody vouches for.
fn tell(
    checked: &Checked,
    signed: &Checkpoint,
    root: &str,
    blobs: &Copied,
    (data, out): (&Path, Out),
) {
    let (size, anchored) = (checked.head.size(), signed.size());
    let sentence = format!(
        "{size} entries and {} blobs are restored, behind the checkpoint at {anchored}\nroot {root}\n\
         put the keys back before you start it: `{}`",
        blobs.count,
        data.join("keys").display(),
    );
    let unsigned = size.saturating_sub(anchored);
    if unsigned > 0 {
        eprintln!(
            "nobody signed for the last {unsigned} entries, from {anchored} on: they are as the backup has them, and are \
             signed when the server starts. Read them then: `lumos ledger show --from {anchored}`"
        );
    }
    eprintln!(
        "not proven by any entry: where webhooks go on and their failed deliveries. LUMOS's own agents look at \
         everything again; see `lumos runtime list`"
    );
    let value = serde_json::json!({
        "size": size, "root": root, "anchored": anchored, "unsigned": unsigned, "blobs": blobs,
    });
    out.tell(&sentence, &value);
}

/// What a backup says of itself.
fn about(from: &Path) -> Result<About> {
    let path = from.join(ABOUT);
    let reading = || format!("reading `{}`", path.display());
    let file = fs::File::open(&path).with_context(reading)?;
    let mut bytes = Vec::new();
    file.take(ABOUT_MAX)
        .read_to_end(&mut bytes)
        .with_context(reading)?;
    let about: About = serde_json::from_slice(&bytes).with_context(reading)?;
    if about.format != FORMAT {
        bail!("{}: its format is `{}`", reading(), about.format);
    }
    Ok(about)
}

/// The checkpoint that the ledger must continue.
struct Beginning {
    note: Vec<u8>,
    /// Whether the anchor has to be told.
    is_new: bool,
}

async fn beginning(anchor: &dyn Anchor, from: &Path, held: Option<&Path>) -> Result<Beginning> {
    if let Some(anchored) = anchor.load().await? {
        if let Some(held) = held {
            bail!(
                "the anchor `{}` is there and decides, not `{}`",
                anchor.place(),
                held.display()
            );
        }
        return Ok(Beginning {
            note: anchored.note,
            is_new: false,
        });
    }
    let own: PathBuf = from.join(CHECKPOINT);
    let Some(held) = held else {
        bail!(
            "there is no anchor in `{}`: bring it back, or name the newest checkpoint you can get, from a witness, an \
             export or a receipt, with --anchor FILE. The backup's own is `{}`; with that one, nobody here notices \
             that the backup is old",
            anchor.place(),
            own.display()
        );
    };
    let note = fs::read(held).with_context(|| format!("reading `{}`", held.display()))?;
    Ok(Beginning { note, is_new: true })
}

/// Makes blobs first, then the database that names them.
async fn fill(
    (settings, beside): (&Settings, &Beside<'_>),
    (data, held): (&Path, &DirLock),
    from: &Path,
) -> Result<Copied> {
    let (database, blobs) = (from.join(DATABASE), DirBlobs::of(from));
    let Some(postgres) = &settings.postgres else {
        let copied = copy(&blobs, &DirBlobs::open(data)?).await?;
        snapshot::restore(&database, data, held, FORGOTTEN, true)?;
        return Ok(copied);
    };
    let store = Storage::postgres(postgres, &storage::schema()).await?;
    let copied = copy(&blobs, &*beside.blobs(&store)).await?;
    store.load(&database, FORGOTTEN, true).await?;
    runtime::let_all_go(&store).await?;
    Ok(copied)
}
