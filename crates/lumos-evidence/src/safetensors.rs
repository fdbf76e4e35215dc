//! The header of a safetensors file, checked against the rules of the format: nothing in it can run, but a header
//! that two readers understand differently hides something.
//!
//! Rules (safetensors format, "Format" and "Notes"): a little-endian u64 header length of at most 100 MB, a JSON object
//! without duplicate keys, `dtype`, `shape` and `data_offsets` that agree, and a byte buffer that the tensors fill from
//! end to end without holes. Not here: the numbers in the tensors.

use std::{
    collections::BTreeSet,
    fmt,
    io::{self, Read},
};

use lumos_domain::words::Severity;
use serde::{
    Deserialize,
    de::{self, DeserializeSeed, MapAccess, Visitor},
};

/// The longest header the format allows.
pub const HEADER_BYTES_MAX: u64 = 100_000_000;
/// More tensors than any known model has; a bound on memory.
const TENSORS_MAX: usize = 1 << 20;

/// What is wrong with a safetensors file: code, severity and detail. Empty when nothing is.
pub type Problems = Vec<(&'static str, Severity, String)>;

/// Checks the header in `bytes` of a file that is `size` bytes long; `None` when the length is not known, then only
/// the data after the header is counted. Reads the header and no further when the length is known.
///
/// # Errors
/// When reading fails. What the bytes say is never an error.
pub fn check(bytes: &mut dyn Read, size: Option<u64>) -> io::Result<Problems> {
    let mut length = [0; 8];
    if let Err(e) = bytes.read_exact(&mut length) {
        return truncated_or(e);
    }
    let length = u64::from_le_bytes(length);
    if length > HEADER_BYTES_MAX {
        return Ok(one(
            "safetensors-header-too-long",
            format!("the header claims {length} bytes; {HEADER_BYTES_MAX} are allowed"),
        ));
    }
    if size.is_some_and(|size| size.saturating_sub(8) < length) {
        return Ok(one(
            "safetensors-truncated",
            format!("the header claims {length} bytes, more than the file has"),
        ));
    }
    let mut header = io::BufReader::with_capacity(64 * 1024, bytes.take(length));
    let parsed = read_header(&mut header);
    // What serde_json left unread is white space by the rules, and must be taken before the data begins.
    let (tensors, mut problems) = match parsed {
        Ok(parsed) => parsed,
        Err(e) if e.is_io() => return truncated_or(e.into()),
        Err(e) => {
            return Ok(one(
                "safetensors-bad-header",
                format!("the header does not follow the format: {e}"),
            ));
        }
    };
    let data = match size {
        Some(size) => size.saturating_sub(8).saturating_sub(length),
        None => crate::digest::drain(&mut header.into_inner().into_inner())?,
    };
    layout(tensors, data, &mut problems);
    Ok(problems)
}

fn one(code: &'static str, detail: String) -> Problems {
    vec![(code, Severity::High, detail)]
}

fn truncated_or(error: io::Error) -> io::Result<Problems> {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Ok(one(
            "safetensors-truncated",
            "the file ends inside its header".to_owned(),
        )),
        _ => Err(error),
    }
}

struct Tensor {
    name: String,
    begin: u64,
    end: u64,
}

fn read_header(header: &mut dyn Read) -> Result<(Vec<Tensor>, Problems), serde_json::Error> {
    let mut out = Header {
        tensors: Vec::new(),
        problems: Vec::new(),
    };
    let mut json = serde_json::Deserializer::from_reader(header);
    (&mut out).deserialize(&mut json)?;
    json.end()?;
    Ok((out.tensors, out.problems))
}

fn layout(mut tensors: Vec<Tensor>, data: u64, problems: &mut Problems) {
    tensors.sort_by_key(|tensor| (tensor.begin, tensor.end));
    let mut end = 0;
    for tensor in &tensors {
        if tensor.begin != end {
            let what = if tensor.begin < end {
                "overlaps the one before"
            } else {
                "leaves a hole before it"
            };
            problems.push((
                if tensor.begin < end {
                    "safetensors-overlap"
                } else {
                    "safetensors-hole"
                },
                Severity::High,
                format!(
                    "tensor `{}` begins at {} and {what}",
                    short(&tensor.name),
                    tensor.begin
                ),
            ));
            return;
        }
        end = tensor.end;
    }
    if end > data {
        problems.push((
            "safetensors-truncated",
            Severity::High,
            format!("the tensors take {end} bytes and the file has {data}"),
        ));
    } else if end < data {
        problems.push((
            "safetensors-hole",
            Severity::High,
            format!("{} bytes follow the last tensor", data - end),
        ));
    }
}

fn short(name: &str) -> String {
    name.chars()
        .flat_map(char::escape_default)
        .take(128)
        .collect()
}

struct Header {
    tensors: Vec<Tensor>,
    problems: Problems,
}

impl<'de> DeserializeSeed<'de> for &mut Header {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut Header {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut names = BTreeSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if names.len() >= TENSORS_MAX {
                return Err(de::Error::custom("more tensors than the scanner keeps"));
            }
            if !names.insert(name.clone()) {
                self.problems.push((
                    "safetensors-duplicate-key",
                    Severity::High,
                    format!("the header names `{}` twice", short(&name)),
                ));
            }
            if name == "__metadata__" {
                map.next_value::<Metadata>()?;
                continue;
            }
            let info: Info = map.next_value()?;
            let [begin, end] = info.data_offsets;
            if info.bytes() != end.checked_sub(begin) {
                self.problems.push((
                    "safetensors-bad-tensor",
                    Severity::High,
                    format!(
                        "shape, dtype and offsets of tensor `{}` disagree",
                        short(&name)
                    ),
                ));
            }
            self.tensors.push(Tensor { name, begin, end });
            if self.problems.len() > 100 {
                return Err(de::Error::custom("too many problems"));
            }
        }
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Info {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

impl Info {
    /// The bytes of the tensor by its shape and dtype; `None` for an unknown dtype or an overflow.
    fn bytes(&self) -> Option<u64> {
        let bits: u64 = match self.dtype.as_str() {
            "F4" => 4,
            "F6_E2M3" | "F6_E3M2" => 6,
            "BOOL" | "U8" | "I8" | "F8_E5M2" | "F8_E4M3" | "F8_E8M0" | "F8_E4M3FNUZ"
            | "F8_E5M2FNUZ" => 8,
            "I16" | "U16" | "F16" | "BF16" => 16,
            "I32" | "U32" | "F32" => 32,
            "I64" | "U64" | "F64" | "C64" => 64,
            _ => return None,
        };
        let elements = self
            .shape
            .iter()
            .try_fold(1_u64, |product, n| product.checked_mul(*n))?;
        let bits = elements.checked_mul(bits)?;
        (bits % 8 == 0).then_some(bits / 8)
    }
}

/// Text to text, without keeping it.
struct Metadata;

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Metadata;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of text to text")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Metadata, A::Error> {
                while map.next_entry::<String, String>()?.is_some() {}
                Ok(Metadata)
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with this header and `data` zero bytes after it.
    fn file(header: &str, data: usize) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header.as_bytes());
        bytes.resize(bytes.len() + data, 0);
        bytes
    }

    fn check_bytes(bytes: &[u8], expected: &[&str]) {
        let known = check(&mut &*bytes, Some(bytes.len() as u64)).unwrap();
        let got: Vec<_> = known.iter().map(|(code, ..)| *code).collect();
        assert_eq!(got, expected, "{known:?}");
        let streamed = check(&mut &*bytes, None).unwrap();
        let got: Vec<_> = streamed.iter().map(|(code, ..)| *code).collect();
        assert_eq!(got, expected, "streamed: {streamed:?}");
    }

    fn check_header(header: &str, data: usize, expected: &[&str]) {
        check_bytes(&file(header, data), expected);
    }

    #[test]
    fn follows_the_format() {
        let w = r#""w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}"#;
        check_header(&format!("{{{w}}}"), 24, &[]);
        check_header(&format!("{{{w}}}   "), 24, &[]);
        check_header(
            &format!(r#"{{"__metadata__":{{"format":"pt"}},{w}}}"#),
            24,
            &[],
        );
        check_header("{}", 0, &[]);
        check_header(&format!("{{{w}}}"), 23, &["safetensors-truncated"]);
        check_header(&format!("{{{w}}}"), 25, &["safetensors-hole"]);
        check_header(
            &format!("{{{w},{w}}}"),
            24,
            &["safetensors-duplicate-key", "safetensors-overlap"],
        );
        check_header(
            r#"{"w":{"dtype":"F32","shape":[2,3],"data_offsets":[8,32]}}"#,
            32,
            &["safetensors-hole"],
        );
        check_header(
            r#"{"w":{"dtype":"F32","shape":[2,4],"data_offsets":[0,24]}}"#,
            24,
            &["safetensors-bad-tensor"],
        );
        check_header(
            r#"{"w":{"dtype":"F99","shape":[1],"data_offsets":[0,4]}}"#,
            4,
            &["safetensors-bad-tensor"],
        );
        let huge = r#"{"w":{"dtype":"F64","shape":[4294967296,4294967296],"data_offsets":[0,0]}}"#;
        check_header(huge, 0, &["safetensors-bad-tensor"]);
        let backwards = r#"{"w":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}"#;
        check_header(
            backwards,
            4,
            &["safetensors-bad-tensor", "safetensors-hole"],
        );
        check_header(r#"{"w":{"dtype":"F32"}}"#, 0, &["safetensors-bad-header"]);
        check_header(
            r#"{"__metadata__":{"n":1}}"#,
            0,
            &["safetensors-bad-header"],
        );
        check_header("{} {}", 0, &["safetensors-bad-header"]);
        check_header("[]", 0, &["safetensors-bad-header"]);
        check_header("{", 0, &["safetensors-bad-header"]);
    }

    #[test]
    fn refuses_claims_without_allocating() {
        let hundred_gigabytes = 100_000_000_000_u64.to_le_bytes();
        check_bytes(&hundred_gigabytes, &["safetensors-header-too-long"]);
        check_bytes(&u64::MAX.to_le_bytes(), &["safetensors-header-too-long"]);
        check_bytes(&[1, 2, 3], &["safetensors-truncated"]);
        let mut cut = file("{}", 0);
        cut[0] = 200;
        let got = check(&mut &*cut, Some(cut.len() as u64)).unwrap();
        assert_eq!(got[0].0, "safetensors-truncated");
    }
}
