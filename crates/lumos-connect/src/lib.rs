#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

pub mod registries;

pub use registries::{RegistrySettings, SettingsError, build};
