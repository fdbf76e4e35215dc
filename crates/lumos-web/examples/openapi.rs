//! Prints the OpenAPI document of this version: `cargo xtask openapi`.
#![expect(clippy::print_stdout, reason = "printing is all it does")]

fn main() {
    println!("{}", lumos_web::api::openapi());
}
