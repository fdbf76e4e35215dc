//! What every store must keep, and what this one's files must survive.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "all of it is test; clippy knows that only of functions marked as one"
)]

mod broken_disk;
mod broken_server;
mod clock;
#[expect(dead_code, reason = "the tests of the whole server fail over")]
mod cluster;
mod contract;
mod crash;
mod damage;
mod erase;
mod files;
mod laid_under;
mod leases;
mod notary;
mod projections;
mod replicas;
mod signers;
mod snapshot;
mod start;
mod tls;
mod versions;
mod views;
mod world;
