#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod archive;
pub mod card;
pub mod claim;
pub mod digest;
pub mod format;
pub mod kind;
pub mod licence;
mod numpy;
pub mod pickle;
pub mod safetensors;
pub mod scan;
mod stream;
