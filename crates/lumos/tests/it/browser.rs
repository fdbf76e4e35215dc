//! The pages in a real Chromium, by keyboard alone.

use std::path::Path;

use serde_json::Value;

use crate::world::{World, program, run};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/keyboard.mjs");
const MODULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/peers/npm");

#[tokio::test]
async fn real_chromium_signs_by_keyboard_alone() {
    let modules = Path::new(MODULES).join("node_modules/playwright-core");
    if !Path::new("/usr/bin/chromium").exists() || !modules.exists() {
        println!("skipped: no Chromium with playwright-core, run `cargo xtask peers`");
        return;
    }
    let world = World::acme().await;
    world.publish("1.0");
    let developer = world.person("developer").await;
    developer
        .until("triage/1.0", |view| view["state"] == "in review")
        .await;
    let claim = serde_json::json!({ "claim": 1 });
    developer
        .ask(
            lumos_http::Method::POST,
            "/api/v1/releases/triage/1.0/claims",
            &claim,
        )
        .await
        .is(200);
    for login in ["compliance", "expert"] {
        let mut node = program("node");
        node.args([
            SCRIPT,
            MODULES,
            world.address(),
            login,
            world.password(login),
        ])
        .args(["triage/1.0", "approve"]);
        let said = run(&mut node, "").await;
        assert_eq!(said.code, Some(0), "{said:?}");
        let seen: Value = said.json();
        assert_eq!(seen["errors"], serde_json::json!([]), "{seen:#}");
        let text = seen["text"].as_str().unwrap();
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
