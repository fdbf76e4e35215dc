//! Whether an object store keeps the conditions that an anchor rests on. Asked once at each start, of an object of
//! its own, because a store that does not know a condition passes over it and writes.

use super::{ObjectError, Objects, Only};

/// An `ETag` that no object of a probe has: the MD5 of nothing.
const NO_ETAG: &str = "\"d41d8cd98f00b204e9800998ecf8427e\"";

impl Objects {
    /// Tries each condition as it holds and as it does not, on an object named after `nonce`.
    ///
    /// # Errors
    /// [`ObjectError::Unfit`] when the store does not keep them, or when it cannot be asked.
    pub async fn probe(&self, nonce: &str) -> Result<(), ObjectError> {
        let key = format!("probe/{nonce}");
        let tried = self.try_conditions(&key).await;
        if let Err(error) = self.delete(&key).await {
            tracing::warn!(key, %error, "an object that was only tried with is left over");
        }
        tried
    }

    async fn try_conditions(&self, key: &str) -> Result<(), ObjectError> {
        let [one, two, three] = [b"one", b"two", b"3rd"].map(|text| text.to_vec());
        let etag = self.put(key, one.clone(), Only::New).await?;
        let Some(first) = etag else {
            return unfit("it refused to write a new object on the condition that there is none");
        };
        if self.put(key, two.clone(), Only::New).await?.is_some() {
            return unfit("it passes over `If-None-Match`: it wrote over an object that was there");
        }
        if self
            .put(key, two.clone(), Only::Is(NO_ETAG))
            .await?
            .is_some()
        {
            return unfit("it passes over `If-Match`: it wrote over an object that was another");
        }
        if self
            .get(key)
            .await?
            .is_none_or(|found| found.bytes != one || found.etag != first)
        {
            return unfit("what it gives back is not what was written");
        }
        let Some(second) = self.put(key, two.clone(), Only::Is(&first)).await? else {
            return unfit("it refused to write over an object by its own `ETag`");
        };
        if second == first {
            return unfit("two contents of an object have the same `ETag`");
        }
        if self.put(key, three, Only::Is(&first)).await?.is_some() {
            return unfit("it wrote over an object by an `ETag` that it no longer had");
        }
        let last = self.get(key).await?;
        if last.is_none_or(|found| found.bytes != two || found.etag != second) {
            return unfit("what it gives back is not what was written last");
        }
        Ok(())
    }
}

fn unfit(problem: &str) -> Result<(), ObjectError> {
    Err(ObjectError::Unfit {
        problem: problem.to_owned(),
    })
}
