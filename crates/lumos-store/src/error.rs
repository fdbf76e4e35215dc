//! Why a store could not be opened. What fails later is a `PortError` of the engine.

use std::path::PathBuf;

use lumos_engine::ports::PortError;

use crate::postgres::{Hazard, listed};

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process, or another store of this one, has it.
    #[error("opening data directory `{}`: it is in use{}", dir.display(), holder(*pid))]
    InUse {
        /// The data directory.
        dir: PathBuf,
        /// The process that holds it, where its lock file says so.
        pid: Option<u32>,
    },
    /// The directory or a file in it could not be made, read or written.
    #[error("opening data directory `{}`: {doing}", dir.display())]
    Unusable {
        /// The data directory.
        dir: PathBuf,
        /// What we were doing.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// The database refused, or is not a database.
    #[error("opening the database: {doing}")]
    Database {
        /// What we were doing.
        doing: String,
        /// Why it failed.
        #[source]
        source: rusqlite::Error,
    },
    /// The PostgreSQL server cannot be reached, or refused.
    #[error("opening the database: {doing}")]
    Postgres {
        /// What we were doing.
        doing: String,
        /// Why it failed.
        #[source]
        source: PortError,
    },
    /// The address of the database cannot be used.
    #[error("reading the address of the database: {problem}")]
    Address {
        /// What is wrong with it.
        problem: String,
    },
    /// The server or the database is of a kind that cannot hold a ledger.
    #[error("opening the database: {problem}")]
    Unfit {
        /// What is wrong with it.
        problem: String,
    },
    /// A power cut or a fail-over could lose entries that were acknowledged.
    #[error(
        "opening the database: it may lose acknowledged entries: {}",
        listed(hazards)
    )]
    MayLose {
        /// Which settings of the server make it so.
        hazards: Vec<Hazard>,
    },
    /// Tables are missing, and this role may not make them.
    #[error(
        "opening the database: its tables are not those of this version, and this role may not change them"
    )]
    NotMigrated {
        /// What the server said.
        #[source]
        source: PortError,
    },
    /// A newer version of LUMOS wrote it.
    #[error(
        "opening the database: it has schema version {found}, this version knows up to {known}"
    )]
    Newer {
        /// The schema version found.
        found: i64,
        /// The newest known.
        known: i64,
    },
    /// The entries and the stored head of the ledger contradict each other.
    #[error("opening the ledger: {problem}")]
    Head {
        /// What contradicts what.
        problem: String,
    },
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" by process {pid}"))
}

impl OpenError {
    /// The stable code of this error, a page in `docs/errors/`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::InUse { .. } => "data-dir-in-use",
            Self::Unusable { .. } => "data-dir-unusable",
            Self::Database { .. } | Self::Postgres { .. } => "database-failed",
            Self::Address { .. } => "database-address",
            Self::Unfit { .. } => "database-unfit",
            Self::MayLose { .. } => "database-may-lose",
            Self::NotMigrated { .. } => "database-not-migrated",
            Self::Newer { .. } => "data-dir-newer",
            Self::Head { .. } => "ledger-head-damaged",
        }
    }

    pub(crate) fn database(doing: impl Into<String>) -> impl FnOnce(rusqlite::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Database { doing, source }
    }
}
