//! Zip archives, by our own reading of the central directory: two readers that disagree about an archive are an
//! attack, so every disagreement between directory and local headers is a finding (APPNOTE 6.3.10).
//!
//! Not here: anything but the methods *stored* and *deflate*; other members are reported as not scanned.

mod directory;

use std::{
    collections::BTreeSet,
    io::{self, BufReader, Read, Seek, SeekFrom},
};

use flate2::bufread::DeflateDecoder;
use lumos_domain::words::Severity;

use self::directory::{Directory, Entry};
use super::{judge_name, shown};
use crate::{
    format::Format,
    scan::ReadSeek,
    stream::{self, Context},
};

/// Scans each member of the archive in `file`, which is read from its very start.
pub(crate) fn scan(
    context: &mut Context<'_>,
    path: &str,
    file: &mut dyn ReadSeek,
    depth: u32,
) -> io::Result<Format> {
    if !stream::may_enter(context, path, depth) {
        return Ok(Format::Zip);
    }
    let directory = match Directory::read(file, context.limits.members_max)? {
        Ok(directory) => directory,
        Err(what) => {
            context.found(path, "zip-malformed", Severity::High, what);
            context.unfinished(path, what);
            return Ok(Format::Zip);
        }
    };
    let format = flavour(&directory.entries);
    judge_directory(context, path, &directory);
    judge_gaps(context, path, file, &directory)?;
    for entry in &directory.entries {
        match member(context, path, file, entry, depth) {
            Err(e) if e.kind() == io::ErrorKind::QuotaExceeded => {
                let detail = format!(
                    "unpacking member `{}` gives more bytes than the archive can honestly hold",
                    shown(&entry.name)
                );
                context.found(path, "zip-bomb", Severity::High, detail);
                context.unfinished(path, "unpacking was stopped");
                return if depth == 0 { Ok(format) } else { Err(e) };
            }
            other => other?,
        }
    }
    Ok(format)
}

/// Whether `file` ends in a zip directory although it does not start as a zip archive: Python's `zipfile` reads it.
pub(crate) fn is_appended(file: &mut dyn ReadSeek) -> io::Result<bool> {
    Ok(matches!(Directory::read(file, 1 << 16)?, Ok(directory) if !directory.entries.is_empty()))
}

fn flavour(entries: &[Entry]) -> Format {
    let has = |name: &str| entries.iter().any(|entry| entry.name == name);
    if entries
        .iter()
        .any(|entry| entry.name == "data.pkl" || entry.name.ends_with("/data.pkl"))
    {
        Format::TorchZip
    } else if has("config.json")
        && has("metadata.json")
        && entries.iter().any(|e| e.name.ends_with(".h5"))
    {
        Format::Keras
    } else if has("schema.json") {
        Format::Skops
    } else if !entries.is_empty() && entries.iter().all(|entry| entry.name.ends_with(".npy")) {
        Format::Npz
    } else {
        Format::Zip
    }
}

fn judge_directory(context: &mut Context<'_>, path: &str, directory: &Directory) {
    if directory.prepended > 0 {
        let detail = format!("{} bytes stand before the archive", directory.prepended);
        context.found(path, "zip-prepended-data", Severity::Medium, detail);
    }
    if directory.ambiguous {
        let detail = "the archive has more than one end record; readers differ on which counts";
        context.found(path, "zip-ambiguous", Severity::High, detail);
    }
    let mut names = BTreeSet::new();
    for entry in &directory.entries {
        judge_name(context, path, "zip", &entry.name);
        if !names.insert(entry.name.to_lowercase()) {
            let detail = format!("member `{}` is there twice", shown(&entry.name));
            context.found(path, "zip-duplicate-name", Severity::High, detail);
        }
        if entry.is_symlink() {
            let detail = format!("member `{}` is a symbolic link", shown(&entry.name));
            context.found(path, "zip-symlink", Severity::High, detail);
        }
    }
    let mut spans: Vec<_> = directory
        .entries
        .iter()
        .map(|e| (e.header_at, e.header_at.saturating_add(e.packed)))
        .collect();
    spans.sort_unstable();
    if spans
        .windows(2)
        .any(|pair| pair[1].0 < pair[0].1.max(pair[0].0 + 1))
    {
        let detail = "members share packed bytes, as a bomb does";
        context.found(path, "zip-overlap", Severity::High, detail);
    }
}

/// A finding when something between the members looks like a member.
fn judge_gaps(
    context: &mut Context<'_>,
    path: &str,
    file: &mut dyn ReadSeek,
    directory: &Directory,
) -> io::Result<()> {
    let mut spans = vec![(directory.begins_at, directory.begins_at)];
    for entry in &directory.entries {
        if let Ok(local) = directory::local_header(file, entry)? {
            spans.push((entry.header_at, local.data_at.saturating_add(entry.packed)));
        }
    }
    spans.sort_unstable();
    let mut end = directory.prepended;
    for (start, next_end) in spans {
        if start > end && directory::hides_member(file, end, start)? {
            let detail = format!("a member at byte {end} is not in the directory");
            context.found(path, "zip-hidden-member", Severity::High, detail);
        }
        end = end.max(next_end);
    }
    Ok(())
}

fn member(
    context: &mut Context<'_>,
    path: &str,
    file: &mut dyn ReadSeek,
    entry: &Entry,
    depth: u32,
) -> io::Result<()> {
    let inner = format!("{path}!{}", shown(&entry.name));
    let local = match directory::local_header(file, entry)? {
        Ok(local) => local,
        Err(what) => {
            context.found(&inner, "zip-malformed", Severity::High, what);
            context.unfinished(&inner, what);
            return Ok(());
        }
    };
    if let Some(what) = local.differs {
        let detail = format!("local header and central directory differ in {what}");
        context.found(&inner, "zip-header-mismatch", Severity::High, detail);
    }
    if entry.is_encrypted() || local.encrypted {
        context.unfinished(&inner, "the member is encrypted");
        return Ok(());
    }
    if entry.name.ends_with('/') && entry.packed == 0 {
        return Ok(());
    }
    file.seek(SeekFrom::Start(local.data_at))?;
    match entry.method {
        0 => stored(context, &inner, file, entry, local.data_at, depth),
        8 => {
            let packed = BufReader::with_capacity(64 * 1024, Read::take(file, entry.packed));
            let mut unpacked = Exact {
                inner: DeflateDecoder::new(packed),
                left: entry.size,
            };
            stream::member(context, &inner, Some(entry.size), &mut unpacked, depth + 1)
        }
        method => {
            context.unfinished(
                &inner,
                format!("compression method {method} is not unpacked"),
            );
            Ok(())
        }
    }
}

/// A stored member is a window on the file: an archive in it is read in place.
fn stored(
    context: &mut Context<'_>,
    inner: &str,
    file: &mut dyn ReadSeek,
    entry: &Entry,
    data_at: u64,
    depth: u32,
) -> io::Result<()> {
    if entry.size != entry.packed {
        context.found(
            inner,
            "zip-malformed",
            Severity::High,
            "a stored member claims two sizes",
        );
        context.unfinished(inner, "a stored member claims two sizes");
        return Ok(());
    }
    let mut window = Window {
        file,
        start: data_at,
        length: entry.packed,
        at: 0,
    };
    let head = stream::head_of(&mut window)?;
    window.at = 0;
    if Format::of(inner, &head) == Format::Zip {
        let format = scan(context, inner, &mut window, depth + 1)?;
        stream::contradiction(context, inner, format);
        return Ok(());
    }
    // What is stored has the size it has, so it need not be read to its end to be counted.
    let result = stream::scan(context, inner, Some(entry.size), &mut window, depth + 1);
    match result {
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
            context.found(
                inner,
                "archive-corrupt",
                Severity::High,
                "the archive ends inside the member",
            );
            context.unfinished(inner, "the archive ends inside the member");
            Ok(())
        }
        other => other.map(|_| ()),
    }
}

/// Insists that a decoder gives exactly the bytes the directory claims; one more is broken.
struct Exact<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Exact<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let n = self.inner.read(buffer)?;
        match self.left.checked_sub(n as u64) {
            Some(0) if n == 0 => Ok(0),
            Some(_) if n == 0 => Err(io::ErrorKind::UnexpectedEof.into()),
            Some(left) => {
                self.left = left;
                Ok(n)
            }
            None => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// Part of a file, as a file of its own.
struct Window<'f> {
    file: &'f mut dyn ReadSeek,
    start: u64,
    length: u64,
    at: u64,
}

impl Read for Window<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.length.saturating_sub(self.at);
        let n = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        if n == 0 {
            return Ok(0);
        }
        self.file
            .seek(SeekFrom::Start(self.start.saturating_add(self.at)))?;
        let n = self.file.read(&mut buffer[..n])?;
        self.at += n as u64;
        Ok(n)
    }
}

impl Seek for Window<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests;
