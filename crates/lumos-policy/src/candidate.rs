//! The candidate document (`lumos.candidate/v1`): what is known about a release and its evidence,
//! read strictly. Not here: how it is built (lumos-evidence and the engine), nor what is asked of it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use lumos_domain::id::{Digest, Environment, ModelName, Version};
use lumos_domain::words::{ChangeTier, Depth, ModelTier, Severity};
use serde_json::Value;

use crate::decode::{At, ShapeError};
use crate::tree::{self, Limits, TreeError};

/// The `schema` of the documents read here.
pub const SCHEMA: &str = "lumos.candidate/v1";

/// Most bytes of a candidate document: 16 MiB.
pub const MAX_BYTES: usize = 16 << 20;

const LIMITS: Limits = Limits {
    bytes: MAX_BYTES,
    nodes: 2_000_000,
    text: MAX_BYTES,
    depth: 64,
};

/// Why a candidate document was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CandidateError {
    /// Longer than [`MAX_BYTES`].
    #[error("reading a candidate document: {0}")]
    TooLarge(TreeError),
    /// Not one JSON document, or one that repeats a key or nests too deep.
    #[error("reading a candidate document: {0}")]
    NotJson(TreeError),
    /// The document does not have the shape of `lumos.candidate/v1`.
    #[error("reading a candidate document: {0}")]
    Shape(ShapeError),
}

impl From<ShapeError> for CandidateError {
    fn from(error: ShapeError) -> Self {
        Self::Shape(error)
    }
}

impl CandidateError {
    /// The stable code of this error, a page in `docs/errors/`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLarge(_) => "candidate-too-large",
            Self::NotJson(_) => "candidate-not-json",
            Self::Shape(_) => "candidate-bad-shape",
        }
    }
}

/// One recorded claim.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The digest of the stored claim.
    pub digest: Digest,
    /// Who made the claim.
    pub producer: String,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// The claim itself, a JSON object whose shape depends on its kind.
    pub claim: Value,
}

/// A candidate document, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    value: Value,
    digest: Digest,
    size: Size,
    model: ModelName,
    version: Version,
    environment: Environment,
    release: Digest,
    evidence: BTreeMap<String, Vec<Record>>,
}

/// How large a document is, for the bound on what an expression over it may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// The number of items in the largest list or mapping.
    pub largest: u64,
    /// Bytes of the document.
    pub bytes: u64,
}

impl Candidate {
    /// Reads a candidate document.
    ///
    /// # Errors
    /// When it is too large, not JSON, or not of the shape `docs/formats/candidate.md` describes.
    pub fn parse(bytes: &[u8]) -> Result<Self, CandidateError> {
        let value = tree::read_json(bytes, LIMITS).map_err(|error| match error {
            TreeError::TooLarge { .. } => CandidateError::TooLarge(error),
            TreeError::Broken(_) => CandidateError::NotJson(error),
        })?;
        let parts = Parts::read(&At::root("candidate", &value))?;
        let size = Size {
            largest: largest(&value),
            bytes: bytes.len() as u64,
        };
        let Parts {
            model,
            version,
            environment,
            release,
            evidence,
        } = parts;
        let digest = Digest::of(bytes);
        Ok(Self {
            value,
            digest,
            size,
            model,
            version,
            environment,
            release,
            evidence,
        })
    }

    /// The whole document.
    #[must_use]
    pub const fn value(&self) -> &Value {
        &self.value
    }

    /// SHA-256 of the bytes that were read.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// How large the document is.
    #[must_use]
    pub const fn size(&self) -> Size {
        self.size
    }

    /// The model the release belongs to.
    #[must_use]
    pub const fn model(&self) -> &ModelName {
        &self.model
    }

    /// The version of the release.
    #[must_use]
    pub const fn version(&self) -> &Version {
        &self.version
    }

    /// The environment the release asks to enter.
    #[must_use]
    pub const fn environment(&self) -> &Environment {
        &self.environment
    }

    /// The release digest.
    #[must_use]
    pub const fn release(&self) -> Digest {
        self.release
    }

    /// The records of one kind of evidence, newest first; empty when there is none.
    #[must_use]
    pub fn evidence(&self, kind: &str) -> &[Record] {
        self.evidence.get(kind).map_or(&[], Vec::as_slice)
    }
}

struct Parts {
    model: ModelName,
    version: Version,
    environment: Environment,
    release: Digest,
    evidence: BTreeMap<String, Vec<Record>>,
}

impl Parts {
    fn read(at: &At<'_>) -> Result<Self, ShapeError> {
        let root = at.object(&["schema", "model", "release", "manifest", "evidence"])?;
        let schema = root.need("schema")?;
        if schema.text()? != SCHEMA {
            return schema.invalid(format!("is not `{SCHEMA}`"));
        }
        let model = root
            .need("model")?
            .object(&["name", "tier", "purpose", "frameworks"])?;
        model.need("tier")?.parsed::<ModelTier>()?;
        model.maybe("purpose", |at| at.text().map(drop))?;
        model.maybe("frameworks", texts)?;

        let release = root.need("release")?.object(&[
            "version",
            "digest",
            "environment",
            "agents",
            "depth",
            "change",
            "test",
            "sandbox",
        ])?;
        release.need("depth")?.parsed::<Depth>()?;
        release.maybe("agents", texts)?;
        release.maybe("test", At::flag)?;
        release.maybe("sandbox", At::flag)?;
        let change = release.need("change")?.object(&["kind", "tier"])?;
        change.maybe("kind", |at| at.text().map(drop))?;
        change.need("tier")?.parsed::<ChangeTier>()?;

        read_manifest(&root.need("manifest")?)?;
        Ok(Self {
            model: model.need("name")?.parsed()?,
            version: release.need("version")?.parsed()?,
            environment: release.need("environment")?.parsed()?,
            release: release.need("digest")?.parsed()?,
            evidence: read_evidence(&root.need("evidence")?)?,
        })
    }
}

fn texts(at: &At<'_>) -> Result<(), ShapeError> {
    at.items()?
        .iter()
        .try_for_each(|item| item.text().map(drop))
}

fn read_manifest(at: &At<'_>) -> Result<(), ShapeError> {
    let manifest = at.object(&["parts", "bytes", "formats"])?;
    manifest.maybe("formats", texts)?;
    manifest.maybe("bytes", |at| at.whole(0, u64::MAX))?;
    for part in manifest.need("parts")?.items()? {
        let part = part.object(&["kind", "path", "size", "sha256", "format"])?;
        part.need("path")?.text()?;
        part.maybe("kind", |at| at.text().map(drop))?;
        part.maybe("size", |at| at.whole(0, u64::MAX))?;
        part.maybe("sha256", |at| at.text().map(drop))?;
        part.maybe("format", |at| at.text().map(drop))?;
    }
    Ok(())
}

fn read_evidence(at: &At<'_>) -> Result<BTreeMap<String, Vec<Record>>, ShapeError> {
    let mut evidence = BTreeMap::new();
    for (kind, at) in at.members()? {
        if !is_kind(kind) {
            return at.invalid("is not a kind of evidence: a-z, 0-9 and _, starting with a letter");
        }
        let mut records: Vec<Record> = Vec::new();
        for at in at.items()? {
            let record = read_record(&at)?;
            if records
                .last()
                .is_some_and(|newer| newer.recorded_at < record.recorded_at)
            {
                return at.invalid("was recorded after the one before it; the newest stands first");
            }
            records.push(record);
        }
        evidence.insert(kind.to_owned(), records);
    }
    Ok(evidence)
}

fn read_record(at: &At<'_>) -> Result<Record, ShapeError> {
    let record = at.object(&["digest", "producer", "recorded_at", "claim"])?;
    let claim = record.need("claim")?;
    claim.members()?;
    Ok(Record {
        digest: record.need("digest")?.parsed()?,
        producer: record.need("producer")?.bounded(256)?.to_owned(),
        recorded_at: record.need("recorded_at")?.parsed()?,
        claim: claim.value.clone(),
    })
}

/// Whether `text` may name a kind of evidence.
pub(crate) use lumos_domain::release::is_kind;

fn largest(value: &Value) -> u64 {
    let inner = |items: &mut dyn Iterator<Item = &Value>| items.map(largest).max().unwrap_or(0);
    match value {
        Value::Array(items) => inner(&mut items.iter()).max(items.len() as u64),
        Value::Object(members) => inner(&mut members.values()).max(members.len() as u64),
        _ => 0,
    }
}

/// Severity of one finding of an artifact scan, when the word is known.
pub(crate) fn severity_of(finding: &Value) -> Option<Severity> {
    finding.get("severity")?.as_str()?.parse().ok()
}
