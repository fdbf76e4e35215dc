//! `lumos demo --once` tells the whole story, and leaves nothing behind.

use crate::world::{World, run};

/// Addresses and roots differ each time, and so does what exactly the changed byte breaks.
fn normalised(story: &str) -> String {
    let line = |line: &str| match line.split_once("verified: ") {
        Some((before, _)) => format!("{before}verified: …"),
        None if line.starts_with("DOES NOT VERIFY: ") => "DOES NOT VERIFY: …".to_owned(),
        // What a verification says below each of its answers.
        None if line.starts_with("  ") && !line.starts_with("   ") => "  …".to_owned(),
        None => match line.split_once("http://127.0.0.1:") {
            Some((before, _)) => format!("{before}…"),
            None => line.to_owned(),
        },
    };
    story.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn the_story_is_told_once_and_nothing_is_left() {
    let world = World::empty();
    let temporary = world.path("tmp");
    std::fs::create_dir(&temporary).unwrap();
    let mut demo = world.lumos("demo --once");
    let said = run(demo.env("TMPDIR", &temporary), "").await;
    assert_eq!(said.code, Some(0), "{said:#?}");
    assert_eq!(said.err, "");
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0);
    let home: Vec<_> = std::fs::read_dir(world.path("")).unwrap().collect();
    assert_eq!(home.len(), 1, "{home:?}");
    insta::assert_snapshot!(normalised(&said.out));
}
