//! Which key and which version of the views the tables were made with: with another key nobody is found by their
//! login, and a view that an older version did not have is empty until it is made anew.

use crate::{
    key::ServerKey,
    ports::{PortError, Statement, Store},
};

/// Beside the projections, not one of them: no entry says it.
pub(super) const SCHEMA: &[&str] =
    &["CREATE TABLE IF NOT EXISTS lookups (made_with TEXT PRIMARY KEY)"];

/// Counts the changes of `views` that need the tables made anew.
const VERSION: &str = "4";

/// What tells a key and a version from others, and nothing else about them.
fn mark(key: &ServerKey) -> String {
    key.of(&["check", VERSION])
}

/// What made the tables, as the store notes it: this version's views, with `key`.
#[must_use]
pub fn made_by(key: &ServerKey) -> String {
    mark(key)
}

/// Whether the lookups were made with `key`, to the end.
///
/// # Errors
/// When the store fails.
pub async fn are_made_with(store: &dyn Store, key: &ServerKey) -> Result<bool, PortError> {
    let rows = store
        .query("SELECT made_with FROM lookups", Vec::new())
        .await?;
    Ok(matches!(rows.as_slice(), [row] if row.text(0) == mark(key)))
}

/// Notes that no key is known to have made the lookups: before they are made anew.
///
/// # Errors
/// When the store fails.
pub async fn forget(store: &dyn Store) -> Result<(), PortError> {
    store.execute(vec![wipe()]).await?;
    Ok(())
}

/// Notes that the lookups were made with `key`, to the end.
///
/// # Errors
/// When the store fails.
pub async fn note(store: &dyn Store, key: &ServerKey) -> Result<(), PortError> {
    let write = Statement {
        sql: "INSERT INTO lookups (made_with) VALUES ($1)",
        params: vec![mark(key).into()],
    };
    store.execute(vec![wipe(), write]).await?;
    Ok(())
}

fn wipe() -> Statement {
    Statement {
        sql: "DELETE FROM lookups",
        params: Vec::new(),
    }
}
