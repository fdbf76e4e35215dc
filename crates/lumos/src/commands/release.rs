//! `lumos release`.

use anyhow::{Context as _, Result, bail};
use lumos_domain::id::Digest;
use serde_json::{Value, json};

use super::{Out, Said, text};
use crate::{cli::Release, remote::Remote};

pub(super) async fn run(release: Release, remote: &Remote, out: &Out) -> Result<Said> {
    let at = |release: &str, action: &str| format!("/api/v1/releases/{release}/{action}");
    match release {
        Release::List => list(&remote.get("/api/v1/releases").await?, out),
        Release::Show { release } => {
            show(
                &remote.get(&format!("/api/v1/releases/{release}")).await?,
                out,
            );
            Ok(Said::Yes)
        }
        Release::Claim { release, claim } => out.done(
            &remote
                .post(&at(&release, "claims"), &json!({ "claim": claim }))
                .await?,
        ),
        Release::Withdraw { release, reason } => out.done(
            &remote
                .post(&at(&release, "withdrawal"), &json!({ "reason": reason }))
                .await?,
        ),
        Release::Promote {
            release,
            env,
            agent,
        } => {
            let body = json!({ "environment": env, "agents": agent });
            out.done(&remote.post(&at(&release, "gates"), &body).await?)
        }
        Release::Revoke {
            release,
            env,
            reason,
        } => {
            let review = latest_review(remote, &release, &env).await?;
            let path = format!("/api/v1/reviews/{review}/revocation");
            out.done(&remote.post(&path, &json!({ "reason": reason })).await?)
        }
        Release::Evidence {
            release,
            kind,
            file,
            wait,
        } => {
            let (_, claim) = super::policy::read_evidence(&format!("{kind}={}", file.display()))?;
            let body = json!({ "kind": kind, "claim": claim });
            let done = remote.post(&at(&release, "evidence"), &body).await?;
            if !wait {
                return out.done(&done);
            }
            let digest = Digest::of(&serde_json::to_vec(&claim)?).to_string();
            let checked = tokio::time::timeout(
                super::submit::PATIENCE,
                until_read(remote, &release, &digest),
            );
            let view = checked.await.with_context(|| {
                format!("`{release}` was not checked again in half an hour; `lumos runtime` says who is stuck")
            })??;
            show(&view, out);
            Ok(if super::submit::blocked(&view) {
                Said::No
            } else {
                Said::Yes
            })
        }
    }
}

/// The release once its newest report has read a piece of evidence, and an open review stands on that report.
async fn until_read(remote: &Remote, release: &str, evidence: &str) -> Result<Value> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    loop {
        let view = remote.get(&format!("/api/v1/releases/{release}")).await?;
        let mut reports = list(&view["reports"]);
        reports.retain(|report| {
            list(&report["evidence"])
                .iter()
                .any(|read| read == evidence)
        });
        let covered = |review: &Value| {
            text(review, "state") != "open"
                || reports
                    .iter()
                    .any(|report| report["report"] == review["record"]["report"])
        };
        if !reports.is_empty() && list(&view["reviews"]).iter().all(covered) {
            return Ok(view);
        }
        tokio::time::sleep(super::submit::PACE).await;
    }
}

/// The latest review of `model/version` for an environment.
///
/// # Errors
/// When there is none.
pub(super) async fn latest_review(remote: &Remote, release: &str, env: &str) -> Result<String> {
    let view = remote.get(&format!("/api/v1/releases/{release}")).await?;
    let wanted = format!("{release}/{env}/");
    let reviews = view["reviews"].as_array().cloned().unwrap_or_default();
    let latest = reviews
        .iter()
        .map(|review| text(review, "review"))
        .find(|id| id.starts_with(&wanted));
    latest
        .map(str::to_owned)
        .with_context(|| format!("`{release}` was never reviewed for `{env}`"))
}

/// `model/version/environment` or with a round: the review's full name.
///
/// # Errors
/// When the text has another number of parts, or there is no such review.
pub(super) async fn review_name(remote: &Remote, given: &str) -> Result<String> {
    match given.split('/').collect::<Vec<_>>()[..] {
        [model, version, env] => latest_review(remote, &format!("{model}/{version}"), env).await,
        [_, _, _, _] => Ok(given.to_owned()),
        _ => bail!("`{given}` is not model/version/environment or model/version/environment/round"),
    }
}

fn list(releases: &Value, out: &Out) -> Result<Said> {
    if out.json {
        outln!("{releases:#}");
        return Ok(Said::Yes);
    }
    for release in releases.as_array().into_iter().flatten() {
        let name = format!("{}/{}", text(release, "model"), text(release, "version"));
        let test = if release["test"] == true {
            "  TEST"
        } else {
            ""
        };
        outln!(
            "{name:40} {:24} {}{test}",
            text(release, "state"),
            text(release, "detected")
        );
    }
    Ok(Said::Yes)
}

/// Prints a release: what blocks first, then who is awaited, then what happened.
pub(super) fn show(release: &Value, out: &Out) {
    if out.json {
        outln!("{release:#}");
        return;
    }
    outln!(
        "{}/{}  {}",
        text(release, "model"),
        text(release, "version"),
        text(release, "state")
    );
    if let Some(digest) = release["digest"].as_str() {
        outln!("digest {digest}");
    }
    let claims = release["open_claims"].as_array().map_or(0, Vec::len);
    if claims > 0 {
        outln!("{claims} author claim(s) open: whoever it is says `lumos release claim`");
    }
    for review in release["reviews"].as_array().into_iter().flatten() {
        print_review(review);
    }
    outln!("history:");
    for entry in release["history"].as_array().into_iter().flatten() {
        outln!(
            "  {:>6}  {}  {:30} {}",
            super::scalar(&entry["index"]),
            text(entry, "time"),
            text(entry, "actor"),
            text(entry, "type")
        );
    }
}

/// Prints a review.
pub(super) fn print_review(review: &Value) {
    let record = &review["record"];
    outln!(
        "review {}: {}, depth {}",
        text(review, "review"),
        text(review, "state"),
        text(record, "depth")
    );
    let list = |value: &Value| -> Vec<String> {
        value
            .as_array()
            .into_iter()
            .flatten()
            .map(super::scalar)
            .collect()
    };
    for rule in list(&record["blocking"]) {
        outln!("  blocks: {rule}");
    }
    let (kind, tier) = (text(record, "change"), text(record, "change_tier"));
    outln!(
        "  change: {} ({tier})",
        if kind.is_empty() {
            "nothing that runs"
        } else {
            kind
        }
    );
    for why in list(&record["raised_by"]) {
        outln!("  heavier because: {why}");
    }
    for slot in review["free_seats"].as_array().into_iter().flatten() {
        outln!(
            "  waits for: {} x {} ({})",
            slot["count"],
            text(slot, "role"),
            text(slot, "grade")
        );
    }
    for signature in review["signatures"].as_array().into_iter().flatten() {
        let stale = if signature["current"] == true {
            ""
        } else {
            " (on an earlier record)"
        };
        outln!(
            "  signed: {} {}{stale}",
            text(signature, "name"),
            text(signature, "verdict")
        );
    }
    if let Some(hash) = review["record_hash"].as_str() {
        outln!("  record {hash}");
    }
}
