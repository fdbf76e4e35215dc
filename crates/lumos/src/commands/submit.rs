//! `lumos submit`: files stream to the server; then say what became of them.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use lumos_worker::tree::TreeError;
use serde_json::{Value, json};

use super::{Out, Said, text};
use crate::{cli::Submit, remote::Remote};

/// How long `--wait` and `--test` wait at most.
pub(super) const PATIENCE: Duration = Duration::from_secs(30 * 60);
/// How often the server is asked meanwhile.
pub(super) const PACE: Duration = Duration::from_millis(200);

pub(super) async fn run(submit: Submit, remote: &Remote, out: &Out) -> Result<Said> {
    let release = format!("{}/{}", submit.model, submit.version);
    let body = submission(&submit, remote).await?;
    let done = remote.post("/api/v1/releases", &body).await?;
    if !submit.wait && !submit.test {
        return out.done(&done);
    }
    let mut seen = BTreeSet::new();
    let view = tokio::time::timeout(PATIENCE, follow(remote, &release, &mut seen, out))
        .await
        .with_context(|| {
            format!("`{release}` was not decided in half an hour; `lumos release show {release}`")
        })??;
    if submit.test {
        let reason = json!({ "reason": "a test of the flow" });
        remote
            .post(&format!("/api/v1/releases/{release}/withdrawal"), &reason)
            .await?;
        out.tell(
            "the test went through the whole flow and was withdrawn",
            &view,
        );
        return Ok(Said::Yes);
    }
    super::release::show(&view, out);
    let state = text(&view, "state");
    Ok(
        if matches!(state, "approved" | "in review") && !blocked(&view) {
            Said::Yes
        } else {
            Said::No
        },
    )
}

/// Whether the open review of a release is blocked.
pub(super) fn blocked(view: &Value) -> bool {
    let open = view["reviews"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|r| r["state"] == "open");
    open.is_some_and(|review| {
        review["record"]["blocking"]
            .as_array()
            .is_some_and(|b| !b.is_empty())
    })
}

async fn submission(submit: &Submit, remote: &Remote) -> Result<Value> {
    let mut body = json!({
        "model": submit.model, "version": submit.version, "environment": submit.env, "agents": submit.agent,
        "change": submit.change, "authors": submit.author, "test": submit.test,
    });
    let path = Path::new(&submit.source);
    if path.exists() {
        body["upload"] = json!(upload(submit, path, remote).await?);
    } else if let [registry, name, version] = submit.source.splitn(3, ':').collect::<Vec<_>>()[..] {
        body["source"] = json!({ "registry": registry, "name": name, "version": version });
    } else {
        bail!(
            "`{}` is neither a file or folder here nor REGISTRY:NAME:VERSION",
            submit.source
        );
    }
    Ok(body)
}

/// Sends the files and claims of a submission; returns the upload's name.
async fn upload(submit: &Submit, path: &Path, remote: &Remote) -> Result<String> {
    let opened = remote.post("/api/v1/uploads", &json!({})).await?;
    let upload = text(&opened, "upload").to_owned();
    let mut files = Vec::new();
    if path.is_dir() {
        list(path, "", &mut files)?;
    } else {
        let name = path
            .file_name()
            .context("the file has no name")?
            .to_string_lossy()
            .into_owned();
        files.push((name, path.to_owned()));
    }
    if let Some(card) = &submit.card {
        files.retain(|(name, _)| name != "README.md");
        files.push(("README.md".to_owned(), card.clone()));
    }
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    for (n, (name, file)) in files.iter().enumerate() {
        if terminal {
            eprint!("\rsending {} of {} files", n + 1, files.len());
        }
        let at = format!("/api/v1/uploads/{upload}/files/{}", encode(name));
        remote
            .upload(&at, file)
            .await
            .with_context(|| format!("sending `{}`", file.display()))?;
    }
    if terminal {
        eprintln!();
    }
    for pair in &submit.evidence {
        let (kind, _) = super::policy::read_evidence(pair)?;
        let file = pair
            .split_once('=')
            .map(|(_, file)| file)
            .unwrap_or_default();
        remote
            .upload(
                &format!("/api/v1/uploads/{upload}/evidence/{}", encode(&kind)),
                Path::new(file),
            )
            .await?;
    }
    Ok(upload)
}

/// Percent-encodes what may not stand in a path, but for the slashes.
fn encode(path: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~/".contains(&b);
    path.bytes()
        .map(|b| {
            if plain(b) {
                char::from(b).to_string()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect()
}

/// The files of a folder, each with its path relative to it. A symbolic link is refused, not followed.
fn list(folder: &Path, prefix: &str, files: &mut Vec<(String, PathBuf)>) -> Result<()> {
    let unreadable = |source| TreeError::Unreadable {
        path: folder.display().to_string(),
        source,
    };
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name();
        let name = name
            .to_str()
            .with_context(|| format!("a name in `{}` is not UTF-8", folder.display()))?;
        let relative = if prefix.is_empty() {
            name.to_owned()
        } else {
            format!("{prefix}/{name}")
        };
        let kind = entry.file_type().map_err(unreadable)?;
        if kind.is_symlink() {
            bail!("`{relative}` is a symbolic link; submit the file itself");
        } else if kind.is_dir() {
            list(&entry.path(), &relative, files)?;
        } else if kind.is_file() {
            files.push((relative, entry.path()));
        } else {
            return Err(TreeError::Special(relative).into());
        }
    }
    Ok(())
}

/// Says each step as it happens, until the release is decided or waits for people.
async fn follow(
    remote: &Remote,
    release: &str,
    seen: &mut BTreeSet<u64>,
    out: &Out,
) -> Result<Value> {
    loop {
        let view = remote.get(&format!("/api/v1/releases/{release}")).await?;
        for entry in view["history"].as_array().into_iter().flatten() {
            if let Some(index) = entry["index"].as_u64()
                && seen.insert(index)
                && !out.json
            {
                outln!(
                    "{}  {:30} {}",
                    text(entry, "time"),
                    text(entry, "actor"),
                    text(entry, "type")
                );
            }
        }
        let settled = [
            "in review",
            "paused",
            "approved",
            "revoked",
            "withdrawn",
            "not fetched",
            "rejected",
            "changes",
        ];
        if settled
            .iter()
            .any(|state| text(&view, "state").starts_with(state))
        {
            return Ok(view);
        }
        tokio::time::sleep(PACE).await;
    }
}
