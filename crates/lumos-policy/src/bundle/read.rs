//! From a tree of values to a typed bundle. Not here: YAML, and what checks mean.

use std::collections::{BTreeMap, BTreeSet};

use lumos_domain::canonical;
use lumos_domain::id::Digest;
use lumos_domain::words::{Depth, Enforcement, Score};
use serde_json::{Map, Value, json};

use super::{Bundle, BundleError, MAX_RULES};
use crate::cel::Cel;
use crate::check;
use crate::check::read::{cel, words};
use crate::decode::{At, Object, ShapeError, nearest};
use crate::path::evidence_kind;
use crate::rule::{Control, Levels, Message, Relation, Remediation, Rule, Status};

type Read<T> = Result<T, BundleError>;

const RULE_KEYS: &[&str] = &[
    "id",
    "title",
    "description",
    "rationale",
    "severity",
    "enforcement",
    "weight",
    "category",
    "status",
    "effective_from",
    "effective_to",
    "when",
    "requires",
    "evidence_max_age",
    "check",
    "message",
    "controls",
    "remediation",
    "references",
    "routes_to",
];

pub(super) fn bundle(value: &Value, digest: Digest) -> Read<Bundle> {
    let root = At::root("bundle", value).object(&["apiVersion", "kind", "metadata", "spec"])?;
    root.need("apiVersion")?.exactly("lumos/v1")?;
    root.need("kind")?.exactly("PolicyBundle")?;
    let metadata = root
        .need("metadata")?
        .object(&["name", "version", "owner", "description"])?;
    let spec = root
        .need("spec")?
        .object(&["applies_to", "score", "params", "rules"])?;

    let params = spec
        .get("params")
        .map(|at| read_params(&at))
        .transpose()?
        .unwrap_or_default();
    let applies_to = spec.get("applies_to").map(|at| only_cel(&at)).transpose()?;
    let mut used: BTreeSet<String> = BTreeSet::new();
    used.extend(applies_to.iter().flat_map(|cel| named(cel, &params)));

    let items = spec.need("rules")?.items()?;
    if items.is_empty() {
        return Err(BundleError::NoRules);
    }
    if items.len() > MAX_RULES {
        let problem = format!("{} rules are more than {MAX_RULES}", items.len());
        return Err(ShapeError::Invalid {
            path: "bundle.spec.rules".to_owned(),
            problem,
        }
        .into());
    }
    let mut rules: Vec<Rule> = Vec::with_capacity(items.len());
    for item in items {
        let rule = read_rule(&item, &params, &mut used)?;
        if rules.iter().any(|earlier| earlier.id == rule.id) {
            return Err(BundleError::DuplicateRule(rule.id));
        }
        rules.push(rule);
    }
    Ok(Bundle {
        name: metadata.need("name")?.parsed()?,
        version: read_version(&metadata)?,
        owner: text(&metadata, "owner", 200)?,
        description: text(&metadata, "description", 4_096)?,
        digest,
        applies_to,
        pass_threshold: spec
            .get("score")
            .map(|at| read_score(&at))
            .transpose()?
            .flatten(),
        params,
        used_params: used.into_iter().collect(),
        rules,
    })
}

/// A version is text; an unquoted `1.0` would be a number and lose its zero.
fn read_version(metadata: &Object<'_>) -> Result<String, ShapeError> {
    let at = metadata.need("version")?;
    if at.value.is_number() {
        return at.invalid("is a number; put it in quotes");
    }
    at.bounded(64).map(str::to_owned)
}

fn text(object: &Object<'_>, key: &str, limit: usize) -> Result<Option<String>, ShapeError> {
    object.maybe(key, |at| at.bounded(limit).map(str::to_owned))
}

fn only_cel(at: &At<'_>) -> Read<Cel> {
    cel(&at.object(&["cel"])?.need("cel")?)
}

/// Text, numbers, true, false, and lists of them.
fn read_params(at: &At<'_>) -> Result<BTreeMap<String, Value>, ShapeError> {
    let plain = |value: &Value| !matches!(value, Value::Array(_) | Value::Object(_) | Value::Null);
    let mut params = BTreeMap::new();
    for (name, at) in at.members()? {
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.bytes().all(word) {
            return at.invalid("is no name of a parameter: a-z, 0-9 and _, starting with a letter");
        }
        let good = match at.value {
            Value::Array(items) => items.iter().all(plain),
            value => plain(value),
        };
        if !good {
            return at.invalid("is not text, a number, true, false or a list of those");
        }
        params.insert(name.to_owned(), at.value.clone());
    }
    Ok(params)
}

fn read_score(at: &At<'_>) -> Result<Option<Score>, ShapeError> {
    at.object(&["pass_threshold"])?
        .maybe("pass_threshold", |at| {
            let points = at.number()? * 10_000.0;
            let whole = points.round();
            if !(0.0..=10_000.0).contains(&whole) || (points - whole).abs() > 1e-6 {
                return at.invalid("is not between 0 and 1 with at most four decimals");
            }
            let points = format!("{whole:.0}")
                .parse()
                .or_else(|_| at.invalid("is out of range"))?;
            Ok(Score::from_basis_points(points))
        })
}

fn read_rule(
    at: &At<'_>,
    params: &BTreeMap<String, Value>,
    used: &mut BTreeSet<String>,
) -> Read<Rule> {
    at.object(RULE_KEYS)?;
    let mut mine = BTreeSet::new();
    let value = substitute(at, params, &mut mine)?;
    let at = At {
        path: at.path.clone(),
        value: &value,
    };
    let rule = at.object(RULE_KEYS)?;
    let mut read = Rule {
        id: rule.need("id")?.parsed()?,
        title: rule.need("title")?.bounded(200)?.to_owned(),
        description: text(&rule, "description", 4_096)?,
        rationale: text(&rule, "rationale", 4_096)?,
        severity: rule.need("severity")?.parsed()?,
        enforcement: read_levels(&rule.need("enforcement")?)?,
        weight: rule.maybe("weight", read_weight)?.unwrap_or(1),
        category: text(&rule, "category", 64)?,
        status: rule.maybe("status", read_status)?.unwrap_or(Status::Active),
        effective_from: rule.maybe("effective_from", At::instant)?,
        effective_to: rule.maybe("effective_to", At::instant)?,
        when: rule.get("when").map(|at| only_cel(&at)).transpose()?,
        requires: rule.maybe("requires", read_requires)?.unwrap_or_default(),
        evidence_max_age: rule.maybe("evidence_max_age", At::parsed)?,
        check: check::read::check(&rule.need("check")?)?,
        message: rule
            .get("message")
            .map(|at| read_message(&at))
            .transpose()?,
        controls: rule.maybe("controls", read_controls)?.unwrap_or_default(),
        remediation: rule.maybe("remediation", read_remediation)?,
        references: rule.maybe("references", words)?.unwrap_or_default(),
        routes_to: rule.maybe("routes_to", At::parsed)?,
        digest: Digest::of(b""),
    };
    if read.evidence_max_age.is_some() && read.requires.is_empty() && read.check.kinds().is_empty()
    {
        let problem = "an age is asked for, but no evidence is: name it under `requires`";
        let path = format!("{}.evidence_max_age", at.path);
        return Err(ShapeError::Invalid {
            path,
            problem: problem.to_owned(),
        }
        .into());
    }
    for (_, cel) in read.expressions() {
        mine.extend(named(cel, params));
    }
    read.digest = rule_digest(&value, params, &mine);
    used.extend(mine);
    Ok(read)
}

/// The parameters an expression reads; all of them when it takes `params` whole.
fn named(cel: &Cel, params: &BTreeMap<String, Value>) -> Vec<String> {
    match cel.params() {
        Some(names) => names.into_iter().collect(),
        None => params.keys().cloned().collect(),
    }
}

/// Replaces `${params.NAME}`: a text that is nothing else becomes the value, with its type; inside a
/// longer text it becomes text. Expressions are left alone: they read `params.NAME` themselves.
fn substitute(
    at: &At<'_>,
    params: &BTreeMap<String, Value>,
    used: &mut BTreeSet<String>,
) -> Read<Value> {
    match at.value {
        Value::String(text) => substitute_text(text, at, params, used),
        Value::Array(_) => {
            let items = at.items()?;
            let items = items.iter().map(|item| substitute(item, params, used));
            items.collect::<Read<Vec<_>>>().map(Value::Array)
        }
        Value::Object(_) => {
            let mut members = Map::new();
            for (name, at) in at.members()? {
                let value = if name == "cel" {
                    at.value.clone()
                } else {
                    substitute(&at, params, used)?
                };
                members.insert(name.to_owned(), value);
            }
            Ok(Value::Object(members))
        }
        other => Ok(other.clone()),
    }
}

fn substitute_text(
    text: &str,
    at: &At<'_>,
    params: &BTreeMap<String, Value>,
    used: &mut BTreeSet<String>,
) -> Read<Value> {
    let mut written = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${params.") {
        let Some((name, after)) = after.split_once('}') else {
            return Ok(at.invalid("`${params.` is not closed by `}`")?);
        };
        let Some(value) = params.get(name) else {
            return Err(BundleError::UnknownParam {
                path: at.path.clone(),
                name: name.chars().take(64).collect(),
                nearest: nearest(name, params.keys().map(String::as_str)).map(str::to_owned),
            });
        };
        used.insert(name.to_owned());
        if written.is_empty() && before.is_empty() && after.is_empty() {
            return Ok(value.clone());
        }
        written.push_str(before);
        match value {
            Value::String(value) => written.push_str(value),
            value => written.push_str(&value.to_string()),
        }
        if written.len() > super::MAX_BYTES {
            return Ok(at.invalid("grows too long")?);
        }
        rest = after;
    }
    written.push_str(rest);
    Ok(Value::String(written))
}

/// SHA-256 of the canonical JSON of the rule as read and of the parameters it uses, so that a change
/// of a threshold is a change of the rule. RFC 8785 here holds no floats: a number with a fraction
/// is written as `{"decimal": "0.8"}`, its shortest text that reads back as the same number.
fn rule_digest(rule: &Value, params: &BTreeMap<String, Value>, used: &BTreeSet<String>) -> Digest {
    let of_params: Map<String, Value> = used
        .iter()
        .filter_map(|name| Some((name.clone(), params.get(name)?.clone())))
        .collect();
    let whole = without_floats(&json!({ "rule": rule, "params": of_params }));
    let bytes = canonical::to_bytes(&whole).expect("because every float became text above");
    Digest::of(&bytes)
}

fn without_floats(value: &Value) -> Value {
    match value {
        Value::Number(number) if !number.is_i64() && !number.is_u64() => {
            json!({ "decimal": number.to_string() })
        }
        Value::Array(items) => items.iter().map(without_floats).collect(),
        Value::Object(members) => {
            let members = members
                .iter()
                .map(|(name, value)| (name.clone(), without_floats(value)));
            Value::Object(members.collect())
        }
        other => other.clone(),
    }
}

fn read_levels(at: &At<'_>) -> Result<Levels, ShapeError> {
    if at.value.is_string() {
        return Ok(Levels {
            default: at.parsed()?,
            by_depth: BTreeMap::new(),
        });
    }
    let levels = at.object(&["auto", "light", "full", "panel", "default"])?;
    let mut by_depth = BTreeMap::new();
    for depth in Depth::ALL {
        if let Some(at) = levels.get(depth.as_str()) {
            by_depth.insert(*depth, at.parsed::<Enforcement>()?);
        }
    }
    Ok(Levels {
        default: levels.need("default")?.parsed()?,
        by_depth,
    })
}

fn read_weight(at: &At<'_>) -> Result<u32, ShapeError> {
    let weight = at.whole(1, 1_000)?;
    u32::try_from(weight).or_else(|_| at.invalid("is too large"))
}

fn read_status(at: &At<'_>) -> Result<Status, ShapeError> {
    let text = at.text()?;
    match Status::ALL.iter().find(|status| status.as_str() == text) {
        Some(status) => Ok(*status),
        None => at.invalid(format!("`{text:.32}` is none of draft, active, deprecated")),
    }
}

fn read_requires(at: &At<'_>) -> Result<Vec<String>, ShapeError> {
    let kind = |item: &At<'_>| evidence_kind(item.text()?).or_else(|problem| item.invalid(problem));
    at.items()?.iter().map(kind).collect()
}

fn read_message(at: &At<'_>) -> Read<Message> {
    let message = at.object(&["cel", "text"])?;
    match (message.get("cel"), message.get("text")) {
        (Some(source), None) => cel(&source).map(Message::Cel),
        (None, Some(text)) => Ok(Message::Text(text.bounded(1_024)?.to_owned())),
        _ => Ok(at.invalid("must hold either `cel` or `text`")?),
    }
}

fn read_controls(at: &At<'_>) -> Result<Vec<Control>, ShapeError> {
    let control = |at: &At<'_>| {
        let control = at.object(&["framework", "edition", "control", "relation"])?;
        let word = |key| control.need(key)?.bounded(128).map(str::to_owned);
        let relation = control.need("relation")?;
        let text = relation.text()?;
        let Some(known) = Relation::ALL.iter().find(|known| known.as_str() == text) else {
            return relation.invalid(format!(
                "`{text:.32}` is none of satisfies, contributes, evidence-for"
            ));
        };
        Ok(Control {
            framework: word("framework")?,
            edition: word("edition")?,
            control: word("control")?,
            relation: *known,
        })
    };
    at.items()?.iter().map(control).collect()
}

fn read_remediation(at: &At<'_>) -> Result<Remediation, ShapeError> {
    let remediation = at.object(&["text", "effort", "owner_role", "docs"])?;
    Ok(Remediation {
        text: remediation.need("text")?.bounded(2_048)?.to_owned(),
        effort: text(&remediation, "effort", 64)?,
        owner_role: remediation.maybe("owner_role", At::parsed)?,
        docs: remediation.maybe("docs", words)?.unwrap_or_default(),
    })
}
