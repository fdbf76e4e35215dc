#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

pub mod answer;
pub mod client;
pub mod egress;
mod error;
mod files;
pub mod request;
pub mod secret;

pub use answer::{Answer, Lines};
pub use client::{Auth, Client, Peer};
pub use egress::{Egress, Limits};
pub use error::HttpError;
pub use request::{Part, Request};
pub use reqwest::Method;
pub use secret::Secret;
