//! Canonical JSON (RFC 8785) without floating-point numbers: the one byte form that is hashed.
//!
//! Ledger entries are not made canonical: their stored bytes are what was hashed. This is for
//! manifests and review records, whose digest must come out equal wherever they are built.

use serde::Serialize;
use serde_json::Value;

/// Why a value has no canonical form here.
#[derive(Debug, thiserror::Error)]
pub enum CanonicalError {
    /// A number with a fraction or exponent was found.
    #[error("writing canonical JSON: `{0}` is not an integer")]
    Float(String),
    /// The value could not be turned into JSON.
    #[error("writing canonical JSON")]
    Json(#[from] serde_json::Error),
}

/// The RFC 8785 bytes of `value`: members sorted by UTF-16 code units, no white space, shortest escapes.
///
/// # Errors
/// When the value holds a float or cannot be serialised.
pub fn to_bytes<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CanonicalError> {
    let mut out = Vec::new();
    write(&serde_json::to_value(value)?, &mut out)?;
    Ok(out)
}

fn write(value: &Value, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
    match value {
        Value::Number(number) if !(number.is_i64() || number.is_u64()) => {
            return Err(CanonicalError::Float(number.to_string()));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            serde_json::to_writer(&mut *out, value)?;
        }
        Value::Array(items) => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write(item, out)?;
            }
            out.push(b']');
        }
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            out.push(b'{');
            for (i, (name, member)) in sorted.into_iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                serde_json::to_writer(&mut *out, name)?;
                out.push(b':');
                write(member, out)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, expected: &str) {
        let value: Value = serde_json::from_str(json).unwrap();
        let got = to_bytes(&value).map_err(|e| e.to_string());
        let got = got.map(|bytes| String::from_utf8(bytes).unwrap());
        assert_eq!(got.unwrap_or_else(|e| e), expected);
    }

    #[test]
    fn follows_rfc_8785() {
        check(
            r#"{"b": 1, "a": [true, null, "x"]}"#,
            r#"{"a":[true,null,"x"],"b":1}"#,
        );
        // RFC 8785 section 3.2.3: the order is of UTF-16 code units, not of code points.
        check(
            r#"{"\u20ac":1,"\r":2,"\ufb33":3,"1":4,"\ud83d\ude00":5,"\u0080":6,"\u00f6":7}"#,
            "{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"ö\":7,\"€\":1,\"😀\":5,\"\u{fb33}\":3}",
        );
        check(r#""\u000f\n\u001f\"\\\/""#, r#""\u000f\n\u001f\"\\/""#);
        check(
            "[18446744073709551615, -9223372036854775808]",
            "[18446744073709551615,-9223372036854775808]",
        );
        check("1.5", "writing canonical JSON: `1.5` is not an integer");
        check("1e3", "writing canonical JSON: `1000.0` is not an integer");
    }
}
