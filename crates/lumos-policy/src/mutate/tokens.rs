//! The operators and numbers of a CEL expression, changed one at a time in its text. Not here: whether what comes out is an
//! expression.

/// What an operator is changed into. The longer ones come first, so that `<=` is never taken for `<`.
const CHANGES: &[(&str, &str)] = &[
    ("&&", "||"),
    ("||", "&&"),
    (">=", ">"),
    ("<=", "<"),
    ("==", "!="),
    ("!=", "=="),
    (">", ">="),
    ("<", "<="),
    ("!", ""),
    (".all(", ".exists("),
    (".exists(", ".all("),
];

/// The text with each of its operators changed, and each of its whole numbers one higher; nothing within quotes is.
pub(super) fn changed(source: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut at = 0;
    while let Some(first) = source[at..].chars().next() {
        let rest = &source[at..];
        let taken = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if matches!(first, '\'' | '"') {
            quoted(rest, first)
        } else if first.is_ascii_digit() {
            let number = number(rest);
            all.extend(higher(number).map(|higher| replaced(source, at, number, &higher)));
            number.len()
        } else if first.is_ascii_alphanumeric() || first == '_' {
            word(rest).len()
        } else if let Some((from, to)) = CHANGES.iter().find(|(from, _)| rest.starts_with(from)) {
            all.push(replaced(source, at, from, to));
            from.len()
        } else {
            first.len_utf8()
        };
        at += taken;
    }
    all
}

fn replaced(source: &str, at: usize, from: &str, to: &str) -> (String, String) {
    let what = if to.is_empty() {
        format!("without `{from}` at {at}")
    } else {
        format!("`{from}` at {at} is `{to}`")
    };
    let text = format!("{}{to}{}", &source[..at], &source[at + from.len()..]);
    (what, text)
}

/// The length of a text in quotes, which `rest` begins with.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        if c == quote && !escaped {
            return at + c.len_utf8();
        }
        escaped = c == '\\' && !escaped;
    }
    rest.len()
}

fn word(rest: &str) -> &str {
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    &rest[..end.unwrap_or(rest.len())]
}

/// A number with or without a fraction, which `rest` begins with.
fn number(rest: &str) -> &str {
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '.'));
    &rest[..end.unwrap_or(rest.len())]
}

/// The number after it, or one a hundredth higher; nothing where it is written in another way.
fn higher(number: &str) -> Option<String> {
    if let Ok(whole) = number.parse::<u32>() {
        return Some((u64::from(whole) + 1).to_string());
    }
    let value: f64 = number.parse().ok().filter(|_| number.contains('.'))?;
    Some(format!("{:?}", value + value.abs().max(1.0) / 100.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(source: &str) -> Vec<String> {
        changed(source).into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn operators_and_numbers_change_one_at_a_time() {
        assert_eq!(
            texts("a.n >= 2 && !b"),
            [
                "a.n > 2 && !b",
                "a.n >= 3 && !b",
                "a.n >= 2 || !b",
                "a.n >= 2 && b"
            ]
        );
        assert_eq!(
            texts("xs.all(x, x < 0.8)"),
            [
                "xs.exists(x, x < 0.8)",
                "xs.all(x, x <= 0.8)",
                "xs.all(x, x < 0.81)"
            ]
        );
    }

    #[test]
    fn what_is_quoted_stays() {
        assert_eq!(texts(r#"a == 'x >= 1 \' && 2' "#).len(), 1);
        assert_eq!(texts(r#"a == "é < 'b" "#).len(), 1);
        assert!(texts("'never closed >= 1").is_empty());
        assert!(texts("évidence").is_empty());
        assert_eq!(texts("true // don't touch 2 >= 1\n && b").len(), 1);
    }
}
