//! The candidate document: everything policy may look at about a release, put together from the ledger and
//! the blobs. Documented in `docs/formats/candidate.md`; policy sees this and nothing else.

use std::collections::BTreeMap;

use jiff::Timestamp;
use lumos_domain::{
    actor::Actor,
    event::{Event, EvidenceRecorded},
    id::{Digest, Environment, ReleaseId},
    manifest::Manifest,
    review::{Outlook, outlook},
    stream::Stream,
    words::ModelTier,
};
use lumos_engine::{Door, DoorError, LedgerEntry, ports::PortError};
use serde_json::{Value, json};

/// What a report is made from.
#[derive(Debug, Clone)]
pub struct Dossier {
    /// The document.
    pub document: Value,
    /// The change and depth the rules are judged for.
    pub outlook: Outlook,
    /// Digests of the evidence in the document.
    pub evidence: Vec<Digest>,
    /// The bundles that bind the model, in force now.
    pub bundles: Vec<lumos_domain::facts::BundleRef>,
}

/// The facts of a release that are read in one go.
struct Facts {
    outlook: Outlook,
    purpose: Option<lumos_domain::seal::Sealed>,
    tier: ModelTier,
    frameworks: Vec<String>,
    test: bool,
    bundles: Vec<lumos_domain::facts::BundleRef>,
}

/// Puts the document for `release` in `environment` together.
///
/// # Errors
/// A refusal, such as "not identified yet", or a failure to read.
pub async fn dossier(
    door: &Door,
    release: &ReleaseId,
    environment: &Environment,
) -> Result<Dossier, DoorError> {
    let now = door.ports().clock.now();
    let facts = door
        .ask(|world| {
            let model = world.model(&release.model)?;
            let mut bundles = Vec::new();
            for name in &model.policies {
                bundles.extend(world.bundle(name)?.current.clone());
            }
            Ok(Facts {
                outlook: outlook(world, release, environment, now)?,
                purpose: model.purpose,
                tier: model.effective_tier(),
                frameworks: model.frameworks.iter().cloned().collect(),
                test: world.release(release)?.test,
                bundles,
            })
        })
        .await?;
    let store = &door.ports().store;
    let purpose = match facts.purpose {
        Some(sealed) => store.unseal(&[sealed]).await?.pop().flatten(),
        None => None,
    };
    let history = door.history(&Stream::Subject(facts.outlook.digest)).await?;
    let covered = usize::try_from(facts.outlook.subject_version).unwrap_or(usize::MAX);
    let mut evidence = evidence(door, &history[..history.len().min(covered)]).await?;
    let formats = evidence.by_kind.remove("formats");
    let manifest = manifest(door, facts.outlook.digest).await?;
    let document = json!({
        "schema": "lumos.candidate/v1",
        "model": {
            "name": release.model, "tier": facts.tier, "purpose": purpose, "frameworks": facts.frameworks,
        },
        "release": {
            "version": release.version, "digest": facts.outlook.digest, "environment": environment,
            "agents": facts.outlook.agents, "depth": facts.outlook.depth,
            "change": {"kind": facts.outlook.change.kind, "tier": facts.outlook.change.tier},
            "test": facts.test, "sandbox": facts.outlook.sandbox,
        },
        "manifest": describe(&manifest, formats.as_ref()),
        "evidence": evidence.by_kind,
    });
    Ok(Dossier {
        document,
        outlook: facts.outlook,
        evidence: evidence.digests,
        bundles: facts.bundles,
    })
}

/// The manifest with this release digest.
///
/// # Errors
/// When it is missing or broken.
pub async fn manifest(door: &Door, digest: Digest) -> Result<Manifest, DoorError> {
    let bytes = door.ports().blobs.get(&digest).await?;
    let bytes = bytes.ok_or(DoorError::Manifest {
        digest,
        source: None,
    })?;
    Manifest::from_canonical(&bytes).map_err(|e| DoorError::Manifest {
        digest,
        source: Some(e),
    })
}

struct Evidence {
    by_kind: BTreeMap<String, Vec<Value>>,
    digests: Vec<Digest>,
}

/// The claims behind recorded evidence, the newest of each kind first. Of a kind that an outside agent alone records,
/// only what it brought itself counts: not what others recorded before that was said, nor what one person could have
/// recorded in its name in a sandbox that was left.
async fn evidence(door: &Door, history: &[LedgerEntry]) -> Result<Evidence, DoorError> {
    let org = door.ask(|world| Ok(world.org()?.clone())).await?;
    let mut by_kind: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let mut digests = Vec::new();
    for entry in history.iter().rev() {
        let Event::EvidenceRecorded(recorded) = &entry.event else {
            continue;
        };
        digests.push(recorded.digest);
        if let Some(owner) = org.owner_of(&recorded.kind) {
            let brought =
                matches!(entry.actor, Actor::Service(_)) && (org.sandbox || !recorded.sandbox);
            if owner.as_str() != recorded.producer || !brought {
                continue;
            }
        }
        by_kind
            .entry(recorded.kind.clone())
            .or_default()
            .push(record(door, recorded, entry.time).await?);
    }
    Ok(Evidence { by_kind, digests })
}

async fn record(
    door: &Door,
    recorded: &EvidenceRecorded,
    at: Timestamp,
) -> Result<Value, DoorError> {
    let missing = || {
        PortError::new(
            format!("reading evidence {}", recorded.digest),
            "the blob is missing",
        )
    };
    let bytes = door
        .ports()
        .blobs
        .get(&recorded.digest)
        .await?
        .ok_or_else(missing)?;
    let claim: Value = serde_json::from_slice(&bytes)
        .map_err(|e| PortError::new(format!("reading evidence {}", recorded.digest), e))?;
    Ok(json!({
        "digest": recorded.digest, "producer": recorded.producer, "recorded_at": at.to_string(), "claim": claim,
    }))
}

/// The manifest as policy sees it: parts with their formats, total size, the formats that occur.
fn describe(manifest: &Manifest, formats: Option<&Vec<Value>>) -> Value {
    let known = formats
        .and_then(|records| records.first())
        .map(|record| &record["claim"]);
    let format = |path: &str| {
        known
            .and_then(|f| f.get(path))
            .and_then(Value::as_str)
            .unwrap_or("unknown")
    };
    let parts: Vec<_> = manifest
        .parts()
        .iter()
        .map(|part| {
            json!({
                "kind": part.kind, "path": part.path, "size": part.size, "sha256": part.sha256,
                "format": format(&part.path),
            })
        })
        .collect();
    let all: std::collections::BTreeSet<_> = manifest
        .parts()
        .iter()
        .map(|part| format(&part.path))
        .collect();
    let bytes = manifest
        .parts()
        .iter()
        .fold(0_u64, |sum, part| sum.saturating_add(part.size));
    json!({"parts": parts, "bytes": bytes, "formats": all})
}
