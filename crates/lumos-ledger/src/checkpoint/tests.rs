use proptest::prelude::*;

use super::*;
use crate::fixture::{Log, ORIGIN, signer};
use crate::tree::EMPTY_ROOT;

const ROOT: &str = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";

#[test]
fn the_text_has_three_lines() {
    let checkpoint = Checkpoint::new(ORIGIN, 20_852_163, EMPTY_ROOT).unwrap();
    let text = format!("{ORIGIN}\n20852163\n{ROOT}\n");
    assert_eq!(checkpoint.to_string(), text);
    assert_eq!(text.parse(), Ok(checkpoint));
    let theirs = tlog_tiles::Checkpoint::from_bytes(text.as_bytes()).unwrap();
    assert_eq!((theirs.origin(), theirs.size()), (ORIGIN, 20_852_163));
    let foreign: Checkpoint = format!("{text}extra\n").parse().unwrap();
    assert_eq!(foreign.extensions(), ["extra"]);
    assert_eq!(foreign.to_string(), format!("{text}extra\n"));
}

#[test]
fn malformed_texts_are_refused() {
    fn check(text: &str) {
        let error = text.parse::<Checkpoint>().unwrap_err();
        assert_eq!(error.code(), "ledger-checkpoint-malformed", "{text:?}");
    }
    for text in ["", "\n", "a\n", "a\n1\n", "\n\n\n"] {
        check(text);
    }
    for size in [
        "",
        "01",
        "+1",
        "-1",
        "1 ",
        "0x1",
        "9223372036854775808",
        "99999999999999999999",
    ] {
        check(&format!("a\n{size}\n{ROOT}\n"));
    }
    check(&format!("a\n1\n{ROOT}"));
    check(&format!("\n1\n{ROOT}\n"));
    check(&format!("a\n1\n{ROOT}\n\n"));
    check(&format!("a\n1\n{}\n", &ROOT[4..]));
    check(&format!("a\n1\n{}V=\n", &ROOT[..42]));
    assert!(Checkpoint::new("a\nb", 1, EMPTY_ROOT).is_err());
}

#[test]
fn only_the_log_itself_can_sign_for_its_origin() {
    let log = Log::new(3);
    let bytes = log.note().to_string().into_bytes();
    let keys = Log::keys();
    assert_eq!(
        Checkpoint::open(&bytes, &keys).unwrap().checkpoint,
        log.checkpoint()
    );
    let elsewhere = Checkpoint::new("lumos.acme.example/test", 3, EMPTY_ROOT).unwrap();
    assert!(matches!(elsewhere.sign(&signer()), Err(Error::NotByLog(_))));
    // A trusted key under another name signs a checkpoint of this origin: it does not speak for it.
    let text = elsewhere.to_string();
    let note = Note::new(text.clone(), vec![signer().sign(&text)]).unwrap();
    let error = Checkpoint::open(note.to_string().as_bytes(), &keys).unwrap_err();
    assert_eq!(error, Error::NotByLog("lumos.acme.example/test".to_owned()));
}

proptest! {
    #[test]
    fn checkpoints_survive(origin in "[a-z./ é]{1,40}", size in 0..=MAX_SIZE, root: [u8; 32]) {
        let checkpoint = Checkpoint::new(&origin, size, Hash::new(root)).unwrap();
        prop_assert_eq!(checkpoint.to_string().parse(), Ok(checkpoint));
    }

    #[test]
    fn arbitrary_text_never_panics(text in "([a-z]{0,3}\n)?([0-9]{0,22}\n)?(.*\n){0,3}", any: Vec<u8>) {
        if let Ok(checkpoint) = text.parse::<Checkpoint>() {
            prop_assert_eq!(checkpoint.to_string(), text);
        }
        prop_assert!(Checkpoint::open(&any, &Log::keys()).is_err());
    }
}
