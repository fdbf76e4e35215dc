//! What a server must be like to hold a ledger: it writes, in UTF-8, and forgets nothing that it acknowledged,
//! neither after a power cut nor after a fail-over. Looked at with every new connection that appends, since
//! another server may stand behind the same address by then.

use std::fmt;

use deadpool_postgres::ClientWrapper;
use tokio_postgres::Row;

use super::failure::Failure;
use crate::OpenError;

/// The oldest version of PostgreSQL that is tested.
const VERSION_MIN: i64 = 150_000;

const ASK: &str = "SELECT current_setting('fsync'), current_setting('full_page_writes'),
    current_setting('synchronous_commit'), current_setting('synchronous_standby_names'),
    pg_is_in_recovery(), current_setting('server_version_num')::bigint, current_setting('server_encoding'),
    (SELECT count(*) FROM pg_stat_replication
     WHERE coalesce(application_name, '') NOT IN ('pg_basebackup', 'pg_receivewal'))";

/// What the server says about itself.
#[derive(Debug, Clone)]
struct Server {
    fsync: String,
    full_page_writes: String,
    synchronous_commit: String,
    standby_names: String,
    in_recovery: bool,
    version: i64,
    encoding: String,
    replicas: i64,
}

impl Server {
    fn read(row: &Row) -> Result<Self, Failure> {
        Ok(Self {
            fsync: row.try_get(0)?,
            full_page_writes: row.try_get(1)?,
            synchronous_commit: row.try_get(2)?,
            standby_names: row.try_get(3)?,
            in_recovery: row.try_get(4)?,
            version: row.try_get(5)?,
            encoding: row.try_get(6)?,
            replicas: row.try_get(7)?,
        })
    }

    /// Why nothing can be appended here at all.
    fn unfit(&self) -> Option<String> {
        if self.in_recovery {
            return Some("the server is a standby, which cannot be written to".to_owned());
        }
        if self.version < VERSION_MIN {
            return Some(format!(
                "the server has version {}, the oldest that is tested is {VERSION_MIN}",
                self.version
            ));
        }
        (self.encoding != "UTF8")
            .then(|| format!("the database keeps text as {}, not UTF8", self.encoding))
    }

    /// Where an acknowledged entry could be lost.
    fn hazards(&self) -> Vec<Hazard> {
        let mut hazards = Vec::new();
        if self.fsync != "on" {
            hazards.push(Hazard::Fsync);
        }
        if self.full_page_writes != "on" {
            hazards.push(Hazard::TornPages);
        }
        let alone = self.standby_names.trim().is_empty();
        let durable = match self.synchronous_commit.as_str() {
            "on" | "remote_apply" => true,
            // Without a standby to wait for, it waits for the own disk as `on` does.
            "remote_write" => alone,
            _ => false,
        };
        if !durable {
            hazards.push(Hazard::Commit(self.synchronous_commit.clone()));
        }
        if self.replicas > 0 && alone {
            hazards.push(Hazard::Standby(self.replicas));
        }
        hazards
    }
}

/// A setting of the server under which an acknowledged entry can be lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hazard {
    /// `fsync` is off: a power cut loses or corrupts what was committed.
    Fsync,
    /// `full_page_writes` is off: a power cut can leave a page half-written for good.
    TornPages,
    /// `synchronous_commit` has this value: a commit is acknowledged before it is durable everywhere it must be.
    Commit(String),
    /// So many replicas follow, and none is waited for: a fail-over to one of them loses what it had not received.
    Standby(i64),
}

impl fmt::Display for Hazard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fsync => f.write_str("`fsync` is off"),
            Self::TornPages => f.write_str("`full_page_writes` is off"),
            Self::Commit(value) => write!(f, "`synchronous_commit` is `{value}`"),
            Self::Standby(count) => write!(
                f,
                "{count} replica(s) follow, but `synchronous_standby_names` is empty"
            ),
        }
    }
}

/// Several of them as a list in words.
pub(crate) fn listed(hazards: &[Hazard]) -> String {
    let words: Vec<_> = hazards.iter().map(ToString::to_string).collect();
    words.join("; ")
}

/// Refuses a server that cannot hold a ledger, or that could lose one while the operator did not accept that.
pub(super) async fn check(client: &ClientWrapper, accept_loss: bool) -> Result<(), OpenError> {
    let ask =
        async || -> Result<Server, Failure> { Server::read(&client.query_one(ASK, &[]).await?) };
    let server = ask()
        .await
        .map_err(OpenError::postgres("asking the server for its settings"))?;
    if let Some(problem) = server.unfit() {
        return Err(OpenError::Unfit { problem });
    }
    let hazards = server.hazards();
    if hazards.is_empty() {
        return Ok(());
    }
    if accept_loss {
        tracing::warn!(
            hazards = listed(&hazards),
            "the database may lose acknowledged entries, which the settings accept"
        );
        return Ok(());
    }
    Err(OpenError::MayLose { hazards })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound() -> Server {
        Server {
            fsync: "on".to_owned(),
            full_page_writes: "on".to_owned(),
            synchronous_commit: "on".to_owned(),
            standby_names: String::new(),
            in_recovery: false,
            version: VERSION_MIN,
            encoding: "UTF8".to_owned(),
            replicas: 0,
        }
    }

    #[test]
    fn what_could_lose_an_entry_is_named() {
        let check = |change: &dyn Fn(&mut Server), expected: &str| {
            let mut server = sound();
            change(&mut server);
            assert_eq!(listed(&server.hazards()), expected, "{server:?}");
            assert_eq!(server.unfit(), None);
        };
        let commit =
            |value: &'static str| move |s: &mut Server| s.synchronous_commit = value.into();
        check(&|_| {}, "");
        check(&|s| s.fsync = "off".into(), "`fsync` is off");
        check(
            &|s| s.full_page_writes = "off".into(),
            "`full_page_writes` is off",
        );
        check(&commit("off"), "`synchronous_commit` is `off`");
        check(&commit("local"), "`synchronous_commit` is `local`");
        check(&commit("remote_apply"), "");
        check(&commit("remote_write"), "");
        check(
            &|s| s.replicas = 2,
            "2 replica(s) follow, but `synchronous_standby_names` is empty",
        );
        check(
            &|s| {
                s.replicas = 2;
                s.standby_names = "ANY 1 (*)".into();
            },
            "",
        );
        check(
            &|s| {
                s.standby_names = "ANY 1 (*)".into();
                s.synchronous_commit = "remote_write".into();
            },
            "`synchronous_commit` is `remote_write`",
        );
    }

    #[test]
    fn what_cannot_hold_a_ledger_is_refused() {
        let unfit = |change: fn(&mut Server)| {
            let mut server = sound();
            change(&mut server);
            server.unfit().is_some()
        };
        assert!(unfit(|s| s.in_recovery = true));
        assert!(unfit(|s| s.version = 140_009));
        assert!(unfit(|s| s.encoding = "LATIN1".into()));
    }
}
