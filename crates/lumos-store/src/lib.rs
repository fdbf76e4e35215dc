#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod error;
mod lock;
pub mod sqlite;

pub use error::OpenError;
pub use sqlite::SqliteStore;
