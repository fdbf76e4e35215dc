use std::convert::Infallible;

use super::*;
use crate::fixture::Log;

#[test]
fn an_export_has_these_files() {
    let files: Vec<String> = files(257).map(|file| file.to_string()).collect();
    let expected = [
        "VERIFY.md",
        "vkeys",
        "checkpoint",
        "tile/entries/000",
        "tile/entries/001.p/1",
        "tile/0/000",
        "tile/0/001.p/1",
        "tile/1/000.p/1",
    ];
    assert_eq!(files, expected);
}

#[test]
fn files_hold_what_was_stored() {
    let log = Log::new(257);
    let export = log.export();
    assert_eq!(export.0["vkeys"], vkeys(&Log::keys()).into_bytes());
    assert_eq!(export.0["checkpoint"], log.note().to_string().into_bytes());
    let last = &log.entries[256];
    let bundle = [&(last.len() as u16).to_be_bytes(), last.as_slice()].concat();
    assert_eq!(export.0["tile/entries/001.p/1"], bundle);
    assert_eq!(
        export.0["tile/0/001.p/1"],
        crate::tree::leaf_hash(last).as_bytes()
    );
}

#[test]
fn a_store_that_hands_over_too_few_entries_is_noticed() {
    struct Few;
    impl EntryReader for Few {
        type Error = Infallible;
        fn read_entries(&self, _: u64, _: u16) -> Result<Vec<Vec<u8>>, Infallible> {
            Ok(vec![Vec::new()])
        }
    }
    let log = Log::new(2);
    let note = log.note();
    let export = Export {
        checkpoint: &note,
        vkeys: &[],
        entries: Few,
        hashes: &log.hashes,
    };
    let tile = Tile::new(Kind::Entries, 0, 2).unwrap();
    let error = export.bytes(&File::Tile(tile)).unwrap_err();
    assert_eq!(error.code(), "ledger-bundle-malformed");
}
