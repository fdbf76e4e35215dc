//! What a world's LUMOS stands on: a folder with SQLite in it, or a database of a PostgreSQL server.

use std::path::Path;

use anyhow::{Context as _, Result};
use lumos_store::{Opened, PostgresSettings, PostgresStore, SqliteStore};

/// Where the ledger of a world is kept.
#[derive(Debug, Clone)]
pub enum Ground {
    /// In SQLite, with blobs beside it.
    Folder,
    /// In an empty database, blobs and all, as several replicas share one.
    Database(PostgresSettings),
}

impl Ground {
    /// Opens what is there, making its tables where there is nothing yet.
    pub(crate) async fn open(&self, data: &Path) -> Result<Opened> {
        let schema = lumos_engine::schema();
        Ok(match self {
            Self::Folder => {
                let store = SqliteStore::open(data, &schema);
                store.context("opening the ledger")?.into()
            }
            Self::Database(settings) => {
                let store = PostgresStore::open(settings, &schema).await;
                store.context("opening the ledger")?.into()
            }
        })
    }
}
