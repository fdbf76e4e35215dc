#![doc = include_str!("../README.md")]

pub mod check;
pub mod entropy;
pub mod fault;
pub mod ground;
pub mod house;
mod process;
pub mod registry;
pub mod story;
pub mod wait;
pub mod wire;
pub mod world;

pub use fault::{After, Fault, Plan};
pub use ground::Ground;
pub use story::Story;
pub use world::World;
