use std::io::{Cursor, Write as _};

use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;

use super::*;

fn inspect(files: &[(&str, &[u8])]) -> Inspection {
    let mut scanner = Scanner::new(Limits::default(), Vec::new());
    for (path, bytes) in files {
        scanner
            .file(
                path,
                bytes.len() as u64,
                &mut Cursor::new(bytes),
                &mut |_| (),
            )
            .unwrap();
    }
    scanner.finish().unwrap()
}

fn check(path: &str, bytes: &[u8], expected: &[&str], unfinished: usize) {
    let scan = inspect(&[(path, bytes)]).scan;
    let codes: Vec<_> = scan
        .findings
        .iter()
        .map(|finding| finding.code.as_str())
        .collect();
    assert_eq!(
        (codes, scan.not_fully_scanned.len()),
        (expected.to_vec(), unfinished),
        "{path}"
    );
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn tar(members: &[(&str, u8, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, kind, data) in members {
        let mut block = [0; 512];
        block[..name.len()].copy_from_slice(name.as_bytes());
        block[124..135].copy_from_slice(format!("{:011o}", data.len()).as_bytes());
        block[148..156].fill(b' ');
        block[156] = *kind;
        block[257..262].copy_from_slice(b"ustar");
        let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        out.extend_from_slice(&block);
        out.extend_from_slice(data);
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.resize(out.len() + 1024, 0);
    out
}

const BAD_PICKLE: &[u8] = b"\x80\x02cos\nsystem\n(U\x02idtR.";
const BAD: &str = "pickle-known-bad-global";

#[test]
fn each_format_goes_to_its_scanner() {
    check("a.pkl", b"\x80\x04N.", &[], 0);
    check("a.pkl", BAD_PICKLE, &[BAD], 0);
    check("a.pkl", b"cos\nsystem\n)R.", &[BAD], 0);
    check("weights.bin", BAD_PICKLE, &[BAD], 0);
    check("README.md", BAD_PICKLE, &["format-mismatch", BAD], 0);
    check("a.safetensors", BAD_PICKLE, &["format-mismatch", BAD], 0);
    check("a.safetensors", b"\x02\0\0\0\0\0\0\0{}", &[], 0);
    check(
        "a.safetensors",
        b"\x02\0\0\0\0\0\0\0{}junk",
        &["safetensors-hole"],
        1,
    );
    check(
        "a.safetensors",
        &[b"\x00\xe8\x76\x48\x17\0\0\0{".as_slice()].concat(),
        &["safetensors-header-too-long"],
        1,
    );
    check("a.pkl.gz", &gzip(BAD_PICKLE), &[BAD], 0);
    check(
        "a.tar",
        &tar(&[("a.txt", b'0', b"x"), ("m/x.pkl", b'0', BAD_PICKLE)]),
        &[BAD],
        0,
    );
    check(
        "a.tar.gz",
        &gzip(&tar(&[("x.pkl", b'0', BAD_PICKLE)])),
        &[BAD],
        0,
    );
    check(
        "a.tar",
        &tar(&[("../x", b'0', b"x")]),
        &["tar-traversal"],
        0,
    );
    check("a.tar", &tar(&[("x", b'2', b"")]), &["tar-link"], 0);
    check(
        "a.tar",
        &tar(&[("x", b'0', b"x")])[..700],
        &["tar-malformed"],
        1,
    );
    check(
        "a.h5",
        b"\x89HDF\r\n\x1a\n{\"class_name\": \"Lambda\"}",
        &["keras-lambda"],
        0,
    );
    check(
        "config.json",
        b"{\"class_name\": \"Lambda\"}",
        &["keras-lambda"],
        0,
    );
    check("a.onnx", b"\x08\x07\x12\x04acme", &[], 0);
    check("a.gguf", b"GGUF\x03\0\0\0", &["gguf-malformed"], 1);
    check("a.7z", b"7z\xbc\xaf\x27\x1c", &[], 1);
    check("a.xz", b"\xfd7zXZ\0", &[], 1);
    check("a.bz2", b"BZh9", &[], 1);
    check("a.txt", b"hello", &[], 0);
    check("data/0", &[0; 100], &[], 0);
}

#[test]
fn gzip_bombs_are_stopped() {
    check("a.gz", &gzip(&vec![0; 80 << 20]), &["zip-bomb"], 1);
    check("a.gz", &gzip(&[0; 1000])[..15], &["archive-corrupt"], 1);
}

#[test]
fn arrays_of_objects_are_pickles() {
    let header = "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }";
    let length = u16::try_from(header.len()).unwrap().to_le_bytes();
    let npy = [
        b"\x93NUMPY\x01\0",
        &length[..],
        header.as_bytes(),
        BAD_PICKLE,
    ]
    .concat();
    check("a.npy", &npy, &["npy-object-array", BAD], 0);
}

#[test]
fn length_and_path_are_checked() {
    let mut scanner = Scanner::new(Limits::default(), Vec::new());
    let mut file =
        |path: &str, size| scanner.file(path, size, &mut Cursor::new(b"abc"), &mut |_| ());
    assert!(matches!(
        file("a", 4),
        Err(ScanError::Changed {
            before: 4,
            after: 3,
            ..
        })
    ));
    assert!(matches!(
        file("a", 2),
        Err(ScanError::Changed {
            before: 2,
            after: 3,
            ..
        })
    ));
    assert!(matches!(file("../a", 3), Err(ScanError::Path(_))));
    assert!(matches!(
        Scanner::new(Limits::default(), Vec::new()).finish(),
        Err(ScanError::Manifest(_))
    ));
}

#[test]
fn a_package_and_its_card_may_contradict() {
    let card = "---\nlicense: apache-2.0\n---\n# Acme\n";
    let inspection = inspect(&[
        ("README.md", card.as_bytes()),
        ("acme-1.dist-info/METADATA", b"Name: acme\nLicense: MIT\n"),
    ]);
    let licence = inspection.licence.unwrap();
    assert_eq!(
        (licence.contradiction, licence.expressions),
        (true, vec!["Apache-2.0".to_owned(), "MIT".to_owned()])
    );
    assert_eq!(inspection.scan.findings[0].code, "licence-contradiction");
}

#[test]
fn logging_a_model_twice_is_no_change() {
    let files = |run: &str| {
        let mlmodel = format!(
            "flavors:\n  sklearn: 1\nrun_id: {run}\nutc_time_created: '2026-01-01 {run}'\n"
        );
        inspect(&[
            ("MLmodel", mlmodel.as_bytes()),
            (
                "registered_model_meta",
                format!("model_version: {run}\n").as_bytes(),
            ),
        ])
    };
    let (one, two) = (files("1").manifest, files("2").manifest);
    assert_ne!(one.digest().unwrap(), two.digest().unwrap());
    let change = lumos_domain::manifest::Change::between(&one, &two);
    assert_eq!(change.kind, None);
}

#[test]
fn the_claim_has_one_form() {
    let inspection = inspect(&[("a.pkl", BAD_PICKLE)]);
    let json = serde_json::to_string(&inspection.scan).unwrap();
    let expected = format!(
        r#"{{"tool":"lumos","tool_version":"{}","confinement":[],"files":1,"bytes":{},"findings":[{{"path":"a.pkl","code":"pickle-known-bad-global","severity":"critical","detail":"loading imports `os.system`, which can run code or reach outside"}}],"not_fully_scanned":[]}}"#,
        env!("CARGO_PKG_VERSION"),
        BAD_PICKLE.len()
    );
    assert_eq!(json, expected);
    let back: Inspection =
        serde_json::from_str(&serde_json::to_string(&inspection).unwrap()).unwrap();
    assert_eq!(back, inspection);
}

proptest! {
    #[test]
    fn any_bytes_behind_any_magic_end(magic in 0_usize..10, bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let magics: [&[u8]; 10] = [b"", b"\x80\x04", b"PK\x03\x04", b"\x1f\x8b\x08\0\0\0\0\0\0\0", b"\x93NUMPY\x01\0", b"GGUF",
            b"\x10\0\0\0\0\0\0\0{", b"x\x9c", b"PK\x05\x06", b"---\n"];
        let bytes = [magics[magic], &bytes].concat();
        let inspection = inspect(&[("README.md", &bytes)]);
        prop_assert_eq!(inspection.scan.bytes, bytes.len() as u64);
    }

    #[test]
    fn order_does_not_matter(order in Just(vec![0_usize, 1, 2, 3]).prop_shuffle()) {
        let files: [(&str, &[u8]); 4] = [("README.md", b"---\nlicense: mit\n---\n"), ("sub/README.md", b"# x"), ("LICENSE", b"Apache License Version 2.0, January 2004"), ("a.pkl", BAD_PICKLE)];
        let shuffled: Vec<_> = order.iter().map(|i| files[*i]).collect();
        prop_assert_eq!(inspect(&shuffled), inspect(&files));
    }
}
