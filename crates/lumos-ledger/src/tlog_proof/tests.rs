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
fn malformed_texts_are_refused_with_their_line() {
    let good = receipt(&Log::new(2), 1).to_string();
    let check = |text: &str, line: usize| {
        let error = text.parse::<TlogProof>().unwrap_err();
        assert_eq!(error.code(), "ledger-receipt-malformed", "{text}");
        assert!(
            matches!(error, Error::Malformed { line: found, .. } if found == line),
            "{error}"
        );
    };
    check("", 1);
    check(&good.replace("@v1", "@v2"), 1);
    check(&good.replace("index 1", "index 01"), 2);
    check(&good.replace("index 1\n", ""), 2);
    check(&good.replace("index", "extra !\nindex"), 2);
    check(&good.replace("index", "extra YQ==\nextra YQ==\nindex"), 3);
    check(&good.replace("=\n\n", "\n\n"), 3);
    // Cut before, in and after the proof.
    check(&good[..good.find("\n\n").unwrap()], 3);
    check(&good[..30], 2);
    let hash = format!("{}\n", crate::tree::EMPTY_ROOT.to_base64());
    let long = format!("index 1\n{}", hash.repeat(MAX_HASHES));
    check(&good.replace("index 1\n", &long), 3 + MAX_HASHES);
    check(
        &format!("{good}{}", "x".repeat(MAX_NOTE + 2 * MAX_EXTRA)),
        1,
    );
}

#[test]
fn a_refusal_names_the_lines_that_do_not_prove_the_entry() {
    let log = Log::new(300);
    let mut receipt = receipt(&log, 41);
    receipt.extra = Some(log.entries[41].clone());
    let text = receipt.to_string();
    let refuse = |text: &str, code: &str, expected: &str| {
        let (receipt, keys): (TlogProof, _) = (text.parse().unwrap(), Log::keys());
        let error = receipt.verify(receipt.entry().unwrap(), &keys).unwrap_err();
        assert_eq!(error.code(), code);
        assert!(error.to_string().contains(expected), "{error}");
    };
    let other = text.replace("index 41", "index 42");
    refuse(&other, "ledger-proof-wrong", "from line 3 on");
    let outside = text.replace("index 41", "index 300");
    refuse(&outside, "ledger-proof-out-of-range", "from line 3 on");
    let (head, note) = text.split_once("\n\n").unwrap();
    let shorter = head.rsplit_once('\n').unwrap().0;
    refuse(
        &format!("{shorter}\n\n{note}"),
        "ledger-proof-length",
        "line 3",
    );
    // 300 entries: nine hashes, so that the checkpoint begins on line 14.
    let first = head.lines().count() + 2;
    let cut = &text[..text.len() - 8];
    refuse(
        cut,
        "ledger-note-malformed",
        &format!("from line {first} on"),
    );
    let resized = text.replace("\n300\n", "\n301\n");
    refuse(&resized, "ledger-signature-wrong", &format!("line {first}"));
}

#[test]
fn a_receipt_is_checked_under_a_policy() {
    let log = Log::new(5);
    let receipt = receipt(&log, 3);
    let policy = |quorum: &str| {
        let witness = crate::cosignature::Cosigner::from_seed("witness.acme.example", &[3; 32]);
        let (log, witness) = (&Log::keys()[0], witness.unwrap());
        let text = format!(
            "log {log}\nwitness w {}\nquorum {quorum}\n",
            witness.verifier_key()
        );
        TlogPolicy::parse(text.as_bytes()).unwrap()
    };
    receipt
        .verify_under(&log.entries[3], &policy("none"))
        .unwrap();
    let error = receipt
        .verify_under(&log.entries[3], &policy("w"))
        .unwrap_err();
    assert_eq!(error.code(), "ledger-no-quorum");
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
