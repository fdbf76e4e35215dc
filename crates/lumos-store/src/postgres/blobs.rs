//! Blobs in the database: evidence, reports, documents, for replicas that share no disk. What a digest names is checked
//! each time it is read. Kept in pieces, so that no statement is larger than one of them.

use async_trait::async_trait;
use deadpool_postgres::{ClientWrapper, Pool};
use lumos_domain::id::Digest;
use lumos_engine::ports::{Blobs, PortError};
use tokio_postgres::types::ToSql;

use super::{Lent, clamp, failure::Failure, select};

/// Bytes of a piece.
const PIECE: usize = 1 << 20;

const LIST: &str = "SELECT digest FROM blobs WHERE digest > $1 ORDER BY digest LIMIT $2";

const PIECES: &str = "SELECT bytes FROM blob_pieces WHERE digest = $1 AND piece = $2";

/// The blobs of a [`super::PostgresStore`].
#[derive(Debug, Clone)]
pub struct PostgresBlobs {
    readers: Pool,
    changes: Pool,
}

impl PostgresBlobs {
    pub(super) fn new(readers: Pool, changes: Pool) -> Self {
        Self { readers, changes }
    }

    async fn read(&self, digest: &Digest) -> Result<Option<Vec<u8>>, Failure> {
        let client = self.readers.get().await?;
        read(&client, digest).await
    }

    async fn write(&self, digest: &Digest, bytes: &[u8]) -> Result<(), Failure> {
        let lent = Lent::new(self.changes.get().await?);
        let written = write(lent.client()?, digest, bytes).await;
        if written.is_ok() {
            lent.give_back();
        }
        written
    }
}

#[async_trait]
impl Blobs for PostgresBlobs {
    async fn put(&self, bytes: Vec<u8>) -> Result<Digest, PortError> {
        let digest = Digest::of(&bytes);
        let failed = |failure: Failure| failure.into_port("storing a blob");
        match self.read(&digest).await {
            Ok(Some(_)) => {}
            // Missing, or damaged and now mended.
            Ok(None) | Err(Failure::Damaged(_)) => {
                self.write(&digest, &bytes).await.map_err(failed)?;
            }
            Err(failure) => return Err(failed(failure)),
        }
        Ok(digest)
    }

    async fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>, PortError> {
        self.read(digest)
            .await
            .map_err(|failure| PortError::new(format!("reading blob `{digest}`"), failure))
    }

    async fn list(&self, after: Option<&Digest>, max: u32) -> Result<Vec<Digest>, PortError> {
        let read = async || -> Result<Vec<Digest>, Failure> {
            let client = self.readers.get().await?;
            let after = after.map(Digest::hex).unwrap_or_default();
            let params: &[&(dyn ToSql + Sync)] = &[&after, &i64::from(max)];
            let rows = select(&client, LIST, params).await?;
            rows.iter().map(|row| digest(row.try_get(0)?)).collect()
        };
        read()
            .await
            .map_err(|failure| PortError::new("listing blobs", failure))
    }
}

fn digest(hex: &str) -> Result<Digest, Failure> {
    let digest = format!("sha256:{hex}").parse();
    digest.map_err(|_| Failure::Damaged(format!("`{hex}` is no digest of a blob")))
}

/// Reads piece by piece: what is in memory is the blob and one piece of it.
async fn read(client: &ClientWrapper, digest: &Digest) -> Result<Option<Vec<u8>>, Failure> {
    let key = digest.hex();
    let found = select(client, "SELECT size FROM blobs WHERE digest = $1", &[&key]).await?;
    let Some(row) = found.first() else {
        return Ok(None);
    };
    let size = usize::try_from(row.try_get::<_, i64>(0)?).unwrap_or(usize::MAX);
    let mut bytes = Vec::new();
    let mut piece = 0_i64;
    while bytes.len() < size {
        let rows = select(client, PIECES, &[&key, &piece]).await?;
        let Some(row) = rows.first() else { break };
        bytes.extend_from_slice(row.try_get(0)?);
        piece += 1;
    }
    if bytes.len() != size || Digest::of(&bytes) != *digest {
        let problem = "a blob does not have its digest any more";
        return Err(Failure::Damaged(problem.to_owned()));
    }
    Ok(Some(bytes))
}

/// Writes all of it in one transaction. Of two that write the same one waits for the other and finds it there.
async fn write(client: &ClientWrapper, digest: &Digest, bytes: &[u8]) -> Result<(), Failure> {
    let key = digest.hex();
    client.batch_execute("BEGIN").await?;
    // What is there by now is either the same, or damaged and in the way.
    if !matches!(read(client, digest).await, Ok(Some(_))) {
        let delete = "DELETE FROM blobs WHERE digest = $1";
        client.execute(delete, &[&key]).await?;
        let size = clamp(bytes.len() as u64);
        let insert = "INSERT INTO blobs (digest, size) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        if client.execute(insert, &[&key, &size]).await? == 1 {
            let sql = "INSERT INTO blob_pieces (digest, piece, bytes) VALUES ($1, $2, $3)";
            let statement = client.prepare_cached(sql).await?;
            for (piece, bytes) in (0_i64..).zip(bytes.chunks(PIECE)) {
                client.execute(&statement, &[&key, &piece, &bytes]).await?;
            }
        }
    }
    Ok(client.batch_execute("COMMIT").await?)
}
