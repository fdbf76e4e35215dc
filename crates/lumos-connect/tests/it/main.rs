//! The connectors against recordings, against servers that misbehave, and against the real thing.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "clippy takes the helpers of a test for no test"
)]

mod fake;
mod kms;
mod mlflow_bad;
mod mlflow_real;
mod mlflow_recorded;
mod mlflow_webhook;
mod pages;
#[path = "../../../lumos/tests/it/world/peer.rs"]
mod peer;
