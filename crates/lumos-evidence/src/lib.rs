#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod archive;
pub mod card;
pub mod claim;
pub mod digest;
mod fields;
pub mod format;
mod gguf;
mod keras;
pub mod kind;
pub mod licence;
mod numpy;
mod onnx;
pub mod pickle;
pub mod safetensors;
pub mod scan;
mod stream;
