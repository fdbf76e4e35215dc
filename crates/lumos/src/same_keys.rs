//! Several servers of one ledger have the same keys: each refuses to start with others than the first one had. The key
//! of the ledger itself is held against the anchor, which it signed.

use anyhow::Result;
use lumos_enforce::dsse::StatementSigner;
use lumos_engine::{
    key::ServerKey,
    ports::{Statement, Store},
};

/// What tells each key from another one, and nothing else about it.
pub(crate) const SCHEMA: &[&str] =
    &["CREATE TABLE IF NOT EXISTS server_keys (name TEXT PRIMARY KEY, mark TEXT NOT NULL)"];

/// A server has another key than those beside it.
#[derive(Debug, thiserror::Error)]
#[error(
    "comparing keys: `keys/{name}` of this server is not the one that the other servers of this ledger have; give \
     every server the same files"
)]
pub(crate) struct OtherKey {
    /// The file in the data directory.
    name: &'static str,
}

impl OtherKey {
    /// The stable code of this error, a page in `docs/errors/`.
    #[expect(
        clippy::unused_self,
        reason = "every error with a code is asked for it"
    )]
    pub(crate) const fn code(&self) -> &'static str {
        "other-key"
    }
}

/// Compares the keys of this server with those noted by the first of several; a server that is the only one notes its
/// own, since it may have been given new ones.
///
/// # Errors
/// [`OtherKey`], or when the store fails.
pub(crate) async fn check(
    store: &dyn Store,
    server: &ServerKey,
    statements: &StatementSigner,
    replicas: u16,
) -> Result<()> {
    let marks = [
        ("server.hmac", server.of(&["the same on every server"])),
        ("statements.p256", statements.public().to_owned()),
    ];
    let sql = if replicas > 1 {
        "INSERT INTO server_keys (name, mark) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING"
    } else {
        "INSERT INTO server_keys (name, mark) VALUES ($1, $2)
         ON CONFLICT (name) DO UPDATE SET mark = excluded.mark"
    };
    let note = |(name, mark): &(&'static str, String)| Statement {
        sql,
        params: vec![(*name).into(), mark.clone().into()],
    };
    store.execute(marks.iter().map(note).collect()).await?;
    let noted = "SELECT mark FROM server_keys WHERE name = $1";
    for (name, mark) in marks {
        let rows = store.query(noted, vec![name.into()]).await?;
        if rows.first().is_none_or(|row| row.text(0) != mark) {
            return Err(OtherKey { name }.into());
        }
    }
    Ok(())
}
