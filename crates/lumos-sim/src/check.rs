//! What must be so when a story is told, whatever happened on the way. Everything is read anew from the disk, as
//! the next LUMOS, or an auditor, would find it.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    convert::Infallible,
    path::PathBuf,
};

use anyhow::{Context as _, Result, bail, ensure};
use lumos_domain::stream::Stream;
use lumos_engine::{
    Door, LedgerEntry,
    ports::{Clock as _, Ports, Row, Store, StoredEntry, Value},
    runtime, views,
};
use lumos_ledger::{
    Checkpoint, Hash,
    export::{self, EntryReader, Export},
    note::Note,
    proof::MemoryHashes,
    tree,
    verify::{self, Depth, ReadError, Source, Trust},
};
use lumos_store::{FileAnchor, Opened};
use serde_json::Value as Json;

use crate::{World, house, process::Key, story, wait::finish};

/// What a told story leaves behind, free of what may differ from run to run: times, salts, and the digests that
/// follow from them. Two worlds with the same story have the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// What happened in each stream, in order.
    pub streams: BTreeMap<String, Vec<String>>,
    /// The aliases that were moved in the registry.
    pub moves: Vec<(String, String, String)>,
}

impl Shape {
    /// Whether the developer's erasure was asked for once and carried out once.
    #[must_use]
    pub fn erased(&self) -> bool {
        let happened = self.streams.get("person/p-developer");
        let count = |kind: &str| {
            let events = happened.into_iter().flatten();
            events.filter(|event| event.contains(kind)).count()
        };
        (count("erasure.requested"), count("erasure.carried_out")) == (1, 1)
    }
}

impl World {
    /// Checks everything there is to check, and gives the shape of it.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self) -> Result<Shape> {
        let runtime = self.runtime();
        let _entered = runtime.enter();
        let data = self.outside.data();
        let opened = finish(self.ground.open(&data))?;
        let store = opened.store();
        let entries = finish(store.entries(0, u32::MAX))?;
        self.whole(&*store, &entries)?;
        self.acknowledged(&*store, &entries)?;
        self.signed(&entries)?;
        nothing_is_left(&*store)?;
        let ports = Ports {
            store,
            blobs: opened.blobs(&data)?,
            clock: std::sync::Arc::clone(&self.outside.clock) as _,
            entropy: std::sync::Arc::clone(&self.outside.entropy) as _,
            key: house::key(),
        };
        self.governed(&ports)?;
        self.rebuilt(&opened, &ports)?;
        Ok(Shape {
            streams: streams(&entries)?,
            moves: self.moves(),
        })
    }

    /// The files of the data directory in which `text` stands.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn files_with(&self, text: &str) -> Result<Vec<PathBuf>> {
        // Where the ledger is in a database, there need not be any.
        let mut folders = vec![self.outside.data()];
        folders.retain(|data| data.exists());
        let mut found = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder)? {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let bytes = std::fs::read(&path)?;
                if bytes
                    .windows(text.len())
                    .any(|part| part == text.as_bytes())
                {
                    found.push(path);
                }
            }
        }
        Ok(found)
    }

    /// The database holds what its head says, and an export of it verifies offline.
    fn whole(&self, store: &dyn Store, entries: &[StoredEntry]) -> Result<()> {
        let hashes: MemoryHashes = leaves(entries).into_iter().collect();
        let frontier = finish(store.frontier())?;
        ensure!(
            frontier == *hashes.frontier(),
            "the head is not that of the entries"
        );
        let note = FileAnchor::beside(&self.outside.data())?.checkpoint()?;
        let note = Note::parse(&note.context("there is no anchor")?)?;
        let vkeys = [Key::new()?.verifier_key().clone()];
        let export = Export {
            checkpoint: &note,
            vkeys: &vkeys,
            entries: Entries(entries),
            hashes: &hashes,
        };
        let mut files = Files::default();
        for file in export::files(frontier.size()) {
            files.0.insert(file.to_string(), export.bytes(&file)?);
        }
        let trust = Trust {
            keys: &vkeys,
            earlier: &[],
            depth: Depth::Envelopes,
            keep: None,
        };
        let report = verify::verify(&files, &trust)?;
        ensure!(
            report.entries == frontier.size(),
            "the anchor covers {} of {} entries",
            report.entries,
            frontier.size()
        );
        Ok(())
    }

    /// No acknowledged entry is missing or another one, and no command led to entries twice.
    fn acknowledged(&self, store: &dyn Store, entries: &[StoredEntry]) -> Result<()> {
        let leaves = leaves(entries);
        for answered in self.plan().answered() {
            let (id, was) = (&answered.command_id, answered.appended);
            let now = finish(store.appended(id))?.with_context(|| format!("{id} is lost"))?;
            ensure!(
                (now.first, now.count) == (was.first, was.count),
                "{id} was moved from {} to {}",
                was.first,
                now.first
            );
            let first = usize::try_from(was.first)?;
            let kept = leaves.get(first..first + answered.leaves.len());
            ensure!(
                kept == Some(&answered.leaves[..]),
                "{id} is not what was acknowledged"
            );
        }
        let mut commands: BTreeMap<String, u64> = BTreeMap::new();
        let mut before = String::new();
        for entry in entries {
            let entry = LedgerEntry::read(entry)?;
            if entry.command_id != before {
                if let Entry::Occupied(earlier) = commands.entry(entry.command_id.clone()) {
                    bail!(
                        "{} was done at {} and at {}",
                        entry.command_id,
                        earlier.get(),
                        entry.index
                    );
                }
                commands.insert(entry.command_id.clone(), entry.index);
            }
            before = entry.command_id;
        }
        Ok(())
    }

    /// Every checkpoint that anybody saw is a prefix of the ledger as it is now.
    fn signed(&self, entries: &[StoredEntry]) -> Result<()> {
        let leaves = leaves(entries);
        let keys = [Key::new()?.verifier_key().clone()];
        for note in &self.published {
            let opened = Checkpoint::open(note, &keys)?;
            let size = usize::try_from(opened.checkpoint.size())?;
            let prefix = leaves
                .get(..size)
                .context("more was signed than there is")?;
            ensure!(
                tree::root(prefix) == *opened.checkpoint.root(),
                "another history of {size} entries was signed"
            );
        }
        Ok(())
    }

    /// Both versions were approved and the alias moved for each; in the end one approval holds.
    fn governed(&self, ports: &Ports) -> Result<()> {
        let door = finish(Door::open(ports.clone(), house::ORIGIN))?;
        let now = self.outside.clock.now();
        let approved = |version: &str| -> Result<bool> {
            let review = story::review(version)?;
            let asked = finish(door.ask(|world| {
                lumos_domain::review::approved(world, &review, now)?;
                Ok(())
            }));
            Ok(asked.is_ok())
        };
        let holds = self.outside.story().holds;
        for version in ["1", "2"] {
            let is = approved(version)?;
            ensure!(is == (version == holds), "version {version} approved: {is}");
        }
        let moves = self.moves();
        let moved: Vec<_> = moves
            .iter()
            .map(|(alias, version, _)| (alias.as_str(), version.as_str()))
            .collect();
        ensure!(
            moved == [("champion", "1"), ("champion", "2")],
            "the alias was moved otherwise than once for each approval: {moves:?}"
        );
        let alias = self.outside.models().join("triage/.aliases/champion");
        ensure!(
            std::fs::read_to_string(alias)?.trim() == "2",
            "the alias names something else"
        );
        Ok(())
    }

    /// The tables beside the ledger are what the ledger makes them.
    fn rebuilt(&self, opened: &Opened, ports: &Ports) -> Result<()> {
        let before = tables(&*ports.store)?;
        let facts = finish(views::facts(ports))?;
        let made_by = views::lookups::made_by(&ports.key);
        finish(opened.rebuild(views::TABLES, &made_by, |entry| {
            views::meaning(entry, &facts)
        }))?;
        let after = tables(&*ports.store)?;
        for (table, rows) in &before {
            ensure!(
                after.get(table) == Some(rows),
                "table `{table}` is {rows:?}, rebuilt it is {:?}",
                after.get(table)
            );
        }
        Ok(())
    }
}

/// Every agent looked at everything and owes nothing.
fn nothing_is_left(store: &dyn Store) -> Result<()> {
    let size = finish(store.frontier())?.size();
    for progress in finish(runtime::progress(store))? {
        // The fourth agent has no work in this story and follows nothing.
        let follows = progress.next > 0;
        let done = !follows || (progress.next, progress.waiting) == (size, 0);
        ensure!(
            done && progress.dead.is_empty(),
            "{} of {size} entries: {progress:?}",
            progress.next
        );
    }
    Ok(())
}

fn leaves(entries: &[StoredEntry]) -> Vec<Hash> {
    entries
        .iter()
        .map(|entry| tree::leaf_hash(&entry.bytes))
        .collect()
}

/// What happened in each stream. Starts are left out: how many there are is what the faults decide.
fn streams(entries: &[StoredEntry]) -> Result<BTreeMap<String, Vec<String>>> {
    let mut by_stream: BTreeMap<String, Vec<LedgerEntry>> = BTreeMap::new();
    for stored in entries {
        let entry = LedgerEntry::read(stored)?;
        if entry.event.kind() != "lumos.start.recorded.v1" {
            let stream = match &entry.stream {
                // Its id is the hash of what it proposes, salts and all.
                Stream::Proposal(_) => "proposal".to_owned(),
                stream => stream.to_string(),
            };
            by_stream.entry(stream).or_default().push(entry);
        }
    }
    // Digests are named in the order they are met in, the same in every world.
    let mut names = BTreeMap::new();
    let mut shape = BTreeMap::new();
    for (stream, entries) in by_stream {
        let mut told = Vec::new();
        for entry in entries {
            let mut data: Json = serde_json::from_str(&entry.event.to_json()?)?;
            plain(&mut data, &mut names);
            told.push(format!("{} by {}: {data}", entry.event.kind(), entry.actor));
        }
        shape.insert(stream, told);
    }
    Ok(shape)
}

/// Replaces times, and digests and commitments by the order in which they are met.
fn plain(value: &mut Json, names: &mut BTreeMap<String, usize>) {
    match value {
        Json::String(text) => {
            let hex = text.rsplit(':').next().unwrap_or_default();
            if hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()) {
                let next = names.len();
                let name = *names.entry(text.clone()).or_insert(next);
                *text = format!("#{name}");
            } else if text.parse::<jiff::Timestamp>().is_ok() {
                "a time".clone_into(text);
            }
        }
        Json::Array(values) => values.iter_mut().for_each(|value| plain(value, names)),
        Json::Object(fields) => {
            // Which of several records is kept longest, where seconds decide.
            if let (true, Some(record)) = (fields.contains_key("until"), fields.get_mut("record")) {
                *record = Json::from("a record");
            }
            fields.values_mut().for_each(|value| plain(value, names));
        }
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}

/// Every row of every table that a rebuild makes anew.
fn tables(store: &dyn Store) -> Result<BTreeMap<&'static str, Vec<String>>> {
    const ALL: &[(&str, &str)] = &[
        ("people", "SELECT * FROM people"),
        ("mentions", "SELECT * FROM mentions"),
        ("proposals", "SELECT * FROM proposals"),
        ("tokens", "SELECT * FROM tokens"),
        ("models", "SELECT * FROM models"),
        ("bindings", "SELECT * FROM bindings"),
        ("bundles", "SELECT * FROM bundles"),
        ("systems", "SELECT * FROM systems"),
        ("releases", "SELECT * FROM releases"),
        ("files", "SELECT * FROM files"),
        ("reviews", "SELECT * FROM reviews"),
        ("approvals", "SELECT * FROM approvals"),
        ("assignments", "SELECT * FROM assignments"),
        ("timers", "SELECT * FROM timers"),
    ];
    let named: Vec<_> = ALL.iter().map(|(table, _)| *table).collect();
    ensure!(
        named == views::TABLES,
        "these are not the tables of a rebuild"
    );
    let mut tables = BTreeMap::new();
    for (table, sql) in ALL {
        let rows = finish(store.query(sql, Vec::<Value>::new()))?;
        let mut rows: Vec<String> = rows.iter().map(|Row(row)| format!("{row:?}")).collect();
        rows.sort();
        tables.insert(*table, rows);
    }
    Ok(tables)
}

struct Entries<'a>(&'a [StoredEntry]);

impl EntryReader for Entries<'_> {
    type Error = Infallible;

    fn read_entries(&self, first: u64, count: u16) -> Result<Vec<Vec<u8>>, Infallible> {
        let first = usize::try_from(first).unwrap_or(usize::MAX);
        let entries = self.0.iter().skip(first).take(count.into());
        Ok(entries.map(|entry| entry.bytes.clone()).collect())
    }
}

/// An export in memory.
#[derive(Default)]
struct Files(BTreeMap<String, Vec<u8>>);

impl Source for Files {
    fn read(&self, path: &str, max_bytes: usize) -> Result<Vec<u8>, ReadError> {
        let bytes = self.0.get(path).ok_or("there is no such file")?;
        if bytes.len() > max_bytes {
            return Err("it is longer than it may be".into());
        }
        Ok(bytes.clone())
    }
}
