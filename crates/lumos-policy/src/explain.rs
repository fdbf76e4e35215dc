//! One rule in plain language: what it asks, why, what a failure does at each depth, how to mend it.
//! Not here: results.

use std::fmt::Write as _;

use lumos_domain::words::{Depth, Enforcement};

use crate::check::Check;
use crate::rule::{Rule, Status};

/// Explains `rule`, in lines that end with a line feed.
#[must_use]
pub fn explain(rule: &Rule) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write(rule, &mut out);
    out
}

fn write(rule: &Rule, out: &mut String) -> std::fmt::Result {
    writeln!(out, "{}  {}", rule.id, rule.title)?;
    if let Some(description) = &rule.description {
        writeln!(out, "\n{}", description.trim())?;
    }
    writeln!(out, "\nasks     {}", asks(&rule.check))?;
    if let Some(when) = &rule.when {
        writeln!(out, "where    {}", when.source())?;
    }
    if !rule.requires.is_empty() {
        let kinds: Vec<String> = rule
            .requires
            .iter()
            .map(|kind| format!("`{kind}`"))
            .collect();
        writeln!(out, "needs    {} evidence", kinds.join(" and "))?;
    }
    if let Some(days) = rule.evidence_max_age {
        writeln!(out, "age      evidence older than {days} counts as missing")?;
    }
    if let Some(why) = &rule.rationale {
        writeln!(out, "why      {}", why.trim())?;
    }
    writeln!(
        out,
        "weight   {} of the score; severity {}",
        rule.weight, rule.severity
    )?;
    writeln!(out, "in use   {}", in_use(rule))?;
    writeln!(
        out,
        "\nwhen it fails, or its evidence is missing, or it cannot be judged"
    )?;
    for depth in Depth::ALL {
        writeln!(out, "  {depth:<6} {}", effect(rule.enforcement.at(*depth)))?;
    }
    if let Some(role) = &rule.routes_to {
        writeln!(
            out,
            "  and the signature of `{role}` is asked for: nothing is approved unseen"
        )?;
    }
    if let Some(remediation) = &rule.remediation {
        writeln!(out, "\nto mend  {}", remediation.text.trim())?;
        if let Some(role) = &remediation.owner_role {
            writeln!(out, "by       {role}")?;
        }
        if let Some(effort) = &remediation.effort {
            writeln!(out, "effort   {effort}")?;
        }
        for docs in &remediation.docs {
            writeln!(out, "read     {docs}")?;
        }
    }
    for control in &rule.controls {
        let (framework, edition) = (&control.framework, &control.edition);
        let relation = control.relation.as_str();
        writeln!(
            out,
            "control  {framework} {edition} {} ({relation})",
            control.control
        )?;
    }
    for reference in &rule.references {
        writeln!(out, "see      {reference}")?;
    }
    Ok(())
}

const fn effect(enforcement: Enforcement) -> &'static str {
    match enforcement {
        Enforcement::Advisory => "advisory: lowers the score, blocks nothing",
        Enforcement::Waivable => "waivable: blocks until it is mended or a waiver is granted",
        Enforcement::Mandatory => {
            "mandatory: blocks until it is mended; no waiver, vote or score lifts it"
        }
    }
}

fn in_use(rule: &Rule) -> String {
    let from = rule
        .effective_from
        .map(|from| format!(" from {from}"))
        .unwrap_or_default();
    let to = rule
        .effective_to
        .map(|to| format!(" until {to}"))
        .unwrap_or_default();
    match rule.status {
        Status::Active if from.is_empty() && to.is_empty() => "always".to_owned(),
        Status::Active => format!("{from}{to}").trim().to_owned(),
        Status::Draft => "no: a draft".to_owned(),
        Status::Deprecated => "no: deprecated".to_owned(),
    }
}

/// What a check asks for, as a sentence.
#[must_use]
pub fn asks(check: &Check) -> String {
    match check {
        Check::Present(path) => format!("that `{path}` is stated and not empty"),
        Check::MinLength { path, min } => format!("that `{path}` has a length of at least {min}"),
        Check::OneOf { path, values } => {
            let values: Vec<String> = values.iter().map(crate::check::paths::brief).collect();
            format!("that `{path}` is one of {}", values.join(", "))
        }
        Check::Matches { path, pattern } => {
            format!("that `{path}` matches the pattern `{pattern}`")
        }
        Check::Metric(metric) => format!("that {}", metric.expected()),
        Check::ScanMaxSeverity(max) => format!("that no artifact scan found anything above {max}"),
        Check::NoFinding(codes) => format!("that no artifact scan found {}", codes.join(", ")),
        Check::EvidenceFresh { kind, max_age } => {
            format!("for `{kind}` evidence that is at most {max_age} old")
        }
        Check::DigestMatches { kind, field } => {
            format!(
                "that `{field}` of the newest `{kind}` evidence names this very release or one of its files"
            )
        }
        Check::LicenseAllowed(allow) => {
            format!(
                "that every licence found can be met with {}",
                allow.join(", ")
            )
        }
        Check::SectionPresent { titles, min_words } => {
            let titles: Vec<String> = titles.iter().map(|title| format!("`{title}`")).collect();
            format!(
                "for a section {} of at least {min_words} words in the model card",
                titles.join(" or ")
            )
        }
        Check::LicenceConsistent => {
            "that card, licence file and package name the same licence".to_owned()
        }
        Check::FullyScanned => "that the artifact scan read every file to its end".to_owned(),
        Check::Cel(cel) => format!("that `{}`", cel.source()),
    }
}
