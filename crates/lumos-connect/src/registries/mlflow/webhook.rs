//! Reading a webhook: signature first, over the raw bytes, then age, then content.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use lumos_engine::ports::{Delivery, InboundError};
use lumos_http::Secret;
use serde::Deserialize;
use sha2::Sha256;

/// How far a delivery's time may lie from now.
const MAX_AGE_S: i64 = 300;
/// How long a delivery may be; real ones have a few hundred bytes.
const MAX_BODY_BYTES: usize = 1 << 20;

#[derive(Deserialize)]
struct Body {
    entity: String,
    action: String,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    name: Option<String>,
    version: Option<String>,
}

/// The header `name`, when it is there exactly once.
fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let mut found = headers
        .iter()
        .filter(|(key, _)| key.eq_ignore_ascii_case(name));
    match (found.next(), found.next()) {
        (Some((_, value)), None) => Some(value),
        _ => None,
    }
}

/// HMAC-SHA256 over `id.timestamp.body`, compared in constant time.
fn verifies(secret: &Secret, id: &str, timestamp: &str, body: &[u8], signatures: &str) -> bool {
    signatures.split_whitespace().any(|signature| {
        let Some(claimed) = signature.strip_prefix("v1,") else {
            return false;
        };
        let Ok(claimed) = STANDARD.decode(claimed) else {
            return false;
        };
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()) else {
            return false;
        };
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        mac.verify_slice(&claimed).is_ok()
    })
}

pub(super) fn read(
    secret: &Secret,
    headers: &[(String, String)],
    body: &[u8],
    now: Timestamp,
) -> Result<Delivery, InboundError> {
    let field = |name| header(headers, name).ok_or(InboundError::Signature);
    let id = field("x-mlflow-delivery-id")?;
    let timestamp = field("x-mlflow-timestamp")?;
    let signatures = field("x-mlflow-signature")?;
    // An empty secret signs nothing: anybody knows it.
    if secret.expose().is_empty()
        || body.len() > MAX_BODY_BYTES
        || !verifies(secret, id, timestamp, body, signatures)
    {
        return Err(InboundError::Signature);
    }
    let sent: i64 = timestamp
        .parse()
        .map_err(|_| InboundError::Malformed("its time is no number".to_owned()))?;
    if now.as_second().abs_diff(sent) > MAX_AGE_S.unsigned_abs() {
        return Err(InboundError::Stale);
    }
    let body: Body =
        serde_json::from_slice(body).map_err(|error| InboundError::Malformed(error.to_string()))?;
    Ok(Delivery {
        id: id.to_owned(),
        hints: hints(body),
    })
}

/// Where to look. Events of other kinds (prompts, budgets) are taken and point nowhere.
fn hints(body: Body) -> Vec<(String, Option<String>)> {
    let Some(name) = body.data.name else {
        return Vec::new();
    };
    match (body.entity.as_str(), body.action.as_str()) {
        ("registered_model", "created") => vec![(name, None)],
        ("model_version", "created") | ("model_version_tag" | "model_version_alias", _) => {
            vec![(name, body.data.version)]
        }
        _ => Vec::new(),
    }
}
