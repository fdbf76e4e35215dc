//! The documents as tests: every command they show is run, in order, in a world like the one they speak of;
//! every command they mention exists.

use std::{collections::BTreeMap, path::Path};

use crate::{
    artifacts,
    world::{Said, World, program, promoted, run},
};

use self::script::{Step, blocks, has_shape, is_number, mentions, steps};

mod script;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// What stands in a document and is not run from here, and why. A row that no document shows any more fails.
const NOT_RUN: &[(&str, &str, &str)] = &[
    (
        "README.md",
        "cargo run --release -- demo",
        "`demo.rs` runs it to its end",
    ),
    ("README.md", "cargo xtask test", "it runs this test"),
    (
        "docs/guide/integrator-registries.md",
        "lumos init --mlflow https://mlflow.acme.example --webhook-url https://lumos.acme.example/api/v1/hooks/models",
        "`mlflow.rs` runs it against a real MLflow",
    ),
];

/// Mentioned in prose; `cargo xtask` is asked by its own tests, and measures for minutes.
const XTASK: &[&str] = &["ci", "test", "peers", "bench", "soak"];

fn read(document: &str) -> String {
    std::fs::read_to_string(Path::new(ROOT).join(document)).unwrap()
}

/// Every document that a user reads.
fn documents() -> Vec<String> {
    let mut found = vec![
        "README.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "ARCHITECTURE.md",
    ]
    .into_iter()
    .map(str::to_owned)
    .collect::<Vec<_>>();
    for folder in ["docs", "docs/guide", "docs/errors", "docs/formats"] {
        for entry in std::fs::read_dir(Path::new(ROOT).join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.ends_with(".md") {
                found.push(format!("{folder}/{name}"));
            }
        }
    }
    found
}

/// A world in which a document's commands make sense, and what has been learned from their answers.
struct Reading<'a> {
    document: &'a str,
    world: World,
    numbers: BTreeMap<String, String>,
}

impl Reading<'_> {
    /// Runs every command of the document.
    async fn all(&mut self) {
        let shown = steps(&read(self.document));
        assert!(!shown.is_empty(), "{} shows no command", self.document);
        for step in shown {
            let named = NOT_RUN.iter().any(|(document, command, _)| {
                (*document, *command) == (self.document, &step.command)
            });
            if !named {
                self.step(&step).await;
            }
        }
    }

    async fn step(&mut self, step: &Step) {
        if step.command == "lumos serve" {
            return self.world.start(1).await;
        }
        if let Some(tool) = absent(&step.command) {
            println!("skipped: no {tool} for `{}`", step.command);
            return;
        }
        let said = self.run(&step.command).await;
        let at = format!("{}: {}", self.document, step.command);
        assert_eq!(said.code, Some(step.exit), "{at}\n{}{}", said.out, said.err);
        if let Some(shown) = &step.says {
            let all = format!("{}{}", said.out, said.err);
            let lines: Vec<&str> = all.lines().filter(|line| !line.trim().is_empty()).collect();
            assert!(
                has_shape(shown, &lines),
                "{at}\nshown: {shown:#?}\nsaid: {lines:#?}"
            );
            self.learn(shown, &lines);
        }
    }

    /// Runs a line in a shell; what it exports, the next line finds.
    async fn run(&self, line: &str) -> Said {
        let mut line = line.replace("ORIGIN+ID+KEY", self.world.vkey());
        line = line.replace("http://127.0.0.1:8417", self.world.address());
        for (shown, real) in &self.numbers {
            line = line.replace(shown, real);
        }
        let login = line.strip_prefix("lumos user login ");
        let password = login.map_or(String::new(), |login| {
            format!("{}\n", self.world.password(login))
        });
        let lumos = Path::new(env!("CARGO_BIN_EXE_lumos")).parent().unwrap();
        let script = format!(
            "[ ! -e .exported ] || . ./.exported\n{line}\ncode=$?\nexport -p > .exported\nexit $code\n"
        );
        let mut shell = program("/bin/sh");
        shell
            .args(["-c", &script])
            .current_dir(self.world.path(""))
            .env_clear()
            .env("HOME", self.world.path(""))
            .env("PATH", format!("{}:/usr/bin:/bin", lumos.display()));
        run(&mut shell, &password).await
    }

    /// The number of a decision or proposal stands for the one that was really given.
    fn learn(&mut self, shown: &[String], said: &[&str]) {
        let numbers = |lines: &str| -> Vec<String> {
            let words = lines.split_whitespace().filter(|word| is_number(word));
            words.map(str::to_owned).collect()
        };
        let (shown, said) = (numbers(&shown.join("\n")), numbers(&said.join("\n")));
        self.numbers.extend(shown.into_iter().zip(said));
    }
}

/// The tool that a command needs and this machine lacks.
fn absent(command: &str) -> Option<&'static str> {
    ["curl", "openssl"]
        .into_iter()
        .find(|tool| command.starts_with(tool) && !Path::new("/usr/bin").join(tool).exists())
}

async fn check(document: &str, world: World) {
    let numbers = BTreeMap::new();
    Reading {
        document,
        world,
        numbers,
    }
    .all()
    .await;
}

/// A model in a folder, and what a release to production must bring beside its files.
fn model(world: &World, folder: &str) {
    let folder = world.path(folder);
    artifacts::baseline(&folder).unwrap();
    std::fs::remove_file(folder.join(".author")).unwrap();
    std::fs::remove_dir_all(folder.join(".evidence")).unwrap();
    for ((_, claim), file) in artifacts::missing_evidence()
        .iter()
        .zip(["eval.json", "plan.json"])
    {
        world.write(file, claim.to_string());
    }
}

/// Acme with `triage/1.0` in production.
async fn approved() -> World {
    let world = World::acme().await;
    world.approve("1.0").await;
    let developer = world.person("developer").await;
    developer.until("triage/1.0", promoted).await;
    world
}

#[tokio::test]
async fn readme() {
    let world = World::empty();
    world.write("lumos.yaml", "listen: 127.0.0.1:0\n");
    model(&world, "my-model");
    artifacts::baseline(&world.path("models/triage/1.0")).unwrap();
    world.write("models/triage/1.0/.complete", "");
    check("README.md", world).await;
}

#[tokio::test]
async fn guide_for_agents() {
    if !Path::new("/usr/bin/python3").exists() {
        println!("skipped: no python3 for the agents of the guide");
        return;
    }
    let world = approved().await;
    let examples = Path::new(ROOT).join("examples/agents");
    for file in ["lumos.py", "card_checker.py"] {
        let text = std::fs::read(examples.join(file)).unwrap();
        world.write(&format!("examples/agents/{file}"), text);
    }
    check("docs/guide/integrator-agents.md", world).await;
}

#[tokio::test]
async fn guide_for_auditors() {
    let mut world = approved().await;
    // Last month somebody copied the database.
    assert!(world.stop().await.success());
    for file in ["lumos.db", "lumos.db-wal"] {
        if let Ok(bytes) = std::fs::read(world.path("lumos-data").join(file)) {
            world.write(&format!("last-month/{file}"), bytes);
        }
    }
    world.start(0).await;
    world.register("letters").await;
    check("docs/guide/auditor.md", world).await;
}

#[tokio::test]
async fn guide_for_integrators() {
    // Asked once at the start and then not for a quarter of an hour: what is submitted was not found before.
    let mut world = World::prepared(|settings| settings.replace("poll_s: 1", "poll_s: 900"));
    world.publish("1.0");
    world.start(2).await;
    world.give_passwords().await;
    world.approve("1.0").await;
    let developer = world.person("developer").await;
    developer.until("triage/1.0", promoted).await;
    model(&world, "model");
    artifacts::baseline(&world.path("models/letters/3")).unwrap();
    world.write("models/letters/3/.complete", "");
    check("docs/guide/integrator.md", world).await;
}

#[tokio::test]
async fn guide_for_integrators_of_registries() {
    check("docs/guide/integrator-registries.md", approved().await).await;
}

#[tokio::test]
async fn guide_for_operators() {
    check("docs/guide/operator.md", World::acme().await).await;
}

#[tokio::test]
async fn guide_for_policy_authors() {
    let world = World::acme().await;
    let text = read("docs/guide/policy-author.md");
    let first = blocks(&text)
        .into_iter()
        .find(|(language, _)| *language == "yaml");
    world.write("first-steps.yaml", first.unwrap().1);
    model(&world, "model");
    check("docs/guide/policy-author.md", world).await;
}

#[tokio::test]
async fn guide_for_reviewers() {
    let world = World::acme().await;
    world.reviewed("1.0").await;
    world
        .say_as("developer", "release claim triage/1.0")
        .await
        .is(0, "lumos.author.claimed.v1");
    let asked = "log-review set --role compliance-officer --every-days 30 --within-days 7 --reason 'our rule'";
    world
        .say_as("administrator", asked)
        .await
        .is(0, "lumos.log_review.set.v1");
    check("docs/guide/reviewer.md", world).await;
}

/// A block of commands that no test above runs would be a promise that nobody holds.
#[test]
fn no_document_shows_commands_that_nobody_runs() {
    let run = [
        "README.md",
        "docs/guide/auditor.md",
        "docs/guide/integrator-agents.md",
        "docs/guide/integrator-registries.md",
        "docs/guide/integrator.md",
        "docs/guide/operator.md",
        "docs/guide/policy-author.md",
        "docs/guide/reviewer.md",
    ];
    for document in documents() {
        let text = read(&document);
        assert!(
            steps(&text).is_empty() || run.contains(&document.as_str()),
            "{document} shows commands, and nothing runs them"
        );
        for (language, block) in blocks(&text) {
            let hidden = !["sh", "console"].contains(&language)
                && block.lines().any(|line| line.starts_with("lumos "));
            assert!(
                !hidden,
                "{document} hides commands in a block of `{language}`"
            );
        }
    }
    for (document, command, reason) in NOT_RUN {
        let shown = steps(&read(document));
        assert!(
            shown.iter().any(|step| step.command == *command),
            "{document} no longer shows `{command}` ({reason})"
        );
    }
}

/// The help of a command, or how it was refused.
async fn help(world: &World, path: &[&str]) -> Said {
    let mut command = world.lumos("");
    run(command.args(path).arg("--help"), "").await
}

#[tokio::test]
async fn every_command_that_is_mentioned_exists() {
    let world = World::empty();
    let mut tasks = Vec::new();
    for document in documents() {
        for mention in mentions(&read(&document)) {
            let words: Vec<&str> = mention.split_whitespace().collect();
            let start = words
                .iter()
                .position(|word| *word == "lumos" || *word == "cargo")
                .unwrap();
            let words = &words[start..];
            if words[0] == "cargo" {
                tasks.extend((words[1] == "xtask").then(|| words[2].to_owned()));
                continue;
            }
            let subcommand = |word: &&&str| {
                word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-') && !word.starts_with('-')
            };
            let path: Vec<&str> = words[1..].iter().take_while(subcommand).copied().collect();
            let said = help(&world, &path).await;
            assert_eq!(
                said.code,
                Some(0),
                "{document} mentions `{mention}`: {}",
                said.err
            );
            for option in words.iter().filter(|word| word.starts_with("--")) {
                assert!(
                    said.out.contains(option),
                    "{document} mentions `{mention}`, which has no {option}"
                );
            }
        }
    }
    for task in XTASK {
        assert!(
            tasks.iter().any(|named| named == task),
            "no document names `cargo xtask {task}`"
        );
    }
    for task in tasks {
        assert!(
            XTASK.contains(&task.as_str()),
            "`cargo xtask {task}` is named and not known"
        );
    }
}
