//! Finds the error codes in a source: the text literals of every `fn code(&self)`, of the domain's list of
//! refusals, and of the problems that the web answers with.

/// Every error code in `source`.
pub(crate) fn of(source: &str) -> Vec<&str> {
    let mut slugs = Vec::new();
    for (at, start) in source.match_indices("fn code(&self) -> &'static str {") {
        slugs.extend(literals(block(&source[at + start.len()..])));
    }
    // refusal.rs: `Variant { … } = "code", "message";`
    if let Some((_, list)) = source.split_once("\nrefusals! {\n") {
        let codes = list.split(" = ").skip(1);
        slugs.extend(codes.filter_map(|rest| literals(rest).into_iter().next()));
    }
    for call in ["Problem::new(", "Problem::bad(", "Self::bad("] {
        for (at, _) in source.match_indices(call) {
            slugs.extend(code_argument(&source[at + call.len()..]));
        }
    }
    if source.contains("pub struct Problem {") {
        for (at, start) in source.match_indices("Self::new(") {
            slugs.extend(code_argument(&source[at + start.len()..]));
        }
    }
    slugs
}

/// The block that begins here, to the brace that closes it.
fn block(source: &str) -> &str {
    let mut depth = 1;
    for (at, c) in source.char_indices() {
        depth += match c {
            '{' => 1,
            '}' => -1,
            _ => 0,
        };
        if depth == 0 {
            return &source[..at];
        }
    }
    source
}

/// The code among a call's first two arguments: a literal, not an expression.
fn code_argument(arguments: &str) -> Option<&str> {
    let two = arguments.splitn(3, ',').take(2);
    two.map(str::trim).find_map(|argument| {
        let slug = argument.strip_prefix('"')?.split('"').next()?;
        is_slug(slug).then_some(slug)
    })
}

fn literals(source: &str) -> Vec<&str> {
    source
        .split('"')
        .skip(1)
        .step_by(2)
        .filter(|word| is_slug(word))
        .collect()
}

fn is_slug(word: &str) -> bool {
    !word.is_empty()
        && word
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

#[test]
fn codes_are_found() {
    let source = r#"
        fn code(&self) -> &'static str { match self { Self::A { .. } => "a-b", Self::C(c) => c.code() } }
        fn other() -> &'static str { "no-code" }
        Problem::new(StatusCode::FORBIDDEN, "d-e", format!("in {x}"));
        Problem::bad(
            "f",
            "a sentence",
        );
        Problem::bad(error.code(), error.to_string())
refusals! {
    A { right: Right } = "g-h", "needs `{right}`";
    B = "i", "no";
}"#;
    assert_eq!(of(source), ["a-b", "g-h", "i", "d-e", "f"]);
}
