//! The engine's values as SQLite's, and back. Parameters are bound by the number in their name, as
//! PostgreSQL reads `$2`; SQLite alone would count them in order of appearance.

use lumos_engine::ports::{AppendError, PortError, Row, Value};
use rusqlite::{
    Statement as Prepared, ToSql,
    types::{ToSqlOutput, ValueRef},
};

use super::writer::JobError;

/// Why a statement could not be run, beside what the database says.
#[derive(Debug, thiserror::Error)]
pub(super) enum ValueError {
    /// The statement and its parameters do not belong together.
    #[error("the statement has no use for parameter {0}, or lacks it")]
    Parameter(usize),
    /// `Value::Index` where there is no entry.
    #[error("the index of an entry is known only beside an entry")]
    NoIndex,
    /// A column of a type that not both databases know.
    #[error("column {0} is a floating-point number")]
    Float(usize),
    /// A column is text but not UTF-8.
    #[error("column {0} is not UTF-8")]
    Utf8(usize),
    /// The database refused.
    #[error(transparent)]
    Database(#[from] rusqlite::Error),
}

impl ValueError {
    /// As the failure of the job that ran `sql`.
    pub(super) fn into_job(self, sql: &str) -> JobError {
        match self {
            // Kept as it is: the writer looks at its code.
            Self::Database(error) => JobError::Database(error),
            error => AppendError::Store(PortError::new(format!("running `{sql}`"), error)).into(),
        }
    }
}

struct Bound<'a>(&'a Value, i64);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(output(self.0, self.1))
    }
}

/// A value as SQLite takes it; `index` stands for `Value::Index`.
pub(super) fn output(value: &Value, index: i64) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(match value {
        Value::Null => ValueRef::Null,
        Value::Int(number) => ValueRef::Integer(*number),
        Value::Text(text) => ValueRef::Text(text.as_bytes()),
        Value::Bytes(bytes) => ValueRef::Blob(bytes),
        Value::Index => ValueRef::Integer(index),
    })
}

/// Binds `params` to `statement`, `$1` being the first; `index` stands for `Value::Index`.
pub(super) fn bind(
    statement: &mut Prepared<'_>,
    params: &[Value],
    index: Option<i64>,
) -> Result<(), ValueError> {
    let mut highest = 0;
    for position in 1..=statement.parameter_count() {
        let number = statement
            .parameter_name(position)
            .and_then(|name| name.strip_prefix('$'))
            .and_then(|digits| digits.parse::<usize>().ok())
            .ok_or(ValueError::Parameter(position))?;
        let value = number
            .checked_sub(1)
            .and_then(|at| params.get(at))
            .ok_or(ValueError::Parameter(number))?;
        let index = match (value, index) {
            (Value::Index, None) => return Err(ValueError::NoIndex),
            (_, index) => index.unwrap_or_default(),
        };
        statement.raw_bind_parameter(position, Bound(value, index))?;
        highest = highest.max(number);
    }
    if highest < params.len() {
        return Err(ValueError::Parameter(params.len()));
    }
    Ok(())
}

/// Runs a statement to its end, whatever rows it returns, and says how many it changed.
pub(super) fn run(
    connection: &rusqlite::Connection,
    sql: &str,
    params: &[Value],
    index: Option<i64>,
) -> Result<u64, ValueError> {
    let mut statement = connection.prepare_cached(sql)?;
    bind(&mut statement, params, index)?;
    let before = connection.total_changes();
    let mut rows = statement.raw_query();
    while rows.next()?.is_some() {}
    // `changes` keeps the count of an earlier statement when this one is no INSERT, UPDATE or DELETE.
    let changed = connection.total_changes() != before;
    Ok(if changed { connection.changes() } else { 0 })
}

/// The columns of one row.
pub(super) fn row(row: &rusqlite::Row<'_>, columns: usize) -> Result<Row, ValueError> {
    (0..columns)
        .map(|at| {
            Ok(match row.get_ref(at)? {
                ValueRef::Null => Value::Null,
                ValueRef::Integer(number) => Value::Int(number),
                ValueRef::Real(_) => return Err(ValueError::Float(at)),
                ValueRef::Text(text) => Value::Text(
                    std::str::from_utf8(text)
                        .map_err(|_| ValueError::Utf8(at))?
                        .to_owned(),
                ),
                ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
            })
        })
        .collect::<Result<_, _>>()
        .map(Row)
}
