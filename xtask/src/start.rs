//! Starting LUMOS itself: the demonstration and the description of its HTTP interface.

use std::fs;

use anyhow::{Context as _, Result};

use crate::shell::{self, root, say};

/// `lumos demo`, built for speed.
pub fn demo(args: &[String]) -> Result<bool> {
    if !root().join("crates/lumos").exists() {
        say("this checkout has no crate `lumos`, so there is no demonstration to run");
        return Ok(false);
    }
    let mut demo = shell::cargo();
    demo.args(["run", "--release", "--package", "lumos", "--", "demo"]);
    shell::succeeds(demo.args(args))
}

/// Writes what `lumos-web`'s example `openapi` prints to `docs/openapi.json`.
pub fn openapi() -> Result<bool> {
    if !root().join("crates/lumos-web/examples/openapi.rs").exists() {
        say("crates/lumos-web has no example `openapi`, so there is nothing to write");
        return Ok(false);
    }
    let mut print = shell::cargo();
    print.args([
        "run",
        "--quiet",
        "--package",
        "lumos-web",
        "--example",
        "openapi",
    ]);
    let document = shell::output(print)?;
    let path = root().join("docs/openapi.json");
    fs::write(&path, document + "\n").with_context(|| format!("writing {}", path.display()))?;
    say("wrote docs/openapi.json");
    Ok(true)
}
