use proptest::prelude::*;

use super::*;
use crate::fixture::envelope;

const LINE: &str = r#"{"specversion":"1.0","id":"org-1","source":"https://lumos.acme.example","type":"lumos.release.identified.v1","time":"2026-03-01T12:00:00Z","subject":"org","streamversion":1,"commandid":"command-org-1","actor":"p-1","correlation":"c-1","datacontenttype":"application/json","data":{"digest": "sha256:00", "n": [1, 2.5]}}"#;

#[test]
fn the_bytes_are_these_and_no_others() {
    let bytes = envelope("org", 1).to_bytes().unwrap();
    assert_eq!(String::from_utf8(bytes.clone()).unwrap(), LINE);
    assert_eq!(Envelope::parse(&bytes).unwrap().to_bytes().unwrap(), bytes);
    let mut sandbox = envelope("org", 1);
    sandbox.sandbox = true;
    sandbox.causation = Some("e-0".into());
    let text = String::from_utf8(sandbox.to_bytes().unwrap()).unwrap();
    assert!(
        text.contains(r#""causation":"e-0","correlation":"c-1","sandbox":true,"datacontenttype""#)
    );
    assert!(Envelope::parse(text.as_bytes()).unwrap().sandbox);
}

#[test]
fn attribute_names_are_as_cloudevents_demands() {
    let mut full = envelope("org", 1);
    full.sandbox = true;
    full.causation = Some("e-0".into());
    let json: serde_json::Value = serde_json::from_slice(&full.to_bytes().unwrap()).unwrap();
    for name in json.as_object().unwrap().keys() {
        let plain = name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        assert!(plain && name.len() <= 20, "{name}");
    }
}

#[test]
fn what_is_not_exactly_an_envelope_is_refused() {
    fn check(from: &str, to: &str, code: &str) {
        let changed = LINE.replacen(from, to, 1);
        assert_ne!(changed, LINE, "{from}");
        let error = Envelope::parse(changed.as_bytes()).unwrap_err();
        assert_eq!(error.code(), code, "{to}: {error}");
        let in_one_pass = Position::parse_strict(changed.as_bytes()).unwrap_err();
        assert_eq!(in_one_pass.code(), code, "{to}: {in_one_pass}");
    }
    let malformed = "ledger-entry-malformed";
    check(r#""1.0""#, r#""1.1""#, "ledger-entry-version-unknown");
    check(
        r#"{"specversion":"1.0","#,
        r#"{"specversion":"2.0","new":1,"#,
        "ledger-entry-version-unknown",
    );
    check(r#"{"specversion":"1.0","#, "{", malformed);
    check(r#""actor":"p-1","#, "", malformed);
    check(
        r#""actor":"p-1","#,
        r#""actor":"p-1","actor":"p-2","#,
        malformed,
    );
    check(
        r#""actor":"p-1","#,
        r#""actor":"p-1","surprise":1,"#,
        malformed,
    );
    check(r#""actor":"p-1","#, r#""actor":null,"#, malformed);
    check(r#""actor":"p-1","#, r#""actor":"","#, malformed);
    check(r#""actor":"p-1","#, r#""actor":"p\n1","#, malformed);
    check(
        r#""correlation":"c-1","#,
        r#""correlation":null,"#,
        malformed,
    );
    check(r#""streamversion":1,"#, r#""streamversion":0,"#, malformed);
    check(
        r#""streamversion":1,"#,
        r#""streamversion":1.0,"#,
        malformed,
    );
    check(
        r#""streamversion":1,"#,
        r#""streamversion":2147483648,"#,
        malformed,
    );
    check(r#""n": [1, 2.5]"#, r#""n": 1, "n": 2"#, malformed);
    check(
        r#""n": [1, 2.5]"#,
        r#""n": [{"a": 1, "\u0061": 2}]"#,
        malformed,
    );
    check("application/json", "text/plain", malformed);
    check("}}", "}} x", malformed);
    check("}}", "}", malformed);
    check(
        r#""n": [1, 2.5]"#,
        &format!(r#""n": {}{}"#, "[".repeat(200), "]".repeat(200)),
        malformed,
    );
    assert!(Envelope::parse(b"").is_err());
    assert!(Envelope::parse(b"\xff").is_err());
}

#[test]
fn what_is_written_is_as_deep_as_what_verifies() {
    fn check(depth: usize, fits: bool) {
        let data = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let text = LINE.replace(r#"{"digest": "sha256:00", "n": [1, 2.5]}"#, &data);
        let mut written = envelope("org", 1);
        written.data = RawValue::from_string(data).unwrap();
        let (bytes, text) = (written.to_bytes(), text.as_bytes());
        assert_eq!(bytes.is_ok(), fits, "{depth}");
        assert_eq!(Envelope::parse(text).is_ok(), fits, "{depth}");
        assert_eq!(Position::parse_strict(text).is_ok(), fits, "{depth}");
        if let Ok(bytes) = bytes {
            assert_eq!(bytes, text);
        }
    }
    // The envelope is one level of the 127 that are read.
    check(125, true);
    check(126, true);
    check(127, false);
    check(128, false);
}

#[test]
fn repeated_keys_are_found_among_many() {
    fn check(keys: impl Iterator<Item = u32>, unique: bool) {
        let object: Vec<String> = keys.map(|key| format!("\"k{key}\":0")).collect();
        let found = serde_json::from_str::<UniqueKeys>(&format!("{{{}}}", object.join(",")));
        assert_eq!(found.is_ok(), unique, "{object:?}");
    }
    for count in [0, 1, 15, 16, 17, 18, 100] {
        check(0..count, true);
        for again in [0, 14, 15, 16, 17, 99] {
            check((0..count).chain([again]), again >= count);
        }
    }
}

#[test]
fn times_are_rfc_3339() {
    fn check(time: &str, fits: bool) {
        assert_eq!(is_rfc3339(time), fits, "{time}");
    }
    for good in [
        "2026-03-01T12:00:00Z",
        "2026-03-01T12:00:60.123456789Z",
        "2026-03-01T12:00:00+05:30",
    ] {
        check(good, true);
    }
    for wrong in [
        "",
        "2026-03-01",
        "2026-03-01T12:00:00",
        "2026-03-01 12:00:00Z",
        "2026-13-01T12:00:00Z",
        "2026-03-32T12:00:00Z",
        "2026-03-01T24:00:00Z",
        "2026-03-01T12:60:00Z",
        "2026-03-01T12:00:00.Z",
        "2026-03-01T12:00:00+0530",
        "2026-03-01T12:00:00+05:60",
        "2026-03-01T12:00:00ZZ",
        "+026-03-01T12:00:00Z",
        "2026-03-01T12:00:0é",
        "2026-03-01T12:00:00.1+é:00",
    ] {
        check(wrong, false);
    }
}

#[test]
fn size_is_bounded_by_what_a_bundle_can_hold() {
    let mut large = envelope("org", 1);
    let rest = large.to_bytes().unwrap().len() - large.data.get().len();
    let text =
        |length: usize| RawValue::from_string(format!("\"{}\"", "x".repeat(length))).unwrap();
    large.data = text(MAX_ENTRY - rest - 2);
    assert_eq!(large.to_bytes().unwrap().len(), MAX_ENTRY);
    large.data = text(MAX_ENTRY - rest - 1);
    assert_eq!(
        large.to_bytes().unwrap_err().code(),
        "ledger-entry-too-large"
    );
    let error = Envelope::parse(&[b' '; MAX_ENTRY + 1]).unwrap_err();
    assert_eq!(error.code(), "ledger-entry-too-large");
}

#[test]
fn positions_are_read_without_the_rest() {
    let position = Position::parse(LINE.as_bytes()).unwrap();
    assert_eq!(
        position,
        Position {
            stream: "org".into(),
            version: 1
        }
    );
    let escaped = LINE.replace(r#""subject":"org""#, r#""subject":"o\u0072g""#);
    assert_eq!(Position::parse(escaped.as_bytes()).unwrap(), position);
    let twice = LINE.replace(r#""subject":"org""#, r#""subject":"org","subject":"org""#);
    assert!(Position::parse(twice.as_bytes()).is_err());
    assert!(Position::parse(&LINE.as_bytes()[..LINE.len() - 1]).is_err());
    assert!(Position::parse(LINE.replace("1.0", "1.1").as_bytes()).is_err());
}

proptest! {
    #[test]
    fn envelopes_survive(
        stream in "[a-z/\"\\\\é]{1,30}", version in 1..=MAX_STREAM_VERSION, number: i64,
        causation in prop::option::of("[a-z]{1,9}"), sandbox: bool,
    ) {
        let mut written = envelope(&stream, version);
        written.causation = causation.map(Into::into);
        written.sandbox = sandbox;
        written.data = RawValue::from_string(format!("[{number} , {{}}]")).unwrap();
        let bytes = written.to_bytes().unwrap();
        let read = Envelope::parse(&bytes).unwrap();
        prop_assert_eq!(read.to_bytes().unwrap(), bytes.clone());
        prop_assert_eq!(&read.subject, &stream);
        let position = Position::parse(&bytes).unwrap();
        prop_assert_eq!((position.stream.as_ref(), position.version), (stream.as_str(), version));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>, at in 0..LINE.len(), put: u8) {
        let mut changed = LINE.as_bytes().to_vec();
        changed[at] = put;
        for bytes in [bytes, changed] {
            let strict = Envelope::parse(&bytes);
            let position = Position::parse(&bytes);
            let in_one_pass = Position::parse_strict(&bytes);
            prop_assert_eq!(strict.is_ok(), in_one_pass.is_ok());
            // What the strict reader accepts, the quick one reads alike.
            if let Ok(strict) = strict {
                let position = position.unwrap();
                prop_assert_eq!(position.stream.as_ref(), strict.subject.as_ref());
                prop_assert_eq!(position.version, strict.streamversion);
            }
        }
    }
}
