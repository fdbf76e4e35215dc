//! What the text of a projection says about itself: the one table that it touches, and whether it inserts given values, so
//! that many rows can go in one statement over arrays.

/// A statement as far as it was understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Text {
    /// It inserts one row of given values.
    Insertion(Insertion),
    /// It changes this table and looks at no other.
    Change(&'static str),
    /// Anything else: it may look at any table.
    Other,
}

/// `INSERT INTO table (columns) VALUES (values) tail`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Insertion {
    pub(super) table: &'static str,
    columns: Vec<&'static str>,
    values: Vec<&'static str>,
    tail: &'static str,
    /// The parameters, from 0, by whose values two rows must differ: one statement cannot change a row twice.
    pub(super) apart: Vec<usize>,
}

impl Text {
    pub(super) fn read(sql: &'static str) -> Self {
        if let Some(insertion) = Insertion::read(sql) {
            return Self::Insertion(insertion);
        }
        let alone = !looks_elsewhere(sql.strip_prefix("DELETE FROM ").unwrap_or(sql));
        let begins = ["INSERT INTO ", "UPDATE ", "DELETE FROM "];
        let rest = begins.iter().find_map(|begin| sql.strip_prefix(begin));
        match rest.and_then(|rest| rest.split_ascii_whitespace().next()) {
            Some(table) if alone && is_name(table) => Self::Change(table),
            _ => Self::Other,
        }
    }

    /// The one table that it touches.
    pub(super) const fn table(&self) -> Option<&'static str> {
        match self {
            Self::Insertion(Insertion { table, .. }) | Self::Change(table) => Some(table),
            Self::Other => None,
        }
    }
}

impl Insertion {
    fn read(sql: &'static str) -> Option<Self> {
        let (table, rest) = sql.strip_prefix("INSERT INTO ")?.split_once(" (")?;
        let (columns, rest) = rest.split_once(')')?;
        let (values, tail) = rest
            .trim_start()
            .strip_prefix("VALUES (")?
            .split_once(')')?;
        let list = |text: &'static str| text.split(',').map(str::trim).collect::<Vec<_>>();
        let (columns, values, tail) = (list(columns), list(values), tail.trim());
        let understood = is_name(table)
            && columns.len() == values.len()
            && values.iter().any(|value| parameter(value).is_some())
            && values
                .iter()
                .all(|value| parameter(value).is_some() || is_constant(value))
            && !tail.contains(['$', '\''])
            && !looks_elsewhere(tail);
        understood.then_some(())?;
        let apart = match changed_by(tail)? {
            "" => Vec::new(),
            key => {
                let of = |column: &str| {
                    let at = columns.iter().position(|known| *known == column)?;
                    parameter(values.get(at)?)
                };
                key.split(',')
                    .map(|column| of(column.trim()))
                    .collect::<Option<_>>()?
            }
        };
        Some(Self {
            table,
            columns,
            values,
            tail,
            apart,
        })
    }

    /// The same for as many rows as the arrays have elements, which are its parameters in order.
    pub(super) fn over_arrays(&self) -> String {
        let highest = self
            .values
            .iter()
            .filter_map(|value| parameter(value))
            .max();
        let numbers = 1..=highest.map_or(0, |at| at + 1);
        let names = |prefix: &str| {
            let names = numbers.clone().map(|n| format!("{prefix}{n}"));
            names.collect::<Vec<_>>().join(", ")
        };
        let value = |value: &&str| match parameter(value) {
            Some(at) => format!("row.p{}", at + 1),
            None => (*value).to_owned(),
        };
        format!(
            "INSERT INTO {} ({}) SELECT {} FROM unnest({}) WITH ORDINALITY AS row ({}, at) ORDER BY row.at {}",
            self.table,
            self.columns.join(", "),
            self.values.iter().map(value).collect::<Vec<_>>().join(", "),
            names("$"),
            names("p"),
            self.tail,
        )
    }
}

/// Whether one of its words may name another table.
fn looks_elsewhere(sql: &str) -> bool {
    let words = sql.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let names = |word: &str| {
        let by = ["SELECT", "FROM", "USING", "WITH", "JOIN", "TABLE"];
        by.iter().any(|known| word.eq_ignore_ascii_case(known))
    };
    words.into_iter().any(names)
}

/// The columns of the key by which a row that is there already is changed: none where it is an error or left alone.
fn changed_by(tail: &'static str) -> Option<&'static str> {
    if tail.is_empty() || tail == "ON CONFLICT DO NOTHING" {
        return Some("");
    }
    let (key, rest) = tail.strip_prefix("ON CONFLICT (")?.split_once(')')?;
    rest.trim_start()
        .starts_with("DO UPDATE SET ")
        .then_some(key)
}

/// The parameter that a value is, from 0.
fn parameter(value: &str) -> Option<usize> {
    value
        .strip_prefix('$')?
        .parse::<usize>()
        .ok()?
        .checked_sub(1)
}

/// Whether a word is the name of a table and nothing else.
fn is_name(word: &str) -> bool {
    !word.is_empty()
        && word
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn is_constant(value: &str) -> bool {
    let number = !value.is_empty() && value.chars().all(|c| c.is_ascii_digit());
    let word = value
        .strip_prefix('\'')
        .and_then(|rest| rest.strip_suffix('\''));
    number || word.is_some_and(|word| word.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_insertion_of_given_values_is_said_over_arrays() {
        let sql = "INSERT INTO latest (stream, state, entry) VALUES ($2, 'new', $1)
                   ON CONFLICT (stream) DO UPDATE SET entry = excluded.entry";
        let Text::Insertion(insertion) = Text::read(sql) else {
            panic!("{sql}");
        };
        assert_eq!(
            (insertion.table, &insertion.apart[..]),
            ("latest", &[1][..])
        );
        assert_eq!(
            insertion.over_arrays(),
            "INSERT INTO latest (stream, state, entry) SELECT row.p2, 'new', row.p1 \
             FROM unnest($1, $2) WITH ORDINALITY AS row (p1, p2, at) ORDER BY row.at \
             ON CONFLICT (stream) DO UPDATE SET entry = excluded.entry"
        );
    }

    #[test]
    fn what_may_mean_more_is_left_as_it_stands() {
        for (sql, expected) in [
            (
                "INSERT INTO a (b) VALUES ($1) ON CONFLICT (b) DO UPDATE SET c = $2",
                Text::Change("a"),
            ),
            ("INSERT INTO a (b) VALUES (lower($1))", Text::Change("a")),
            ("INSERT INTO a (b, c) VALUES ($1)", Text::Change("a")),
            (
                "INSERT INTO a (b) VALUES (0) ON CONFLICT (b) DO UPDATE SET c = 1",
                Text::Change("a"),
            ),
            (
                "INSERT INTO a (b) SELECT c FROM d WHERE e = $1",
                Text::Other,
            ),
            // Without a parameter there is no array.
            (
                "INSERT INTO a (b) VALUES (0) ON CONFLICT DO NOTHING",
                Text::Change("a"),
            ),
            ("INSERT INTO a(b) VALUES ($1)", Text::Other),
            ("UPDATE a SET b = $1 WHERE c = $2", Text::Change("a")),
            ("UPDATE a SET b = (SELECT c FROM d)", Text::Other),
            ("UPDATE a SET b = (select c from d)", Text::Other),
            ("UPDATE a SET b = d.c\nFROM d", Text::Other),
            ("UPDATE a SET b = (TABLE d)", Text::Other),
            ("DELETE FROM a WHERE b = $1", Text::Change("a")),
            ("DELETE FROM a USING b WHERE a.c = b.c", Text::Other),
            ("WITH d AS (DELETE FROM a) UPDATE b SET c = 1", Text::Other),
        ] {
            assert_eq!(Text::read(sql), expected, "{sql}");
        }
    }
}
