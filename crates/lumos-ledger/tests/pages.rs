//! Every failure this crate can name has its page, and no page is left of one that is gone.

use std::collections::BTreeSet;
use std::path::Path;
use std::{fs, io};

fn slugs_in(folder: &Path, slugs: &mut BTreeSet<String>) -> io::Result<()> {
    for file in fs::read_dir(folder)? {
        let path = file?.path();
        if path.is_dir() {
            slugs_in(&path, slugs)?;
        } else if !path.ends_with("tests.rs") {
            let text = fs::read_to_string(&path)?;
            let quoted = text.split('"').skip(1).step_by(2);
            slugs.extend(quoted.filter(|word| is_slug(word)).map(str::to_owned));
        }
    }
    Ok(())
}

fn is_slug(word: &str) -> bool {
    word.starts_with("ledger-") && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
}

#[test]
fn every_code_has_a_page() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut slugs = BTreeSet::new();
    slugs_in(&root.join("src"), &mut slugs).unwrap();
    assert!(slugs.len() > 20, "the sources name {} codes", slugs.len());
    let pages = fs::read_dir(root.join("../../docs/errors")).unwrap();
    let pages = pages.map(|page| page.unwrap().file_name().into_string().unwrap());
    let pages: BTreeSet<String> = pages
        .filter_map(|page| page.strip_suffix(".md").map(str::to_owned))
        .collect();
    let ours: BTreeSet<String> = pages
        .iter()
        .filter(|page| page.starts_with("ledger-"))
        .cloned()
        .collect();
    assert_eq!(ours, slugs);
    for page in &ours {
        let text = fs::read_to_string(root.join(format!("../../docs/errors/{page}.md"))).unwrap();
        assert!(
            text.starts_with(&format!("# {page}\n")),
            "{page} has another title"
        );
    }
}
