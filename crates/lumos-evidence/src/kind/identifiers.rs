//! Lines a registry writes anew for every version: names, ids and times that say nothing of the model (DECISIONS 8).
//!
//! They enter the digest of the release and not the digest of the content, so that logging the same model twice is no
//! change. A line is left out only when it is plainly one key and one plain value; anything cleverer stays in.
//! Not here: comparing.

use lumos_domain::id::Digest;
use sha2::Digest as _;

/// Keys of an `MLmodel` file that MLflow writes anew. `model_size_bytes` is the sum of files that are parts themselves
/// and of this file's own identifiers.
const MLMODEL: &[&str] = &[
    "run_id",
    "model_uuid",
    "model_id",
    "utc_time_created",
    "artifact_path",
    "model_size_bytes",
];
/// Keys of the file that MLflow writes beside a model when it hands a registered version out.
const REGISTERED: &[&str] = &["model_name", "model_version"];
/// Keys of `*.metadata.json` files.
const METADATA: &[&str] = &[
    "run_id",
    "model_uuid",
    "model_id",
    "created_at",
    "updated_at",
    "created",
    "updated",
    "creation_timestamp",
    "last_updated_timestamp",
    "download_id",
    "etag",
    "commit_hash",
    "timestamp",
];

/// Which keys of the file at `path` are identifiers; `None` for a file that has none.
fn keys_of(path: &str) -> Option<&'static [&'static str]> {
    let name = path.rsplit('/').next().unwrap_or_default();
    match name {
        "MLmodel" => Some(MLMODEL),
        "registered_model_meta" => Some(REGISTERED),
        _ if name.ends_with(".metadata.json") => Some(METADATA),
        _ => None,
    }
}

/// Whether the file at `path` has identifier lines that [`content_digest`] would leave out.
#[must_use]
pub fn has_identifiers(path: &str) -> bool {
    keys_of(path).is_some()
}

/// SHA-256 of the content of the file at `path` without its identifier lines, and whether nothing else was in it.
/// `None` when the file has no such lines.
#[must_use]
pub fn content_digest(path: &str, content: &[u8]) -> Option<(Digest, bool)> {
    let keys = keys_of(path)?;
    let mut hasher = sha2::Sha256::new();
    let mut only = true;
    for line in content.split_inclusive(|b| *b == b'\n') {
        if is_identifier(line, keys) {
            continue;
        }
        only &= matches!(line.trim_ascii(), b"" | b"{" | b"}");
        hasher.update(line);
    }
    Some((Digest::from_bytes(hasher.finalize().into()), only))
}

/// `key: value` in the first column, or `"key": "value",` in JSON, with a value of plain characters.
fn is_identifier(line: &[u8], keys: &[&str]) -> bool {
    let Ok(line) = std::str::from_utf8(line) else {
        return false;
    };
    let line = line.trim_end();
    let json = line
        .trim_start()
        .strip_prefix('"')
        .and_then(|rest| rest.split_once("\":"));
    let yaml = || {
        line.split_once(':')
            .filter(|_| !line.starts_with([' ', '\t', '"']))
    };
    let Some((key, value)) = json.or_else(yaml) else {
        return false;
    };
    let value = value.trim();
    let value = if json.is_some() {
        value.trim_end_matches(',')
    } else {
        value
    };
    let inner = ['\'', '"']
        .iter()
        .find_map(|q| value.strip_prefix(*q)?.strip_suffix(*q))
        .unwrap_or(value);
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/+ ".contains(c);
    keys.contains(&key) && !inner.is_empty() && inner.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, one: &str, other: &str, equal: bool) {
        let digest = |text: &str| content_digest(path, text.as_bytes()).map(|(digest, _)| digest);
        assert_eq!(
            digest(one) == digest(other),
            equal,
            "{path}\n{one}\n{other}"
        );
    }

    #[test]
    fn identifiers_are_no_content() {
        let one = "artifact_path: mlflow:/1/a\nflavors:\n  x: 1\nrun_id: abc\nutc_time_created: '2026-01-01 01:02:03.4'\n";
        let other = "artifact_path: mlflow:/1/b\nflavors:\n  x: 1\nrun_id: def\nutc_time_created: '2026-01-02 01:02:03.4'\n";
        check("MLmodel", one, other, true);
        check("m/MLmodel", one, &other.replace("x: 1", "x: 2"), false);
        // An indented key, a key of another file, and a value that could be more than a name all stay in.
        check(
            "MLmodel",
            "a:\n  run_id: abc\n",
            "a:\n  run_id: def\n",
            false,
        );
        check("MLmodel", "created_at: 1\n", "created_at: 2\n", false);
        check("MLmodel", "run_id: {a\n", "run_id: {b\n", false);
        check("MLmodel", "run_id: >\n  a\n", "run_id: >\n  b\n", false);
        check(
            "x.metadata.json",
            "{\n  \"etag\": \"a\",\n  \"n\": 1\n}",
            "{\n  \"etag\": \"b\",\n  \"n\": 1\n}",
            true,
        );
        check(
            "x.metadata.json",
            "{\"etag\": \"a\", \"n\": 1}",
            "{\"etag\": \"a\", \"n\": 2}",
            false,
        );
        assert_eq!(content_digest("config.json", b"run_id: 1"), None);
    }

    #[test]
    fn says_when_nothing_else_is_there() {
        let only = |text: &str| {
            content_digest("registered_model_meta", text.as_bytes()).map(|(_, only)| only)
        };
        assert_eq!(only("model_name: m\nmodel_version: '3'\n"), Some(true));
        assert_eq!(only("model_name: m\nthreshold: 1\n"), Some(false));
    }
}
