//! The real peers that tests talk to, installed pinned from the ordinary package registries.
//!
//! Each peer is described here or by a lock file in `xtask/peers/NAME/`; it lands in `target/peers/NAME`,
//! with what it was made from in `NAME.stamp`, so that a second run does nothing.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, bail};

use crate::shell::{self, answers, cargo, installed, program, root, say};

/// Where a peer comes from.
#[derive(Clone, Copy)]
enum Source {
    /// Packages of the operating system. Their versions are the distribution's.
    System(&'static [&'static str]),
    /// A Python environment of `xtask/peers/NAME/requirements.txt`, every file checked by its hash.
    Python,
    /// One wheel of `requirements.txt`, unpacked and never run: its files are what is wanted.
    Unpacked,
    /// Packages of `xtask/peers/NAME/package-lock.json`.
    Node,
    /// The program of a crate of the same name at this version, built with the lock file that it brings along. It takes
    /// long: it is installed only for who names it.
    Crate(&'static str),
}

/// A peer by its name.
struct Peer {
    name: &'static str,
    source: Source,
}

const PEERS: &[Peer] = &[
    // The foreign verifier of the ledger: xtask/foreign/go.
    Peer {
        name: "go",
        source: Source::System(&["golang-go", "golang-golang-x-mod-dev"]),
    },
    // Another one: xtask/foreign/python.
    Peer {
        name: "pymerkle",
        source: Source::Python,
    },
    // Whoever gets LUMOS's signed webhooks, and runs the example agents.
    Peer {
        name: "standardwebhooks",
        source: Source::Python,
    },
    // The authority that stamps checkpoints, and the other verifier of its timestamps.
    Peer {
        name: "openssl",
        source: Source::System(&["openssl"]),
    },
    // A token behind PKCS#11, and another program that looks into it.
    Peer {
        name: "softhsm",
        source: Source::System(&["softhsm2", "opensc"]),
    },
    // The other reader of key backups.
    Peer {
        name: "age",
        source: Source::System(&["age"]),
    },
    // The database of several replicas. Its programs are wanted, each test runs a server of its own.
    Peer {
        name: "postgresql",
        source: Source::System(&["postgresql", "procps", "util-linux"]),
    },
    // The object store that replicas share: xtask/peers/moto/serve.py.
    Peer {
        name: "moto",
        source: Source::Python,
    },
    // The browser of the page tests, driven by `npm`'s playwright-core.
    Peer {
        name: "chromium",
        source: Source::System(&["chromium"]),
    },
    Peer {
        name: "npm",
        source: Source::Node,
    },
    // A real registry.
    Peer {
        name: "mlflow",
        source: Source::Python,
    },
    // A real model of 91 MB in safetensors, with its card and tokenizer.
    Peer {
        name: "all-minilm",
        source: Source::Unpacked,
    },
    // Another log server in Rust, for the comparison of speed.
    Peer {
        name: "siglog",
        source: Source::Crate("0.1.0"),
    },
];

/// What became of a peer.
pub enum State {
    /// It was there.
    Ready,
    /// It was installed now.
    Installed,
    /// It could not be installed, and why.
    Skipped(String),
}

/// Installs the peers named, or all; false when one could not be installed.
pub fn ensured(args: &[String]) -> Result<Vec<(&'static str, State)>> {
    let names: Vec<&str> = PEERS.iter().map(|peer| peer.name).collect();
    let chosen = shell::chosen(&names, args)?;
    let wanted = |peer: &&Peer| match peer.source {
        Source::Crate(_) => args.iter().any(|arg| arg == peer.name),
        _ => chosen.contains(&peer.name),
    };
    fs::create_dir_all(installed("peers")).context("making target/peers")?;
    let mut system = System::default();
    let mut states = Vec::new();
    for peer in PEERS.iter().filter(wanted) {
        let state = match ensure(peer, &mut system) {
            Ok(state) => state,
            Err(error) => State::Skipped(format!("{error:#}")),
        };
        states.push((peer.name, state));
    }
    Ok(states)
}

/// `cargo xtask peers`.
pub fn run(args: &[String]) -> Result<bool> {
    if args.iter().any(|arg| arg == "--list") {
        PEERS.iter().for_each(|peer| say(peer.name));
        return Ok(true);
    }
    let states = ensured(args)?;
    for line in table(&states) {
        say(&line);
    }
    Ok(!states
        .iter()
        .any(|(_, state)| matches!(state, State::Skipped(_))))
}

/// One line for each peer.
pub fn table(states: &[(&'static str, State)]) -> Vec<String> {
    let line = |(name, state): &(&str, State)| {
        let text = match state {
            State::Ready => "ready".to_owned(),
            State::Installed => "installed".to_owned(),
            State::Skipped(reason) => format!("absent: {reason}"),
        };
        format!("  {name:<12} {text}")
    };
    states.iter().map(line).collect()
}

fn ensure(peer: &Peer, system: &mut System) -> Result<State> {
    if let Source::System(packages) = peer.source {
        return system.ensure(packages);
    }
    let lock = root().join("xtask/peers").join(peer.name);
    let lock = match peer.source {
        Source::Node => lock.join("package-lock.json"),
        _ => lock.join("requirements.txt"),
    };
    let wanted = match peer.source {
        Source::Crate(version) => format!("{} {version}", peer.name),
        _ if !lock.exists() => {
            return Ok(State::Skipped(format!(
                "this checkout has no lock file for `{}`",
                peer.name
            )));
        }
        _ => fs::read_to_string(&lock).with_context(|| format!("reading {}", lock.display()))?,
    };
    let stamp = installed("peers").join(format!("{}.stamp", peer.name));
    if fs::read_to_string(&stamp).is_ok_and(|made_from| made_from == wanted) {
        return Ok(State::Ready);
    }
    let place = installed("peers").join(peer.name);
    if place.exists() {
        fs::remove_dir_all(&place).with_context(|| format!("removing {}", place.display()))?;
    }
    say(&format!("installing peer {}", peer.name));
    match peer.source {
        Source::Node => node(&lock, &place)?,
        Source::Unpacked => unpack(&lock, &place)?,
        Source::Crate(version) => build(peer.name, version, &place)?,
        _ => python(&lock, &place)?,
    }
    fs::write(&stamp, wanted).with_context(|| format!("writing {}", stamp.display()))?;
    Ok(State::Installed)
}

fn python(lock: &Path, place: &Path) -> Result<()> {
    shell::run(program("python3").args(["-m", "venv"]).arg(place))?;
    let mut install = program(place.join("bin/pip"));
    install.args([
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--require-hashes",
    ]);
    shell::run(install.arg("--requirement").arg(lock))
}

fn build(name: &str, version: &str, place: &Path) -> Result<()> {
    let mut install = cargo();
    install.args(["install", "--quiet", "--locked", "--bin", name]);
    install.args([name, "--version", version, "--root"]);
    shell::run(install.arg(place))
}

fn unpack(lock: &Path, place: &Path) -> Result<()> {
    let wheels = place.with_extension("wheel");
    let mut download = program("python3");
    download.args([
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
    ]);
    download.args(["--no-deps", "--require-hashes", "--only-binary", ":all:"]);
    shell::run(
        download
            .arg("--requirement")
            .arg(lock)
            .arg("--dest")
            .arg(&wheels),
    )?;
    fs::create_dir_all(place).with_context(|| format!("making {}", place.display()))?;
    for wheel in fs::read_dir(&wheels).context("listing what was downloaded")? {
        let wheel = wheel?.path();
        shell::run(
            program("python3")
                .args(["-m", "zipfile", "-e"])
                .arg(wheel)
                .arg(place),
        )?;
    }
    fs::remove_dir_all(&wheels).context("removing what was unpacked")
}

fn node(lock: &Path, place: &Path) -> Result<()> {
    fs::create_dir_all(place).with_context(|| format!("making {}", place.display()))?;
    for file in [lock.with_file_name("package.json"), lock.to_path_buf()] {
        let Some(name) = file.file_name() else {
            bail!("{} names no file", file.display());
        };
        fs::copy(&file, place.join(name)).with_context(|| format!("copying {}", file.display()))?;
    }
    let mut install = program("npm");
    install.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
    shell::run(install.current_dir(place))
}

/// The operating system's packages; its lists are read anew once in a run.
#[derive(Default)]
struct System {
    updated: bool,
}

impl System {
    fn ensure(&mut self, packages: &[&str]) -> Result<State> {
        let absent: Vec<&str> = packages
            .iter()
            .copied()
            .filter(|name| !is_installed(name))
            .collect();
        if absent.is_empty() {
            return Ok(State::Ready);
        }
        let missing = absent.join(" ");
        if !answers(apt("--version")) {
            return Ok(State::Skipped(format!(
                "no apt-get here; install {missing} by hand"
            )));
        }
        if !is_root() {
            return Ok(State::Skipped(format!(
                "not root; run `apt-get install {missing}`"
            )));
        }
        if !self.updated {
            shell::run(apt("update").arg("--quiet=2"))?;
            self.updated = true;
        }
        let mut install = apt("install");
        install.args(["--quiet=2", "--yes", "--no-install-recommends"]);
        shell::run(install.args(&absent))?;
        Ok(State::Installed)
    }
}

fn apt(command: &str) -> Command {
    let mut apt = program("apt-get");
    apt.args(["-o", "DPkg::Lock::Timeout=300", command]);
    apt.env("DEBIAN_FRONTEND", "noninteractive");
    apt
}

fn is_installed(package: &str) -> bool {
    let mut ask = program("dpkg-query");
    ask.args(["--show", "--showformat=${db:Status-Status}", package]);
    ask.stderr(std::process::Stdio::null());
    ask.output()
        .is_ok_and(|answer| answer.stdout == b"installed")
}

fn is_root() -> bool {
    let mut ask = program("id");
    ask.arg("-u");
    ask.output()
        .is_ok_and(|answer| answer.stdout.trim_ascii() == b"0")
}
