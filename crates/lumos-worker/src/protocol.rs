//! What parent and child say to each other: one JSON line in, JSON lines out, the last of them the result.
//!
//! Not here: starting, stopping or confining processes.

use std::io::{self, BufRead, Read, Write};

use lumos_evidence::scan::Inspection;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The longest request, in bytes.
pub const REQUEST_BYTES_MAX: u64 = 64 * 1024;
/// The longest answer line, in bytes: a manifest of 100,000 long paths fits.
pub const ANSWER_BYTES_MAX: u64 = 128 << 20;

/// What the parent asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The directory or file to inspect, absolute.
    pub tree: String,
    /// How many seconds of processor time the child may use.
    pub cpu_seconds: u64,
}

/// One line of the child.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Answer {
    /// How far it is; any number of these.
    Progress(Progress),
    /// The result; the last line.
    Done(Box<Inspection>),
    /// Why there is none; the last line.
    Failed(Failure),
}

/// How far a scan is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// Files read so far.
    pub files: u64,
    /// Files in all.
    pub files_total: u64,
    /// Bytes read so far.
    pub bytes: u64,
    /// Bytes in all.
    pub bytes_total: u64,
}

/// Why the child has no result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// The code of the error, a page in `docs/errors/`.
    pub code: String,
    /// The message with its causes.
    pub message: String,
}

/// Writes one line and flushes it.
///
/// # Errors
/// When writing fails.
pub fn write_line<T: Serialize>(out: &mut dyn Write, value: &T) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")?;
    out.flush()
}

/// Reads one line of at most `bytes_max`; `None` at the end of the stream.
///
/// # Errors
/// When reading fails, the line is longer, is cut, or is not of this shape.
pub fn read_line<T: DeserializeOwned>(
    from: &mut dyn BufRead,
    bytes_max: u64,
) -> io::Result<Option<T>> {
    let mut line = Vec::new();
    from.take(bytes_max).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.last() != Some(&b'\n') {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the line is cut or too long",
        ));
    }
    Ok(Some(serde_json::from_slice(&line)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded() {
        let request = Request {
            tree: "/models/acme".to_owned(),
            cpu_seconds: 9,
        };
        let mut line = Vec::new();
        write_line(&mut line, &request).unwrap();
        assert_eq!(
            read_line::<Request>(&mut &line[..], 1000).unwrap(),
            Some(request)
        );
        assert_eq!(read_line::<Request>(&mut &b""[..], 1000).unwrap(), None);
        for (bad, bound) in [
            (&line[..], 10),
            (&line[..line.len() - 1], 1000),
            (b"{}\n", 1000),
            (b"null\n", 1000),
        ] {
            assert!(read_line::<Request>(&mut &bad[..], bound).is_err());
        }
    }
}
