//! One file or archive member read from front to back: sniffed, then handed to the scanner of its format.
//!
//! Not here: archives that need to be read out of order; `archive::zip` does those.

use std::io::{self, BufReader, Cursor, Read};

use flate2::bufread::{MultiGzDecoder, ZlibDecoder};
use lumos_domain::words::Severity;

use crate::{
    archive,
    claim::{Finding, NotFullyScanned},
    format::{Format, HEAD_BYTES},
    gguf, keras, numpy, onnx, pickle, safetensors,
    scan::Limits,
};

/// What is gathered while the files of one release are scanned.
pub(crate) struct Context<'a> {
    pub(crate) limits: &'a Limits,
    pub(crate) findings: Vec<Finding>,
    pub(crate) unfinished: Vec<NotFullyScanned>,
    /// How many more bytes may be unpacked from the file at hand.
    pub(crate) unpack_bytes_left: u64,
}

impl<'a> Context<'a> {
    pub(crate) fn new(limits: &'a Limits) -> Self {
        Self {
            limits,
            findings: Vec::new(),
            unfinished: Vec::new(),
            unpack_bytes_left: 0,
        }
    }

    pub(crate) fn found(
        &mut self,
        path: &str,
        code: &str,
        severity: Severity,
        detail: impl Into<String>,
    ) {
        if self.findings.len() < self.limits.findings_max {
            self.findings.push(Finding {
                path: path.to_owned(),
                code: code.to_owned(),
                severity,
                detail: detail.into(),
            });
        } else {
            let worst = self
                .findings
                .iter_mut()
                .min_by_key(|finding| finding.severity);
            if let Some(least) = worst.filter(|least| least.severity < severity) {
                *least = Finding {
                    path: path.to_owned(),
                    code: code.to_owned(),
                    severity,
                    detail: detail.into(),
                };
            }
            self.unfinished("", "there are more findings than the scanner keeps");
        }
    }

    pub(crate) fn unfinished(&mut self, path: &str, reason: impl Into<String>) {
        let entry = NotFullyScanned {
            path: path.to_owned(),
            reason: reason.into(),
        };
        if self.unfinished.len() < self.limits.findings_max
            && self.unfinished.last() != Some(&entry)
        {
            self.unfinished.push(entry);
        }
    }

    fn pickle(&mut self, path: &str, report: &pickle::Report) {
        for (code, severity, detail) in report.findings() {
            self.found(path, code, severity, detail);
        }
        if let Some(reason) = report.unfinished() {
            self.unfinished(path, reason);
        }
    }
}

/// Scans `bytes` from their start. `size` is their length where it is known beforehand.
pub(crate) fn scan(
    context: &mut Context<'_>,
    path: &str,
    size: Option<u64>,
    bytes: &mut dyn Read,
    depth: u32,
) -> io::Result<Format> {
    let head = head_of(bytes)?;
    let format = Format::of(path, &head);
    let mut whole = (&head[..]).chain(bytes);
    let whole: &mut dyn Read = &mut whole;
    let format = match format {
        Format::Pickle => {
            let report = pickle::scan(whole)?;
            context.pickle(path, &report);
            format
        }
        Format::Safetensors => {
            for (code, severity, detail) in safetensors::check(whole, size)? {
                context.found(path, code, severity, detail);
                context.unfinished(path, "the header does not follow the format");
            }
            format
        }
        Format::Npy => {
            array(context, path, whole)?;
            format
        }
        Format::Gzip | Format::Zlib => {
            unpacked(context, path, format, whole, depth)?;
            format
        }
        Format::Tar => {
            if may_enter(context, path, depth) {
                archive::tar::scan(context, path, whole, depth)?;
            }
            format
        }
        Format::Zip | Format::TorchZip | Format::Npz | Format::Skops | Format::Keras => {
            buffered(context, path, whole, depth)?
        }
        Format::Xz | Format::Bzip2 | Format::SevenZip | Format::Zstd | Format::Lz4 => {
            context.unfinished(path, format!("this scanner does not unpack {format}"));
            format
        }
        Format::Gguf | Format::Onnx => {
            let problems = match format {
                Format::Gguf => gguf::check(whole, size)?,
                _ => onnx::check(whole)?,
            };
            for (code, severity, detail) in problems {
                context.found(path, code, severity, detail);
                if code.ends_with("-malformed") {
                    context.unfinished(path, "the file does not follow its format");
                }
            }
            format
        }
        // JSON starts with a brace or bracket, neither of which is a pickle opcode.
        Format::Hdf5 | Format::Json => {
            if keras::has_code(whole)? {
                context.found(
                    path,
                    "keras-lambda",
                    Severity::High,
                    "a Keras layer carries code",
                );
            }
            format
        }
        _ => undeclared(context, path, format, whole)?,
    };
    contradiction(context, path, format);
    Ok(format)
}

/// Whether the depth allows to go into an archive; records it when not.
pub(crate) fn may_enter(context: &mut Context<'_>, path: &str, depth: u32) -> bool {
    let may = depth < context.limits.depth_max;
    if !may {
        context.found(
            path,
            "nested-too-deep",
            Severity::High,
            "archives are nested deeper than is scanned",
        );
        context.unfinished(path, "archives are nested too deep");
    }
    may
}

/// A finding when the name promises another format: a file that reads as two things is the start of a trick.
pub(crate) fn contradiction(context: &mut Context<'_>, path: &str, format: Format) {
    if let Some(promise) = format.contradicts(path) {
        let detail = format!("the name promises {promise}, the bytes are {format}");
        context.found(path, "format-mismatch", Severity::Medium, detail);
    }
}

/// The first bytes of a file, as many as the sniffer wants.
pub(crate) fn head_of(bytes: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    bytes.take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    Ok(head)
}

fn array(context: &mut Context<'_>, path: &str, bytes: &mut dyn Read) -> io::Result<()> {
    match numpy::header(bytes)? {
        numpy::Npy::Plain => {}
        numpy::Npy::Objects => {
            context.found(
                path,
                "npy-object-array",
                Severity::Low,
                "an array of objects is loaded by unpickling",
            );
            let report = pickle::scan(bytes)?;
            context.pickle(path, &report);
        }
        numpy::Npy::Malformed(what) => {
            context.found(path, "npy-malformed", Severity::High, what);
            context.unfinished(path, what);
        }
    }
    Ok(())
}

fn unpacked(
    context: &mut Context<'_>,
    path: &str,
    format: Format,
    bytes: &mut dyn Read,
    depth: u32,
) -> io::Result<()> {
    if !may_enter(context, path, depth) {
        return Ok(());
    }
    let packed = BufReader::with_capacity(64 * 1024, bytes);
    let inner = format!("{path}!{format}");
    if format == Format::Gzip {
        member(
            context,
            &inner,
            None,
            &mut MultiGzDecoder::new(packed),
            depth + 1,
        )
    } else {
        member(
            context,
            &inner,
            None,
            &mut ZlibDecoder::new(packed),
            depth + 1,
        )
    }
}

/// Scans what comes out of a decoder to its end within the budget. Broken packed bytes are a finding.
pub(crate) fn member(
    context: &mut Context<'_>,
    path: &str,
    size: Option<u64>,
    bytes: &mut dyn Read,
    depth: u32,
) -> io::Result<()> {
    let budget = context.unpack_bytes_left;
    let mut bounded = Bounded {
        inner: bytes,
        left: budget,
    };
    let result = scan(context, path, size, &mut bounded, depth)
        .and_then(|_| crate::digest::drain(&mut bounded).map(|_| ()));
    // What was unpacked inside this member was taken off the budget meanwhile; this takes off the member itself.
    context.unpack_bytes_left = context
        .unpack_bytes_left
        .saturating_sub(budget - bounded.left);
    match result {
        Ok(()) => Ok(()),
        Err(e) => match e.kind() {
            io::ErrorKind::QuotaExceeded => Err(e),
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::InvalidData
            | io::ErrorKind::InvalidInput => {
                context.found(
                    path,
                    "archive-corrupt",
                    Severity::High,
                    "the packed bytes do not unpack",
                );
                context.unfinished(path, "the packed bytes do not unpack");
                Ok(())
            }
            _ => Err(e),
        },
    }
}

/// A zip archive in a stream: held in memory up to a bound, because it must be read out of order.
fn buffered(
    context: &mut Context<'_>,
    path: &str,
    bytes: &mut dyn Read,
    depth: u32,
) -> io::Result<Format> {
    if !may_enter(context, path, depth) {
        return Ok(Format::Zip);
    }
    let bound = context.limits.nested_bytes_max;
    let mut whole = Vec::new();
    bytes
        .take(bound.saturating_add(1))
        .read_to_end(&mut whole)?;
    if whole.len() as u64 > bound {
        context.unfinished(path, "an archive in an archive is larger than is scanned");
        return Ok(Format::Zip);
    }
    archive::zip::scan(context, path, &mut Cursor::new(whole), depth)
}

/// Text and bytes without magic may still be a pickle of protocol 0 or 1.
fn undeclared(
    context: &mut Context<'_>,
    path: &str,
    format: Format,
    bytes: &mut dyn Read,
) -> io::Result<Format> {
    let Some(report) = pickle::scan_if_pickle(bytes)? else {
        return Ok(format);
    };
    context.pickle(path, &report);
    Ok(Format::Pickle)
}

/// Gives at most `left` bytes, then fails: a bomb is stopped by what it unpacks to, not by what it claims.
struct Bounded<'r> {
    inner: &'r mut dyn Read,
    left: u64,
}

impl Read for Bounded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.left = self
            .left
            .checked_sub(n as u64)
            .ok_or_else(|| io::Error::from(io::ErrorKind::QuotaExceeded))?;
        Ok(n)
    }
}
