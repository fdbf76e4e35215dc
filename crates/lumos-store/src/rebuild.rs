//! Which tables may be made anew from the ledger: all but those that are the ledger, in every store.

/// The tables that are the ledger itself, and so never made from it.
const LEDGER: &[&str] = &[
    "entries",
    "streams",
    "kinds",
    "head",
    "commands",
    "sealed",
    "meta",
    "blobs",
    "blob_pieces",
];

/// Names go into the statement as they are, so they are plain words and none of the ledger's own.
pub(crate) fn may_be_wiped(name: &str) -> bool {
    !LEDGER.contains(&name)
        && is_plain(name)
        && !name.starts_with("sqlite_")
        && !name.starts_with("pg_")
}

/// Whether a name means the same with and without quotes, in both databases.
pub(crate) fn is_plain(name: &str) -> bool {
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_';
    name.starts_with(|first: char| first.is_ascii_lowercase()) && name.bytes().all(plain)
}
