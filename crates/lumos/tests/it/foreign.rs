//! The ledger, verified by programs that share no line with LUMOS: the commands that an export prints, with OpenSSL and
//! Go's own `sumdb/tlog`, over the export and over the tiles of a live server.

use std::path::{Path, PathBuf};

use lumos_ledger::{
    Checkpoint, NoteSigner,
    export::{self, EntryReader, Export},
    proof::MemoryHashes,
    tile::{Kind, Tile, all_tiles},
    tree::leaf_hash,
};

use crate::{
    commands::flip_one_byte,
    keys::{self, key},
    world::{Said, World, peer, program, promoted, run},
};

/// Where Debian installs `golang-golang-x-mod-dev`.
const GOCODE: &str = "/usr/share/gocode";

/// Whether there is a Go with its transparency log; says so when there is none.
pub(crate) fn go() -> bool {
    let library = Path::new(GOCODE).join("src/golang.org/x/mod/sumdb/tlog");
    let there = Path::new("/usr/bin/go").exists() && library.exists();
    if !there {
        println!("skipped: no Go with golang.org/x/mod, run `cargo xtask peers`");
    }
    there
}

/// Every command that `VERIFY.md` prints, in order; installing packages is for the reader's own machine.
pub(crate) fn printed(guide: &str) -> Vec<&str> {
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
    let blank = "'<name>+<id>+<key>'";
    assert_eq!(blocks[0].matches(blank).count(), 1);
    let script = blocks.join("\n").replace(blank, &format!("'{vkey}'"));
    let script = script.replace("OLDER=checkpoint\n", "OLDER=../older\n");
    assert!(script.contains("OLDER=../older"));
    in_shell(world, folder, &script).await
}

/// Runs a script in a folder of the world, as somebody with nothing but the tools of the system.
pub(crate) async fn in_shell(world: &World, folder: &str, script: &str) -> Said {
    let mut shell = program("/bin/sh");
    shell
        .args(["-ec", script])
        .current_dir(world.path(folder))
        .env_clear()
        .env("HOME", world.path(""))
        .env("PATH", "/usr/bin:/bin");
    run(&mut shell, "").await
}

/// Builds the program that the guide prints; the folder it is in.
async fn built(world: &World) -> PathBuf {
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
    work
}

/// The sizes around which the tiles of a log change.
const SIZES: [u64; 9] = [0, 1, 255, 256, 257, 65_535, 65_536, 65_537, 70_000];

/// Writes an export of `entries` and returns the checkpoint in it.
fn write_export(world: &World, folder: &str, entries: &[Vec<u8>], signer: &NoteSigner) -> String {
    struct Entries<'a>(&'a [Vec<u8>]);
    impl EntryReader for Entries<'_> {
        type Error = std::convert::Infallible;
        fn read_entries(&self, first: u64, count: u16) -> Result<Vec<Vec<u8>>, Self::Error> {
            let first = usize::try_from(first).unwrap();
            Ok(self.0[first..first + usize::from(count)].to_vec())
        }
    }
    let hashes: MemoryHashes = entries.iter().map(|entry| leaf_hash(entry)).collect();
    let frontier = hashes.frontier();
    let name = signer.verifier_key().name();
    let checkpoint = Checkpoint::new(name, frontier.size(), frontier.root()).unwrap();
    let note = checkpoint.sign(signer).unwrap();
    let export = Export {
        checkpoint: &note,
        vkeys: &[signer.verifier_key().clone()],
        entries: Entries(entries),
        hashes: &hashes,
    };
    for file in export::files(frontier.size()) {
        world.write(&format!("{folder}/{file}"), export.bytes(&file).unwrap());
    }
    note.to_string()
}

/// Changes the first entry of an export and its hash in the tile above it, so that these two agree. Go's
/// `TileHashReader`, and its port `tlog_tiles` 0.2, do not notice at sizes with several one-bits.
fn forge_one(export: &Path, size: u64) {
    let path = |kind| {
        let tile = Tile::in_tree(kind, 0, size).unwrap();
        export.join(tile.to_string())
    };
    let (bundle, tile) = (path(Kind::Entries), path(Kind::Hashes(0)));
    let mut bytes = std::fs::read(&bundle).unwrap();
    let length = usize::from(u16::from_be_bytes([bytes[0], bytes[1]]));
    bytes[4] ^= 1;
    let leaf = leaf_hash(&bytes[2..2 + length]);
    std::fs::write(&bundle, bytes).unwrap();
    let mut hashes = std::fs::read(&tile).unwrap();
    hashes[..32].copy_from_slice(leaf.as_bytes());
    std::fs::write(&tile, hashes).unwrap();
}

#[tokio::test]
async fn real_go_and_pymerkle_agree_at_every_kind_of_size_and_refuse_what_was_changed() {
    let Some(python) = peer("pymerkle", "bin/python") else {
        return;
    };
    if !go() {
        return;
    }
    let world = World::empty();
    let go = built(&world).await.join("verify");
    let python = python.join("bin/python");
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../xtask/foreign/python/verify.py"
    );
    let signer = NoteSigner::from_seed("ledger.acme.example", &[7; 32]).unwrap();
    let vkey = signer.verifier_key().to_string();
    let both = async |export: &str, code: i32, said: &str| {
        let (export, older) = (world.path(export), world.path("older"));
        let mut verify = program(&go);
        verify.arg(&export).arg(&vkey).arg(&older);
        run(&mut verify, "").await.is(code, said);
        let mut verify = program(&python);
        verify.arg(script).arg(&export).arg(&older);
        run(&mut verify, "").await.is(code, said);
    };
    let entries: Vec<Vec<u8>> = (0..70_000_u32)
        .map(|n| format!("{{\"entry\":{n},\"of\":\"Acme\"}}").into_bytes())
        .collect();
    let mut older = write_export(&world, "size-0", &[], &signer);
    for size in SIZES {
        let folder = format!("size-{size}");
        let entries = &entries[..usize::try_from(size).unwrap()];
        let newest = write_export(&world, &folder, entries, &signer);
        world.write("older", &older);
        both(&folder, 0, &format!("verified {size} entries")).await;
        if size > 0 {
            // An older log of which one entry was another is not continued.
            let mut forged = entries.to_vec();
            forged[0][10] ^= 1;
            world.write("older", write_export(&world, "forged", &forged, &signer));
            both(&folder, 1, "").await;
            world.write("older", &older);
            forge_one(&world.path(&folder), size);
            both(&folder, 1, "").await;
            write_export(&world, &folder, entries, &signer);
            let last = all_tiles(size)
                .filter(|tile| tile.kind() == Kind::Entries)
                .last();
            let last = world.path(&folder).join(last.unwrap().to_string());
            let mut bytes = std::fs::read(&last).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            std::fs::write(&last, bytes).unwrap();
            both(&folder, 1, "").await;
        }
        std::fs::remove_dir_all(world.path(&folder)).unwrap();
        older = newest;
    }
}

#[tokio::test]
async fn real_go_and_openssl_verify_the_export_as_it_says_and_refuse_a_changed_one() {
    if !go() {
        return;
    }
    let mut world = World::acme().await;
    let checkpoint = world
        .say_as("developer", "ledger checkpoint")
        .await
        .is(0, "");
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
    let work = built(&world).await;
    let verify = async |from: &str, older: &str| {
        let mut verify = program(work.join("verify"));
        verify.args([from, &vkey]);
        if !older.is_empty() {
            verify.arg(world.path(older));
        }
        run(verify.env("LUMOS_TOKEN", reader.credential.clone()), "").await
    };
    world
        .say_as("compliance", "ledger proof 3 --out good.tlog-proof")
        .await
        .is(0, "");
    let receipt = std::fs::read_to_string(world.path("good.tlog-proof")).unwrap();
    world.write(
        "bad.tlog-proof",
        receipt.replace("\nindex 3\n", "\nindex 2\n"),
    );
    for (file, code, said) in [("good", 0, "verified entry 3 of"), ("bad", 1, "")] {
        let file = world.path(&format!("{file}.tlog-proof"));
        verify(&file.display().to_string(), "").await.is(code, said);
    }
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
    verify(&export, "older").await.is(1, "tile/0/0");
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
        (
            "tile/8/000.p/1".to_owned(),
            400,
            "ledger-tile-path-malformed",
        ),
        (
            "tile/00/000.p/1".to_owned(),
            400,
            "ledger-tile-path-malformed",
        ),
        ("tile/0/0".to_owned(), 400, "ledger-tile-path-malformed"),
        (
            "tile/0/000.p/0".to_owned(),
            400,
            "ledger-tile-path-malformed",
        ),
        (
            "tile/0/000.p/256".to_owned(),
            400,
            "ledger-tile-path-malformed",
        ),
        (
            "tile/0/x000/001".to_owned(),
            400,
            "ledger-tile-path-malformed",
        ),
        ("nothing".to_owned(), 400, "ledger-tile-path-malformed"),
    ] {
        let answer = get(&path).await;
        let said = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, status, "{path}: {said}");
        assert!(said.contains(code), "{path}: {said}");
    }
    let nobody = world
        .with("")
        .peer
        .get("/ledger/tile/0/000.p/1")
        .send()
        .await;
    assert_eq!(nobody.unwrap().status, 401, "entries are for who may read");
}

#[tokio::test]
async fn both_keys_of_a_rotation_pass_the_printed_commands() {
    if !go() {
        return;
    }
    let world = World::acme().await;
    let (first, old) = key(&world, 0).await;
    keys::export(&world, "before").await;
    let older = |from: &str| std::fs::copy(world.path(from), world.path("older")).unwrap();
    older("before/checkpoint");
    let (_, new) = keys::rotated(&world, 30).await;
    keys::export(&world, "both").await;
    // Each key passes alone, wherever its line stands. The older checkpoint is the old key's alone.
    as_printed(&world, "both", &old)
        .await
        .is(0, "continues the older checkpoint");
    let handover = format!("both/handover/{first}");
    older(&handover);
    as_printed(&world, "both", &new)
        .await
        .is(0, "continues the older checkpoint");

    let revoke = format!("key revoke {first} --reason 'its year is over'");
    world.say_as("administrator", &revoke).await.is(0, "");
    keys::export(&world, "after").await;
    let refused = as_printed(&world, "after", &old).await;
    assert_ne!(refused.code, Some(0), "{refused:?}");
    // The old key vouches for what both signed, and what both signed is continued under the new one.
    let guide = std::fs::read_to_string(world.path("after/VERIFY.md")).unwrap();
    let signature = printed(&guide)[..2]
        .join("\n")
        .replace("'<name>+<id>+<key>'", &format!("'{old}'"));
    let note = format!("NOTE=handover/{first}");
    let signature = signature.replace("NOTE=checkpoint", &note);
    let mut shell = program("/bin/sh");
    shell
        .args(["-ec", &signature])
        .current_dir(world.path("after"));
    let said = run(&mut shell, "")
        .await
        .is(0, "Signature Verified Successfully");
    assert!(said.out.contains("It is the log of this key."), "{said:?}");
    as_printed(&world, "after", &new)
        .await
        .is(0, "continues the older checkpoint");
}
