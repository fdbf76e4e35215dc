//! Walks the files of a release and feeds them to the scanner, without ever leaving their directory.
//!
//! A link is followed only to a place inside the tree; whatever is neither file, directory nor link is refused; what
//! cannot be read is an error that names the file, never a file left out. Not here: judging bytes.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use lumos_evidence::scan::{Inspection, Limits, ScanError, Scanner};

use crate::protocol::Progress;

/// The most files and directories one tree may have.
const ENTRIES_MAX: usize = 100_000;
/// How deep directories may be nested.
const DEPTH_MAX: usize = 64;
/// Progress is told once per this many bytes, and at the end.
const PROGRESS_BYTES: u64 = 16 << 20;

/// Why a tree could not be inspected.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// A file or directory could not be looked at or opened.
    #[error("reading `{path}`")]
    Unreadable {
        /// Relative to the tree.
        path: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// A symbolic link whose target is outside the tree.
    #[error("walking the files: the link `{0}` leaves the tree")]
    LinkLeaves(String),
    /// A symbolic link to a directory it lies in.
    #[error("walking the files: the link `{0}` leads back to where it lies")]
    LinkLoop(String),
    /// A device, socket or pipe.
    #[error("walking the files: `{0}` is neither a file nor a directory")]
    Special(String),
    /// A name that is not UTF-8; shown as near as can be.
    #[error("walking the files: the name `{0}` is not UTF-8")]
    Name(String),
    /// More files than one release may have, or directories nested too deep.
    #[error(
        "walking the files: there are more than {ENTRIES_MAX}, or they lie more than {DEPTH_MAX} deep"
    )]
    TooMany,
    /// The file was written to while it was hashed.
    #[error("reading `{0}`: it changes while it is hashed")]
    Changed(String),
    /// The scanner could not go on.
    #[error("scanning the files")]
    Scan(#[from] ScanError),
}

impl TreeError {
    /// The stable code of this error, a page in `docs/errors/`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "artifact-unreadable",
            Self::LinkLeaves(_) | Self::LinkLoop(_) => "artifact-link",
            Self::Special(_) => "artifact-special-file",
            Self::Name(_) => "artifact-path",
            Self::TooMany => "artifact-too-many",
            Self::Changed(_) => "artifact-changed",
            Self::Scan(error) => error.code(),
        }
    }
}

struct Found {
    /// As it stands in the manifest.
    path: String,
    /// Where the bytes are, free of links.
    place: PathBuf,
    bytes: u64,
}

/// Inspects the directory or single file `root`. `confinement` names what the kernel put on this process.
///
/// # Errors
/// When something of the tree cannot be read, leaves it, or changes meanwhile.
pub fn inspect(
    root: &Path,
    limits: Limits,
    confinement: Vec<String>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Inspection, TreeError> {
    let files = list(root)?;
    let mut scanner = Scanner::new(limits, confinement);
    let bytes_total = files
        .iter()
        .map(|file| file.bytes)
        .fold(0, u64::saturating_add);
    let mut at = Progress {
        files: 0,
        files_total: files.len() as u64,
        bytes: 0,
        bytes_total,
    };
    let mut told = 0;
    for file in &files {
        let before = at.bytes;
        scan_file(&mut scanner, file, &mut |read| {
            at.bytes = before.saturating_add(read);
            if at.bytes.saturating_sub(told) >= PROGRESS_BYTES {
                told = at.bytes;
                progress(at.clone());
            }
        })?;
        at.files += 1;
        at.bytes = before.saturating_add(file.bytes);
    }
    progress(at);
    Ok(scanner.finish()?)
}

fn scan_file(
    scanner: &mut Scanner,
    found: &Found,
    progress: &mut dyn FnMut(u64),
) -> Result<(), TreeError> {
    let unreadable = |source| TreeError::Unreadable {
        path: found.path.clone(),
        source,
    };
    let mut file = open(&found.place).map_err(unreadable)?;
    let before = file.metadata().map_err(unreadable)?;
    if !before.is_file() {
        return Err(TreeError::Special(found.path.clone()));
    }
    let result = scanner.file(&found.path, before.len(), &mut file, progress);
    let after = file.metadata().map_err(unreadable)?;
    // The scan says only that lengths differ; that the file was written to is the better answer, so it comes first.
    if stamp(&before) != stamp(&after) {
        return Err(TreeError::Changed(found.path.clone()));
    }
    Ok(result?)
}

/// What changes when a file is written to: length, and the times of content and inode to the nanosecond.
fn stamp(metadata: &Metadata) -> (u64, (i64, i64), (i64, i64)) {
    let content = (metadata.mtime(), metadata.mtime_nsec());
    (
        metadata.len(),
        content,
        (metadata.ctime(), metadata.ctime_nsec()),
    )
}

/// Opens without following a link put there since the walk, and without waiting on a pipe put there since.
fn open(place: &Path) -> io::Result<File> {
    use rustix::fs::OFlags;

    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
    OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(place)
}

/// All files below `root`, sorted by path.
fn list(root: &Path) -> Result<Vec<Found>, TreeError> {
    let unreadable = |source| TreeError::Unreadable {
        path: ".".to_owned(),
        source,
    };
    let top = fs::canonicalize(root).map_err(unreadable)?;
    let metadata = fs::metadata(&top).map_err(unreadable)?;
    if metadata.is_file() {
        let name = root
            .file_name()
            .or(top.file_name())
            .map(|name| name.to_string_lossy().into_owned());
        let path = name.ok_or_else(|| TreeError::Special(".".to_owned()))?;
        return Ok(vec![Found {
            path,
            place: top,
            bytes: metadata.len(),
        }]);
    }
    if !metadata.is_dir() {
        return Err(TreeError::Special(".".to_owned()));
    }
    let mut walk = Walk {
        files: Vec::new(),
        folders: vec![(String::new(), top.clone(), 0)],
        top,
        entries: 0,
    };
    while let Some((path, place, depth)) = walk.folders.pop() {
        walk.folder(&path, &place, depth)?;
    }
    walk.files
        .sort_by(|a, b| a.path.as_bytes().cmp(b.path.as_bytes()));
    Ok(walk.files)
}

struct Walk {
    top: PathBuf,
    files: Vec<Found>,
    folders: Vec<(String, PathBuf, usize)>,
    entries: usize,
}

impl Walk {
    fn folder(&mut self, path: &str, place: &Path, depth: usize) -> Result<(), TreeError> {
        let unreadable = |source| TreeError::Unreadable {
            path: if path.is_empty() { "." } else { path }.to_owned(),
            source,
        };
        for entry in fs::read_dir(place).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            self.entries += 1;
            if self.entries > ENTRIES_MAX || depth >= DEPTH_MAX {
                return Err(TreeError::TooMany);
            }
            let name = entry.file_name();
            let name = name
                .to_str()
                .ok_or_else(|| TreeError::Name(name.to_string_lossy().into_owned()))?;
            let inner = if path.is_empty() {
                name.to_owned()
            } else {
                format!("{path}/{name}")
            };
            self.entry(inner, &entry.path(), place, depth)?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        path: String,
        place: &Path,
        folder: &Path,
        depth: usize,
    ) -> Result<(), TreeError> {
        let looked = fs::symlink_metadata(place);
        let mut metadata = looked.map_err(|source| TreeError::Unreadable {
            path: path.clone(),
            source,
        })?;
        let mut place = place.to_owned();
        if metadata.is_symlink() {
            let followed = fs::canonicalize(&place)
                .and_then(|target| Ok((fs::symlink_metadata(&target)?, target)));
            (metadata, place) = followed.map_err(|source| TreeError::Unreadable {
                path: path.clone(),
                source,
            })?;
            if !place.starts_with(&self.top) {
                return Err(TreeError::LinkLeaves(path));
            }
            if folder.starts_with(&place) {
                return Err(TreeError::LinkLoop(path));
            }
        }
        if metadata.is_dir() {
            self.folders.push((path, place, depth + 1));
        } else if metadata.is_file() {
            self.files.push(Found {
                path,
                place,
                bytes: metadata.len(),
            });
        } else {
            return Err(TreeError::Special(path));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
