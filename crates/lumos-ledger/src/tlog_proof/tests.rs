use proptest::prelude::*;

use super::*;
use crate::fixture::Log;
use crate::proof::inclusion;

fn receipt(log: &Log, index: u64) -> TlogProof {
    TlogProof {
        extra: None,
        index,
        hashes: inclusion(index, log.entries.len() as u64, &log.hashes).unwrap(),
        checkpoint: log.note().to_string(),
    }
}

#[test]
fn a_receipt_proves_its_entry_and_no_other() {
    let log = Log::new(300);
    let keys = Log::keys();
    for index in [0, 1, 255, 256, 299] {
        let receipt = receipt(&log, index);
        let parsed: TlogProof = receipt.to_string().parse().unwrap();
        assert_eq!(parsed, receipt);
        let opened = parsed.verify(&log.entries[index as usize], &keys).unwrap();
        assert_eq!(opened.checkpoint, log.checkpoint());
        let error = parsed.verify(&log.entries[7], &keys).unwrap_err();
        assert_eq!(error.code(), "ledger-proof-wrong");
        let error = parsed
            .verify(&log.entries[index as usize], &[])
            .unwrap_err();
        assert_eq!(error.code(), "ledger-signature-untrusted");
    }
}

#[test]
fn the_text_is_as_specified() {
    let log = Log::new(2);
    let mut receipt = receipt(&log, 1);
    let sibling = receipt.hashes[0].to_base64();
    let checkpoint = log.note();
    let text = format!("c2sp.org/tlog-proof@v1\nindex 1\n{sibling}\n\n{checkpoint}");
    assert_eq!(receipt.to_string(), text);
    receipt.extra = Some(b"acme".to_vec());
    let text = text.replace("index", "extra YWNtZQ==\nindex");
    assert_eq!(receipt.to_string(), text);
    assert_eq!(text.parse(), Ok(receipt));
}

#[test]
fn malformed_texts_are_refused() {
    let good = receipt(&Log::new(2), 1).to_string();
    let check = |text: &str| {
        let error = text.parse::<TlogProof>().unwrap_err();
        assert_eq!(error.code(), "ledger-receipt-malformed", "{text}");
    };
    check("");
    check(&good.replace("@v1", "@v2"));
    check(&good.replace("index 1", "index 01"));
    check(&good.replace("index 1\n", ""));
    check(&good.replace("index", "extra !\nindex"));
    check(&good.replace("index", "extra YQ==\nextra YQ==\nindex"));
    check(&good.replace("=\n\n", "\n\n"));
    check(&good.replace("\n\n", "\n"));
    let hash = format!("{}\n", crate::tree::EMPTY_ROOT.to_base64());
    check(&good.replace(
        "index 1\n",
        &format!("index 1\n{}", hash.repeat(MAX_HASHES)),
    ));
    check(&format!("{good}{}", "x".repeat(MAX_NOTE + 2 * MAX_EXTRA)));
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(
        text in "(c2sp.org/tlog-proof@v1\n)(extra [a-zA-Z=]{0,9}\n)?(index [0-9]{1,3}\n)?(.*\n){0,4}",
        any in ".*",
    ) {
        for text in [text, any] {
            if let Ok(receipt) = text.parse::<TlogProof>() {
                prop_assert_eq!(receipt.to_string(), text);
            }
        }
    }

    #[test]
    fn receipts_survive(extra: Option<Vec<u8>>, index: u64, hashes in prop::collection::vec(any::<[u8; 32]>(), 0..=63)) {
        let hashes = hashes.into_iter().map(Hash::new).collect();
        let receipt = TlogProof { extra, index, hashes, checkpoint: Log::new(1).note().to_string() };
        prop_assert_eq!(receipt.to_string().parse(), Ok(receipt));
    }
}
