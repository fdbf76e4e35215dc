//! The one door: a command enters, rules decide, the ledger records, projections follow, agents wake.
//!
//! The engine knows the rules (`lumos-domain`) and the proof (`lumos-ledger`), and the world only as
//! `ports`. It holds no SQL dialect, no HTTP, no file format.

pub mod ask;
pub mod clock;
pub mod cosigning;
pub mod door;
pub mod key;
pub mod keyring;
pub mod log_review;
pub mod notary;
pub mod pack;
pub mod pick;
pub mod ports;
pub mod proofs;
pub mod reach;
pub mod record;
pub mod runtime;
pub mod secret;
pub mod stamping;
pub mod views;
pub mod webhooks;
pub mod witness;

pub use door::{Door, DoorError, Outcome, Request};
pub use record::LedgerEntry;

/// Every table beside the ledger: decision projections and the runtime's own.
#[must_use]
pub fn schema() -> Vec<&'static str> {
    [
        views::schema(),
        runtime::SCHEMA.to_vec(),
        notary::SCHEMA.to_vec(),
        cosigning::SCHEMA.to_vec(),
        stamping::SCHEMA.to_vec(),
        keyring::schema(),
    ]
    .concat()
}
