//! The operator over model cards: `section_present`. Not here: reading cards.

use serde_json::Value;

use super::{Seen, View};

pub(super) fn section(titles: &[String], min_words: u64, view: View<'_>) -> Seen {
    let quoted: Vec<String> = titles.iter().map(|title| format!("`{title}`")).collect();
    let expected = format!(
        "a section {} of at least {min_words} words",
        quoted.join(" or ")
    );
    let Some(card) = view.records("model_card").next() else {
        return Seen::missing("no `model_card` evidence", expected);
    };
    let Some(sections) = card.claim.get("sections").and_then(Value::as_array) else {
        return Seen::error("the model card has no list `sections`", expected).from([card]);
    };
    let mut most: Option<u64> = None;
    for section in sections {
        let title = section
            .get("title")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let wanted = titles.iter().any(|wanted| same_title(wanted, title));
        match section.get("words").and_then(Value::as_u64) {
            Some(words) if wanted => most = most.max(Some(words)),
            None if wanted => {
                return Seen::error(format!("the words of `{title}` were not counted"), expected)
                    .from([card]);
            }
            _ => {}
        }
    }
    let observed = match most {
        Some(words) => format!("{words} words"),
        None => "no such section".to_owned(),
    };
    Seen::judged(
        most.is_some_and(|words| words >= min_words),
        observed,
        expected,
    )
    .from([card])
}

/// Titles are compared without case, numbering and punctuation: `## 2. Intended use:` counts.
fn same_title(a: &str, b: &str) -> bool {
    let plain = |title: &str| {
        let words: String = title
            .chars()
            .map(|c| if c.is_alphabetic() { c } else { ' ' })
            .collect();
        words
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .to_lowercase()
    };
    plain(a) == plain(b)
}
