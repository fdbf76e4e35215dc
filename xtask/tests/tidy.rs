//! Rules about the repository itself: who may use whom, how long a file may be, which words and paths never
//! stand in it, that every error is explained. Not here: what the compiler and clippy hold already.
#![expect(
    clippy::unwrap_used,
    reason = "a repository that cannot be read fails the test"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

#[path = "tidy/slugs.rs"]
mod slugs;

/// Crates that decide or prove and do nothing else: none of [`EDGES`] may be beneath them.
const PURE: &[&str] = &[
    "lumos-domain",
    "lumos-enforce",
    "lumos-evidence",
    "lumos-ledger",
    "lumos-monitor",
    "lumos-policy",
    "lumos-timestamp",
];
/// Crates that reach the world.
const EDGES: &[&str] = &[
    "axum",
    "hyper",
    "mio",
    "reqwest",
    "rusqlite",
    "rustls",
    "tokio",
    "tokio-postgres",
];
const LINES_MAX: usize = 500;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the repository is asked through git and cargo"
)]
fn output(program: &str, args: &[&str]) -> String {
    let output = Command::new(program)
        .args(args)
        .current_dir(root())
        .output();
    let output = output.unwrap();
    let problem = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {problem}");
    String::from_utf8(output.stdout).unwrap()
}

/// Every file of the repository that is or could be committed, as a path from the root.
fn files() -> Vec<String> {
    let list = output(
        "git",
        &[
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ],
    );
    let files = list
        .split('\0')
        .filter(|path| !path.is_empty())
        .map(str::to_owned);
    files.filter(|path| root().join(path).is_file()).collect()
}

fn is(path: &str, extensions: &[&str]) -> bool {
    let extension = Path::new(path).extension().and_then(|e| e.to_str());
    extension.is_some_and(|extension| extensions.contains(&extension))
}

/// The text of a file; `None` when it is none.
fn text(path: &str) -> Option<String> {
    String::from_utf8(fs::read(root().join(path)).unwrap()).ok()
}

/// One section of `tidy.toml`: lines of the form `"name" = "value"`.
fn section(name: &str) -> BTreeMap<String, String> {
    let toml = text("xtask/tidy.toml").unwrap();
    let after = toml.split_once(&format!("\n[{name}]\n")).unwrap().1;
    let own = after.split("\n[").next().unwrap();
    let pairs = own
        .lines()
        .filter(|line| line.starts_with('"'))
        .map(|line| {
            let parts: Vec<&str> = line.split('"').collect();
            assert_eq!(
                parts.len(),
                5,
                "tidy.toml: `{line}` is no pair of quoted texts"
            );
            (parts[1].to_owned(), parts[3].to_owned())
        });
    pairs.collect()
}

fn none(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

fn metadata() -> Value {
    let args = [
        "metadata",
        "--format-version",
        "1",
        "--locked",
        "--filter-platform",
    ];
    let args = [&args[..], &["x86_64-unknown-linux-gnu"]].concat();
    serde_json::from_str(&output(env!("CARGO"), &args)).unwrap()
}

/// What each crate of the workspace is built from, by name and unique id; tests may look at more.
fn graph(metadata: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let nodes = metadata["resolve"]["nodes"].as_array().unwrap();
    let edges = nodes.iter().map(|node| {
        let deps = node["deps"].as_array().unwrap().iter().filter(|dep| {
            let kinds = dep["dep_kinds"].as_array().unwrap();
            kinds.iter().any(|kind| kind["kind"] != "dev")
        });
        let deps = deps.map(|dep| dep["pkg"].as_str().unwrap().to_owned());
        (node["id"].as_str().unwrap().to_owned(), deps.collect())
    });
    edges.collect()
}

fn names(metadata: &Value) -> BTreeMap<String, String> {
    let packages = metadata["packages"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    packages
        .iter()
        .map(|p| (text(&p["id"]), text(&p["name"])))
        .collect()
}

#[test]
fn crates_see_each_other_as_architecture_says() {
    let metadata = metadata();
    let (graph, names) = (graph(&metadata), names(&metadata));
    let members = metadata["workspace_members"].as_array().unwrap();
    let members: BTreeSet<&str> = members.iter().map(|id| id.as_str().unwrap()).collect();
    let actual: BTreeMap<String, BTreeSet<String>> = members
        .iter()
        .map(|id| {
            let own = graph[*id]
                .iter()
                .filter(|dep| members.contains(dep.as_str()));
            (
                names[*id].clone(),
                own.map(|dep| names[dep].clone()).collect(),
            )
        })
        .collect();

    let architecture = text("ARCHITECTURE.md").unwrap();
    let table = architecture.split_once("\n## Allowed edges\n").unwrap().1;
    let table = table.split("\n## ").next().unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let written: BTreeMap<String, BTreeSet<String>> = rows
        .map(|row| {
            let cells: Vec<&str> = row.split('|').collect();
            let words = |cell: &str| -> BTreeSet<String> {
                cell.split('`')
                    .skip(1)
                    .step_by(2)
                    .map(str::to_owned)
                    .collect()
            };
            (words(cells[1]).pop_first().unwrap(), words(cells[2]))
        })
        .collect();
    assert_eq!(
        actual, written,
        "left: what cargo says; right: ARCHITECTURE.md, Allowed edges"
    );
}

/// The README's first command names no binary: `cargo run` at the root must be able to choose.
#[test]
fn cargo_run_at_the_root_is_lumos() {
    let metadata = metadata();
    let members = metadata["workspace_default_members"].as_array().unwrap();
    let packages = metadata["packages"].as_array().unwrap().iter();
    let chosen: Vec<&Value> = packages
        .filter(|package| members.contains(&package["id"]))
        .map(|package| &package["default_run"])
        .filter(|chosen| !chosen.is_null())
        .collect();
    assert_eq!(
        chosen,
        ["lumos"],
        "exactly one default member says what runs"
    );
    let readme = text("README.md").unwrap();
    assert!(readme.contains("cargo run --release -- demo"));
}

#[test]
fn pure_crates_reach_nothing() {
    let metadata = metadata();
    let (graph, names) = (graph(&metadata), names(&metadata));
    let mut problems = Vec::new();
    for (id, name) in names
        .iter()
        .filter(|(_, name)| PURE.contains(&name.as_str()))
    {
        let (mut open, mut seen) = (vec![id], BTreeSet::new());
        while let Some(id) = open.pop() {
            if seen.insert(id) {
                open.extend(&graph[id]);
            }
        }
        let reached = seen.iter().map(|id| &names[*id]);
        let reached = reached.filter(|name| EDGES.contains(&name.as_str()));
        problems.extend(reached.map(|edge| format!("{name} is built on {edge}")));
    }
    none(&problems);
}

#[test]
fn files_are_short_or_say_why() {
    let mut long = section("long");
    let mut problems = Vec::new();
    for path in files() {
        if !is(&path, &["rs", "js", "css", "html", "sql", "go", "py", "sh"]) || is_vendored(&path) {
            continue;
        }
        let lines = text(&path).map_or(0, |text| text.lines().count());
        let has_reason = long.remove(&path).is_some();
        if lines > LINES_MAX && !has_reason {
            problems.push(format!(
                "{path} has {lines} lines: divide it, or say why in xtask/tidy.toml"
            ));
        } else if lines <= LINES_MAX && has_reason {
            problems.push(format!(
                "{path} is short again: take it out of xtask/tidy.toml"
            ));
        }
    }
    problems.extend(
        long.keys()
            .map(|path| format!("xtask/tidy.toml names {path}, which is gone")),
    );
    none(&problems);
}

#[test]
fn every_module_says_what_it_is() {
    let silent = files()
        .into_iter()
        .filter(|path| is(path, &["rs"]))
        .filter(|path| {
            let text = text(path).unwrap();
            // Unit tests stand beside their module, which says it.
            !path.ends_with("/tests.rs")
                && !text.starts_with("//!")
                && !text.starts_with("#![doc = include_str!")
        });
    none(
        &silent
            .map(|path| format!("{path} does not open with `//!`"))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn nothing_is_promised_for_later() {
    let (words, prose) = (section("words"), section("prose"));
    let mut problems = Vec::new();
    for path in files() {
        let in_prose = is(&path, &["rs", "md"]);
        let elsewhere = is(&path, &["html", "css", "js", "sql", "go", "py"]);
        if !in_prose && !elsewhere || is_vendored(&path) {
            continue;
        }
        for (number, line) in text(&path).unwrap_or_default().lines().enumerate() {
            let line = line.to_lowercase();
            for (word, reason) in words.iter().chain(prose.iter().filter(|_| in_prose)) {
                if has_word(&line, word) {
                    problems.push(format!("{path}:{}: `{word}`: {reason}", number + 1));
                }
            }
        }
    }
    none(&problems);
}

fn has_word(line: &str, word: &str) -> bool {
    let inside = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        !line[..at].ends_with(inside) && !line[at + word.len()..].starts_with(inside)
    })
}

#[test]
fn words_are_found_whole() {
    for (line, word, found) in [
        ("// soon: later", "soon", true),
        ("monsoons", "soon", false),
        ("as it is: nowhere", "is: now", false),
        ("good as it is.", "as it is", true),
    ] {
        assert_eq!(has_word(line, word), found, "{line}");
    }
}

#[test]
fn no_file_knows_this_machine() {
    // Halved, so that this file does not hold them either.
    let hosts = [
        concat!("crates.", "io"),
        concat!("pypi.", "org"),
        concat!("python", "hosted"),
        concat!("npm", "js"),
        concat!("deb.", "debian"),
    ];
    let paths = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/tmp/", "wt"),
    ];
    let mut problems = Vec::new();
    for path in files() {
        let Some(text) = text(&path) else { continue };
        let lock = path.ends_with("Cargo.lock") || path.ends_with("package-lock.json");
        for (number, line) in text.lines().enumerate() {
            let host = hosts
                .iter()
                .filter(|_| !lock)
                .find(|host| line.contains(*host));
            if let Some(found) = host.or_else(|| paths.iter().find(|place| line.contains(*place))) {
                problems.push(format!("{path}:{}: `{found}`", number + 1));
            }
        }
    }
    none(&problems);
}

fn is_vendored(path: &str) -> bool {
    path.contains("/vendor/") || path.ends_with(".min.js") || path.ends_with(".min.css")
}

#[test]
fn vendored_files_are_what_they_were() {
    let mut known = section("vendored");
    let mut problems = Vec::new();
    for path in files() {
        let listed = known.remove(&path);
        if !is_vendored(&path) && listed.is_none() {
            continue;
        }
        let digest = Sha256::digest(fs::read(root().join(&path)).unwrap());
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        if listed.as_ref() != Some(&digest) {
            problems.push(format!(
                "{path} has SHA-256 {digest}; xtask/tidy.toml says {listed:?}"
            ));
        }
    }
    problems.extend(
        known
            .keys()
            .map(|path| format!("xtask/tidy.toml names {path}, which is gone")),
    );
    none(&problems);
}

#[test]
fn every_error_is_explained() {
    let sources = files().into_iter().filter(|path| {
        is(path, &["rs"])
            && path.starts_with("crates/")
            && path.contains("/src/")
            && !path.contains("tests")
    });
    let sources: Vec<String> = sources.map(|path| text(&path).unwrap()).collect();
    let slugs: BTreeSet<&str> = sources
        .iter()
        .flat_map(|source| slugs::of(source))
        .collect();
    assert!(slugs.len() > 100, "only {} codes were found", slugs.len());

    let mut problems = Vec::new();
    let mut pages = BTreeSet::new();
    for path in files() {
        let Some(page) = path
            .strip_prefix("docs/errors/")
            .and_then(|p| p.strip_suffix(".md"))
        else {
            continue;
        };
        pages.insert(page.to_owned());
        let text = text(&path).unwrap();
        if !text.starts_with(&format!("# {page}\n")) || text.lines().count() < 4 {
            problems.push(format!(
                "{path} needs the title `# {page}`, what happened, why, what to do"
            ));
        }
        if !slugs.contains(page) {
            problems.push(format!("{path} explains a code that no source has"));
        }
    }
    let unexplained = slugs.iter().filter(|slug| !pages.contains(**slug));
    problems.extend(unexplained.map(|slug| format!("docs/errors/{slug}.md is missing")));
    none(&problems);
}
