//! Why a key of the ledger cannot be used.

use lumos_domain::words::KeyPlace;
use lumos_ledger::{checkpoint, note};

use crate::{ports::PortError, record::ReadEntryError};

/// Why a key cannot sign, or cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The settings do not say how to reach what keeps it.
    #[error(
        "using key {id}: it is kept in `{place}`, and the settings say nothing of that under `keys`"
    )]
    NoPlace {
        /// The key's id, or what it is to be called.
        id: String,
        /// What keeps it.
        place: KeyPlace,
    },
    /// It is not where its entry says.
    #[error(
        "using key {id}: there is no `{name}` in `{place}`; restore it from the backup of keys. If it is lost for good, \
         see `lumos serve --key-lost`"
    )]
    Missing {
        /// The key's id.
        id: String,
        /// What keeps it.
        place: KeyPlace,
        /// How it is called there.
        name: String,
    },
    /// Another key is where its entry says.
    #[error(
        "using key {id}: `{name}` in `{place}` is another key than the ledger's entries name; a key is changed with \
         `lumos key rotate`, never by changing it in its place"
    )]
    Differs {
        /// The id of the key that was to be there.
        id: String,
        /// What keeps it.
        place: KeyPlace,
        /// How it is called there.
        name: String,
    },
    /// It was said at the start to be lost for good.
    #[error(
        "signing: key {id} was said to be lost when this server was started, so it signs nothing; revoke it with \
         `lumos key revoke {id}`, have two people rotate to another key, then start without `--key-lost`"
    )]
    Lost {
        /// The key's id.
        id: String,
    },
    /// It was said to be lost, and is not needed or not lost.
    #[error("starting without key {id}: {why}; start without `--key-lost {id}`")]
    NotLost {
        /// The key's id, as it was given.
        id: String,
        /// Why it is not lost.
        why: &'static str,
    },
    /// Not every server of the ledger could sign with it.
    #[error(
        "rotating to key {id}: {found} of {servers} servers can open it; give every server the file or the way to it, and \
         ask again"
    )]
    NotEverywhere {
        /// The key's id.
        id: String,
        /// How many servers say that they can.
        found: i64,
        /// How many there are, as the settings say.
        servers: u16,
    },
    /// Every key was revoked.
    #[error(
        "signing: the key that signed this ledger was revoked, and none takes its place; rotate to another one"
    )]
    NoneSigns,
    /// A key signed something else, or wrongly.
    #[error("signing with key {id}: what came back is no signature of it")]
    Wrong {
        /// The key's id.
        id: String,
        /// What was wrong.
        source: note::Error,
    },
    /// A key that no verifier can name.
    #[error("naming a key")]
    Named(#[source] note::Error),
    /// The entries about keys cannot be read.
    #[error("reading which keys sign this ledger")]
    History(#[from] ReadEntryError),
    /// What was to be signed is no checkpoint, or what is kept is none.
    #[error("reading a checkpoint of this ledger")]
    Checkpoint(#[from] checkpoint::Error),
    /// The store, or what keeps a key, failed.
    #[error(transparent)]
    Port(#[from] PortError),
}

impl KeyError {
    /// The stable code of this error, a page in `docs/errors/`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoPlace { .. } => "key-place-unset",
            Self::Missing { .. } => "key-missing",
            Self::Differs { .. } => "key-differs",
            Self::Lost { .. } => "key-lost",
            Self::NotLost { .. } => "key-not-lost",
            Self::NotEverywhere { .. } => "key-not-everywhere",
            Self::NoneSigns => "no-signing-key",
            Self::Wrong { .. } | Self::Named(_) | Self::Checkpoint(_) => "checkpoint-failed",
            Self::History(_) => "unreadable-entry",
            Self::Port(_) => "key-unusable",
        }
    }
}
