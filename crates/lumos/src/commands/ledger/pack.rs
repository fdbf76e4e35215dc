//! An evidence pack, verified by nothing but a key one trusts. Its parts prove themselves; everything else is made again
//! from them and compared byte for byte. So a change is found even where every checksum was changed along with it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::{Context as _, Result, bail};
use lumos_domain::id::Digest;
use lumos_engine::{
    pack::{self, Head, Pack, Parts, SUMS},
    ports::StoredEntry,
};
use lumos_ledger::{Checkpoint, tlog_proof::TlogProof};
use lumos_web::pack::page;
use serde_json::json;

use super::{
    trust,
    verify::{Trusted, read, vkeys},
};
use crate::{
    cli::Verify,
    commands::{Out, Said},
};

/// Differences that are named; the others are counted.
const NAMED_MAX: usize = 20;

/// What was found in a pack.
#[derive(Default)]
struct Findings {
    /// What does not hold, in words.
    wrong: Vec<String>,
    /// Entries whose receipts lead to the signed root.
    proven: usize,
    /// Files made again and found to be the same.
    same: usize,
    /// Texts and blobs that are what was committed to.
    files: usize,
    /// Keys that signed the head too, and that the caller does not know.
    unknown: Vec<String>,
}

/// Whether `dir` holds an evidence pack.
pub(super) fn is_pack(dir: &Path) -> bool {
    dir.join("pack.json").is_file() && dir.join(SUMS).is_file()
}

/// Verifies the pack in `dir`.
///
/// # Errors
/// When a file cannot be read at all. What does not verify is a [`Said::No`].
pub(super) fn verify(asked: &Verify, dir: &Path, out: Out) -> Result<Said> {
    if !asked.since.is_empty() || asked.timestamps.is_some() || asked.entry.is_some() {
        bail!(
            "a pack is a part of a ledger: what you hold from before is compared with the ledger itself, \
             `lumos ledger verify --since FILE`, or with its export"
        );
    }
    let trusted = Trusted::of(asked, || vkeys(dir))?;
    let found = files(dir)?;
    let mut findings = Findings::default();
    listed(dir, &found, &mut findings)?;
    let head = head(dir, &trusted);
    let title = match head {
        Ok(head) => {
            let unknown = head.vkeys.iter().filter(|key| !trusted.keys.contains(key));
            findings.unknown = unknown.map(ToString::to_string).collect();
            proven(dir, &found, &trusted, &head, &mut findings)?
        }
        Err(error) => {
            findings.wrong.push(format!("`checkpoint`: {error:#}"));
            None
        }
    };
    Ok(tell(title, &findings, out))
}

fn tell(title: Option<String>, findings: &Findings, out: Out) -> Said {
    let yes = findings.wrong.is_empty();
    let mut lines = Vec::new();
    if let Some(title) = title {
        lines.push(title);
    }
    if yes {
        lines.push(format!(
            "verified: {} entries stand in the signed ledger, {} texts and blobs are what they commit to, and the {} other \
             files follow from them",
            findings.proven, findings.files, findings.same
        ));
        lines.extend(findings.unknown.iter().map(|key| {
            format!(
                "`vkeys` and `checkpoint` also name key {key}, which you do not trust and for which this pack is no proof"
            )
        }));
        lines.push("completeness: not asked; a pack is a part of the ledger. Export it and verify that to know that nothing was left out".to_owned());
    } else {
        let wrong = findings.wrong.iter().take(NAMED_MAX);
        lines.extend(wrong.map(|wrong| format!("DOES NOT VERIFY: {wrong}")));
        let more = findings.wrong.len().saturating_sub(NAMED_MAX);
        if more > 0 {
            lines.push(format!("and {more} more"));
        }
    }
    let value = json!({
        "verified": yes, "entries": findings.proven, "committed": findings.files,
        "made_again": findings.same, "wrong": findings.wrong, "keys_not_vouched_for": findings.unknown, "code": (!yes).then_some("pack-differs"),
    });
    out.tell(&lines.join("\n"), &value);
    if yes { Said::Yes } else { Said::No }
}

/// Every file of the pack, as paths with `/`.
fn files(dir: &Path) -> Result<BTreeSet<String>> {
    fn walk(dir: &Path, under: &str, into: &mut BTreeSet<String>) -> Result<()> {
        for entry in fs::read_dir(dir).with_context(|| format!("reading `{}`", dir.display()))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if under.is_empty() {
                name
            } else {
                format!("{under}/{name}")
            };
            if entry.file_type()?.is_dir() {
                walk(&entry.path(), &path, into)?;
            } else {
                into.insert(path);
            }
        }
        Ok(())
    }
    let mut found = BTreeSet::new();
    walk(dir, "", &mut found)?;
    Ok(found)
}

/// Holds the files against the list of their checksums.
fn listed(dir: &Path, found: &BTreeSet<String>, findings: &mut Findings) -> Result<()> {
    let text = String::from_utf8_lossy(&read(&dir.join(SUMS))?).into_owned();
    let lines = text.lines().filter_map(|line| line.split_once("  "));
    let listed: BTreeMap<&str, &str> = lines.map(|(sum, path)| (path, sum)).collect();
    for path in found.iter().filter(|path| *path != SUMS) {
        match listed.get(path.as_str()) {
            None => findings
                .wrong
                .push(format!("`{path}` is not listed in `{SUMS}`")),
            Some(sum) if Digest::of(&read(&dir.join(path))?).hex() != *sum => {
                findings
                    .wrong
                    .push(format!("`{path}` is not what `{SUMS}` lists"));
            }
            Some(_) => {}
        }
    }
    for path in listed.keys().filter(|path| !found.contains(**path)) {
        findings
            .wrong
            .push(format!("`{path}` is listed in `{SUMS}` and missing"));
    }
    let written: String = listed
        .iter()
        .map(|(path, sum)| format!("{sum}  {path}\n"))
        .collect();
    if written != text {
        findings
            .wrong
            .push(format!("`{SUMS}` is not written as it was made"));
    }
    Ok(())
}

/// The head of the ledger in the pack, if a trusted key signed it.
fn head(dir: &Path, trusted: &Trusted) -> Result<Head> {
    let note = read(&dir.join("checkpoint"))?;
    match &trusted.policy {
        Some(policy) => drop(policy.open(&note)?),
        None => drop(Checkpoint::open(&note, &trusted.keys)?),
    }
    // While a key is changed two of them sign, and the caller may know one: the other one counts for nothing, but stands
    // in the pack.
    let stated = vkeys(dir).unwrap_or_default();
    let known = trust::candidates(&trusted.keys, &stated);
    Ok(Head::open(&note, &known)?)
}

/// Proves the parts, and makes everything else again from them. Returns what the pack is about.
fn proven(
    dir: &Path,
    found: &BTreeSet<String>,
    trusted: &Trusted,
    head: &Head,
    findings: &mut Findings,
) -> Result<Option<String>> {
    let (parts, mut own) = parts(dir, found, trusted, head, findings)?;
    let asked = match serde_json::from_slice::<Pack>(&read(&dir.join("pack.json"))?) {
        Ok(pack) => pack.asked,
        Err(error) => {
            findings.wrong.push(format!("`pack.json`: {error}"));
            return Ok(None);
        }
    };
    let mut derived = pack::derived(&parts, head, &asked, page)?;
    derived.extend(parts.rewritten()?);
    for file in derived {
        let there = found.contains(&file.path);
        if there && read(&dir.join(&file.path))? == file.bytes {
            findings.same += 1;
        } else {
            let how = if there {
                "is not what follows"
            } else {
                "is missing, and follows"
            };
            let wrong = format!("`{}` {how} from the entries", file.path);
            findings.wrong.push(wrong);
        }
        own.insert(file.path);
    }
    for path in found.difference(&own) {
        let wrong = format!("`{path}` is no file of a pack");
        findings.wrong.push(wrong);
    }
    Ok(Some(content_title(&asked, head)))
}

/// The parts of a pack, each proven, and their files. What proves nothing is no part, and named.
fn parts(
    dir: &Path,
    found: &BTreeSet<String>,
    trusted: &Trusted,
    head: &Head,
    findings: &mut Findings,
) -> Result<(Parts, BTreeSet<String>)> {
    let mut parts = Parts::default();
    let mut own = BTreeSet::from([SUMS.to_owned()]);
    for path in found.iter().filter(|path| path.starts_with("receipts/")) {
        own.insert(path.clone());
        let entry = receipt(path, &read(&dir.join(path))?, trusted, head);
        match entry.and_then(|entry| Ok(parts.add_entry(entry)?)) {
            Ok(()) => findings.proven += 1,
            Err(error) => findings.wrong.push(format!("`{path}`: {error:#}")),
        }
    }
    for path in found.iter().filter(|path| path.starts_with("blobs/")) {
        own.insert(path.clone());
        let digest = format!("sha256:{}", path.trim_start_matches("blobs/"));
        let digest = digest.parse::<Digest>().map_err(anyhow::Error::new);
        let bytes = read(&dir.join(path))?;
        match digest.and_then(|digest| Ok(parts.add_blob(digest, bytes)?)) {
            Ok(()) => findings.files += 1,
            Err(error) => findings.wrong.push(format!("`{path}`: {error:#}")),
        }
    }
    // What commits to a text must be there before the text.
    for (path, add) in [
        (
            "opened.json",
            Parts::add_opened as fn(&mut Parts, &[u8]) -> _,
        ),
        ("counted.json", Parts::add_counted),
    ] {
        own.insert(path.to_owned());
        match add(&mut parts, &fs::read(dir.join(path)).unwrap_or_default()) {
            Ok(()) => findings.files += 1,
            Err(error) => findings
                .wrong
                .push(format!("{:#}", anyhow::Error::new(error))),
        }
    }
    Ok((parts, own))
}

fn content_title(asked: &pack::Asked, head: &Head) -> String {
    let origin = head.checkpoint.origin();
    let size = head.checkpoint.size();
    let what = match asked {
        pack::Asked::Release { release } => format!("evidence about {release}"),
        pack::Asked::Period { from, to, .. } => format!("what came to run from {from} to {to}"),
    };
    format!("{what}, from the first {size} entries of {origin}")
}

/// The entry of a receipt that leads to the head of the pack.
fn receipt(path: &str, bytes: &[u8], trusted: &Trusted, head: &Head) -> Result<StoredEntry> {
    let text = std::str::from_utf8(bytes).context("it is no text")?;
    let proof: TlogProof = text.parse()?;
    let entry = proof.entry().context("it holds no entry")?.to_vec();
    match &trusted.policy {
        Some(policy) => proof.verify_under(&entry, policy)?,
        None => proof.verify(&entry, &trusted.keys)?,
    };
    let index = proof.index;
    anyhow::ensure!(
        path == format!("receipts/{index}.tlog-proof"),
        "it is of entry {index}"
    );
    anyhow::ensure!(
        proof.checkpoint == head.note,
        "it leads to another checkpoint"
    );
    anyhow::ensure!(
        proof.to_string() == text,
        "it is not written as receipts are"
    );
    Ok(StoredEntry {
        index,
        bytes: entry,
    })
}
