//! Decision projections: pure functions from events to rows, applied by the store in the transaction that
//! appends the event. Throw them away and rebuild them at will; nothing is true only here.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use lumos_domain::{
    actor::Actor,
    event::Event,
    id::Digest,
    manifest::Manifest,
    seal::{Sealed, SealedValue},
    stream::Stream,
    world::World,
};

use crate::{
    door::DoorError,
    key::ServerKey,
    ports::{Ports, Statement, StoredEntry},
    record::LedgerEntry,
};

pub mod compare;
pub mod enforcement;
pub mod lookups;
pub mod mentions;
pub mod models;
pub mod people;
pub mod proposals;
pub mod releases;
pub mod reviews;
pub mod timers;

/// The tables of every view, in one text for both databases.
#[must_use]
pub fn schema() -> Vec<&'static str> {
    [
        people::SCHEMA,
        mentions::SCHEMA,
        proposals::SCHEMA,
        models::SCHEMA,
        releases::SCHEMA,
        reviews::SCHEMA,
        enforcement::SCHEMA,
        timers::SCHEMA,
        lookups::SCHEMA,
    ]
    .concat()
}

/// The names of those tables, for a rebuild.
pub const TABLES: &[&str] = &[
    "people",
    "mentions",
    "proposals",
    "tokens",
    "models",
    "bindings",
    "bundles",
    "systems",
    "releases",
    "files",
    "reviews",
    "approvals",
    "assignments",
    "timers",
];

/// Entries read at a time for a rebuild.
const CHUNK: u32 = 1_024;

/// What a projection may look at beside the event: readable values and manifests.
#[derive(Debug)]
pub struct Facts {
    key: Arc<ServerKey>,
    sealed: BTreeMap<Sealed, String>,
    manifests: BTreeMap<Digest, Manifest>,
}

impl Facts {
    /// The values and manifests at hand when a command is appended.
    #[must_use]
    pub fn of(key: &Arc<ServerKey>, sealed: &[SealedValue], world: &World) -> Self {
        Self {
            key: Arc::clone(key),
            sealed: sealed
                .iter()
                .map(|s| (s.commitment, s.value.clone()))
                .collect(),
            manifests: world.manifests().map(|(d, m)| (*d, m.clone())).collect(),
        }
    }

    /// Nothing but the key: what needs a readable value or a manifest is left out of the views then.
    #[must_use]
    pub fn none(key: &Arc<ServerKey>) -> Self {
        Self {
            key: Arc::clone(key),
            sealed: BTreeMap::new(),
            manifests: BTreeMap::new(),
        }
    }

    fn text(&self, sealed: &Sealed) -> Option<&str> {
        self.sealed.get(sealed).map(String::as_str)
    }

    fn manifest(&self, digest: &Digest) -> Option<&Manifest> {
        self.manifests.get(digest)
    }
}

/// Everything a rebuild must look up before it can project the whole ledger.
///
/// # Errors
/// When an entry cannot be read, or a manifest is missing or broken.
pub async fn facts(ports: &Ports) -> Result<Facts, DoorError> {
    let mut facts = Facts {
        key: Arc::clone(&ports.key),
        sealed: BTreeMap::new(),
        manifests: BTreeMap::new(),
    };
    let mut next = 0;
    loop {
        let stored = ports.store.entries(next, CHUNK).await?;
        let Some(last) = stored.last() else {
            return Ok(facts);
        };
        next = last.index + 1;
        for entry in &stored {
            let (sealed, manifests) = needs(&LedgerEntry::read(entry)?.event);
            for (sealed, value) in sealed.iter().zip(ports.store.unseal(&sealed).await?) {
                facts.sealed.extend(value.map(|value| (*sealed, value)));
            }
            for digest in manifests {
                let missing = |source| DoorError::Manifest { digest, source };
                let bytes = ports.blobs.get(&digest).await?;
                let bytes = bytes.ok_or_else(|| missing(None))?;
                let manifest = Manifest::from_canonical(&bytes).map_err(|e| missing(Some(e)))?;
                facts.manifests.insert(digest, manifest);
            }
        }
    }
}

/// The rows that follow from a stored entry; none when this version cannot read it.
#[must_use]
pub fn meaning(stored: &StoredEntry, facts: &Facts) -> Vec<Statement> {
    LedgerEntry::read(stored).map_or_else(
        |_| Vec::new(),
        |entry| project(&entry.stream, &entry.actor, &entry.event, entry.time, facts),
    )
}

fn needs(event: &Event) -> (Vec<Sealed>, Vec<Digest>) {
    match event {
        Event::PersonAdded(added) => (vec![added.login], Vec::new()),
        Event::ReleaseIdentified(identified) => (Vec::new(), vec![identified.digest]),
        _ => (Vec::new(), Vec::new()),
    }
}

/// The rows that follow from `event`, to which `actor` led.
#[must_use]
pub fn project(
    stream: &Stream,
    actor: &Actor,
    event: &Event,
    time: Timestamp,
    facts: &Facts,
) -> Vec<Statement> {
    let mut rows = people::project(stream, event, facts);
    rows.extend(mentions::project(stream, actor, event));
    rows.extend(proposals::project(stream, event, time));
    rows.extend(models::project(stream, event));
    rows.extend(releases::project(stream, event, time, facts));
    rows.extend(reviews::project(stream, event, time));
    rows.extend(enforcement::project(stream, event));
    rows.extend(timers::project(stream, event));
    rows
}

macro_rules! statement {
    ($sql:literal $(, $param:expr)* $(,)?) => {
        crate::ports::Statement { sql: $sql, params: vec![$(crate::ports::Value::from($param)),*] }
    };
}
pub(crate) use statement;
