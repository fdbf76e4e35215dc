//! The scanner: takes the files of a release one after the other and ends in an [`Inspection`] of all of them.
//!
//! Not here: where the files come from. `lumos-worker` walks a tree and hands readers in.

use std::{
    collections::BTreeMap,
    io::{self, Read, Seek, SeekFrom},
};

use lumos_domain::{
    manifest::{Manifest, ManifestError, Part, is_safe_path},
    words::{PartKind, Severity},
};
use serde::{Deserialize, Serialize};

use crate::{
    archive, card,
    claim::{ArtifactScan, Licence, LicenceSource, ModelCard},
    digest::HashingReader,
    format::Format,
    kind, licence,
    stream::{self, Context},
};

/// What the scanner reads from: a file, or bytes in memory.
pub trait ReadSeek: Read + Seek {}

impl<T: Read + Seek + ?Sized> ReadSeek for T {}

/// The bounds of a scan. The defaults fit a worker with one gigabyte of address space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// How deep archives may be nested.
    pub depth_max: u32,
    /// The most members one archive may have.
    pub members_max: usize,
    /// The largest archive in an archive, in bytes, that is held in memory.
    pub nested_bytes_max: u64,
    /// How many times its own length a file may unpack to, beyond [`Limits::unpacked_free_bytes`].
    pub unpacked_ratio_max: u64,
    /// How many bytes any file may unpack to.
    pub unpacked_free_bytes: u64,
    /// The most findings that are kept; the graver ones stay.
    pub findings_max: usize,
    /// How much of a card, licence or metadata file is read, in bytes.
    pub document_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            depth_max: 4,
            members_max: 100_000,
            nested_bytes_max: 64 << 20,
            unpacked_ratio_max: 100,
            unpacked_free_bytes: 64 << 20,
            findings_max: 1000,
            document_bytes_max: 1 << 20,
        }
    }
}

/// Everything that was learned about a release from its files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inspection {
    /// The manifest; its digest is the release digest.
    pub manifest: Manifest,
    /// The format of each file, by path.
    pub formats: BTreeMap<String, Format>,
    /// What the artifact scanners found.
    pub scan: ArtifactScan,
    /// The model card nearest to the root, if there is one.
    pub card: Option<ModelCard>,
    /// What the files say about the licence, if any does.
    pub licence: Option<Licence>,
}

/// Why a release could not be inspected. Nothing that the bytes say is an error; this is about reading them.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// The file could not be read to its end.
    #[error("reading `{path}`")]
    Unreadable {
        /// The path as it was handed in.
        path: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file has not the length it had when it was listed.
    #[error(
        "reading `{path}`: it had {before} bytes and {after} were read; it changes while it is hashed"
    )]
    Changed {
        /// The path as it was handed in.
        path: String,
        /// The length when it was listed.
        before: u64,
        /// The bytes that were read.
        after: u64,
    },
    /// A path that may not stand in a manifest.
    #[error("listing files: `{0}` is not a relative path inside the release")]
    Path(String),
    /// The parts make no manifest.
    #[error("inspecting a release")]
    Manifest(#[from] ManifestError),
}

impl ScanError {
    /// The stable code of this error, a page in `docs/errors/`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "artifact-unreadable",
            Self::Changed { .. } => "artifact-changed",
            Self::Path(_) => "artifact-path",
            Self::Manifest(error) => error.code(),
        }
    }
}

/// Takes files in any order; the inspection comes out the same.
pub struct Scanner {
    limits: Limits,
    confinement: Vec<String>,
    parts: Vec<Part>,
    formats: BTreeMap<String, Format>,
    scan: ArtifactScan,
    cards: Vec<ModelCard>,
    licences: Vec<LicenceSource>,
}

impl Scanner {
    /// A scanner within `limits`. `confinement` names what the kernel put on this process; it is only written down.
    #[must_use]
    pub fn new(limits: Limits, confinement: Vec<String>) -> Self {
        let scan = ArtifactScan {
            tool: "lumos".to_owned(),
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            confinement: confinement.clone(),
            files: 0,
            bytes: 0,
            findings: Vec::new(),
            not_fully_scanned: Vec::new(),
        };
        Self {
            limits,
            confinement,
            parts: Vec::new(),
            formats: BTreeMap::new(),
            scan,
            cards: Vec::new(),
            licences: Vec::new(),
        }
    }

    /// Hashes and scans one file of `size` bytes, in one pass unless it is an archive that must be read out of order.
    /// `progress` is told the bytes of this file read so far.
    ///
    /// # Errors
    /// When the path is unsafe, the file cannot be read, or it has not `size` bytes.
    pub fn file(
        &mut self,
        path: &str,
        size: u64,
        bytes: &mut dyn ReadSeek,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), ScanError> {
        if !is_safe_path(path) {
            return Err(ScanError::Path(path.chars().take(256).collect()));
        }
        let unreadable = |source| ScanError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let mut context = Context::new(&self.limits);
        let allowed = size.saturating_mul(self.limits.unpacked_ratio_max);
        context.unpack_bytes_left = allowed.saturating_add(self.limits.unpacked_free_bytes);
        let keep = if wants_content(path) {
            self.limits.document_bytes_max
        } else {
            0
        };
        let mut told = Told {
            inner: &mut *bytes,
            read: 0,
            progress,
            kept: Vec::new(),
            keep,
        };
        let mut hashing = HashingReader::new(&mut told);
        let mut format =
            sniff_and_scan(&mut context, path, size, &mut hashing).map_err(unreadable)?;
        let (digest, read) = hashing.finish().map_err(unreadable)?;
        let kept = std::mem::take(&mut told.kept);
        if read != size {
            return Err(ScanError::Changed {
                path: path.to_owned(),
                before: size,
                after: read,
            });
        }
        second_pass(&mut context, path, &mut format, bytes).map_err(unreadable)?;
        self.scan.findings.append(&mut context.findings);
        self.scan.not_fully_scanned.append(&mut context.unfinished);
        self.scan.files += 1;
        self.scan.bytes = self.scan.bytes.saturating_add(size);
        let part = Part {
            kind: kind::of(path, format),
            path: path.to_owned(),
            size,
            sha256: digest,
            content_sha256: None,
            weights: kind::is_weights(path, format),
        };
        self.document(path, format, &kept, read > kept.len() as u64, part);
        Ok(())
    }

    fn document(&mut self, path: &str, format: Format, kept: &[u8], cut: bool, mut part: Part) {
        if format.is_text() {
            if !cut && let Some((digest, only)) = kind::identifiers::content_digest(path, kept) {
                part.content_sha256 = Some(digest);
                if only {
                    part.kind = PartKind::Identifier;
                }
            }
            if card::is_card(path) {
                let card = card::read(path, kept, cut);
                self.licences.extend(licence::of_card(&card));
                self.cards.push(card);
            } else if licence::is_licence_file(path) {
                self.licences.push(licence::of_text(path, kept));
            } else if licence::is_package_metadata(path) {
                self.licences.extend(licence::of_metadata(path, kept));
            }
        }
        self.formats.insert(path.to_owned(), format);
        self.parts.push(part);
    }

    /// The inspection of all files that were handed in.
    ///
    /// # Errors
    /// When there were none, too many, or one path twice.
    pub fn finish(mut self) -> Result<Inspection, ScanError> {
        let licence = licence::together(self.licences);
        if let Some(licence) = licence.as_ref().filter(|licence| licence.contradiction) {
            self.scan.findings.push(crate::claim::Finding {
                path: licence
                    .sources
                    .first()
                    .map(|source| source.path.clone())
                    .unwrap_or_default(),
                code: "licence-contradiction".to_owned(),
                severity: Severity::Medium,
                detail: format!(
                    "the files name different licences: {}",
                    licence.expressions.join(", ")
                ),
            });
        }
        self.scan.confinement = self.confinement;
        self.scan.findings.sort();
        self.scan.findings.dedup();
        if self.scan.findings.len() > self.limits.findings_max {
            self.scan
                .findings
                .sort_by_key(|finding| std::cmp::Reverse(finding.severity));
            self.scan.findings.truncate(self.limits.findings_max);
            self.scan.findings.sort();
            self.scan
                .not_fully_scanned
                .push(crate::claim::NotFullyScanned {
                    path: String::new(),
                    reason: "there are more findings than the scanner keeps".to_owned(),
                });
        }
        self.scan.not_fully_scanned.sort();
        self.scan.not_fully_scanned.dedup();
        // The card nearest to the root speaks for the release; the order of the files must not decide.
        let depth = |card: &ModelCard| (card.path.matches('/').count(), card.path.clone());
        let card = self.cards.into_iter().min_by_key(depth);
        Ok(Inspection {
            manifest: Manifest::new(self.parts)?,
            formats: self.formats,
            scan: self.scan,
            card,
            licence,
        })
    }
}

fn wants_content(path: &str) -> bool {
    card::is_card(path)
        || licence::is_licence_file(path)
        || licence::is_package_metadata(path)
        || kind::identifiers::has_identifiers(path)
}

fn sniff_and_scan(
    context: &mut Context<'_>,
    path: &str,
    size: u64,
    bytes: &mut dyn Read,
) -> io::Result<Format> {
    let head = stream::head_of(bytes)?;
    if Format::of(path, &head) == Format::Zip {
        return Ok(Format::Zip);
    }
    let result = stream::scan(
        context,
        path,
        Some(size),
        &mut (&head[..]).chain(&mut *bytes),
        0,
    );
    match result {
        Err(e) if e.kind() == io::ErrorKind::QuotaExceeded => {
            let detail = "unpacking gives more bytes than the file can honestly hold";
            context.found(path, "zip-bomb", Severity::High, detail);
            context.unfinished(path, "unpacking was stopped");
            Ok(Format::of(path, &head))
        }
        other => other,
    }
}

/// What needs to jump around in the file: zip archives, and files that only end like one.
fn second_pass(
    context: &mut Context<'_>,
    path: &str,
    format: &mut Format,
    bytes: &mut dyn ReadSeek,
) -> io::Result<()> {
    if *format == Format::Zip {
        *format = archive::zip::scan(context, path, bytes, 0)?;
        stream::contradiction(context, path, *format);
    } else if archive::zip::is_appended(bytes)? {
        let detail =
            "a zip archive is appended; readers differ on which of the two formats this is";
        context.found(path, "zip-appended", Severity::High, detail);
        archive::zip::scan(context, path, bytes, 0)?;
    }
    bytes.seek(SeekFrom::Start(0))?;
    Ok(())
}

/// Tells how far the file is read, and keeps its beginning when a document is wanted.
struct Told<'a> {
    inner: &'a mut dyn ReadSeek,
    read: u64,
    progress: &'a mut dyn FnMut(u64),
    kept: Vec<u8>,
    keep: usize,
}

impl Read for &mut Told<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        let fresh = buffer.get(..n).unwrap_or_default();
        let room = self.keep.saturating_sub(self.kept.len()).min(n);
        self.kept.extend_from_slice(&fresh[..room]);
        self.read += n as u64;
        (self.progress)(self.read);
        Ok(n)
    }
}

#[cfg(test)]
mod tests;
