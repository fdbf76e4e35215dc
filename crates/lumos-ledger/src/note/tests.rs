use proptest::prelude::*;
use signed_note::Verifier as _;

use super::*;

const VKEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
const SIGNATURE: &str = "\u{2014} example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=";

fn known() -> String {
    format!("This is an example message.\n\n{SIGNATURE}\n")
}

fn signer() -> NoteSigner {
    NoteSigner::from_seed("lumos.acme.example/prod", &[7; 32]).unwrap()
}

#[test]
fn the_example_of_the_specification_verifies() {
    let key: VerifierKey = VKEY.parse().unwrap();
    assert_eq!(key.to_string(), VKEY);
    assert_eq!(key.id(), 0x530d_903a);
    let note = Note::parse(known().as_bytes()).unwrap();
    assert_eq!(note.text(), "This is an example message.\n");
    assert_eq!(note.to_string(), known());
    let keys = [key];
    let verified = note.verify(&keys).unwrap();
    assert_eq!(
        verified,
        [Verified {
            key: &keys[0],
            time: None
        }]
    );
}

#[test]
fn malformed_notes_are_refused() {
    fn check(note: impl AsRef<[u8]>) {
        let error = Note::parse(note.as_ref()).unwrap_err();
        assert_eq!(error.code(), "ledger-note-malformed");
    }
    let good = known();
    check("");
    check("\n\n");
    check("text\n\n");
    check("text\n");
    check(&good[..good.len() - 1]);
    check(format!("{good}\n"));
    check(format!("{good}x\n"));
    check(good.replace("example message", "example\rmessage"));
    check(good.replace("example message", "example\u{7f}message"));
    check(good.replace('\u{2014}', "-"));
    check(good.replace("Uw2QO", "Uw2Q!"));
    check(good.replace("aQM=", "aQM"));
    check(good.replace("aQM=", "aQN="));
    check(good.replace("foo Uw", "foo  Uw"));
    check(good.replace("example.com/foo ", "example.com/+foo "));
    check(good.replace("example.com/foo ", " "));
    check("text\n\n\u{2014} name AAAA\n");
    check("text\n\n\u{2014} name AAAAAA==\n");
    check([b"\xff".as_slice(), good.as_bytes()].concat());
    check(format!("{}{good}", "x".repeat(MAX_NOTE)));
    check(format!(
        "t\n\n{}",
        format!("{SIGNATURE}\n").repeat(MAX_SIGNATURES + 1)
    ));
}

#[test]
fn signatures_count_only_when_a_trusted_key_made_them() {
    let key: VerifierKey = VKEY.parse().unwrap();
    let check = |note: &str, keys: &[VerifierKey], code: &str| {
        let error = Note::parse(note.as_bytes())
            .unwrap()
            .verify(keys)
            .unwrap_err();
        assert_eq!(error.code(), code, "{note}");
    };
    check(&known(), &[], "ledger-signature-untrusted");
    check(
        &known(),
        &[signer().verifier_key().clone()],
        "ledger-signature-untrusted",
    );
    let changed = known().replace("This is", "That is");
    check(
        &changed,
        std::slice::from_ref(&key),
        "ledger-signature-wrong",
    );
    // A good signature does not outweigh a bad one by another trusted key.
    let text = changed.split_once("\n\n").unwrap().0.to_owned() + "\n";
    let mixed = format!("{changed}{}\n", signer().sign(&text));
    check(
        &mixed,
        &[key.clone(), signer().verifier_key().clone()],
        "ledger-signature-wrong",
    );
    // Nor does an unknown line hurt.
    let with_unknown = format!("{}\u{2014} witness.example AAAAAAAA\n", known());
    let note = Note::parse(with_unknown.as_bytes()).unwrap();
    assert_eq!(note.verify(&[key]).unwrap().len(), 1);
}

#[test]
fn malformed_keys_are_refused() {
    fn check(key: &str) {
        let error = key.parse::<VerifierKey>().unwrap_err();
        assert_eq!(error.code(), "ledger-key-malformed", "{key}");
    }
    check("");
    check("example.com/foo");
    check("example.com/foo+530d903a");
    check(&VKEY.replace("530d903a", "530d903b"));
    check(&VKEY.replace("530d903a", "530D903A"));
    check(&VKEY.replace("example.com/foo", "example.com/bar"));
    check(&VKEY.replace("example.com/foo", ""));
    check(&VKEY.replace("+Aeky", "+Beky"));
    check(&VKEY[..VKEY.len() - 4]);
    check(&format!("{}{VKEY}", "x".repeat(1000)));
    for name in ["", "a b", "a+b", "a\u{a0}b", "a\nb", &"x".repeat(256)] {
        let error = NoteSigner::from_seed(name, &[1; 32]).unwrap_err();
        assert_eq!(error.code(), "ledger-key-malformed", "{name}");
    }
    // The neutral element is a point of small order: every signature would fit it.
    let mut weak = vec![1, 1];
    weak.extend([0; 31]);
    let error = format!("weak+00000000+{}", STANDARD.encode(weak))
        .parse::<VerifierKey>()
        .unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("it is not an Ed25519 public key"),
        "{error}"
    );
}

#[test]
fn foreign_verifiers_accept_our_signatures() {
    let text = "lumos.acme.example/prod\n1\nroot\n";
    let note = Note::new(text.to_owned(), vec![signer().sign(text)]).unwrap();
    let vkey = signer().verifier_key().to_string();
    let theirs = signed_note::StandardVerifier::new(&vkey).unwrap();
    assert_eq!(theirs.key_id(), signer().verifier_key().id());
    let keys = signed_note::VerifierList::new(vec![Box::new(theirs)]);
    let parsed = signed_note::Note::from_bytes(note.to_string().as_bytes()).unwrap();
    let (verified, unverified) = parsed.verify(&keys).unwrap();
    assert_eq!((verified.len(), unverified.len()), (1, 0));
    assert!(
        !format!("{:?}", signer()).contains("7, 7"),
        "the seed is never printed"
    );
}

proptest! {
    #[test]
    fn notes_survive(text in "([a-z é]{0,20}\n){1,5}", seed: [u8; 32]) {
        let signer = NoteSigner::from_seed("acme.example", &seed).unwrap();
        let note = Note::new(text.clone(), vec![signer.sign(&text)]).unwrap();
        let parsed = Note::parse(note.to_string().as_bytes()).unwrap();
        prop_assert_eq!(&parsed, &note);
        let keys = [signer.verifier_key().to_string().parse().unwrap()];
        prop_assert_eq!(parsed.verify(&keys).unwrap().len(), 1);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>, text in ".*", cut in 0usize..140, put: u8) {
        let mut changed = known().into_bytes();
        let at = cut % changed.len();
        changed[at] = put;
        for bytes in [bytes, changed] {
            if let Ok(note) = Note::parse(&bytes) {
                prop_assert_eq!(note.to_string().into_bytes(), bytes);
            }
        }
        if let Ok(key) = text.parse::<VerifierKey>() {
            prop_assert_eq!(key.to_string(), text.clone());
        }
        drop(SignatureLine::parse(&text));
    }
}
