//! What a user of the rules sees: who may do what, what follows from it, and what is written for ever.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::too_many_lines,
    reason = "tests: a helper may panic, and a story is as long as it takes to tell"
)]

mod acme;
mod golden;
mod journal;
mod ledger;
mod properties;
mod stories;
