//! `lumos`: the one binary. Each command is a file in `commands/`; `serve.rs` wires the server.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line speaks on standard output and standard error"
)]

#[macro_use]
mod out;

mod cli;
mod codes;
mod commands;
mod defaults;
mod edge;
mod keys;
mod remote;
mod same_keys;
mod seed;
mod serve;
mod settings;
mod storage;
mod vouchers;
mod webhooks;

use std::{process::ExitCode, time::Duration};

use clap::Parser as _;

/// How long calls that cannot be cut off may go on once all is done.
const ENDED_WITHIN: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    // The worker confines itself before it reads a byte: nothing may come before this line.
    if let Some(code) = lumos_worker::main_if_worker() {
        return code;
    }
    let cli = cli::Cli::parse();
    start_logging(cli.json);
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("lumos: starting the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let said = runtime.block_on(commands::run(cli));
    // A token or a disk that never answers keeps no process.
    runtime.shutdown_timeout(ENDED_WITHIN);
    match said {
        Ok(commands::Said::Yes) => ExitCode::SUCCESS,
        Ok(commands::Said::No) => ExitCode::from(3),
        Err(error) => {
            eprintln!("lumos: {error:#}");
            if let Some(code) = codes::code_of(&error) {
                eprintln!("  code {code}: see docs/errors/{code}.md");
            }
            ExitCode::FAILURE
        }
    }
}

fn start_logging(json: bool) {
    let filter = settings::variable("LUMOS_LOG").unwrap_or_else(|| "warn".to_owned());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(filter))
        .with_writer(std::io::stderr);
    if json {
        builder.json().init();
    } else {
        builder.init();
    }
}
