//! The directory registry on real folders, its clock turned by hand.

use std::{
    fs,
    os::unix::fs::symlink,
    sync::atomic::{AtomicI64, Ordering},
};

use serde_json::json;
use tempfile::TempDir;

use super::*;

#[derive(Default)]
struct HandClock(AtomicI64);

impl HandClock {
    fn pass(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + self.0.load(Ordering::Relaxed)).unwrap()
    }
}

struct World {
    root: TempDir,
    into: TempDir,
    clock: Arc<HandClock>,
    registry: Directory,
}

impl World {
    fn new() -> Self {
        Self::with_max_bytes(1 << 20)
    }

    fn with_max_bytes(max_bytes: u64) -> Self {
        let root = tempfile::tempdir().unwrap();
        let clock = Arc::new(HandClock::default());
        let settings = DirectorySettings {
            name: "disk".parse().unwrap(),
            root: root.path().to_owned(),
            settle_s: 10,
            max_bytes,
        };
        Self {
            registry: Directory::new(&settings, Arc::clone(&clock) as Arc<dyn Clock>),
            into: tempfile::tempdir().unwrap(),
            root,
            clock,
        }
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn link(&self, target: &str, path: &str) {
        symlink(target, self.root.path().join(path)).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root.path().join(path)).unwrap()
    }

    async fn visible(&self, known: &[&str]) -> Vec<String> {
        let known: Vec<String> = known.iter().map(|&it| it.to_owned()).collect();
        let known = move |version: &str| known.iter().any(|it| it == version);
        let found = self.registry.versions("fraud", &known).await.unwrap();
        found.into_iter().map(|version| version.version).collect()
    }

    async fn fetch(&self) -> Result<u64, RegistryError> {
        self.registry.fetch("fraud", "v1", self.into.path()).await
    }
}

#[tokio::test]
async fn a_version_is_visible_when_marked_or_settled() {
    let world = World::new();
    world.write("fraud/marked/model.skops", "weights");
    world.write("fraud/marked/.complete", "");
    world.write("fraud/v1/model.skops", "wei");
    assert_eq!(world.visible(&[]).await, ["marked"]);
    world.clock.pass(9);
    assert_eq!(world.visible(&[]).await, ["marked"]);
    // Still being copied: the wait begins anew.
    world.write("fraud/v1/model.skops", "weights");
    world.clock.pass(9);
    assert_eq!(world.visible(&["marked"]).await, [""; 0]);
    world.clock.pass(9);
    assert_eq!(world.visible(&["marked"]).await, [""; 0]);
    world.clock.pass(1);
    assert_eq!(world.visible(&["marked"]).await, ["v1"]);
    assert_eq!(world.visible(&["marked", "v1"]).await, [""; 0]);
}

#[tokio::test]
async fn notes_do_not_disturb_the_wait() {
    let world = World::new();
    world.write("fraud/v1/model.skops", "weights");
    assert_eq!(world.visible(&[]).await, [""; 0]);
    world.clock.pass(10);
    world.write("fraud/v1/.author", "ada@acme.example");
    assert_eq!(world.visible(&[]).await, ["v1"]);
}

#[tokio::test]
async fn names_that_cannot_be_names_are_skipped() {
    let world = World::new();
    for version in ["v1", "1.0+cu12", "a b", "-v", ".hidden", "über", "v\n2"] {
        world.write(&format!("fraud/{version}/.complete"), "");
    }
    world.write("fraud/file-not-folder", "");
    world.link("v1", "fraud/latest");
    world.write("bad name/v1/.complete", "");
    let mut versions = world.visible(&[]).await;
    versions.sort();
    assert_eq!(versions, ["1.0+cu12", "v1"]);
    let models = world.registry.models().await.unwrap();
    assert_eq!(models.len(), 1);
}

#[tokio::test]
async fn what_is_written_beside_a_version_is_a_claim() {
    let world = World::new();
    world.write("fraud/.owner", "risk-team\n");
    world.write("fraud/.description", "Scores card payments.\nMore.\n");
    world.write("fraud/v1/model.skops", "weights");
    world.write("fraud/v1/.author", "ada@acme.example\n\n bo \n");
    world.write("fraud/v1/.change", "prompt\n");
    world.write("fraud/v1/.evidence/evaluation.json", r#"{"auc": 0.9}"#);
    world.write("fraud/v1/.evidence/card.json", "1");
    let models = world.registry.models().await.unwrap();
    let expected = FoundModel {
        name: "fraud".to_owned(),
        description: "Scores card payments.".to_owned(),
        owner: Some("risk-team".to_owned()),
        latest: Some("v1".to_owned()),
    };
    assert_eq!(models, [expected]);
    let version = world.registry.version("fraud", "v1").await.unwrap();
    assert_eq!(version.authors, ["ada@acme.example", "bo"]);
    assert_eq!(version.declared.as_deref(), Some("prompt"));
    assert!(version.created.is_some());
    let evidence = world.registry.evidence("fraud", "v1").await.unwrap();
    let evidence: Vec<_> = evidence
        .iter()
        .map(|it| (it.kind.as_str(), it.producer.as_str(), &it.claim))
        .collect();
    let auc = json!({"auc": 0.9});
    let one = json!(1);
    let expected = [
        ("card", "developer", &one),
        ("evaluation", "developer", &auc),
    ];
    assert_eq!(evidence, expected);
}

#[tokio::test]
async fn evidence_that_cannot_be_read_is_not_passed_over() {
    async fn check(file: &str, text: &str, problem: &str) {
        let world = World::new();
        world.write(&format!("fraud/v1/.evidence/{file}"), text);
        let error = world.registry.evidence("fraud", "v1").await.unwrap_err();
        assert_eq!(error.code(), "registry-broken");
        assert!(error.to_string().contains(problem), "{error}");
    }
    check("evaluation.json", "{", "EOF").await;
    check("evaluation.txt", "{}", "KIND.json").await;
    check("a b.json", "{}", "KIND.json").await;
    check("big.json", &"1".repeat((1 << 20) + 1), "too long").await;
}

#[tokio::test]
async fn artifacts_are_copied_without_the_notes() {
    let world = World::new();
    for note in [".complete", ".author", ".change", ".evidence/card.json"] {
        world.write(&format!("fraud/v1/{note}"), "1");
    }
    world.write("fraud/v1/model.skops", "weights");
    world.write("fraud/v1/code/.complete", "deep");
    world.write("fraud/v1/.gitattributes", "x");
    world.link("model.skops", "fraud/v1/alias.skops");
    assert_eq!(world.fetch().await.unwrap(), 7 + 4 + 1 + 7);
    let read = |path: &str| fs::read_to_string(world.into.path().join(path));
    assert_eq!(read("model.skops").unwrap(), "weights");
    assert_eq!(read("alias.skops").unwrap(), "weights");
    assert_eq!(read("code/.complete").unwrap(), "deep");
    assert_eq!(read(".gitattributes").unwrap(), "x");
    for note in NOTES {
        assert!(!world.into.path().join(note).exists(), "{note}");
    }
    // A change in the registry does not reach the copy.
    world.write("fraud/v1/model.skops", "changed");
    assert_eq!(read("model.skops").unwrap(), "weights");
}

#[tokio::test]
async fn links_that_lead_elsewhere_are_refused() {
    async fn check(target: &str) {
        let world = World::new();
        world.write("secret.txt", "secret");
        world.write("fraud/other/model.skops", "other");
        world.write("fraud/v1/code/a.py", "a");
        world.link(target, "fraud/v1/link");
        let error = world.fetch().await.unwrap_err();
        assert_eq!(error.code(), "registry-broken", "{error}");
        assert!(error.to_string().contains("link `link`"), "{error}");
        assert!(!world.into.path().join("link").exists());
        assert_eq!(world.visible(&[]).await, [""; 0]);
    }
    check("/etc/hostname").await;
    check("../../secret.txt").await;
    check("../other/model.skops").await;
    check("../v1/../other/model.skops").await;
    check("code").await;
    check(".").await;
    check("link").await;
    check("absent").await;
}

#[tokio::test]
async fn a_version_too_large_is_not_fetched() {
    async fn check(max_bytes: u64, fits: bool) {
        let world = World::with_max_bytes(max_bytes);
        world.write("fraud/v1/a", "1234");
        world.write("fraud/v1/b", "5678");
        assert_eq!(world.fetch().await.is_ok(), fits, "{max_bytes}");
    }
    check(8, true).await;
    check(7, false).await;
    check(3, false).await;
    check(0, false).await;
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    async fn check(name: &str, version: &str) {
        let world = World::new();
        world.write("fraud/v1/.complete", "");
        world.write("top", "");
        let into = world.into.path();
        let version = world.registry.fetch(name, version, into).await;
        assert_eq!(version.unwrap_err().code(), "registry-not-found");
    }
    check("absent", "v1").await;
    check("fraud", "v2").await;
    check("fraud", "v1").await;
    check("fraud", "..").await;
    check("..", "v1").await;
    check("fraud/v1", ".").await;
    check("", "").await;
    check("top", "v1").await;
}

#[tokio::test]
async fn a_root_that_is_away_is_unreachable() {
    let world = World::new();
    fs::remove_dir(world.root.path()).unwrap();
    let error = world.registry.models().await.unwrap_err();
    assert_eq!(error.code(), "registry-unreachable");
    assert!(error.is_transient());
}

#[tokio::test]
async fn an_alias_is_moved_and_read_back() {
    let world = World::new();
    world.write("fraud/v1/.complete", "");
    world.write("fraud/v2/.complete", "");
    let alias = || world.registry.alias("fraud", "champion");
    assert_eq!(alias().await.unwrap(), None);
    for version in ["v1", "v2", "v1"] {
        let registry = &world.registry;
        let moved = registry.set_alias("fraud", "champion", version, "approval-7");
        moved.await.unwrap();
        assert_eq!(alias().await.unwrap().as_deref(), Some(version));
    }
    assert_eq!(world.read("fraud/.aliases/champion"), "v1\n");
    assert_eq!(world.read("fraud/.approvals/v2"), "approval-7\n");
    let drafts = fs::read_dir(world.root.path().join("fraud/.aliases")).unwrap();
    assert_eq!(drafts.count(), 1);
    assert_eq!(world.registry.models().await.unwrap().len(), 1);
    assert_eq!(world.visible(&["v1", "v2"]).await, [""; 0]);
}

#[tokio::test]
async fn an_alias_names_only_what_is_there() {
    async fn check(alias: &str, version: &str) {
        let world = World::new();
        world.write("fraud/v1/.complete", "");
        let moved = world.registry.set_alias("fraud", alias, version, "m").await;
        assert_eq!(moved.unwrap_err().code(), "registry-not-found");
        assert!(!world.root.path().join("fraud/.aliases").exists());
        assert!(!world.root.path().join("escaped").exists());
    }
    check("champion", "v2").await;
    check("champion", "../v1").await;
    check("../../escaped", "v1").await;
    check(".hidden", "v1").await;
    check("", "v1").await;
}

#[tokio::test]
async fn an_alias_folder_that_leads_elsewhere_is_not_written_through() {
    let world = World::new();
    let elsewhere = tempfile::tempdir().unwrap();
    world.write("fraud/v1/.complete", "");
    symlink(elsewhere.path(), world.root.path().join("fraud/.aliases")).unwrap();
    let moved = world.registry.set_alias("fraud", "champion", "v1", "m");
    assert!(moved.await.is_err());
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn rights_are_tried_and_leave_nothing_behind() {
    let world = World::new();
    world.write("fraud/v1/.complete", "");
    let missing = world.registry.missing_permissions().await.unwrap();
    assert_eq!(missing, [""; 0]);
    let left = fs::read_dir(world.root.path().join("fraud")).unwrap();
    assert_eq!(left.count(), 1);
}

#[tokio::test]
async fn it_sends_no_webhooks() {
    let world = World::new();
    assert!(
        world
            .registry
            .receive(&[], b"", Timestamp::UNIX_EPOCH)
            .is_none()
    );
}
