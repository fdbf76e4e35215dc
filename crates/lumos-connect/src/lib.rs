#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

pub mod objects;
pub mod registries;
pub mod timestamps;
pub mod witness;

pub use objects::{ObjectAnchor, ObjectBlobs, ObjectError, ObjectSettings, Objects};
pub use registries::{RegistrySettings, SettingsError, build};
