use proptest::prelude::*;

use super::*;

#[test]
fn paths_print_and_parse() {
    fn check(kind: Kind, index: u64, width: u16, path: &str) {
        let tile = Tile::new(kind, index, width).unwrap();
        assert_eq!(tile.to_string(), path);
        assert_eq!(path.parse(), Ok(tile));
    }
    check(Kind::Hashes(0), 1_234_067, 12, "tile/0/x001/x234/067.p/12");
    check(Kind::Hashes(0), 1_234_067, 256, "tile/0/x001/x234/067");
    check(Kind::Hashes(1), 5, 256, "tile/1/005");
    check(Kind::Hashes(0), 999, 1, "tile/0/999.p/1");
    check(Kind::Hashes(0), 1000, 255, "tile/0/x001/000.p/255");
    check(Kind::Entries, 0, 256, "tile/entries/000");
    check(
        Kind::Entries,
        1_234_067,
        7,
        "tile/entries/x001/x234/067.p/7",
    );
    check(Kind::Hashes(7), 0, 127, "tile/7/000.p/127");
}

#[test]
fn other_spellings_of_paths_are_refused() {
    fn check(path: &str) {
        let error = path.parse::<Tile>().unwrap_err();
        assert_eq!(error.code(), "ledger-tile-path-malformed", "{path}");
    }
    let wrong = [
        "",
        "tile",
        "tile/",
        "tile/0",
        "tile/0/",
        "tile//000",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "/tile/0/000",
        "tile/0/000/",
        "tile/00/000",
        "tile/+1/000",
        "tile/8/000",
        "tile/-1/000",
        "tile/0/x000/001",
        "tile/0/001/001",
        "tile/0/x001/x001",
        "tile/0/x001",
        "tile/0/X001/001",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/",
        "tile/0/000.p/+1",
        "tile/0/000.p/1/2",
        "tile/0/+01",
        "tile/data/000",
        "tile/entries/",
        "tile/entries/x/000",
        "tile/0/../000",
        "tile/0/x999/x999/x999/x999/x999/x999/999",
        "tile/256/000",
    ];
    wrong.into_iter().for_each(check);
    check(&format!("tile/0/{}000", "x000/".repeat(10_000)));
}

#[test]
fn a_size_implies_its_tiles() {
    fn check(size: u64, expected: &[(&str, usize, Option<&str>)]) {
        for level in 0..=MAX_LEVEL {
            let found: Vec<Tile> = tiles(Kind::Hashes(level), size).collect();
            let partial = found
                .last()
                .filter(|tile| tile.is_partial())
                .map(Tile::to_string);
            let full = found.iter().filter(|tile| !tile.is_partial()).count();
            let wanted = expected
                .get(usize::from(level))
                .copied()
                .unwrap_or(("", 0, None));
            assert_eq!(
                (full, partial.as_deref()),
                (wanted.1, wanted.2),
                "{size}, level {level}"
            );
        }
    }
    check(0, &[]);
    check(1, &[("0", 0, Some("tile/0/000.p/1"))]);
    check(255, &[("0", 0, Some("tile/0/000.p/255"))]);
    check(256, &[("0", 1, None), ("1", 0, Some("tile/1/000.p/1"))]);
    check(
        70_000,
        &[
            ("0", 273, Some("tile/0/273.p/112")),
            ("1", 1, Some("tile/1/001.p/17")),
            ("2", 0, Some("tile/2/000.p/1")),
        ],
    );
    let all: Vec<String> = all_tiles(257).map(|tile| tile.to_string()).collect();
    let expected = [
        "tile/entries/000",
        "tile/entries/001.p/1",
        "tile/0/000",
        "tile/0/001.p/1",
        "tile/1/000.p/1",
    ];
    assert_eq!(all, expected);
    assert_eq!(Tile::in_tree(Kind::Entries, u64::MAX, u64::MAX), None);
    assert!(Tile::in_tree(Kind::Hashes(7), 0, MAX_SIZE).is_some());
}

#[test]
fn malformed_bundles_are_refused() {
    fn check(bundle: &[u8], width: u16) {
        assert_eq!(
            decode_bundle(bundle, width),
            Err(Error::Bundle { width }),
            "{bundle:?}"
        );
    }
    assert_eq!(decode_bundle(&[0, 0, 0, 1, 9], 2), Ok(vec![&[][..], &[9]]));
    check(&[], 1);
    check(&[0], 1);
    check(&[0, 2, 9], 1);
    check(&[0, 1, 9, 0], 1);
    check(&[0, 1, 9, 0, 0], 1);
    check(&[0, 1, 9], 2);
    check(&[0, 0], 0);
    assert!(encode_bundle([vec![0; MAX_ENTRY]]).is_ok());
    let error = encode_bundle([vec![0; MAX_ENTRY + 1]]).unwrap_err();
    assert_eq!(error.code(), "ledger-entry-too-large");
}

proptest! {
    #[test]
    fn tiles_survive_their_path(level in 0u8..9, index: u64, width in 1u16..=256) {
        let kind = if level == 8 { Kind::Entries } else { Kind::Hashes(level) };
        let bits = 8 * (u64::from(level) % 8 + 1);
        let index = if bits >= 63 { 0 } else { index >> (bits + 1) };
        let tile = Tile::new(kind, index, width).unwrap();
        prop_assert_eq!(tile.to_string().parse(), Ok(tile));
    }

    #[test]
    fn paths_agree_with_tlog_tiles(index in 0u64..1 << 39, level in 0u8..3, width in 1u16..=256) {
        let ours = Tile::new(Kind::Hashes(level), index, width).unwrap().to_string();
        // Their path has the height of the tile as an element of its own.
        let theirs = tlog_tiles::Tile::new(8, level, index, width.into(), false).path();
        prop_assert_eq!(ours, theirs.replacen("tile/8/", "tile/", 1));
    }

    #[test]
    fn arbitrary_paths_never_panic(path in "(tile/[0-9]{1,3}/)?[x0-9./p]{0,40}", any in ".*") {
        for path in [path, any] {
            if let Ok(tile) = path.parse::<Tile>() {
                prop_assert_eq!(tile.to_string(), path);
            }
        }
    }

    #[test]
    fn bundles_survive(entries in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20)) {
        let width = entries.len() as u16;
        let bundle = encode_bundle(&entries).unwrap();
        prop_assert_eq!(decode_bundle(&bundle, width).unwrap(), entries);
    }

    #[test]
    fn arbitrary_bundles_never_panic(bytes: Vec<u8>, width in 0u16..300) {
        if let Ok(entries) = decode_bundle(&bytes, width) {
            prop_assert_eq!(encode_bundle(entries).unwrap(), bytes.clone());
        }
        drop(decode_hashes(&bytes, width));
    }
}
