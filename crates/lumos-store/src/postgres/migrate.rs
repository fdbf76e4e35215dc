//! Bringing the tables up to date. Migrations only add: a file under `migrations/postgres/` that was released once
//! is never edited. What was done is noted, so that a start with nothing to do needs no right to change tables, and
//! replicas of two versions can start side by side.

use std::collections::BTreeSet;

use deadpool_postgres::ClientWrapper;
use lumos_domain::id::Digest;

use super::failure::Failure;
use crate::OpenError;

/// Applied in order; the schema version is how many were.
const MIGRATIONS: &[&str] = &[include_str!("../../migrations/postgres/0001-ledger.sql")];

const GRANTS: &str = include_str!("../../migrations/postgres/grants.sql");

/// Any number, the same in every version: who holds this advisory lock changes tables.
const LOCK: i64 = 0x6c75_6d6f_735f_6462;

/// What is noted in `meta`.
#[derive(Default)]
struct Done {
    version: i64,
    /// The names of the engine's own statements that were run.
    statements: BTreeSet<String>,
}

/// Whether the database has everything that this version needs.
pub(super) async fn is_current(client: &ClientWrapper, schema: &[&str]) -> Result<bool, OpenError> {
    let done = done(client)
        .await
        .map_err(OpenError::postgres("reading its schema version"))?;
    let known = known_version();
    if !(0..=known).contains(&done.version) {
        return Err(OpenError::Newer {
            found: done.version,
            known,
        });
    }
    let all = schema
        .iter()
        .all(|sql| done.statements.contains(&name(sql)));
    Ok(done.version == known && all)
}

pub(super) fn known_version() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// The name under which a statement of the engine is noted.
fn name(sql: &str) -> String {
    format!("ddl {}", Digest::of(sql.as_bytes()).hex())
}

/// Applies what is missing, in one transaction: it is all there or nothing is, whoever else starts meanwhile.
pub(super) async fn run(client: &ClientWrapper, schema: &[&str]) -> Result<(), OpenError> {
    let begin = async || -> Result<(), Failure> {
        client.batch_execute(AS_OWNER).await?;
        client.batch_execute("BEGIN").await?;
        client
            .execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK])
            .await?;
        Ok(client.batch_execute(META).await?)
    };
    begin()
        .await
        .map_err(OpenError::postgres("preparing to change its tables"))?;
    // Somebody else may have done it while this waited.
    if is_current(client, schema).await? {
        let end = client.batch_execute("COMMIT").await.map_err(Failure::from);
        return end.map_err(OpenError::postgres("preparing to change its tables"));
    }
    let done = done(client)
        .await
        .map_err(OpenError::postgres("reading its schema version"))?;
    for (number, sql) in (1_i64..).zip(MIGRATIONS) {
        if number > done.version {
            tracing::info!(number, "migrating the database");
            step(client, sql, "schema_version", &number.to_string())
                .await
                .map_err(OpenError::postgres(format!("applying migration {number}")))?;
        }
    }
    for sql in schema {
        let name = name(sql);
        if !done.statements.contains(&name) {
            step(client, sql, &name, "done")
                .await
                .map_err(OpenError::postgres("defining the engine's tables"))?;
        }
    }
    let end = async || -> Result<(), Failure> {
        client.batch_execute(GRANTS).await?;
        Ok(client.batch_execute("COMMIT").await?)
    };
    end()
        .await
        .map_err(OpenError::postgres("granting rights to its tables"))
}

/// Tables belong to `lumos_owner` where there is such a role, whoever of its members makes them.
const AS_OWNER: &str = "DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'lumos_owner'
               AND pg_has_role(current_user, oid, 'MEMBER')) THEN
      SET ROLE lumos_owner;
    END IF;
  END $$";

const META: &str = "CREATE TABLE IF NOT EXISTS meta
    (key TEXT COLLATE \"C\" NOT NULL PRIMARY KEY, value TEXT NOT NULL)";

async fn done(client: &ClientWrapper) -> Result<Done, Failure> {
    let there = client
        .query_one("SELECT to_regclass('meta') IS NOT NULL", &[])
        .await?;
    if !there.try_get::<_, bool>(0)? {
        return Ok(Done::default());
    }
    let mut done = Done::default();
    for row in client.query("SELECT key, value FROM meta", &[]).await? {
        let (key, value): (String, &str) = (row.try_get(0)?, row.try_get(1)?);
        if key == "schema_version" {
            // What is no number was not written by any version that is known.
            done.version = value.parse().unwrap_or(i64::MAX);
        } else {
            done.statements.insert(key);
        }
    }
    Ok(done)
}

async fn step(client: &ClientWrapper, sql: &str, key: &str, value: &str) -> Result<(), Failure> {
    client.batch_execute(sql).await?;
    let note = "INSERT INTO meta (key, value) VALUES ($1, $2)
                ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    client.execute(note, &[&key, &value]).await?;
    Ok(())
}
