//! The engine's values as PostgreSQL's, and back. Each parameter is sent with the type of its value, so that one
//! text means the same in both databases: PostgreSQL alone would guess it from where it stands.

use deadpool_postgres::ClientWrapper;
use lumos_engine::ports::{Row, Value};
use tokio_postgres::{
    Statement as Prepared,
    types::{IsNull, ToSql, Type, private::BytesMut, to_sql_checked},
};

use super::failure::Failure;

/// A value and the index that stands for [`Value::Index`].
#[derive(Debug)]
pub(super) struct Bound<'a>(&'a Value, i64);

type Encoded = Result<IsNull, Box<dyn std::error::Error + Sync + Send>>;

impl ToSql for Bound<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Encoded {
        match self.0 {
            Value::Null => Ok(IsNull::Yes),
            Value::Int(number) => number.to_sql(ty, out),
            Value::Text(text) => text.to_sql(ty, out),
            Value::Bytes(bytes) => bytes.to_sql(ty, out),
            Value::Index => self.1.to_sql(ty, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// The type a parameter is sent with; a null has that of where it stands.
fn type_of(value: &Value) -> Type {
    match value {
        Value::Null => Type::UNKNOWN,
        Value::Int(_) | Value::Index => Type::INT8,
        Value::Text(_) => Type::TEXT,
        Value::Bytes(_) => Type::BYTEA,
    }
}

/// Prepares `sql` for parameters like these, once per connection.
pub(super) async fn prepare(
    client: &ClientWrapper,
    sql: &str,
    params: &[Value],
) -> Result<Prepared, Failure> {
    typed(client, sql, params.iter().map(type_of).collect()).await
}

/// Prepares `sql` for an array of values for each of its parameters.
pub(super) async fn prepare_over(
    client: &ClientWrapper,
    sql: &str,
    columns: &[Column<'_>],
) -> Result<Prepared, Failure> {
    typed(client, sql, columns.iter().map(Column::type_of).collect()).await
}

async fn typed(client: &ClientWrapper, sql: &str, types: Vec<Type>) -> Result<Prepared, Failure> {
    let wanted = highest(sql);
    if wanted != types.len() {
        return Err(Failure::Statement(format!(
            "the statement has use for {wanted} parameters, there are {}",
            types.len()
        )));
    }
    Ok(client.prepare_typed_cached(sql, &types).await?)
}

/// The highest number of a parameter in `sql`, such as 3 for `$3`.
fn highest(sql: &str) -> usize {
    let number = |rest: &str| {
        let digits = rest.find(|c: char| !c.is_ascii_digit());
        rest[..digits.unwrap_or(rest.len())].parse().unwrap_or(0)
    };
    sql.split('$').skip(1).map(number).max().unwrap_or(0)
}

/// The parameters as they are sent; `index` stands for [`Value::Index`].
pub(super) fn bound(params: &[Value], index: Option<i64>) -> Result<Vec<Bound<'_>>, Failure> {
    if index.is_none() && params.contains(&Value::Index) {
        let problem = "the index of an entry is known only beside an entry";
        return Err(Failure::Statement(problem.to_owned()));
    }
    let index = index.unwrap_or_default();
    Ok(params.iter().map(|value| Bound(value, index)).collect())
}

/// The values of one parameter over many rows, as an array.
#[derive(Debug)]
pub(super) enum Column<'a> {
    Int(Vec<i64>),
    Text(Vec<&'a str>),
    Bytes(Vec<&'a [u8]>),
}

impl Column<'_> {
    const fn type_of(&self) -> Type {
        match self {
            Self::Int(_) => Type::INT8_ARRAY,
            Self::Text(_) => Type::TEXT_ARRAY,
            Self::Bytes(_) => Type::BYTEA_ARRAY,
        }
    }
}

impl ToSql for Column<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Encoded {
        match self {
            Self::Int(numbers) => numbers.to_sql(ty, out),
            Self::Text(texts) => texts.to_sql(ty, out),
            Self::Bytes(bytes) => bytes.to_sql(ty, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// The values of rows, each with the index that stands for [`Value::Index`], as one array for each parameter. The rows are
/// of one kind, and without nulls.
pub(super) fn columns<'a>(rows: &[(&'a [Value], i64)]) -> Result<Vec<Column<'a>>, Failure> {
    let first = rows.first().map_or(&[][..], |(row, _)| row);
    let empty = first.iter().map(|value| match value {
        Value::Null | Value::Text(_) => Column::Text(Vec::with_capacity(rows.len())),
        Value::Int(_) | Value::Index => Column::Int(Vec::with_capacity(rows.len())),
        Value::Bytes(_) => Column::Bytes(Vec::with_capacity(rows.len())),
    });
    let mut columns: Vec<Column<'a>> = empty.collect();
    for (row, index) in rows {
        for (column, value) in columns.iter_mut().zip(*row) {
            match (column, value) {
                (Column::Int(numbers), Value::Int(number)) => numbers.push(*number),
                (Column::Int(numbers), Value::Index) => numbers.push(*index),
                (Column::Text(texts), Value::Text(text)) => texts.push(text),
                (Column::Bytes(all), Value::Bytes(bytes)) => all.push(bytes),
                _ => {
                    let problem = "rows that are not alike make no arrays";
                    return Err(Failure::Statement(problem.to_owned()));
                }
            }
        }
    }
    Ok(columns)
}

/// A value as the column wants it into which it is copied: there nothing converts it.
#[derive(Debug)]
pub(super) enum Fitting<'a> {
    As(Bound<'a>),
    Short(i32),
}

impl ToSql for Fitting<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Encoded {
        match self {
            Self::As(bound) => bound.to_sql(ty, out),
            Self::Short(number) => number.to_sql(ty, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// The values of a row as columns of these types want them.
pub(super) fn fitting<'a>(
    values: &'a [Value],
    types: &[Type],
) -> Result<Vec<Fitting<'a>>, Failure> {
    let fit = |(value, ty): (&'a Value, &Type)| match (value, ty) {
        (Value::Int(number), &Type::INT4) => i32::try_from(*number).ok().map(Fitting::Short),
        (Value::Null, _)
        | (Value::Int(_), &Type::INT8)
        | (Value::Text(_), &Type::TEXT)
        | (Value::Bytes(_), &Type::BYTEA) => Some(Fitting::As(Bound(value, 0))),
        _ => None,
    };
    let fits = values.iter().zip(types).map(|pair| {
        fit(pair).ok_or_else(|| Failure::Statement(format!("a value does not fit `{}`", pair.1)))
    });
    fits.collect()
}

/// The columns of one row.
pub(super) fn row(row: &tokio_postgres::Row) -> Result<Row, Failure> {
    let columns = row.columns().iter().enumerate();
    let values = columns.map(|(at, column)| value(row, at, column.type_()));
    values.collect::<Result<_, _>>().map(Row)
}

fn value(row: &tokio_postgres::Row, at: usize, ty: &Type) -> Result<Value, Failure> {
    let text = |text: Option<String>| text.map_or(Value::Null, Value::Text);
    let int = |number: Option<i64>| number.map_or(Value::Null, Value::Int);
    Ok(match *ty {
        Type::INT8 => int(row.try_get(at)?),
        Type::INT4 => int(row.try_get::<_, Option<i32>>(at)?.map(i64::from)),
        Type::INT2 => int(row.try_get::<_, Option<i16>>(at)?.map(i64::from)),
        Type::BOOL => int(row.try_get::<_, Option<bool>>(at)?.map(i64::from)),
        Type::TEXT | Type::VARCHAR | Type::NAME | Type::UNKNOWN => text(row.try_get(at)?),
        Type::BYTEA => row
            .try_get::<_, Option<Vec<u8>>>(at)?
            .map_or(Value::Null, Value::Bytes),
        _ => {
            let problem = format!("column {at} has type `{ty}`, which not both databases know");
            return Err(Failure::Statement(problem));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_counted_by_their_number() {
        for (sql, count) in [
            ("SELECT 1", 0),
            ("SELECT $1", 1),
            ("SELECT $2, $1, $2", 2),
            ("SELECT $12, $3", 12),
        ] {
            assert_eq!(highest(sql), count, "{sql}");
        }
    }
}
