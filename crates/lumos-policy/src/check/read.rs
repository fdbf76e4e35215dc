//! Reading what stands under `check` into a typed check. Not here: judging.

use serde_json::Value;

use super::Check;
use super::metric::{Metric, Op, Quantifier};
use crate::bundle::BundleError;
use crate::candidate::is_kind;
use crate::cel::{Cel, compile_pattern};
use crate::decode::{At, Object, ShapeError};
use crate::path::Path;

/// The keys a check may have: one operator, or `cel`. `python` is known, to say that it is not run.
const KEYS: &[&str] = &[
    "present",
    "min_length",
    "one_of",
    "matches",
    "metric",
    "scan_max_severity",
    "no_finding",
    "evidence_fresh",
    "digest_matches",
    "license_allowed",
    "section_present",
    "licence_consistent",
    "fully_scanned",
    "cel",
    "python",
];

type Read<T> = Result<T, BundleError>;

pub(crate) fn check(at: &At<'_>) -> Read<Check> {
    at.object(KEYS)?;
    let members = at.members()?;
    let [(name, args)] = members.as_slice() else {
        let found: Vec<&str> = members.iter().map(|(name, _)| *name).collect();
        return Err(BundleError::NotOneCheck {
            path: at.path.clone(),
            found: found.join(", "),
        });
    };
    match *name {
        "cel" => cel(args).map(Check::Cel),
        "python" => Err(BundleError::Python {
            path: args.path.clone(),
        }),
        "matches" => matches(args),
        "metric" => Ok(Check::Metric(metric(args)?)),
        name => operator(name, args).map_err(BundleError::from),
    }
}

pub(crate) fn cel(at: &At<'_>) -> Read<Cel> {
    let source = at.text()?;
    Cel::parse(source).map_err(|problem| BundleError::Cel {
        path: at.path.clone(),
        problem,
    })
}

fn operator(name: &str, at: &At<'_>) -> Result<Check, ShapeError> {
    match name {
        "present" => Ok(Check::Present(
            at.object(&["path"])?.need("path")?.parsed()?,
        )),
        "min_length" => {
            let args = at.object(&["path", "min"])?;
            let min = args.need("min")?.whole(1, 1 << 32)?;
            Ok(Check::MinLength {
                path: path(&args)?,
                min,
            })
        }
        "one_of" => one_of(at),
        "scan_max_severity" => Ok(Check::ScanMaxSeverity(
            at.object(&["max"])?.need("max")?.parsed()?,
        )),
        "no_finding" => Ok(Check::NoFinding(words(
            &at.object(&["codes"])?.need("codes")?,
        )?)),
        "evidence_fresh" => {
            let args = at.object(&["evidence", "max_age"])?;
            Ok(Check::EvidenceFresh {
                kind: kind(&args)?,
                max_age: args.need("max_age")?.parsed()?,
            })
        }
        "digest_matches" => {
            let args = at.object(&["evidence", "field"])?;
            let field = args.maybe("field", |at| at.bounded(64).map(str::to_owned))?;
            let field = field.unwrap_or_else(|| "subject_digest".to_owned());
            Ok(Check::DigestMatches {
                kind: kind(&args)?,
                field,
            })
        }
        "license_allowed" => Ok(Check::LicenseAllowed(words(
            &at.object(&["allow"])?.need("allow")?,
        )?)),
        "section_present" => {
            let args = at.object(&["title", "min_words"])?;
            let title = args.need("title")?;
            let titles = match title.value {
                Value::Array(_) => words(&title)?,
                _ => vec![title.bounded(200)?.to_owned()],
            };
            let min_words = args
                .maybe("min_words", |at| at.whole(0, 1 << 20))?
                .unwrap_or(1);
            Ok(Check::SectionPresent { titles, min_words })
        }
        "licence_consistent" => at.object(&[]).map(|_| Check::LicenceConsistent),
        "fully_scanned" => at.object(&[]).map(|_| Check::FullyScanned),
        other => at.invalid(format!("`{other}` is no operator")),
    }
}

fn path(args: &Object<'_>) -> Result<Path, ShapeError> {
    args.need("path")?.parsed()
}

fn kind(args: &Object<'_>) -> Result<String, ShapeError> {
    let at = args.need("evidence")?;
    let kind = at.text()?;
    if is_kind(kind) {
        return Ok(kind.to_owned());
    }
    at.invalid("is not a kind of evidence, such as `evaluation`")
}

/// A list of one or more texts.
pub(crate) fn words(at: &At<'_>) -> Result<Vec<String>, ShapeError> {
    let items = at.items()?;
    if items.is_empty() {
        return at.invalid("is empty");
    }
    items
        .iter()
        .map(|item| item.bounded(200).map(str::to_owned))
        .collect()
}

fn one_of(at: &At<'_>) -> Result<Check, ShapeError> {
    let args = at.object(&["path", "values"])?;
    let values = args.need("values")?;
    let items = values.items()?;
    if items.is_empty() {
        return values.invalid("is empty");
    }
    for item in &items {
        if matches!(item.value, Value::Array(_) | Value::Object(_) | Value::Null) {
            return item.invalid("is not a text, a number, true or false");
        }
    }
    let values = items.iter().map(|item| item.value.clone()).collect();
    Ok(Check::OneOf {
        path: path(&args)?,
        values,
    })
}

fn matches(at: &At<'_>) -> Read<Check> {
    let args = at.object(&["path", "pattern"])?;
    let pattern = args.need("pattern")?;
    let compiled = compile_pattern(pattern.text()?).map_err(|problem| BundleError::Pattern {
        path: pattern.path.clone(),
        problem,
    })?;
    Ok(Check::Matches {
        path: path(&args)?,
        pattern: compiled,
    })
}

fn metric(at: &At<'_>) -> Result<Metric, ShapeError> {
    let known = &[
        "evidence",
        "suite",
        "name",
        "slice",
        "op",
        "value",
        "quantifier",
    ];
    let args = at.object(known)?;
    let word = |key| args.maybe(key, |at| at.bounded(200).map(str::to_owned));
    let op = args.need("op")?;
    let text = op.text()?;
    let Some(op) = Op::ALL.iter().copied().find(|op| op.as_str() == text) else {
        return op.invalid(format!("`{text:.16}` is none of >= > <= < == !="));
    };
    let quantifier = args.maybe("quantifier", |at| match at.text()? {
        "all" => Ok(Quantifier::All),
        "any" => Ok(Quantifier::Any),
        other => at.invalid(format!("`{other:.16}` is neither `all` nor `any`")),
    })?;
    Ok(Metric {
        evidence: args.get("evidence").map(|_| kind(&args)).transpose()?,
        suite: word("suite")?,
        name: args.need("name")?.bounded(200)?.to_owned(),
        slice: word("slice")?.unwrap_or_else(|| "all".to_owned()),
        op,
        value: args.need("value")?.number()?,
        quantifier: quantifier.unwrap_or(Quantifier::All),
    })
}
