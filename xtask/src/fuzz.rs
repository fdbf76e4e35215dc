//! The fuzz targets under libFuzzer, one after the other, each for a stated time. The coverage counters are LLVM's
//! own and come with the stable compiler; libFuzzer is compiled from the sources in its crate.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context as _, Result};

use crate::shell::{self, Printed, cargo, program, root, say};

/// What a coverage-guided fuzzer needs to see: edges, comparisons, and where each of them is.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Cdebug-assertions -Coverflow-checks";
/// Seconds for each target, unless `LUMOS_SOAK_FUZZ_S` says otherwise.
const SECONDS: u64 = 300;
/// The longest a single input may take, in seconds, and the most memory, in MiB.
const INPUT_S: u32 = 10;
const MEMORY_MIB: u32 = 1_024;
const INPUT_BYTES: u32 = 8_192;

/// What came of one target.
pub struct Fuzzed {
    pub target: String,
    pub passed: bool,
    /// Executions and coverage, in words.
    pub counts: String,
    pub took: Duration,
}

/// Builds the fuzzer and runs every target, or those that `LUMOS_SOAK_FUZZ_TARGETS` names, with commas between; says of each
/// what came of it as soon as it is known.
pub fn run(mut done: impl FnMut(Fuzzed) -> Result<()>) -> Result<()> {
    let seconds = match shell::setting("LUMOS_SOAK_FUZZ_S") {
        Some(text) => text.parse().context("reading LUMOS_SOAK_FUZZ_S")?,
        None => SECONDS,
    };
    let host = host()?;
    let target = shell::installed("fuzz");
    let mut build = cargo();
    build.args(["build", "--release", "--locked", "--package", "lumos-fuzz"]);
    // With a target named, what runs at build time is not instrumented.
    build.args(["--features", "libfuzzer", "--target", &host, "--target-dir"]);
    shell::run(build.arg(&target).env("RUSTFLAGS", COVERAGE))?;
    let fuzzer = target.join(host).join("release/lumos-fuzz");
    let all = names()?;
    let asked = shell::setting("LUMOS_SOAK_FUZZ_TARGETS").unwrap_or_default();
    let asked = asked.split(',').filter(|name| !name.is_empty());
    let known: Vec<&str> = all.iter().map(String::as_str).collect();
    let asked: Vec<String> = asked.map(str::to_owned).collect();
    for name in shell::chosen(&known, &asked)? {
        done(one(&fuzzer, name, seconds)?)?;
    }
    Ok(())
}

/// The targets, as the crate lists them.
fn names() -> Result<Vec<String>> {
    let mut list = cargo();
    list.args([
        "run",
        "--quiet",
        "--package",
        "lumos-fuzz",
        "--example",
        "targets",
    ]);
    Ok(shell::output(list)?.lines().map(str::to_owned).collect())
}

fn host() -> Result<String> {
    let mut rustc = program("rustc");
    rustc.arg("-vV");
    let told = shell::output(rustc)?;
    let host = told.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc does not say its host")?.to_owned())
}

fn one(fuzzer: &Path, name: &str, seconds: u64) -> Result<Fuzzed> {
    say(&format!("\n== fuzz {name}"));
    // What was found is kept between runs here; only what broke a target goes into the repository.
    let found = shell::installed("fuzz-corpus").join(name);
    let kept = root().join("fuzz/corpus").join(name);
    for folder in [&found, &kept] {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    let mut command = program(fuzzer);
    command
        .env("LUMOS_FUZZ_TARGET", name)
        .env("LUMOS_FUZZ_SEEDS", &found);
    command.arg(format!("-max_total_time={seconds}"));
    command.arg(format!("-timeout={INPUT_S}"));
    command.arg(format!("-rss_limit_mb={MEMORY_MIB}"));
    command.arg(format!("-max_len={INPUT_BYTES}"));
    command.arg(format!("-artifact_prefix={}/", kept.display()));
    command.args(["-print_final_stats=1", "-use_value_profile=1"]);
    command.args([&found, &kept]);
    let (result, took) = shell::timed(|| shell::lines(&mut command, Printed::Err));
    let (passed, lines) = result?;
    // An empty folder is nothing to keep.
    drop(fs::remove_dir(&kept));
    Ok(Fuzzed {
        target: name.to_owned(),
        passed,
        counts: counts(&lines),
        took,
    })
}

/// Executions and the edges they reached, from what libFuzzer says at its end.
fn counts(lines: &[String]) -> String {
    let last = |after: &str| {
        let mut told = lines.iter().rev();
        told.find_map(|line| line.split(after).nth(1)?.split_whitespace().next())
            .unwrap_or("?")
    };
    let (executions, edges) = (last("stat::number_of_executed_units:"), last(" cov: "));
    format!("{executions} executions, {edges} edges")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libfuzzers_last_words_are_understood() {
        let lines = [
            "#2\tINITED cov: 12 ft: 13 corp: 1/1b exec/s: 0 rss: 30Mb",
            "#90210\tDONE   cov: 345 ft: 400 corp: 9/99b lim: 110 exec/s: 4510 rss: 40Mb",
            "stat::number_of_executed_units: 90210",
        ];
        let lines = lines.map(str::to_owned);
        assert_eq!(counts(&lines), "90210 executions, 345 edges");
    }
}
