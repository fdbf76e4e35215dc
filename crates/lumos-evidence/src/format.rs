//! What a file is, judged by its first bytes; a name never decides, it can only contradict.
//!
//! Not here: whether the file is sound. The scanner of each format says that.

use serde::{Deserialize, Serialize};

/// How many bytes from the start [`Format::of`] wants to see.
pub const HEAD_BYTES: usize = 4096;

/// The formats that are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the formats' own")]
pub enum Format {
    Safetensors,
    Pickle,
    Zip,
    /// A zip archive that PyTorch wrote (it has a member `data.pkl`).
    TorchZip,
    /// A zip archive of arrays that NumPy wrote.
    Npz,
    /// A zip archive that skops wrote.
    Skops,
    /// A zip archive that Keras 3 wrote.
    Keras,
    Npy,
    Gzip,
    Tar,
    Xz,
    Bzip2,
    SevenZip,
    Zstd,
    Lz4,
    Zlib,
    Gguf,
    Onnx,
    Hdf5,
    Parquet,
    Json,
    Yaml,
    Csv,
    Python,
    Text,
    Unknown,
}

impl Format {
    /// The format as it is written in manifests and evidence.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Safetensors => "safetensors",
            Self::Pickle => "pickle",
            Self::Zip => "zip",
            Self::TorchZip => "torch_zip",
            Self::Npz => "npz",
            Self::Skops => "skops",
            Self::Keras => "keras",
            Self::Npy => "npy",
            Self::Gzip => "gzip",
            Self::Tar => "tar",
            Self::Xz => "xz",
            Self::Bzip2 => "bzip2",
            Self::SevenZip => "seven_zip",
            Self::Zstd => "zstd",
            Self::Lz4 => "lz4",
            Self::Zlib => "zlib",
            Self::Gguf => "gguf",
            Self::Onnx => "onnx",
            Self::Hdf5 => "hdf5",
            Self::Parquet => "parquet",
            Self::Json => "json",
            Self::Yaml => "yaml",
            Self::Csv => "csv",
            Self::Python => "python",
            Self::Text => "text",
            Self::Unknown => "unknown",
        }
    }

    /// The format of a file that starts with `head` (its first [`HEAD_BYTES`], or all of it). `path` only tells
    /// kinds of text apart, which have no magic bytes.
    #[must_use]
    pub fn of(path: &str, head: &[u8]) -> Self {
        Self::by_magic(head).unwrap_or_else(|| Self::of_text(path, head))
    }

    fn by_magic(head: &[u8]) -> Option<Self> {
        const MAGIC: [(&[u8], Format); 13] = [
            (b"PK\x03\x04", Format::Zip),
            (b"PK\x05\x06", Format::Zip),
            (b"\x1f\x8b", Format::Gzip),
            (b"GGUF", Format::Gguf),
            (b"\x89HDF\r\n\x1a\n", Format::Hdf5),
            (b"\x93NUMPY", Format::Npy),
            (b"PAR1", Format::Parquet),
            (b"PARE", Format::Parquet),
            (b"\xfd7zXZ\0", Format::Xz),
            (b"BZh", Format::Bzip2),
            (b"7z\xbc\xaf\x27\x1c", Format::SevenZip),
            (b"\x28\xb5\x2f\xfd", Format::Zstd),
            (b"\x04\x22\x4d\x18", Format::Lz4),
        ];
        if let Some((_, format)) = MAGIC.iter().find(|(magic, _)| head.starts_with(magic)) {
            return Some(*format);
        }
        match head {
            [0x80, 0..=5, ..] => return Some(Self::Pickle),
            // RFC 1950: deflate with a 32 KiB window, and the first two bytes divide by 31.
            [0x78, flags @ (0x01 | 0x5e | 0x9c | 0xda), next, ..]
                if *next >= 0x80 || *flags != 0x5e =>
            {
                return Some(Self::Zlib);
            }
            _ => {}
        }
        // safetensors: a little-endian u64 length, then JSON. Eight bytes of text can never be one: the length
        // of a real header has zero bytes at its top.
        if let [_, _, _, _, _, _, 0, 0, b'{', ..] = head {
            return Some(Self::Safetensors);
        }
        if head.get(257..262) == Some(b"ustar") {
            return Some(Self::Tar);
        }
        is_onnx(head).then_some(Self::Onnx)
    }

    fn of_text(path: &str, head: &[u8]) -> Self {
        if !is_text(head) {
            return Self::Unknown;
        }
        let first = head.iter().find(|b| !b.is_ascii_whitespace());
        match (extension(path).as_str(), first) {
            ("py" | "pyi", _) => Self::Python,
            ("csv" | "tsv", _) => Self::Csv,
            ("md" | "txt" | "rst" | "html" | "jinja" | "j2", _) => Self::Text,
            ("yaml" | "yml", _) => Self::Yaml,
            (_, Some(b'{' | b'[')) => Self::Json,
            ("", _) if path.rsplit('/').next() == Some("MLmodel") => Self::Yaml,
            _ => Self::Text,
        }
    }

    /// Whether this is text for people or programs rather than packed data.
    #[must_use]
    pub const fn is_text(self) -> bool {
        matches!(
            self,
            Self::Json | Self::Yaml | Self::Csv | Self::Python | Self::Text
        )
    }

    /// Whether the name of the file promises a format that is plainly not this one, and which.
    #[must_use]
    pub fn contradicts(self, path: &str) -> Option<&'static str> {
        let (promise, fits): (_, &[Self]) = match extension(path).as_str() {
            "safetensors" => ("safetensors", &[Self::Safetensors]),
            "gguf" => ("GGUF", &[Self::Gguf]),
            "onnx" => ("ONNX", &[Self::Onnx]),
            "npy" => ("npy", &[Self::Npy]),
            "h5" | "hdf5" => ("HDF5", &[Self::Hdf5]),
            "parquet" => ("parquet", &[Self::Parquet]),
            "json" => ("JSON", &[Self::Json, Self::Text]),
            "npz" | "zip" | "keras" | "skops" | "whl" => (
                "a zip archive",
                &[
                    Self::Zip,
                    Self::TorchZip,
                    Self::Npz,
                    Self::Skops,
                    Self::Keras,
                ],
            ),
            "pkl" | "pickle" | "joblib" | "dill" => (
                "a pickle",
                &[
                    Self::Pickle,
                    Self::Gzip,
                    Self::Zlib,
                    Self::Bzip2,
                    Self::Xz,
                    Self::Lz4,
                ],
            ),
            "md" | "txt" | "py" | "yaml" | "yml" | "csv" | "rst" => (
                "text",
                &[Self::Text, Self::Json, Self::Yaml, Self::Csv, Self::Python],
            ),
            _ => return None,
        };
        (!fits.contains(&self)).then_some(promise)
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// The part of the file name after its last dot, in lower case; empty when there is none.
pub(crate) fn extension(path: &str) -> String {
    let name = path.rsplit(['/', '!']).next().unwrap_or_default();
    match name.rsplit_once('.') {
        Some((_, extension)) => extension.to_ascii_lowercase(),
        None => String::new(),
    }
}

/// Text: UTF-8 (the head may cut a character) without control characters other than white space.
fn is_text(head: &[u8]) -> bool {
    let whole = match std::str::from_utf8(head) {
        Ok(_) => true,
        Err(e) => e.error_len().is_none() && e.valid_up_to() > 0,
    };
    whole
        && !head
            .iter()
            .any(|b| b.is_ascii_control() && !b.is_ascii_whitespace() && *b != 0x1b)
}

/// An ONNX file is a protobuf `ModelProto` with no magic: field 1 (`ir_version`, a small varint) comes first and
/// is followed by field 2 (`producer_name`), 7 (`graph`) or 8 (`opset_import`) as length-delimited.
fn is_onnx(head: &[u8]) -> bool {
    matches!(head, [0x08, 1..=20, 0x12 | 0x3a | 0x42, ..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, head: &[u8], expected: Format) {
        assert_eq!(Format::of(path, head), expected, "{path} {head:?}");
    }

    #[test]
    fn bytes_decide() {
        check("a.pkl", b"PK\x03\x04rest", Format::Zip);
        check("a.txt", b"\x80\x04\x95", Format::Pickle);
        check("a.txt", b"\x80\x06\x95", Format::Unknown);
        check("x", b"\x08\0\0\0\0\0\0\0{}", Format::Safetensors);
        check("x", b"\x1f\x8b\x08", Format::Gzip);
        check("x", b"GGUF\x03\0\0\0", Format::Gguf);
        check("x.onnx", b"\x08\x07\x12\x07pytorch", Format::Onnx);
        check("x", b"\x93NUMPY\x01\0", Format::Npy);
        check("x", b"\x89HDF\r\n\x1a\n", Format::Hdf5);
        check("x", b"PAR1", Format::Parquet);
        check("x", b"7z\xbc\xaf\x27\x1c", Format::SevenZip);
        check("x", b"\xfd7zXZ\0", Format::Xz);
        let mut tar = vec![b'a'; 512];
        tar[257..262].copy_from_slice(b"ustar");
        check("x", &tar, Format::Tar);
        check("x", b"\0\0\0\0", Format::Unknown);
        check("x.json", b" {\"a\":1}", Format::Json);
        check("MLmodel", b"artifact_path: model\n", Format::Yaml);
        check("x.yaml", b"a: 1", Format::Yaml);
        check("x.py", b"import os", Format::Python);
        check("README.md", "---\nénd".as_bytes(), Format::Text);
        check("README.md", &"é".as_bytes()[..1], Format::Unknown);
        check("empty", b"", Format::Text);
    }

    #[test]
    fn names_only_contradict() {
        for (path, format, expected) in [
            ("a.safetensors", Format::Pickle, Some("safetensors")),
            ("a.safetensors", Format::Safetensors, None),
            ("a.pkl", Format::Gzip, None),
            ("README.md", Format::Pickle, Some("text")),
            ("a.bin", Format::Pickle, None),
            ("a.npz!b.npy", Format::Pickle, Some("npy")),
        ] {
            assert_eq!(format.contradicts(path), expected, "{path}");
        }
    }
}
