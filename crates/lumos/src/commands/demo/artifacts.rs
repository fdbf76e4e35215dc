//! The model versions of the demo: small, but real SafeTensors and a real, harmless-if-never-loaded pickle.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

const CARD: &str = "---
license: apache-2.0
library_name: acme
tags: [triage, demo]
---

# Triage

## Intended use

Suggests to Acme's intake staff how urgently a request must be looked at. A person reads the suggestion and
decides; the model never answers a requester itself and is not used for any other decision.

## Limitations

Requests in other languages than the ones it was trained on, very short requests, and requests that were
typed in by somebody else are judged less well. Nobody has measured it on requests from outside Acme.
";

/// A small but valid SafeTensors file whose weights follow from `seed`.
fn safetensors(seed: u8) -> Vec<u8> {
    let data: Vec<u8> = (0..16_384_u32)
        .map(|n| (n.wrapping_mul(31) >> 3).to_le_bytes()[0] ^ seed)
        .collect();
    let header = json!({ "classifier.weight": {
        "dtype": "F32", "shape": [64, 64], "data_offsets": [0, data.len()],
    }})
    .to_string();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header.as_bytes());
    file.extend_from_slice(&data);
    file
}

fn write(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) -> Result<()> {
    let path = folder.join(name);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).with_context(|| format!("making `{}`", parent.display()))?;
    }
    fs::write(&path, bytes).with_context(|| format!("writing `{}`", path.display()))
}

/// The first version, with everything the policy asks for.
pub(super) fn baseline(folder: &Path) -> Result<()> {
    write(folder, "model.safetensors", safetensors(1))?;
    write(
        folder,
        "config.json",
        json!({ "labels": ["low", "soon", "now"] }).to_string(),
    )?;
    write(
        folder,
        "prompt.txt",
        "How urgent is this request? Answer low, soon or now.\n",
    )?;
    write(folder, "README.md", CARD)?;
    write(folder, ".author", "dev@acme.example\n")?;
    for (kind, claim) in missing_evidence() {
        write(folder, &format!(".evidence/{kind}.json"), claim.to_string())?;
    }
    Ok(())
}

/// What a release to production must bring beside its files.
pub(super) fn missing_evidence() -> Vec<(&'static str, Value)> {
    vec![
        (
            "evaluation",
            json!({
                "metrics": [{ "suite": "holdout", "name": "accuracy", "slice": "all", "value": 0.94 }],
                "dataset": "acme-intake-holdout", "source": "file",
            }),
        ),
        (
            "rollback_plan",
            json!({ "summary": "Return to the release before; the platform engineer on duty decides; it takes five minutes." }),
        ),
    ]
}

/// The same files with another prompt.
pub(super) fn prompt_tweak(from: &Path, folder: &Path) -> Result<()> {
    copy(from, folder)?;
    write(
        folder,
        "prompt.txt",
        "How urgent is this request? Answer low, soon or now, and say why.\n",
    )?;
    write(folder, ".author", "dev@acme.example\n")
}

/// Other weights, declared as a prompt change, and without the evidence for them.
pub(super) fn disguised_backbone(from: &Path, folder: &Path) -> Result<()> {
    copy(from, folder)?;
    write(folder, "model.safetensors", safetensors(2))?;
    write(folder, ".author", "dev@acme.example\n")?;
    write(folder, ".change", "prompt\n")
}

/// A pickle that would run a command if anything ever loaded it. Nothing in LUMOS loads a model.
pub(super) fn booby_trap(from: &Path, folder: &Path) -> Result<()> {
    copy(from, folder)?;
    write(
        folder,
        "preprocess.pkl",
        b"cos\nsystem\n(S'echo this line must never be printed'\ntR.",
    )?;
    write(folder, ".author", "dev@acme.example\n")?;
    for (kind, claim) in missing_evidence() {
        write(folder, &format!(".evidence/{kind}.json"), claim.to_string())?;
    }
    Ok(())
}

/// Copies the artifacts of a version, not the notes beside them.
fn copy(from: &Path, folder: &Path) -> Result<()> {
    for name in [
        "model.safetensors",
        "config.json",
        "prompt.txt",
        "README.md",
    ] {
        write(folder, name, fs::read(from.join(name))?)?;
    }
    Ok(())
}
