//! `lumos review`.

use std::io::BufRead as _;

use anyhow::{Context as _, Result};
use serde_json::json;

use super::{
    Out, Said,
    release::{print_review, review_name},
    text,
};
use crate::{
    cli::{Review, Vote},
    remote::Remote,
};

pub(super) async fn run(review: Review, remote: &Remote, out: &Out) -> Result<Said> {
    match review {
        Review::List => {
            out.say(&remote.get("/api/v1/reviews").await?);
            Ok(Said::Yes)
        }
        Review::Show { review } => {
            let name = review_name(remote, &review).await?;
            let view = remote.get(&format!("/api/v1/reviews/{name}")).await?;
            if out.json {
                outln!("{view:#}");
            } else {
                print_review(&view);
            }
            Ok(Said::Yes)
        }
        Review::Approve(vote) => sign("approve", &vote, remote, out).await,
        Review::Reject(vote) => sign("reject", &vote, remote, out).await,
        Review::RequestChanges(vote) => sign("request_changes", &vote, remote, out).await,
    }
}

async fn sign(verdict: &str, vote: &Vote, remote: &Remote, out: &Out) -> Result<Said> {
    let name = review_name(remote, &vote.review).await?;
    let record = match &vote.record {
        Some(record) => record.clone(),
        None => {
            let view = remote.get(&format!("/api/v1/reviews/{name}")).await?;
            if !out.json {
                print_review(&view);
            }
            text(&view, "record_hash").to_owned()
        }
    };
    let password = if vote.password_stdin {
        Some(line_of_input("the password")?)
    } else {
        None
    };
    let body = json!({
        "verdict": verdict, "reason": vote.reason, "record": record, "slot": vote.slot, "password": password,
    });
    out.done(
        &remote
            .post(&format!("/api/v1/reviews/{name}/signatures"), &body)
            .await?,
    )
}

/// One line of standard input.
///
/// # Errors
/// When there is none.
pub(super) fn line_of_input(what: &str) -> Result<String> {
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .with_context(|| format!("reading {what}"))?;
    let line = line.trim_end_matches(['\r', '\n']).to_owned();
    anyhow::ensure!(
        !line.is_empty(),
        "reading {what}: send it on standard input"
    );
    Ok(line)
}
