//! The release page, in the order a reviewer reads: what blocks, what changed, the evidence, what to sign,
//! who signed, what was said, what follows, what happened.

use askama::Template;
use axum::response::Response;
use lumos_domain::id::{Environment, ModelName, ReleaseId, Version};
use serde::Deserialize;

use super::{
    filters,
    frame::{Frame, Path, Query, Visit, query},
    oops::{Oops, paint},
    show::{State, When},
};

pub(super) mod actions;
mod change;
mod evidence;
mod follow;
mod judged;
mod load;
pub(super) mod pack;
mod people;
mod proofs;
mod turn;

#[derive(Template)]
#[template(path = "release.html")]
pub(super) struct ReleasePage {
    pub(super) frame: Frame,
    pub(super) head: Head,
    pub(super) turn: turn::Turn,
    pub(super) judged: Option<judged::Judgement>,
    pub(super) change: Option<change::ChangeView>,
    pub(super) evidence: Vec<evidence::Evidence>,
    pub(super) sign: Option<people::SignForm>,
    pub(super) no_sign: String,
    pub(super) signatures: Vec<people::Signature>,
    pub(super) seats: Vec<people::Seat>,
    pub(super) remarks: Vec<people::Remark>,
    pub(super) claims: Vec<people::ClaimRow>,
    pub(super) approval: Option<follow::Approval>,
    pub(super) assigned: Vec<follow::AssignedRow>,
    pub(super) promotions: Vec<follow::PromotionRow>,
    pub(super) proofs: Vec<proofs::Proof>,
    pub(super) verifier_key: String,
    pub(super) may_withdraw: bool,
    pub(super) next_gate: Option<follow::NextGate>,
    pub(super) history: Vec<super::ledger::Row>,
}

/// What stands above everything else.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) model: String,
    pub(super) version: String,
    pub(super) digest: Option<String>,
    pub(super) source: String,
    pub(super) detected: Option<When>,
    pub(super) submitter: Option<String>,
    pub(super) test: bool,
    pub(super) environments: Vec<Tab>,
    pub(super) environment: String,
    /// The review shown, empty before there is one.
    pub(super) review: String,
}

/// One environment that the release asks to enter.
#[derive(Debug, Clone)]
pub(super) struct Tab {
    pub(super) environment: String,
    pub(super) href: String,
    pub(super) state: State,
    pub(super) chosen: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    env: Option<Environment>,
}

/// The release that a path names.
pub(super) type Named = (ModelName, Version);

pub(super) async fn show(
    visit: Visit,
    Path((model, version)): Path<Named>,
    Query(asked): Query<Asked>,
) -> Result<Response, Oops> {
    visit.must_read(Some(&model)).await?;
    let id = ReleaseId { model, version };
    let page = load::page(&visit, &id, asked.env).await;
    Ok(paint(&page.map_err(|e| e.back("/releases"))?))
}

/// The address of a release, with an environment to show.
fn address(id: &ReleaseId, environment: Option<&Environment>) -> String {
    let page = format!("/releases/{}/{}", id.model, id.version);
    match environment {
        None => page,
        Some(environment) => format!("{page}?env={}", query(environment.as_str())),
    }
}

#[cfg(test)]
impl ReleasePage {
    pub(super) fn sample() -> Self {
        let hostile = "</td><script>alert(1)</script>";
        Self {
            frame: Frame::sample(),
            head: Head {
                model: "triage".into(),
                version: "1.2".into(),
                digest: Some(lumos_domain::id::Digest::of(b"release").to_string()),
                source: format!("registry `hub`, {hostile}"),
                detected: Some(When::sample()),
                submitter: Some("Grace".into()),
                test: false,
                environments: vec![Tab {
                    environment: "production".into(),
                    href: "/releases/triage/1.2?env=production".into(),
                    state: State::of("in review"),
                    chosen: true,
                }],
                environment: "production".into(),
                review: "triage/1.2/production/1".into(),
            },
            turn: turn::Turn::sample(),
            judged: Some(judged::Judgement::sample(hostile)),
            change: Some(change::ChangeView::sample(hostile)),
            evidence: evidence::Evidence::samples(hostile),
            sign: Some(people::SignForm::sample()),
            no_sign: String::new(),
            signatures: vec![people::Signature::sample(hostile)],
            seats: vec![people::Seat {
                role: "clinical-safety".into(),
                missing: 2,
                grade: "part11".into(),
                mine: true,
            }],
            remarks: vec![people::Remark {
                author: "Ada".into(),
                when: When::sample(),
                text: hostile.into(),
                entry: 9,
            }],
            claims: vec![people::ClaimRow {
                number: 1,
                identity: hostile.into(),
                taken_by: None,
            }],
            approval: Some(follow::Approval::sample()),
            assigned: vec![follow::AssignedRow {
                agent: "ward/intake".into(),
                share: 100,
                until: Some(When::sample()),
            }],
            promotions: vec![follow::PromotionRow {
                what: format!("alias `champion` of {hostile}"),
                state: State::of("failed"),
                detail: hostile.into(),
            }],
            proofs: vec![proofs::Proof {
                index: 9,
                kind: "lumos.release.approved.v1".into(),
                stream: "review/triage/1.2/production/1".into(),
                what: "approval",
                names: hostile.into(),
            }],
            verifier_key: "ledger.acme.example+00000000+AAAA".into(),
            may_withdraw: true,
            next_gate: Some(follow::NextGate {
                environments: vec!["staging".into()],
                agents: "ward/intake".into(),
            }),
            history: vec![super::ledger::Row::sample()],
        }
    }

    /// A release that was only just detected.
    pub(super) fn bare() -> Self {
        let sample = Self::sample();
        Self {
            judged: None,
            change: None,
            evidence: Vec::new(),
            sign: None,
            no_sign: "There is nothing to sign before a review is open.".into(),
            signatures: Vec::new(),
            seats: Vec::new(),
            remarks: Vec::new(),
            claims: Vec::new(),
            approval: None,
            assigned: Vec::new(),
            promotions: Vec::new(),
            proofs: Vec::new(),
            may_withdraw: false,
            next_gate: None,
            head: Head {
                digest: None,
                review: String::new(),
                ..sample.head.clone()
            },
            ..sample
        }
    }
}
