//! `lumos log-review`.

use anyhow::Result;
use serde_json::{Value, json};

use super::{Out, Said, review::line_of_input, text};
use crate::{
    cli::{LogReview, SignRange},
    remote::{Refused, Remote},
};

const ALL: &str = "/api/v1/log-review";

pub(super) async fn run(review: LogReview, remote: &Remote, out: &Out) -> Result<Said> {
    match review {
        LogReview::Show { size } => show(size, remote, out).await,
        LogReview::Entries { matter, from, size } => {
            let bounds = [("from", from), ("size", size)];
            let bounds = bounds.map(|(name, bound)| Some((name, bound?.to_string())));
            let bounds: Vec<_> = bounds.into_iter().flatten().collect();
            let mut query = vec![("matter", matter.as_str())];
            query.extend(bounds.iter().map(|(name, bound)| (*name, bound.as_str())));
            let found = remote.look_up(&format!("{ALL}/entries"), &query).await?;
            if out.json {
                out.say(&found);
            } else {
                out.say(&found["entries"]);
                if let Some(next) = found["next"].as_u64() {
                    outln!("looked at what is before entry {next}; go on with --from {next}");
                }
            }
            Ok(Said::Yes)
        }
        LogReview::Sign(range) => sign(range, remote, out).await,
        LogReview::List { before } => {
            let before = before.map(|entry| entry.to_string());
            let query: Vec<_> = before.iter().map(|at| ("before", at.as_str())).collect();
            out.say(&remote.look_up(&format!("{ALL}/signatures"), &query).await?);
            Ok(Said::Yes)
        }
        LogReview::Set {
            role,
            every_days,
            within_days,
            grade,
            reason,
        } => {
            let body = json!({
                "role": role, "every_days": every_days, "within_days": within_days, "grade": grade,
                "reason": reason,
            });
            out.done(&remote.put(ALL, &body).await?)
        }
        LogReview::End { reason } => {
            let body = json!({ "reason": reason });
            out.done(&remote.delete(ALL, Some(&body)).await?)
        }
    }
}

/// Where it stands, and what there is to examine. Exit 3 while a review is overdue.
async fn show(size: Option<u64>, remote: &Remote, out: &Out) -> Result<Said> {
    let standing = remote.get(ALL).await?;
    let size = size.map(|size| size.to_string());
    let query: Vec<_> = size.iter().map(|size| ("size", size.as_str())).collect();
    let range = match remote.look_up(&format!("{ALL}/range"), &query).await {
        Err(error) if size.is_none() && nothing_left(&error) => Value::Null,
        range => range?,
    };
    if out.json {
        outln!("{:#}", json!({ "standing": standing, "range": range }));
    } else {
        out.say(&standing);
        print(&range);
    }
    match text(&standing, "state") {
        "overdue" => Ok(Said::No),
        _ => Ok(Said::Yes),
    }
}

/// Whether every entry was examined: then no range can begin.
fn nothing_left(error: &anyhow::Error) -> bool {
    let refused = error.downcast_ref::<Refused>();
    refused.is_some_and(|refused| refused.code == "log-range")
}

fn print(range: &Value) {
    if range.is_null() {
        outln!("\nnothing to examine: every entry under the last checkpoint was");
        return;
    }
    let (from, size) = (&range["from"], &range["size"]);
    outln!("\nto examine: from entry {from} to the checkpoint over {size} entries");
    outln!(
        "written {} to {}",
        text(range, "first"),
        text(range, "until")
    );
    outln!("root {}", text(range, "root"));
    for (matter, view) in range["matters"].as_object().into_iter().flatten() {
        let entries = view["entries"].as_u64().unwrap_or_default();
        outln!("{entries:>8}  {matter}: {}", text(view, "called"));
    }
    outln!("by whom:");
    for (who, entries) in range["actors"].as_object().into_iter().flatten() {
        outln!("{:>8}  {who}", entries.as_u64().unwrap_or_default());
    }
    outln!("every entry about one of these: lumos log-review entries MATTER");
    match range["not_yours"].as_str() {
        Some(why) => outln!("not yours to sign: {why}"),
        None => outln!(
            "to sign for it:\n  lumos log-review sign --from {from} --size {size} --record {} --finding nothing-found --reason …",
            text(range, "record")
        ),
    }
}

async fn sign(range: SignRange, remote: &Remote, out: &Out) -> Result<Said> {
    let password = match range.password_stdin {
        true => Some(line_of_input("the password")?),
        false => None,
    };
    let body = json!({
        "from": range.from, "size": range.size, "record": range.record, "finding": range.finding,
        "reason": range.reason, "password": password,
    });
    out.done(&remote.post(&format!("{ALL}/signatures"), &body).await?)
}
