//! The claims this crate makes, as they are stored: plain data with one JSON form (docs/formats/claims.md).
//!
//! Not here: how the claims come about, and who recorded them when; that is for the scanner and the engine.

use std::collections::BTreeMap;

use lumos_domain::words::Severity;
use serde::{Deserialize, Serialize};

/// What the artifact scanners found in all files of a release (evidence kind `artifact_scan`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArtifactScan {
    /// The scanner: `lumos`.
    pub tool: String,
    /// The version of the scanner.
    pub tool_version: String,
    /// Which confinements the kernel had put on the process that read the bytes; empty when none.
    pub confinement: Vec<String>,
    /// How many files were read.
    pub files: u64,
    /// How many bytes were read.
    pub bytes: u64,
    /// What was found, sorted by path, then code, then detail.
    pub findings: Vec<Finding>,
    /// What could not be scanned to its end, sorted. Never a pass (DESIGN 9).
    pub not_fully_scanned: Vec<NotFullyScanned>,
}

impl ArtifactScan {
    /// The gravest finding, `None` when there is none.
    #[must_use]
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.severity).max()
    }
}

/// One thing a scanner found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// Where: the path of the file, with `!` before the name of a member of an archive.
    pub path: String,
    /// What: a stable slug such as `pickle-known-bad-global`.
    pub code: String,
    /// How severe it is.
    pub severity: Severity,
    /// One sentence with the particulars.
    pub detail: String,
}

/// A file, or a member of one, that was not scanned to its end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotFullyScanned {
    /// Where, written as in [`Finding::path`].
    pub path: String,
    /// Why.
    pub reason: String,
}

/// What a model card says (evidence kind `model_card`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelCard {
    /// The path of the card.
    pub path: String,
    /// The licence the front matter names, as written there.
    pub license: Option<String>,
    /// The front matter as JSON; an empty object when there is none or it is broken.
    pub front_matter: BTreeMap<String, serde_json::Value>,
    /// The headings in order, each with the words below it up to the next heading.
    pub sections: Vec<Section>,
    /// What is wrong with the card, one sentence each.
    pub problems: Vec<String>,
}

/// One heading of a model card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Section {
    /// The heading without its number signs.
    pub title: String,
    /// How many words stand below it before the next heading.
    pub words: u64,
}

/// What the files say about the licence (evidence kind `licence`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Licence {
    /// Each place that names a licence, sorted by path.
    pub sources: Vec<LicenceSource>,
    /// Whether two sources name different licences.
    pub contradiction: bool,
    /// The different expressions, sorted.
    pub expressions: Vec<String>,
}

/// One place that names a licence.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LicenceSource {
    /// The path of the file.
    pub path: String,
    /// What kind of place it is.
    pub source: LicencePlace,
    /// The licence, as an SPDX expression where it was recognised, else as written.
    pub expression: String,
}

/// The kinds of place that name a licence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LicencePlace {
    /// The front matter of a model card.
    Card,
    /// The text of a licence file.
    LicenceFile,
    /// The METADATA of a Python package (DECISIONS 22).
    PackageMetadata,
}
