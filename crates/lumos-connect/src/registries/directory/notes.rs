//! The small hidden files beside the artifacts: read with a bound, replaced atomically.

use std::io::{self, Read as _, Write as _};

use cap_std::fs::{Dir, OpenOptions};
use lumos_engine::ports::FoundEvidence;

use super::is_safe;

/// How long a note may be.
const MAX_NOTE_BYTES: u64 = 16 << 10;
/// How long a claim may be.
const MAX_CLAIM_BYTES: u64 = 1 << 20;
/// How many authors or claims a version may have.
const MAX_NOTES: usize = 64;

/// The bytes of the regular file at `path`, if there is one.
fn read(folder: &Dir, path: &str, max_bytes: u64) -> io::Result<Option<Vec<u8>>> {
    let invalid = |problem| io::Error::new(io::ErrorKind::InvalidData, problem);
    match folder.metadata(path) {
        Ok(metadata) if metadata.is_file() => {}
        Ok(_) => return Err(invalid("it is no regular file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    }
    let mut bytes = Vec::new();
    folder
        .open(path)?
        .take(max_bytes + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_bytes {
        return Err(invalid("it is too long"));
    }
    Ok(Some(bytes))
}

/// The text of the note at `path`, if there is one.
pub(super) fn text(folder: &Dir, path: &str) -> io::Result<Option<String>> {
    let bytes = read(folder, path, MAX_NOTE_BYTES)?;
    bytes
        .map(String::from_utf8)
        .transpose()
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// The lines of the note at `path` that are not empty.
pub(super) fn lines(folder: &Dir, path: &str) -> io::Result<Vec<String>> {
    let text = text(folder, path)?.unwrap_or_default();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    Ok(lines.take(MAX_NOTES).map(str::to_owned).collect())
}

/// The first line of the note at `path`; `None` also when it cannot be read.
pub(super) fn line(folder: &Dir, path: &str) -> Option<String> {
    lines(folder, path).ok()?.into_iter().next()
}

/// The claims in `.evidence/KIND.json`, sorted by kind.
pub(super) fn evidence(version: &Dir) -> Result<Vec<FoundEvidence>, String> {
    let folder = ".evidence";
    let entries = match version.read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(format!("folder `{folder}`: {error}")),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| format!("folder `{folder}`: {error}"))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let problem = |problem: String| format!("`{folder}/{}`: {problem}", name.escape_debug());
        let kind = name.strip_suffix(".json").filter(|kind| is_safe(kind));
        let kind = kind.ok_or_else(|| problem("its name is not KIND.json".to_owned()))?;
        if found.len() == MAX_NOTES {
            return Err(format!("folder `{folder}` has more than {MAX_NOTES} files"));
        }
        let bytes = read(version, &format!("{folder}/{name}"), MAX_CLAIM_BYTES);
        let bytes = bytes.map_err(|error| problem(error.to_string()))?;
        let claim = serde_json::from_slice(&bytes.unwrap_or_default());
        found.push(FoundEvidence {
            kind: kind.to_owned(),
            producer: "developer".to_owned(),
            claim: claim.map_err(|error| problem(error.to_string()))?,
        });
    }
    found.sort_by(|a, b| a.kind.cmp(&b.kind));
    Ok(found)
}

/// Replaces `parent/folder/file` atomically and durably: a reader sees the old text or the new one, and
/// after a crash it is one of the two.
pub(super) fn replace(parent: &Dir, folder: &str, file: &str, text: &str) -> io::Result<()> {
    match parent.create_dir(folder) {
        Ok(()) => sync(parent)?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    let folder = parent.open_dir(folder)?;
    let draft = format!(".{file}.new");
    write_synced(&folder, &draft, &format!("{text}\n"))?;
    folder.rename(&draft, &folder, file)?;
    sync(&folder)
}

fn write_synced(folder: &Dir, name: &str, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    let mut file = folder.open_with(name, &options)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Makes the names in `folder` durable.
fn sync(folder: &Dir) -> io::Result<()> {
    folder.open(".")?.sync_all()
}

/// Writes a hidden file in `folder` and removes it again.
pub(super) fn probe(folder: &Dir) -> io::Result<()> {
    const PROBE: &str = ".lumos-probe";
    write_synced(folder, PROBE, "LUMOS tries whether it may write here\n")?;
    folder.remove_file(PROBE)
}
