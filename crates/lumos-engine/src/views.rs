//! Decision projections: pure functions from events to rows, applied by the store in the transaction that
//! appends the event. Throw them away and rebuild them at will; nothing is true only here.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use lumos_domain::{
    event::Event,
    id::Digest,
    manifest::Manifest,
    seal::{Sealed, SealedValue},
    stream::Stream,
    world::World,
};

use crate::{key::ServerKey, ports::Statement};

pub mod enforcement;
pub mod models;
pub mod people;
pub mod releases;
pub mod reviews;
pub mod timers;

/// The tables of every view, in one text for both databases.
#[must_use]
pub fn schema() -> Vec<&'static str> {
    [
        people::SCHEMA,
        models::SCHEMA,
        releases::SCHEMA,
        reviews::SCHEMA,
        enforcement::SCHEMA,
        timers::SCHEMA,
    ]
    .concat()
}

/// The names of those tables, for a rebuild.
pub const TABLES: &[&str] = &[
    "people",
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

    /// Nothing yet, for a rebuild.
    #[must_use]
    pub const fn new(key: Arc<ServerKey>) -> Self {
        Self {
            key,
            sealed: BTreeMap::new(),
            manifests: BTreeMap::new(),
        }
    }

    /// Adds a readable value, for a rebuild.
    pub fn add_sealed(&mut self, sealed: Sealed, value: String) {
        self.sealed.insert(sealed, value);
    }

    /// Adds a manifest, for a rebuild.
    pub fn add_manifest(&mut self, digest: Digest, manifest: Manifest) {
        self.manifests.insert(digest, manifest);
    }

    fn text(&self, sealed: &Sealed) -> Option<&str> {
        self.sealed.get(sealed).map(String::as_str)
    }

    fn manifest(&self, digest: &Digest) -> Option<&Manifest> {
        self.manifests.get(digest)
    }
}

/// What a rebuild must look up before it can project `event`.
#[must_use]
pub fn needs(event: &Event) -> (Vec<Sealed>, Vec<Digest>) {
    match event {
        Event::PersonAdded(added) => (vec![added.login], Vec::new()),
        Event::ReleaseIdentified(identified) => (Vec::new(), vec![identified.digest]),
        _ => (Vec::new(), Vec::new()),
    }
}

/// The rows that follow from `event`.
#[must_use]
pub fn project(stream: &Stream, event: &Event, time: Timestamp, facts: &Facts) -> Vec<Statement> {
    let mut rows = people::project(stream, event, facts);
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
