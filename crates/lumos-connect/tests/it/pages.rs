//! Every code that a registry can answer with has its page.

use std::{fs, path::Path};

#[test]
fn every_code_has_a_page() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut codes = vec!["registry-settings".to_owned()];
    let ports = fs::read_to_string(root.join("crates/lumos-engine/src/ports.rs")).unwrap();
    codes.extend(
        ports
            .split('"')
            .skip(1)
            .step_by(2)
            .filter(|word| {
                ["registry-", "fetch-", "webhook-"]
                    .iter()
                    .any(|it| word.starts_with(it))
            })
            .map(str::to_owned),
    );
    assert_eq!(codes.len(), 9, "{codes:?}");
    for code in codes {
        let page = fs::read_to_string(root.join(format!("docs/errors/{code}.md")));
        let page = page.unwrap_or_else(|_| panic!("{code} has no page"));
        assert!(page.starts_with(&format!("# {code}\n")), "{code}");
    }
}
