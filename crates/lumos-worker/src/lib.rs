#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

pub mod child;
pub mod confine;
pub mod parent;
pub mod protocol;
pub mod tree;

pub use child::main_if_worker;
pub use parent::{Worker, WorkerError};
