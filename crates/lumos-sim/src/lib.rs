#![doc = include_str!("../README.md")]

pub mod check;
pub mod entropy;
pub mod fault;
pub mod house;
mod process;
pub mod registry;
pub mod story;
pub mod wait;
pub mod world;

pub use fault::{After, Fault, Plan};
pub use story::Story;
pub use world::World;
