//! Fetching artifacts through MLflow's artifacts proxy. The names in a listing are hostile: each must be
//! one plain step below the folder it was listed in.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use lumos_engine::ports::RegistryError;
use serde::Deserialize;

use super::Mlflow;
use crate::registries::{MAX_DEPTH, MAX_FILES, is_plain_step};

const PROXY: &str = "api/2.0/mlflow-artifacts/artifacts";

#[derive(Deserialize)]
struct DownloadUri {
    artifact_uri: String,
}

#[derive(Default, Deserialize)]
struct Listing {
    #[serde(default)]
    files: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    path: String,
    #[serde(default)]
    is_dir: bool,
    file_size: Option<u64>,
}

/// Where the artifacts of a version lie in the proxy, from `mlflow-artifacts:/…` or the proxy's own address.
fn proxy_path(uri: &str, origin: &str) -> Result<String, String> {
    let elsewhere = || {
        let scheme = uri.split(':').next().unwrap_or_default();
        format!("its artifacts lie at `{scheme}:`, not behind its artifacts proxy")
    };
    let path = if let Some(rest) = uri.strip_prefix("mlflow-artifacts:") {
        match rest.strip_prefix("//") {
            None => rest,
            Some(rest) => {
                let (host, path) = rest.split_once('/').ok_or_else(elsewhere)?;
                let ours = origin.split("://").nth(1).unwrap_or_default();
                if !host.is_empty() && host != ours {
                    return Err("its artifacts lie at another host".to_owned());
                }
                path
            }
        }
    } else {
        return Err(elsewhere());
    };
    let steps: Vec<&str> = path.split('/').filter(|step| !step.is_empty()).collect();
    if steps.is_empty() || !steps.iter().all(|step| is_plain_step(step)) {
        return Err("the place of its artifacts is no plain path".to_owned());
    }
    Ok(steps.join("/"))
}

/// One folder or file of a version, relative to its root.
struct Below {
    path: Vec<String>,
    size_bytes: Option<u64>,
}

pub(super) async fn fetch(
    mlflow: &Mlflow,
    name: &str,
    version: &str,
    into: &Path,
) -> Result<u64, RegistryError> {
    let what = format!("version `{version}` of model `{name}`");
    let call = mlflow
        .get("model-versions/get-download-uri")
        .query("name", name)
        .query("version", version);
    let answer: DownloadUri = mlflow.ask(call, &what).await?;
    let root = proxy_path(&answer.artifact_uri, &mlflow.peer.origin());
    let root = root.map_err(|problem| mlflow.broken(problem))?;
    let files = list(mlflow, &root, into).await?;
    if files.is_empty() {
        return Err(mlflow.not_found(&format!("artifacts of {what}")));
    }
    let mut fetched: u64 = 0;
    for file in files {
        let path = file.path.join("/");
        let call = mlflow.peer.get(&format!("{PROXY}/{root}/{path}"));
        let left = mlflow.max_bytes.saturating_sub(fetched);
        let size = call.download(&local(into, &file.path), left).await;
        let size = size.map_err(|error| mlflow.problem(&format!("file `{path}`"), error))?;
        if file.size_bytes.is_some_and(|listed| listed != size) {
            return Err(mlflow.broken(format!("file `{path}` has another size than listed")));
        }
        fetched += size;
    }
    Ok(fetched)
}

fn local(into: &Path, steps: &[String]) -> PathBuf {
    steps
        .iter()
        .fold(into.to_owned(), |path, step| path.join(step))
}

/// Lists every file below `root` and makes the folders they go into.
async fn list(mlflow: &Mlflow, root: &str, into: &Path) -> Result<Vec<Below>, RegistryError> {
    let mut files = Vec::new();
    let mut count = 0;
    let mut listed_bytes: u64 = 0;
    let mut folders: Vec<Vec<String>> = vec![Vec::new()];
    while let Some(folder) = folders.pop() {
        let mut names = HashSet::new();
        for entry in list_folder(mlflow, root, &folder).await?.files {
            count += 1;
            if !is_plain_step(&entry.path) || !names.insert(entry.path.clone()) {
                let shown: String = entry.path.chars().take(80).collect();
                let problem = format!("it lists `{}`, which leads elsewhere", shown.escape_debug());
                return Err(mlflow.broken(problem));
            }
            let mut path = folder.clone();
            path.push(entry.path);
            if count > MAX_FILES || path.len() > MAX_DEPTH {
                return Err(mlflow.broken("it lists too many files or too deep folders"));
            }
            if entry.is_dir {
                let made = tokio::fs::create_dir(local(into, &path)).await;
                made.map_err(|error| RegistryError::Local {
                    registry: mlflow.name.to_string(),
                    problem: format!("making folder `{}`: {error}", path.join("/")),
                })?;
                folders.push(path);
            } else {
                listed_bytes = listed_bytes.saturating_add(entry.file_size.unwrap_or(0));
                let size_bytes = entry.file_size;
                files.push(Below { path, size_bytes });
            }
        }
    }
    if listed_bytes > mlflow.max_bytes {
        let problem = format!("its artifacts are larger than {} bytes", mlflow.max_bytes);
        return Err(mlflow.broken(problem));
    }
    Ok(files)
}

async fn list_folder(
    mlflow: &Mlflow,
    root: &str,
    folder: &[String],
) -> Result<Listing, RegistryError> {
    let path = std::iter::once(root)
        .chain(folder.iter().map(String::as_str))
        .collect::<Vec<_>>()
        .join("/");
    let call = mlflow.peer.get(PROXY).query("path", &path);
    mlflow.ask(call, "artifacts").await
}

/// Whether listing the proxy is refused to our credential.
pub(super) async fn are_refused(mlflow: &Mlflow) -> Result<bool, RegistryError> {
    match mlflow
        .ask::<Listing>(mlflow.peer.get(PROXY), "artifacts")
        .await
    {
        Ok(_) | Err(RegistryError::NotFound { .. }) => Ok(false),
        Err(RegistryError::Refused { .. }) => Ok(true),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_proxy_is_fetched_from() {
        fn check(uri: &str, expected: Result<&str, &str>) {
            let path = proxy_path(uri, "http://127.0.0.1:5000");
            match expected {
                Ok(expected) => assert_eq!(path.as_deref(), Ok(expected)),
                Err(text) => assert!(path.as_ref().unwrap_err().contains(text), "{path:?}"),
            }
        }
        check(
            "mlflow-artifacts:/1/models/m-1/artifacts",
            Ok("1/models/m-1/artifacts"),
        );
        check("mlflow-artifacts:///1/a", Ok("1/a"));
        check("mlflow-artifacts://127.0.0.1:5000/1/a", Ok("1/a"));
        check("mlflow-artifacts://evil.example/1/a", Err("another host"));
        check("mlflow-artifacts:/1/../../etc", Err("no plain path"));
        check("mlflow-artifacts:/", Err("no plain path"));
        check("mlflow-artifacts:", Err("no plain path"));
        check("mlflow-artifacts://host", Err("not behind"));
        check("s3://acme/1/a", Err("`s3:`"));
        check("file:///etc/passwd", Err("`file:`"));
        check("", Err("not behind"));
    }
}
