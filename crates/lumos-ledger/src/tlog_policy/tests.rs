use proptest::prelude::*;

use super::*;
use crate::cosignature::Cosigner;
use crate::fixture::Log;
use crate::note::Note;

fn witness(number: u8) -> Cosigner {
    Cosigner::from_seed(&format!("w{number}.example"), &[number; 32]).unwrap()
}

fn log_line() -> String {
    format!("log {}\n", Log::keys()[0])
}

/// Two groups of three, as in the example of the specification.
fn two_groups() -> String {
    let mut text = format!("# whom Acme trusts\n\n  {}", log_line());
    for number in 1..=6 {
        let url = if number == 1 {
            "\thttps://w1.example/"
        } else {
            ""
        };
        text += &format!(
            "witness W{number} {}{url}\n",
            witness(number).verifier_key()
        );
    }
    text + "group X 2 W1 W2 W3\ngroup Y any W4 W5 W6\ngroup X-and-Y all X Y\nquorum X-and-Y\n"
}

/// The log's checkpoint, cosigned by these witnesses.
fn cosigned(by: &[u8]) -> Note {
    let note = Log::new(7).note();
    let text = note.text().to_owned();
    by.iter().fold(note, |note, number| {
        note.with(witness(*number).sign(&text, 1_772_366_400))
            .unwrap()
    })
}

#[test]
fn a_quorum_is_what_the_groups_say() {
    let policy = TlogPolicy::parse(two_groups().as_bytes()).unwrap();
    assert_eq!((policy.logs().len(), policy.witnesses().len()), (1, 6));
    assert_eq!(
        policy.witnesses()[0].url.as_deref(),
        Some("https://w1.example/")
    );
    for (by, valid) in [
        (&[1, 2, 4][..], true),
        (&[2, 3, 6], true),
        (&[1, 2, 3, 4, 5, 6], true),
        (&[], false),
        (&[1, 4, 5, 6], false),
        (&[1, 2, 3], false),
        (&[1, 2, 7], false),
    ] {
        let opened = policy.open(cosigned(by).to_string().as_bytes());
        match (opened, valid) {
            (Ok(opened), true) => assert_eq!(opened.checkpoint.size(), 7),
            (Err(refusal), false) => assert_eq!(refusal.code(), "ledger-no-quorum", "{by:?}"),
            (opened, _) => panic!("{by:?}: {opened:?}"),
        }
    }
}

#[test]
fn no_quorum_asks_for_no_witness_and_an_unknown_log_is_refused() {
    let note = cosigned(&[]).to_string();
    let none = TlogPolicy::parse(format!("{}quorum none", log_line()).as_bytes()).unwrap();
    assert!(none.open(note.as_bytes()).is_ok());
    let empty = TlogPolicy::parse(b"quorum none\n").unwrap();
    let refusal = empty.open(note.as_bytes()).unwrap_err();
    assert_eq!(refusal.code(), "ledger-signature-untrusted");
    let one = format!(
        "{}witness W {}\nquorum W\n",
        log_line(),
        witness(1).verifier_key()
    );
    let one = TlogPolicy::parse(one.as_bytes()).unwrap();
    assert!(one.open(cosigned(&[1]).to_string().as_bytes()).is_ok());
    assert!(one.open(note.as_bytes()).is_err());
}

#[test]
fn malformed_policies_are_refused_by_line() {
    #[track_caller]
    fn check(text: &str, line: usize) {
        let error = TlogPolicy::parse(text.as_bytes()).unwrap_err();
        assert_eq!(error.line, line, "{error}");
        assert_eq!(error.code(), "ledger-policy-malformed");
    }
    let good = two_groups();
    assert!(TlogPolicy::parse(good.as_bytes()).is_ok());
    let (log, w1) = (Log::keys()[0].clone(), witness(1).verifier_key().clone());
    check("", 1);
    check("log\nquorum none\n", 1);
    check("log nothing\nquorum none\n", 1);
    check(&format!("log {w1}\nquorum none\n"), 1);
    check(&format!("log {log}\nlog {log}\nquorum none\n"), 2);
    check(&format!("log {log} https://a b\nquorum none\n"), 1);
    check(&format!("witness W {log}\nquorum none\n"), 1);
    check(&format!("witness W {w1}\nwitness V {w1}\nquorum none\n"), 2);
    check(&format!("witness none {w1}\nquorum none\n"), 1);
    check("quorum W\n", 1);
    check("quorum none\nquorum none\n", 2);
    check("quorum none\r\n", 1);
    check("quorum none\nsurprise\n", 2);
    check(&good.replace("group X 2", "group X 0"), 10);
    check(&good.replace("group X 2", "group X 4"), 10);
    check(&good.replace("group X 2", "group X 02"), 10);
    check(&good.replace("group X 2 W1 W2 W3", "group X 2"), 10);
    check(&good.replace("W1 W2 W3", "W1 W1 W3"), 10);
    check(&good.replace("W4 W5 W6", "W3 W4 W5"), 11);
    check(&good.replace("all X Y", "all X Z"), 12);
    check(&good.replace("all X Y", "all X none"), 12);
    check(&good.replace("group Y", "group X"), 11);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>, at in 0..400usize, put: u8) {
        drop(TlogPolicy::parse(&bytes));
        let mut changed = two_groups().into_bytes();
        let at = at % changed.len();
        changed[at] = put;
        drop(TlogPolicy::parse(&changed));
    }
}
