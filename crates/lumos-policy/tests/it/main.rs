//! What a user of this crate sees: bundles refused or read, candidates judged, reports written.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::too_many_lines,
    reason = "tests: a helper may panic, and a table is as long as it has rows"
)]

mod cases;
mod examples;
mod expressions;
mod guide;
mod hostile;
mod lints;
mod operators;
mod promises;
mod refusals;
mod reports;
mod world;
