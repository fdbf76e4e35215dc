//! A snapshot: a whole ledger with the tables beside it in one SQLite file, from which either store can be made
//! again. What it holds is checked before anything is made of it; who vouches for its head is another's question.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use lumos_domain::seal::SealedValue;
use lumos_engine::ports::PortError;
use lumos_ledger::{Frontier, tree};
use rusqlite::{Connection, OpenFlags};

use crate::{DirLock, OpenError, durable, rebuild::is_plain};

pub use told::check_told;

mod told;

/// Tables that are not carried over as they are: each store has its own notes of its schema in `meta`, and the one
/// row of the head is replaced.
pub(crate) const OWN: &[&str] = &["meta", "head"];

/// The note in `meta` that tables were being made anew.
pub(crate) const REBUILDING: &str = "rebuild";

/// The note in `meta` that no entry says yet that the ledger was restored.
pub(crate) const RESTORED: &str = "restored";

/// The notes that go wherever the tables go, and are made by a restore.
pub(crate) const MARKS: [&str; 2] = [REBUILDING, RESTORED];

/// Makes one of them, in either store.
pub(crate) const MARK: &str =
    "INSERT INTO meta (key, value) VALUES ($1, 'unfinished') ON CONFLICT (key) DO NOTHING";

/// Why a snapshot could not be made, or nothing be made of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// There is a ledger already where one was to be made.
    #[error("restoring a ledger: there is one already: {found}")]
    NotEmpty {
        /// What is there.
        found: String,
    },
    /// What the snapshot holds contradicts itself.
    #[error("reading a snapshot: {problem}")]
    Damaged {
        /// What contradicts what.
        problem: String,
    },
    /// A file could not be made, read or written.
    #[error("{doing} `{}`", path.display())]
    File {
        /// What we were doing.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The store could not be opened, or its database refused.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database failed while it was copied.
    #[error(transparent)]
    Store(#[from] PortError),
}

impl SnapshotError {
    /// The stable code of this error, a page in `docs/errors/`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotEmpty { .. } => "ledger-there-already",
            Self::Damaged { .. } => "snapshot-damaged",
            Self::File { .. } => "snapshot-file",
            Self::Open(error) => error.code(),
            Self::Store(_) => "store-failed",
        }
    }

    pub(crate) fn database(doing: &'static str) -> impl Fn(rusqlite::Error) -> Self {
        move |source| Self::Open(OpenError::database(doing)(source))
    }

    fn damaged(problem: impl Into<String>) -> Self {
        Self::Damaged {
            problem: problem.into(),
        }
    }
}

/// Names what was done with a file that failed.
pub(crate) fn at(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SnapshotError {
    let path = path.to_owned();
    move |source| SnapshotError::File {
        doing,
        path,
        source,
    }
}

/// Makes the written file `path` durable, and nobody else's to read: it holds names.
pub(crate) fn seal(path: &Path) -> Result<(), SnapshotError> {
    use std::os::unix::fs::PermissionsExt as _;
    let seal = || -> io::Result<()> {
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        File::open(path)?.sync_all()?;
        durable::sync_dir(path.parent().unwrap_or(Path::new(".")))
    };
    seal().map_err(at("writing the snapshot", path))
}

/// What a snapshot holds.
#[derive(Debug, Clone)]
pub struct Checked {
    /// Its head.
    pub head: Frontier,
    /// What its head was when it had the entries that were asked about; nothing if it never had as many.
    pub earlier: Option<Frontier>,
}

/// Reads the whole snapshot `file` and says what its head is, and was at `earlier` entries: every entry is hashed, and
/// counted in its stream, and every sealed value opens its commitment.
///
/// # Errors
/// [`SnapshotError::Damaged`] when one of these does not hold, others when it cannot be read.
pub fn check(file: &Path, earlier: u64) -> Result<Checked, SnapshotError> {
    let connection = open(file)?;
    let read = SnapshotError::database("reading the snapshot");
    let intact: String = connection
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .map_err(&read)?;
    if intact != "ok" {
        return Err(SnapshotError::damaged(intact));
    }
    let acts = "SELECT count(*) FROM sqlite_schema WHERE type NOT IN ('table', 'index')";
    let acts: i64 = connection
        .query_row(acts, [], |row| row.get(0))
        .map_err(&read)?;
    if acts != 0 {
        let problem = "it holds more than tables: something that would act by itself";
        return Err(SnapshotError::damaged(problem));
    }
    tables(&connection)?;
    let checked = entries(&connection, earlier)?;
    let (size, stored): (i64, Vec<u8>) = connection
        .query_row("SELECT size, frontier FROM head WHERE one = 1", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .map_err(&read)?;
    let head = &checked.head;
    if u64::try_from(size) != Ok(head.size()) || stored != head.to_bytes() {
        let problem = format!(
            "its head of {size} entries is not that of the {} entries it holds",
            head.size()
        );
        return Err(SnapshotError::damaged(problem));
    }
    streams(&connection)?;
    sealed(&connection)?;
    Ok(checked)
}

/// Opens a snapshot to be read.
pub(crate) fn open(file: &Path) -> Result<Connection, SnapshotError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(file, flags)
        .map_err(SnapshotError::database("opening the snapshot"))
}

fn entries(connection: &Connection, earlier: u64) -> Result<Checked, SnapshotError> {
    let read = SnapshotError::database("reading the entries of the snapshot");
    let mut statement = connection
        .prepare("SELECT idx, bytes, leaf FROM entries ORDER BY idx")
        .map_err(&read)?;
    let mut rows = statement.query([]).map_err(&read)?;
    let mut frontier = Frontier::new();
    let mut then = (earlier == 0).then(Frontier::new);
    while let Some(row) = rows.next().map_err(&read)? {
        let columns = || -> rusqlite::Result<_> {
            Ok((row.get::<_, i64>(0)?, row.get_ref(1)?, row.get_ref(2)?))
        };
        let (index, bytes, stored) = columns().map_err(&read)?;
        if u64::try_from(index) != Ok(frontier.size()) {
            let problem = format!("entry {} is missing", frontier.size());
            return Err(SnapshotError::damaged(problem));
        }
        let leaf = bytes.as_blob().map(tree::leaf_hash);
        let leaf = leaf.map_err(|e| read(e.into()))?;
        if stored.as_blob() != Ok(&leaf.as_bytes()[..]) {
            let problem = format!("entry {index} does not have its leaf hash");
            return Err(SnapshotError::damaged(problem));
        }
        frontier.append(leaf);
        if frontier.size() == earlier {
            then = Some(frontier.clone());
        }
    }
    Ok(Checked {
        head: frontier,
        earlier: then,
    })
}

/// The streams whose version is not the number of their entries.
const ASTRAY: &str = "SELECT coalesce(e.stream, s.stream) FROM
      (SELECT stream, count(*) AS entries, max(version) AS last FROM entries GROUP BY stream) AS e
      FULL JOIN streams AS s ON s.stream = e.stream
    WHERE s.version IS NOT e.last OR e.last IS NOT e.entries LIMIT 1";

fn streams(connection: &Connection) -> Result<(), SnapshotError> {
    let read = SnapshotError::database("reading the streams of the snapshot");
    let mut statement = connection.prepare(ASTRAY).map_err(&read)?;
    let mut rows = statement.query([]).map_err(&read)?;
    match rows.next().map_err(&read)? {
        None => Ok(()),
        Some(row) => {
            let stream: String = row.get(0).map_err(&read)?;
            let problem = format!("stream `{stream}` is not at the version its entries have");
            Err(SnapshotError::damaged(problem))
        }
    }
}

fn sealed(connection: &Connection) -> Result<(), SnapshotError> {
    let read = SnapshotError::database("reading the sealed values of the snapshot");
    let mut statement = connection
        .prepare("SELECT commitment, salt, value FROM sealed")
        .map_err(&read)?;
    let mut rows = statement.query([]).map_err(&read)?;
    while let Some(row) = rows.next().map_err(&read)? {
        let columns = || -> rusqlite::Result<(String, [u8; 32], String)> {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        };
        let (commitment, salt, value) = columns().map_err(&read)?;
        if SealedValue::new(salt, value).commitment.hex() != commitment {
            let problem = format!("a sealed value does not open its commitment {commitment}");
            return Err(SnapshotError::damaged(problem));
        }
    }
    Ok(())
}

/// Refuses a data directory that holds a database, or what is left of one.
///
/// # Errors
/// [`SnapshotError::NotEmpty`].
pub fn is_vacant(dir: &Path) -> Result<(), SnapshotError> {
    // A log left by another database would be taken for a new one's.
    for name in ["lumos.db", "lumos.db-wal", "lumos.db-journal"] {
        let path = dir.join(name);
        if path.exists() {
            let found = format!("`{}`", path.display());
            return Err(SnapshotError::NotEmpty { found });
        }
    }
    Ok(())
}

/// Makes the database of the data directory `dir`, which the caller holds, from the snapshot `file`, which the caller has
/// checked. The rows of `forget` are left out; with `anew` the tables beside the ledger must be made anew from it before
/// anything is appended, whatever the snapshot says they hold, and [`crate::Opened::was_restored`]. It is there whole or not at all.
///
/// # Errors
/// [`SnapshotError::NotEmpty`] when there is one already, others when a file fails.
pub fn restore(
    file: &Path,
    dir: &Path,
    _held: &DirLock,
    forget: &[&str],
    anew: bool,
) -> Result<(), SnapshotError> {
    is_vacant(dir)?;
    let database = dir.join("lumos.db");
    let unfinished = dir.join("lumos.db.unfinished");
    if unfinished.exists() {
        fs::remove_file(&unfinished).map_err(at("removing", &unfinished))?;
    }
    fs::copy(file, &unfinished).map_err(at("copying the snapshot to", &unfinished))?;
    let connection =
        Connection::open(&unfinished).map_err(SnapshotError::database("opening the copy"))?;
    for table in forget {
        let known = connection.table_exists(None, *table);
        if known.map_err(SnapshotError::database("looking at the copy"))? {
            connection
                .execute(&format!("DELETE FROM {table}"), [])
                .map_err(SnapshotError::database("forgetting what ended"))?;
        }
    }
    if anew {
        for mark in MARKS {
            let noted = connection.execute(MARK, [mark]);
            noted.map_err(SnapshotError::database("noting that it was restored"))?;
        }
    }
    connection
        .close()
        .map_err(|(_, error)| SnapshotError::database("closing the copy")(error))?;
    seal(&unfinished)?;
    fs::rename(&unfinished, &database).map_err(at("writing", &database))?;
    durable::sync_dir(dir).map_err(at("writing", &database))
}

/// The tables of a snapshot that are carried over as they are, each with its columns.
pub(crate) fn tables(connection: &Connection) -> Result<Vec<(String, Vec<String>)>, SnapshotError> {
    let read = SnapshotError::database("reading the tables of the snapshot");
    let mut statement = connection
        .prepare(
            "SELECT t.name, c.name FROM pragma_table_list AS t JOIN pragma_table_info(t.name) AS c
             WHERE t.schema = 'main' AND t.type = 'table' AND t.name NOT LIKE 'sqlite%'
             ORDER BY t.name, c.cid",
        )
        .map_err(&read)?;
    let rows = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .map_err(&read)?;
    let mut tables: Vec<(String, Vec<String>)> = Vec::new();
    for row in rows {
        let (table, column): (String, String) = row.map_err(&read)?;
        // They go into statements as they are.
        if ![&table, &column].into_iter().all(|name| is_plain(name)) {
            let problem = format!("a column is called `{table}.{column}`");
            return Err(SnapshotError::damaged(problem));
        }
        match tables.last_mut() {
            Some((last, columns)) if *last == table => columns.push(column),
            _ => tables.push((table, vec![column])),
        }
    }
    tables.retain(|(table, _)| !OWN.contains(&table.as_str()));
    Ok(tables)
}
