//! The words and the rules of LUMOS. Pure: no I/O, no async, no clock, no randomness.
#![warn(missing_docs)]

pub mod canonical;
pub mod id;
pub mod manifest;
pub mod words;
