//! The header of a `.npy` file (NumPy format versions 1 to 3): an array of objects is a pickle in disguise.
//!
//! Not here: the numbers in the array.

use std::io::{self, Read};

/// What follows the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Npy {
    /// Plain numbers or text.
    Plain,
    /// A pickle: the dtype holds objects.
    Objects,
    /// The header does not follow the format.
    Malformed(&'static str),
}

/// NumPy itself refuses longer headers by default.
const HEADER_BYTES_MAX: u32 = 64 * 1024;

/// Reads the header and leaves `bytes` at the data.
pub(crate) fn header(bytes: &mut dyn Read) -> io::Result<Npy> {
    match read(bytes) {
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
            Ok(Npy::Malformed("the file ends inside its header"))
        }
        other => other,
    }
}

fn read(bytes: &mut dyn Read) -> io::Result<Npy> {
    let mut start = [0; 8];
    bytes.read_exact(&mut start)?;
    let length = match start {
        [0x93, b'N', b'U', b'M', b'P', b'Y', 1, _] => {
            let mut length = [0; 2];
            bytes.read_exact(&mut length)?;
            u32::from(u16::from_le_bytes(length))
        }
        [0x93, b'N', b'U', b'M', b'P', b'Y', 2 | 3, _] => {
            let mut length = [0; 4];
            bytes.read_exact(&mut length)?;
            u32::from_le_bytes(length)
        }
        _ => return Ok(Npy::Malformed("the format version is unknown")),
    };
    if length > HEADER_BYTES_MAX {
        return Ok(Npy::Malformed("the header is longer than NumPy reads"));
    }
    let mut header = Vec::new();
    bytes.take(u64::from(length)).read_to_end(&mut header)?;
    if u32::try_from(header.len()).ok() != Some(length) {
        return Ok(Npy::Malformed("the file ends inside its header"));
    }
    Ok(judge(&String::from_utf8_lossy(&header)))
}

/// Whether the `descr` of the header names an object dtype, alone or in a field of a record: `'|O'`, `'O8'`, `'<O'`.
/// Every quoted word is looked at, so a field that is named like a dtype counts too: better held than missed.
fn judge(header: &str) -> Npy {
    if !header.trim_start().starts_with('{') || !header.contains("descr") {
        return Npy::Malformed("the header is not a Python dictionary with `descr`");
    }
    if header.contains('\\') {
        return Npy::Malformed("the header has an escape in a string");
    }
    let quoted = header.split(['\'', '"']).skip(1).step_by(2);
    let objects = quoted.into_iter().any(|word| {
        word.split(',').any(|word| {
            let code = word
                .trim()
                .trim_start_matches(['|', '<', '>', '='])
                .trim_start_matches(|c: char| c.is_ascii_digit());
            code == "object"
                || (code.starts_with('O') && code[1..].chars().all(|c| c.is_ascii_digit()))
        })
    });
    if objects { Npy::Objects } else { Npy::Plain }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(header_text: &str, expected: Npy) {
        let mut bytes = b"\x93NUMPY\x01\0".to_vec();
        bytes.extend_from_slice(&u16::try_from(header_text.len()).unwrap().to_le_bytes());
        bytes.extend_from_slice(header_text.as_bytes());
        assert_eq!(header(&mut &*bytes).unwrap(), expected, "{header_text}");
        let cut = &bytes[..bytes.len() - 1];
        assert!(matches!(header(&mut &*cut).unwrap(), Npy::Malformed(_)));
    }

    #[test]
    fn finds_objects() {
        check(
            "{'descr': '<f8', 'fortran_order': False, 'shape': (4,), }",
            Npy::Plain,
        );
        check(
            "{'descr': '|O', 'fortran_order': False, 'shape': (4,), }",
            Npy::Objects,
        );
        check(
            "{'descr': [('a', '<i4'), ('b', '|O8')], 'fortran_order': False, 'shape': (1,)}",
            Npy::Objects,
        );
        check(
            "{'descr': 'i4,O', 'fortran_order': False, 'shape': (1,)}",
            Npy::Objects,
        );
        check(
            "{'descr': \"object\", 'fortran_order': False, 'shape': (1,)}",
            Npy::Objects,
        );
        check(
            "{'descr': '\\x4f', 'fortran_order': False, 'shape': (1,)}",
            Npy::Malformed("the header has an escape in a string"),
        );
        check(
            "[1]",
            Npy::Malformed("the header is not a Python dictionary with `descr`"),
        );
    }
}
