#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

pub mod kms;
pub mod objects;
pub mod pkcs11;
pub mod registries;
pub mod timestamps;
pub mod webhook;
pub mod witness;

pub use objects::{ObjectAnchor, ObjectBlobs, ObjectError, ObjectSettings, Objects};
pub use registries::{RegistrySettings, SettingsError, build};
