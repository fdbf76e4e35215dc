//! `lumos evidence-pack`: a release, or what came to run in a period, as a folder that is checked without LUMOS. From a
//! server with the caller's rights, or from a data directory that no server runs on.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use lumos_domain::manifest::is_safe_path;
use lumos_engine::{
    pack::{self, Asked, File, Head, Pack, Source},
    proofs::Hashes,
};
use lumos_store::DirBlobs;
use lumos_web::{api::packs::SAMPLE, decisions, pack::page};
use serde_json::json;
use tokio::{runtime::Handle, sync::mpsc};

use super::{
    Out, Said,
    ask::instant,
    ledger::target::{Database, anchored, is_database, is_held},
};
use crate::{
    cli::{Common, EvidencePack},
    remote::Remote,
};

/// The largest archive taken from a server.
const ARCHIVE_BYTES_MAX: u64 = 64 << 30;
/// Files on their way from the ledger to the folder.
const WAITING: usize = 64;

pub(super) async fn run(asked: EvidencePack, common: &Common, out: &Out) -> Result<Said> {
    let into = asked
        .out
        .clone()
        .unwrap_or_else(|| PathBuf::from("evidence"));
    if fs::read_dir(&into).is_ok_and(|mut found| found.next().is_some()) {
        bail!(
            "`{}` exists and is not empty: name another folder with --out",
            into.display()
        );
    }
    let offline = common
        .data
        .as_deref()
        .filter(|dir| common.server.is_none() && is_database(dir) && !is_held(dir));
    match offline {
        Some(dir) => from_data(&asked, dir, &into).await?,
        None => from_server(&asked, &Remote::of(common)?, &into).await?,
    }
    let read = fs::read(into.join("pack.json")).context("reading the pack that was made")?;
    let made: Pack = serde_json::from_slice(&read).context("reading the pack that was made")?;
    tell(&made, &into, out);
    Ok(Said::Yes)
}

fn tell(made: &Pack, into: &Path, out: &Out) {
    let mut sentence = format!(
        "{}: {} entries of the first {} of {}, in `{}`",
        made.title(),
        made.entries.len(),
        made.ledger.size,
        made.ledger.origin,
        into.display()
    );
    if let Some(period) = &made.period {
        sentence.push_str(&format!(
            "\n{} changes, {} with a check that does not hold, {} drawn",
            period.population, period.unmatched, period.drawn
        ));
    }
    let unseen = made.unseen.len();
    sentence.push_str(&format!(
        "\n{unseen} things that LUMOS could not see are named in it"
    ));
    let value = json!({
        "folder": into, "size": made.ledger.size, "entries": made.entries.len(),
        "population": made.period.as_ref().map(|p| p.population),
        "unmatched": made.period.as_ref().map(|p| p.unmatched), "unseen": unseen,
    });
    out.tell(&sentence, &value);
}

/// The period asked for, as the query of an address.
fn query(asked: &EvidencePack) -> Result<Vec<(&'static str, String)>> {
    let from = asked
        .from
        .as_deref()
        .map(|text| instant(text, false))
        .transpose()?;
    let to = asked
        .to
        .as_deref()
        .map(|text| instant(text, true))
        .transpose()?;
    let all = [
        ("from", from.map(|from| from.to_string())),
        ("to", to.map(|to| to.to_string())),
        ("environment", asked.env.clone()),
        ("sample", asked.sample.map(|sample| sample.to_string())),
        ("seed", asked.seed.clone()),
    ];
    let given = all.into_iter();
    Ok(given
        .filter_map(|(name, value)| Some((name, value?)))
        .collect())
}

async fn from_server(asked: &EvidencePack, remote: &Remote, into: &Path) -> Result<()> {
    let (path, query) = match &asked.release {
        Some(release) => (
            format!("/api/v1/releases/{release}/evidence-pack"),
            Vec::new(),
        ),
        None => ("/api/v1/evidence-pack".to_owned(), query(asked)?),
    };
    let query: Vec<(&str, &str)> = query.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let folder = tempfile::tempdir().context("making a folder for the archive")?;
    let archive = folder.path().join("pack.tar");
    remote
        .download(&path, &query, &archive, ARCHIVE_BYTES_MAX)
        .await?;
    let into = into.to_owned();
    let unpacking = tokio::task::spawn_blocking(move || unpack(&archive, &into));
    unpacking.await.context("unpacking broke")?
}

/// Unpacks an archive of plain files, without its outermost folder. What a server sends is not trusted to stay inside.
fn unpack(archive: &Path, into: &Path) -> Result<()> {
    let named = || format!("unpacking `{}`", archive.display());
    let mut archive = tar::Archive::new(io::BufReader::new(fs::File::open(archive)?));
    for entry in archive.entries().with_context(named)? {
        let mut entry = entry.with_context(named)?;
        let path = entry.path().with_context(named)?;
        let path = path.to_str().and_then(|path| path.split_once('/'));
        let path = path
            .map(|(_, path)| path.to_owned())
            .filter(|path| is_safe_path(path));
        let Some(path) = path.filter(|_| entry.header().entry_type().is_file()) else {
            bail!("the server's archive holds what is no plain file inside the pack");
        };
        let path = into.join(path);
        make_folder_of(&path)?;
        let mut file =
            fs::File::create_new(&path).with_context(|| format!("writing `{}`", path.display()))?;
        io::copy(&mut entry, &mut file).with_context(|| format!("writing `{}`", path.display()))?;
    }
    Ok(())
}

fn make_folder_of(path: &Path) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).with_context(|| format!("making `{}`", folder.display()))
}

/// Makes the pack from a data directory. That it was read is in no ledger then: there is nobody to write it.
async fn from_data(asked: &EvidencePack, dir: &Path, into: &Path) -> Result<()> {
    let vkey = asked.vkey.as_deref().context(
        "a data directory names no key: give the ledger's with --vkey, so that only what it signed is used",
    )?;
    let head = Head::open(&anchored(dir)?, &[vkey.parse().context("reading --vkey")?])
        .context("reading the signed checkpoint of the data directory")?;
    let copied = dir.to_owned();
    let handle = Handle::current();
    let opened = tokio::task::spawn_blocking(move || Database::open(&copied, handle));
    let database = opened.await.context("copying the database broke")??;
    let store = &*database.store;
    let asks = decisions::asks(store)
        .await
        .map_err(|problem| anyhow::anyhow!(problem))?;
    let source = Source {
        store,
        blobs: &DirBlobs::of(dir),
        proofs: &Hashes::default(),
        asks: &asks,
    };
    let what = what(asked, &head)?;
    let (sender, files) = mpsc::channel(WAITING);
    let folder = into.to_owned();
    let writing = tokio::task::spawn_blocking(move || write(files, &folder));
    let made = pack::make(source, &head, &what, page, sender).await;
    // The writer knows better why it ended early.
    writing.await.context("writing the pack broke")??;
    made?;
    eprintln!("made from a data directory: no ledger records that it was read");
    Ok(())
}

fn what(asked: &EvidencePack, head: &Head) -> Result<Asked> {
    if let Some(release) = &asked.release {
        let release = release.parse().context("reading the release")?;
        return Ok(Asked::Release { release });
    }
    let (Some(from), Some(to)) = (&asked.from, &asked.to) else {
        bail!("offline there is no now: give the period with --from and --to");
    };
    let root = || head.checkpoint.root().to_base64();
    Ok(Asked::Period {
        from: instant(from, false)?,
        to: instant(to, true)?,
        environment: asked.env.as_deref().map(str::parse).transpose()?,
        sample: asked.sample.unwrap_or(SAMPLE),
        seed: asked.seed.clone().unwrap_or_else(root),
    })
}

fn write(mut files: mpsc::Receiver<File>, into: &Path) -> Result<()> {
    while let Some(file) = files.blocking_recv() {
        let path = into.join(&file.path);
        make_folder_of(&path)?;
        fs::write(&path, file.bytes).with_context(|| format!("writing `{}`", path.display()))?;
    }
    Ok(())
}
