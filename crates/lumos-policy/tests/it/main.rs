//! What a user of this crate sees: bundles refused or read, candidates judged, reports written.

mod examples;
mod hostile;
mod operators;
mod promises;
mod refusals;
mod reports;
mod world;
