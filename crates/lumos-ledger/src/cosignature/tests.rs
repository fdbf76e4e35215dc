use super::*;
use crate::checkpoint::Checkpoint;
use crate::fixture::{Log, ORIGIN};
use crate::note::Note;

fn cosigner() -> Cosigner {
    Cosigner::from_seed("witness.example", &[9; 32]).unwrap()
}

#[test]
fn a_witness_signs_time_and_text() {
    assert_eq!(
        message("a\n1\nb\n", 1700),
        "cosignature/v1\ntime 1700\na\n1\nb\n"
    );
    let log = Log::new(5);
    let note = log.note();
    let line = cosigner().sign(note.text(), 1_772_000_000);
    assert_eq!(line.bytes().len(), 72);
    let note = note.with(line).unwrap();
    let keys = [
        Log::keys()[0].clone(),
        cosigner().verifier_key().to_string().parse().unwrap(),
    ];
    let opened = Checkpoint::open(note.to_string().as_bytes(), &keys).unwrap();
    let times: Vec<_> = opened
        .signatures
        .iter()
        .map(|s| (s.key.name(), s.time))
        .collect();
    assert_eq!(
        times,
        [(ORIGIN, None), ("witness.example", Some(1_772_000_000))]
    );
    let alone = Checkpoint::open(note.to_string().as_bytes(), &keys[1..]).unwrap_err();
    assert_eq!(
        alone.code(),
        "ledger-signature-untrusted",
        "a witness alone does not speak for a log"
    );
}

#[test]
fn another_time_text_or_length_is_refused() {
    let text = Log::new(5).note().text().to_owned();
    let good = cosigner().sign(&text, 1000);
    let key = [cosigner().verifier_key().clone()];
    let check = |text: &str, bytes: &[u8], fits: bool| {
        let line = SignatureLine::new(good.name().to_owned(), good.key_id(), bytes.to_vec());
        let note = Note::new(text.to_owned(), vec![line]).unwrap();
        assert_eq!(note.verify(&key).is_ok(), fits);
    };
    check(&text, good.bytes(), true);
    let mut later = good.bytes().to_vec();
    later[7] ^= 1;
    check(&text, &later, false);
    check(&text, &good.bytes()[8..], false);
    check(&text, &good.bytes()[..7], false);
    check("another\n", good.bytes(), false);
}
