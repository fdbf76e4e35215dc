//! Whether the business records are what the entries say, both ways: every row of a view follows from entries, and
//! what follows from entries is there. A second store, made from nothing but the entries, is what they say.

use std::cmp::Ordering;

use lumos_domain::seal::SealedValue;

use crate::ports::{PortError, Row, Store, Value};

/// Rows read at a time from each side.
const PAGE: i64 = 1_000;
/// Differences named of one table; further ones are counted.
const NAMED: usize = 20;

/// A kind of record: its columns, of which the first `keys` name a row and order them.
struct Kind {
    name: &'static str,
    keys: usize,
    sql: &'static str,
}

macro_rules! kinds {
    ($($name:literal, $keys:literal: $columns:literal from $table:literal by $order:literal;)*) => {
        &[$(Kind {
            name: $name,
            keys: $keys,
            sql: concat!("SELECT ", $columns, " FROM ", $table, " ORDER BY ", $order, " LIMIT $1 OFFSET $2"),
        }),*]
    };
}

/// What the ledger itself keeps of its streams and event types, every view, and in `logins` and `files` apart what cannot be made without the server's key and its blobs.
const KINDS: &[Kind] = kinds! {
    "streams", 1: "stream, version" from "streams" by "stream";
    "event types", 1: "kind" from "kinds" by "kind";
    "people", 1: "person, name_seal, login_seal, service, suspended, credential_seal, must_change" from "people" by "person";
    "logins", 1: "person, login_key" from "people" by "person";
    "tokens", 1: "token, person, hash_seal, purpose_seal, rights, expires_us" from "tokens" by "token";
    "proposals", 1: "proposal, person, made_us, until_us" from "proposals" by "proposal";
    "models", 1: "model, owner, tier" from "models" by "model";
    "bindings", 4: "registry, name, environment, model, binding" from "bindings" by "registry, name, environment, model";
    "bundles", 1: "name, version, digest" from "bundles" by "name";
    "systems", 1: "system, owner, stopped" from "systems" by "system";
    "releases", 2: "model, version, digest, state, test, detected_us, entry" from "releases" by "model, version";
    "files", 2: "sha256, digest" from "files" by "sha256, digest";
    "reviews", 1: "review, model, version, environment, state, depth, blocking, opened_us, due_us, entry"
        from "reviews" by "review";
    "approvals", 1: "review, tuple, digest, expires_us, sandbox, revoked" from "approvals" by "review";
    "assignments", 1: "assignment, releases" from "assignments" by "assignment";
    "timers", 2: "stream, key, due_us" from "timers" by "stream, key";
    "mentions", 2: "person, stream" from "mentions" by "person, stream";
};

/// The kinds that need the server's key or its blobs to be made from entries.
pub const NEED_MORE: &[&str] = &["logins", "files"];

/// How a record and the entries disagree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// It is there, and no entry says so.
    NoEntry,
    /// Entries say so, and it is not there.
    NoRecord,
    /// It says something else than the entries.
    Differs,
}

/// A record that is not what the entries say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The kind of record.
    pub kind: &'static str,
    /// Its name.
    pub record: String,
    /// How.
    pub how: How,
}

/// What a comparison found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Compared {
    /// Kinds of record compared, and how many of each the entries make.
    pub kinds: Vec<(&'static str, u64)>,
    /// Kinds that were left out.
    pub left_out: Vec<&'static str>,
    /// Records that disagree, the first of each kind.
    pub differences: Vec<Difference>,
    /// How many disagree in all.
    pub differing: u64,
}

/// Adds to `found` every sealed text that is not the one committed to. Texts that were erased are not there.
///
/// # Errors
/// When the store fails.
pub async fn sealed(store: &dyn Store, found: &mut Compared) -> Result<(), PortError> {
    let kind = Kind {
        name: "sealed texts",
        keys: 1,
        sql: "SELECT commitment, value, salt FROM sealed ORDER BY commitment LIMIT $1 OFFSET $2",
    };
    let mut rows = Rows::of(store, &kind);
    let mut all = 0;
    while rows.peek().await?.is_some() {
        let Some(row) = rows.take() else { break };
        all += 1;
        let salt = <[u8; 32]>::try_from(row.bytes(2));
        let sealed = salt.map(|salt| SealedValue::new(salt, row.text(1).to_owned()).commitment);
        if !sealed.is_ok_and(|sealed| sealed.hex() == row.text(0)) {
            found.differing += 1;
            found.differences.push(Difference {
                kind: kind.name,
                record: row.text(0).to_owned(),
                how: How::Differs,
            });
        }
    }
    found.kinds.push((kind.name, all));
    found.differences.truncate(KINDS.len() * NAMED);
    Ok(())
}

/// Compares every record of `told` with those of `made`, but for the kinds in `without`.
///
/// Both sides must order text by its bytes, as SQLite does.
///
/// # Errors
/// When a store fails.
pub async fn compare(
    told: &dyn Store,
    made: &dyn Store,
    without: &[&str],
) -> Result<Compared, PortError> {
    let mut found = Compared::default();
    for kind in KINDS {
        if without.contains(&kind.name) {
            found.left_out.push(kind.name);
            continue;
        }
        let (mut left, mut right) = (Rows::of(told, kind), Rows::of(made, kind));
        let (mut records, mut named) = (0, 0);
        loop {
            let order = match (left.peek().await?, right.peek().await?) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(l), Some(r)) => key(l, kind).cmp(&key(r, kind)),
            };
            let told = if order.is_le() { left.take() } else { None };
            let made = if order.is_ge() { right.take() } else { None };
            records += u64::from(made.is_some());
            let (how, row) = match (told, made) {
                (Some(told), Some(made)) if told == made => continue,
                (Some(told), Some(_)) => (How::Differs, told),
                (Some(told), None) => (How::NoEntry, told),
                (None, Some(made)) => (How::NoRecord, made),
                (None, None) => break,
            };
            found.differing += 1;
            named += 1;
            if named <= NAMED {
                found.differences.push(Difference {
                    kind: kind.name,
                    record: key(&row, kind).join(" "),
                    how,
                });
            }
        }
        found.kinds.push((kind.name, records));
    }
    Ok(found)
}

fn key<'r>(row: &'r Row, kind: &Kind) -> Vec<&'r str> {
    (0..kind.keys).map(|at| row.text(at)).collect()
}

/// The rows of one kind in order, a page at a time.
struct Rows<'a> {
    store: &'a dyn Store,
    sql: &'static str,
    page: std::vec::IntoIter<Row>,
    read: i64,
    ended: bool,
}

impl<'a> Rows<'a> {
    fn of(store: &'a dyn Store, kind: &Kind) -> Self {
        Self {
            store,
            sql: kind.sql,
            page: Vec::new().into_iter(),
            read: 0,
            ended: false,
        }
    }

    async fn peek(&mut self) -> Result<Option<&Row>, PortError> {
        if self.page.as_slice().is_empty() && !self.ended {
            let params = vec![Value::Int(PAGE), Value::Int(self.read)];
            let rows = self.store.query(self.sql, params).await?;
            self.ended = rows.is_empty();
            self.read += i64::try_from(rows.len()).unwrap_or(PAGE);
            self.page = rows.into_iter();
        }
        Ok(self.page.as_slice().first())
    }

    fn take(&mut self) -> Option<Row> {
        self.page.next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_view_is_compared() {
        for table in super::super::TABLES {
            let from = format!(" FROM {table} ");
            assert!(
                KINDS.iter().any(|kind| kind.sql.contains(&from)),
                "nobody compares `{table}`"
            );
        }
        for kind in KINDS {
            let columns = kind.sql.split(" FROM ").next().unwrap_or_default();
            assert!(
                columns.matches(',').count() + 1 >= kind.keys,
                "{}",
                kind.sql
            );
        }
    }
}
