#![doc = include_str!("../README.md")]
#![warn(missing_docs)]
#![cfg_attr(
    test,
    expect(clippy::cast_possible_truncation, reason = "test numbers are small")
)]

pub mod checkpoint;
pub mod cosignature;
pub mod entry;
pub mod export;
#[cfg(test)]
mod fixture;
pub mod note;
pub mod proof;
pub mod tile;
pub mod tile_hashes;
pub mod tlog_policy;
pub mod tlog_proof;
pub mod tree;
pub mod verify;
pub mod witness;

pub use checkpoint::Checkpoint;
pub use entry::Envelope;
pub use note::{NoteSigner, VerifierKey};
pub use tree::{Frontier, Hash};
