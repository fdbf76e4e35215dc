//! Every code of this crate has its page.

use std::{fs, path::Path};

#[test]
fn every_code_has_a_page() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = fs::read_to_string(root.join("src/error.rs")).unwrap();
    let codes = source.split('"').skip(1).step_by(2);
    let codes: Vec<&str> = codes.filter(|word| word.starts_with("http-")).collect();
    assert_eq!(codes.len(), 9);
    for code in codes {
        let page = fs::read_to_string(root.join(format!("../../docs/errors/{code}.md")));
        let page = page.unwrap_or_else(|_| panic!("{code} has no page"));
        assert!(page.starts_with(&format!("# {code}\n")), "{code}");
    }
}
