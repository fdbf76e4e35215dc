//! Why the head of the ledger cannot be signed here.

use lumos_ledger::checkpoint;

use crate::{keyring::KeyError, ports::PortError};

/// Why nothing can be signed here.
#[derive(Debug, thiserror::Error)]
pub enum NotaryError {
    /// The database ends before the last checkpoint that was signed.
    #[error(
        "checking the anchor: the ledger has {size} entries but {anchored} were signed for; this database is older \
         than what was published. Restore a newer backup, or begin a new ledger that names this checkpoint"
    )]
    Behind {
        /// Entries in the database.
        size: u64,
        /// Entries in the anchored checkpoint.
        anchored: u64,
    },
    /// The database holds another history than the one that was signed.
    #[error(
        "checking the anchor: the first {anchored} entries are not those that were signed for; somebody changed this \
         database or the anchor belongs to another ledger"
    )]
    Against {
        /// Entries in the anchored checkpoint.
        anchored: u64,
    },
    /// The ledger has entries, but nothing says what was signed last.
    #[error(
        "checking the anchor: the ledger has {size} entries, but its anchor is missing; bring back the anchor directory \
         that lay beside the data directory, or the object that held it. Without it an old copy of this ledger would \
         go unnoticed"
    )]
    Missing {
        /// Entries in the database.
        size: u64,
    },
    /// The anchor holds an older checkpoint than was published.
    #[error(
        "checking the anchor: it holds a checkpoint over {anchored} entries, but one over {published} was published; \
         somebody put an older one back"
    )]
    OlderAnchor {
        /// Entries in the anchored checkpoint.
        anchored: u64,
        /// Entries in the one that was published.
        published: u64,
    },
    /// The anchored checkpoint was signed by another key than this server has.
    #[error(
        "checking the anchor: it was signed by another key than this server has; give every server of a ledger the \
         same keys"
    )]
    OtherKey,
    /// The anchored checkpoint cannot be read with this ledger's keys.
    #[error("reading the anchored checkpoint")]
    Anchored(#[source] KeyError),
    /// A checkpoint could not be made.
    #[error("making a checkpoint")]
    Checkpoint(#[from] checkpoint::Error),
    /// A key cannot sign.
    #[error("signing a checkpoint")]
    Signing(#[source] KeyError),
    /// The store or the anchor failed.
    #[error(transparent)]
    Port(#[from] PortError),
}

impl NotaryError {
    /// The stable code of this error, a page in `docs/errors/`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Behind { .. } => "behind-anchor",
            Self::Against { .. } => "against-anchor",
            Self::Missing { .. } => "missing-anchor",
            Self::OlderAnchor { .. } => "older-anchor",
            Self::OtherKey => "other-key",
            Self::Anchored(_) => "unreadable-anchor",
            Self::Checkpoint(_) => "checkpoint-failed",
            Self::Signing(error) => error.code(),
            Self::Port(_) => "store-failed",
        }
    }
}
