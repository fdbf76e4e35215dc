//! Which version of LUMOS the tables are of. Replicas of two versions run side by side while one replaces the other;
//! as soon as the newer one has changed the tables, or has made those beside the ledger anew, the older one appends no
//! more: it would write beside its entries what it knows, and not what the newer one reads.

use std::sync::{Mutex, MutexGuard, PoisonError};

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
    /// How often something was learnt.
    learnt: u64,
}

impl State {
    fn compare(&mut self, said: &Said) -> bool {
        let known = migrate::known_version().to_string();
        let differ = |noted: &Option<String>, own: &Option<String>| matches!((noted, own), (Some(noted), Some(own)) if noted != own);
        self.other = differ(&said.schema, &Some(known)) || differ(&said.views, &self.views);
        self.learnt += 1;
        self.other
    }
}

impl Tables {
    /// Whether they are another version's by now. What nobody noted is nobody's.
    pub(super) fn compare(&self, said: &Said) -> bool {
        self.state().compare(said)
    }

    /// Looks at what they are now, without the lock of the head.
    pub(super) async fn look(&self, client: &ClientWrapper) -> Result<(), Failure> {
        let asked = self.state().learnt;
        let said = Said::read(&select(client, SQL, &[]).await?)?;
        self.heard(asked, &said);
        Ok(())
    }

    /// Takes an answer to what was asked when so much was learnt. Where more was learnt since, it may be older than that.
    fn heard(&self, asked: u64, said: &Said) {
        let mut state = self.state();
        if state.learnt == asked {
            state.compare(said);
        }
    }

    /// This process writes and reads those beside the ledger by these views.
    pub(super) fn are_read_by(&self, views: &str) {
        let mut state = self.state();
        state.views = Some(views.to_owned());
        state.learnt += 1;
    }

    pub(super) fn are_of_other_version(&self) -> bool {
        self.state().other
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_comes_late_makes_nobody_forget_a_newer_one() {
        let tables = Tables::default();
        tables.are_read_by("1");
        let of = |views: &str| Said {
            views: Some(views.to_owned()),
            ..Said::default()
        };
        let asked = tables.state().learnt;
        assert!(tables.compare(&of("2")), "an append finds out");
        tables.heard(asked, &of("1"));
        assert!(tables.are_of_other_version(), "it was asked before that");
        let asked = tables.state().learnt;
        tables.heard(asked, &of("1"));
        assert!(!tables.are_of_other_version());
    }
}
