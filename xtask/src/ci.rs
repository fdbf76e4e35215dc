//! `cargo xtask ci`: everything a change must pass, in the order that finds the cheapest failure first.
//! Every step runs even when an earlier one failed, so that one run tells all.

use anyhow::Result;

use crate::{
    shell::{self, cargo, installed, program, say, timed},
    test,
};

/// The version of cargo-deny, pinned as every tool is.
const CARGO_DENY: &str = "0.20.2";

/// A step; false when it ran and something is wrong.
type Step = fn() -> Result<bool>;

/// Runs every step; false when one failed.
pub fn run() -> Result<bool> {
    let steps: [(&str, Step); 4] = [
        ("format", format),
        ("lints", lints),
        ("licences and bans", deny),
        ("documentation", docs),
    ];
    let mut rows = Vec::new();
    let mut all_well = true;
    for (name, step) in steps {
        say(&format!("\n== {name}"));
        let (result, took) = timed(step);
        let well = result.unwrap_or_else(|error| {
            say(&format!("error: {error:#}"));
            false
        });
        all_well &= well;
        rows.push(row(name, well, took.as_secs()));
        rows.last().into_iter().for_each(|row| say(row));
    }
    say("\n== tests");
    let (report, took) = timed(test::run);
    say("\nsteps");
    rows.iter().for_each(|row| say(row));
    say(&format!("  {:<20} {:>5} s", "tests", took.as_secs()));
    // The test runner's own closing lines come last, where a reader of the log looks.
    let tests_well = report?.close();
    Ok(all_well && tests_well)
}

fn row(name: &str, well: bool, seconds: u64) -> String {
    format!(
        "  {name:<20} {seconds:>5} s  {}",
        if well { "ok" } else { "FAILED" }
    )
}

fn format() -> Result<bool> {
    shell::succeeds(cargo().args(["fmt", "--all", "--check"]))
}

fn lints() -> Result<bool> {
    let mut clippy = cargo();
    clippy.args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]);
    shell::succeeds(&mut clippy)
}

fn docs() -> Result<bool> {
    let mut doc = cargo();
    doc.args(["doc", "--no-deps", "--workspace"])
        .env("RUSTDOCFLAGS", "-D warnings");
    shell::succeeds(&mut doc)
}

fn deny() -> Result<bool> {
    let tools = installed("tools");
    let binary = tools.join("bin/cargo-deny");
    let mut version = program(&binary);
    version.arg("--version");
    if !binary.exists() || !shell::output(version).is_ok_and(|text| text.ends_with(CARGO_DENY)) {
        say(&format!("installing cargo-deny {CARGO_DENY}"));
        let mut install = cargo();
        // Unoptimised: it runs for a second, but would build for minutes.
        install.args([
            "install",
            "cargo-deny",
            "--locked",
            "--debug",
            "--version",
            CARGO_DENY,
        ]);
        install
            .arg("--root")
            .arg(&tools)
            .arg("--target-dir")
            .arg(tools.join("build"));
        shell::run(&mut install)?;
    }
    let mut check = program(&binary);
    // No advisories: their database is no package of a registry.
    check.args(["--workspace", "check", "bans", "licenses", "sources"]);
    shell::succeeds(&mut check)
}
