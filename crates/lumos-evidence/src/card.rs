//! Model cards: a Markdown file with YAML front matter, as the Hugging Face hub and MLflow write them.
//!
//! A broken card is a card with problems, never an error. Not here: whether the card says enough; policy judges that.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::claim::{ModelCard, Section};

/// A longer front matter is not read: YAML is costly, and the hub's own are below 64 KiB.
const FRONT_MATTER_BYTES_MAX: usize = 64 * 1024;
const SECTIONS_MAX: usize = 1000;
const TITLE_CHARS_MAX: usize = 200;

/// Whether the file at `path` is the card of the model: a readme or model card at the root or in the model's folder.
#[must_use]
pub fn is_card(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    matches!(
        lower.rsplit('/').next(),
        Some("readme.md" | "model_card.md" | "modelcard.md" | "model-card.md")
    )
}

/// Reads the card at `path`. `cut` says that `content` is only its beginning.
#[must_use]
pub fn read(path: &str, content: &[u8], cut: bool) -> ModelCard {
    let mut problems = Vec::new();
    if cut {
        problems.push("the card is longer than is read".to_owned());
    }
    let text = String::from_utf8_lossy(content);
    if matches!(text, std::borrow::Cow::Owned(_)) && !cut {
        problems.push("the card is not UTF-8".to_owned());
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let (matter, body) = split(text, &mut problems);
    let front_matter = matter
        .map(|matter| parse(matter, &mut problems))
        .unwrap_or_default();
    let license = match front_matter.get("license") {
        Some(Value::String(license)) => Some(license.clone()),
        Some(Value::Array(several)) => {
            let several: Vec<_> = several.iter().filter_map(Value::as_str).collect();
            (!several.is_empty()).then(|| several.join(" AND "))
        }
        Some(_) => {
            problems.push("the licence in the front matter is not text".to_owned());
            None
        }
        None => None,
    };
    ModelCard {
        path: path.to_owned(),
        license,
        front_matter,
        sections: sections(body),
        problems,
    }
}

/// The front matter, if there is one, and what follows it.
fn split<'t>(text: &'t str, problems: &mut Vec<String>) -> (Option<&'t str>, &'t str) {
    let mut lines = text.split_inclusive('\n');
    let Some(first) = lines.next().filter(|line| line.trim_end() == "---") else {
        problems.push("the card has no front matter".to_owned());
        return (None, text);
    };
    let mut end = first.len();
    for line in lines {
        if line.trim_end() == "---" {
            return (
                text.get(first.len()..end),
                text.get(end + line.len()..).unwrap_or_default(),
            );
        }
        end += line.len();
    }
    problems.push("the front matter has no end".to_owned());
    (None, text)
}

fn parse(matter: &str, problems: &mut Vec<String>) -> BTreeMap<String, Value> {
    if matter.len() > FRONT_MATTER_BYTES_MAX {
        problems.push("the front matter is longer than is read".to_owned());
        return BTreeMap::new();
    }
    // An alias names a value a second time; a few lines of them can stand for gigabytes. No card needs one.
    let alias = |line: &str| {
        let value = line.trim_start().trim_start_matches("- ");
        let value = value
            .split_once(": ")
            .map_or(value, |(_, value)| value)
            .trim_start();
        value.starts_with('*') && value[1..].starts_with(|c: char| c.is_ascii_alphanumeric())
    };
    if matter.lines().any(alias)
        || matter.contains("[*")
        || matter.contains(", *")
        || matter.contains(",*")
    {
        problems.push("the front matter has YAML aliases, which are not read".to_owned());
        return BTreeMap::new();
    }
    match yaml_serde::from_str::<Value>(matter) {
        Ok(Value::Object(members)) => members.into_iter().collect(),
        Ok(Value::Null) => BTreeMap::new(),
        Ok(_) => {
            problems.push("the front matter is not a mapping".to_owned());
            BTreeMap::new()
        }
        Err(e) => {
            problems.push(format!("the front matter is not YAML: {e}"));
            BTreeMap::new()
        }
    }
}

/// The headings (`#` to `######`, outside fenced code) with the words below each.
fn sections(body: &str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let mut fence: Option<&str> = None;
    for line in body.lines() {
        let trimmed = line.trim_start();
        if let Some(open) = fence {
            if trimmed.starts_with(open) {
                fence = None;
            }
        } else if let Some(mark) = ["```", "~~~"]
            .into_iter()
            .find(|mark| trimmed.starts_with(mark))
        {
            fence = Some(mark);
            continue;
        }
        match heading(line).filter(|_| fence.is_none() && sections.len() < SECTIONS_MAX) {
            Some(title) => sections.push(Section {
                title: title.chars().take(TITLE_CHARS_MAX).collect(),
                words: 0,
            }),
            None => {
                if let Some(section) = sections.last_mut() {
                    section.words += line
                        .split_whitespace()
                        .filter(|w| w.chars().any(char::is_alphanumeric))
                        .count() as u64;
                }
            }
        }
    }
    sections
}

fn heading(line: &str) -> Option<&str> {
    let title = line.trim_start_matches('#');
    let level = line.len() - title.len();
    let title = title
        .strip_prefix(' ')
        .filter(|_| (1..=6).contains(&level))?;
    Some(title.trim().trim_end_matches('#').trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, license: Option<&str>, sections: &[(&str, u64)], problems: &[&str]) {
        let card = read("README.md", text.as_bytes(), false);
        assert_eq!(card.license.as_deref(), license, "{text}");
        let got: Vec<_> = card
            .sections
            .iter()
            .map(|s| (s.title.as_str(), s.words))
            .collect();
        assert_eq!(got, sections, "{text}");
        assert_eq!(card.problems.len(), problems.len(), "{:?}", card.problems);
        for (got, expected) in card.problems.iter().zip(problems) {
            assert!(got.contains(expected), "{got}");
        }
    }

    #[test]
    fn reads_cards() {
        check(
            "---\nlicense: mit\n---\n# A\none two\n## B ##\n- three\n",
            Some("mit"),
            &[("A", 2), ("B", 1)],
            &[],
        );
        check(
            "---\r\nlicense: mit\r\n---\r\n# A\r\none\r\n",
            Some("mit"),
            &[("A", 1)],
            &[],
        );
        check(
            "\u{feff}---\nlicense: [mit, apache-2.0]\n---\n",
            Some("mit AND apache-2.0"),
            &[],
            &[],
        );
        check(
            "# A\n```\n# no heading\n```\n",
            None,
            &[("A", 2)],
            &["no front matter"],
        );
        check("---\n[]\n---\n", None, &[], &["not a mapping"]);
        check("---\nlicense: mit\n", None, &[], &["no end"]);
        check("---\na: [\n---\n# A", None, &[("A", 0)], &["not YAML"]);
        check("---\nlicense: 3\n---\n", None, &[], &["not text"]);
        check("---\na: &x [1]\nb: *x\n---\n", None, &[], &["aliases"]);
        check("#hashtag\n####### seven\n", None, &[], &["no front matter"]);
    }

    #[test]
    fn bounds_what_it_reads() {
        let deep = format!(
            "---\na: {}1{}\n---\n# A\n",
            "[".repeat(20_000),
            "]".repeat(20_000)
        );
        check(&deep, None, &[("A", 0)], &["not YAML"]);
        let long = format!("---\na: {}\n---\n", "x".repeat(70_000));
        check(&long, None, &[], &["longer"]);
    }
}
