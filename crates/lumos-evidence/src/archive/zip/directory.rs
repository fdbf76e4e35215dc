//! The central directory of a zip archive and the local headers it points to, each size checked before it is used.
//!
//! Not here: what is wrong with a name; `archive` judges names.

use std::io::{self, Read, SeekFrom};

use crate::scan::ReadSeek;

const END: [u8; 4] = *b"PK\x05\x06";
const END64_LOCATOR: [u8; 4] = *b"PK\x06\x07";
const END64: [u8; 4] = *b"PK\x06\x06";
const CENTRAL: [u8; 4] = *b"PK\x01\x02";
const LOCAL: [u8; 4] = *b"PK\x03\x04";
/// An end record with the longest comment.
const TAIL_BYTES_MAX: u64 = 22 + 65_535;
const DIRECTORY_BYTES_MAX: u64 = 64 << 20;

pub(super) struct Directory {
    pub(super) entries: Vec<Entry>,
    /// Bytes before the archive that its offsets do not count.
    pub(super) prepended: u64,
    /// Where the directory begins.
    pub(super) begins_at: u64,
    /// Whether another end record could be taken for the right one.
    pub(super) ambiguous: bool,
}

pub(super) struct Entry {
    pub(super) name: String,
    raw_name: Vec<u8>,
    flags: u16,
    pub(super) method: u16,
    pub(super) packed: u64,
    pub(super) size: u64,
    crc: u32,
    pub(super) header_at: u64,
    made_by: u16,
    attributes: u32,
}

impl Entry {
    pub(super) fn is_encrypted(&self) -> bool {
        self.flags & 1 != 0
    }

    /// Unix mode in the upper half of the attributes: `S_IFLNK`. Readers trust it whatever system is named.
    pub(super) fn is_symlink(&self) -> bool {
        let _host = self.made_by >> 8;
        (self.attributes >> 16) & 0o170_000 == 0o120_000
    }
}

pub(super) struct Local {
    pub(super) data_at: u64,
    pub(super) encrypted: bool,
    /// In what the local header differs from the directory.
    pub(super) differs: Option<&'static str>,
}

type Judged<T> = Result<T, &'static str>;

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes
        .get(at..at + 2)?
        .try_into()
        .ok()
        .map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..at + 4)?
        .try_into()
        .ok()
        .map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes
        .get(at..at + 8)?
        .try_into()
        .ok()
        .map(u64::from_le_bytes)
}

/// Whether a member that no directory entry names begins in the gap from `start` to `end`: at its start, or behind the
/// 12 to 24 bytes that may follow the data of the member before. Readers that go front to back would unpack it.
pub(super) fn hides_member(file: &mut dyn ReadSeek, start: u64, end: u64) -> io::Result<bool> {
    let gap = read_at(file, start, end.saturating_sub(start).min(28))?;
    let begins = |at: usize| gap.get(at..).is_some_and(|gap| gap.starts_with(&LOCAL));
    Ok([0, 12, 16, 20, 24].into_iter().any(begins))
}

fn read_at(file: &mut dyn ReadSeek, at: u64, length: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(at))?;
    let mut bytes = Vec::new();
    Read::take(file, length).read_to_end(&mut bytes)?;
    Ok(bytes)
}

struct End {
    entries: u64,
    directory_bytes: u64,
    directory_at: u64,
    /// Where the directory must end: right before this record.
    record_at: u64,
    ambiguous: bool,
}

impl Directory {
    /// Reads the directory of `file`; `Err` inside says what is wrong with it.
    pub(super) fn read(file: &mut dyn ReadSeek, members_max: usize) -> io::Result<Judged<Self>> {
        let end = match find_end(file)? {
            Ok(end) => end,
            Err(what) => return Ok(Err(what)),
        };
        if end.directory_bytes > DIRECTORY_BYTES_MAX || end.entries > members_max as u64 {
            return Ok(Err("the archive has more members than are scanned"));
        }
        let Some(prepended) = end
            .record_at
            .checked_sub(end.directory_bytes)
            .and_then(|at| at.checked_sub(end.directory_at))
        else {
            return Ok(Err("the directory lies outside the file"));
        };
        let directory = read_at(
            file,
            end.record_at - end.directory_bytes,
            end.directory_bytes,
        )?;
        let mut entries = Vec::new();
        let mut rest = &directory[..];
        while !rest.is_empty() {
            if entries.len() >= members_max {
                return Ok(Err("the archive has more members than are scanned"));
            }
            let Some((entry, length)) = central(rest, prepended) else {
                return Ok(Err("a directory entry does not follow the format"));
            };
            entries.push(entry);
            rest = rest.get(length..).unwrap_or_default();
        }
        if entries.len() as u64 != end.entries {
            return Ok(Err("the directory has not as many entries as it claims"));
        }
        Ok(Ok(Self {
            entries,
            prepended,
            begins_at: end.record_at - end.directory_bytes,
            ambiguous: end.ambiguous,
        }))
    }
}

fn find_end(file: &mut dyn ReadSeek) -> io::Result<Judged<End>> {
    let size = file.seek(SeekFrom::End(0))?;
    let tail_at = size.saturating_sub(TAIL_BYTES_MAX);
    let tail = read_at(file, tail_at, TAIL_BYTES_MAX)?;
    // An end record counts when its comment reaches the end of the file exactly. Readers that do not insist on that
    // take the last signature; when another signature stands after ours or beside it, they may differ.
    let fits = |at: &usize| {
        u16_at(&tail, at + 20).is_some_and(|comment| at + 22 + usize::from(comment) == tail.len())
    };
    let signatures: Vec<usize> = tail
        .windows(4)
        .enumerate()
        .filter(|(_, w)| *w == END)
        .map(|(at, _)| at)
        .collect();
    let Some(at) = signatures.iter().copied().rfind(fits) else {
        return Ok(Err("there is no end record"));
    };
    let ambiguous = signatures.iter().any(|other| *other > at)
        || signatures.iter().filter(|at| fits(at)).count() > 1;
    let record = tail.get(at..).unwrap_or_default();
    let fields = || {
        Some((
            u16_at(record, 4)?,
            u16_at(record, 6)?,
            u16_at(record, 8)?,
            u16_at(record, 10)?,
            u32_at(record, 12)?,
            u32_at(record, 16)?,
        ))
    };
    let Some((disk, directory_disk, here, entries, bytes, offset)) = fields() else {
        return Ok(Err("the end record is cut"));
    };
    if disk != 0 && disk != u16::MAX
        || directory_disk != 0 && directory_disk != u16::MAX
        || here != entries
    {
        return Ok(Err("the archive claims to be one of several"));
    }
    let record_at = tail_at + at as u64;
    let plain = End {
        entries: u64::from(entries),
        directory_bytes: u64::from(bytes),
        directory_at: u64::from(offset),
        record_at,
        ambiguous,
    };
    zip64(file, plain)
}

/// The zip64 end record, when its locator stands right before the end record.
fn zip64(file: &mut dyn ReadSeek, plain: End) -> io::Result<Judged<End>> {
    let full = plain.entries == 0xffff
        || plain.directory_bytes == 0xffff_ffff
        || plain.directory_at == 0xffff_ffff;
    let Some(locator_at) = plain.record_at.checked_sub(20) else {
        return Ok(Ok(plain));
    };
    let locator = read_at(file, locator_at, 20)?;
    if !locator.starts_with(&END64_LOCATOR) {
        return Ok(if full {
            Err("a zip64 archive lacks its locator")
        } else {
            Ok(plain)
        });
    }
    // The record is 56 bytes and ends where the locator begins, unless it carries extensions, which nobody writes.
    let Some(record_at) = locator_at.checked_sub(56) else {
        return Ok(Err("the zip64 end record is cut"));
    };
    let record = read_at(file, record_at, 56)?;
    let fields = || {
        Some((
            u64_at(&record, 4)?,
            u64_at(&record, 32)?,
            u64_at(&record, 40)?,
            u64_at(&record, 48)?,
        ))
    };
    let Some((44, entries, directory_bytes, directory_at)) =
        fields().filter(|_| record.starts_with(&END64))
    else {
        return Ok(Err("the zip64 end record does not follow the format"));
    };
    let same = |small: u64, full: u64, large: u64| small == full || small == large;
    let ambiguous = plain.ambiguous
        || !same(plain.entries, 0xffff, entries)
        || !same(plain.directory_bytes, 0xffff_ffff, directory_bytes)
        || !same(plain.directory_at, 0xffff_ffff, directory_at);
    Ok(Ok(End {
        entries,
        directory_bytes,
        directory_at,
        record_at,
        ambiguous,
    }))
}

/// One directory entry and its length.
fn central(bytes: &[u8], prepended: u64) -> Option<(Entry, usize)> {
    if !bytes.starts_with(&CENTRAL) {
        return None;
    }
    let name_length = usize::from(u16_at(bytes, 28)?);
    let extra_length = usize::from(u16_at(bytes, 30)?);
    let comment_length = usize::from(u16_at(bytes, 32)?);
    let raw_name = bytes.get(46..46 + name_length)?.to_vec();
    let extra = bytes.get(46 + name_length..46 + name_length + extra_length)?;
    let length = 46 + name_length + extra_length + comment_length;
    bytes.get(..length)?;
    let (packed, size, at) = (u32_at(bytes, 20)?, u32_at(bytes, 24)?, u32_at(bytes, 42)?);
    let mut wide = zip64_extra(extra).unwrap_or_default();
    let mut widen = |small: u32| -> Option<u64> {
        if small != u32::MAX {
            return Some(u64::from(small));
        }
        let value = u64_at(wide, 0)?;
        wide = wide.get(8..)?;
        Some(value)
    };
    // The order of the wide fields is fixed: size, packed size, offset (APPNOTE 4.5.3).
    let size = widen(size)?;
    let packed = widen(packed)?;
    let header_at = widen(at)?.checked_add(prepended)?;
    let entry = Entry {
        name: String::from_utf8_lossy(&raw_name).into_owned(),
        raw_name,
        flags: u16_at(bytes, 8)?,
        method: u16_at(bytes, 10)?,
        packed,
        size,
        crc: u32_at(bytes, 16)?,
        header_at,
        made_by: u16_at(bytes, 4)?,
        attributes: u32_at(bytes, 38)?,
    };
    Some((entry, length))
}

fn zip64_extra(mut extra: &[u8]) -> Option<&[u8]> {
    while let (Some(id), Some(length)) = (u16_at(extra, 0), u16_at(extra, 2)) {
        let end = 4 + usize::from(length);
        if id == 1 {
            return extra.get(4..end);
        }
        extra = extra.get(end..)?;
    }
    None
}

/// The local header of `entry`; `Err` inside says what is wrong with it.
pub(super) fn local_header(file: &mut dyn ReadSeek, entry: &Entry) -> io::Result<Judged<Local>> {
    let header = read_at(file, entry.header_at, 30)?;
    let fields = || {
        Some((
            (u16_at(&header, 6)?, u16_at(&header, 8)?),
            (
                u32_at(&header, 14)?,
                u32_at(&header, 18)?,
                u32_at(&header, 22)?,
            ),
            (u16_at(&header, 26)?, u16_at(&header, 28)?),
        ))
    };
    let Some(((flags, method), (crc, packed, size), (name_length, extra_length))) =
        fields().filter(|_| header.starts_with(&LOCAL))
    else {
        return Ok(Err("the directory points to something that is no member"));
    };
    let name = read_at(file, entry.header_at + 30, u64::from(name_length))?;
    // Bit 3: sizes and checksum follow the data, the header has zeros. Wide sizes stand in the extra field.
    let told = flags & 8 == 0;
    let size_differs = |small: u32, directory: u64| {
        small != u32::MAX && u64::from(small) != directory && (told || small != 0)
    };
    let differs = if name != entry.raw_name {
        Some("the name")
    } else if method != entry.method {
        Some("the compression method")
    } else if (flags ^ entry.flags) & 1 != 0 {
        Some("whether it is encrypted")
    } else if size_differs(packed, entry.packed) || size_differs(size, entry.size) {
        Some("the size")
    } else if crc != entry.crc && (told || crc != 0) {
        Some("the checksum")
    } else {
        None
    };
    let data_at = entry.header_at + 30 + u64::from(name_length) + u64::from(extra_length);
    Ok(Ok(Local {
        data_at,
        encrypted: flags & 1 != 0,
        differs,
    }))
}
