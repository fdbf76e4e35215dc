//! Projections that differ only in their values, gathered into one statement over arrays of them: a statement costs more on
//! the wire and in the server than the row that it writes.
//!
//! Only what certainly means the same is gathered: a row joins the last statement on its table, past statements on other
//! tables; where one may look at more than its own table, nothing passes it.

use std::collections::{HashMap, HashSet};

use lumos_engine::ports::{Statement, Value};

use super::insertion::{Insertion, Text};

/// Statements of one text, to be sent together: often it is only one.
#[derive(Debug)]
pub(super) struct Heap<'a> {
    /// The first of them.
    pub(super) statement: &'a Statement,
    /// The index of its entry.
    pub(super) index: i64,
    /// The values of all of them, each with the index of its entry.
    pub(super) rows: Vec<(&'a [Value], i64)>,
    /// By what the rows are told apart where they must be.
    keys: HashSet<Vec<Key<'a>>>,
}

/// A value, that of the entry's index included.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Key<'a> {
    Null,
    Int(i64),
    Text(&'a str),
    Bytes(&'a [u8]),
}

/// Gathers projections, each with the index of its entry, given in the order in which they are meant to run.
pub(super) fn gather<'a>(
    projections: impl IntoIterator<Item = (&'a Statement, i64)>,
) -> Vec<Heap<'a>> {
    let mut heaps: Vec<Heap<'a>> = Vec::new();
    let mut texts: HashMap<&'static str, Text> = HashMap::new();
    // The last heap of each table, as far back as anything may be moved.
    let mut last: HashMap<&'static str, usize> = HashMap::new();
    for (statement, index) in projections {
        let text = texts
            .entry(statement.sql)
            .or_insert_with(|| Text::read(statement.sql));
        let Some(table) = text.table() else {
            last.clear();
            heaps.push(Heap::of(statement, index));
            continue;
        };
        let key = match text {
            Text::Insertion(insertion) => Some(key(insertion, &statement.params, index)),
            _ => None,
        };
        let open = last.get(table).and_then(|at| heaps.get_mut(*at));
        let Some(alone) = Heap::join(open, key, statement, index) else {
            continue;
        };
        last.insert(table, heaps.len());
        heaps.push(alone);
    }
    heaps
}

impl<'a> Heap<'a> {
    fn of(statement: &'a Statement, index: i64) -> Self {
        let (rows, keys) = (vec![(&statement.params[..], index)], HashSet::new());
        Self {
            statement,
            index,
            rows,
            keys,
        }
    }

    /// The text that does all of them at once, where there is more than one.
    pub(super) fn over_arrays(&self) -> Option<String> {
        match Text::read(self.statement.sql) {
            Text::Insertion(insertion) if self.rows.len() > 1 => Some(insertion.over_arrays()),
            _ => None,
        }
    }

    /// Adds a statement to the heap that is open, or begins another one.
    fn join(
        open: Option<&mut Self>,
        key: Option<Vec<Key<'a>>>,
        statement: &'a Statement,
        index: i64,
    ) -> Option<Self> {
        let Some(key) = key else {
            return Some(Self::of(statement, index));
        };
        if let Some(heap) = open
            && heap.is_like(statement)
            && (key.is_empty() || !heap.keys.contains(&key))
        {
            heap.rows.push((&statement.params, index));
            heap.keys.insert(key);
            return None;
        }
        let mut alone = Self::of(statement, index);
        alone.keys.insert(key);
        Some(alone)
    }

    /// Whether its values and those of `statement` make arrays: of the same types, and none of them null.
    fn is_like(&self, statement: &Statement) -> bool {
        let (ours, theirs) = (&self.statement.params, &statement.params);
        self.statement.sql == statement.sql
            && ours.len() == theirs.len()
            && ours.iter().zip(theirs).all(|pair| {
                matches!(
                    pair,
                    (Value::Int(_) | Value::Index, Value::Int(_) | Value::Index)
                        | (Value::Text(_), Value::Text(_))
                        | (Value::Bytes(_), Value::Bytes(_))
                )
            })
    }
}

/// The values by which a row must differ from others in the same statement; none where it need not.
fn key<'a>(insertion: &Insertion, params: &'a [Value], index: i64) -> Vec<Key<'a>> {
    let values = insertion.apart.iter().filter_map(|at| params.get(*at));
    let key = values.map(|value| match value {
        Value::Null => Key::Null,
        Value::Int(number) => Key::Int(*number),
        Value::Text(text) => Key::Text(text),
        Value::Bytes(bytes) => Key::Bytes(bytes),
        Value::Index => Key::Int(index),
    });
    key.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUT: &str = "INSERT INTO a (k, v) VALUES ($1, $2)
        ON CONFLICT (k) DO UPDATE SET v = excluded.v";
    const ADD: &str = "INSERT INTO b (k) VALUES ($1)";
    const CHANGE: &str = "UPDATE a SET v = 0 WHERE k = $1";
    const LOOK: &str = "UPDATE b SET v = (SELECT max(v) FROM a) WHERE k = $1";

    fn statement(sql: &'static str, values: impl IntoIterator<Item = Value>) -> Statement {
        let params = values.into_iter().collect();
        Statement { sql, params }
    }

    fn put(key: &str) -> Statement {
        statement(PUT, [key.into(), Value::Index])
    }

    /// Which statements are sent together, by their numbers.
    fn heaps(statements: &[Statement]) -> Vec<Vec<i64>> {
        let heaps = gather(statements.iter().zip(0..));
        let indices = |heap: &Heap<'_>| heap.rows.iter().map(|(_, index)| *index).collect();
        heaps.iter().map(indices).collect()
    }

    #[test]
    fn rows_pass_what_is_on_other_tables() {
        let add = |key: &str| statement(ADD, [key.into()]);
        let all = [put("1"), add("1"), put("2"), add("2"), put("3")];
        assert_eq!(heaps(&all), [vec![0, 2, 4], vec![1, 3]]);
    }

    #[test]
    fn a_row_is_not_changed_twice_by_one_statement() {
        assert_eq!(
            heaps(&[put("1"), put("2"), put("1"), put("2")]),
            [[0, 1], [2, 3]]
        );
    }

    #[test]
    fn nothing_passes_another_change_of_its_table_nor_what_looks_at_other_tables() {
        let change = || statement(CHANGE, ["1".into()]);
        assert_eq!(heaps(&[put("1"), change(), put("2")]), [[0], [1], [2]]);
        let look = || statement(LOOK, ["1".into()]);
        assert_eq!(heaps(&[put("1"), look(), put("2")]), [[0], [1], [2]]);
        assert_eq!(heaps(&[change(), change()]), [[0], [1]]);
    }

    #[test]
    fn values_of_other_types_stand_alone() {
        let null = || statement(PUT, ["2".into(), Value::Null]);
        assert_eq!(heaps(&[put("1"), null(), null()]), [[0], [1], [2]]);
        let number = || statement(PUT, [Value::Int(1), Value::Index]);
        assert_eq!(heaps(&[put("1"), number(), put("2")]), [[0], [1], [2]]);
    }
}
