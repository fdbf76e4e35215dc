//! Libraries in C that are laid under a program with `LD_PRELOAD`: what goes wrong does so from outside, and what is tested
//! is what is shipped. The tests of the whole server use them as well.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

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
