#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

pub mod bundle;
pub mod candidate;
pub mod cases;
pub mod cel;
pub mod check;
mod decode;
pub mod evaluate;
pub mod explain;
pub mod lint;
pub mod mutate;
mod path;
pub mod render;
pub mod report;
pub mod rule;
mod schema;
mod tree;
pub mod waiver;

pub use bundle::{Bundle, BundleError};
pub use candidate::{Candidate, CandidateError};
pub use cases::{Cases, CasesError};
pub use decode::ShapeError;
pub use evaluate::{Context, evaluate};
pub use explain::explain;
pub use lint::lint;
pub use path::Path;
pub use render::render;
pub use report::Report;
pub use tree::TreeError;
pub use waiver::Waiver;
