//! The ledger, verified by programs that share no line with LUMOS: the commands that an export prints, with OpenSSL and
//! Go's own `sumdb/tlog`, over the export and over the tiles of a live server.

use std::path::Path;

use lumos_ledger::{
    export,
    tile::{Kind, Tile, all_tiles},
};

use crate::{
    commands::flip_one_byte,
    world::{Said, World, program, promoted, run},
};

/// Where Debian installs `golang-golang-x-mod-dev`.
const GOCODE: &str = "/usr/share/gocode";

/// Whether there is a Go with its transparency log; says so when there is none.
fn go() -> bool {
    let library = Path::new(GOCODE).join("src/golang.org/x/mod/sumdb/tlog");
    let there = Path::new("/usr/bin/go").exists() && library.exists();
    if !there {
        println!("skipped: no Go with golang.org/x/mod, run `cargo xtask peers`");
    }
    there
}

/// Every command that `VERIFY.md` prints, in order; installing packages is for the reader's own machine.
fn printed(guide: &str) -> Vec<&str> {
    let mut fences = guide.split("\n```");
    fences.next();
    let mut blocks = Vec::new();
    while let Some(fence) = fences.next() {
        blocks.extend(fence.strip_prefix("sh\n"));
        fences.next();
    }
    blocks.retain(|block| !block.starts_with("apt-get install"));
    blocks
}

/// Runs, in one shell and as printed, what the export in `folder` prints, with `older` beside it.
async fn as_printed(world: &World, folder: &str, vkey: &str) -> Said {
    let guide = std::fs::read_to_string(world.path(folder).join("VERIFY.md")).unwrap();
    let blocks = printed(&guide);
    assert_eq!(blocks.len(), 5, "{blocks:#?}");
    let placeholder = "'<name>+<id>+<key>'";
    assert_eq!(blocks[0].matches(placeholder).count(), 1);
    let script = blocks.join("\n").replace(placeholder, &format!("'{vkey}'"));
    let script = script.replace("OLDER=checkpoint\n", "OLDER=../older\n");
    assert!(script.contains("OLDER=../older"));
    let mut shell = program("/bin/sh");
    shell
        .args(["-ec", &script])
        .current_dir(world.path(folder))
        .env_clear()
        .env("HOME", world.path(""))
        .env("PATH", "/usr/bin:/bin");
    run(&mut shell, "").await
}

#[tokio::test]
async fn real_go_and_openssl_verify_the_export_as_it_says_and_refuse_a_changed_one() {
    if !go() {
        return;
    }
    let mut world = World::acme().await;
    let checkpoint = world.say_as("developer", "ledger checkpoint").await.is(0, "");
    world.write("older", checkpoint.out);
    world.approve("1.0").await;
    let developer = world.person("developer").await;
    developer.until("triage/1.0", promoted).await;
    world
        .say_as("developer", "ledger export export")
        .await
        .is(0, "exported");
    let vkey = world.vkey().to_owned();
    let said = as_printed(&world, "export", &vkey).await.is(0, "");
    for line in [
        "Signature Verified Successfully",
        "It is the log of this key.",
        "The first entry is the one in the tree.",
        "continues the older checkpoint of",
        "verified ",
    ] {
        assert!(said.out.contains(line), "{line}: {said:?}");
    }

    // The same program over the tiles of the live server.
    let reader = world.person("compliance").await;
    let work = world.path("go");
    std::fs::create_dir(&work).unwrap();
    let source = export::GUIDE.split("```go\n").nth(1).unwrap();
    world.write("go/verify.go", source.trim_end_matches("```\n"));
    let mut build = program("/usr/bin/go");
    build
        .args(["build", "-o", "verify", "verify.go"])
        .current_dir(&work)
        .env("GOPATH", GOCODE)
        .env("GO111MODULE", "off")
        .env("HOME", world.path(""));
    run(&mut build, "").await.is(0, "");
    let verify = async |from: &str, older: &str| {
        let mut verify = program(work.join("verify"));
        verify.args([from, &vkey]).arg(world.path(older));
        run(verify.env("LUMOS_TOKEN", reader.credential.clone()), "").await
    };
    let live = world.address().to_owned();
    verify(&live, "older").await.is(0, "verified");
    // A checkpoint that the same key signed for a log with another past is not continued.
    let note = std::fs::read_to_string(world.path("older")).unwrap();
    world.write("forged", note.replacen("\n\n", "\nextension\n\n", 1));
    verify(&live, "forged").await.is(1, "");

    flip_one_byte(&world.path("export/tile/entries"));
    let said = as_printed(&world, "export", &vkey).await;
    assert_ne!(said.code, Some(0), "{said:?}");
    let export = world.path("export").display().to_string();
    verify(&export, "older").await.is(1, "entry");
    assert!(world.stop().await.success());
}

#[tokio::test]
async fn tiles_are_served_as_tlog_tiles_says() {
    let world = World::acme().await;
    let reader = world.person("compliance").await;
    let get = async |path: &str| {
        let asked = reader.peer.get(&format!("/ledger/{path}"));
        asked.send().await.unwrap()
    };
    let checkpoint = get("checkpoint").await;
    let about = ["content-type", "cache-control"].map(|name| checkpoint.header(name).to_owned());
    assert_eq!(about, ["text/plain; charset=utf-8", "max-age=5"]);
    let text = String::from_utf8(checkpoint.body.to_vec()).unwrap();
    let size: u64 = text.lines().nth(1).unwrap().parse().unwrap();
    assert!(size > 10, "{text}");
    // Every partial tile of every checkpoint that was ever published is a prefix of the newest.
    let whole = get(&Tile::in_tree(Kind::Hashes(0), 0, size).unwrap().to_string()).await;
    for published in 1..=size {
        for tile in all_tiles(published) {
            let answer = get(&tile.to_string()).await;
            assert_eq!(answer.status, 200, "{tile}");
            assert_eq!(answer.header("content-type"), "application/octet-stream");
            let caching = answer.header("cache-control");
            assert_eq!(caching, "private, max-age=31536000, immutable", "{tile}");
            if tile.kind() == Kind::Hashes(0) {
                assert_eq!(answer.body, whole.body[..usize::from(tile.width()) * 32]);
            }
        }
    }
    for (path, status, code) in [
        (format!("tile/0/000.p/{}", size + 5), 404, "unknown-thing"),
        ("tile/0/000".to_owned(), 404, "unknown-thing"),
        ("tile/entries/000".to_owned(), 404, "unknown-thing"),
        ("tile/7/000.p/1".to_owned(), 404, "unknown-thing"),
        ("tile/8/000.p/1".to_owned(), 400, "ledger-tile-path-malformed"),
        ("tile/00/000.p/1".to_owned(), 400, "ledger-tile-path-malformed"),
        ("tile/0/0".to_owned(), 400, "ledger-tile-path-malformed"),
        ("tile/0/000.p/0".to_owned(), 400, "ledger-tile-path-malformed"),
        ("tile/0/000.p/256".to_owned(), 400, "ledger-tile-path-malformed"),
        ("tile/0/x000/001".to_owned(), 400, "ledger-tile-path-malformed"),
        ("nothing".to_owned(), 400, "ledger-tile-path-malformed"),
    ] {
        let answer = get(&path).await;
        let said = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, status, "{path}: {said}");
        assert!(said.contains(code), "{path}: {said}");
    }
    let nobody = world.with("").peer.get("/ledger/tile/0/000.p/1").send().await;
    assert_eq!(nobody.unwrap().status, 401, "entries are for who may read");
}
