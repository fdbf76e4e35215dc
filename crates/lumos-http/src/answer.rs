//! Answers: bounded in memory, or line by line as they come. Not here: what they mean.

use bytes::{Bytes, BytesMut};
use reqwest::{Response, header::HeaderMap};
use serde::de::DeserializeOwned;

use crate::{HttpError, Secret, secret::redact};

/// How much of a refusal is shown.
const EXCERPT_CHARS: usize = 300;

/// An answer that was read to its end.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its bytes.
    pub body: Bytes,
    at: String,
}

impl Answer {
    /// Whether the status is 2xx.
    #[must_use]
    pub const fn is_success(&self) -> bool {
        matches!(self.status, 200..=299)
    }

    /// The header `name`; empty when it is absent or not text.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default()
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// `http-not-json`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, HttpError> {
        serde_json::from_slice(&self.body).map_err(|error| HttpError::NotJson {
            at: self.at.clone(),
            problem: error.to_string(),
        })
    }

    /// This answer as an error, `secrets` struck out.
    #[must_use]
    pub fn refusal(&self, secrets: &[Secret]) -> HttpError {
        HttpError::Status {
            at: self.at.clone(),
            status: self.status,
            body: excerpt(&self.body, secrets),
        }
    }
}

/// The beginning of a body in one line of printable characters. Secrets go first, so that none is cut in two.
pub(crate) fn excerpt(body: &[u8], secrets: &[Secret]) -> String {
    let text = redact(&String::from_utf8_lossy(body), secrets);
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    words
        .chars()
        .filter(|c| !c.is_control())
        .take(EXCERPT_CHARS)
        .collect()
}

pub(crate) async fn read_bounded(
    mut response: Response,
    at: String,
    limit_bytes: u64,
) -> Result<Answer, HttpError> {
    let mut body = BytesMut::new();
    if response.content_length().unwrap_or(0) > limit_bytes {
        return Err(HttpError::TooLarge { at, limit_bytes });
    }
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| HttpError::of_call(&at, error))?
    {
        if (body.len() + chunk.len()) as u64 > limit_bytes {
            return Err(HttpError::TooLarge { at, limit_bytes });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        body: body.freeze(),
        at,
    })
}

/// The lines of an answer as they come.
#[derive(Debug)]
pub struct Lines {
    response: Response,
    at: String,
    limit_bytes: u64,
    pending: BytesMut,
    /// How much of `pending` is known to hold no line end, so that a long line is not searched again.
    searched: usize,
}

impl Lines {
    pub(crate) fn new(response: Response, at: String, limit_bytes: u64) -> Self {
        Self {
            response,
            at,
            limit_bytes,
            pending: BytesMut::new(),
            searched: 0,
        }
    }

    /// The next line without its end; `None` when the answer is over. What is not UTF-8 is replaced.
    ///
    /// # Errors
    /// `http-timeout` after too long a silence, `http-unreachable` when the connection is lost,
    /// `http-too-large` when one line is longer than an answer may be.
    pub async fn next(&mut self) -> Result<Option<String>, HttpError> {
        loop {
            if let Some(at) = self.pending[self.searched..]
                .iter()
                .position(|&b| b == b'\n')
            {
                let line = self.pending.split_to(self.searched + at + 1);
                self.searched = 0;
                return Ok(Some(text(&line)));
            }
            self.searched = self.pending.len();
            if self.searched as u64 > self.limit_bytes {
                return Err(HttpError::TooLarge {
                    at: self.at.clone(),
                    limit_bytes: self.limit_bytes,
                });
            }
            let chunk = self.response.chunk().await;
            match chunk.map_err(|error| HttpError::of_call(&self.at, error))? {
                Some(chunk) => self.pending.extend_from_slice(&chunk),
                None if self.pending.is_empty() => return Ok(None),
                None => {
                    self.searched = 0;
                    return Ok(Some(text(&self.pending.split())));
                }
            }
        }
    }
}

fn text(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    String::from_utf8_lossy(line).into_owned()
}
