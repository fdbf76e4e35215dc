//! Keras models: a `Lambda` layer carries code that runs when the model is loaded or called.
//!
//! The configuration is JSON, as a member of a `.keras` archive or as an attribute of an HDF5 file, where attributes
//! are never compressed; so a search of the bytes finds it. Not here: the layers that are only data.

use std::io::{self, Read};

/// How a layer that carries code is written, with and without the space that `json.dumps` puts.
const MARKS: [&[u8]; 4] = [
    br#""class_name": "Lambda""#,
    br#""class_name":"Lambda""#,
    br#""class_name": "__lambda__""#,
    br#""class_name":"__lambda__""#,
];

/// Whether the bytes hold the configuration of a layer that carries code. Reads to the end, in constant memory.
pub(crate) fn has_code(bytes: &mut dyn Read) -> io::Result<bool> {
    let overlap = MARKS.iter().map(|mark| mark.len()).max().unwrap_or(1) - 1;
    let mut buffer = vec![0; 64 * 1024];
    let mut kept = 0;
    let mut found = false;
    loop {
        let n = match bytes.read(&mut buffer[kept..]) {
            Ok(0) => return Ok(found),
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        let window = &buffer[..kept + n];
        // Every mark begins with a quote and a `c`, which ordinary data seldom does.
        found = found
            || window.windows(2).enumerate().any(|(at, start)| {
                start == b"\"c" && MARKS.iter().any(|mark| window[at..].starts_with(mark))
            });
        let end = kept + n;
        kept = end.min(overlap);
        buffer.copy_within(end - kept..end, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_layers_across_reads() {
        let layer = br#"{"class_name": "Lambda", "config": {}}"#;
        for before in [0, 1, 65_500, 65_530, 65_536, 200_000] {
            let bytes = [&vec![b'"'; before][..], layer].concat();
            assert!(has_code(&mut &*bytes).unwrap(), "{before}");
            assert!(!has_code(&mut &bytes[..before + 20]).unwrap(), "{before}");
        }
        assert!(!has_code(&mut &br#"{"class_name": "Dense"}"#[..]).unwrap());
    }
}
