//! The one door: a command enters, rules decide, the ledger records, projections follow, agents wake.

pub mod door;
pub mod ports;
pub mod record;
pub mod views;

pub use door::{Door, DoorError, Outcome, Request};
pub use record::LedgerEntry;
