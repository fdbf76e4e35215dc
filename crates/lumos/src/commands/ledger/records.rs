//! Whether the business records are what the entries say, both ways. What the entries say is made anew from nothing
//! but them, by the same pure projections, in a database of its own that is thrown away.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use lumos_engine::{
    LedgerEntry,
    key::ServerKey,
    log_review::{self, Signatures},
    ports::{Append, NewEntry, Ports, Row, Store, StoredEntry},
    views::{
        self, Facts,
        compare::{Compared, Difference, How, NEED_MORE, compare, sealed},
    },
};
use lumos_ledger::{
    Checkpoint, Hash, VerifierKey,
    tile::{self, Kind, MAX_ENTRY, Tile, WIDTH},
    verify::Source,
};
use lumos_store::{DirBlobs, SqliteStore};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Handle;

use super::target::{Database, Live};
use crate::{
    edge::{OsEntropy, SystemClock},
    keys,
    remote::Remote,
};

/// How often a server's records are read again because it went on while they were read.
const TRIES: u32 = 10;
/// What it is given meanwhile to have its newest entries signed, and cosigned.
const PAUSE: Duration = Duration::from_millis(500);
/// Releases asked for at a time.
const PAGE: u32 = 100;
/// What stands in every entry that is a signature on the log.
const SIGNED: &[u8] = b"lumos.log_review.signed.v1";
/// The largest bundle.
const BUNDLE_BYTES: usize = WIDTH as usize * (2 + MAX_ENTRY);

/// What the entries say.
struct Made {
    store: SqliteStore,
    handle: Handle,
    facts: Facts,
    _home: TempDir,
}

impl Made {
    fn new(handle: Handle, facts: Facts) -> Result<Self> {
        let home = tempfile::tempdir().context("making a folder for what the entries say")?;
        let store = SqliteStore::open(home.path(), &lumos_engine::schema())
            .context("making a database for what the entries say")?;
        Ok(Self {
            store,
            handle,
            facts,
            _home: home,
        })
    }

    /// Reads on in `source` until there are `size` entries, whose root must be `root`: they were verified before,
    /// and a source could tell another story when it is read again.
    fn read_on(&self, source: &impl Source, size: u64, root: &Hash) -> Result<()> {
        let from = self.handle.block_on(self.store.frontier())?.size();
        bundles(source, from, size, |first, entries| {
            self.append(first, entries)
        })?;
        if self.handle.block_on(self.store.frontier())?.root() != *root {
            bail!("the entries were others when they were read again");
        }
        Ok(())
    }

    /// The signatures on the log, held against its entries.
    fn signatures(&self) -> Result<Signatures> {
        Ok(self.handle.block_on(log_review::signatures(&self.store))?)
    }

    fn append(&self, first: u64, entries: &[&[u8]]) -> Result<()> {
        let mut new = Vec::with_capacity(entries.len());
        for (index, bytes) in (first..).zip(entries) {
            let bytes = bytes.to_vec();
            let entry = LedgerEntry::read(&StoredEntry {
                index,
                bytes: bytes.clone(),
            })?;
            new.push(NewEntry {
                version: entry.version,
                kind: entry.event.kind(),
                bytes,
                projections: views::project(
                    &entry.stream,
                    &entry.actor,
                    &entry.event,
                    entry.time,
                    &self.facts,
                ),
                stream: entry.stream,
            });
        }
        let append = Append {
            command_id: format!("made-anew.{first}").parse()?,
            reads: Vec::new(),
            entries: new,
            sealed: Vec::new(),
            erase: Vec::new(),
            lease: None,
        };
        self.handle.block_on(self.store.append(append))?;
        Ok(())
    }
}

/// Compares every view of a database with what its entries say.
///
/// # Errors
/// When the entries cannot be read a second time.
pub(super) fn of_database(
    source: &impl Source,
    database: &Database,
    dir: &Path,
    signed: u64,
    handle: &Handle,
) -> Result<(Compared, Signatures)> {
    let head = handle.block_on(database.store.frontier())?;
    if head.size() != signed {
        bail!(
            "the database holds {} entries and its checkpoint signs for {signed}: the server ended before it signed \
             them (start it once), or somebody else wrote them",
            head.size()
        );
    }
    let (facts, without) = match handle.block_on(facts(dir, &database.store))? {
        Some(facts) => (facts, &[][..]),
        None => (nothing_else(), NEED_MORE),
    };
    let made = Made::new(handle.clone(), facts)?;
    made.read_on(source, head.size(), &head.root())?;
    let mut compared = handle.block_on(compare(&*database.store, &made.store, without))?;
    handle.block_on(sealed(&*database.store, &mut compared))?;
    Ok((compared, made.signatures()?))
}

/// Whether those who signed for the log in an export signed for what its entries give. The entries are read again; only
/// where somebody signed is anything made of them.
///
/// # Errors
/// When they cannot be read a second time.
pub(super) fn of_export(
    source: &impl Source,
    head: &Checkpoint,
    handle: &Handle,
) -> Result<Signatures> {
    let mut signed = false;
    let each = |_, entries: &[&[u8]]| {
        let says = |entry: &&[u8]| entry.windows(SIGNED.len()).any(|part| part == SIGNED);
        signed |= entries.iter().any(says);
        Ok(())
    };
    bundles(source, 0, head.size(), each)?;
    if !signed {
        return Ok(Signatures {
            all: 0,
            differing: Vec::new(),
        });
    }
    let made = Made::new(handle.clone(), nothing_else())?;
    made.read_on(source, head.size(), head.root())?;
    made.signatures()
}

/// Shows the entries from `from` up to `size`, a bundle of them at a time.
fn bundles(
    source: &impl Source,
    mut from: u64,
    size: u64,
    mut each: impl FnMut(u64, &[&[u8]]) -> Result<()>,
) -> Result<()> {
    while from < size {
        let number = from / u64::from(WIDTH);
        let bundle = Tile::in_tree(Kind::Entries, number, size).context("naming a bundle")?;
        let read = source.read(&bundle.to_string(), BUNDLE_BYTES);
        let bytes = read.map_err(|error| anyhow::anyhow!("reading `{bundle}`: {error}"))?;
        let entries = tile::decode_bundle(&bytes, bundle.width())?;
        let known = usize::try_from(from % u64::from(WIDTH))?;
        let entries = entries.get(known..).unwrap_or_default();
        each(from, entries)?;
        from += entries.len() as u64;
    }
    Ok(())
}

/// Compares what a server shows over its API with what its entries say. Where the server goes on meanwhile, what it
/// appended is read too, and the records once more.
///
/// # Errors
/// When the server refuses, or never rests.
pub(super) fn of_server(
    source: &impl Source,
    live: &Live,
    keys: &[VerifierKey],
    handle: &Handle,
) -> Result<(Compared, Signatures)> {
    let made = Made::new(handle.clone(), nothing_else())?;
    let head = || -> Result<Checkpoint> {
        let note = handle.block_on(live.remote.bytes("/ledger/checkpoint"))?;
        Ok(Checkpoint::open(&note, keys)?.checkpoint)
    };
    for _ in 0..TRIES {
        let before = head()?;
        made.read_on(source, before.size(), before.root())?;
        let compared = handle.block_on(shown(&live.remote, &made.store))?;
        // What an entry behind the checkpoint changed is no finding; it is compared once a checkpoint covers it.
        if compared.differing == 0 || !handle.block_on(has_more(&live.remote, before.size()))? {
            return Ok((compared, made.signatures()?));
        }
        handle.block_on(tokio::time::sleep(PAUSE));
    }
    bail!(
        "each time the records were read, the server held entries that no checkpoint covered yet; ask again when it rests"
    )
}

/// Whether the server holds entries from index `from` on.
async fn has_more(remote: &Remote, from: u64) -> Result<bool> {
    let from = from.to_string();
    let query = [("from", from.as_str()), ("limit", "1")];
    let entries = remote.look_up("/api/v1/ledger/entries", &query).await?;
    Ok(!array(&entries).is_empty())
}

/// The readable values and manifests of a data directory; nothing in a copy of the database alone, and what cannot
/// be made without them is then left out, which is said.
async fn facts(dir: &Path, store: &Arc<SqliteStore>) -> Result<Option<Facts>> {
    let Some(key) = keys::server(dir)?.filter(|_| dir.join("blobs").is_dir()) else {
        return Ok(None);
    };
    let ports = Ports {
        store: Arc::clone(store) as _,
        blobs: Arc::new(DirBlobs::open(dir)?),
        clock: Arc::new(SystemClock),
        entropy: Arc::new(OsEntropy),
        key: Arc::new(key),
    };
    Ok(Some(views::facts(&ports).await?))
}

/// For projections that have nothing but the entries.
fn nothing_else() -> Facts {
    Facts::none(&Arc::new(ServerKey::new([0; 32])))
}

/// Records by name, as text.
type Records = BTreeMap<String, String>;

/// What the API shows beside what the entries make.
async fn shown(remote: &Remote, made: &dyn Store) -> Result<Compared> {
    let mut compared = Compared {
        left_out: vec![
            "people",
            "tokens",
            "proposals",
            "timers",
            "bindings",
            "files",
            "mentions",
        ],
        ..Compared::default()
    };
    releases(remote, made, &mut compared).await?;
    let mut told = Records::new();
    let mut owners = Records::new();
    for system in list(remote, "/api/v1/systems").await? {
        owners.insert(text(&system["system"]), state_of(&system));
        for assignment in array(&system["assignments"]) {
            let name = text(&assignment["assignment"]);
            told.insert(name, assignment["releases"].to_string());
        }
    }
    let mut entries = Records::new();
    for (id, releases) in views::enforcement::assignments(made).await? {
        entries.insert(id.to_string(), serde_json::to_value(&releases)?.to_string());
    }
    put("assignments", &told, &entries, &mut compared);
    let rows = made
        .query("SELECT system, owner, stopped FROM systems", Vec::new())
        .await?;
    let made_system = |row: &Row| {
        let state = json!({ "owner": row.text(1), "stopped": row.int(2) == Some(1) });
        (row.text(0).to_owned(), state_of(&state))
    };
    put(
        "systems",
        &owners,
        &rows.iter().map(made_system).collect(),
        &mut compared,
    );
    let models = list(remote, "/api/v1/models").await?;
    let told = models
        .iter()
        .map(|m| (text(&m["model"]), text(&m["owner"])));
    let rows = made
        .query("SELECT model, owner FROM models", Vec::new())
        .await?;
    let entries = rows
        .iter()
        .map(|r| (r.text(0).to_owned(), r.text(1).to_owned()));
    put("models", &told.collect(), &entries.collect(), &mut compared);
    Ok(compared)
}

fn state_of(system: &Value) -> String {
    format!("{} {}", system["owner"], system["stopped"])
}

/// Releases, a page at a time from both sides, each with the reviews and approvals shown for it.
async fn releases(remote: &Remote, made: &dyn Store, compared: &mut Compared) -> Result<()> {
    let mut before = u64::MAX;
    let (mut all, mut reviews) = (Compared::default(), Compared::default());
    loop {
        let rows = views::releases::recent(made, before, PAGE).await?;
        let next = rows.last().map_or(0, |row| row.entry);
        let (mut told, mut entries) = (Records::new(), Records::new());
        let mut judged = Records::new();
        for row in rows {
            let (name, entry) = (row.release.to_string(), row.entry);
            let state = json!([
                entry,
                row.digest.map(|d| d.to_string()),
                row.state,
                row.test
            ]);
            entries.insert(name, state.to_string());
            let (model, version) = (row.release.model, row.release.version);
            for review in views::reviews::of_release(made, model.as_str(), version.as_str()).await?
            {
                judged.insert(review.review.to_string(), standing(&review.state));
            }
        }
        // The same stretch of the ledger, as the server tells it.
        let mut told_judged = Records::new();
        let mut below = before;
        'page: loop {
            let shown = page(remote, below).await?;
            let Some(last) = shown.last() else { break };
            for release in &shown {
                let entry = release["entry"].as_u64().unwrap_or_default();
                if entry < next {
                    break 'page;
                }
                let (model, version) = (text(&release["model"]), text(&release["version"]));
                let name = format!("{model}/{version}");
                let state = json!([entry, release["digest"], release["state"], release["test"]]);
                let view = remote.get(&format!("/api/v1/releases/{name}")).await;
                for review in array(&view.unwrap_or_default()["reviews"]) {
                    let state = standing(&text(&review["state"]));
                    told_judged.insert(text(&review["review"]), state);
                }
                told.insert(name, state.to_string());
            }
            below = last["entry"].as_u64().unwrap_or_default();
        }
        put("releases", &told, &entries, &mut all);
        put("reviews", &told_judged, &judged, &mut reviews);
        if next == 0 {
            break;
        }
        before = next;
    }
    for (kind, part) in [("releases", all), ("reviews", reviews)] {
        let records = part.kinds.iter().map(|(_, records)| records).sum();
        compared.kinds.push((kind, records));
        compared.differing += part.differing;
        compared.differences.extend(part.differences);
    }
    Ok(())
}

/// A review's state as both sides say it: the API adds a cause, and leaves it to the reader that an approval ended by
/// its date.
fn standing(state: &str) -> String {
    let word = state.split(':').next().unwrap_or_default();
    if word == "expired" { "approved" } else { word }.to_owned()
}

async fn page(remote: &Remote, before: u64) -> Result<Vec<Value>> {
    let (before, limit) = (before.to_string(), PAGE.to_string());
    let query = [("before", before.as_str()), ("limit", limit.as_str())];
    let shown = remote.look_up("/api/v1/releases", &query).await?;
    Ok(array(&shown).to_vec())
}

async fn list(remote: &Remote, path: &str) -> Result<Vec<Value>> {
    Ok(array(&remote.get(path).await?).to_vec())
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Adds what a kind of record says on both sides.
fn put(kind: &'static str, told: &Records, made: &Records, compared: &mut Compared) {
    let names: BTreeSet<&String> = told.keys().chain(made.keys()).collect();
    for name in names {
        let how = match (told.get(name), made.get(name)) {
            (Some(told), Some(made)) if told == made => continue,
            (Some(_), Some(_)) => How::Differs,
            (Some(_), None) => How::NoEntry,
            (None, _) => How::NoRecord,
        };
        compared.differing += 1;
        compared.differences.push(Difference {
            kind,
            record: name.clone(),
            how,
        });
    }
    compared.kinds.push((kind, made.len() as u64));
}
