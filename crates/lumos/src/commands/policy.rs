//! `lumos policy`: a developer's verdict before the server's, and the care of bundles.

mod cases;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use lumos_domain::words::{Depth, ModelTier};
use lumos_engine::ports::Clock as _;
use lumos_policy::{Bundle, Candidate, Context, evaluate, explain, lint, render};
use serde_json::{Value, json};

use self::cases::Asked;
use super::{Out, Said};
use crate::{
    cli::{Common, Policy},
    defaults,
    edge::{SystemClock, scanned_of},
    remote::Remote,
};

pub(super) async fn run(policy: Policy, common: &Common, out: &Out) -> Result<Said> {
    match policy {
        Policy::Check {
            path,
            bundle,
            tier,
            env,
            depth,
            purpose,
            evidence,
        } => {
            let question = Question {
                tier: tier.parse()?,
                env,
                depth: depth.parse()?,
                purpose,
                evidence,
            };
            check(&path, &bundle, &question, out).await
        }
        Policy::Lint { file } => lint_file(&file, out),
        Policy::Explain { file, rule } => explain_file(&file, rule.as_deref()),
        Policy::Test {
            file,
            tests,
            coverage,
            mutate,
        } => cases::run(&file, tests, &Asked { coverage, mutate }, out),
        Policy::Publish { file } => {
            let yaml =
                std::fs::read(&file).with_context(|| format!("reading `{}`", file.display()))?;
            let remote = Remote::of(common)?;
            out.done(
                &remote
                    .post_bytes("/api/v1/policies", "application/yaml", yaml)
                    .await?,
            )
        }
    }
}

/// What a local check assumes that the server would know.
struct Question {
    tier: ModelTier,
    env: String,
    depth: Depth,
    purpose: String,
    evidence: Vec<String>,
}

fn read_bundle(path: &Path) -> Result<Bundle> {
    let yaml =
        std::fs::read(path).with_context(|| format!("reading bundle `{}`", path.display()))?;
    Bundle::parse(&yaml).with_context(|| format!("reading bundle `{}`", path.display()))
}

async fn check(path: &Path, bundles: &[PathBuf], question: &Question, out: &Out) -> Result<Said> {
    let bundles = if bundles.is_empty() {
        let (_, policies, _) = defaults::sandbox();
        policies
            .iter()
            .map(|(_, yaml)| Ok(Bundle::parse(yaml)?))
            .collect::<Result<Vec<_>>>()?
    } else {
        bundles
            .iter()
            .map(|path| read_bundle(path))
            .collect::<Result<Vec<_>>>()?
    };
    let document = document(path, question).await?;
    let candidate = Candidate::parse(&serde_json::to_vec(&document)?)?;
    let context = Context {
        as_of: SystemClock.now(),
        depth: question.depth,
        waivers: &[],
    };
    let reports: Vec<_> = bundles
        .iter()
        .map(|bundle| evaluate(bundle, &candidate, &context))
        .collect();
    if out.json {
        outln!("{:#}", serde_json::to_value(&reports)?);
    } else {
        for report in &reports {
            outln!("{}", render(report));
        }
    }
    Ok(if reports.iter().any(|report| report.blocked) {
        Said::No
    } else {
        Said::Yes
    })
}

/// The candidate document of a folder here, as far as it can be known here.
async fn document(path: &Path, question: &Question) -> Result<Value> {
    let scanned = scanned_of(super::scan::inspect(path).await?)?;
    let now = SystemClock.now().to_string();
    let mut evidence = serde_json::Map::new();
    let mut add = |kind: &str, producer: &str, claim: Value| {
        let digest = lumos_domain::id::Digest::of(claim.to_string().as_bytes());
        let record =
            json!({"digest": digest, "producer": producer, "recorded_at": now, "claim": claim});
        match evidence.entry(kind.to_owned()).or_insert_with(|| json!([])) {
            Value::Array(records) => records.push(record),
            other => *other = json!([record]),
        }
    };
    for found in scanned.evidence {
        add(&found.kind, &found.producer, found.claim);
    }
    for pair in &question.evidence {
        let (kind, claim) = read_evidence(pair)?;
        add(&kind, "developer", claim);
    }
    let format = |path: &str| {
        let known = scanned.formats.iter().find(|(p, _)| p == path);
        known
            .map_or("unknown", |(_, format)| format.as_str())
            .to_owned()
    };
    let parts: Vec<_> = scanned
        .manifest
        .parts()
        .iter()
        .map(|p| json!({"kind": p.kind, "path": p.path, "size": p.size, "sha256": p.sha256, "format": format(&p.path)}))
        .collect();
    let bytes: u64 = scanned.manifest.parts().iter().map(|part| part.size).sum();
    let formats: std::collections::BTreeSet<_> =
        scanned.formats.iter().map(|(_, format)| format).collect();
    let purpose = Some(&question.purpose).filter(|purpose| !purpose.is_empty());
    Ok(json!({
        "schema": "lumos.candidate/v1",
        "model": {"name": "local", "tier": question.tier, "purpose": purpose, "frameworks": []},
        "release": {
            "version": "local", "digest": scanned.manifest.digest()?, "environment": question.env,
            "agents": [], "depth": question.depth, "change": {"kind": "backbone", "tier": "major"},
            "test": false, "sandbox": false,
        },
        "manifest": {"parts": parts, "bytes": bytes, "formats": formats},
        "evidence": evidence,
    }))
}

/// Reads `KIND=FILE`.
///
/// # Errors
/// When there is no `=`, or the file is not JSON.
pub(super) fn read_evidence(pair: &str) -> Result<(String, Value)> {
    let (kind, file) = pair
        .split_once('=')
        .with_context(|| format!("`{pair}` is not KIND=FILE"))?;
    let text = std::fs::read(file).with_context(|| format!("reading evidence `{file}`"))?;
    let claim =
        serde_json::from_slice(&text).with_context(|| format!("evidence `{file}` is not JSON"))?;
    Ok((kind.to_owned(), claim))
}

fn lint_file(file: &Path, out: &Out) -> Result<Said> {
    let bundle = read_bundle(file)?;
    let findings = lint(&bundle);
    if out.json {
        let all: Vec<_> = findings.iter().map(ToString::to_string).collect();
        outln!("{:#}", json!(all));
    } else if findings.is_empty() {
        outln!("{} {}: nothing found", bundle.name(), bundle.version());
    } else {
        for finding in &findings {
            outln!("{finding}");
        }
    }
    Ok(if findings.is_empty() {
        Said::Yes
    } else {
        Said::No
    })
}

fn explain_file(file: &Path, rule: Option<&str>) -> Result<Said> {
    let bundle = read_bundle(file)?;
    match rule {
        Some(id) => {
            let rule = bundle
                .rule(id)
                .with_context(|| format!("`{}` has no rule `{id}`", bundle.name()))?;
            outln!("{}", explain(rule));
        }
        None => {
            for rule in bundle.rules() {
                outln!("{}\n", explain(rule));
            }
        }
    }
    Ok(Said::Yes)
}
