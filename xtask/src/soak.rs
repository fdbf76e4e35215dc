//! `cargo xtask soak`: the long campaigns with their full counts. Each is an ordinary test that runs a seeded
//! slice unless the environment asks for more; the outcome is appended to `docs/soak.md` with date and machine.

use std::{fs, io::ErrorKind};

use anyhow::{Context as _, Result};

use crate::{
    fuzz,
    shell::{self, cargo, program, root, say, timed},
};

struct Campaign {
    name: &'static str,
    package: &'static str,
    /// The tests to run, as a nextest filter expression.
    tests: &'static str,
    /// The counts, as the tests read them.
    counts: &'static [(&'static str, &'static str)],
}

const CAMPAIGNS: &[Campaign] = &[
    Campaign {
        name: "kills",
        package: "lumos-store",
        tests: "test(crash)",
        counts: &[("LUMOS_SOAK_KILLS", "1000")],
    },
    Campaign {
        name: "random-orders",
        package: "lumos-domain",
        tests: "test(properties)",
        counts: &[("PROPTEST_CASES", "20000")],
    },
    Campaign {
        name: "worlds",
        package: "lumos-sim",
        tests: "test(campaign)",
        counts: &[("LUMOS_SOAK_WORLDS", "1000")],
    },
    Campaign {
        name: "stories",
        package: "lumos-sim",
        tests: "test(/^postgres::real_the_story/)",
        counts: &[("LUMOS_SOAK_STORIES", "100000")],
    },
    Campaign {
        name: "stories-of-erasure",
        package: "lumos-sim",
        tests: "test(/^postgres::real_an_erasure/)",
        counts: &[("LUMOS_SOAK_STORIES", "400")],
    },
    Campaign {
        name: "worlds-on-postgresql",
        package: "lumos-sim",
        tests: "test(/^postgres::real_in_any_order/)",
        counts: &[("LUMOS_SOAK_STORIES", "300")],
    },
    Campaign {
        name: "mutations",
        package: "lumos",
        tests: "test(mutations)",
        counts: &[("LUMOS_SOAK_MUTATIONS", "10000")],
    },
    Campaign {
        name: "replicas",
        package: "lumos",
        tests: "test(real_three_servers_killed_in_turn)",
        counts: &[("LUMOS_SOAK_RELEASES", "1000")],
    },
    Campaign {
        name: "hostile-policy",
        package: "lumos-policy",
        tests: "test(hostile)",
        counts: &[("PROPTEST_CASES", "20000")],
    },
];

/// The campaign that is no test: the fuzz targets.
const FUZZ: &str = "fuzz";

const HEAD: &str = "\
# Soak

The long campaigns, run in full by `cargo xtask soak` before work on what they test is called done. The newest table is the last.
";

/// Runs the campaigns named, or all, and writes down what came of them; false when one failed.
pub fn run(args: &[String]) -> Result<bool> {
    let names = CAMPAIGNS.iter().map(|campaign| campaign.name);
    let names: Vec<&str> = names.chain([FUZZ]).collect();
    let chosen = shell::chosen(&names, args)?;
    let mut well = true;
    for campaign in CAMPAIGNS
        .iter()
        .filter(|campaign| chosen.contains(&campaign.name))
    {
        if !root().join("crates").join(campaign.package).exists() {
            say(&format!("absent: {}", campaign.package));
            continue;
        }
        say(&format!("\n== {}", campaign.name));
        let (result, took) = timed(|| shell::succeeds(&mut command(campaign)));
        let passed = result?;
        well &= passed;
        let counts: Vec<_> = campaign
            .counts
            .iter()
            .map(|(name, n)| format!("`{name}={n}`"))
            .collect();
        append(&format!(
            "| {} | {} | {} | {} | {} s |",
            campaign.name,
            campaign.package,
            counts.join(" "),
            if passed { "passed" } else { "FAILED" },
            took.as_secs()
        ))?;
    }
    if chosen.contains(&FUZZ) {
        fuzz::run(|fuzzed| {
            well &= fuzzed.passed;
            append(&format!(
                "| fuzz {} | lumos-fuzz | {} | {} | {} s |",
                fuzzed.target,
                fuzzed.counts,
                if fuzzed.passed { "passed" } else { "FAILED" },
                fuzzed.took.as_secs()
            ))
        })?;
    }
    Ok(well)
}

fn command(campaign: &Campaign) -> std::process::Command {
    let mut command = cargo();
    command.args([
        "nextest",
        "run",
        "--profile",
        "soak",
        "--package",
        campaign.package,
    ]);
    command.args(["--filterset", campaign.tests]);
    command
        .env("LUMOS_SOAK", "1")
        .envs(campaign.counts.iter().copied());
    command
}

/// Writes a row down as soon as it is known, so that who stops the rest loses nothing; into the last table, if that is of the
/// same commit, day and machine.
fn append(row: &str) -> Result<()> {
    let path = root().join("docs/soak.md");
    let mut text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => HEAD.to_owned(),
        known => known.with_context(|| format!("reading {}", path.display()))?,
    };
    let mut date = program("date");
    date.args(["--utc", "+%F"]);
    let mut commit = program("git");
    commit.args(["rev-parse", "--short", "HEAD"]);
    let title = format!(
        "\n## {} at {}\n\n{}\n\n",
        shell::output(date)?,
        shell::output(commit)?,
        machine()
    );
    let continues = text
        .rfind("\n## ")
        .is_some_and(|last| text[last..].starts_with(&title));
    if !continues {
        text.push_str(&title);
        text.push_str("| campaign | crate | counts | outcome | took |\n|---|---|---|---|---|\n");
    }
    text.push_str(row);
    text.push('\n');
    fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    say("appended to docs/soak.md");
    Ok(())
}

/// The processor and how many of it, as the kernel tells.
fn machine() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let names = text.lines().filter(|line| line.starts_with("model name"));
    let model = names.clone().next().and_then(|line| line.split_once(": "));
    format!(
        "{} cores, {}",
        names.count(),
        model.map_or("unknown processor", |(_, name)| name)
    )
}
