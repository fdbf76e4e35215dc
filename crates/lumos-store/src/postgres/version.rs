//! Which version of LUMOS the tables are of. Replicas of two versions run side by side while one replaces the other;
//! as soon as the newer one has changed the tables, or has made those beside the ledger anew, the older one appends no
//! more: it would write beside its entries what it knows, and not what the newer one reads.

use std::sync::{Mutex, PoisonError};

use deadpool_postgres::ClientWrapper;
use tokio_postgres::Row;

use super::{failure::Failure, migrate, select};

/// What `meta` says that decides whether anything may be appended.
pub(super) const SQL: &str =
    "SELECT key, value FROM meta WHERE key IN ('rebuild', 'schema_version', 'views')";

/// What `meta` says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// A rebuild has begun and not ended.
    pub(super) rebuilding: bool,
    schema: Option<String>,
    views: Option<String>,
}

impl Said {
    pub(super) fn read(rows: &[Row]) -> Result<Self, Failure> {
        let mut said = Self::default();
        for row in rows {
            let (key, value): (&str, String) = (row.try_get(0)?, row.try_get(1)?);
            match key {
                "schema_version" => said.schema = Some(value),
                "views" => said.views = Some(value),
                _ => said.rebuilding = true,
            }
        }
        Ok(said)
    }
}

/// What this process takes the tables to be.
#[derive(Default)]
pub(super) struct Tables(Mutex<State>);

#[derive(Default)]
struct State {
    /// The views of this version, once it said so.
    views: Option<String>,
    other: bool,
}

impl Tables {
    /// Whether they are another version's by now. What nobody noted is nobody's.
    pub(super) fn compare(&self, said: &Said) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = migrate::known_version().to_string();
        let differ = |noted: &Option<String>, own: &Option<String>| matches!((noted, own), (Some(noted), Some(own)) if noted != own);
        state.other = differ(&said.schema, &Some(known)) || differ(&said.views, &state.views);
        state.other
    }

    /// Looks at what they are now.
    pub(super) async fn look(&self, client: &ClientWrapper) -> Result<(), Failure> {
        let said = Said::read(&select(client, SQL, &[]).await?)?;
        self.compare(&said);
        Ok(())
    }

    /// This process writes and reads those beside the ledger by these views.
    pub(super) fn are_read_by(&self, views: &str) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.views = Some(views.to_owned());
    }

    pub(super) fn are_of_other_version(&self) -> bool {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.other
    }
}
