//! The pages in a real Chromium, by keyboard alone.

use std::path::Path;

use lumos_http::Method;
use serde_json::Value;

use crate::world::{World, program, run};

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/browser");
const MODULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/peers/npm");

/// Whether there is a Chromium to drive; says so when there is none.
fn chromium() -> bool {
    let modules = Path::new(MODULES).join("node_modules/playwright-core");
    let there = Path::new("/usr/bin/chromium").exists() && modules.exists();
    if !there {
        println!("skipped: no Chromium with playwright-core, run `cargo xtask peers`");
    }
    there
}

/// What stands on the page after `login` did what a script says, with the keyboard alone.
async fn by_keyboard(world: &World, script: &str, login: &str, rest: &[&str]) -> String {
    let mut node = program("node");
    node.arg(Path::new(SCRIPTS).join(script))
        .args([MODULES, world.address(), login, world.password(login)])
        .args(rest);
    let said = run(&mut node, "").await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let seen: Value = said.json();
    assert_eq!(seen["errors"], serde_json::json!([]), "{seen:#}");
    seen["text"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn real_chromium_signs_by_keyboard_alone() {
    if !chromium() {
        return;
    }
    let world = World::acme().await;
    let developer = world.reviewed("1.0").await;
    let claim = serde_json::json!({ "claim": 1 });
    let path = "/api/v1/releases/triage/1.0/claims";
    developer.ask(Method::POST, path, &claim).await.is(200);
    for login in ["compliance", "expert"] {
        let text = by_keyboard(&world, "sign.mjs", login, &["triage/1.0", "approve"]).await;
        assert!(text.contains("read with the keyboard alone"), "{text}");
    }
    let view = developer.until("triage/1.0", crate::world::promoted).await;
    for signature in view["reviews"][0]["signatures"].as_array().unwrap() {
        assert_eq!(
            signature["grade"], "part11",
            "the password was given: {signature:#}"
        );
    }
}

#[tokio::test]
async fn real_chromium_stops_resumes_and_asks_for_a_gate_by_keyboard_alone() {
    if !chromium() {
        return;
    }
    let world = World::acme().await;
    let developer = world.reviewed("1.0").await;
    let stop = [
        "Systems",
        "Stop this system",
        "reason",
        "it answers oddly",
        "Stop it",
    ];
    let ask = [
        "Systems",
        "Ask that it run again",
        "reason",
        "it is mended",
        "Ask for it",
    ];
    let confirm = [
        "Systems",
        "Confirm that it runs again",
        "reason",
        "so I saw",
        "Let it run again",
    ];
    for (login, steps, expected) in [
        ("platform", stop, "it answers oddly"),
        ("platform", ask, "You asked already"),
        ("administrator", confirm, "Stop this system"),
    ] {
        let text = by_keyboard(&world, "fold.mjs", login, &steps).await;
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let gate = [
        "Releases,triage/1.0",
        "Ask to enter a further environment",
        "agents",
        "ward/discharge",
        "Ask for the gate",
    ];
    let text = by_keyboard(&world, "fold.mjs", "developer", &gate).await;
    assert!(
        text.contains("development:"),
        "the release now has two environments: {text}"
    );
    let in_both = |view: &Value| view["reviews"].as_array().is_some_and(|all| all.len() == 2);
    developer.until("triage/1.0", in_both).await;
}

#[tokio::test]
async fn real_chromium_checks_the_proofs_of_a_release_and_says_loudly_what_does_not_hold() {
    if !chromium() {
        return;
    }
    let world = World::acme().await;
    world.approve("1.0").await;
    let developer = world.person("developer").await;
    let view = developer.until("triage/1.0", crate::world::promoted).await;
    let history = view["history"].as_array().unwrap();
    let approved = |e: &&Value| e["type"] == "lumos.release.approved.v1";
    let index = &history.iter().find(approved).unwrap()["index"];
    let last = history.last().unwrap()["index"].as_u64().unwrap();
    developer.until_published(last).await;

    // Approval, assignment, promotion ordered and seen.
    let page = "/releases/triage/1.0?env=production";
    let seen = async |change: &str| {
        by_keyboard(&world, "proofs.mjs", "compliance", &[page, "4", change]).await
    };
    let good = seen("nothing").await;
    let sentence = format!("this approval is entry {index} of the ledger");
    assert!(good.contains(&sentence), "{good}");
    assert!(good.contains("Your browser checked 4 of these"), "{good}");
    assert!(good.contains("signed by") && !good.contains('■'), "{good}");
    for (change, why) in [
        ("entry", "leads to another root"),
        ("note", "the signature of the checkpoint is wrong"),
        ("signature", "the signature of the checkpoint is wrong"),
        ("other", "of another entry than the page says"),
    ] {
        let bad = seen(change).await;
        assert!(bad.contains("4 of these do not hold"), "{change}: {bad}");
        assert!(bad.contains(why) && !bad.contains('●'), "{change}: {bad}");
    }
    let plain = seen("plain").await;
    assert!(plain.contains("has not checked these yet"), "{plain}");
    assert!(plain.contains("lumos ledger verify"), "{plain}");

    let entry = format!("/ledger/entry/{index}");
    let entry = by_keyboard(
        &world,
        "proofs.mjs",
        "compliance",
        &[&entry, "0", "nothing"],
    )
    .await;
    assert!(
        entry.contains("Proof holds") && entry.contains("signed by"),
        "{entry}"
    );
}
