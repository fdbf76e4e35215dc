//! The policy bundles in force, each rule explained in plain language.

use askama::Template;
use axum::response::Response;
use lumos_domain::facts::BundleRef;
use lumos_engine::views::models;
use lumos_policy::{Bundle, explain};

use super::{
    frame::{Frame, Visit},
    oops::{Oops, paint},
};

#[derive(Template)]
#[template(path = "policies.html")]
pub(super) struct PoliciesPage {
    pub(super) frame: Frame,
    pub(super) bundles: Vec<Shown>,
}

/// One bundle.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) digest: String,
    pub(super) description: String,
    pub(super) owner: String,
    pub(super) threshold: String,
    pub(super) rules: Vec<RuleRow>,
    /// Why the text cannot be shown.
    pub(super) problem: String,
}

/// One rule.
#[derive(Debug, Clone)]
pub(super) struct RuleRow {
    pub(super) id: String,
    pub(super) title: String,
    pub(super) severity: String,
    pub(super) enforcement: String,
    pub(super) explained: String,
}

pub(super) async fn show(visit: Visit) -> Result<Response, Oops> {
    visit.must_read(None).await?;
    let ports = visit.app.door.ports();
    let mut bundles = Vec::new();
    for bundle in models::bundles(&*ports.store).await? {
        let text = ports.blobs.get(&bundle.digest).await?;
        bundles.push(shown(&bundle, text.as_deref()));
    }
    let frame = visit.frame("Policies", "/policies").await?;
    Ok(paint(&PoliciesPage { frame, bundles }))
}

fn shown(bundle: &BundleRef, text: Option<&[u8]>) -> Shown {
    let mut shown = Shown {
        name: bundle.name.to_string(),
        version: bundle.version.clone(),
        digest: bundle.digest.to_string(),
        description: String::new(),
        owner: String::new(),
        threshold: String::new(),
        rules: Vec::new(),
        problem: String::new(),
    };
    let parsed = match text.map(Bundle::parse) {
        Some(Ok(parsed)) => parsed,
        Some(Err(error)) => {
            shown.problem = format!("Its text cannot be read ({}): {error}", error.code());
            return shown;
        }
        None => {
            shown.problem = "Its text is missing from the blob store.".to_owned();
            return shown;
        }
    };
    shown.description = parsed.description().unwrap_or_default().to_owned();
    shown.owner = parsed.owner().unwrap_or_default().to_owned();
    shown.threshold = parsed
        .pass_threshold()
        .map(|score| score.to_string())
        .unwrap_or_default();
    shown.rules = parsed.rules().iter().map(rule).collect();
    shown
}

fn rule(rule: &lumos_policy::rule::Rule) -> RuleRow {
    RuleRow {
        id: rule.id.to_string(),
        title: rule.title.clone(),
        severity: rule.severity.to_string(),
        enforcement: rule.enforcement.default.to_string(),
        explained: explain(rule),
    }
}

#[cfg(test)]
impl PoliciesPage {
    pub(super) fn sample() -> Self {
        let hostile = "</pre><script>alert(1)</script>";
        Self {
            frame: Frame::sample(),
            bundles: vec![Shown {
                name: "starter".into(),
                version: hostile.into(),
                digest: lumos_domain::id::Digest::of(b"x").to_string(),
                description: hostile.into(),
                owner: hostile.into(),
                threshold: "80.00 %".into(),
                rules: vec![RuleRow {
                    id: "scan.clean".into(),
                    title: hostile.into(),
                    severity: "high".into(),
                    enforcement: "mandatory".into(),
                    explained: hostile.into(),
                }],
                problem: hostile.into(),
            }],
        }
    }
}
