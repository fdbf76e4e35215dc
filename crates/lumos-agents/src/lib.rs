//! LUMOS's own agents. They gather, check, route and carry out; they never sign (DESIGN promise 7).
//!
//! Each is a durable subscriber of the ledger: it does its outside work through ports and submits commands
//! in its own name. What they know is in the ledger; stop them anywhere and start them again.

pub mod approval_orchestrator;
pub mod candidate;
pub mod compliance_checker;
pub mod release_scanner;
mod reread;

pub use approval_orchestrator::ApprovalOrchestrator;
pub use compliance_checker::ComplianceChecker;
pub use release_scanner::ReleaseScanner;
