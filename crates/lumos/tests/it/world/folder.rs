//! Whole folders, as administrators move them about.

use std::path::Path;

/// Copies a folder with all that is in it.
pub(crate) fn copy(from: &Path, into: &Path) {
    std::fs::create_dir(into).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = into.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
