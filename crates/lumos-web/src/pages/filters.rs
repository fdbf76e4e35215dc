//! How templates write what the domain says.
#![expect(
    unreachable_pub,
    reason = "the macro of a filter makes more of it public than is written"
)]

use std::fmt::Display;

use askama::{Result, Values, filters::Safe};

/// Text in which the user's words stand in backticks, as elsewhere on a terminal: here as code. Everything else
/// is escaped.
#[askama::filter_fn]
pub(crate) fn ticks(text: impl Display, _: &dyn Values) -> Result<Safe<String>> {
    let text = text.to_string();
    let paired = text.matches('`').count() & !1;
    let mut html = String::with_capacity(text.len() + 16);
    let mut seen = 0;
    for c in text.chars() {
        match c {
            '`' if seen < paired => {
                html.push_str(if seen % 2 == 0 { "<code>" } else { "</code>" });
                seen += 1;
            }
            '&' => html.push_str("&#38;"),
            '<' => html.push_str("&#60;"),
            '>' => html.push_str("&#62;"),
            '"' => html.push_str("&#34;"),
            '\'' => html.push_str("&#39;"),
            c => html.push(c),
        }
    }
    Ok(Safe(html))
}

/// A word of a closed set as people write it: with blanks.
#[askama::filter_fn]
pub(crate) fn words(word: impl Display, _: &dyn Values) -> Result<String> {
    Ok(word.to_string().replace('_', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_in_backticks_are_code_and_nothing_else_is_markup() {
        let check = |text: &str, expected: &str| {
            let html = ticks::default().execute(text, askama::NO_VALUES).unwrap();
            assert_eq!(html.0, expected);
        };
        check(
            "rule `A-1` & <b>",
            "rule <code>A-1</code> &#38; &#60;b&#62;",
        );
        check(
            "`<script>` and `half",
            "<code>&#60;script&#62;</code> and `half",
        );
        check("it's \"so\"", "it&#39;s &#34;so&#34;");
        check("`", "`");
    }
}
