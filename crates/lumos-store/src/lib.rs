#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

pub mod anchor;
pub mod blobs;
mod durable;
mod edge;
mod error;
mod lock;
mod opened;
pub mod postgres;
mod ready;
mod rebuild;
pub mod snapshot;
pub mod sqlite;

pub use anchor::FileAnchor;
pub use blobs::DirBlobs;
pub use error::OpenError;
pub use lock::DirLock;
pub use opened::Opened;
pub use postgres::{PostgresBlobs, PostgresSettings, PostgresStore};
pub use snapshot::SnapshotError;
pub use sqlite::SqliteStore;
