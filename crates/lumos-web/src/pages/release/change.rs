//! What changed against the release now running: computed from both manifests, part by part.

use lumos_domain::{
    facts::ReviewRecord,
    id::Digest,
    manifest::{Change, How, Manifest},
    release::Release,
    review::Outlook,
};

use crate::{app::App, pages::oops::Oops};

/// Differences shown; the rest is counted.
const SHOWN_MAX: usize = 500;

/// The change of a release in one environment.
#[derive(Debug, Clone)]
pub(in crate::pages) struct ChangeView {
    pub(in crate::pages) tier: String,
    pub(in crate::pages) kind: String,
    pub(in crate::pages) declared: String,
    /// Whether the declaration made the change count for more than was computed.
    pub(in crate::pages) raised: bool,
    pub(in crate::pages) running: Option<String>,
    pub(in crate::pages) same: bool,
    pub(in crate::pages) differences: Vec<Line>,
    pub(in crate::pages) more: usize,
}

/// One part that differs.
#[derive(Debug, Clone)]
pub(in crate::pages) struct Line {
    pub(in crate::pages) path: String,
    pub(in crate::pages) how: &'static str,
    pub(in crate::pages) kind: String,
    pub(in crate::pages) tier: String,
}

/// The change as the review's record states it; before there is one, as it is computed now.
pub(super) async fn view(
    app: &App,
    release: &Release,
    record: Option<&ReviewRecord>,
    outlook: Option<&Outlook>,
) -> Result<Option<ChangeView>, Oops> {
    let (change, running) = match (record, outlook) {
        (Some(record), _) => {
            let mut change = match record.running {
                None => Change::incomparable(),
                Some(running) => between(app, &running, &record.digest).await?,
            };
            change.kind = record.change;
            change.tier = record.change_tier;
            (change, record.running)
        }
        (None, Some(outlook)) => (outlook.change.clone(), outlook.running),
        (None, None) => return Ok(None),
    };
    Ok(Some(shown(&change, running, release)))
}

async fn between(app: &App, running: &Digest, candidate: &Digest) -> Result<Change, Oops> {
    let (running, candidate) = (
        manifest(app, running).await?,
        manifest(app, candidate).await?,
    );
    Ok(match (running, candidate) {
        (Some(running), Some(candidate)) => Change::between(&running, &candidate),
        _ => Change::incomparable(),
    })
}

async fn manifest(app: &App, digest: &Digest) -> Result<Option<Manifest>, Oops> {
    let bytes = app.door.ports().blobs.get(digest).await?;
    Ok(bytes.and_then(|bytes| Manifest::from_canonical(&bytes).ok()))
}

fn shown(change: &Change, running: Option<Digest>, release: &Release) -> ChangeView {
    let word = |word: &str| word.replace('_', " ");
    let mut parts: Vec<_> = change.differences.iter().collect();
    parts.sort_by_key(|part| std::cmp::Reverse(part.kind));
    let gravest = parts.first().map(|part| part.kind.tier());
    let raised = gravest.is_some_and(|computed| change.tier > computed)
        || (running.is_some() && parts.is_empty() && change.kind.is_some());
    ChangeView {
        tier: change.tier.to_string(),
        kind: change
            .kind
            .map(|kind| word(kind.as_str()))
            .unwrap_or_default(),
        declared: release
            .declared
            .map(|kind| word(kind.as_str()))
            .unwrap_or_default(),
        raised,
        same: running.is_some() && parts.is_empty(),
        running: running.map(|digest| digest.to_string()),
        more: parts.len().saturating_sub(SHOWN_MAX),
        differences: parts
            .into_iter()
            .take(SHOWN_MAX)
            .map(|part| Line {
                path: part.path.clone(),
                how: match part.how {
                    How::Added => "added",
                    How::Removed => "removed",
                    How::Changed => "changed",
                },
                kind: word(part.kind.as_str()),
                tier: part.kind.tier().to_string(),
            })
            .collect(),
    }
}

#[cfg(test)]
impl ChangeView {
    pub(in crate::pages) fn sample(hostile: &str) -> Self {
        Self {
            tier: "major".into(),
            kind: "backbone".into(),
            declared: "prompt".into(),
            raised: true,
            running: Some(Digest::of(b"running").to_string()),
            same: false,
            differences: vec![Line {
                path: hostile.into(),
                how: "changed",
                kind: "backbone".into(),
                tier: "major".into(),
            }],
            more: 3,
        }
    }
}
