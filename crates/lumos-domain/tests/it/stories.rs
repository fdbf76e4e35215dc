//! Stories of releases at Acme, each told as what was asked and what followed.

mod approvals;
mod duties;
mod erasures;
mod house;
mod log_reviews;
mod outside_agents;
mod puppets;
mod records;
mod running;
mod two_people;

use crate::acme::Acme;

/// Compares what happened with what a person would expect to read; indentation of the source is cut.
#[track_caller]
fn told(acme: &Acme, expected: &str) {
    let cut = |line: &str| {
        line.strip_prefix("        ")
            .unwrap_or(line.trim_start())
            .to_owned()
    };
    let expected: Vec<String> = expected.trim().lines().map(cut).collect();
    let happened: Vec<&str> = acme.log.lines().collect();
    assert_eq!(happened, expected, "\n{}", acme.log);
}
