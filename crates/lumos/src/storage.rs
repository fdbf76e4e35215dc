//! Where the ledger is kept: SQLite in the data directory, or PostgreSQL where the settings name one.

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, Result};
use lumos_engine::ports::{Blobs, PortError, Statement, Store, StoredEntry};
use lumos_store::{DirBlobs, DirLock, FileAnchor, PostgresSettings, PostgresStore, SqliteStore};

use crate::settings::{Postgres, Settings};

/// Why a store cannot be used as the settings say.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StorageError {
    /// Several servers would each keep an anchor of their own.
    #[error(
        "opening the ledger: {replicas} replicas are to write to it, but the anchor is a file of this machine; \
         each of them could sign a history of its own"
    )]
    AnchorNotShared {
        /// How many there are to be.
        replicas: u16,
    },
}

impl StorageError {
    /// The stable code of this error, a page in `docs/errors/`.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::AnchorNotShared { .. } => "anchor-not-shared",
        }
    }
}

/// The tables of everybody, beside the store's own.
pub(crate) fn schema() -> Vec<&'static str> {
    [lumos_engine::schema(), lumos_web::schema()].concat()
}

/// The open store.
pub(crate) enum Storage {
    Sqlite(Arc<SqliteStore>),
    Postgres {
        store: Arc<PostgresStore>,
        /// Keys, uploads and the anchor are files all the same: one server has them.
        _files: DirLock,
    },
}

impl Storage {
    /// Opens the store that the settings name.
    ///
    /// # Errors
    /// When it cannot be opened, or several replicas would share it without sharing an anchor.
    pub(crate) async fn open(settings: &Settings, data: &Path) -> Result<Self> {
        let schema = &schema();
        let Some(postgres) = &settings.postgres else {
            let store = SqliteStore::open(data, schema).context("opening the ledger")?;
            return Ok(Self::Sqlite(Arc::new(store)));
        };
        if postgres.replicas != 1 {
            let replicas = postgres.replicas;
            return Err(StorageError::AnchorNotShared { replicas }.into());
        }
        let files = DirLock::take(data)?;
        Ok(Self::Postgres {
            store: Arc::new(Self::postgres(postgres, schema).await?),
            _files: files,
        })
    }

    /// Opens the database, whoever else uses it.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(crate) async fn postgres(settings: &Postgres, schema: &[&str]) -> Result<PostgresStore> {
        let owner_url = settings.owner_url.as_ref();
        let settings = PostgresSettings {
            url: settings.url.expose().to_owned(),
            owner_url: owner_url.map(|url| url.expose().to_owned()),
            accept_loss: settings.accept_loss,
        };
        let store = PostgresStore::open(&settings, schema).await;
        store.context("opening the ledger")
    }

    /// The store, as the engine sees it.
    pub(crate) fn store(&self) -> Arc<dyn Store> {
        match self {
            Self::Sqlite(store) => Arc::clone(store) as _,
            Self::Postgres { store, .. } => Arc::clone(store) as _,
        }
    }

    /// The blobs that go with it.
    ///
    /// # Errors
    /// When their directory cannot be made.
    pub(crate) fn blobs(&self, data: &Path) -> Result<Arc<dyn Blobs>, PortError> {
        Ok(match self {
            Self::Sqlite(_) => Arc::new(DirBlobs::open(data)?),
            Self::Postgres { store, .. } => Arc::new(store.blobs()),
        })
    }

    /// Where its signed checkpoints are anchored.
    ///
    /// # Errors
    /// When the data directory has no name to derive it from.
    pub(crate) fn anchor(data: &Path) -> Result<FileAnchor, PortError> {
        FileAnchor::beside(data)
    }

    /// Whether a rebuild was cut short.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn needs_rebuild(&self) -> Result<bool, PortError> {
        match self {
            Self::Sqlite(store) => store.needs_rebuild().await,
            Self::Postgres { store, .. } => store.needs_rebuild().await,
        }
    }

    /// Empties `tables` and makes them anew from what each entry means.
    ///
    /// # Errors
    /// When a statement is refused or the database fails.
    pub(crate) async fn rebuild(
        &self,
        tables: &[&str],
        meaning: impl FnMut(&StoredEntry) -> Vec<Statement> + Send,
    ) -> Result<(), PortError> {
        match self {
            Self::Sqlite(store) => store.rebuild(tables, meaning).await,
            Self::Postgres { store, .. } => store.rebuild(tables, meaning).await,
        }
    }
}
