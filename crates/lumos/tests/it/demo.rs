//! `lumos demo --once` tells the whole story, and leaves nothing behind.

use std::path::Path;

use crate::world::{World, run};

/// Digests, ids, addresses and sizes differ each time.
fn normalised(story: &str, temporary: &Path) -> String {
    let word = |word: &str| {
        let plain = word.trim_matches(['`', '.', ',', ':', ';', '(', ')']);
        let digits = plain.bytes().filter(u8::is_ascii_digit).count();
        let random = plain.starts_with("http://127.0.0.1:")
            || plain.contains(temporary.to_str().unwrap())
            || plain.len() > 20 && digits > 3;
        if random {
            word.replace(plain, "…")
        } else {
            word.to_owned()
        }
    };
    let line = |line: &str| line.split(' ').map(word).collect::<Vec<_>>().join(" ");
    story.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn the_story_is_told_once_and_nothing_is_left() {
    let world = World::empty();
    let temporary = world.path("tmp");
    std::fs::create_dir(&temporary).unwrap();
    let mut demo = world.lumos(&["demo", "--once"]);
    let said = run(demo.env("TMPDIR", &temporary), "").await;
    assert_eq!(said.code, Some(0), "{said:#?}");
    assert_eq!(said.err, "");
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0);
    let home: Vec<_> = std::fs::read_dir(world.path("")).unwrap().collect();
    assert_eq!(home.len(), 1, "{home:?}");
    insta::assert_snapshot!(normalised(&said.out, &temporary));
}
