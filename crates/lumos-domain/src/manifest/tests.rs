//! Known digests of manifests and the table of computed changes.

use super::*;

fn part(kind: PartKind, path: &str, content: &str) -> Part {
    Part {
        kind,
        path: path.to_owned(),
        size: content.len() as u64,
        sha256: Digest::of(content.as_bytes()),
        content_sha256: None,
        weights: kind == PartKind::Backbone,
    }
}

fn manifest(parts: &[(PartKind, &str, &str)]) -> Manifest {
    Manifest::new(parts.iter().map(|(k, p, c)| part(*k, p, c)).collect()).unwrap()
}

#[test]
fn the_digest_is_of_the_canonical_bytes_and_does_not_depend_on_order() {
    let a = manifest(&[
        (PartKind::Prompt, "prompt.txt", "hi"),
        (PartKind::Backbone, "m.bin", "w"),
    ]);
    let b = manifest(&[
        (PartKind::Backbone, "m.bin", "w"),
        (PartKind::Prompt, "prompt.txt", "hi"),
    ]);
    assert_eq!(a.digest().unwrap(), b.digest().unwrap());
    let text = String::from_utf8(a.to_canonical().unwrap()).unwrap();
    assert_eq!(
        text,
        format!(
            r#"{{"parts":[{{"kind":"backbone","path":"m.bin","sha256":"{}","size":1,"weights":true}},{{"kind":"prompt","path":"prompt.txt","sha256":"{}","size":2}}],"schema":"lumos.manifest/v1"}}"#,
            Digest::of(b"w"),
            Digest::of(b"hi"),
        )
    );
    assert_eq!(a.digest().unwrap(), Digest::of(text.as_bytes()));
    assert_eq!(Manifest::from_canonical(text.as_bytes()).unwrap(), a);
    assert!(Manifest::from_canonical(text.replace(':', ": ").as_bytes()).is_err());
}

#[test]
fn unsafe_paths_are_refused() {
    for path in [
        "", "/a", "a/../b", "..", "./a", "a//b", "a\\b", "a\nb", "a/",
    ] {
        let result = Manifest::new(vec![part(PartKind::Data, path, "x")]);
        assert!(matches!(result, Err(ManifestError::Path(_))), "{path:?}");
    }
    let twice = vec![
        part(PartKind::Data, "a", "x"),
        part(PartKind::Data, "a", "y"),
    ];
    assert!(matches!(Manifest::new(twice), Err(ManifestError::Twice(_))));
    assert!(matches!(Manifest::new(vec![]), Err(ManifestError::Empty)));
}

#[test]
fn change_is_computed_from_the_parts() {
    use PartKind::{Backbone, Documentation, Parameters, Prompt};
    let base = [
        (Backbone, "m.bin", "w"),
        (Prompt, "p.txt", "hi"),
        (Documentation, "README.md", "r"),
    ];
    let check = |changed: &[(PartKind, &str, &str)], kind: Option<PartKind>, tier: ChangeTier| {
        let change = Change::between(&manifest(&base), &manifest(changed));
        assert_eq!((change.kind, change.tier), (kind, tier), "{changed:?}");
    };
    check(&base, None, ChangeTier::None);
    check(&[base[0], base[1]], None, ChangeTier::None);
    check(
        &[base[0], (Prompt, "p.txt", "ho"), base[2]],
        Some(Prompt),
        ChangeTier::Minor,
    );
    check(
        &[base[0], base[1], (Parameters, "g.json", "{}")],
        Some(Parameters),
        ChangeTier::Minor,
    );
    check(
        &[(Backbone, "m.bin", "v"), (Prompt, "p.txt", "ho")],
        Some(Backbone),
        ChangeTier::Major,
    );
    check(
        &[(Prompt, "m.bin", "w"), base[1]],
        Some(Backbone),
        ChangeTier::Major,
    );
    assert_eq!(Change::incomparable().tier, ChangeTier::Major);
}

#[test]
fn a_declared_kind_only_raises() {
    let old = manifest(&[(PartKind::Backbone, "m.bin", "w")]);
    let new = manifest(&[(PartKind::Backbone, "m.bin", "v")]);
    let major = Change::between(&old, &new);
    assert_eq!(major.clone().raised_by(Some(PartKind::Prompt)), major);
    let same = Change::between(&old, &old).raised_by(Some(PartKind::Data));
    assert_eq!(same.tier, ChangeTier::Moderate);
}

#[test]
fn registry_identifiers_enter_the_digest_but_are_no_change() {
    let with_run = |run: &str| {
        let mut mlmodel = part(PartKind::DecisionLogic, "MLmodel", run);
        mlmodel.content_sha256 = Some(Digest::of(b"flavor: sklearn"));
        Manifest::new(vec![mlmodel]).unwrap()
    };
    let (a, b) = (with_run("run_id: 1"), with_run("run_id: 2"));
    assert_ne!(a.digest().unwrap(), b.digest().unwrap());
    assert_eq!(Change::between(&a, &b).tier, ChangeTier::None);
}
