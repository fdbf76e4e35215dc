//! Names every target, for `cargo xtask soak fuzz`.

fn main() {
    for target in lumos_fuzz::TARGETS {
        #[expect(clippy::print_stdout, reason = "this is what it is for")]
        {
            println!("{}", target.name);
        }
    }
}
