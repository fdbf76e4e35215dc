//! Arguments of opcodes: numbers and the lengths of payloads.
//!
//! Not here: text, which the machine remembers.

use super::{Halt, Input, Value};

pub(super) fn number(op: u8, input: &mut Input<'_>) -> Result<Value, Halt> {
    let small = |n: u32| Value::Int(n);
    Ok(match op {
        b'K' => small(u32::from(input.byte()?)),
        b'M' => small(u32::from(u16::from_le_bytes(input.array()?))),
        b'J' => u32::try_from(i32::from_le_bytes(input.array()?)).map_or(Value::Other, Value::Int),
        b'G' => {
            input.skip(8)?;
            Value::Other
        }
        0x8a | 0x8b => {
            let length = length_of(op, input)?;
            input.skip(length)?;
            Value::Other
        }
        _ => {
            let line = input.line()?;
            let plain = |b: &u8| b.is_ascii_alphanumeric() || b"+-._ \r".contains(b);
            if !line.is_some_and(|line| {
                !line.is_empty() && line.iter().all(plain) && is_number(op, line)
            }) {
                return Err(Halt::Malformed("a number is not written as one"));
            }
            Value::Other
        }
    })
}

/// Whether Python's `int` or `float` could read this line. Laxer than Python on underscores and signs.
fn is_number(op: u8, line: &[u8]) -> bool {
    if op != b'F' {
        return line.iter().any(u8::is_ascii_digit)
            && line
                .iter()
                .all(|b| b.is_ascii_digit() || b"+-_ \rLl".contains(b));
    }
    let text = std::str::from_utf8(line)
        .unwrap_or_default()
        .trim()
        .replace('_', "");
    text.parse::<f64>().is_ok()
}

/// The length of the payload that follows, by the width of its field.
pub(super) fn length_of(op: u8, input: &mut Input<'_>) -> Result<u64, Halt> {
    match op {
        0x8c | b'U' | b'C' | 0x8a => Ok(u64::from(input.byte()?)),
        b'X' | b'B' => Ok(u64::from(u32::from_le_bytes(input.array()?))),
        b'T' | 0x8b => u64::try_from(i32::from_le_bytes(input.array()?))
            .map_err(|_| Halt::Malformed("a length is negative")),
        _ => {
            let length = u64::from_le_bytes(input.array()?);
            i64::try_from(length).map_err(|_| Halt::Malformed("a length is above 2^63"))?;
            Ok(length)
        }
    }
}
