//! A version's folder as a tree of hostile files: listed and copied without ever leaving it.
//!
//! Every path is opened below the folder's own handle (`cap-std`), so a link that leads out is refused by
//! the kernel's view of the path and not by a check that could be too late.

use std::{
    fs::{self, File},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::{self, Read as _},
    path::Path,
    time::SystemTime,
};

use cap_std::fs::{Dir, DirEntry};

use super::NOTES;
use crate::registries::{MAX_DEPTH, MAX_FILES, is_plain_step};

/// Why a tree could not be listed or copied.
#[derive(Debug)]
pub(super) enum TreeError {
    /// The registry's side could not be read.
    Read(io::Error),
    /// Our side could not be written.
    Write(io::Error),
    /// It is not a tree that LUMOS takes.
    Unfit(String),
}

/// One file or folder, by its path below the version with `/` between the steps.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Item {
    path: String,
    is_folder: bool,
    size_bytes: u64,
    modified: Option<SystemTime>,
}

/// The artifacts of a version, sorted by path.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Listing(Vec<Item>);

impl Listing {
    /// Whether there is no file.
    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|item| item.is_folder)
    }

    /// When the newest file was written.
    pub(super) fn newest(&self) -> Option<SystemTime> {
        let files = self.0.iter().filter(|item| !item.is_folder);
        files.filter_map(|item| item.modified).max()
    }

    /// Differs when a path, size or time differs. Tells a finished copy from a running one; proves nothing.
    pub(super) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.0.hash(&mut hasher);
        hasher.finish()
    }
}

fn shown(path: &str) -> String {
    let path: String = path.chars().take(200).collect();
    path.escape_debug().to_string()
}

/// Lists the artifacts below `root`: everything but the notes at its top.
pub(super) fn list(root: &Dir) -> Result<Listing, TreeError> {
    let mut items = Vec::new();
    let mut folders = vec![(String::new(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let opened = match folder.as_str() {
            "" => root.entries(),
            folder => root.read_dir(folder),
        };
        for entry in opened.map_err(TreeError::Read)? {
            let entry = entry.map_err(TreeError::Read)?;
            let name = entry.file_name();
            let name = name.to_str().filter(|name| is_plain_step(name));
            let Some(name) = name else {
                let problem = format!("a file in `{}` has no plain name", shown(&folder));
                return Err(TreeError::Unfit(problem));
            };
            if depth == 0 && NOTES.contains(&name) {
                continue;
            }
            let path = match folder.as_str() {
                "" => name.to_owned(),
                folder => format!("{folder}/{name}"),
            };
            let item = item(root, &entry, path)?;
            if item.is_folder {
                folders.push((item.path.clone(), depth + 1));
            }
            items.push(item);
            if items.len() > MAX_FILES || depth >= MAX_DEPTH {
                let problem = "it has too many files or too deep folders".to_owned();
                return Err(TreeError::Unfit(problem));
            }
        }
    }
    items.sort();
    Ok(Listing(items))
}

fn item(root: &Dir, entry: &DirEntry, path: String) -> Result<Item, TreeError> {
    let kind = entry.file_type().map_err(TreeError::Read)?;
    let metadata = if kind.is_symlink() {
        // A link to a file of the same version is taken as that file. Any other would make a part of the
        // release out of something that is no part of the version.
        root.metadata(&path)
            .ok()
            .filter(cap_std::fs::Metadata::is_file)
            .ok_or_else(|| {
                TreeError::Unfit(format!("link `{}` leads to no file in it", shown(&path)))
            })?
    } else if kind.is_file() || kind.is_dir() {
        entry.metadata().map_err(TreeError::Read)?
    } else {
        let problem = format!("`{}` is neither a file nor a folder", shown(&path));
        return Err(TreeError::Unfit(problem));
    };
    let is_folder = metadata.is_dir();
    Ok(Item {
        path,
        is_folder,
        // The size and time of a folder differ between file systems and say nothing about its files.
        size_bytes: if is_folder { 0 } else { metadata.len() },
        modified: metadata
            .modified()
            .ok()
            .filter(|_| !is_folder)
            .map(cap_std::time::SystemTime::into_std),
    })
}

/// Copies what was listed into the empty folder `into`; returns the bytes copied. Never links: what is
/// scanned must not change when the registry's file does.
pub(super) fn copy(
    root: &Dir,
    listing: &Listing,
    into: &Path,
    max_bytes: u64,
) -> Result<u64, TreeError> {
    let mut copied: u64 = 0;
    // Sorted by path, so a folder comes before what lies in it.
    for item in &listing.0 {
        let target = into.join(&item.path);
        if item.is_folder {
            fs::create_dir(&target).map_err(TreeError::Write)?;
            continue;
        }
        let source = root.open(&item.path).map_err(TreeError::Read)?;
        if !source.metadata().is_ok_and(|it| it.is_file()) {
            let problem = format!("`{}` is no file any more", shown(&item.path));
            return Err(TreeError::Unfit(problem));
        }
        let left = max_bytes - copied;
        let size = copy_file(source.into_std(), &target, left)?;
        if size > left {
            let problem = format!("it is larger than {max_bytes} bytes");
            return Err(TreeError::Unfit(problem));
        }
        copied += size;
    }
    Ok(copied)
}

/// Copies at most one byte more than `limit_bytes`, which tells too large from just fitting.
fn copy_file(source: File, target: &Path, limit_bytes: u64) -> Result<u64, TreeError> {
    let mut target = File::create_new(target).map_err(TreeError::Write)?;
    let mut source = source.take(limit_bytes.saturating_add(1));
    io::copy(&mut source, &mut target).map_err(TreeError::Write)
}
