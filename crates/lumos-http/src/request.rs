//! One call: what is sent, and how its answer is taken. A call is made once; nothing is retried.

use std::{path::Path, time::Duration};

use reqwest::{
    Method, Response, StatusCode,
    header::{HeaderMap, HeaderName, HeaderValue, LOCATION},
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::Instant;
use url::Url;

use crate::{
    Answer, Auth, HttpError, Lines, Peer, Secret,
    answer::{excerpt, read_bounded},
    client::Client,
    egress::origin,
    files,
    secret::redact,
};

/// How many redirects within its origin a GET follows.
const MAX_REDIRECTS: usize = 5;

/// One field of a form with files.
#[derive(Debug, Clone)]
pub enum Part<'a> {
    /// A text field.
    Text {
        /// The name of the field.
        name: String,
        /// Its value.
        value: String,
    },
    /// A file, streamed from disk.
    File {
        /// The name of the field.
        name: String,
        /// The name the receiver sees.
        file_name: String,
        /// Where it lies.
        path: &'a Path,
    },
}

/// A call that has not been made yet.
#[derive(Debug)]
#[must_use = "nothing is sent before its answer is asked for"]
pub struct Request {
    pub(crate) client: Client,
    method: Method,
    url: Result<Url, HttpError>,
    headers: HeaderMap,
    body: Option<Vec<u8>>,
    hidden: Vec<Secret>,
}

impl Request {
    pub(crate) fn new(peer: &Peer, method: Method, path: &str) -> Self {
        let mut request = Self {
            client: peer.client().clone(),
            method,
            url: peer.address(path),
            headers: HeaderMap::new(),
            body: None,
            hidden: Vec::new(),
        };
        request.authorise(peer.auth());
        request
    }

    fn authorise(&mut self, auth: &Auth) {
        let (name, value, secret) = match auth {
            Auth::None => return,
            Auth::Bearer(token) => (
                "authorization",
                format!("Bearer {}", token.expose()),
                token.clone(),
            ),
            Auth::Basic { user, password } => (
                "authorization",
                format!(
                    "Basic {}",
                    files::base64(&format!("{user}:{}", password.expose()))
                ),
                password.clone(),
            ),
            Auth::Header { name, value } => {
                (name.as_str(), value.expose().to_owned(), value.clone())
            }
        };
        self.hidden.push(Secret::new(value.clone()));
        self.hidden.push(secret);
        self.put_header(name, &value, true);
    }

    fn put_header(&mut self, name: &str, value: &str, sensitive: bool) {
        let parsed = HeaderName::try_from(name)
            .ok()
            .zip(HeaderValue::try_from(value).ok());
        if let Some((name, mut value)) = parsed {
            value.set_sensitive(sensitive);
            self.headers.insert(name, value);
        } else {
            self.url = Err(HttpError::Address {
                address: self.url.as_ref().map_or_else(|_| "?".to_owned(), origin),
                problem: format!("header `{name}` cannot be sent"),
            });
        }
    }

    /// Adds `key=value` to the query string.
    pub fn query(mut self, key: &str, value: &str) -> Self {
        if let Ok(url) = &mut self.url {
            url.query_pairs_mut().append_pair(key, value);
        }
        self
    }

    /// Sends a header along.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.put_header(name, value, false);
        self
    }

    /// Sends `body` as JSON.
    pub fn json_body(mut self, body: &impl Serialize) -> Self {
        match serde_json::to_vec(body) {
            Ok(bytes) => {
                self.body = Some(bytes);
                self.header("content-type", "application/json")
            }
            Err(error) => {
                self.url = Err(HttpError::NotJson {
                    at: format!("{} with a body", self.method),
                    problem: error.to_string(),
                });
                self
            }
        }
    }

    /// Sends `body` as it is.
    pub fn bytes(mut self, content_type: &str, body: Vec<u8>) -> Self {
        self.body = Some(body);
        self.header("content-type", content_type)
    }

    /// Strikes `secret` out of every error text and log line of this call, its path included.
    pub fn hide(mut self, secret: &Secret) -> Self {
        self.hidden.push(secret.clone());
        self
    }

    /// Makes the call and returns the answer, whatever its status.
    ///
    /// # Errors
    /// Any `HttpError` but `Status` and `NotJson`.
    pub async fn send(self) -> Result<Answer, HttpError> {
        let limits = *self.client.limits();
        let (response, at, _) = self.start(limits.exchange()).await?;
        read_bounded(response, at, limits.answer_bytes).await
    }

    /// Makes the call and returns the answer of a success.
    ///
    /// # Errors
    /// Any `HttpError` but `NotJson`.
    pub async fn ok(self) -> Result<Answer, HttpError> {
        let hidden = self.hidden.clone();
        let answer = self.send().await?;
        if answer.is_success() {
            Ok(answer)
        } else {
            Err(answer.refusal(&hidden))
        }
    }

    /// Makes the call and reads the JSON of a success.
    ///
    /// # Errors
    /// Any `HttpError`.
    pub async fn json<T: DeserializeOwned>(self) -> Result<T, HttpError> {
        self.ok().await?.json()
    }

    /// Makes the call and streams the body of a success into the new file `into`; returns its bytes.
    ///
    /// # Errors
    /// Any `HttpError` but `NotJson`; `TooLarge` beyond `limit_bytes`. A file begun is left behind.
    pub async fn download(self, into: &Path, limit_bytes: u64) -> Result<u64, HttpError> {
        let transfer = self.client.limits().transfer();
        let (response, at) = self.start_success(transfer).await?;
        files::receive(response, &at, into, limit_bytes).await
    }

    /// Makes the call with the file `from` streamed as its body; returns the answer, whatever its status.
    ///
    /// # Errors
    /// Any `HttpError` but `Status` and `NotJson`.
    pub async fn upload(self, from: &Path) -> Result<Answer, HttpError> {
        let (body, size_bytes) = files::body(from).await?;
        let request = self.header("content-length", &size_bytes.to_string());
        request.transfer(|call| call.body(body)).await
    }

    /// Makes the call with a form, its files streamed from disk; returns the answer, whatever its status.
    ///
    /// # Errors
    /// Any `HttpError` but `Status` and `NotJson`.
    pub async fn upload_form(self, parts: &[Part<'_>]) -> Result<Answer, HttpError> {
        let form = files::form(parts).await?;
        self.transfer(|call| call.multipart(form)).await
    }

    /// Makes the call and returns the lines of a success as they come, such as server-sent events. The
    /// exchange has no limit as a whole; silence has.
    ///
    /// # Errors
    /// Any `HttpError` but `NotJson`.
    pub async fn lines(self) -> Result<Lines, HttpError> {
        let limit = self.client.limits().answer_bytes;
        let (response, at) = self.start_success(Duration::MAX).await?;
        Ok(Lines::new(response, at, limit))
    }

    async fn transfer(
        self,
        add: impl FnOnce(reqwest::RequestBuilder) -> reqwest::RequestBuilder,
    ) -> Result<Answer, HttpError> {
        let limits = *self.client.limits();
        let url = self.url.clone()?;
        let at = self.at(&url);
        let call = add(self.call(&url, limits.transfer()));
        let response = self.execute(call, &url, &at).await?;
        read_bounded(response, at, limits.answer_bytes).await
    }

    async fn start_success(self, total: Duration) -> Result<(Response, String), HttpError> {
        let limit = self.client.limits().answer_bytes;
        let (response, at, hidden) = self.start(total).await?;
        if response.status().is_success() {
            return Ok((response, at));
        }
        let status = response.status().as_u16();
        let body = read_bounded(response, at.clone(), limit).await.map_or_else(
            |error| error.to_string(),
            |answer| excerpt(&answer.body, &hidden),
        );
        Err(HttpError::Status { at, status, body })
    }

    /// Sends the call and, for a GET, the redirects within its origin.
    async fn start(self, total: Duration) -> Result<(Response, String, Vec<Secret>), HttpError> {
        let mut url = self.url.clone()?;
        let at = self.at(&url);
        for _ in 0..=MAX_REDIRECTS {
            let mut call = self.call(&url, total);
            if let Some(body) = &self.body {
                call = call.body(body.clone());
            }
            let response = self.execute(call, &url, &at).await?;
            match self.redirect(&url, &response)? {
                Some(next) => url = next,
                None => return Ok((response, at, self.hidden)),
            }
        }
        Err(HttpError::Unreachable {
            at,
            problem: format!("more than {MAX_REDIRECTS} redirects"),
        })
    }

    fn call(&self, url: &Url, total: Duration) -> reqwest::RequestBuilder {
        let call = self.client.http().request(self.method.clone(), url.clone());
        let call = call.headers(self.headers.clone());
        if total == Duration::MAX {
            call
        } else {
            call.timeout(total)
        }
    }

    async fn execute(
        &self,
        call: reqwest::RequestBuilder,
        url: &Url,
        at: &str,
    ) -> Result<Response, HttpError> {
        self.client.check_allowed(url)?;
        let begun = Instant::now();
        let outcome = call.send().await;
        let status = outcome
            .as_ref()
            .map_or(0, |answer| answer.status().as_u16());
        tracing::debug!(
            method = %self.method,
            host = url.host_str(),
            path = redact(url.path(), &self.hidden),
            status,
            duration_us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX),
            "called"
        );
        outcome.map_err(|error| HttpError::of_call(at, error))
    }

    /// Where a GET is to go on; an error when that is another origin.
    fn redirect(&self, url: &Url, response: &Response) -> Result<Option<Url>, HttpError> {
        let is_redirect = matches!(
            response.status(),
            StatusCode::MOVED_PERMANENTLY
                | StatusCode::FOUND
                | StatusCode::SEE_OTHER
                | StatusCode::TEMPORARY_REDIRECT
                | StatusCode::PERMANENT_REDIRECT
        );
        let location = response.headers().get(LOCATION);
        let Some(location) = location.filter(|_| is_redirect) else {
            return Ok(None);
        };
        let next = location.to_str().ok().and_then(|to| url.join(to).ok());
        let host = next.as_ref().map_or_else(|| "?".to_owned(), origin);
        match next.filter(|_| host == origin(url)) {
            Some(next) if self.method == Method::GET => Ok(Some(next)),
            Some(_) => Ok(None),
            None => Err(HttpError::NotAllowed {
                host,
                problem: format!("{} redirects to it", origin(url)),
            }),
        }
    }

    /// Method, host and path as they may be shown.
    fn at(&self, url: &Url) -> String {
        let path = redact(url.path(), &self.hidden);
        format!("{} {}{path}", self.method, origin(url))
    }
}
