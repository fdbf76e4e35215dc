//! Stories in simulated worlds.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "all of it is test; clippy knows that only of functions marked as one"
)]

mod campaign;
#[path = "../../../lumos-store/tests/it/cluster.rs"]
#[expect(
    dead_code,
    reason = "the tests of the store and of the whole server do more to a server"
)]
mod cluster;
mod faults;
mod postgres;
