//! An S3-compatible object store over HTTP: objects read, written and written on a condition. Requests carry their
//! signature in the query (AWS Signature Version 4, presigned), which no error and no log line shows.

mod anchor;
mod blobs;
mod probe;

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use lumos_engine::ports::Clock;
use lumos_http::{Answer, Auth, Client, HttpError, Method, Peer, Request, Secret};
use rusty_s3::{Bucket, Credentials, UrlStyle, signing::sign};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

pub use anchor::ObjectAnchor;
pub use blobs::ObjectBlobs;

/// How long a signed request may be used: for clocks that differ a little and networks that are slow.
const SIGNED_FOR: Duration = Duration::from_mins(5);

/// Where an object store is and how it is asked.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectSettings {
    /// Its address without the bucket, such as `https://s3.eu-central-1.amazonaws.com`.
    pub url: String,
    /// The bucket, named in the path of each request.
    pub bucket: String,
    /// The region that signatures are for.
    pub region: String,
    /// What the name of each object begins with, such as `lumos/prod`; one ledger's own.
    #[serde(default)]
    pub prefix: String,
    /// The id of the access key.
    pub access_key_id: Secret,
    /// The access key.
    pub secret_access_key: Secret,
    /// Whether blobs are kept here too, rather than beside the ledger.
    #[serde(default)]
    pub blobs: bool,
}

/// Why an object store did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectError {
    /// The settings do not describe an object store.
    #[error("reading the settings of the object store: {problem}")]
    Settings {
        /// What is wrong with them.
        problem: String,
    },
    /// It does not do what an anchor needs: several servers could each move it.
    #[error("trying whether the object store can hold an anchor: {problem}")]
    Unfit {
        /// What it did.
        problem: String,
    },
    /// What it holds is not what was written there.
    #[error("reading object `{key}`: {problem}")]
    Damaged {
        /// The object.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
    /// It cannot be reached, or refused.
    #[error(transparent)]
    Http(#[from] HttpError),
}

impl ObjectError {
    /// The stable code of this error, a page in `docs/errors/`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Settings { .. } => "object-store-settings",
            Self::Unfit { .. } => "object-store-unfit",
            Self::Damaged { .. } => "object-damaged",
            Self::Http(error) => error.code(),
        }
    }
}

/// On what condition an object is written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Only<'a> {
    /// There is none of this name (`If-None-Match: *`).
    New,
    /// There is one with this `ETag` (`If-Match`).
    Is(&'a str),
}

/// An object as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) bytes: Vec<u8>,
    pub(crate) etag: String,
}

/// The objects of one ledger in a bucket. Cheap to clone.
#[derive(Clone)]
pub struct Objects(Arc<Reached>);

/// How they are reached.
struct Reached {
    peer: Peer,
    bucket: Bucket,
    credentials: Credentials,
    prefix: String,
    clock: Arc<dyn Clock>,
}

impl Objects {
    /// The objects that the settings name.
    ///
    /// # Errors
    /// [`ObjectError::Settings`], or when the client may not reach the store.
    pub fn new(
        settings: &ObjectSettings,
        http: &Client,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ObjectError> {
        let wrong = |problem: &str| ObjectError::Settings {
            problem: problem.to_owned(),
        };
        let prefix = settings.prefix.trim_matches('/').to_owned();
        let plain = |text: &str| {
            let allowed = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
            !text.is_empty() && text != "." && text != ".." && text.chars().all(allowed)
        };
        if !plain(&settings.bucket) || !plain(&settings.region) {
            return Err(wrong(
                "`bucket` and `region` are of letters, digits, `-`, `.` and `_`",
            ));
        }
        if !prefix.is_empty() && !prefix.split('/').all(plain) {
            return Err(wrong(
                "`prefix` is of letters, digits, `-`, `.`, `_` and `/`",
            ));
        }
        let peer = http.peer(&settings.url, Auth::None)?;
        let endpoint = url::Url::parse(&settings.url)
            .map_err(|error| wrong(&format!("`url` cannot be read: {error}")))?;
        let (name, region) = (settings.bucket.clone(), settings.region.clone());
        let bucket = Bucket::new(endpoint, UrlStyle::Path, name, region)
            .map_err(|error| wrong(&error.to_string()))?;
        let credentials = Credentials::new(
            settings.access_key_id.expose().to_owned(),
            settings.secret_access_key.expose().to_owned(),
        );
        Ok(Self(Arc::new(Reached {
            peer,
            bucket,
            credentials,
            prefix,
            clock,
        })))
    }

    /// The full name of the object `key` of this ledger.
    fn name(&self, key: &str) -> String {
        if self.0.prefix.is_empty() {
            key.to_owned()
        } else {
            format!("{}/{key}", self.0.prefix)
        }
    }

    /// Where the object `key` is, for people.
    fn place(&self, key: &str) -> String {
        let (origin, bucket) = (self.0.peer.origin(), self.0.bucket.name());
        format!("{origin}/{bucket}/{}", self.name(key))
    }

    /// A call of `name`, or of the bucket where that is empty, signed with its query and headers; both are sorted.
    fn call(
        &self,
        method: Method,
        name: &str,
        query: &[(&str, String)],
        headers: &[(&str, String)],
    ) -> Request {
        let Reached {
            peer,
            bucket,
            credentials,
            ..
        } = &*self.0;
        let signed = sign(
            &self.0.clock.now(),
            match method {
                Method::PUT => rusty_s3::Method::Put,
                Method::DELETE => rusty_s3::Method::Delete,
                _ => rusty_s3::Method::Get,
            },
            bucket.object_url(name),
            credentials.key(),
            credentials.secret(),
            None,
            bucket.region(),
            SIGNED_FOR.as_secs(),
            query.iter().map(|(key, value)| (*key, value.as_str())),
            headers.iter().map(|(key, value)| (*key, value.as_str())),
        );
        let path = format!("{}/{name}", bucket.name());
        let mut request = peer.request(method, &path);
        for (key, value) in signed.query_pairs() {
            request = request.query(&key, &value);
        }
        for (header, value) in headers {
            request = request.header(header, value);
        }
        request
    }

    /// Writes an object; `None` when the condition does not hold. Returns its new `ETag`.
    pub(crate) async fn put(
        &self,
        key: &str,
        bytes: Vec<u8>,
        only: Only<'_>,
    ) -> Result<Option<String>, ObjectError> {
        let name = self.name(key);
        let condition = match only {
            Only::New => ("if-none-match", "*".to_owned()),
            Only::Is(etag) => ("if-match", etag.to_owned()),
        };
        let checksum = STANDARD.encode(Sha256::digest(&bytes));
        let headers = [condition, ("x-amz-checksum-sha256", checksum)];
        let call = self.call(Method::PUT, &name, &[], &headers);
        let answer = call.bytes("application/octet-stream", bytes).send().await?;
        match (answer.status, only) {
            // Two conditional writes at once: this one was not done (AWS: ConditionalRequestConflict).
            (409 | 412, _) => Ok(None),
            (404, Only::Is(_)) if is_absent(&answer) => Ok(None),
            (200..=299, _) => match answer.header("etag") {
                "" => Err(ObjectError::Unfit {
                    problem: "it gave no `ETag` for what was written".to_owned(),
                }),
                etag => Ok(Some(etag.to_owned())),
            },
            _ => Err(answer.refusal(&[]).into()),
        }
    }

    /// Reads a whole object, of at most as many bytes as an answer may have.
    pub(crate) async fn get(&self, key: &str) -> Result<Option<Object>, ObjectError> {
        let answer = self.read(key, &[]).await?;
        if is_absent(&answer) {
            return Ok(None);
        }
        if answer.status != 200 {
            return Err(answer.refusal(&[]).into());
        }
        Ok(Some(Object {
            etag: answer.header("etag").to_owned(),
            bytes: answer.body.to_vec(),
        }))
    }

    async fn read(&self, key: &str, headers: &[(&str, String)]) -> Result<Answer, ObjectError> {
        let name = self.name(key);
        let call = self.call(Method::GET, &name, &[], headers);
        Ok(call.send().await?)
    }

    /// Up to `max` keys of objects whose key begins with `under`, those after the key `after`, in order.
    pub(crate) async fn list(
        &self,
        under: &str,
        after: &str,
        max: u32,
    ) -> Result<Vec<String>, ObjectError> {
        let query = [
            ("list-type", "2".to_owned()),
            ("max-keys", max.to_string()),
            ("prefix", self.name(under)),
            ("start-after", self.name(after)),
        ];
        let answer = self.call(Method::GET, "", &query, &[]).send().await?;
        if answer.status != 200 {
            return Err(answer.refusal(&[]).into());
        }
        let (text, own) = (String::from_utf8_lossy(&answer.body), self.name(""));
        Ok(keys(&text)
            .filter_map(|key| key.strip_prefix(&own))
            .map(str::to_owned)
            .collect())
    }

    /// Removes an object, whether it is there or not.
    pub(crate) async fn delete(&self, key: &str) -> Result<(), ObjectError> {
        let name = self.name(key);
        let answer = self.call(Method::DELETE, &name, &[], &[]).send().await?;
        if answer.is_success() || is_absent(&answer) {
            return Ok(());
        }
        Err(answer.refusal(&[]).into())
    }
}

/// The keys in a list of objects (`ListBucketResult`). Ours are plain: nothing in them is escaped in XML.
fn keys(list: &str) -> impl Iterator<Item = &str> {
    let parts = list.split("<Key>").skip(1);
    parts.filter_map(|part| Some(part.split_once("</Key>")?.0))
}

/// Whether the answer says that there is no such object. A bucket that is not there is something else: a failure.
fn is_absent(answer: &Answer) -> bool {
    let said = String::from_utf8_lossy(&answer.body);
    answer.status == 404 && said.contains("<Code>NoSuchKey</Code>")
}
