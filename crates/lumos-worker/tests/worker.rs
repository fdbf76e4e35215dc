//! The worker from outside: it inspects, it cannot break out, and the parent survives whatever the child does.
#![cfg(test)]

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use lumos_worker::{Worker, WorkerError};

const PROBE: &str = env!("CARGO_BIN_EXE_lumos-worker-probe");
/// Far more than any of these scans takes: no test waits for it.
const LONG: Duration = Duration::from_secs(120);

fn worker() -> Worker {
    Worker {
        exe: PathBuf::from(PROBE),
    }
}

/// The probe under another name, which makes it misbehave.
fn misbehaving(folder: &Path, name: &str) -> Worker {
    let exe = folder.join(name);
    symlink(PROBE, &exe).unwrap();
    Worker { exe }
}

#[test]
fn inspects_a_tree_in_a_confined_child() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("README.md"),
        "---\nlicense: mit\n---\n# Acme\nscores loans\n",
    )
    .unwrap();
    fs::write(folder.path().join("model.pkl"), b"cos\nsystem\n(S'id'\ntR.").unwrap();
    let mut last = None;
    let inspection = worker()
        .scan(folder.path(), LONG, |progress| last = Some(progress))
        .unwrap();
    assert_eq!(inspection.manifest.parts().len(), 2);
    assert_eq!(inspection.scan.findings[0].code, "pickle-known-bad-global");
    assert_eq!(inspection.card.unwrap().license.as_deref(), Some("mit"));
    assert!(
        inspection.scan.confinement.contains(&"rlimits".to_owned()),
        "{:?}",
        inspection.scan.confinement
    );
    let last = last.unwrap();
    assert_eq!(
        (last.files, last.bytes),
        (last.files_total, last.bytes_total)
    );
}

#[test]
fn a_single_file_is_a_tree_of_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.safetensors");
    fs::write(&file, b"\x02\0\0\0\0\0\0\0{}").unwrap();
    let inspection = worker().scan(&file, LONG, |_| ()).unwrap();
    assert_eq!(inspection.manifest.parts()[0].path, "model.safetensors");
    assert_eq!(inspection.scan.findings, []);
}

#[test]
fn errors_of_the_child_keep_their_codes() {
    let folder = tempfile::tempdir().unwrap();
    let check = |tree: &Path, expected: &str| {
        let error = worker().scan(tree, LONG, |_| ()).unwrap_err();
        assert_eq!(error.code(), expected, "{error}");
    };
    check(&folder.path().join("missing"), "artifact-unreadable");
    check(folder.path(), "bad-manifest");
    check(Path::new("relative"), "artifact-path");
    symlink("/etc/hostname", folder.path().join("out")).unwrap();
    check(folder.path(), "artifact-link");
}

#[test]
fn a_broken_child_is_an_error_and_never_a_hang() {
    let folder = tempfile::tempdir().unwrap();
    let scan = |name: &str, deadline| {
        misbehaving(folder.path(), name).scan(folder.path(), deadline, |_| ())
    };
    assert!(matches!(
        scan("hang", Duration::from_millis(50)),
        Err(WorkerError::Deadline(_))
    ));
    assert!(matches!(scan("die", LONG), Err(WorkerError::Died(_))));
    assert!(matches!(
        scan("babble", LONG),
        Err(WorkerError::Answer(_) | WorkerError::Died(_))
    ));
    let absent = Worker {
        exe: folder.path().join("absent"),
    };
    assert!(matches!(
        absent.scan(folder.path(), LONG, |_| ()),
        Err(WorkerError::Start(_))
    ));
}

/// What a hostile model would try if it took the worker over. Each attempt is made from inside the confined child.
#[test]
fn nothing_breaks_out() {
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("inside.txt"), "inside").unwrap();
    let outside = folder.path().join("outside.txt");
    fs::write(&outside, "outside").unwrap();
    symlink(&outside, tree.join("link")).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    #[expect(
        clippy::disallowed_methods,
        reason = "the test starts the probe by itself"
    )]
    let output = Command::new(PROBE)
        .arg("attack")
        .args([&tree, &outside])
        .arg(port)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let layers = text.lines().next().unwrap().trim_start_matches("layers ");
    if !["rlimits", "landlock", "seccomp"]
        .iter()
        .all(|layer| layers.split(',').any(|l| l == *layer))
    {
        println!("this kernel grants only {layers}: the attacks are not judged");
        return;
    }
    let outcome = |what: &str| {
        let line = text
            .lines()
            .find(|line| line.starts_with(&format!("{what} ")));
        line.unwrap_or_else(|| panic!("no line for {what} in\n{text}"))
            .to_owned()
    };
    assert_eq!(outcome("read-inside"), "read-inside succeeded");
    for what in [
        "read-outside",
        "list-outside",
        "follow-out",
        "write-inside",
        "write-outside",
        "delete-inside",
        "connect-tcp",
        "listen-tcp",
        "send-udp",
        "unix-socket",
        "spawn",
        "thread",
        "hoard-memory",
    ] {
        assert!(outcome(what).contains(" denied: "), "{}", outcome(what));
    }
    assert!(tree.join("inside.txt").exists() && !tree.join("new.txt").exists());
}
