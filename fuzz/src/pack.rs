//! The files of an evidence pack that are read before anything in them is proven.

use lumos_domain::{event::PersonAdded, seal::SealedValue};
use lumos_engine::{
    pack::{Pack, Parts},
    ports::StoredEntry,
};
use lumos_ledger::{Envelope, entry};
use serde_json::{json, value::RawValue};

use crate::Target;

pub(crate) const PACK: Target = Target {
    name: "pack",
    run: pack,
    seeds: || {
        let value = name();
        let opened =
            json!([{ "sealed": value.commitment, "salt": "01".repeat(32), "value": value.value }]);
        let counted = json!([{ "agent": "ward/intake", "environment": "production", "asked": 3,
            "last": "2026-03-01T00:00:00Z" }]);
        let pack = json!({ "schema": "lumos.evidence-pack/v1", "asked": { "about": "release", "release": "triage/1" },
            "ledger": { "origin": "o", "size": 1, "root": "", "signed_by": [] }, "period": null, "releases": [],
            "unseen": [], "not_kept": [], "entries": [] });
        [(0, opened), (1, counted), (2, pack)]
            .into_iter()
            .map(|(kind, json)| [&[kind], json.to_string().as_bytes()].concat())
            .collect()
    },
};

fn name() -> SealedValue {
    SealedValue::new([1; 32], "Ada".to_owned())
}

/// A ledger of one person.
fn parts() -> Parts {
    let added = PersonAdded {
        name: name().commitment,
        login: name().commitment,
        service: false,
    };
    let data = serde_json::to_string(&added).unwrap_or_default();
    let envelope = Envelope {
        specversion: entry::SPEC_VERSION.into(),
        id: "c-1.0".into(),
        source: "o".into(),
        kind: "lumos.person.added.v1".into(),
        time: "2026-03-01T00:00:00Z".into(),
        subject: "person/p-1".into(),
        streamversion: 1,
        commandid: "c-1".into(),
        actor: "genesis".into(),
        causation: None,
        correlation: None,
        sandbox: false,
        datacontenttype: "application/json".into(),
        data: RawValue::from_string(data).expect("because it was just written"),
    };
    let bytes = envelope.to_bytes().expect("because it is a good entry");
    let mut parts = Parts::default();
    parts
        .add_entry(StoredEntry { index: 0, bytes })
        .expect("because it is a good entry");
    parts
}

/// Whatever is taken in is written the same way again, and no text is taken in that was not committed to.
fn pack(bytes: &[u8]) {
    let Some((kind, json)) = bytes.split_first() else {
        return;
    };
    let mut parts = parts();
    let taken = match kind {
        0 => parts.add_opened(json).is_ok(),
        1 => parts.add_counted(json).is_ok(),
        _ => {
            if let Ok(pack) = serde_json::from_slice::<Pack>(json) {
                let again = serde_json::to_vec(&pack).expect("because it is plain data");
                let again: Pack = serde_json::from_slice(&again).expect("because it was written");
                assert!(again == pack, "what is written is read the same");
            }
            return;
        }
    };
    let files = parts.rewritten().expect("because it is plain data");
    if !taken {
        return;
    }
    let mut again = self::parts();
    for file in &files {
        let read = match file.path.as_str() {
            "opened.json" => again.add_opened(&file.bytes),
            _ => again.add_counted(&file.bytes),
        };
        read.expect("because it was taken in before");
    }
    let rewritten = again.rewritten().expect("because it is plain data");
    assert!(rewritten == files, "what is written is read the same");
}
