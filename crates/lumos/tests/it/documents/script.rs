//! A document as a script: its commands in order, how each must end, and what it must say.

/// A command that a document shows.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Step {
    /// The command as a shell reads it, its continued lines joined.
    pub(super) command: String,
    /// The exit status that the document states, 0 unless it says `# exit 3` or `? 3`.
    pub(super) exit: i32,
    /// What it says, where the document shows it; `…` stands for anything, alone on a line for any lines.
    pub(super) says: Option<Vec<String>>,
}

/// The commands of every `sh` and `console` block, in order.
pub(super) fn steps(text: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for (language, block) in blocks(text) {
        match language {
            "sh" => steps.extend(joined(block).iter().map(|line| plain(line))),
            "console" => console(block, &mut steps),
            _ => {}
        }
    }
    steps
}

/// The fenced blocks of a document: the language and the text of each.
pub(super) fn blocks(text: &str) -> Vec<(&str, &str)> {
    let mut fences = text.split("\n```");
    fences.next();
    let mut blocks = Vec::new();
    while let Some(opened) = fences.next() {
        blocks.push(opened.split_once('\n').unwrap_or((opened, "")));
        // What follows the closing fence is prose.
        fences.next();
    }
    blocks
}

/// The lines of a block, each that ends with a backslash joined with the next.
fn joined(block: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for line in block.lines() {
        let last = lines.last_mut().unwrap();
        match line.strip_suffix('\\') {
            Some(part) => *last += part,
            None => {
                *last += line;
                lines.push(String::new());
            }
        }
    }
    lines.retain(|line| !line.trim().is_empty());
    lines
}

/// A command with the exit status that its comment states.
fn plain(line: &str) -> Step {
    let stated = line.split_once("# exit ").map(|(_, rest)| rest);
    let exit = stated.map_or(0, |rest| {
        let number: String = rest.chars().take_while(char::is_ascii_digit).collect();
        number.parse().unwrap()
    });
    Step {
        command: line.split("  # ").next().unwrap().trim_end().to_owned(),
        exit,
        says: None,
    }
}

/// `$` begins a command, `?` states its exit status, everything else is what it says.
fn console(block: &str, steps: &mut Vec<Step>) {
    for line in joined(block) {
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step {
                says: Some(Vec::new()),
                ..plain(command)
            });
            continue;
        }
        let step = steps
            .last_mut()
            .expect("a console block begins with a command");
        match line.strip_prefix("? ") {
            Some(status) => step.exit = status.trim().parse().unwrap(),
            None => step.says.as_mut().unwrap().push(line),
        }
    }
}

/// Whether `said` has the shape of `shown`.
pub(super) fn has_shape(shown: &[String], said: &[&str]) -> bool {
    match (shown.split_first(), said.split_first()) {
        (None, None) => true,
        (Some((any, rest)), _) if any == "…" => {
            has_shape(rest, said) || (!said.is_empty() && has_shape(shown, &said[1..]))
        }
        (Some((line, shown)), Some((now, said))) => fits(line, now) && has_shape(shown, said),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

/// Whether a line reads as shown: `…` stands for anything, and the number of a decision or proposal for any other.
fn fits(shown: &str, said: &str) -> bool {
    let anything = |word: &str| {
        if is_number(word) {
            "…".to_owned()
        } else {
            word.to_owned()
        }
    };
    let shown: Vec<_> = shown.split(' ').map(anything).collect();
    let shown = shown.join(" ");
    let mut parts = shown.split('…');
    let Some(mut rest) = said.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let parts: Vec<_> = parts.collect();
    let Some((last, between)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in between {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Whether a word is the number of a decision, of a proposal or of a key.
pub(super) fn is_number(word: &str) -> bool {
    let (hex, digits) = match word.strip_prefix("d-") {
        Some(decision) => (decision, [20, 20]),
        None => (word, [40, 8]),
    };
    digits.contains(&hex.len()) && hex.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Every `lumos …` and `cargo …` that stands in backticks outside of a block.
pub(super) fn mentions(text: &str) -> Vec<String> {
    let mut prose = String::new();
    let mut inside = false;
    for line in text.lines() {
        match line.starts_with("```") {
            true => inside = !inside,
            false if !inside => prose = prose + line + " ",
            false => {}
        }
    }
    let quoted = prose.split('`').skip(1).step_by(2);
    let command = |text: &&str| {
        ["lumos ", "cargo ", "LUMOS_"]
            .iter()
            .any(|start| text.starts_with(start))
            && text.contains(' ')
    };
    quoted.filter(command).map(str::to_owned).collect()
}

#[test]
fn a_document_reads_as_a_script() {
    let text = "\n```sh\nlumos a \\\n  --b \"x # y\"     # exit 3: no\n\nlumos c\n```\nprose `lumos d`, `lumos`\n\
                ```yaml\nlumos: no\n```\n```console\n$ lumos e\nentry …: f on g\n…\n? 1\n```\n";
    let read = steps(text);
    let commands: Vec<_> = read.iter().map(|s| (s.command.as_str(), s.exit)).collect();
    assert_eq!(
        commands,
        [
            ("lumos a   --b \"x # y\"", 3),
            ("lumos c", 0),
            ("lumos e", 1)
        ]
    );
    assert_eq!(mentions(text), ["lumos d"]);
    let shown = read[2].says.as_deref().unwrap();
    assert!(has_shape(shown, &["entry 7: f on g"]));
    assert!(has_shape(shown, &["entry 7: f on g", "more", "and more"]));
    for wrong in [
        &["entry 7: f on h"][..],
        &[],
        &["before", "entry 7: f on g"],
    ] {
        assert!(!has_shape(shown, wrong), "{wrong:?}");
    }
    let decided = ["  decision: d-00112233445566778899".to_owned()];
    assert!(has_shape(&decided, &["  decision: d-ffeeddccbbaa99887766"]));
    assert!(!has_shape(&decided, &["  refusal: d-ffeeddccbbaa99887766"]));
}
