//! `cargo xtask bench`: every benchmark of the workspace in release mode. Each is an example that prints its
//! own rate, that of a peer or limit measured in the same run, and their ratio (DESIGN section 8).

use anyhow::Result;

use crate::shell::{self, cargo, root, say};

struct Bench {
    /// The example, and the name it is asked for by.
    example: &'static str,
    package: &'static str,
    /// What it is held against, and the ratio wished for.
    against: &'static str,
    args: &'static [&'static str],
}

const BENCHES: &[Bench] = &[
    Bench {
        example: "append_rate",
        package: "lumos-store",
        against: "a bare SQLite loop writing the same rows: 0.80 or more",
        args: &["1000", "5"],
    },
    Bench {
        example: "verify_rate",
        package: "lumos-ledger",
        against: "bare SHA-256 over the same bytes, times threads: 0.70 or more",
        args: &[],
    },
];

/// Runs the benchmarks named, or all; false when one failed.
pub fn run(args: &[String]) -> Result<bool> {
    let names: Vec<&str> = BENCHES.iter().map(|bench| bench.example).collect();
    let chosen = shell::chosen(&names, args)?;
    let mut well = true;
    for bench in BENCHES
        .iter()
        .filter(|bench| chosen.contains(&bench.example))
    {
        say(&format!(
            "\n== {} {} against {}",
            bench.package, bench.example, bench.against
        ));
        let source = format!("crates/{}/examples/{}.rs", bench.package, bench.example);
        if !root().join(&source).exists() {
            say(&format!("absent: {source}"));
            continue;
        }
        let mut command = cargo();
        command.args(["run", "--quiet", "--release", "--package", bench.package]);
        command
            .args(["--example", bench.example, "--"])
            .args(bench.args);
        well &= shell::succeeds(&mut command)?;
    }
    Ok(well)
}
