use std::num::NonZeroUsize;

use super::*;
use crate::fixture::{Files, Log, Numbers, ORIGIN, envelope, signer};
use crate::tree::EMPTY_ROOT;

fn trust<'a>(keys: &'a [VerifierKey], earlier: &'a [Checkpoint]) -> Trust<'a> {
    Trust {
        keys,
        earlier,
        depth: Depth::Envelopes,
        keep: None,
    }
}

fn verdict(files: &Files) -> Result<Report, (&'static str, String)> {
    let keys = Log::keys();
    verify(files, &trust(&keys, &[])).map_err(|error| (error.code(), error.to_string()))
}

#[test]
fn an_untouched_export_is_verified_at_every_kind_of_size() {
    for size in [0, 1, 2, 255, 256, 257, 1000, 4096, 4097, 66_000] {
        let log = Log::new(size);
        let report = verdict(&log.export()).unwrap_or_else(|error| panic!("{size}: {error:?}"));
        assert_eq!(report.checkpoint, log.checkpoint(), "size {size}");
        assert_eq!(report.entries, size);
        assert_eq!(report.streams, size.min(3));
        assert_eq!(report.signatures, [(Log::keys()[0].clone(), None)]);
        let tiles = log
            .export()
            .0
            .keys()
            .filter(|path| path.starts_with("tile/"))
            .count() as u64;
        assert_eq!(report.tiles, tiles - size.div_ceil(256), "size {size}");
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let mut files = Log::new(66_000).export();
    let keys = Log::keys();
    for threads in [1, 2, 5] {
        let threads = NonZeroUsize::new(threads).unwrap();
        let found = verify_on(threads, &files, &trust(&keys, &[])).unwrap();
        assert_eq!(found, verify(&files, &trust(&keys, &[])).unwrap());
    }
    files.0.get_mut("tile/entries/200").unwrap()[40] ^= 1;
    files.0.get_mut("tile/entries/100").unwrap()[40] ^= 1;
    let one = verdict(&files).unwrap_err();
    let two = verify_on(NonZeroUsize::new(3).unwrap(), &files, &trust(&keys, &[])).unwrap_err();
    assert_eq!(one.1, two.to_string());
}

#[test]
fn the_file_and_index_that_do_not_agree_are_named() {
    fn check(path: &str, change: impl Fn(&mut Vec<u8>), code: &str, message: &str) {
        let mut files = Log::new(700).export();
        change(files.0.get_mut(path).unwrap());
        let (found_code, found) = verdict(&files).unwrap_err();
        assert_eq!(found_code, code, "{found}");
        assert_eq!(found, format!("verifying the export: {message}"));
    }
    let below = "does not fit what is below it";
    let flip = |at: usize| move |bytes: &mut Vec<u8>| bytes[at] ^= 1;
    check(
        "tile/0/001",
        flip(64),
        "ledger-tile-differs",
        &format!("hash 2 of `tile/0/001` {below}"),
    );
    check(
        "tile/1/000.p/2",
        flip(32),
        "ledger-tile-differs",
        &format!("hash 1 of `tile/1/000.p/2` {below}"),
    );
    check(
        "tile/0/002.p/188",
        |bytes| bytes.truncate(32),
        "ledger-tile-malformed",
        "`tile/0/002.p/188`",
    );
    check(
        "tile/entries/000",
        |bytes| bytes.truncate(99),
        "ledger-bundle-malformed",
        "`tile/entries/000`",
    );
    check(
        "tile/entries/001",
        |bytes| bytes.push(0),
        "ledger-bundle-malformed",
        "`tile/entries/001`",
    );
    check(
        "tile/entries/001",
        flip(2),
        "ledger-entry-malformed",
        "entry 256 in `tile/entries/001`",
    );
    // A changed letter inside a value leaves the envelope readable; its hash gives it away.
    let letter = |bytes: &mut Vec<u8>| {
        let at = bytes
            .windows(4)
            .position(|word| word == b"prod" || word == b"acme")
            .unwrap();
        bytes[at] = b'b';
    };
    check(
        "tile/entries/002.p/188",
        letter,
        "ledger-tile-differs",
        &format!("hash 0 of `tile/0/002.p/188` {below}"),
    );
    check(
        "checkpoint",
        |bytes| *bytes = b"x\n".to_vec(),
        "ledger-note-malformed",
        "`checkpoint`",
    );
    let mut files = Log::new(700).export();
    files.0.remove("tile/0/001");
    assert_eq!(
        verdict(&files).unwrap_err().1,
        "verifying the export: reading `tile/0/001`"
    );
}

/// 300 changes, one at a time, over all files but the guide and the key list, which nobody trusts.
#[test]
fn every_one_of_300_random_changes_is_caught() {
    let whole = Log::new(700).export();
    let other = Log::of(
        (0..700)
            .map(|n| envelope("org", n + 1).to_bytes().unwrap())
            .collect(),
    );
    let other = other.export();
    let paths: Vec<&String> = whole
        .0
        .keys()
        .filter(|path| !["VERIFY.md", "vkeys"].contains(&path.as_str()))
        .collect();
    let mut numbers = Numbers(2026);
    let mut changed = 0;
    while changed < 300 {
        let mut files = whole.clone();
        let path = paths[numbers.index(paths.len())];
        let bytes = files.0.get_mut(path).unwrap();
        let what = numbers.below(6);
        let at = numbers.index(bytes.len());
        match what {
            0 => bytes[at] ^= 1 << numbers.below(8),
            1 => bytes.truncate(at),
            2 => bytes.extend((0..=at % 40).map(|n| n as u8)),
            3 => {
                let (from, to) = (numbers.index(bytes.len()), at);
                bytes.swap(from, to);
            }
            4 => {
                let second = paths[numbers.index(paths.len())];
                let (first, second) = (path.clone(), second.clone());
                let one = files.0.remove(&first).unwrap();
                let two = files.0.insert(second.clone(), one.clone()).unwrap_or(one);
                files.0.insert(first, two);
            }
            _ => *bytes = other.0[path].clone(),
        }
        if files == whole {
            continue;
        }
        changed += 1;
        // The second log is signed by the same key: a whole checkpoint of it is caught by its root.
        assert!(
            verdict(&files).is_err(),
            "change {what} at {at} of `{path}` went unnoticed"
        );
    }
}

#[test]
fn only_keys_the_caller_trusts_count() {
    let files = Log::new(10).export();
    let stranger = crate::note::NoteSigner::from_seed(ORIGIN, &[8; 32]).unwrap();
    let stranger = [stranger.verifier_key().clone()];
    let error = verify(&files, &trust(&stranger, &[])).unwrap_err();
    assert_eq!(error.code(), "ledger-signature-untrusted");
    let error = verify(&files, &trust(&[], &[])).unwrap_err();
    assert_eq!(error.code(), "ledger-signature-untrusted");
    let mut swapped = files.clone();
    swapped.0.insert(
        "vkeys".to_owned(),
        format!("{}\n", stranger[0]).into_bytes(),
    );
    assert!(
        verdict(&swapped).is_ok(),
        "the key list in the export is not a source of trust"
    );
}

#[test]
fn a_signed_root_over_other_entries_is_refused() {
    let mut files = Log::new(300).export();
    let lie = Checkpoint::new(ORIGIN, 300, EMPTY_ROOT)
        .unwrap()
        .sign(&signer())
        .unwrap();
    files
        .0
        .insert("checkpoint".to_owned(), lie.to_string().into_bytes());
    assert_eq!(verdict(&files).unwrap_err().0, "ledger-root-differs");
}

#[test]
fn history_is_compared_with_an_older_checkpoint() {
    let log = Log::new(700);
    let (files, keys) = (log.export(), Log::keys());
    let check = |older: &Checkpoint| verify(&files, &trust(&keys, std::slice::from_ref(older)));
    for size in [0, 1, 255, 256, 300, 512, 699, 700] {
        let report = check(&Log::new(size).checkpoint()).unwrap();
        assert_eq!(report.continues, [size]);
    }
    let refuse = |older: Checkpoint| {
        let error = check(&older).unwrap_err();
        assert_eq!(error.code(), "ledger-history-differs", "{older}");
    };
    refuse(Checkpoint::new(ORIGIN, 300, *log.checkpoint().root()).unwrap());
    refuse(Checkpoint::new(ORIGIN, 0, *log.checkpoint().root()).unwrap());
    refuse(Checkpoint::new(ORIGIN, 700, EMPTY_ROOT).unwrap());
    refuse(Log::new(701).checkpoint());
    let root = *Log::new(300).checkpoint().root();
    refuse(Checkpoint::new("lumos.acme.example/test", 300, root).unwrap());
}

#[test]
fn gaps_in_streams_are_found_wherever_they_are() {
    fn check(versions: &[u64], depth: Depth, expected: Result<u64, &str>) {
        let entries = versions
            .iter()
            .map(|n| envelope("org", *n).to_bytes().unwrap())
            .collect();
        let (files, keys) = (Log::of(entries).export(), Log::keys());
        let found = verify(
            &files,
            &Trust {
                keys: &keys,
                earlier: &[],
                depth,
                keep: None,
            },
        );
        let found = found
            .map(|report| report.streams)
            .map_err(|error| error.to_string());
        assert_eq!(
            found,
            expected.map_err(|e| format!("verifying the export: {e}"))
        );
    }
    check(&[1, 2, 3], Depth::Streams, Ok(1));
    check(&[1, 2, 3], Depth::Bytes, Ok(0));
    check(&[1, 3], Depth::Bytes, Ok(0));
    for depth in [Depth::Streams, Depth::Envelopes] {
        let start = "entry 0 in `tile/entries/000.p/2` is version 2 of `org`, not 1";
        check(&[2, 3], depth, Err(start));
        let skip = "entry 2 in `tile/entries/000.p/3` is version 4 of `org`, not 3";
        check(&[1, 2, 4], depth, Err(skip));
        let twice = "entry 1 in `tile/entries/000.p/2` is version 1 of `org`, not 2";
        check(&[1, 1], depth, Err(twice));
        // 4,096 entries are a chunk: the gap lies between two of them.
        let long: Vec<u64> = (1..=4096).chain([4098]).collect();
        let between = "entry 4096 in `tile/entries/016.p/1` is version 4098 of `org`, not 4097";
        check(&long, depth, Err(between));
    }
}

#[test]
fn chunks_are_folded_in_order_and_to_the_end() {
    let files = Log::new(5000).export();
    let keys = Log::keys();
    let verification = Verification::open(&files, &trust(&keys, &[])).unwrap();
    let error = verification
        .fold()
        .add(verification.check(1).unwrap())
        .unwrap_err();
    assert_eq!(error.code(), "ledger-verify-order");
    let mut fold = verification.fold();
    fold.add(verification.check(0).unwrap()).unwrap();
    assert_eq!(fold.finish().unwrap_err().code(), "ledger-verify-order");
    assert_eq!(
        verification.check(2).unwrap().entries,
        0,
        "a chunk beyond the end is empty"
    );
    assert_eq!(verification.check(u64::MAX).unwrap().entries, 0);
}
