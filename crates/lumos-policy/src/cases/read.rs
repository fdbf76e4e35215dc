//! From a tree of values to typed tests. Not here: YAML, and what tests do.

use jiff::Timestamp;
use json_patch::{Patch, PatchOperation};
use serde_json::Value;

use super::{Case, Cases, Expect, Granted, MAX_CASES};
use crate::decode::{At, ShapeError};

/// Most steps of a pointer into a candidate document.
const DEEPEST: usize = 64;

type Read<T> = Result<T, ShapeError>;

pub(super) fn cases(value: &Value) -> Read<Cases> {
    let keys = &[
        "apiVersion",
        "kind",
        "bundle",
        "base",
        "as_of",
        "depth",
        "cases",
    ];
    let root = At::root("tests", value).object(keys)?;
    root.need("apiVersion")?.exactly("lumos/v1")?;
    root.need("kind")?.exactly("PolicyTests")?;
    let all = root.need("cases")?;
    let items = all.items()?;
    if items.len() > MAX_CASES {
        return all.invalid(format!("{} cases are more than {MAX_CASES}", items.len()));
    }
    Ok(Cases {
        bundle: root.need("bundle")?.parsed()?,
        base: root.need("base")?.bounded(1_024)?.to_owned(),
        as_of: root.need("as_of")?.instant()?,
        depth: root.need("depth")?.parsed()?,
        cases: items.iter().map(case).collect::<Read<_>>()?,
    })
}

fn case(at: &At<'_>) -> Read<Case> {
    let keys = &[
        "rule", "name", "as_of", "depth", "patch", "waivers", "expect",
    ];
    let case = at.object(keys)?;
    let waivers = case.maybe("waivers", |at| at.items()?.iter().map(granted).collect())?;
    Ok(Case {
        rule: case.need("rule")?.parsed()?,
        name: case.need("name")?.bounded(200)?.to_owned(),
        as_of: case.maybe("as_of", At::instant)?,
        depth: case.maybe("depth", At::parsed)?,
        patch: case.maybe("patch", patch)?.unwrap_or_default(),
        waivers: waivers.unwrap_or_default(),
        expect: expect(&case.need("expect")?)?,
    })
}

/// A JSON Patch (RFC 6902), without `copy` and `move`, and no deeper than documents are: a few dozen of those, each of the
/// whole document, make one of any size or depth.
fn patch(at: &At<'_>) -> Read<Patch> {
    at.items()?;
    let patch: Patch = serde_json::from_value(at.value.clone())
        .or_else(|error| at.invalid(format!("is no JSON Patch: {error}")))?;
    for operation in patch.iter() {
        if matches!(operation, PatchOperation::Copy(_) | PatchOperation::Move(_)) {
            return at.invalid("holds a `copy` or `move`, which are not read; `add` the value");
        }
        if operation.path().count() > DEEPEST {
            return at.invalid(format!("goes deeper than {DEEPEST}"));
        }
    }
    Ok(patch)
}

fn granted(at: &At<'_>) -> Read<Granted> {
    let granted = at.object(&["not_before", "expires_at", "rule_digest"])?;
    let not_before = granted.maybe("not_before", At::instant)?;
    Ok(Granted {
        not_before: not_before.unwrap_or(Timestamp::MIN),
        expires_at: granted.need("expires_at")?.instant()?,
        rule_digest: granted.maybe("rule_digest", At::parsed)?,
    })
}

/// A result by its word, or with a part of the message beside it.
fn expect(at: &At<'_>) -> Read<Expect> {
    if at.value.is_string() {
        let message = None;
        return Ok(Expect {
            result: at.parsed()?,
            message,
        });
    }
    let expect = at.object(&["result", "message_contains"])?;
    let part = |at: &At<'_>| at.bounded(1_024).map(str::to_owned);
    Ok(Expect {
        result: expect.need("result")?.parsed()?,
        message: expect.maybe("message_contains", part)?,
    })
}
