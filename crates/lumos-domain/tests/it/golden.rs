//! One entry of every event type, kept for ever byte for byte: what was written once is read for ever.
//! A file is never changed or removed; a new shape is a new type with a file of its own.

use std::{collections::BTreeSet, fs, path::PathBuf};

use lumos_domain::Event;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/events")
}

#[test]
fn every_event_ever_written_is_read_and_written_the_same() {
    let mut kinds = BTreeSet::new();
    for file in fs::read_dir(folder()).unwrap() {
        let path = file.unwrap().path();
        let kind = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&path).unwrap();
        let event = Event::decode(&kind, &text).unwrap_or_else(|e| panic!("{kind}: {e:?}"));
        assert_eq!(event.kind(), kind);
        assert_eq!(event.to_json().unwrap(), text, "{kind}");
        kinds.insert(kind);
    }
    let known: BTreeSet<String> = Event::KINDS.iter().map(|&kind| kind.to_owned()).collect();
    assert_eq!(
        kinds, known,
        "left: tests/golden/events; right: Event::KINDS"
    );
}

#[test]
fn an_unknown_version_or_field_is_refused() {
    for (kind, text) in [
        ("lumos.candidate.detected.v2", "{}"),
        ("lumos.sandbox.left.v1", "{}"),
        ("lumos.sandbox.left.v1", r#"{"founder":"ada","more":1}"#),
        ("lumos.sandbox.left.v1", r#"{"founder":"a b"}"#),
        (
            "lumos.sandbox.left.v1",
            r#"{"founder":"ada","founder":"ben"}"#,
        ),
        ("lumos.sandbox.left.v1", "[]"),
    ] {
        assert!(Event::decode(kind, text).is_err(), "{kind} {text}");
    }
}
