//! Files that are there whole or not at all, and still there after a power cut.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

/// Tells apart the unfinished files of this process.
static UNFINISHED: AtomicU64 = AtomicU64::new(0);

/// Ends the name of a file that is not whole yet.
const SUFFIX: &str = ".unfinished";

/// Makes `path` hold `bytes`, replacing what it held. Its directory must exist.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let number = UNFINISHED.fetch_add(1, Ordering::Relaxed);
    let mut name = path.file_name().map(OsString::from).unwrap_or_default();
    name.push(format!("-{}-{number}{SUFFIX}", std::process::id()));
    let unfinished = path.with_file_name(name);
    let written = write(&unfinished, bytes).and_then(|()| fs::rename(&unfinished, path));
    if let Err(error) = written {
        // What matters is the first failure; what is left over is removed at the next start.
        fs::remove_file(&unfinished).ok();
        return Err(error);
    }
    sync_dir(path.parent().unwrap_or(Path::new(".")))
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::options().write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes `dir` and what it stands in, durably.
pub(crate) fn make_dir(dir: &Path) -> io::Result<()> {
    if dir.as_os_str().is_empty() || dir.is_dir() {
        return Ok(());
    }
    let parent = dir.parent().unwrap_or(Path::new("."));
    make_dir(parent)?;
    match fs::create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => sync_dir(parent),
    }
}

/// Removes what a killed process left unfinished in `dir`.
pub(crate) fn sweep(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().ends_with(SUFFIX) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Makes the names in `dir` durable: a renamed file is lost in a power cut if only the file was synced.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    let dir = if dir.as_os_str().is_empty() {
        Path::new(".")
    } else {
        dir
    };
    if cfg!(unix) {
        File::open(dir)?.sync_all()?;
    }
    Ok(())
}
