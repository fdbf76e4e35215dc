//! The house's automation: what a developer and CI run. Not part of LUMOS and never shipped.
#![expect(
    unreachable_pub,
    reason = "a binary of small modules; nothing here is seen from outside"
)]

use std::process::ExitCode;

use anyhow::{Result, bail};

mod bench;
mod ci;
mod fuzz;
mod peers;
mod shell;
mod soak;
mod start;
mod test;

const USAGE: &str = "\
cargo xtask COMMAND

  test [-p CRATE…] install the real peers, run every test (or a crate's), say what was skipped and why
  peers [NAME…]    install the real peers that tests talk to, pinned; `--list` names them
  ci               what .ci/run does: format, lints, licences and bans, documentation, tests
  soak [NAME…]     the long campaigns in full; appends a dated table to docs/soak.md
  bench [NAME…]    the benchmarks in release mode, as ratios to a peer or a limit
  demo […]         run the demonstration
  openapi          write docs/openapi.json from the routes";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            shell::say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Runs the command that was asked for; false when it ran and something in it failed.
fn dispatch(args: &[String]) -> Result<bool> {
    let (command, rest) = match args.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", args),
    };
    match command {
        "test" => Ok(test::run(rest)?.close()),
        "peers" => peers::run(rest),
        "ci" => ci::run(),
        "soak" => soak::run(rest),
        "bench" => bench::run(rest),
        "demo" => start::demo(rest),
        "openapi" => start::openapi(),
        "help" | "--help" | "-h" => {
            shell::say(USAGE);
            Ok(true)
        }
        other => bail!("`{other}` is no command of xtask\n\n{USAGE}"),
    }
}
