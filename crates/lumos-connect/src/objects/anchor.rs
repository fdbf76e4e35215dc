//! The anchor that several servers share: one object, written only in the place of the one that was read.

use std::time::Duration;

use async_trait::async_trait;
use lumos_engine::ports::{Anchor, AnchorError, Held, PortError};
use tokio::time::timeout;

use super::{ObjectError, Objects, Only};

/// The object that holds the checkpoint.
const KEY: &str = "anchor/checkpoint";
/// How long the store may take. Nothing is published meanwhile, so it is told soon that it does not answer.
const WITHIN: Duration = Duration::from_secs(10);

/// The checkpoint in the object `PREFIX/anchor/checkpoint`.
#[derive(Clone)]
pub struct ObjectAnchor(Objects);

impl ObjectAnchor {
    /// The anchor among `objects`, after trying that the store really writes on a condition only: some know nothing of
    /// conditions and write all the same. `nonce` names the objects it is tried with; nobody else has the same.
    ///
    /// # Errors
    /// [`ObjectError::Unfit`] when it does not, or when it cannot be asked.
    pub async fn open(objects: Objects, nonce: &str) -> Result<Self, ObjectError> {
        objects.probe(nonce).await?;
        Ok(Self(objects))
    }
}

async fn soon<T>(
    doing: &'static str,
    asked: impl Future<Output = Result<T, ObjectError>>,
) -> Result<T, PortError> {
    match timeout(WITHIN, asked).await {
        Ok(answer) => answer.map_err(|error| PortError::new(doing, error)),
        Err(late) => Err(PortError::new(doing, late)),
    }
}

#[async_trait]
impl Anchor for ObjectAnchor {
    fn place(&self) -> String {
        self.0.place(KEY)
    }

    async fn load(&self) -> Result<Option<Held>, PortError> {
        let found = soon("reading the anchor", self.0.get(KEY)).await?;
        Ok(found.map(|object| Held {
            note: object.bytes,
            tag: object.etag,
        }))
    }

    async fn replace(&self, seen: Option<&Held>, checkpoint: &[u8]) -> Result<Held, AnchorError> {
        let only = seen.map_or(Only::New, |seen| Only::Is(&seen.tag));
        let put = self.0.put(KEY, checkpoint.to_vec(), only);
        match soon("moving the anchor", put).await? {
            Some(tag) => Ok(Held {
                note: checkpoint.to_vec(),
                tag,
            }),
            None => Err(AnchorError::Moved),
        }
    }

    fn is_shared(&self) -> bool {
        true
    }
}
