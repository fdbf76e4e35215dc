//! Which keys every server of a ledger can open. A key in a file is made on one of several servers; if it were to sign, the
//! others could not. So each says which keys it could sign with, and nobody rotates to one that not all of them can open.

use std::{sync::Arc, time::Duration};

use jiff::SignedDuration;
use lumos_domain::keys::AddKey;
use tokio::sync::watch;

use super::{KeyError, KeyRing, as_added};
use crate::{ports::Statement, runtime::stopped, views::statement};

/// What each server could sign with, and until when that is believed.
pub(crate) const SCHEMA: &[&str] = &["CREATE TABLE IF NOT EXISTS key_reach (
    server TEXT NOT NULL, key_id TEXT NOT NULL, until_us BIGINT NOT NULL, PRIMARY KEY (server, key_id))"];

/// How often a server says it.
const PACE: Duration = Duration::from_secs(2);
/// How long it is believed: as long as a server that was killed counts, and then perhaps twice.
const BELIEVED: SignedDuration = SignedDuration::from_secs(6);

/// The servers of one ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Servers {
    /// This one, unlike any other process.
    pub this: String,
    /// How many there are, as the settings say.
    pub count: u16,
}

impl KeyRing {
    /// The same ring on one of several servers.
    #[must_use]
    pub fn among(mut self, servers: Servers) -> Self {
        self.servers = Some(servers).filter(|servers| servers.count > 1);
        self
    }

    /// Has a key sign something that is no checkpoint, and asks whether every other server could as well.
    ///
    /// # Errors
    /// When it does not, or [`KeyError::NotEverywhere`].
    pub async fn try_out_everywhere(&self, key: &AddKey) -> Result<(), KeyError> {
        self.try_out(key).await?;
        let Some(servers) = &self.servers else {
            return Ok(());
        };
        self.announce(servers).await?;
        let sql = "SELECT COUNT(*) FROM key_reach WHERE key_id = $1 AND until_us > $2";
        let params = vec![key.key.id().into(), self.clock.now().into()];
        let rows = self.store.query(sql, params).await?;
        let found = rows.first().and_then(|row| row.int(0)).unwrap_or(0);
        if found < i64::from(servers.count) {
            return Err(KeyError::NotEverywhere {
                id: key.key.id().to_owned(),
                found,
                servers: servers.count,
            });
        }
        Ok(())
    }

    /// Says again and again which keys could sign here, until `stop` turns true; nothing where there is one server.
    pub async fn say_what_it_reaches(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let Some(servers) = &self.servers else {
            return stopped(&mut stop).await;
        };
        loop {
            if let Err(failed) = self.announce(servers).await {
                tracing::debug!(problem = %failed, "the other servers do not know which keys are here");
            }
            tokio::select! {
                () = tokio::time::sleep(PACE) => {}
                () = stopped(&mut stop) => return,
            }
        }
    }

    /// Only what could be rotated to: what signs already is opened at the start and at each signature.
    async fn announce(&self, servers: &Servers) -> Result<(), KeyError> {
        let known = {
            let mut held = self.held.lock().await;
            held.read(&*self.store).await?;
            held.history.now().known
        };
        let now = self.clock.now();
        let mut statements: Vec<Statement> = vec![statement!(
            "DELETE FROM key_reach WHERE until_us <= $1 OR server = $2",
            now,
            servers.this.as_str(),
        )];
        let unused = known
            .iter()
            .filter(|key| !key.used && key.good_until.is_none());
        for key in unused {
            if self.opened(&as_added(key)).await.is_ok() {
                statements.push(statement!(
                    "INSERT INTO key_reach (server, key_id, until_us) VALUES ($1, $2, $3)
                     ON CONFLICT (server, key_id) DO UPDATE SET until_us = excluded.until_us",
                    servers.this.as_str(),
                    key.key.id(),
                    now + BELIEVED,
                ));
            }
        }
        self.store.execute(statements).await?;
        Ok(())
    }
}
