//! The fuzzer: libFuzzer over the target that `LUMOS_FUZZ_TARGET` names, or writes its seeds into
//! `LUMOS_FUZZ_SEEDS` first.
#![no_main]

use std::{env, fs, path::PathBuf, sync::OnceLock};

use lumos_fuzz::Target;

static TARGET: OnceLock<&'static Target> = OnceLock::new();

#[expect(
    clippy::disallowed_methods,
    reason = "libFuzzer has the arguments, so the target comes by the environment"
)]
fn chosen() -> &'static Target {
    let name = env::var("LUMOS_FUZZ_TARGET").unwrap_or_default();
    let target = lumos_fuzz::target(&name).expect("because `cargo xtask soak fuzz` names one");
    if let Some(folder) = env::var_os("LUMOS_FUZZ_SEEDS").map(PathBuf::from) {
        for (n, seed) in (target.seeds)().iter().enumerate() {
            fs::write(folder.join(format!("seed-{n}")), seed).expect("because the folder was made");
        }
    }
    target
}

libfuzzer_sys::fuzz_target!(init: { TARGET.get_or_init(chosen); }, |bytes: &[u8]| {
    (TARGET.get_or_init(chosen).run)(bytes);
});
