//! Where the ledger is kept: SQLite in the data directory, or PostgreSQL where the settings name one; and where its
//! blobs and its anchor are, which several servers share in an object store.

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, Result};
use lumos_connect::{ObjectAnchor, ObjectBlobs, ObjectError, Objects};
use lumos_engine::{
    notary::{NotaryError, Turn},
    ports::{Anchor, AnchorError, Blobs, PortError},
    secret,
};
use lumos_http::{Client, Egress};
use lumos_ledger::Checkpoint;
use lumos_store::{DirLock, FileAnchor, Opened, PostgresSettings, PostgresStore, SqliteStore};

use crate::{
    edge::{OsEntropy, SystemClock},
    same_keys,
    settings::{Postgres, Settings},
};

/// Why a store cannot be used as the settings say.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StorageError {
    /// Several servers would each keep an anchor of their own.
    #[error(
        "opening the ledger: {replicas} replicas are to write to it, but the anchor is a file of this machine; \
         each of them could sign a history of its own. Name an object store: `objects`"
    )]
    AnchorNotShared {
        /// How many there are to be.
        replicas: u16,
    },
    /// Nobody writes to it.
    #[error("opening the ledger: `postgres.replicas` is 0, but this server writes to it")]
    NoReplicas,
    /// A ledger in the data directory has its anchor and its blobs beside it.
    #[error(
        "opening the ledger: `objects` is for a ledger in PostgreSQL, and the settings name none"
    )]
    ObjectsAlone,
}

impl StorageError {
    /// The stable code of this error, a page in `docs/errors/`.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::AnchorNotShared { .. } | Self::NoReplicas => "anchor-not-shared",
            Self::ObjectsAlone => "object-store-settings",
        }
    }
}

/// The tables of everybody, beside the store's own.
pub(crate) fn schema() -> Vec<&'static str> {
    [
        lumos_engine::schema(),
        lumos_web::schema(),
        same_keys::SCHEMA.to_vec(),
    ]
    .concat()
}

/// The open store, and what goes with it.
pub(crate) struct Storage {
    opened: Opened,
    /// The object store that holds the anchor, where one is named.
    objects: Option<Objects>,
    /// Blobs that are not beside the ledger.
    blobs: Option<Arc<dyn Blobs>>,
    /// How many servers write to it.
    replicas: u16,
    /// Beside a database, keys, uploads and perhaps the anchor are files all the same: one server has them. SQLite has
    /// its own.
    _files: Option<DirLock>,
}

impl Storage {
    /// Opens the store that the settings name.
    ///
    /// # Errors
    /// When it cannot be opened, or several replicas would share it without sharing an anchor.
    pub(crate) async fn open(settings: &Settings, data: &Path, http: &Client) -> Result<Self> {
        let schema = &schema();
        let Some(postgres) = &settings.postgres else {
            if settings.objects.is_some() {
                return Err(StorageError::ObjectsAlone.into());
            }
            let store = SqliteStore::open(data, schema).context("opening the ledger")?;
            return Ok(Self {
                opened: store.into(),
                objects: None,
                blobs: None,
                replicas: 1,
                _files: None,
            });
        };
        let replicas = postgres.replicas;
        match (replicas, &settings.objects) {
            (0, _) => return Err(StorageError::NoReplicas.into()),
            (2.., None) => return Err(StorageError::AnchorNotShared { replicas }.into()),
            _ => {}
        }
        let objects = objects_of(settings, http)?;
        let files = DirLock::take(data)?;
        Ok(Self {
            opened: Self::postgres(postgres, schema).await?.into(),
            blobs: blobs_of(settings, objects.as_ref()),
            objects,
            replicas,
            _files: Some(files),
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

    /// The store, and its tables.
    pub(crate) const fn opened(&self) -> &Opened {
        &self.opened
    }

    /// The blobs that go with it.
    ///
    /// # Errors
    /// When their directory cannot be made.
    pub(crate) fn blobs(&self, data: &Path) -> Result<Arc<dyn Blobs>, PortError> {
        match &self.blobs {
            Some(blobs) => Ok(Arc::clone(blobs)),
            None => self.opened.blobs(data),
        }
    }

    /// Where its signed checkpoints are anchored, and whose turn it is to sign where several servers share that.
    ///
    /// # Errors
    /// When the data directory has no name to derive it from, or the object store cannot hold an anchor.
    pub(crate) async fn anchor(&self, data: &Path) -> Result<(Arc<dyn Anchor>, Option<Turn>)> {
        let file = FileAnchor::beside(data)?;
        let Some(objects) = &self.objects else {
            return Ok((Arc::new(file), None));
        };
        let anchor = shared(objects).await?;
        bring(&file, &anchor).await?;
        let this = secret::secret(&OsEntropy);
        let turn = Turn::new(self.opened.store(), Arc::new(SystemClock), this).await?;
        Ok((Arc::new(anchor), Some(turn)))
    }

    /// How many servers write to it.
    pub(crate) const fn replicas(&self) -> u16 {
        self.replicas
    }
}

/// The object store that the settings name, if they do.
fn objects_of(settings: &Settings, http: &Client) -> Result<Option<Objects>, ObjectError> {
    let named = settings.objects.as_ref();
    named
        .map(|named| Objects::new(named, http, Arc::new(SystemClock)))
        .transpose()
}

/// The blobs of a ledger in PostgreSQL, where the settings keep them elsewhere.
fn blobs_of(settings: &Settings, objects: Option<&Objects>) -> Option<Arc<dyn Blobs>> {
    let named = settings.objects.as_ref().filter(|named| named.blobs);
    let objects = named.and(objects)?;
    Some(Arc::new(ObjectBlobs::new(objects.clone())))
}

async fn shared(objects: &Objects) -> Result<ObjectAnchor, ObjectError> {
    ObjectAnchor::open(objects.clone(), &secret::secret(&OsEntropy)).await
}

/// What belongs to a ledger and is not in its database, for commands that work on a ledger without serving it.
pub(crate) struct Beside<'a> {
    settings: &'a Settings,
    objects: Option<Objects>,
}

impl<'a> Beside<'a> {
    /// What the settings say is beside the database.
    ///
    /// # Errors
    /// When they cannot be used.
    pub(crate) fn of(settings: &'a Settings) -> Result<Self> {
        let hosts = settings.objects.iter().map(|named| named.url.clone());
        let http = Client::new(&Egress {
            hosts: hosts.collect(),
            ..Egress::default()
        })?;
        let objects = objects_of(settings, &http)?;
        Ok(Self { settings, objects })
    }

    /// The anchor of the ledger whose data directory is `data`.
    ///
    /// # Errors
    /// When the directory has no name to derive it from, or the object store cannot hold an anchor.
    pub(crate) async fn anchor(&self, data: &Path) -> Result<Arc<dyn Anchor>> {
        Ok(match &self.objects {
            Some(objects) => Arc::new(shared(objects).await?),
            None => Arc::new(FileAnchor::beside(data)?),
        })
    }

    /// The blobs that go with a database.
    pub(crate) fn blobs(&self, store: &PostgresStore) -> Arc<dyn Blobs> {
        blobs_of(self.settings, self.objects.as_ref()).unwrap_or_else(|| Arc::new(store.blobs()))
    }
}

/// Brings the checkpoint that one server kept in a file to the object store, once: where that holds none. The file
/// does not count any more from then on, and is set aside under another name.
async fn bring(file: &FileAnchor, anchor: &ObjectAnchor) -> Result<()> {
    let Some(checkpoint) = file.checkpoint()? else {
        return Ok(());
    };
    if let Some(shared) = anchor.load().await? {
        let stated =
            |note: &[u8]| Checkpoint::stated(note).context("reading an anchored checkpoint");
        let (ours, theirs) = (stated(&checkpoint)?, stated(&shared.note)?);
        let (published, anchored) = (ours.size(), theirs.size());
        // Whoever put an older one there, or another, would have this server sign again what it signed already.
        if published > anchored {
            return Err(NotaryError::OlderAnchor {
                anchored,
                published,
            }
            .into());
        }
        if published == anchored && ours.root() != theirs.root() {
            return Err(NotaryError::Against { anchored }.into());
        }
    } else {
        match anchor.replace(None, &checkpoint).await {
            Ok(_) => tracing::warn!("the anchor was brought to the object store"),
            // Another server brought its own first; the ledger is compared with that one.
            Err(AnchorError::Moved) => {}
            Err(AnchorError::Port(failed)) => return Err(failed.into()),
        }
    }
    let aside = file.path().with_extension("moved");
    std::fs::rename(file.path(), &aside)
        .with_context(|| format!("setting the anchor aside as `{}`", aside.display()))
}
