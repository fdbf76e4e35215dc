//! Blobs in an object store: evidence, reports, documents, by their SHA-256. Never written over, unless what is there
//! does not have its digest any more; checked each time they are read. Read in pieces, each as large as one answer may
//! be.

use async_trait::async_trait;
use lumos_domain::id::Digest;
use lumos_engine::ports::{Blobs, PortError};
use lumos_http::Answer;

use super::{Object, ObjectError, Objects, Only, is_absent};

/// What the key of each blob begins with.
const FOLDER: &str = "blobs/";
/// Bytes of one piece.
const PIECE: u64 = 8 << 20;

/// The blobs in the objects `PREFIX/blobs/AB/ABCD…`.
#[derive(Clone)]
pub struct ObjectBlobs(Objects);

impl ObjectBlobs {
    /// The blobs among `objects`.
    #[must_use]
    pub const fn new(objects: Objects) -> Self {
        Self(objects)
    }

    /// What stands under the name of this digest, whatever it is.
    async fn find(&self, digest: &Digest) -> Result<Option<Object>, ObjectError> {
        let (key, mut bytes) = (key(digest), Vec::new());
        loop {
            let from = bytes.len() as u64;
            let range = format!("bytes={from}-{}", from + PIECE - 1);
            let answer = self.0.read(&key, &[("range", range)]).await?;
            let etag = answer.header("etag").to_owned();
            match answer.status {
                404 if is_absent(&answer) => return Ok(None),
                // What has no bytes has no first byte either.
                416 if from == 0 => return self.0.get(&key).await,
                // All of it, from a store that knows no ranges.
                200 => {
                    let bytes = answer.body.to_vec();
                    return Ok(Some(Object { bytes, etag }));
                }
                206 => {
                    bytes.extend_from_slice(&answer.body);
                    if answer.body.is_empty() || bytes.len() as u64 >= whole(&answer) {
                        return Ok(Some(Object { bytes, etag }));
                    }
                }
                _ => return Err(answer.refusal(&[]).into()),
            }
        }
    }

    async fn store(&self, digest: &Digest, bytes: Vec<u8>) -> Result<(), ObjectError> {
        let key = key(digest);
        let written = match self.find(digest).await? {
            Some(found) if Digest::of(&found.bytes) == *digest => return Ok(()),
            Some(damaged) => {
                let mended = self.0.put(&key, bytes, Only::Is(&damaged.etag)).await?;
                mended.is_some()
            }
            None => self.0.put(&key, bytes, Only::New).await?.is_some(),
        };
        // Somebody else wrote it meanwhile: what is there now is looked at.
        if written || self.checked(digest).await?.is_some() {
            return Ok(());
        }
        Err(damaged(digest, "it was removed while it was written"))
    }

    async fn checked(&self, digest: &Digest) -> Result<Option<Vec<u8>>, ObjectError> {
        match self.find(digest).await? {
            Some(found) if Digest::of(&found.bytes) != *digest => {
                Err(damaged(digest, "it does not have its digest any more"))
            }
            found => Ok(found.map(|found| found.bytes)),
        }
    }
}

fn key(digest: &Digest) -> String {
    let hex = digest.hex();
    format!("{FOLDER}{}/{hex}", &hex[..2])
}

fn damaged(digest: &Digest, problem: &str) -> ObjectError {
    ObjectError::Damaged {
        key: key(digest),
        problem: problem.to_owned(),
    }
}

/// How many bytes the whole object has (RFC 9110, 14.4: `bytes 0-7/8`); nothing more to read where it does not say.
fn whole(answer: &Answer) -> u64 {
    let range = answer.header("content-range");
    let size = range
        .rsplit_once('/')
        .and_then(|(_, size)| size.parse().ok());
    size.unwrap_or(0)
}

#[async_trait]
impl Blobs for ObjectBlobs {
    async fn put(&self, bytes: Vec<u8>) -> Result<Digest, PortError> {
        let digest = Digest::of(&bytes);
        let stored = self.store(&digest, bytes).await;
        stored.map_err(|error| PortError::new("storing a blob", error))?;
        Ok(digest)
    }

    async fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>, PortError> {
        let read = self.checked(digest).await;
        read.map_err(|error| PortError::new(format!("reading blob `{digest}`"), error))
    }

    async fn list(&self, after: Option<&Digest>, max: u32) -> Result<Vec<Digest>, PortError> {
        let after = after.map_or_else(|| FOLDER.to_owned(), key);
        let listed = self.0.list(FOLDER, &after, max).await;
        let keys = listed.map_err(|error| PortError::new("listing blobs", error))?;
        // What is not named as a blob is none.
        let digest = |key: &String| {
            let named = key.rsplit('/').next()?;
            let digest: Digest = format!("sha256:{named}").parse().ok()?;
            (self::key(&digest) == *key).then_some(digest)
        };
        Ok(keys.iter().filter_map(digest).collect())
    }
}
