use std::io::{Cursor, Write as _};

use flate2::{Compression, write::DeflateEncoder};
use proptest::prelude::*;

use super::*;
use crate::scan::{Limits, Scanner};

/// One member as it is written; the fields can be made to lie.
struct Member {
    name: &'static str,
    local_name: &'static str,
    data: Vec<u8>,
    deflate: bool,
    flags: u16,
    claimed: Option<u32>,
    attributes: u32,
}

fn plain(name: &'static str, data: &[u8]) -> Member {
    Member {
        name,
        local_name: name,
        data: data.to_vec(),
        deflate: false,
        flags: 0,
        claimed: None,
        attributes: 0,
    }
}

fn zip(members: &[Member]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for member in members {
        let data = if member.deflate {
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(&member.data).unwrap();
            encoder.finish().unwrap()
        } else {
            member.data.clone()
        };
        let length = |n: usize| u32::try_from(n).unwrap().to_le_bytes();
        let short = |n: usize| u16::try_from(n).unwrap().to_le_bytes();
        let size = member
            .claimed
            .map_or(length(member.data.len()), u32::to_le_bytes);
        let method: [u8; 2] = if member.deflate { [8, 0] } else { [0, 0] };
        let at = length(out.len());
        let middle = [
            &member.flags.to_le_bytes()[..],
            &method,
            &[0; 8],
            &length(data.len()),
            &size,
        ]
        .concat();
        out.extend(
            [
                b"PK\x03\x04\x14\0",
                &middle[..],
                &short(member.local_name.len()),
                &[0; 2],
            ]
            .concat(),
        );
        out.extend([member.local_name.as_bytes(), &data].concat());
        directory.extend(
            [
                b"PK\x01\x02\x14\x03\x14\0",
                &middle[..],
                &short(member.name.len()),
                &[0; 8],
            ]
            .concat(),
        );
        directory.extend(
            [
                &member.attributes.to_le_bytes()[..],
                &at,
                member.name.as_bytes(),
            ]
            .concat(),
        );
    }
    let count = u16::try_from(members.len()).unwrap().to_le_bytes();
    let (at, length) = (
        u32::try_from(out.len()).unwrap(),
        u32::try_from(directory.len()).unwrap(),
    );
    out.extend(&directory);
    out.extend(
        [
            b"PK\x05\x06\0\0\0\0",
            &count[..],
            &count,
            &length.to_le_bytes(),
            &at.to_le_bytes(),
            &[0; 2],
        ]
        .concat(),
    );
    out
}

fn codes(path: &str, bytes: &[u8]) -> (Vec<String>, usize) {
    let mut scanner = Scanner::new(Limits::default(), Vec::new());
    scanner
        .file(
            path,
            bytes.len() as u64,
            &mut Cursor::new(bytes),
            &mut |_| (),
        )
        .unwrap();
    let scan = scanner.finish().unwrap().scan;
    (
        scan.findings
            .into_iter()
            .map(|finding| finding.code)
            .collect(),
        scan.not_fully_scanned.len(),
    )
}

fn check(bytes: &[u8], expected: &[&str], unfinished: usize) {
    let (codes, not_fully) = codes("model.zip", bytes);
    assert_eq!(
        (codes, not_fully),
        (
            expected.iter().map(|code| (*code).to_owned()).collect(),
            unfinished
        )
    );
}

const BAD_PICKLE: &[u8] = b"\x80\x02cos\nsystem\n(U\x02idtR.";

#[test]
fn members_are_scanned_like_files() {
    check(&zip(&[plain("a.txt", b"hello")]), &[], 0);
    check(&zip(&[]), &[], 0);
    check(
        &zip(&[plain("a/data.pkl", BAD_PICKLE), plain("a/data/0", &[0; 64])]),
        &["pickle-known-bad-global"],
        0,
    );
    check(
        &zip(&[Member {
            deflate: true,
            ..plain("x.bin", BAD_PICKLE)
        }]),
        &["pickle-known-bad-global"],
        0,
    );
    check(
        &zip(&[Member {
            deflate: true,
            ..plain("x.txt", b"cos\nsystem\n)R.")
        }])
        .clone(),
        &["format-mismatch", "pickle-known-bad-global"],
        0,
    );
    let inner = zip(&[plain("evil.pkl", BAD_PICKLE)]);
    check(
        &zip(&[plain("inner.zip", &inner)]),
        &["pickle-known-bad-global"],
        0,
    );
    check(
        &zip(&[Member {
            deflate: true,
            ..plain("inner.zip", &inner)
        }]),
        &["pickle-known-bad-global"],
        0,
    );
}

#[test]
fn nesting_is_bounded() {
    let mut bytes = zip(&[plain("x.txt", b"x")]);
    for _ in 0..3 {
        bytes = zip(&[Member {
            deflate: true,
            ..plain("inner.zip", &bytes)
        }]);
    }
    check(&bytes, &[], 0);
    bytes = zip(&[plain("inner.zip", &bytes)]);
    check(&bytes, &["nested-too-deep"], 1);
}

#[test]
fn names_that_leave_are_found() {
    for name in [
        "../evil",
        "a/../../evil",
        "/etc/evil",
        "..\\evil",
        "C:\\evil",
    ] {
        check(&zip(&[plain(name, b"x")]), &["zip-traversal"], 0);
    }
    check(
        &zip(&[Member {
            attributes: 0o120_777 << 16,
            ..plain("link", b"/etc/passwd")
        }]),
        &["zip-symlink"],
        0,
    );
    check(
        &zip(&[plain("a", b"x"), plain("a", b"y")]),
        &["zip-duplicate-name"],
        0,
    );
    check(
        &zip(&[plain("A", b"x"), plain("a", b"y")]),
        &["zip-duplicate-name"],
        0,
    );
    check(
        &zip(&[Member {
            local_name: "b",
            ..plain("a", b"x")
        }]),
        &["zip-header-mismatch"],
        0,
    );
}

#[test]
fn members_outside_the_directory_are_found() {
    let mut bytes = zip(&[plain("a", b"x"), plain("b", b"y"), plain("c", b"z")]);
    // The directory loses its second entry: 46 bytes and the name.
    let second = bytes.windows(4).position(|w| w == b"PK\x01\x02").unwrap() + 47;
    bytes.drain(second..second + 47);
    let end = bytes.len() - 22;
    (bytes[end + 8], bytes[end + 10]) = (2, 2);
    bytes[end + 12] -= 47;
    check(&bytes, &["zip-hidden-member"], 0);
}

#[test]
fn bombs_are_stopped() {
    let zeros = vec![0; 80 << 20];
    check(
        &zip(&[Member {
            deflate: true,
            ..plain("zeros", &zeros)
        }]),
        &["zip-bomb"],
        1,
    );
    // One that claims to be small is stopped by what comes out.
    check(
        &zip(&[Member {
            deflate: true,
            claimed: Some(10),
            ..plain("zeros", &zeros)
        }]),
        &["archive-corrupt"],
        1,
    );
    // The same packed bytes under two names.
    let mut overlap = zip(&[plain("a", b"x"), plain("b", b"y")]);
    let second = overlap
        .windows(4)
        .rposition(|w| w == b"PK\x01\x02")
        .unwrap();
    overlap[second + 42..second + 46].fill(0);
    check(
        &overlap,
        &["zip-hidden-member", "zip-overlap", "zip-header-mismatch"],
        0,
    );
}

#[test]
fn what_cannot_be_read_is_no_pass() {
    check(
        &zip(&[Member {
            flags: 1,
            ..plain("secret", b"x")
        }]),
        &[],
        1,
    );
    let good = zip(&[plain("a.txt", b"hello")]);
    check(&good[..good.len() - 5], &["zip-malformed"], 1);
    check(b"PK\x03\x04", &["zip-malformed"], 1);
    let mut gone = good.clone();
    gone[0] = b'X';
    assert!(codes("m.zip", &gone).0.contains(&"zip-appended".to_owned()));
    let before = [&b"#!/bin/sh\n"[..], &good].concat();
    assert_eq!(
        codes("m.bin", &before).0,
        ["zip-appended", "zip-prepended-data"]
    );
    let two = [&good[..], &good].concat();
    assert!(!codes("m.zip", &two).0.is_empty());
}

#[test]
fn flavours_are_told_apart() {
    for (names, expected) in [
        (&["m/data.pkl", "m/version"][..], Format::TorchZip),
        (&["a.npy", "b.npy"], Format::Npz),
        (&["schema.json", "1.npy"], Format::Skops),
        (
            &["config.json", "metadata.json", "model.weights.h5"],
            Format::Keras,
        ),
        (&["a.txt"], Format::Zip),
    ] {
        let members: Vec<_> = names.iter().map(|name| plain(name, b"")).collect();
        let mut context = Context::new(Box::leak(Box::new(Limits::default())));
        let format = scan(&mut context, "m", &mut Cursor::new(zip(&members)), 0).unwrap();
        assert_eq!(format, expected);
    }
}

proptest! {
    #[test]
    fn any_change_of_a_byte_ends(at in 0_usize..400, to in any::<u8>()) {
        let mut bytes = zip(&[plain("a/data.pkl", BAD_PICKLE), Member { deflate: true, ..plain("b.txt", &[b'x'; 500]) }]);
        let length = bytes.len();
        bytes[at % length] = to;
        let (found, _) = codes("model.pt", &bytes);
        prop_assert!(found.len() < 100);
    }
}
