//! An open store of either kind, for whoever does more than the [`Store`] port says: its tables are made anew in each
//! kind's own way.

use std::{path::Path, sync::Arc};

use lumos_engine::ports::{Blobs, PortError, Statement, Store, StoredEntry};

use crate::{DirBlobs, PostgresStore, SqliteStore, snapshot::RESTORED};

/// An open store.
pub enum Opened {
    /// Of one process, in a folder.
    Sqlite(Arc<SqliteStore>),
    /// Of several equal replicas, in a database.
    Postgres(Arc<PostgresStore>),
}

impl From<SqliteStore> for Opened {
    fn from(store: SqliteStore) -> Self {
        Self::Sqlite(Arc::new(store))
    }
}

impl From<PostgresStore> for Opened {
    fn from(store: PostgresStore) -> Self {
        Self::Postgres(Arc::new(store))
    }
}

impl Opened {
    /// The store, as the engine sees it.
    #[must_use]
    pub fn store(&self) -> Arc<dyn Store> {
        match self {
            Self::Sqlite(store) => Arc::clone(store) as _,
            Self::Postgres(store) => Arc::clone(store) as _,
        }
    }

    /// The blobs beside it: in the folder `data`, or in its database.
    ///
    /// # Errors
    /// When their folder cannot be made.
    pub fn blobs(&self, data: &Path) -> Result<Arc<dyn Blobs>, PortError> {
        Ok(match self {
            Self::Sqlite(_) => Arc::new(DirBlobs::open(data)?),
            Self::Postgres(store) => Arc::new(store.blobs()),
        })
    }

    /// Whether a rebuild was cut short.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn needs_rebuild(&self) -> Result<bool, PortError> {
        match self {
            Self::Sqlite(store) => store.needs_rebuild().await,
            Self::Postgres(store) => store.needs_rebuild().await,
        }
    }

    /// Whether the ledger was restored, and no entry says so yet.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn was_restored(&self) -> Result<bool, PortError> {
        let sql = "SELECT 1 FROM meta WHERE key = $1";
        let noted = self.store().query(sql, vec![RESTORED.into()]).await?;
        Ok(!noted.is_empty())
    }

    /// Forgets that, once an entry says it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_restore(&self) -> Result<(), PortError> {
        let forget = Statement {
            sql: "DELETE FROM meta WHERE key = $1",
            params: vec![RESTORED.into()],
        };
        self.store().execute(vec![forget]).await.map(|_| ())
    }

    /// Says by which views this process writes and reads the tables beside the ledger.
    pub fn is_read_by(&self, views: &str) {
        match self {
            // Nobody else writes to it meanwhile.
            Self::Sqlite(_) => {}
            Self::Postgres(store) => store.is_read_by(views),
        }
    }

    /// Empties `tables` and makes them anew from what each entry means; `views` names what says so.
    ///
    /// # Errors
    /// When a statement is refused or the database fails.
    pub async fn rebuild(
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
