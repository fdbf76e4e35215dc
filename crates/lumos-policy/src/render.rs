//! A report as text for a terminal, what blocks first. Not here: colours, pages.
//!
//! Reports quote hostile files: their control characters and direction overrides are replaced, so
//! that no file name can repaint the reader's screen.

use std::fmt::Write as _;

use lumos_domain::id::RoleName;
use lumos_domain::words::{RuleResult, Score};

use crate::report::{Judged, Report};

/// Renders `report`, in lines that end with a line feed.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write(report, &mut out);
    out.chars()
        .map(|c| if unsafe_to_show(c) { '\u{fffd}' } else { c })
        .collect()
}

fn unsafe_to_show(c: char) -> bool {
    (c.is_control() && c != '\n')
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn write(report: &Report, out: &mut String) -> std::fmt::Result {
    let release = &report.release;
    let verdict = if report.blocked {
        "BLOCKED"
    } else {
        "not blocked"
    };
    writeln!(
        out,
        "{} {} for {}: {verdict}",
        release.model, release.version, release.environment
    )?;
    writeln!(
        out,
        "  bundle   {} {}",
        report.bundle.name, report.bundle.version
    )?;
    writeln!(out, "  depth    {}, as of {}", report.depth, report.as_of)?;
    writeln!(out, "  score    {}", score(report))?;
    if report.score_raw.is_none() {
        writeln!(
            out,
            "  no rule applies to this release: it cannot be judged, and so it is blocked"
        )?;
    }
    let chosen = |choose: &dyn Fn(&Judged) -> bool| -> Vec<&Judged> {
        report
            .results
            .iter()
            .filter(|judged| choose(judged))
            .collect()
    };
    section(out, "blocks", &chosen(&Judged::blocks), gap)?;
    section(
        out,
        "does not block",
        &chosen(&|j| j.result.is_gap() && !j.blocks()),
        gap,
    )?;
    section(
        out,
        "waived",
        &chosen(&|j| j.result == RuleResult::Waived),
        waived,
    )?;
    section(
        out,
        "holds",
        &chosen(&|j| j.result == RuleResult::Pass),
        brief,
    )?;
    section(
        out,
        "does not apply",
        &chosen(&|j| j.result == RuleResult::NotApplicable),
        brief,
    )?;
    if !report.routes.is_empty() {
        let roles: Vec<&str> = report.routes.iter().map(RoleName::as_str).collect();
        writeln!(out, "\nneeds the signature of {}", roles.join(", "))?;
    }
    Ok(())
}

fn score(report: &Report) -> String {
    let shown = |score: Option<Score>| score.map_or_else(|| "none".to_owned(), |s| s.to_string());
    let mut text = shown(report.score_raw);
    if report.score_with_waivers != report.score_raw {
        text = format!("{text} ({} with waivers)", shown(report.score_with_waivers));
    }
    match report.pass_threshold {
        Some(threshold) if report.below_threshold => {
            format!("{text}, below {threshold}: the review deepens")
        }
        Some(threshold) => format!("{text}, at least {threshold}"),
        None => text,
    }
}

type Line = fn(&mut String, &Judged) -> std::fmt::Result;

fn section(out: &mut String, title: &str, results: &[&Judged], line: Line) -> std::fmt::Result {
    if results.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{title} ({})", results.len())?;
    results.iter().try_for_each(|judged| line(out, judged))
}

fn head(out: &mut String, judged: &Judged) -> std::fmt::Result {
    let (result, enforcement) = (judged.result.as_str().replace('_', " "), judged.enforcement);
    writeln!(out, "  {}  {}", judged.rule, one_line(&judged.title))?;
    writeln!(
        out,
        "    {result}, {enforcement}, severity {}",
        judged.severity
    )
}

fn gap(out: &mut String, judged: &Judged) -> std::fmt::Result {
    head(out, judged)?;
    writeln!(out, "    {}", one_line(&judged.message))?;
    if let Some(expected) = &judged.expected
        && !judged.message.contains(expected.as_str())
    {
        writeln!(out, "    expected {}", one_line(expected))?;
    }
    if let Some(reason) = &judged.waiver_reason {
        writeln!(out, "    {}", one_line(reason))?;
    }
    if let Some(remediation) = &judged.remediation {
        writeln!(out, "    to mend: {}", one_line(&remediation.text))?;
    }
    Ok(())
}

fn waived(out: &mut String, judged: &Judged) -> std::fmt::Result {
    head(out, judged)?;
    let by = judged.waived_by.as_deref().unwrap_or("a waiver");
    writeln!(
        out,
        "    {}; excused by {}",
        one_line(&judged.message),
        one_line(by)
    )
}

fn brief(out: &mut String, judged: &Judged) -> std::fmt::Result {
    writeln!(out, "  {}  {}", judged.rule, one_line(&judged.title))?;
    writeln!(out, "    {}", one_line(&judged.message))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
