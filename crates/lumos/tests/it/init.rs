//! `lumos init`: what a registry knows becomes a first installation, its owners people who can be invited.

use crate::{
    artifacts,
    world::{Said, World, run},
};

/// What stands in `text` between two other texts.
#[track_caller]
fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let rest = text.split_once(before).expect(before).1;
    rest.split_once(after).expect(after).0
}

/// Runs `lumos init` in an empty home with these answers, then serves what it wrote.
pub(crate) async fn founded(world: &mut World, options: &str, answers: &str) -> Said {
    let mut init = world.lumos(&format!("init {options}"));
    let said = run(&mut init, answers).await.is(0, "the first report:");
    let settings = std::fs::read_to_string(world.path("lumos.yaml")).unwrap();
    world.write(
        "lumos.yaml",
        settings.replace("127.0.0.1:8417", "127.0.0.1:0"),
    );
    world.start(0).await;
    let password = between(&said.out, "with the first password ", " (shown");
    let mut login = world.lumos("user login owner");
    run(&mut login, &format!("{password}\n"))
        .await
        .is(0, "signed in");
    said
}

/// Whether a person owns a model, and can be invited and come.
pub(crate) async fn owns_and_comes(world: &World, login: &str, model: &str) {
    let people = world.say("user list --json").await.is(0, login).json();
    let mut people = people.as_array().unwrap().iter();
    let person = people.find(|person| person["login"] == login).unwrap();
    let shown = world
        .say(&format!("model show {model} --json"))
        .await
        .json();
    assert_eq!(shown["owner"], person["person"], "{shown:#}");
    let invited = world
        .say(&format!("user invite {login}"))
        .await
        .is(0, "shown this once");
    let password = invited.out.trim().rsplit(' ').next().unwrap();
    // Their own home, so that whoever signed in here stays signed in.
    let mut come = world.lumos(&format!("user login {login}"));
    come.env("HOME", world.path(login));
    run(&mut come, &format!("{password}\n"))
        .await
        .is(0, "signed in");
}

#[tokio::test]
async fn owners_are_proposed_accepted_changed_and_invited() {
    let mut world = World::empty();
    for (model, owner) in [("triage", "ada"), ("letters", "bo"), ("drafts", "ada")] {
        let folder = world.path("models").join(model);
        artifacts::baseline(&folder.join("1.0")).unwrap();
        std::fs::write(folder.join("1.0/.complete"), "").unwrap();
        std::fs::write(folder.join(".owner"), owner).unwrap();
    }
    let home = world.path("models").display().to_string();
    let line = format!("--directory {home}");

    // Nobody answers: nothing is written, and the message says how to go on.
    world.say(&format!("init {line}")).await.is(1, "--yes");
    world
        .say(&format!("init {line} --owner ghost=ada"))
        .await
        .is(1, "no model `ghost`");
    assert!(!world.path("lumos.yaml").exists());

    // In the registry's order: drafts is left out, letters gets another owner, triage is not asked for.
    let options = format!("{line} --owner triage=Cyd");
    let said = founded(&mut world, &options, "-\nada\n").await;
    assert!(
        said.out.contains("`letters` [bo]: ") && !said.out.contains("`triage` ["),
        "{said:#?}"
    );
    assert!(
        said.out.contains("`lumos user invite ada`") && !said.out.contains("invite bo"),
        "{said:#?}"
    );
    world.say("model show drafts").await.is(1, "unknown-thing");
    owns_and_comes(&world, "ada", "letters").await;
    owns_and_comes(&world, "cyd", "triage").await;
    let gate = "gate --model triage --version 1.0 --env production";
    world.say(gate).await.is(0, "WOULD DENY");
    world
        .say(&format!("init {line}"))
        .await
        .is(1, "exists already");
}
