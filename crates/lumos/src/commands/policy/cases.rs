//! `lumos policy test`: runs the tests of a bundle, says which answers nobody tests, and which changes no test notices.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use lumos_policy::{
    Bundle, Cases,
    cases::{self, Lacking, Outcome},
    mutate::{self, Hunt},
};
use serde_json::{Value, json};

use super::{Out, Said, read_bundle};

/// What is asked beside whether the tests hold.
pub(super) struct Asked {
    /// Whether an answer that nobody tests is a failure.
    pub(super) coverage: bool,
    /// Whether rules are changed, to see whether their tests notice.
    pub(super) mutate: bool,
}

pub(super) fn run(file: &Path, tests: Option<PathBuf>, asked: &Asked, out: &Out) -> Result<Said> {
    let bundle = read_bundle(file)?;
    let tests = tests.map_or_else(|| beside(file), Ok)?;
    let reading = || format!("reading the tests `{}`", tests.display());
    let yaml = fs::read(&tests).with_context(reading)?;
    let cases = Cases::parse(&yaml).with_context(reading)?;
    cases.are_of(&bundle)?;
    let base = tests.with_file_name(cases.base());
    let reading = || format!("reading the candidate `{}`", base.display());
    let base: Value =
        serde_json::from_slice(&fs::read(&base).with_context(reading)?).with_context(reading)?;
    let outcomes = cases.run(&bundle, &base);
    let lacking = cases::lacking(&bundle, &cases);
    let hunt = if asked.mutate {
        mutate::hunt(&bundle, &cases, &base)
    } else {
        Hunt::default()
    };
    if out.json {
        outln!("{:#}", value(&outcomes, &lacking, &hunt, asked));
    } else {
        tell(&bundle, &outcomes, &lacking, &hunt, asked);
    }
    let holds = outcomes.iter().all(|outcome| outcome.problem.is_none())
        && (lacking.is_empty() || !asked.coverage)
        && hunt.survivors.is_empty();
    Ok(if holds { Said::Yes } else { Said::No })
}

/// Where the tests of a bundle are unless somebody says otherwise: in `tests`, under the name of its file.
fn beside(file: &Path) -> Result<PathBuf> {
    let name = file
        .file_name()
        .with_context(|| format!("`{}` is no file", file.display()))?;
    Ok(file.with_file_name("tests").join(name))
}

fn tell(bundle: &Bundle, outcomes: &[Outcome], lacking: &[Lacking], hunt: &Hunt, asked: &Asked) {
    let mut wrong = 0;
    for outcome in outcomes {
        if let Some(problem) = &outcome.problem {
            wrong += 1;
            outln!("{}: {}\n  {problem}", outcome.rule, outcome.name);
        }
    }
    for Lacking { rule, result } in lacking {
        outln!("{rule}: no test expects {result}");
    }
    for survivor in &hunt.survivors {
        outln!("{}: no test notices that {}", survivor.rule, survivor.what);
    }
    let (name, version, all) = (bundle.name(), bundle.version(), outcomes.len());
    outln!("{name} {version}: {all} test(s), {wrong} do(es) not hold");
    if asked.mutate {
        let (all, left) = (hunt.mutants, hunt.survivors.len());
        outln!("{all} change(s) of its rules, {left} unnoticed");
    }
}

fn value(outcomes: &[Outcome], lacking: &[Lacking], hunt: &Hunt, asked: &Asked) -> Value {
    let told = |outcome: &Outcome| json!({ "rule": outcome.rule, "name": outcome.name, "problem": outcome.problem });
    let untested = |it: &Lacking| json!({ "rule": it.rule, "result": it.result });
    let unnoticed: Vec<_> = hunt
        .survivors
        .iter()
        .map(|it| json!({ "rule": it.rule, "change": it.what }))
        .collect();
    json!({
        "tests": outcomes.iter().map(told).collect::<Vec<_>>(),
        "untested": lacking.iter().map(untested).collect::<Vec<_>>(),
        "changes": asked.mutate.then(|| json!({ "all": hunt.mutants, "unnoticed": unnoticed })),
    })
}
