//! The structure of an ONNX model, walked for what reaches outside of it: tensors whose data lies in another file.
//!
//! Field numbers are those of `onnx.proto` (IR version 3 and later). Not here: the operators and the numbers.

use std::io::{self, Read};

use lumos_domain::words::Severity;

use crate::{fields::Fields, gguf::Problems};

/// The messages on the way to an external path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Message {
    Model,
    Training,
    Function,
    Graph,
    Node,
    Attribute,
    Sparse,
    Tensor,
    Entry,
}

impl Message {
    /// What field `number` holds, when it leads to an external path.
    const fn field(self, number: u64) -> Option<Self> {
        use Message::{Attribute, Entry, Function, Graph, Model, Node, Sparse, Tensor, Training};
        Some(match (self, number) {
            (Model, 7) | (Training, 1 | 2) | (Attribute, 6 | 11) => Graph,
            (Model, 20) => Training,
            (Model, 25) => Function,
            (Function, 7) | (Graph, 1) => Node,
            (Function, 11) | (Node, 5) => Attribute,
            (Graph, 5) | (Sparse, 1 | 2) | (Attribute, 5 | 10) => Tensor,
            (Graph, 15) | (Attribute, 22 | 23) => Sparse,
            (Tensor, 13) => Entry,
            _ => return None,
        })
    }
}

const DEPTH_MAX: usize = 100;
const TEXT_BYTES_MAX: u64 = 4096;
const PROBLEMS_MAX: usize = 100;

/// Walks the model.
pub(crate) fn check(bytes: &mut dyn Read) -> io::Result<Problems> {
    let mut problems = Vec::new();
    match walk(&mut Fields::new(bytes), &mut problems) {
        Ok(None) => {}
        Ok(Some(what)) => problems.push(("onnx-malformed", Severity::High, what.to_owned())),
        // At the top level the file may end between two fields; anywhere else it is cut.
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
            problems.push((
                "onnx-malformed",
                Severity::High,
                "the file ends inside a field".to_owned(),
            ));
        }
        Err(e) => return Err(e),
    }
    Ok(problems)
}

fn walk(fields: &mut Fields<'_>, problems: &mut Problems) -> io::Result<Option<&'static str>> {
    // Each open message with the offset at which it ends.
    let mut open = vec![(Message::Model, u64::MAX)];
    let mut key = String::new();
    while let Some((message, end)) = open.last().copied() {
        if fields.taken == end {
            open.pop();
            continue;
        }
        if fields.taken > end {
            return Ok(Some("a message is longer than its field"));
        }
        let at = fields.taken;
        let tag = match fields.varint() {
            Err(e)
                if e.kind() == io::ErrorKind::UnexpectedEof
                    && message == Message::Model
                    && fields.taken == at =>
            {
                return Ok(None);
            }
            other => other?,
        };
        let Some(tag) = tag else {
            return Ok(Some("a field number is too long"));
        };
        match tag & 7 {
            0 => {
                fields.varint()?;
            }
            1 => fields.skip(8)?,
            5 => fields.skip(4)?,
            2 => {
                let Some(length) = fields.varint()? else {
                    return Ok(Some("a length is too long"));
                };
                match (message, message.field(tag >> 3)) {
                    (_, Some(inner)) if open.len() < DEPTH_MAX => {
                        open.push((inner, fields.taken.saturating_add(length)));
                    }
                    (_, Some(_)) => return Ok(Some("graphs are nested deeper than is scanned")),
                    (Message::Entry, None) => {
                        let text = fields.text(length, TEXT_BYTES_MAX)?;
                        if tag >> 3 == 1 {
                            key = text;
                        } else {
                            judge(&key, &text, problems);
                        }
                    }
                    _ => fields.skip(length)?,
                }
            }
            _ => return Ok(Some("a field is of an unknown kind")),
        }
    }
    Ok(None)
}

/// External data must lie beside the model.
fn judge(key: &str, value: &str, problems: &mut Problems) {
    let place = value.replace('\\', "/");
    let leaves =
        place.starts_with('/') || place.contains(':') || place.split('/').any(|part| part == "..");
    // Entries may stand in either order of key and value, so anything that looks like a way out counts.
    if leaves && (key == "location" || key.is_empty()) && problems.len() < PROBLEMS_MAX {
        let shown: String = place
            .chars()
            .flat_map(char::escape_default)
            .take(200)
            .collect();
        problems.push((
            "onnx-external-path",
            Severity::High,
            format!("a tensor is read from `{shown}`"),
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(number: u8, body: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, u8::try_from(body.len()).unwrap()], body].concat()
    }

    fn model(location: &str) -> Vec<u8> {
        let entry = [field(1, b"location"), field(2, location.as_bytes())].concat();
        let graph = field(5, &field(13, &entry));
        [&b"\x08\x07"[..], &field(2, b"acme"), &field(7, &graph)].concat()
    }

    fn check_codes(bytes: &[u8], expected: &[&str]) {
        let problems = check(&mut &*bytes).unwrap();
        let codes: Vec<_> = problems.iter().map(|(code, ..)| *code).collect();
        assert_eq!(codes, expected, "{problems:?}");
    }

    #[test]
    fn finds_data_outside() {
        check_codes(&model("weights.bin"), &[]);
        check_codes(&model("../../etc/passwd"), &["onnx-external-path"]);
        check_codes(&model("/etc/passwd"), &["onnx-external-path"]);
        check_codes(&model("C:\\secret"), &["onnx-external-path"]);
        let cut = model("weights.bin");
        check_codes(&cut[..cut.len() - 3], &["onnx-malformed"]);
        check_codes(b"\x08\x07\x12\xff\xff\xff\xff\x7f", &["onnx-malformed"]);
        check_codes(b"\x08\x07\x3a\x05\x0a\x63", &["onnx-malformed"]);
        check_codes(b"\x08\x07\x0f", &["onnx-malformed"]);
    }
}
