//! A server as the command line sees it: its address, the caller's credential, and JSON in and out.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context as _, Result, bail};
use lumos_http::{Answer, Auth, Client, Egress, Limits, Method, Peer, Secret};
use serde_json::Value;

use crate::{cli::Common, settings};

/// The longest answer read: the largest entry bundle is 16 MiB and a little more.
const ANSWER_BYTES: u64 = 17 << 20;

/// How long a server may be silent in a transfer: an evidence pack of many releases is made before it is sent.
const IDLE_MS: u64 = 600_000;

/// A refusal by the server: an answer, not a failure.
#[derive(Debug, thiserror::Error)]
#[error("{detail}")]
pub(crate) struct Refused {
    /// The stable code.
    pub code: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened and what to do.
    pub detail: String,
}

impl Refused {
    /// Whether this is a "no" to the question itself rather than a broken call.
    #[must_use]
    pub(crate) const fn is_no(&self) -> bool {
        matches!(self.status, 403 | 409)
    }
}

/// A server and who asks it.
#[derive(Clone)]
pub(crate) struct Remote {
    peer: Peer,
    /// Its address.
    pub address: String,
}

impl Remote {
    /// The server that the options name, with the caller's credential.
    ///
    /// # Errors
    /// When no server is known or its address cannot be used.
    pub(crate) fn of(common: &Common) -> Result<Self> {
        let address = address(common)?;
        let credential = settings::variable("LUMOS_TOKEN").or_else(|| stored(&address));
        Self::at(&address, credential)
    }

    /// The server at `address`, asked with `credential`.
    ///
    /// # Errors
    /// When the address cannot be used.
    pub(crate) fn at(address: &str, credential: Option<String>) -> Result<Self> {
        let egress = Egress {
            hosts: vec![address.to_owned()],
            limits: Limits {
                answer_bytes: ANSWER_BYTES,
                idle_ms: IDLE_MS,
                ..Limits::default()
            },
            ca_file: None,
        };
        let auth = credential.map_or(Auth::None, |text| Auth::Bearer(Secret::new(text)));
        let peer = Client::new(&egress)?.peer(address, auth)?;
        Ok(Self {
            peer,
            address: address.to_owned(),
        })
    }

    /// Signs in and returns this server as that person sees it.
    ///
    /// # Errors
    /// When the login or password is wrong.
    pub(crate) async fn sign_in(&self, login: &str, password: &str) -> Result<Self> {
        let body = serde_json::json!({ "login": login, "password": password });
        let session = self.post("/api/v1/sessions", &body).await?;
        let credential = session["credential"]
            .as_str()
            .context("the server sent no credential")?;
        Self::at(&self.address, Some(credential.to_owned()))
    }

    /// `GET`.
    ///
    /// # Errors
    /// A [`Refused`] answer or a failed call.
    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        read(self.peer.get(path).send().await?)
    }

    /// `GET` with a query string.
    ///
    /// # Errors
    /// A [`Refused`] answer or a failed call.
    pub(crate) async fn look_up(&self, path: &str, query: &[(&str, &str)]) -> Result<Value> {
        let request = self.peer.get(path);
        let asked = query
            .iter()
            .fold(request, |request, (key, value)| request.query(key, value));
        read(asked.send().await?)
    }

    /// `GET` of bytes.
    ///
    /// # Errors
    /// A [`Refused`] answer or a failed call.
    pub(crate) async fn bytes(&self, path: &str) -> Result<Vec<u8>> {
        let answer = self.peer.get(path).send().await?;
        if answer.status >= 400 {
            return Err(refused(&answer));
        }
        Ok(answer.body.to_vec())
    }

    /// `GET` of something large, streamed into the new file `into`.
    ///
    /// # Errors
    /// A [`Refused`] answer or a failed call.
    pub(crate) async fn download(
        &self,
        path: &str,
        query: &[(&str, &str)],
        into: &Path,
        limit_bytes: u64,
    ) -> Result<()> {
        let request = self.peer.get(path);
        let asked = query
            .iter()
            .fold(request, |request, (key, value)| request.query(key, value));
        match asked.download(into, limit_bytes).await {
            // Asked once more, a refusal says why.
            Err(lumos_http::HttpError::Status { .. }) => {
                self.look_up(path, query).await.map(|_| ())
            }
            answer => Ok(answer.map(|_| ())?),
        }
    }

    /// `POST` of JSON.
    ///
    /// # Errors
    /// A [`Refused`] answer or a failed call.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        read(self.peer.post(path).json_body(body).send().await?)
    }

    /// `PUT` of JSON.
    ///
    /// # Errors
    /// A [`Refused`] answer or a failed call.
    pub(crate) async fn put(&self, path: &str, body: &Value) -> Result<Value> {
        read(self.peer.put(path).json_body(body).send().await?)
    }

    /// `DELETE`, with JSON where the call takes some.
    ///
    /// # Errors
    /// A [`Refused`] answer or a failed call.
    pub(crate) async fn delete(&self, path: &str, body: Option<&Value>) -> Result<Value> {
        let request = self.peer.delete(path);
        let request = match body {
            Some(body) => request.json_body(body),
            None => request,
        };
        read(request.send().await?)
    }

    /// `POST` of bytes of a media type.
    ///
    /// # Errors
    /// A [`Refused`] answer or a failed call.
    pub(crate) async fn post_bytes(
        &self,
        path: &str,
        media_type: &str,
        bytes: Vec<u8>,
    ) -> Result<Value> {
        read(self.peer.post(path).bytes(media_type, bytes).send().await?)
    }

    /// `PUT` of a file's bytes, streamed.
    ///
    /// # Errors
    /// A [`Refused`] answer or a failed call.
    pub(crate) async fn upload(&self, path: &str, file: &Path) -> Result<()> {
        let answer = self.peer.request(Method::PUT, path).upload(file).await?;
        if answer.status >= 400 {
            Err(refused(&answer))
        } else {
            Ok(())
        }
    }
}

fn read(answer: Answer) -> Result<Value> {
    if answer.status >= 400 {
        return Err(refused(&answer));
    }
    if answer.body.is_empty() {
        return Ok(Value::Null);
    }
    Ok(answer.json()?)
}

fn refused(answer: &Answer) -> anyhow::Error {
    let problem: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let text = |key: &str| problem[key].as_str().map(str::to_owned);
    Refused {
        code: text("code").unwrap_or_else(|| "bad-request".to_owned()),
        status: answer.status,
        detail: text("detail").unwrap_or_else(|| format!("the server answered {}", answer.status)),
    }
    .into()
}

fn address(common: &Common) -> Result<String> {
    if let Some(server) = &common.server {
        return Ok(server.trim_end_matches('/').to_owned());
    }
    if let Some(server) = settings::variable("LUMOS_SERVER") {
        return Ok(server.trim_end_matches('/').to_owned());
    }
    let data = settings::load(common.config.as_deref(), common.data.as_deref())?
        .settings
        .data;
    let file = data.join("server.json");
    let Ok(text) = std::fs::read(&file) else {
        bail!(
            "no server is known: start one with `lumos serve`, or name one with --server or LUMOS_SERVER \
             (looked for `{}`)",
            file.display()
        );
    };
    let value: Value = serde_json::from_slice(&text).context("reading the server's address")?;
    value["server"]
        .as_str()
        .map(str::to_owned)
        .context("reading the server's address")
}

fn stored(address: &str) -> Option<String> {
    let text = std::fs::read(settings::credentials_file().ok()?).ok()?;
    let all: BTreeMap<String, String> = serde_json::from_slice(&text).ok()?;
    all.get(address).cloned()
}

/// Keeps a credential for a server, readable by its owner only; `None` forgets it.
///
/// # Errors
/// When the file cannot be written.
pub(crate) fn keep(address: &str, credential: Option<&str>) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let file = settings::credentials_file()?;
    let known = std::fs::read(&file)
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok());
    let mut all: BTreeMap<String, String> = known.unwrap_or_default();
    match credential {
        Some(credential) => all.insert(address.to_owned(), credential.to_owned()),
        None => all.remove(address),
    };
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("making `{}`", folder.display()))?;
    }
    let fresh = file.with_extension("new");
    let mut options = std::fs::OpenOptions::new();
    let mut out = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&fresh)?;
    std::io::Write::write_all(&mut out, &serde_json::to_vec_pretty(&all)?)?;
    out.sync_all()?;
    std::fs::rename(&fresh, &file).with_context(|| format!("writing `{}`", file.display()))
}
