//! Starting other programs, saying what happens and how long it took. The only place of this crate that
//! reads the environment or the clock.

use std::{
    ffi::OsStr,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

/// The root of the workspace.
pub fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// A place for peers, tools and nextest's reports: always under the root, wherever cargo builds, so that tests
/// find it.
pub fn installed(what: &str) -> PathBuf {
    root().join("target").join(what)
}

/// A variable of the environment, if it is set.
#[expect(
    clippy::disallowed_methods,
    reason = "the edge that reads the environment"
)]
pub fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Whether this run is CI, where a skipped test is a failure.
pub fn in_ci() -> bool {
    setting("CI").is_some_and(|value| value == "true")
}

/// Prints a line.
pub fn say(line: &str) {
    // A closed standard output is no reason to stop the work.
    drop(writeln!(std::io::stdout(), "{line}"));
}

/// A program to start in the root of the workspace, without standard input.
#[expect(
    clippy::disallowed_methods,
    reason = "starting programs is what this crate is for"
)]
pub fn program(name: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(name);
    command.current_dir(root()).stdin(Stdio::null());
    command
}

/// Cargo, the one that runs this.
pub fn cargo() -> Command {
    program(setting("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Whether a program answers when it is asked so.
pub fn answers(mut command: Command) -> bool {
    let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// Runs to the end, showing what it prints; true when it succeeded.
pub fn succeeds(command: &mut Command) -> Result<bool> {
    let status = command.status();
    Ok(status
        .with_context(|| format!("starting {}", shown(command)))?
        .success())
}

/// Runs to the end, showing what it prints; an error when it failed.
pub fn run(command: &mut Command) -> Result<()> {
    if !succeeds(command)? {
        bail!("{} failed", shown(command));
    }
    Ok(())
}

/// Runs to the end and gives what it printed.
pub fn output(mut command: Command) -> Result<String> {
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("starting {}", shown(&command)))?;
    if !output.status.success() {
        bail!("{} failed", shown(&command));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// One of the two streams a program prints on.
#[derive(Clone, Copy)]
pub enum Printed {
    Out,
    Err,
}

/// Runs to the end, showing what it prints and keeping the lines of one stream.
pub fn lines(command: &mut Command, kept: Printed) -> Result<(bool, Vec<String>)> {
    match kept {
        Printed::Out => command.stdout(Stdio::piped()),
        Printed::Err => command.stderr(Stdio::piped()),
    };
    let child = command.spawn();
    let mut child = child.with_context(|| format!("starting {}", shown(command)))?;
    let pipe: Box<dyn std::io::Read> = match (kept, child.stdout.take(), child.stderr.take()) {
        (Printed::Out, Some(pipe), _) => Box::new(pipe),
        (Printed::Err, _, Some(pipe)) => Box::new(pipe),
        _ => bail!("{} has no output to read", shown(command)),
    };
    let mut lines = Vec::new();
    for line in BufReader::new(pipe).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        say(&line);
        lines.push(line);
    }
    Ok((child.wait()?.success(), lines))
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(OsStr::to_string_lossy).collect();
    format!("`{}`", words.join(" "))
}

/// What the work gives, and how long it took.
#[expect(clippy::disallowed_methods, reason = "the edge that reads the clock")]
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed())
}

/// The arguments as a filter of names; no argument means every name. A name that is none of `known` is an
/// error that lists them.
pub fn chosen<'a>(known: &[&'a str], args: &[String]) -> Result<Vec<&'a str>> {
    let unknown = args.iter().find(|arg| !known.contains(&arg.as_str()));
    if let Some(name) = unknown {
        bail!("`{name}` is none of: {}", known.join(", "));
    }
    let asked = |name: &&str| args.is_empty() || args.iter().any(|arg| arg == name);
    Ok(known.iter().copied().filter(asked).collect())
}
