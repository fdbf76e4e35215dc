//! What a release consists of, its digest, and what differs between two of them.
//!
//! Not here: reading files. `lumos-evidence` turns bytes into parts; the release digest and the computed
//! change are rules and live here, so that `decide` can trust them (DECISIONS 2, 8, 9).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    canonical::{self, CanonicalError},
    id::Digest,
    words::{ChangeTier, PartKind},
};

/// One part of a release: a file, or a piece of configuration that is hashed like one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// What of the model it is.
    pub kind: PartKind,
    /// Relative path with `/` between components, or a name such as `hosted:identity`.
    pub path: String,
    /// Length in bytes.
    pub size: u64,
    /// SHA-256 of its bytes.
    pub sha256: Digest,
    /// For a part of which some lines are registry identifiers (MLmodel's `run_id`, `model_uuid`,
    /// times): SHA-256 of the bytes without those lines. Compared instead of `sha256` when both sides
    /// have it, so that identifiers enter the digest but are no change (DECISIONS 8).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_sha256: Option<Digest>,
    /// Whether this part is a weight file: such a file's digest finds the release (DECISIONS 9).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub weights: bool,
}

impl Part {
    fn content(&self) -> Digest {
        self.content_sha256.unwrap_or(self.sha256)
    }
}

/// The canonical manifest of a release: its parts, sorted by the bytes of their paths.
///
/// INVARIANT: parts are sorted, paths are unique, relative, without `..`, `.` or empty components.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawManifest")]
pub struct Manifest {
    schema: ManifestSchema,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum ManifestSchema {
    #[serde(rename = "lumos.manifest/v1")]
    V1,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawManifest {
    #[serde(rename = "schema")]
    _schema: ManifestSchema,
    parts: Vec<Part>,
}

impl TryFrom<RawManifest> for Manifest {
    type Error = ManifestError;

    fn try_from(raw: RawManifest) -> Result<Self, ManifestError> {
        Self::new(raw.parts)
    }
}

/// Why parts make no manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// There is nothing to release.
    #[error("building a manifest: there are no parts")]
    Empty,
    /// More parts than one release may have.
    #[error("building a manifest: {0} parts are more than the 100000 allowed")]
    TooMany(usize),
    /// A path that is absolute, empty, or leaves the tree.
    #[error("building a manifest: `{0}` is not a relative path inside the release")]
    Path(String),
    /// Two parts have the same path.
    #[error("building a manifest: `{0}` appears twice")]
    Twice(String),
    /// The manifest could not be written or read as JSON.
    #[error("reading a manifest")]
    Json(#[from] serde_json::Error),
    /// The manifest has no canonical form.
    #[error("writing a manifest")]
    Canonical(#[from] CanonicalError),
    /// The stored bytes are not the canonical form of what they say.
    #[error("reading a manifest: the bytes are not its canonical form")]
    NotCanonical,
}

impl ManifestError {
    /// The stable code of this error, a page in `docs/errors/`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "bad-manifest"
    }
}

/// The most parts one manifest may have.
const PARTS_MAX: usize = 100_000;

impl Manifest {
    /// A manifest of `parts`, sorted here.
    ///
    /// # Errors
    /// When there are none, too many, or a path is unsafe or doubled.
    pub fn new(mut parts: Vec<Part>) -> Result<Self, ManifestError> {
        if parts.is_empty() {
            return Err(ManifestError::Empty);
        }
        if parts.len() > PARTS_MAX {
            return Err(ManifestError::TooMany(parts.len()));
        }
        if let Some(part) = parts.iter().find(|part| !is_safe_path(&part.path)) {
            return Err(ManifestError::Path(part.path.chars().take(256).collect()));
        }
        parts.sort_by(|a, b| a.path.as_bytes().cmp(b.path.as_bytes()));
        if let Some(pair) = parts.windows(2).find(|pair| pair[0].path == pair[1].path) {
            return Err(ManifestError::Twice(pair[0].path.clone()));
        }
        Ok(Self {
            schema: ManifestSchema::V1,
            parts,
        })
    }

    /// Reads a stored manifest and insists that the bytes are its canonical form.
    ///
    /// # Errors
    /// When the bytes are not JSON of this shape or not canonical.
    pub fn from_canonical(bytes: &[u8]) -> Result<Self, ManifestError> {
        let manifest: Self = serde_json::from_slice(bytes)?;
        if manifest.to_canonical()? == bytes {
            Ok(manifest)
        } else {
            Err(ManifestError::NotCanonical)
        }
    }

    /// The bytes that are stored and hashed (RFC 8785, no floats).
    ///
    /// # Errors
    /// Never in practice: every field has a canonical form.
    pub fn to_canonical(&self) -> Result<Vec<u8>, ManifestError> {
        Ok(canonical::to_bytes(self)?)
    }

    /// The release digest: SHA-256 of the canonical bytes.
    ///
    /// # Errors
    /// As [`Manifest::to_canonical`].
    pub fn digest(&self) -> Result<Digest, ManifestError> {
        Ok(Digest::of(&self.to_canonical()?))
    }

    /// The parts, sorted by path bytes.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Digests of the weight files: any of them finds this release (DECISIONS 9).
    pub fn weight_files(&self) -> impl Iterator<Item = Digest> + '_ {
        self.parts
            .iter()
            .filter(|part| part.weights)
            .map(|part| part.sha256)
    }
}

/// Whether `path` is relative, stays inside the tree and has no control characters.
#[must_use]
pub fn is_safe_path(path: &str) -> bool {
    path.len() <= 1024
        && !path.chars().any(|c| c.is_control() || c == '\\')
        && path
            .split('/')
            .all(|component| !matches!(component, "" | "." | ".."))
}

/// One part that differs between the release now running and the candidate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The path of the part.
    pub path: String,
    /// What of the model it is; the graver of the two sides.
    pub kind: PartKind,
    /// How it differs.
    pub how: How,
}

/// How a part differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// Only the candidate has it.
    Added,
    /// Only the running release has it.
    Removed,
    /// Both have it with other bytes.
    Changed,
}

/// What differs from the release now running (DESIGN glossary: change).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The gravest kind among the differences that count, `None` when nothing that counts differs.
    pub kind: Option<PartKind>,
    /// How much that may change.
    pub tier: ChangeTier,
    /// Each difference, documentation and identifiers included, sorted by path.
    pub differences: Vec<Difference>,
}

impl Change {
    /// The change when there is nothing to compare with: backbone (DECISIONS 8).
    #[must_use]
    pub fn incomparable() -> Self {
        Self {
            kind: Some(PartKind::Backbone),
            tier: ChangeTier::Major,
            differences: Vec::new(),
        }
    }

    /// Compares two manifests part by part.
    #[must_use]
    pub fn between(running: &Manifest, candidate: &Manifest) -> Self {
        let mut sides: BTreeMap<&str, (Option<&Part>, Option<&Part>)> = BTreeMap::new();
        for part in running.parts() {
            sides.entry(&part.path).or_default().0 = Some(part);
        }
        for part in candidate.parts() {
            sides.entry(&part.path).or_default().1 = Some(part);
        }
        let differences: Vec<_> = sides
            .into_iter()
            .filter_map(|(path, sides)| {
                let (kind, how) = match sides {
                    (Some(old), Some(new))
                        if old.kind == new.kind && old.content() == new.content() =>
                    {
                        return None;
                    }
                    (Some(old), Some(new)) => (old.kind.max(new.kind), How::Changed),
                    (Some(old), None) => (old.kind, How::Removed),
                    (None, Some(new)) => (new.kind, How::Added),
                    (None, None) => return None,
                };
                Some(Difference {
                    path: path.to_owned(),
                    kind,
                    how,
                })
            })
            .collect();
        let kind = differences
            .iter()
            .map(|d| d.kind)
            .filter(|k| k.tier() > ChangeTier::None)
            .max();
        Self {
            kind,
            tier: kind.map_or(ChangeTier::None, PartKind::tier),
            differences,
        }
    }

    /// The change with a declared kind taken into account: it may raise the tier, never lower it.
    #[must_use]
    pub fn raised_by(mut self, declared: Option<PartKind>) -> Self {
        if let Some(declared) = declared
            && declared.tier() > self.tier
        {
            self.kind = Some(declared);
            self.tier = declared.tier();
        }
        self
    }
}

#[cfg(test)]
mod tests;
