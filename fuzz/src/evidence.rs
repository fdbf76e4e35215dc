//! Hostile artifacts: whatever the bytes are, a scan ends, says the same twice, and keeps to its bounds.

use std::io::Cursor;

use lumos_evidence::scan::{Limits, Scanner};

use crate::Target;

pub(crate) const PICKLE: Target = Target {
    name: "evidence-pickle",
    run: |bytes| scan("model.pkl", bytes),
    seeds: || {
        vec![
            b"\x80\x02}q\x00X\x01\x00\x00\x00aq\x01K\x01s.".to_vec(),
            b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x08builtins\x8c\x04eval\x93."
                .to_vec(),
            b"cos\nsystem\n(S'echo'\ntR.".to_vec(),
            b"(lp0\nI1\naI2\na.".to_vec(),
            b"ccollections\nOrderedDict\n)R\x94(K\x01K\x02u.".to_vec(),
        ]
    },
};

pub(crate) const ARCHIVE: Target = Target {
    name: "evidence-archive",
    run: |bytes| {
        named(
            &[
                "model.zip",
                "model.pt",
                "model.keras",
                "a.npz",
                "a.tar",
                "a.joblib",
            ],
            bytes,
        );
    },
    seeds: || {
        let member = stored("data.pkl", b"\x80\x02K\x01.");
        let weights = stored("archive/data/0", &[0; 16]);
        let tar = tar("model.pkl", b"cos\nsystem\n(S'echo'\ntR.");
        (0..6)
            .flat_map(|name| [&member, &weights, &tar].map(|bytes| [&[name], &bytes[..]].concat()))
            .collect()
    },
};

pub(crate) const TENSORS: Target = Target {
    name: "evidence-tensors",
    run: |bytes| {
        named(
            &[
                "model.safetensors",
                "a.npy",
                "model.gguf",
                "model.onnx",
                "model.h5",
                "model.bin",
            ],
            bytes,
        );
    },
    seeds: || {
        let header = br#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
        let length = (header.len() as u64).to_le_bytes();
        let safetensors = [&length[..], header, &[0; 8]].concat();
        let numpy = b"\x93NUMPY\x01\x00\x3a\x00{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }  \n\0\0\0\0\0\0\0\0";
        let gguf = b"GGUF\x03\0\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0a\x04\0\0\0\x01\0\0\0\x01\0\0\0\0\0\0\0w\x01\0\0\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
        let onnx = b"\x08\x08\x12\x04acme\x3a\x0a\x0a\x08\x0a\x01a\x12\x01b\x22\x00";
        let hdf = b"\x89HDF\r\n\x1a\n\0\0\0\0";
        [&safetensors[..], numpy, gguf, onnx, hdf]
            .iter()
            .zip(0_u8..)
            .map(|(bytes, name)| [&[name], *bytes].concat())
            .collect()
    },
};

pub(crate) const TEXT: Target = Target {
    name: "evidence-text",
    run: |bytes| {
        named(
            &[
                "README.md",
                "LICENSE",
                "a.dist-info/METADATA",
                "config.json",
                "MLmodel",
                "tokenizer.json",
            ],
            bytes,
        );
    },
    seeds: || {
        let card = "---\nlicense: apache-2.0\ntags: [a, b]\nbase_model: x\n---\n\n# A\n\n## Intended use\n\nfor tests\n\n## Limitations\n\nmany\n";
        [
            card,
            "Permission is hereby granted, free of charge, to any person obtaining a copy\n",
            "Metadata-Version: 2.1\nName: a\nLicense: MIT\nClassifier: License :: OSI Approved :: MIT License\n\nbody\n",
            r#"{"_name_or_path": "x", "model_type": "bert", "auto_map": {"A": "a.B"}}"#,
            "artifact_path: model\nflavors:\n  sklearn:\n    pickled_model: model.pkl\nmodel_uuid: a\n",
            r#"{"version": "1.0", "model": {"vocab": {"a": 0}}}"#,
        ]
        .iter()
        .zip(0_u8..)
        .map(|(text, name)| [&[name], text.as_bytes()].concat())
        .collect()
    },
};

/// The first byte says what the file is called.
fn named(names: &[&str], bytes: &[u8]) {
    if let Some((name, rest)) = bytes.split_first() {
        scan(names[usize::from(*name) % names.len()], rest);
    }
}

fn scan(name: &str, bytes: &[u8]) {
    let limits = Limits {
        unpacked_free_bytes: 1 << 20,
        ..Limits::default()
    };
    let inspect = || {
        let mut scanner = Scanner::new(limits.clone(), Vec::new());
        let mut file = Cursor::new(bytes);
        let read = scanner.file(name, bytes.len() as u64, &mut file, &mut |_| {});
        read.expect("because memory can be read");
        scanner.finish().expect("because one file makes a manifest")
    };
    let inspection = inspect();
    assert_eq!(
        inspection,
        inspect(),
        "the same bytes are the same evidence"
    );
    let parts = inspection.manifest.parts();
    assert_eq!(parts.len(), 1);
    assert_eq!(parts[0].size, bytes.len() as u64);
    let claim = serde_json::to_vec(&inspection).expect("because claims are plain data");
    assert!(
        claim.len() < 1 << 22,
        "evidence of {} bytes from {}",
        claim.len(),
        bytes.len()
    );
}

/// A zip with one member that is stored as it is. Its checksum is not that of the bytes: nothing trusts it.
fn stored(name: &str, bytes: &[u8]) -> Vec<u8> {
    let (length, size) = (name.len() as u64, bytes.len() as u64);
    let [length, size] = [length, size].map(u64::to_le_bytes);
    let sizes = [&[0; 4], &size[..4], &size[..4], &length[..2], &[0, 0]].concat();
    let local = [
        b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0",
        &sizes[..],
        name.as_bytes(),
        bytes,
    ]
    .concat();
    let central = [
        b"PK\x01\x02\x14\0\x14\0\0\0\0\0\0\0\0\0",
        &sizes[..],
        &[0; 14],
        name.as_bytes(),
    ]
    .concat();
    let [at, long] = [local.len() as u64, central.len() as u64].map(u64::to_le_bytes);
    let end = [
        b"PK\x05\x06\0\0\0\0\x01\0\x01\0",
        &long[..4],
        &at[..4],
        &[0, 0],
    ]
    .concat();
    [local, central, end].concat()
}

fn tar(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut header = [0_u8; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    let size = format!("{:011o}\0", bytes.len());
    header[124..136].copy_from_slice(size.as_bytes());
    header[148..156].fill(b' ');
    header[156] = b'0';
    header[257..263].copy_from_slice(b"ustar\0");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut file = [&header[..], bytes].concat();
    file.resize(file.len().next_multiple_of(512) + 1_024, 0);
    file
}
