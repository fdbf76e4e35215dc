//! The settings file of a server.

use crate::Target;

/// The program has no library: the one file that reads settings is compiled here as well.
#[path = "../../crates/lumos/src/settings.rs"]
#[expect(dead_code, reason = "files and the environment are not fuzzed")]
mod program;

const ACME: &str = include_str!("../../examples/acme/lumos.yaml");

pub(crate) const SETTINGS: Target = Target {
    name: "settings",
    run: |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return;
        };
        // These read files and the environment, which are not the input.
        if !text.contains("file:") && !text.contains("${") {
            drop(program::parse(text));
        }
    },
    seeds: || {
        let mlflow =
            "registries:\n  - {kind: mlflow, name: m, address: \"http://127.0.0.1:1\", token: t}\n";
        vec![
            ACME.into(),
            mlflow.into(),
            b"poll_s: {a: [1, &x 2, *x]}".to_vec(),
        ]
    },
};
