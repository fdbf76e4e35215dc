//! `cargo xtask test`: the peers, every test, and a closing account of what ran and what was skipped.
//!
//! A test that cannot run here prints one line that starts with `skipped:` and passes. nextest writes what
//! passing tests print to its `JUnit` report (`.config/nextest.toml`), where those lines are found again.

use std::{collections::BTreeMap, fs, io::ErrorKind};

use anyhow::{Context as _, Result};

use crate::{
    peers,
    shell::{self, Printed, say},
};

/// What ran.
#[derive(Default)]
pub struct Report {
    passed: u64,
    failed: u64,
    /// The tests that were skipped, by the reason they gave.
    skips: BTreeMap<String, Vec<String>>,
    /// The test runner's own closing lines.
    summary: Vec<String>,
    /// A runner that ended badly for another reason than a failed test.
    broken: bool,
    peers: Vec<String>,
}

impl Report {
    /// Prints the account, the runner's summary last; true when all is well.
    pub fn close(&self) -> bool {
        say("\npeers");
        self.peers.iter().for_each(|line| say(line));
        let skipped: usize = self.skips.values().map(Vec::len).sum();
        say(if skipped == 0 {
            "\nskipped: none"
        } else {
            "\nskipped"
        });
        for (reason, tests) in &self.skips {
            say(&format!("  {} test(s): {reason}", tests.len()));
            tests.iter().for_each(|test| say(&format!("    {test}")));
        }
        let not_allowed = skipped > 0 && shell::in_ci();
        if not_allowed {
            say("CI runs every test: what was skipped counts as failed");
        }
        if self.broken {
            say("the test runner stopped before its end: see above");
        }
        say("");
        self.summary.iter().for_each(|line| say(line.trim()));
        let passed = self.passed.saturating_sub(skipped as u64);
        let failed = self.failed + u64::from(self.broken && self.failed == 0);
        let (failed, skipped) = if not_allowed {
            (failed + skipped as u64, 0)
        } else {
            (failed, skipped)
        };
        say(&format!(
            "{passed} passed, {failed} failed, {skipped} skipped"
        ));
        failed == 0
    }

    fn skip(&mut self, test: &str, line: &str) {
        let reason = line.trim_start_matches("skipped:").trim();
        let tests = self.skips.entry(reason.to_owned()).or_default();
        tests.push(test.to_owned());
    }

    /// Adds the counts of one `test result:` line of Rust's own runner.
    fn count(&mut self, line: &str) {
        let words: Vec<&str> = line.split([' ', ';']).collect();
        let before = |what: &str| {
            let at = words.iter().position(|word| *word == what).unwrap_or(0);
            words
                .get(at.wrapping_sub(1))
                .and_then(|n| n.parse::<u64>().ok())
                .unwrap_or(0)
        };
        self.passed += before("passed");
        self.failed += before("failed");
    }
}

/// Installs the peers and runs everything.
pub fn run() -> Result<Report> {
    let states = peers::ensured(&[])?;
    let mut report = Report {
        peers: peers::table(&states),
        ..Report::default()
    };
    docs(&mut report)?;
    let mut asked = shell::cargo();
    asked.args(["nextest", "--version"]);
    if shell::answers(asked) {
        nextest(&mut report)?;
    } else {
        say("cargo-nextest is absent: running `cargo test` instead");
        plain(&mut report)?;
    }
    Ok(report)
}

/// The examples in the documentation, which nextest does not run.
fn docs(report: &mut Report) -> Result<()> {
    let mut command = shell::cargo();
    command.args(["test", "--quiet", "--doc", "--workspace", "--no-fail-fast"]);
    results(report, &mut command)
}

fn plain(report: &mut Report) -> Result<()> {
    let mut command = shell::cargo();
    command.args([
        "test",
        "--workspace",
        "--all-targets",
        "--no-fail-fast",
        "--",
        "--show-output",
    ]);
    results(report, &mut command)
}

fn results(report: &mut Report, command: &mut std::process::Command) -> Result<()> {
    let (ok, lines) = shell::lines(command, Printed::Out)?;
    let failed = report.failed;
    let mut test = "a test";
    for line in &lines {
        if let Some(name) = line.strip_prefix("---- ") {
            test = name.strip_suffix(" stdout ----").unwrap_or(name);
        } else if line.starts_with("skipped:") {
            report.skip(test, line);
        } else if line.starts_with("test result:") {
            report.count(line);
        }
    }
    report.broken |= !ok && report.failed == failed;
    Ok(())
}

fn nextest(report: &mut Report) -> Result<()> {
    let junit = shell::installed("nextest/default/junit.xml");
    // An old report must not speak for this run.
    match fs::remove_file(&junit) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("removing {}", junit.display()));
        }
        _ => {}
    }
    let mut command = shell::cargo();
    command.args([
        "nextest",
        "run",
        "--workspace",
        "--no-fail-fast",
        "--color",
        "never",
    ]);
    let (ok, lines) = shell::lines(&mut command, Printed::Err)?;
    let closing = lines
        .iter()
        .rposition(|line| line.trim_start().starts_with("Summary ["));
    report.summary = closing.map(|at| lines[at..].to_vec()).unwrap_or_default();
    let Ok(xml) = fs::read_to_string(&junit) else {
        report.broken = true;
        return Ok(());
    };
    let failed = report.failed;
    read_junit(report, &xml);
    report.broken |= !ok && report.failed == failed;
    Ok(())
}

/// Counts and skips of nextest's `JUnit` report: one `<testsuites>` with the counts, then each `<testcase>`.
fn read_junit(report: &mut Report, xml: &str) {
    let mut test = String::new();
    for line in xml.lines() {
        let line = line.trim_start();
        let number = |name| {
            attribute(line, name)
                .and_then(|n| n.parse::<u64>().ok())
                .unwrap_or(0)
        };
        if line.starts_with("<testsuites ") {
            let failed = number("failures") + number("errors");
            report.failed += failed;
            report.passed += number("tests").saturating_sub(failed);
        } else if line.starts_with("<testcase ") {
            let named = |name| attribute(line, name).unwrap_or_default();
            test = format!("{} {}", named("classname"), named("name"));
        } else {
            // The first line that a test prints stands behind the tag that opens its output.
            let text = line.strip_prefix("<system-out>").unwrap_or(line);
            if text.starts_with("skipped:") {
                let text = text.strip_suffix("</system-out>").unwrap_or(text);
                report.skip(&test, &unescaped(text));
            }
        }
    }
}

fn attribute<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let start = line.find(&format!(" {name}=\""))? + name.len() + 3;
    line[start..].split('"').next()
}

fn unescaped(text: &str) -> String {
    let text = text.replace("&lt;", "<").replace("&gt;", ">");
    let text = text.replace("&quot;", "\"").replace("&apos;", "'");
    text.replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_junit_report_gives_counts_and_skips() {
        let xml = r#"<testsuites name="nextest-run" tests="3" failures="1" errors="0" time="1.0">
            <testcase name="pages::light" classname="lumos-web::it" time="0.1">
                <system-out>
running 1 test
skipped: no chromium &amp; no npm
test pages::light ... ok
</system-out>
            <testcase name="b" classname="c"><failure/></testcase>"#;
        let mut report = Report::default();
        read_junit(&mut report, xml);
        assert_eq!((report.passed, report.failed), (2, 1));
        let skips: Vec<_> = report.skips.into_iter().collect();
        let test = "lumos-web::it pages::light".to_owned();
        assert_eq!(skips, [("no chromium & no npm".to_owned(), vec![test])]);
    }

    #[test]
    fn a_result_line_is_counted() {
        let mut report = Report::default();
        report.count("test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out");
        report.count("test result: FAILED. 0 passed; 2 failed; 0 ignored");
        assert_eq!((report.passed, report.failed), (3, 2));
    }
}
