//! What licence the files name: the card, the licence text, and the METADATA of a Python package (DECISIONS 22).
//!
//! Licence texts are told by sentences that stand in each of them. Not here: which licences are acceptable.

use std::collections::BTreeSet;

use crate::{
    claim::{Licence, LicencePlace, LicenceSource, ModelCard},
    format::extension,
};

/// Whether the file at `path` is the text of a licence.
#[must_use]
pub fn is_licence_file(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let name = lower.rsplit('/').next().unwrap_or_default();
    ["license", "licence", "copying"]
        .iter()
        .any(|stem| name.starts_with(stem))
        && matches!(
            extension(&lower).as_str(),
            "" | "md" | "txt" | "rst" | "mit" | "apache" | "0"
        )
}

/// Whether the file at `path` is the core metadata of a Python package.
#[must_use]
pub fn is_package_metadata(path: &str) -> bool {
    matches!(path.rsplit('/').next(), Some("METADATA" | "PKG-INFO"))
}

/// What the licence text at `path` is, when it is recognised; otherwise `LicenseRef-unrecognised`.
#[must_use]
pub fn of_text(path: &str, content: &[u8]) -> LicenceSource {
    let expression =
        recognise(&String::from_utf8_lossy(content)).unwrap_or("LicenseRef-unrecognised");
    LicenceSource {
        path: path.to_owned(),
        source: LicencePlace::LicenceFile,
        expression: expression.to_owned(),
    }
}

/// The licence the front matter of a card names.
#[must_use]
pub fn of_card(card: &ModelCard) -> Option<LicenceSource> {
    let expression = spdx(card.license.as_deref()?);
    Some(LicenceSource {
        path: card.path.clone(),
        source: LicencePlace::Card,
        expression,
    })
}

/// The licences the core metadata of a Python package names: `License-Expression` where it is there (PEP 639), else
/// `License`, else each `Classifier` of a licence.
#[must_use]
pub fn of_metadata(path: &str, content: &[u8]) -> Vec<LicenceSource> {
    let text = String::from_utf8_lossy(content);
    // The headers end at the first blank line; the description below may quote anything.
    let headers = || text.lines().take_while(|line| !line.trim().is_empty());
    let values = |key: &'static str| {
        headers().filter_map(move |line| {
            let (name, value) = line.split_once(':')?;
            (name.eq_ignore_ascii_case(key) && !value.trim().is_empty()).then(|| value.trim())
        })
    };
    let expression = values("License-Expression").map(spdx).next();
    let licence = values("License")
        .map(|value| recognise(value).map_or_else(|| spdx(value), str::to_owned))
        .next();
    let classifiers = values("Classifier")
        .filter_map(of_classifier)
        .map(str::to_owned);
    let found: BTreeSet<String> = match expression.or(licence) {
        Some(one) => BTreeSet::from([one]),
        None => classifiers.collect(),
    };
    let source = |expression| LicenceSource {
        path: path.to_owned(),
        source: LicencePlace::PackageMetadata,
        expression,
    };
    found.into_iter().map(source).collect()
}

/// All sources together; `None` when no file names a licence.
#[must_use]
pub fn together(mut sources: Vec<LicenceSource>) -> Option<Licence> {
    if sources.is_empty() {
        return None;
    }
    sources.sort();
    sources.dedup();
    let expressions: BTreeSet<_> = sources
        .iter()
        .map(|source| source.expression.clone())
        .collect();
    Some(Licence {
        contradiction: expressions.len() > 1,
        expressions: expressions.into_iter().collect(),
        sources,
    })
}

/// The usual identifiers in the letter case SPDX writes them; anything else stays as written, cut to 200 characters.
fn spdx(written: &str) -> String {
    const USUAL: &[(&str, &str)] = &[
        ("apache-2.0", "Apache-2.0"),
        ("apache 2.0", "Apache-2.0"),
        ("apache license 2.0", "Apache-2.0"),
        ("apache license, version 2.0", "Apache-2.0"),
        ("apache software license", "Apache-2.0"),
        ("mit", "MIT"),
        ("mit license", "MIT"),
        ("the mit license", "MIT"),
        ("bsd-2-clause", "BSD-2-Clause"),
        ("bsd-3-clause", "BSD-3-Clause"),
        ("bsd 3-clause", "BSD-3-Clause"),
        ("new bsd", "BSD-3-Clause"),
        ("gpl-2.0", "GPL-2.0-only"),
        ("gpl-3.0", "GPL-3.0-only"),
        ("gplv3", "GPL-3.0-only"),
        ("lgpl-2.1", "LGPL-2.1-only"),
        ("lgpl-3.0", "LGPL-3.0-only"),
        ("agpl-3.0", "AGPL-3.0-only"),
        ("mpl-2.0", "MPL-2.0"),
        ("isc", "ISC"),
        ("unlicense", "Unlicense"),
        ("cc0-1.0", "CC0-1.0"),
        ("cc-by-4.0", "CC-BY-4.0"),
        ("cc-by-sa-4.0", "CC-BY-SA-4.0"),
        ("cc-by-nc-4.0", "CC-BY-NC-4.0"),
    ];
    let word = written.trim();
    let usual = USUAL
        .iter()
        .find(|(name, _)| word.eq_ignore_ascii_case(name));
    usual.map_or_else(
        || word.chars().filter(|c| !c.is_control()).take(200).collect(),
        |(_, spdx)| (*spdx).to_owned(),
    )
}

fn of_classifier(classifier: &str) -> Option<&'static str> {
    let name = classifier
        .strip_prefix("License ::")?
        .rsplit("::")
        .next()?
        .trim();
    Some(match name {
        "Apache Software License" => "Apache-2.0",
        "MIT License" => "MIT",
        "BSD License" => "LicenseRef-BSD",
        "ISC License (ISCL)" => "ISC",
        "Mozilla Public License 2.0 (MPL 2.0)" => "MPL-2.0",
        "GNU General Public License v2 (GPLv2)" => "GPL-2.0-only",
        "GNU General Public License v3 (GPLv3)" => "GPL-3.0-only",
        "GNU Affero General Public License v3" => "AGPL-3.0-only",
        "GNU Lesser General Public License v3 (LGPLv3)" => "LGPL-3.0-only",
        _ => "LicenseRef-unrecognised",
    })
}

/// The licence whose own sentences stand in `text`. Case and line breaks do not matter.
fn recognise(text: &str) -> Option<&'static str> {
    /// Licence, and the sentences that must all be there.
    const MARKS: &[(&str, &[&str])] = &[
        (
            "Apache-2.0",
            &["apache license", "version 2.0, january 2004"],
        ),
        (
            "AGPL-3.0-only",
            &["gnu affero general public license", "version 3"],
        ),
        (
            "LGPL-3.0-only",
            &["gnu lesser general public license", "version 3"],
        ),
        (
            "LGPL-2.1-only",
            &["gnu lesser general public license", "version 2.1"],
        ),
        ("GPL-3.0-only", &["gnu general public license", "version 3"]),
        ("GPL-2.0-only", &["gnu general public license", "version 2"]),
        ("MPL-2.0", &["mozilla public license", "2.0"]),
        (
            "BSD-3-Clause",
            &[
                "redistribution and use in source and binary forms",
                "neither the name",
                "endorse or promote products",
            ],
        ),
        (
            "BSD-2-Clause",
            &[
                "redistribution and use in source and binary forms",
                "this software is provided",
            ],
        ),
        (
            "MIT",
            &[
                "permission is hereby granted, free of charge",
                "without restriction",
                "the software is provided \"as is\"",
            ],
        ),
        (
            "ISC",
            &["permission to use, copy, modify, and/or distribute this software for any purpose"],
        ),
        (
            "Unlicense",
            &["this is free and unencumbered software released into the public domain"],
        ),
    ];
    let words: Vec<_> = text.split_whitespace().take(10_000).collect();
    let plain = words.join(" ").to_lowercase();
    let mut fitting = MARKS
        .iter()
        .filter(|(_, marks)| marks.iter().all(|mark| plain.contains(mark)));
    fitting.next().map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recognises_texts() {
        for (text, expected) in [
            (
                "Apache License\n   Version 2.0,\n January 2004",
                "Apache-2.0",
            ),
            (
                "Permission is hereby granted,\nfree of charge, ... without restriction ... THE SOFTWARE IS PROVIDED \"AS IS\"",
                "MIT",
            ),
            (
                "GNU GENERAL PUBLIC LICENSE Version 3, 29 June 2007",
                "GPL-3.0-only",
            ),
            (
                "GNU AFFERO GENERAL PUBLIC LICENSE Version 3",
                "AGPL-3.0-only",
            ),
            (
                "Redistribution and use in source and binary forms ... THIS SOFTWARE IS PROVIDED",
                "BSD-2-Clause",
            ),
            (
                "Redistribution and use in source and binary forms ... Neither the name of Acme ... endorse or promote products",
                "BSD-3-Clause",
            ),
            ("Acme community licence: ask us", "LicenseRef-unrecognised"),
        ] {
            assert_eq!(of_text("LICENSE", text.as_bytes()).expression, expected);
        }
    }

    #[test]
    fn reads_package_metadata() {
        let check = |text: &str, expected: &[&str]| {
            let got: Vec<_> = of_metadata("METADATA", text.as_bytes())
                .into_iter()
                .map(|s| s.expression)
                .collect();
            assert_eq!(got, expected, "{text}");
        };
        check(
            "Name: acme\nLicense: MIT\n\nLicense: Apache-2.0\n",
            &["MIT"],
        );
        check(
            "License-Expression: apache-2.0\nLicense: MIT\n",
            &["Apache-2.0"],
        );
        check(
            "Classifier: License :: OSI Approved :: MIT License\n",
            &["MIT"],
        );
        check("Classifier: Topic :: Text\n", &[]);
    }

    #[test]
    fn tells_contradictions() {
        let source =
            |expression: &str| of_metadata("METADATA", format!("License: {expression}").as_bytes());
        let both = together([source("MIT"), source("Apache-2.0")].concat()).unwrap();
        assert_eq!(
            (both.contradiction, both.expressions),
            (true, vec!["Apache-2.0".to_owned(), "MIT".to_owned()])
        );
        let same = together([source("MIT"), source("mit")].concat()).unwrap();
        assert!(!same.contradiction);
        assert_eq!(together(Vec::new()), None);
    }
}
