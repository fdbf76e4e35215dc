use std::{io::Write, os::unix::fs::symlink};

use super::*;

fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, bytes) in files {
        let place = folder.path().join(path);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, bytes).unwrap();
    }
    folder
}

fn inspect_quietly(root: &Path) -> Result<Inspection, TreeError> {
    inspect(root, Limits::default(), Vec::new(), &mut |_| ())
}

fn check_code(root: &Path, expected: &str) {
    let error = inspect_quietly(root).unwrap_err();
    assert_eq!(error.code(), expected, "{error:?}");
}

fn paths(inspection: &Inspection) -> Vec<&str> {
    inspection
        .manifest
        .parts()
        .iter()
        .map(|part| part.path.as_str())
        .collect()
}

#[test]
fn walks_folders_and_links_inside() {
    let tree = folder(&[("b/two.txt", b"2"), ("a.txt", b"1")]);
    symlink("b/two.txt", tree.path().join("link.txt")).unwrap();
    symlink("b", tree.path().join("c")).unwrap();
    let inspection = inspect_quietly(tree.path()).unwrap();
    assert_eq!(
        paths(&inspection),
        ["a.txt", "b/two.txt", "c/two.txt", "link.txt"]
    );
    let parts = inspection.manifest.parts();
    assert_eq!(parts[1].sha256, parts[3].sha256);
}

#[test]
fn refuses_what_leaves_loops_or_is_special() {
    let tree = folder(&[("a.txt", b"1")]);
    check_code(&tree.path().join("missing"), "artifact-unreadable");
    symlink("missing", tree.path().join("dangling")).unwrap();
    check_code(tree.path(), "artifact-unreadable");
    let tree = folder(&[("a.txt", b"1")]);
    symlink("/etc/hostname", tree.path().join("out")).unwrap();
    check_code(tree.path(), "artifact-link");
    let tree = folder(&[("a/b.txt", b"1")]);
    symlink("..", tree.path().join("a/up")).unwrap();
    check_code(tree.path(), "artifact-link");
    let tree = folder(&[("a.txt", b"1")]);
    let _listener = std::os::unix::net::UnixListener::bind(tree.path().join("socket")).unwrap();
    check_code(tree.path(), "artifact-special-file");
    let tree = folder(&[]);
    check_code(tree.path(), "bad-manifest");
    let deep = vec!["d"; DEPTH_MAX + 1].join("/") + "/f";
    check_code(folder(&[(&deep, b"1")]).path(), "artifact-too-many");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    use std::os::unix::fs::PermissionsExt;

    let tree = folder(&[("a.txt", b"1"), ("closed.txt", b"2")]);
    let closed = tree.path().join("closed.txt");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    if File::open(&closed).is_ok() {
        println!("this user may read everything: the unreadable file is not judged");
        return;
    }
    let error = inspect_quietly(tree.path()).unwrap_err();
    assert!(
        matches!(&error, TreeError::Unreadable { path, .. } if path == "closed.txt"),
        "{error:?}"
    );
}

#[test]
fn a_file_that_changes_while_it_is_hashed_is_an_error() {
    let bytes = vec![0; usize::try_from(PROGRESS_BYTES).unwrap() + 1];
    let tree = folder(&[("weights.bin", &bytes)]);
    for grow in [true, false] {
        let place = tree.path().join("weights.bin");
        let mut touched = false;
        let result = inspect(tree.path(), Limits::default(), Vec::new(), &mut |_| {
            if !touched {
                touched = true;
                let mut file = OpenOptions::new()
                    .write(true)
                    .append(grow)
                    .open(&place)
                    .unwrap();
                file.write_all(b"x").unwrap();
            }
        });
        assert!(matches!(result, Err(TreeError::Changed(path)) if path == "weights.bin"));
    }
}

#[test]
fn real_models_are_inspected() {
    let models =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/registries/models");
    if !models.exists() {
        println!("the shared model files are absent: real models are not judged");
        return;
    }
    let codes = |name: &str| {
        let inspection = inspect_quietly(&models.join(name)).unwrap();
        let codes: Vec<_> = inspection
            .scan
            .findings
            .iter()
            .map(|finding| finding.code.clone())
            .collect();
        (codes, inspection.scan.not_fully_scanned.len())
    };
    for name in [
        "sklearn-pickle-v1",
        "sklearn-skops-v2",
        "tiny.safetensors",
        "all-minilm-card",
    ] {
        assert_eq!(codes(name), (Vec::new(), 0), "{name}");
    }
    let (one, two) = (
        models.join("sklearn-pickle-v1"),
        models.join("sklearn-skops-v2"),
    );
    assert_ne!(
        inspect_quietly(&one).unwrap().manifest.digest().unwrap(),
        inspect_quietly(&two).unwrap().manifest.digest().unwrap()
    );
    let card = inspect_quietly(&models.join("all-minilm-card"))
        .unwrap()
        .card
        .unwrap();
    assert_eq!(
        (card.license.as_deref(), card.problems.len()),
        (Some("apache-2.0"), 0)
    );
}
