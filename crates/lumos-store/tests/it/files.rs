//! Blobs, the anchor and rebuilt tables.

use std::{fs, path::Path};

use lumos_domain::id::Digest;
use lumos_engine::ports::{Anchor as _, Blobs, Statement, Store as _, StoredEntry, Value};
use lumos_store::{DirBlobs, FileAnchor};

use crate::world::{append, check_whole, open};

#[tokio::test]
async fn blobs_are_found_by_their_digest() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = DirBlobs::open(dir.path()).unwrap();
    for bytes in [&b""[..], b"a report", &[0; 100_000]] {
        let digest = Digest::of(bytes);
        assert_eq!(blobs.get(&digest).await.unwrap(), None);
        for _ in 0..2 {
            assert_eq!(blobs.put(bytes.to_vec()).await.unwrap(), digest);
            assert_eq!(blobs.get(&digest).await.unwrap().unwrap(), bytes);
        }
    }
    let hex = Digest::of(b"a report").hex();
    let file = dir.path().join("blobs").join(&hex[..2]).join(&hex[2..]);
    assert_eq!(fs::read(file).unwrap(), b"a report");
}

/// Every digest, asked for a few at a time.
pub(crate) async fn listed(blobs: &dyn Blobs, max: u32) -> Vec<Digest> {
    let mut all: Vec<Digest> = Vec::new();
    loop {
        let more = blobs.list(all.last(), max).await.unwrap();
        assert!(more.len() <= usize::try_from(max).unwrap());
        if more.is_empty() {
            return all;
        }
        all.extend(more);
    }
}

#[tokio::test]
async fn every_blob_is_listed_once_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = DirBlobs::open(dir.path()).unwrap();
    assert!(listed(&blobs, 7).await.is_empty());
    let mut put = Vec::new();
    for n in 0..600_u32 {
        put.push(blobs.put(n.to_be_bytes().to_vec()).await.unwrap());
    }
    put.sort_unstable();
    let folder = dir.path().join("blobs").join(&put[0].hex()[..2]);
    fs::write(folder.join("x-1-0.unfinished"), "a re").unwrap();
    fs::write(folder.join("note"), "not by LUMOS").unwrap();
    for max in [1, 7, 600, 601] {
        assert_eq!(listed(&blobs, max).await, put, "{max}");
    }
}

#[tokio::test]
async fn a_damaged_blob_is_an_error_and_can_be_mended() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = DirBlobs::open(dir.path()).unwrap();
    let digest = blobs.put(b"a report".to_vec()).await.unwrap();
    let folder = dir.path().join("blobs").join(&digest.hex()[..2]);
    let file = folder.join(&digest.hex()[2..]);
    for damage in [&b"A report"[..], b"a repor", b""] {
        fs::write(&file, damage).unwrap();
        blobs.get(&digest).await.unwrap_err();
        blobs.put(b"a report".to_vec()).await.unwrap();
        assert_eq!(blobs.get(&digest).await.unwrap().unwrap(), b"a report");
    }
    // A process that was killed while writing left this; the next start removes it, and nothing else.
    fs::write(folder.join("x-1-0.unfinished"), "a re").unwrap();
    let blobs = DirBlobs::open(dir.path()).unwrap();
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    assert_eq!(blobs.get(&digest).await.unwrap().unwrap(), b"a report");
}

#[test]
fn the_anchor_stands_beside_the_data() {
    for (data, anchor) in [
        ("lumos-data", "lumos-data.anchor/checkpoint"),
        ("./lumos-data/", "./lumos-data.anchor/checkpoint"),
        ("/srv/acme/data", "/srv/acme/data.anchor/checkpoint"),
    ] {
        let found = FileAnchor::beside(Path::new(data)).unwrap();
        assert_eq!(found.path(), Path::new(anchor), "{data}");
    }
    assert!(FileAnchor::beside(Path::new("/")).is_err());
}

#[tokio::test]
async fn the_anchor_holds_what_was_stored_last() {
    let dir = tempfile::tempdir().unwrap();
    let anchor = FileAnchor::beside(&dir.path().join("data")).unwrap();
    assert_eq!(anchor.load().await.unwrap(), None);
    let mut seen = None;
    for text in ["one", "a longer second", ""] {
        let held = anchor
            .replace(seen.as_ref(), text.as_bytes())
            .await
            .unwrap();
        assert_eq!(anchor.load().await.unwrap().as_ref(), Some(&held));
        assert_eq!(anchor.checkpoint().unwrap().unwrap(), text.as_bytes());
        seen = Some(held);
    }
    let large = vec![b'x'; (1 << 20) + 1];
    anchor.replace(seen.as_ref(), &large).await.unwrap_err();
    assert_eq!(
        anchor.load().await.unwrap(),
        seen,
        "a refused one replaces nothing"
    );
    fs::write(anchor.path(), large).unwrap();
    anchor.load().await.unwrap_err();
    fs::write(anchor.path(), "").unwrap();
    // What a killed process left does not pile up.
    fs::write(
        anchor.path().with_file_name("checkpoint-1-0.unfinished"),
        "x",
    )
    .unwrap();
    anchor.replace(seen.as_ref(), b"two").await.unwrap();
    let folder = anchor.path().parent().unwrap();
    assert_eq!(fs::read_dir(folder).unwrap().count(), 1);
}

fn meaning(entry: &StoredEntry) -> Vec<Statement> {
    let text = String::from_utf8(entry.bytes.clone()).unwrap();
    let stream = text.split(' ').next().unwrap();
    vec![Statement {
        sql: "INSERT INTO seen (entry, stream) VALUES ($1, $2)",
        params: vec![Value::Index, stream.into()],
    }]
}

#[tokio::test]
async fn tables_are_rebuilt_from_the_entries() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    for version in 1..=3 {
        let entries: Vec<_> = (1..=500)
            .map(|v| ("org", (version - 1) * 500 + v))
            .collect();
        store
            .append(append(&format!("c{version}"), &entries, &[]))
            .await
            .unwrap();
    }
    let spoil = Statement {
        sql: "DELETE FROM seen WHERE entry > $1",
        params: vec![Value::Int(3)],
    };
    store.execute(vec![spoil]).await.unwrap();
    store.rebuild(&["logins", "seen"], meaning).await.unwrap();
    assert_eq!(check_whole(&store).await, 1500);
    for name in [
        "entries",
        "meta",
        "sqlite_master",
        "seen; DROP TABLE seen",
        "Head",
        "",
    ] {
        assert!(store.rebuild(&[name], meaning).await.is_err(), "{name}");
    }
    assert!(!store.needs_rebuild().await.unwrap());
    assert_eq!(check_whole(&store).await, 1500);
}

#[tokio::test]
async fn a_rebuild_cut_short_stops_appends_until_one_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    store
        .append(append("c1", &[("org", 1), ("org", 2)], &[]))
        .await
        .unwrap();
    let twice = |entry: &StoredEntry| [meaning(entry), meaning(entry)].concat();
    store.rebuild(&["seen"], twice).await.unwrap_err();
    let next = || append("c2", &[("org", 3)], &[]);
    assert!(store.needs_rebuild().await.unwrap());
    store.append(next()).await.unwrap_err();
    drop(store);
    let store = open(&dir);
    assert!(store.needs_rebuild().await.unwrap(), "the next start knows");
    store.append(next()).await.unwrap_err();
    store.rebuild(&["seen"], meaning).await.unwrap();
    store.append(next()).await.unwrap();
    assert_eq!(check_whole(&store).await, 3);
}
