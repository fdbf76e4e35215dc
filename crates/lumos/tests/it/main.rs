//! The real binary as its users meet it: started as a process, asked over its command line and its API.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "all of it is test; clippy knows that only of functions marked as one"
)]

mod agent_tokens;
mod agents;
mod anchors;
mod answers;
/// The model versions of the demo serve the tests as well.
#[path = "../../src/commands/demo/artifacts.rs"]
#[expect(dead_code, reason = "the demo has more versions to tell about")]
mod artifacts;
mod ask;
mod backup;
mod bad_input;
mod broken_disk;
mod browser;
mod bucket;
#[path = "../../../lumos-store/tests/it/cluster.rs"]
#[expect(
    dead_code,
    reason = "the tests of the store change servers in more ways"
)]
mod cluster;
mod commands;
mod demo;
mod disk;
mod documents;
mod erase;
mod events;
mod evidence_pack;
mod foreign;
mod init;
mod key_backup;
mod key_lost;
mod keys;
#[path = "../../../lumos-store/tests/it/laid_under.rs"]
mod laid_under;
mod log_review;
mod minilm;
mod mlflow;
mod mutations;
mod offline;
mod outages;
mod people;
mod pkcs11;
mod postgres;
mod proposals;
mod proxy;
mod readings;
mod replica_outages;
mod replicas;
mod settings;
mod signature_lines;
mod speed;
mod timestamps;
mod upgrade;
mod verify;
mod witness;
mod world;
