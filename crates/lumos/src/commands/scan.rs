//! `lumos scan`: what the server's scanner would find, in the same sandbox, without a server.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result};
use lumos_domain::words::Severity;
use lumos_evidence::scan::Inspection;
use lumos_worker::Worker;

use super::{Out, Said};

/// How long a scan by hand may take.
const DEADLINE: Duration = Duration::from_secs(6 * 3_600);

/// Hashes and scans `path` in a worker, with progress on a terminal.
///
/// # Errors
/// When the worker fails.
pub(super) async fn inspect(path: &Path) -> Result<Inspection> {
    let path =
        std::fs::canonicalize(path).with_context(|| format!("finding `{}`", path.display()))?;
    let worker = Worker {
        exe: std::env::current_exe().context("finding this program")?,
    };
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let scanned = tokio::task::spawn_blocking(move || {
        worker.scan(&path, DEADLINE, |progress| {
            if terminal {
                eprint!("\r{} MiB read", progress.bytes >> 20);
            }
        })
    });
    let inspection = scanned.await.context("running the worker")??;
    if terminal {
        eprint!("\r                              \r");
    }
    Ok(inspection)
}

pub(super) async fn run(path: &Path, out: &Out) -> Result<Said> {
    let inspection = inspect(path).await?;
    let worst = inspection
        .scan
        .findings
        .iter()
        .map(|finding| finding.severity)
        .max();
    let whole = inspection.scan.not_fully_scanned.is_empty();
    if out.json {
        outln!("{:#}", serde_json::to_value(&inspection)?);
    } else {
        outln!("release digest {}", inspection.manifest.digest()?);
        outln!(
            "{} file(s), {} bytes",
            inspection.scan.files,
            inspection.scan.bytes
        );
        outln!("confined by: {}", inspection.scan.confinement.join(", "));
        for part in inspection.manifest.parts() {
            outln!(
                "  {:13} {:>12}  {}",
                part.kind.as_str(),
                part.size,
                part.path
            );
        }
        for finding in &inspection.scan.findings {
            outln!(
                "{}: {} in {}: {}",
                finding.severity,
                finding.code,
                finding.path,
                finding.detail
            );
        }
        for left in &inspection.scan.not_fully_scanned {
            outln!("not fully scanned: {}: {}", left.path, left.reason);
        }
        if let Some(licence) = &inspection.licence
            && licence.contradiction
        {
            outln!(
                "licences contradict each other: {}",
                licence.expressions.join(", ")
            );
        }
    }
    Ok(
        if whole && worst.is_none_or(|worst| worst < Severity::High) {
            Said::Yes
        } else {
            Said::No
        },
    )
}
