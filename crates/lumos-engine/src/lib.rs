//! The one door: a command enters, rules decide, the ledger records, projections follow, agents wake.

pub mod ports;
