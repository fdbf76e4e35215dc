//! What a snapshot's tables tell of its entries beside their bytes: the names by which a store finds them. Only the bytes
//! are hashed, so whoever writes a snapshot could have named an entry after another stream, and no decision would look at
//! it.

use std::{collections::BTreeSet, path::Path};

use lumos_ledger::entry::Envelope;
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::{SnapshotError, open};

/// Holds the stream, version and type of every entry, and where each command landed, against what the entries say.
///
/// # Errors
/// [`SnapshotError::Damaged`] when one differs, others when the snapshot cannot be read.
pub fn check_told(file: &Path) -> Result<(), SnapshotError> {
    let connection = open(file)?;
    let read = SnapshotError::database("reading what the snapshot tells of its entries");
    let mut statement = connection
        .prepare("SELECT idx, stream, version, kind, bytes FROM entries ORDER BY idx")
        .map_err(&read)?;
    let mut rows = statement.query([]).map_err(&read)?;
    let (mut kinds, mut commands) = (BTreeSet::new(), 0_i64);
    let mut group: Option<Group> = None;
    while let Some(row) = rows.next().map_err(&read)? {
        let (index, command, kind) = told(row)?;
        kinds.insert(kind);
        match &mut group {
            Some(group) if group.command == command => group.count += 1,
            _ => {
                if let Some(ended) = group.replace(Group::new(command, index)) {
                    landed(&connection, &ended)?;
                    commands += 1;
                }
            }
        }
    }
    if let Some(last) = group {
        landed(&connection, &last)?;
        commands += 1;
    }
    let counted = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    // Nor one that says it led to none: the door appends no such thing, and whoever sends that command one day would be
    // told that it is done.
    if counted("SELECT count(*) FROM commands").map_err(&read)? != commands {
        let problem = "it names commands that no entry came from";
        return Err(SnapshotError::damaged(problem));
    }
    for kind in &kinds {
        let known = connection
            .query_row("SELECT 1 FROM kinds WHERE kind = $1", [kind], |_| Ok(()))
            .optional();
        if known.map_err(&read)?.is_none() {
            let problem = format!("it does not name the type `{kind}`, of which it has entries");
            return Err(SnapshotError::damaged(problem));
        }
    }
    Ok(())
}

/// Entries that one command led to.
struct Group {
    command: String,
    first: i64,
    count: i64,
}

impl Group {
    const fn new(command: String, first: i64) -> Self {
        Self {
            command,
            first,
            count: 1,
        }
    }
}

/// Compares a row with its entry; its index, command and type.
fn told(row: &Row<'_>) -> Result<(i64, String, String), SnapshotError> {
    let columns = || -> rusqlite::Result<(i64, String, i64, String, Vec<u8>)> {
        Ok((
            row.get(0)?,
            row.get(1)?,
            row.get(2)?,
            row.get(3)?,
            row.get(4)?,
        ))
    };
    let columns = columns().map_err(SnapshotError::database(
        "reading what the snapshot tells of its entries",
    ));
    let (index, stream, version, kind, bytes) = columns?;
    let entry = Envelope::parse(&bytes)
        .map_err(|error| SnapshotError::damaged(format!("entry {index}: {error}")))?;
    let same = entry.subject == stream
        && i64::try_from(entry.streamversion) == Ok(version)
        && entry.kind == kind;
    if !same {
        let problem = format!(
            "entry {index} is `{}` in stream `{}` at version {}, and it is told to be `{kind}` in `{stream}` at {version}",
            entry.kind, entry.subject, entry.streamversion
        );
        return Err(SnapshotError::damaged(problem));
    }
    Ok((index, entry.commandid.into_owned(), kind))
}

/// Whether a command is told to have landed where its entries are.
fn landed(connection: &Connection, group: &Group) -> Result<(), SnapshotError> {
    let found = connection
        .prepare_cached("SELECT first, count FROM commands WHERE command_id = $1")
        .and_then(|mut statement| {
            statement
                .query_row([&group.command], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()
        })
        .map_err(SnapshotError::database("reading where commands landed"))?;
    if found == Some((group.first, group.count)) {
        return Ok(());
    }
    let problem = format!(
        "command `{}` is not told to have led to the {} entries from {} on",
        group.command, group.count, group.first
    );
    Err(SnapshotError::damaged(problem))
}
