//! One entry: its bytes, its sealed fields opened, and the proof that it stands in the ledger, which the
//! reader's own browser checks.

use askama::Template;
use axum::response::Response;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use lumos_domain::seal::Sealed;
use lumos_ledger::tree::leaf_hash;
use serde_json::Value;

use super::{Row, rows};
use crate::{
    pages::{
        frame::{Frame, Path, Visit},
        oops::{Oops, paint},
        show::{cut, texts},
    },
    problem::Problem,
};

/// Fields whose sealed text is a secret's hash: nobody is shown it.
const SECRET_FIELDS: [&str; 1] = ["hash"];
/// Sealed fields opened on one page.
const OPENED_MAX: usize = 100;

#[derive(Template)]
#[template(path = "entry.html")]
pub(in crate::pages) struct EntryPage {
    pub(in crate::pages) frame: Frame,
    pub(in crate::pages) row: Row,
    pub(in crate::pages) json: String,
    pub(in crate::pages) base64: String,
    pub(in crate::pages) leaf: String,
    pub(in crate::pages) opened: Vec<Opened>,
    pub(in crate::pages) proof: Option<Proof>,
    pub(in crate::pages) verifier_key: String,
    pub(in crate::pages) newer: Option<u64>,
}

/// A sealed field, opened.
#[derive(Debug, Clone)]
pub(in crate::pages) struct Opened {
    pub(in crate::pages) field: String,
    pub(in crate::pages) commitment: String,
    pub(in crate::pages) text: String,
}

/// The proof against the published checkpoint.
#[derive(Debug, Clone)]
pub(in crate::pages) struct Proof {
    pub(in crate::pages) size: u64,
    pub(in crate::pages) hashes: Vec<String>,
    pub(in crate::pages) note: String,
}

pub(in crate::pages) async fn show(visit: Visit, Path(index): Path<u64>) -> Result<Response, Oops> {
    visit.must_read(None).await?;
    let store = &*visit.app.door.ports().store;
    let stored = store.entries(index, 1).await?;
    let Some(entry) = stored.first() else {
        return Err(Oops::from(Problem::not_found("ledger entry with this index")).back("/ledger"));
    };
    let row = rows(&visit, &stored).await?.into_iter().next();
    let row = row.ok_or_else(|| Problem::not_found("ledger entry with this index"))?;
    let value: Value = serde_json::from_slice(&entry.bytes).unwrap_or(Value::Null);
    let proof = match visit.app.checkpoint_over(index) {
        Some(published) => Some(Proof {
            size: published.size,
            hashes: visit
                .app
                .proofs
                .inclusion(store, index, published.size)
                .await?
                .iter()
                .map(lumos_ledger::Hash::to_base64)
                .collect(),
            note: String::from_utf8_lossy(&published.note).into_owned(),
        }),
        None => None,
    };
    let size = store.frontier().await?.size();
    Ok(paint(&EntryPage {
        frame: visit.frame(&format!("Entry {index}"), "/ledger").await?,
        row,
        json: serde_json::to_string_pretty(&value).unwrap_or_default(),
        base64: STANDARD.encode(&entry.bytes),
        leaf: leaf_hash(&entry.bytes).to_base64(),
        opened: opened(&visit, &value).await?,
        proof,
        verifier_key: visit.app.verifier_key(),
        newer: Some(index + 1).filter(|next| *next < size),
    }))
}

async fn opened(visit: &Visit, entry: &Value) -> Result<Vec<Opened>, Oops> {
    let mut found = Vec::new();
    sealed("", &entry["data"], &mut found);
    found.truncate(OPENED_MAX);
    let seals: Vec<Sealed> = found.iter().map(|(_, sealed)| *sealed).collect();
    let texts = texts(&visit.app, &seals).await?;
    let each = found.into_iter().zip(texts);
    Ok(each
        .map(|((field, sealed), text)| {
            let secret = field
                .rsplit('.')
                .next()
                .is_some_and(|f| SECRET_FIELDS.contains(&f));
            Opened {
                commitment: format!("hmac-sha256:{}", sealed.hex()),
                text: if secret {
                    "(kept secret: the hash of a password or token)".to_owned()
                } else {
                    cut(&text, 4_000)
                },
                field,
            }
        })
        .collect())
}

/// The sealed fields in `value`, each with its path.
fn sealed(path: &str, value: &Value, found: &mut Vec<(String, Sealed)>) {
    let below = |key: &str| {
        if path.is_empty() {
            key.to_owned()
        } else {
            format!("{path}.{key}")
        }
    };
    match value {
        Value::Object(fields) if fields.len() == 1 && fields.contains_key("sealed") => {
            let sealed = serde_json::from_value(value.clone());
            found.extend(sealed.ok().map(|sealed| (path.to_owned(), sealed)));
        }
        Value::Object(fields) => {
            for (key, inner) in fields {
                sealed(&below(key), inner, found);
            }
        }
        Value::Array(items) => {
            for (at, inner) in items.iter().enumerate() {
                sealed(&below(&at.to_string()), inner, found);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
impl EntryPage {
    pub(in crate::pages) fn sample() -> Self {
        Self {
            frame: Frame::sample(),
            row: Row::sample(),
            json: "{\"x\": \"</pre><script>alert(1)</script>\"}".into(),
            base64: STANDARD.encode(b"{}"),
            leaf: leaf_hash(b"{}").to_base64(),
            opened: vec![Opened {
                field: "reason".into(),
                commitment: "hmac-sha256:00".into(),
                text: "<script>alert(2)</script>".into(),
            }],
            proof: Some(Proof {
                size: 2,
                hashes: vec![leaf_hash(b"other").to_base64()],
                note: "ledger.acme.example\n2\nroot\n\n— ledger.acme.example AAAA\n".into(),
            }),
            verifier_key: "ledger.acme.example+00000000+AAAA".into(),
            newer: Some(5),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_fields_are_found_wherever_they_stand() {
        let seal = |n: u8| {
            let digits = format!("{n:02x}").repeat(32);
            serde_json::json!({"sealed": format!("hmac-sha256:{digits}")})
        };
        let data = serde_json::json!({
            "name": seal(1), "claims": [{"number": 1, "identity": seal(2)}], "other": {"sealed": "nonsense"},
        });
        let mut found = Vec::new();
        sealed("", &data, &mut found);
        let mut paths: Vec<_> = found.iter().map(|(path, _)| path.as_str()).collect();
        paths.sort_unstable();
        assert_eq!(paths, ["claims.0.identity", "name"]);
    }
}
