//! `cargo xtask bench`: every benchmark of the workspace in release mode. Each prints its own rate, that of a
//! peer or limit measured in the same run, and their ratio (DESIGN section 8).

use anyhow::Result;

use crate::{
    peers,
    shell::{self, cargo, say},
};

struct Bench {
    /// The name it is asked for by.
    name: &'static str,
    package: &'static str,
    /// What it is held against, and the ratio wished for.
    against: &'static str,
    program: Program,
}

/// What cargo runs for it.
enum Program {
    /// The example of the same name, with these arguments.
    Example(&'static [&'static str]),
    /// The example of the same name, with the program of a peer of this name and these arguments.
    Beside(&'static str, &'static [&'static str]),
    /// The ignored tests whose names begin so, one after the other: they need a world of their own.
    Tests(&'static str),
}

const BENCHES: &[Bench] = &[
    Bench {
        name: "append_rate",
        package: "lumos-store",
        against: "a bare SQLite loop writing the same rows: 0.80 or more; the whole door beside it",
        program: Program::Example(&["300", "15"]),
    },
    Bench {
        name: "append_rate_postgres",
        package: "lumos-store",
        against: "a bare PostgreSQL loop writing the same rows: 0.80 or more; a hash chain in a trigger: 10 times or more",
        program: Program::Example(&["1000", "5"]),
    },
    Bench {
        name: "siglog_rate",
        package: "lumos",
        against: "siglog, another log server in Rust, over HTTP",
        program: Program::Beside("siglog", &["1000", "3"]),
    },
    Bench {
        name: "start_rate",
        package: "lumos-store",
        against: "a start over a million and ten million entries: flat, and under 1 s; and the bytes of an entry on disk",
        program: Program::Example(&["1000", "10000"]),
    },
    Bench {
        name: "verify_rate",
        package: "lumos-ledger",
        against: "bare SHA-256 over the same bytes, times threads: 0.70 or more",
        program: Program::Example(&[]),
    },
    Bench {
        name: "pack_rate",
        package: "lumos-web",
        against: "nothing: what an evidence pack of a period with 10,000 releases takes, in time and memory",
        program: Program::Example(&["10000"]),
    },
    Bench {
        name: "served",
        package: "lumos",
        against: "a start within 300 ms, 60 MB of memory, and 150 ms from webhook to review",
        program: Program::Tests("speed::"),
    },
];

/// What is asked for as `ledger`: all that the ledger promises of its speed.
const LEDGER: &[&str] = &[
    "append_rate",
    "append_rate_postgres",
    "siglog_rate",
    "start_rate",
    "verify_rate",
];

/// Runs the benchmarks named, or all; false when one failed.
pub fn run(args: &[String]) -> Result<bool> {
    let names: Vec<&str> = BENCHES.iter().map(|bench| bench.name).collect();
    let (groups, args): (Vec<&String>, Vec<&String>) =
        args.iter().partition(|arg| *arg == "ledger");
    let ledger = groups
        .iter()
        .flat_map(|_| LEDGER)
        .map(|name| (*name).to_owned());
    let args: Vec<String> = args.into_iter().cloned().chain(ledger).collect();
    let chosen = shell::chosen(&names, &args)?;
    let mut well = true;
    for bench in BENCHES.iter().filter(|bench| chosen.contains(&bench.name)) {
        say(&format!(
            "\n== {} {} against {}",
            bench.package, bench.name, bench.against
        ));
        let mut command = cargo();
        let package = ["--quiet", "--release", "--package", bench.package];
        match bench.program {
            Program::Example(args) => {
                command.arg("run").args(package);
                command.args(["--example", bench.name, "--"]).args(args);
            }
            Program::Beside(peer, args) => {
                if !peers::run(&[peer.to_owned()])? {
                    well = false;
                    continue;
                }
                command.arg("run").args(package);
                command.args(["--example", bench.name, "--"]);
                let place = shell::installed("peers").join(peer);
                command.arg(place.join("bin").join(peer)).args(args);
            }
            Program::Tests(begin) => {
                command.arg("test").args(package);
                command.args(["--test", "it", begin, "--", "--ignored"]);
                command.args(["--nocapture", "--test-threads", "1"]);
            }
        }
        well &= shell::succeeds(&mut command)?;
    }
    Ok(well)
}
