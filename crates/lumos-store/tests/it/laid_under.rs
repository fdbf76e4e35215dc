//! Libraries in C that are laid under a program with `LD_PRELOAD`: what goes wrong does so from outside, and what is tested
//! is what is shipped. The tests of the whole server use them as well.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

/// Makes the library `name.so` of a source, or says that it cannot be made here: then the test returns.
pub(crate) fn library(name: &Path, source: &str) -> Option<PathBuf> {
    let (source_file, library) = (name.with_extension("c"), name.with_extension("so"));
    fs::write(&source_file, source).unwrap();
    #[expect(
        clippy::disallowed_methods,
        reason = "a library is made by the compiler of the machine"
    )]
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-O1", "-o"])
        .args([&library, &source_file])
        .arg("-ldl");
    let made = cc.status().is_ok_and(|status| status.success());
    if !made {
        println!("skipped: no C compiler that makes a library to be laid under a program");
    }
    made.then_some(library)
}

/// Says to the library where it is told what breaks.
pub(crate) const CONTROL: &str = "LUMOS_BROKEN_DISK";

/// A disk that breaks under a program, and what it is told.
pub(crate) struct BrokenDisk {
    dir: TempDir,
    library: PathBuf,
}

impl BrokenDisk {
    /// Makes the library, or says that it cannot be made here: then the test returns.
    pub(crate) fn new() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        // The user of a database server has to read it as well.
        fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let source = include_str!("broken_disk.c");
        let library = library(&dir.path().join("broken_disk"), source)?;
        Some(Self { dir, library })
    }

    /// The environment of a program that is on this disk.
    pub(crate) fn env(&self) -> [(&'static str, PathBuf); 2] {
        [
            ("LD_PRELOAD", self.library.clone()),
            (CONTROL, self.control()),
        ]
    }

    fn control(&self) -> PathBuf {
        self.dir.path().join("control")
    }

    /// From now on it fails like this: see `broken_disk.c`.
    pub(crate) fn breaks(&self, how: &str) {
        breaks(&self.control(), how);
    }

    /// From now on it works.
    pub(crate) fn mends(&self) {
        fs::remove_file(self.control()).unwrap();
    }
}

/// What is said is there whole: it is read while it is changed.
pub(crate) fn breaks(control: &Path, how: &str) {
    let whole = control.with_extension("next");
    fs::write(&whole, how).unwrap();
    fs::rename(whole, control).unwrap();
}
