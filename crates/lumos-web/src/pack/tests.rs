use lumos_domain::{id::Digest, seal::SealedValue};
use lumos_engine::pack::{
    SCHEMA,
    content::{Cited, Evidence, Ledger, Line, Model, NotKept, Period, Text, Unseen, Workpaper},
};

use super::*;

const HOSTILE: &str = "</td><script>alert(1)</script><img src=x onerror=alert(1)>\"'`b`";

/// A release, all of it hostile.
fn release(who: &Who) -> Dossier {
    let cited = Cited {
        digest: Digest::of(b"claim"),
        file: Some(format!("blobs/{}", Digest::of(b"claim").hex())),
    };
    let said = Text {
        text: Some(HOSTILE.into()),
        sealed: SealedValue::new([1; 32], HOSTILE.into()).commitment,
    };
    let time = jiff::Timestamp::UNIX_EPOCH;
    Dossier {
        release: "triage/1.0".parse().unwrap(),
        digest: Some(Digest::of(b"release")),
        manifest: Some(cited.clone()),
        test: true,
        parts: Vec::new(),
        more_parts: 3,
        request: None,
        model: Model {
            owner: Some(who.clone()),
            data_owner: None,
            purpose: Some(said),
            frameworks: vec![HOSTILE.into()],
            policies: vec![HOSTILE.into()],
            tiers: Vec::new(),
            entries: vec![4],
        },
        evidence: vec![Evidence {
            entry: 7,
            time,
            kind: HOSTILE.into(),
            producer: HOSTILE.into(),
            claim: cited,
            says: vec![(HOSTILE.into(), HOSTILE.into())],
        }],
        reports: Vec::new(),
        reviews: Vec::new(),
        followed: Vec::new(),
        other: Vec::new(),
    }
}

/// A period in which nothing came to run.
fn period() -> Period {
    let time = jiff::Timestamp::UNIX_EPOCH;
    Period {
        from: time,
        to: time,
        environment: None,
        population: 0,
        unmatched: 0,
        drawn: 0,
        seed: HOSTILE.into(),
        method: "so".into(),
        changes: Vec::new(),
        tables: vec![Workpaper {
            name: "refused".into(),
            explained: "so".into(),
            columns: vec!["what".into(), "receipt".into()],
            rows: vec![vec![HOSTILE.into(), "receipts/3.tlog-proof".into()]],
        }],
    }
}

/// A pack in which everything that is text from outside is hostile.
fn hostile() -> Pack {
    let who = Who {
        id: "person/p-1".into(),
        name: HOSTILE.into(),
    };
    let time = jiff::Timestamp::UNIX_EPOCH;
    Pack {
        schema: SCHEMA.into(),
        asked: Asked::Period {
            from: time,
            to: time,
            environment: None,
            sample: 1,
            seed: HOSTILE.into(),
        },
        ledger: Ledger {
            origin: HOSTILE.into(),
            size: 9,
            root: "AAAA".into(),
            signed_by: vec![HOSTILE.into()],
        },
        period: Some(period()),
        releases: vec![release(&who)],
        unseen: vec![Unseen {
            gap: "left out".into(),
            what: HOSTILE.into(),
            entries: (0..25).collect(),
        }],
        not_kept: vec![NotKept {
            record: "tickets".into(),
            instead: HOSTILE.into(),
        }],
        entries: vec![Line {
            entry: 7,
            time,
            kind: "lumos.evidence.recorded.v1".into(),
            stream: "org".into(),
            version: 1,
            by: who,
            receipt: "receipts/7.tlog-proof".into(),
        }],
    }
}

#[test]
fn what_comes_from_outside_is_text_on_the_page_and_nothing_else() {
    let page = page(&hostile()).unwrap();
    assert!(page.contains("alert(1)"), "it is shown");
    for markup in ["<script", "<img", "onerror=alert(1)>\"", "javascript:"] {
        assert!(!page.contains(markup), "{markup}");
    }
    assert!(
        page.contains("default-src 'none'"),
        "and nothing is ever loaded"
    );
    assert!(page.contains("and 5 more"), "what is cut is said");
    assert!(
        page.contains("Nothing came to run."),
        "an empty population is said"
    );
}
