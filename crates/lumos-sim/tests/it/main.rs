//! Stories in simulated worlds.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod campaign;
mod faults;
