//! May this run? The decision over a signed snapshot of what was approved, assigned and set to enforce.
//!
//! Pure: the snapshot, the question and the time come in; a decision with its reasons goes out. Nothing here
//! reads the ledger or the network, so every enforcement point decides alike, online or not.
#![warn(missing_docs)]

pub mod decision;
pub mod dsse;
pub mod snapshot;

pub use decision::{Decision, Question, decide};
pub use snapshot::Snapshot;
