//! The disk is full, a file cannot be read, a file changes while it is read: a clear error with a code, and nothing
//! acknowledged is lost.

use std::{
    fs::{self, File, Permissions},
    io::{Seek as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use lumos_http::Method;
use serde_json::{Value, json};

use crate::{
    artifacts,
    world::{Person, Said, World, program, promoted, run},
};

/// A disk small enough to fill; gone when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    async fn mount(at: PathBuf) -> Option<Self> {
        fs::create_dir(&at).unwrap();
        let mut mount = program("mount");
        mount.args(["-t", "tmpfs", "-o", "size=32m,mode=700", "tmpfs"]);
        let mounted = run(mount.arg(&at), "").await;
        if mounted.code != Some(0) {
            println!("skipped: a small disk can be mounted only by root with CAP_SYS_ADMIN");
            return None;
        }
        Some(Self(at))
    }

    /// Writes until nothing more goes in.
    fn fill(&self) {
        let mut ballast = File::create(self.ballast()).unwrap();
        for bytes in [1 << 20, 4_096, 1] {
            while ballast.write_all(&vec![1; bytes]).is_ok() {}
        }
    }

    fn empty(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }
}

impl Drop for SmallDisk {
    #[expect(
        clippy::disallowed_methods,
        reason = "what was mounted must be unmounted, whatever became of the test"
    )]
    fn drop(&mut self) {
        let mut umount = std::process::Command::new("umount");
        // Lazily: the server may still hold files in it.
        drop(umount.arg("--lazy").arg(&self.0).status());
    }
}

/// Defines a role; the status, and the code when it was refused.
async fn define(administrator: &Person, role: &str) -> (u16, Value) {
    let path = format!("/api/v1/roles/{role}");
    let rights = json!({ "rights": [] });
    let answer = administrator.ask(Method::PUT, &path, &rights).await;
    (answer.status, answer.body["code"].clone())
}

#[tokio::test]
async fn on_a_full_disk_reads_go_on_and_writes_do_when_there_is_room() {
    let mut world = World::prepared(|text| text.replace("data: lumos-data", "data: disk/data"));
    let Some(disk) = SmallDisk::mount(world.path("disk")).await else {
        return;
    };
    world.start(2).await;
    world.give_passwords().await;
    let administrator = world.person("administrator").await;
    let mut acknowledged = Vec::new();
    for n in 0..20 {
        let role = format!("before-{n}");
        assert_eq!(define(&administrator, &role).await.0, 200);
        acknowledged.push(role);
    }

    disk.fill();
    // What is allocated already still takes a few; a change of a table takes none.
    let mut refused = Value::Null;
    for n in 0..4_000 {
        let role = format!("full-{n}");
        let (status, code) = define(&administrator, &role).await;
        if status != 200 {
            refused = json!([status, code]);
            break;
        }
        acknowledged.push(role);
    }
    assert_eq!(refused, json!([503, "store-failed"]));
    let mut command = world.lumos("role define one-more");
    let command = command.env("LUMOS_TOKEN", &administrator.credential);
    run(command, "").await.is(1, "code store-failed");
    // The agents meet it too.
    world.publish("1.0");
    for path in ["/api/v1/roles", "/api/v1/runtime", "/api/v1/models/triage"] {
        administrator.get(path).await;
    }
    let checkpoint = world.with("").peer.get("/ledger/checkpoint").send().await;
    assert_eq!(checkpoint.unwrap().status, 200);
    assert_eq!(define(&administrator, "still-full").await.0, 503);
    // What is read in bulk is refused aloud where it cannot be recorded; the proof of the ledger stays readable.
    let said = |line: &str| {
        let mut command = world.lumos(line);
        command.env("LUMOS_TOKEN", &administrator.credential);
        command
    };
    let mut pack = said("evidence-pack --out pack");
    run(&mut pack, "").await.is(1, "code reading-not-recorded");
    assert!(!world.path("pack").exists(), "nothing was handed over");
    let mut export = said("ledger export export");
    let exported = run(&mut export, "").await.is(0, "exported");
    let unrecorded = "the ledger does not record this export";
    assert!(exported.err.contains(unrecorded), "{exported:?}");

    disk.empty();
    assert_eq!(define(&administrator, "room").await.0, 200);
    acknowledged.push("room".to_owned());
    let developer = world.person("developer").await;
    developer
        .until("triage/1.0", |view| view["state"] == "in review")
        .await;
    kept(&developer, &acknowledged).await;
    world.ledger_verifies("developer").await;
    assert!(world.stop().await.success());
    world.start(0).await;
    let developer = world.person("developer").await;
    kept(&developer, &acknowledged).await;
    world.ledger_verifies("developer").await;
    assert!(world.stop().await.success());
}

/// Nothing that was acknowledged is missing.
async fn kept(reader: &Person, roles: &[String]) {
    let kept = reader.get("/api/v1/roles").await;
    let kept: Vec<_> = kept.as_array().unwrap().iter().collect();
    for role in roles {
        let found = kept.iter().any(|kept| kept["role"] == role.as_str());
        assert!(found, "{role} was lost");
    }
}

fn locked(path: &Path) {
    fs::set_permissions(path, Permissions::from_mode(0o000)).unwrap();
}

fn unlocked(path: &Path) {
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

async fn submit(world: &World, who: &Person, folder: &str) -> Said {
    let line = format!("submit {folder} --model notes --version 1 --env production");
    let mut command = world.lumos(&line);
    run(command.env("LUMOS_TOKEN", &who.credential), "").await
}

/// Acme, running, where a file that may not be read cannot be read, or nothing and a line that says so.
async fn without_roots_rights() -> Option<World> {
    let mut world = World::prepared(|text| text);
    if !world.give_up_rights().await {
        println!("skipped: root's rights over files cannot be given up here");
        return None;
    }
    world.start(2).await;
    world.give_passwords().await;
    Some(world)
}

#[tokio::test]
async fn what_cannot_be_read_is_named_and_never_left_out() {
    let Some(world) = without_roots_rights().await else {
        return;
    };
    world.register("notes").await;
    let developer = world.person("developer").await;
    artifacts::baseline(&world.path("release")).unwrap();
    let secret = world.write("release/secret.bin", "weights");
    locked(&secret);
    let scanned = world.say("scan release").await;
    scanned
        .is(1, "code artifact-unreadable")
        .is(1, "secret.bin");
    submit(&world, &developer, "release")
        .await
        .is(1, "code http-file")
        .is(1, "secret.bin");
    fs::remove_file(&secret).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &secret,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    for said in [
        world.say("scan release").await,
        submit(&world, &developer, "release").await,
    ] {
        said.is(1, "code artifact-special-file").is(1, "secret.bin");
    }
    fs::remove_file(&secret).unwrap();
    submit(&world, &developer, "release").await.is(0, "");
    developer
        .until("notes/1", |view| view["state"] == "in review")
        .await;
    world.ledger_verifies("developer").await;
}

#[tokio::test]
async fn an_unreadable_version_of_a_registry_is_recorded_and_hides_no_other() {
    let Some(world) = without_roots_rights().await else {
        return;
    };
    let secret = world.write("models/triage/1.0/secret.bin", "weights");
    locked(&secret);
    world.publish("1.0");
    let developer = world.person("developer").await;
    let view = developer
        .until("triage/1.0", |view| view["state"] == "not fetched")
        .await;
    let failed = view["history"].as_array().unwrap().last().unwrap();
    let entry = format!("/api/v1/ledger/entries/{}", failed["index"]);
    let entry = developer.get(&entry).await;
    assert!(entry.to_string().contains("registry-refused"), "{entry:#}");
    unlocked(&secret);
    world.approve("1.1").await;
    developer.until("triage/1.1", promoted).await;
    world.ledger_verifies("developer").await;
}

/// Somebody who writes into a file over and over, until stopped.
struct Writer {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Writer {
    fn start(path: PathBuf) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut file = File::options().write(true).open(path).unwrap();
            for n in 0_u64.. {
                file.rewind().unwrap();
                file.write_all(&n.to_be_bytes()).unwrap();
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }

    fn stop(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

/// A file that takes a while to read, and holds no place on the disk.
fn large(world: &World, path: &str) -> PathBuf {
    let path = world.write(path, "weights");
    let file = File::options().write(true).open(&path).unwrap();
    file.set_len(256 << 20).unwrap();
    path
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_hashed_is_no_release() {
    let world = World::empty();
    let path = large(&world, "release/model.bin");
    let writer = Writer::start(path);
    let said = world.say("scan release").await;
    writer.stop();
    said.is(1, "code artifact-changed").is(1, "model.bin");
    let scanned = world.say("scan release").await;
    assert!(scanned.out.contains("release digest"), "{scanned:?}");
}

#[tokio::test]
async fn a_version_that_changes_while_it_is_fetched_waits_until_it_does_not() {
    let mut world = World::prepared(|text| text);
    world.start_logged(2).await;
    world.give_passwords().await;
    let path = large(&world, "models/triage/1.0/extra.bin");
    let writer = Writer::start(path);
    world.publish("1.0");
    let developer = world.person("developer").await;
    world.until_logged("changed while it was copied").await;
    let view = developer.get("/api/v1/releases/triage/1.0").await;
    assert_eq!(view["digest"], Value::Null, "{view:#}");
    writer.stop();
    developer
        .until("triage/1.0", |view| view["state"] == "in review")
        .await;
    let history = world.history("triage/1.0").await;
    let identified = history
        .iter()
        .filter(|kind| *kind == "lumos.release.identified.v1");
    assert_eq!(identified.count(), 1, "{history:?}");
    world.ledger_verifies("developer").await;
}
