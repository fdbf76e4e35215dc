//! What every anchor promises, held against a file and against a real object store alike; and what only a network can
//! do to it.

use std::{path::Path, sync::Arc};

use jiff::Timestamp;
use lumos_connect::{ObjectAnchor, ObjectBlobs, ObjectError, Objects};
use lumos_domain::id::Digest;
use lumos_engine::ports::{Anchor, AnchorError, Blobs, Clock, Held};
use lumos_http::{Client, Egress, Limits};
use lumos_store::{DirBlobs, FileAnchor};
use serde_json::json;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::{
    bucket::{Bucket, SECRET},
    cluster::Cluster,
    proxy::Wire,
    world::World,
};

struct Wall;

impl Clock for Wall {
    #[expect(clippy::disallowed_methods, reason = "a real store wants the time")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// The objects of a bucket, asked with little patience.
fn objects(bucket: &Bucket) -> Objects {
    objects_with(bucket, SECRET)
}

fn objects_with(bucket: &Bucket, secret: &str) -> Objects {
    let settings = json!({
        "url": bucket.url(), "bucket": "acme", "region": "eu-central-1", "prefix": "/lumos/main/",
        "access_key_id": "acme", "secret_access_key": secret,
    });
    let egress = Egress {
        hosts: vec![bucket.url()],
        limits: Limits {
            exchange_ms: 2_000,
            answer_bytes: 9 << 20,
            ..Limits::default()
        },
        ..Egress::default()
    };
    let http = Client::new(&egress).unwrap();
    let settings = serde_json::from_value(settings).unwrap();
    Objects::new(&settings, &http, Arc::new(Wall)).unwrap()
}

/// Where an anchor keeps its checkpoint, for who meddles with it.
enum Place<'a> {
    File(TempDir),
    Object(&'a Bucket),
}

impl Place<'_> {
    async fn tamper(&self, bytes: Option<&[u8]>) {
        match (self, bytes) {
            (Self::File(dir), Some(bytes)) => std::fs::write(Self::file(dir), bytes).unwrap(),
            (Self::File(dir), None) => std::fs::remove_file(Self::file(dir)).unwrap(),
            (Self::Object(bucket), bytes) => bucket.tamper("anchor/checkpoint", bytes).await,
        }
    }

    fn file(dir: &TempDir) -> std::path::PathBuf {
        dir.path().join("data.anchor/checkpoint")
    }
}

/// An anchor as several hold it: each `open` gives a handle of its own, where the kind can have several.
async fn keeps_its_promises(open: impl AsyncFn() -> Arc<dyn Anchor>, place: Place<'_>) {
    let anchor = open().await;
    assert_eq!(anchor.load().await.unwrap(), None);
    let first = anchor.replace(None, b"first").await.unwrap();
    assert_eq!(first.note, b"first");
    assert_eq!(anchor.load().await.unwrap(), Some(first.clone()));
    // Who believes that there is none comes too late; so does who saw an older one.
    moved(anchor.replace(None, b"again").await);
    let second = anchor.replace(Some(&first), b"second").await.unwrap();
    moved(anchor.replace(Some(&first), b"late").await);
    assert_eq!(anchor.load().await.unwrap(), Some(second.clone()));

    // Of many who saw the same, one moves it.
    let mut last = second;
    for round in 0..10 {
        let mut writers = JoinSet::new();
        for writer in 0..4 {
            let (anchor, seen) = (Arc::clone(&anchor), last.clone());
            let text = format!("round {round}, writer {writer}");
            writers.spawn(async move { anchor.replace(Some(&seen), text.as_bytes()).await });
        }
        let mut won = Vec::new();
        while let Some(done) = writers.join_next().await {
            match done.unwrap() {
                Ok(held) => won.push(held),
                other => moved(other),
            }
        }
        let [one] = <[Held; 1]>::try_from(won).expect("exactly one");
        assert_eq!(anchor.load().await.unwrap(), Some(one.clone()));
        last = one;
    }

    // What others did behind its back is seen as it is, and never written over unseen.
    place.tamper(Some(b"first")).await;
    assert_eq!(anchor.load().await.unwrap().unwrap().note, b"first");
    moved(anchor.replace(Some(&last), b"next").await);
    place.tamper(Some(b"\xff\0garbage")).await;
    assert_eq!(anchor.load().await.unwrap().unwrap().note, b"\xff\0garbage");
    moved(anchor.replace(Some(&last), b"next").await);
    place.tamper(None).await;
    assert_eq!(anchor.load().await.unwrap(), None);
    moved(anchor.replace(Some(&last), b"next").await);
    anchor.replace(None, b"anew").await.unwrap();
}

#[track_caller]
fn moved(answer: Result<Held, AnchorError>) {
    assert!(matches!(answer, Err(AnchorError::Moved)), "{answer:?}");
}

#[tokio::test]
async fn an_anchor_in_a_file_keeps_its_promises() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let open = async || Arc::new(FileAnchor::beside(&data).unwrap()) as Arc<dyn Anchor>;
    assert!(!open().await.is_shared());
    keeps_its_promises(open, Place::File(dir)).await;
}

#[tokio::test]
async fn real_an_anchor_in_an_object_store_keeps_its_promises() {
    let Some(bucket) = Bucket::start().await else {
        return;
    };
    let open = async || {
        let anchor = ObjectAnchor::open(objects(&bucket), "n").await.unwrap();
        Arc::new(anchor) as Arc<dyn Anchor>
    };
    assert!(open().await.is_shared());
    keeps_its_promises(&open, Place::Object(&bucket)).await;
    assert_eq!(bucket.object("probe/n").await, None, "nothing is left over");
}

#[tokio::test]
async fn real_a_network_that_fails_says_neither_yes_nor_no() {
    let Some(bucket) = Bucket::start().await else {
        return;
    };
    let anchor = ObjectAnchor::open(objects(&bucket), "n").await.unwrap();
    let other = ObjectAnchor::open(objects_with(&bucket, "another"), "n").await;
    assert_eq!(other.err().unwrap().code(), "http-status");
    let first = anchor.replace(None, b"first").await.unwrap();
    let unknown = |answer: Result<Held, AnchorError>| match answer {
        Err(AnchorError::Port(failed)) => assert!(!format!("{failed:?}").contains("X-Amz")),
        other => panic!("{other:?}"),
    };
    for wire in [
        Wire::Says("HTTP/1.1 503 Slow Down\r\ncontent-length: 0\r\n\r\n"),
        Wire::Says("HTTP/1.1 500 Oops\r\ncontent-length: 5\r\n\r\noops!"),
        Wire::Says("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n"),
        // No bucket, which is not the same as no anchor.
        Wire::Says("HTTP/1.1 404 Not Found\r\ncontent-length: 25\r\n\r\n<Code>NoSuchBucket</Code>"),
        Wire::Says("this is no HTTP\r\n\r\n"),
    ] {
        bucket.set(wire);
        anchor.load().await.unwrap_err();
        unknown(anchor.replace(Some(&first), b"second").await);
        unknown(anchor.replace(None, b"second").await);
        bucket.set(Wire::Open);
        assert_eq!(
            anchor.load().await.unwrap(),
            Some(first.clone()),
            "{wire:?}"
        );
    }
    bucket.set(Wire::LosesAnswers);
    unknown(anchor.replace(Some(&first), b"second").await);
    bucket.set(Wire::Open);
    let second = anchor.load().await.unwrap().unwrap();
    assert_eq!(second.note, b"second");
    moved(anchor.replace(Some(&first), b"second").await);

    // What was under way when the wire was cut arrives late or never: it is known to nobody which.
    bucket.set(Wire::Cut);
    unknown(anchor.replace(Some(&second), b"third").await);
    bucket.set(Wire::Open);
    let now = anchor.load().await.unwrap().unwrap();
    assert!([&b"second"[..], b"third"].contains(&&*now.note));
}

#[tokio::test]
async fn real_a_store_that_passes_over_conditions_is_refused() {
    let Some(bucket) = Bucket::start_deaf().await else {
        return;
    };
    let refused = ObjectAnchor::open(objects(&bucket), "n").await.err();
    assert!(matches!(refused, Some(ObjectError::Unfit { .. })));
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let url = cluster.url("lumos", &cluster.database());
    let database = format!("postgres: {{url: '{url}', replicas: 2}}\n");
    let objects = bucket.settings("");
    let world = World::prepared(|settings| settings + &database + &objects);
    let refused = world.say("serve").await;
    refused.is(1, "code object-store-unfit");
    assert_eq!(bucket.object("anchor/checkpoint").await, None);
}

/// Stores blobs and reads them back, whatever keeps them.
async fn holds(blobs: &dyn Blobs, damage: impl AsyncFn(&Digest)) {
    for size in [
        0,
        1,
        100_000,
        (8 << 20) - 1,
        8 << 20,
        (8 << 20) + 1,
        20 << 20,
    ] {
        let bytes: Vec<u8> = (0_u32..).flat_map(u32::to_le_bytes).take(size).collect();
        let digest = Digest::of(&bytes);
        assert_eq!(blobs.get(&digest).await.unwrap(), None, "{size}");
        assert_eq!(blobs.put(bytes.clone()).await.unwrap(), digest);
        assert_eq!(blobs.put(bytes.clone()).await.unwrap(), digest, "again");
        assert_eq!(blobs.get(&digest).await.unwrap().unwrap(), bytes, "{size}");
    }
    let (mut listed, mut last) = (Vec::new(), None);
    loop {
        let some = blobs.list(last.as_ref(), 3).await.unwrap();
        let Some(end) = some.last() else { break };
        last = Some(*end);
        listed.extend(some);
    }
    assert_eq!(listed.len(), 7);
    assert!(listed.is_sorted());
    for before in ["", "a report", "a longer report than the damage is"] {
        let digest = blobs.put(before.into()).await.unwrap();
        damage(&digest).await;
        blobs.get(&digest).await.unwrap_err();
        assert_eq!(blobs.put(before.into()).await.unwrap(), digest);
        assert_eq!(
            blobs.get(&digest).await.unwrap().unwrap(),
            before.as_bytes()
        );
    }
}

#[tokio::test]
async fn blobs_in_a_folder_are_what_was_stored() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = DirBlobs::open(dir.path()).unwrap();
    holds(&blobs, async |digest| {
        let file = find(dir.path(), &digest.hex()).unwrap();
        std::fs::write(file, "damage").unwrap();
    })
    .await;
}

/// The file whose name ends a digest, wherever a store put it.
fn find(folder: &Path, hex: &str) -> Option<std::path::PathBuf> {
    std::fs::read_dir(folder).unwrap().find_map(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return find(&path, hex);
        }
        let name = path.file_name().unwrap().to_str().unwrap();
        (hex.ends_with(name) && name.len() > 32).then_some(path)
    })
}

#[tokio::test]
async fn real_blobs_in_an_object_store_are_what_was_stored() {
    let Some(bucket) = Bucket::start().await else {
        return;
    };
    let blobs = ObjectBlobs::new(objects(&bucket));
    holds(&blobs, async |digest| {
        let hex = digest.hex();
        let key = format!("blobs/{}/{hex}", &hex[..2]);
        bucket.tamper(&key, Some(b"damage")).await;
    })
    .await;
    bucket.set(Wire::LosesAnswers);
    let digest = Digest::of(b"lost");
    blobs.put(b"lost".into()).await.unwrap_err();
    bucket.set(Wire::Says(
        "HTTP/1.1 503 Slow Down\r\ncontent-length: 0\r\n\r\n",
    ));
    blobs.get(&digest).await.unwrap_err();
    bucket.set(Wire::Open);
    assert_eq!(blobs.put(b"lost".into()).await.unwrap(), digest);
    assert_eq!(blobs.get(&digest).await.unwrap().unwrap(), b"lost");
}
