//! What a world's LUMOS stands on: a folder with SQLite in it, or a database of a PostgreSQL server.

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, Result};
use lumos_engine::{
    notary::Turn,
    ports::{Blobs, Clock, PortError, Statement, Store, StoredEntry},
};
use lumos_store::{DirBlobs, PostgresSettings, PostgresStore, SqliteStore};

/// Where the ledger of a world is kept.
#[derive(Debug, Clone)]
pub enum Ground {
    /// In SQLite, with blobs beside it.
    Folder,
    /// In an empty database, blobs and all, as several replicas share one.
    Database(PostgresSettings),
}

/// The open store of a process, or of whoever checks what processes left.
pub(crate) enum Opened {
    Sqlite(Arc<SqliteStore>),
    Postgres(Arc<PostgresStore>),
}

impl Opened {
    /// Opens what is there, making its tables where there is nothing yet.
    pub(crate) async fn open(ground: &Ground, data: &Path) -> Result<Self> {
        let schema = lumos_engine::schema();
        Ok(match ground {
            Ground::Folder => {
                let store = SqliteStore::open(data, &schema).context("opening the ledger")?;
                Self::Sqlite(Arc::new(store))
            }
            Ground::Database(settings) => {
                let store = PostgresStore::open(settings, &schema).await;
                Self::Postgres(Arc::new(store.context("opening the ledger")?))
            }
        })
    }

    pub(crate) fn store(&self) -> Arc<dyn Store> {
        match self {
            Self::Sqlite(store) => Arc::clone(store) as _,
            Self::Postgres(store) => Arc::clone(store) as _,
        }
    }

    pub(crate) fn blobs(&self, data: &Path) -> Result<Arc<dyn Blobs>> {
        Ok(match self {
            Self::Sqlite(_) => Arc::new(DirBlobs::open(data)?),
            Self::Postgres(store) => Arc::new(store.blobs()),
        })
    }

    /// Whose turn it is to sign, where others could; `store` is this one, faults and all.
    pub(crate) async fn turn(
        &self,
        store: &Arc<dyn Store>,
        clock: &Arc<dyn Clock>,
        holder: String,
    ) -> Result<Option<Turn>, PortError> {
        Ok(match self {
            Self::Sqlite(_) => None,
            Self::Postgres(_) => {
                Some(Turn::new(Arc::clone(store), Arc::clone(clock), holder).await?)
            }
        })
    }

    pub(crate) async fn needs_rebuild(&self) -> Result<bool, PortError> {
        match self {
            Self::Sqlite(store) => store.needs_rebuild().await,
            Self::Postgres(store) => store.needs_rebuild().await,
        }
    }

    pub(crate) async fn rebuild(
        &self,
        tables: &[&str],
        views: &str,
        meaning: impl FnMut(&StoredEntry) -> Vec<Statement> + Send,
    ) -> Result<(), PortError> {
        match self {
            Self::Sqlite(store) => store.rebuild(tables, meaning).await,
            Self::Postgres(store) => store.rebuild(tables, views, meaning).await,
        }
    }
}
