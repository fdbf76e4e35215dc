//! The words and the rules of LUMOS.
//!
//! State, command and time go in; events or a refusal come out: [`command::decide`]. This crate does no
//! I/O, spawns nothing, reads no clock and draws no randomness; it evaluates no policy and trusts no summary.
#![warn(missing_docs)]

pub mod actor;
pub mod canonical;
pub mod clock;
pub mod command;
pub mod erasure;
pub mod event;
pub mod facts;
pub mod id;
pub mod keys;
pub mod log_review;
pub mod manifest;
pub mod model;
pub mod org;
pub mod outside;
pub mod person;
pub mod proposal;
pub mod refusal;
pub mod release;
pub mod retention;
pub mod review;
pub mod rules;
pub mod seal;
pub mod stream;
pub mod system;
pub mod words;
pub mod world;

pub use command::{Command, decide};
pub use event::Event;
pub use stream::Stream;
pub use world::World;
