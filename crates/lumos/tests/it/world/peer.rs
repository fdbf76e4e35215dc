//! Where the real peers lie that tests talk to. The tests of the connectors look here as well.

use std::path::{Path, PathBuf};

/// A peer's folder in `target/peers`, or nothing and a line that says so.
pub(crate) fn peer(name: &str, file: &str) -> Option<PathBuf> {
    #[expect(
        clippy::disallowed_methods,
        reason = "where the peers lie is set from outside"
    )]
    let peers = std::env::var_os("LUMOS_PEERS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers"),
        PathBuf::from,
    );
    let folder = peers.join(name).canonicalize().ok();
    let found = folder.filter(|folder| folder.join(file).exists());
    if found.is_none() {
        println!("skipped: {name} is not installed, run `cargo xtask peers`");
    }
    found
}
