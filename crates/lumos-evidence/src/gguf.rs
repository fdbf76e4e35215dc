//! The header of a GGUF file (version 2 and 3): counts and lengths that would make a reader allocate or run over, and
//! the chat template, which is a Jinja program.
//!
//! Not here: the numbers in the tensors.

use std::io::{self, Read};

use lumos_domain::words::Severity;

use crate::fields::Fields;

/// What is wrong: code, severity and detail.
pub(crate) type Problems = Vec<(&'static str, Severity, String)>;

const KEYS_MAX: u64 = 1 << 16;
const TENSORS_MAX: u64 = 1 << 20;
const NAME_BYTES_MAX: u64 = 1 << 16;
const TEMPLATE_BYTES_MAX: u64 = 1 << 20;

/// Why the walk ended early.
enum Stop {
    Io(io::Error),
    Malformed(&'static str),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Malformed("the file ends inside its header"),
            _ => Self::Io(error),
        }
    }
}

/// Walks the header. `size` is the length of the file where it is known.
pub(crate) fn check(bytes: &mut dyn Read, size: Option<u64>) -> io::Result<Problems> {
    let mut problems = Vec::new();
    match walk(&mut Fields::new(bytes), size, &mut problems) {
        Ok(()) => Ok(problems),
        Err(Stop::Io(e)) => Err(e),
        Err(Stop::Malformed(what)) => {
            problems.push(("gguf-malformed", Severity::High, what.to_owned()));
            Ok(problems)
        }
    }
}

fn walk(fields: &mut Fields<'_>, size: Option<u64>, problems: &mut Problems) -> Result<(), Stop> {
    fields.skip(4)?;
    if !matches!(fields.u32()?, 2 | 3) {
        return Err(Stop::Malformed("the version is neither 2 nor 3"));
    }
    let (tensors, keys) = (fields.u64()?, fields.u64()?);
    if keys > KEYS_MAX || tensors > TENSORS_MAX {
        return Err(Stop::Malformed(
            "the header claims more keys or tensors than any model has",
        ));
    }
    for _ in 0..keys {
        let key = name(fields)?;
        let kind = fields.u32()?;
        let template = kind == 8 && key.starts_with("tokenizer.chat_template");
        if template {
            let length = fields.u64()?;
            judge_template(
                &key,
                &fields.text(length, TEMPLATE_BYTES_MAX)?,
                length,
                problems,
            );
        } else {
            value(fields, kind, 0)?;
        }
    }
    for _ in 0..tensors {
        name(fields)?;
        let dimensions = fields.u32()?;
        if dimensions > 8 {
            return Err(Stop::Malformed("a tensor has more than eight dimensions"));
        }
        let mut elements = 1_u64;
        for _ in 0..dimensions {
            let product = elements.checked_mul(fields.u64()?);
            elements = product.ok_or(Stop::Malformed("the size of a tensor overflows"))?;
        }
        let (_kind, offset) = (fields.u32()?, fields.u64()?);
        if size.is_some_and(|size| offset >= size && elements > 0) {
            return Err(Stop::Malformed("a tensor lies outside the file"));
        }
    }
    Ok(())
}

fn name(fields: &mut Fields<'_>) -> Result<String, Stop> {
    let length = fields.u64()?;
    if length > NAME_BYTES_MAX {
        return Err(Stop::Malformed("a name is longer than the format allows"));
    }
    Ok(fields.text(length, NAME_BYTES_MAX)?)
}

fn value(fields: &mut Fields<'_>, kind: u32, depth: u32) -> Result<(), Stop> {
    match (width(kind), kind) {
        (Some(width), _) => fields.skip(width)?,
        (None, 8) => {
            let length = fields.u64()?;
            fields.skip(length)?;
        }
        (None, 9) if depth < 2 => {
            let (inner, count) = (fields.u32()?, fields.u64()?);
            if let Some(width) = width(inner) {
                let bytes = count.checked_mul(width);
                fields.skip(bytes.ok_or(Stop::Malformed("the size of a list overflows"))?)?;
            } else {
                // Each element takes at least eight bytes, so the end of the file ends this loop.
                for _ in 0..count {
                    value(fields, inner, depth + 1)?;
                }
            }
        }
        _ => return Err(Stop::Malformed("a value is of an unknown type")),
    }
    Ok(())
}

fn width(kind: u32) -> Option<u64> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}

/// A template for chat needs no attribute with two underscores: those are the way out of a Jinja sandbox.
fn judge_template(key: &str, template: &str, length: u64, problems: &mut Problems) {
    let marks = [
        "__", "|attr(", "| attr(", "lipsum", "cycler", "self._", "request.",
    ];
    if length > TEMPLATE_BYTES_MAX {
        let detail = format!("`{key}` is longer than is read");
        problems.push(("gguf-template", Severity::Medium, detail));
    }
    if let Some(mark) = marks.into_iter().find(|mark| template.contains(mark)) {
        let detail = format!("`{key}` uses `{mark}`, as templates that break out do");
        problems.push(("gguf-template", Severity::High, detail));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Vec<u8> {
        [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
    }

    fn file(tensors: u64, keys: u64, rest: &[u8]) -> Vec<u8> {
        [
            b"GGUF\x03\0\0\0",
            &tensors.to_le_bytes()[..],
            &keys.to_le_bytes(),
            rest,
        ]
        .concat()
    }

    fn check_codes(bytes: &[u8], expected: &[&str]) {
        let problems = check(&mut &*bytes, Some(bytes.len() as u64)).unwrap();
        let codes: Vec<_> = problems.iter().map(|(code, ..)| *code).collect();
        assert_eq!(codes, expected, "{problems:?}");
    }

    #[test]
    fn walks_the_header() {
        let template = |body: &str| {
            [
                text("tokenizer.chat_template"),
                vec![8, 0, 0, 0],
                text(body),
            ]
            .concat()
        };
        let list = [
            text("tokens"),
            vec![9, 0, 0, 0, 8, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0],
            text("a"),
            text("b"),
        ]
        .concat();
        let tensor = |offset: u8| {
            [
                text("w"),
                vec![
                    1, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, offset, 0, 0, 0, 0, 0, 0, 0,
                ],
            ]
            .concat()
        };
        check_codes(&file(0, 0, b""), &[]);
        check_codes(&file(0, 1, &template("{{ messages[0].content }}")), &[]);
        check_codes(
            &file(0, 1, &template("{{ ''.__class__.__mro__ }}")),
            &["gguf-template"],
        );
        check_codes(&file(0, 1, &list), &[]);
        check_codes(&file(1, 0, &tensor(0)), &[]);
        check_codes(&file(1, 0, &tensor(255)), &["gguf-malformed"]);
        check_codes(&file(u64::MAX, 0, b""), &["gguf-malformed"]);
        check_codes(&file(0, 1, &u64::MAX.to_le_bytes()), &["gguf-malformed"]);
        check_codes(&file(0, 1, b""), &["gguf-malformed"]);
        check_codes(b"GGUF\x09\0\0\0", &["gguf-malformed"]);
    }
}
