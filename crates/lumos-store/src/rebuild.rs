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
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !name.starts_with("sqlite_")
        && !name.starts_with("pg_")
}
