use proptest::prelude::*;

use super::*;
use crate::fixture::{Log, ORIGIN, signer};
use crate::note::NoteSigner;
use crate::proof::consistency;

/// What the log of `size` entries asks of a witness that it believes saw `old` of them.
fn request(size: u64, old: u64) -> AddCheckpoint {
    let log = Log::new(size);
    AddCheckpoint {
        old,
        proof: consistency(old, size, &log.hashes).unwrap(),
        checkpoint: log.note().to_string(),
    }
}

fn seen(size: u64) -> Seen {
    let root = *Log::new(size).checkpoint().root();
    Seen { size, root }
}

#[test]
fn what_continues_is_cosigned_and_nothing_else() {
    for (old, new) in [
        (0, 1),
        (0, 7),
        (1, 7),
        (7, 7),
        (4, 8),
        (255, 257),
        (256, 300),
        (1, 300),
    ] {
        let text = request(new, old).to_string();
        let asked: AddCheckpoint = text.parse().unwrap();
        assert_eq!(asked.to_string(), text);
        assert_eq!(asked.origin(), Ok(ORIGIN));
        let keys = Log::keys();
        let opened = asked.judge(seen(old), &keys).unwrap();
        assert_eq!(opened.checkpoint, Log::new(new).checkpoint());
    }
}

#[test]
fn each_refusal_has_the_status_of_the_protocol() {
    #[track_caller]
    fn check(asked: &AddCheckpoint, seen: Seen, keys: &[VerifierKey], status: u16) {
        let refusal = asked.judge(seen, keys).unwrap_err();
        assert_eq!(refusal.status(), status, "{refusal}");
    }
    let keys = Log::keys();
    check(&request(7, 4), seen(4), &[], 403);
    let stranger = NoteSigner::from_seed(ORIGIN, &[8; 32]).unwrap();
    check(
        &request(7, 4),
        seen(4),
        &[stranger.verifier_key().clone()],
        403,
    );
    let mut forged = request(7, 4);
    forged.checkpoint = forged.checkpoint.replacen("\n7\n", "\n8\n", 1);
    check(&forged, seen(4), &keys, 403);
    check(&request(7, 4), seen(5), &keys, 409);
    check(&request(7, 0), seen(4), &keys, 409);
    let mut shrinks = request(7, 4);
    shrinks.old = 8;
    check(&shrinks, seen(8), &keys, 400);
    // Another history of the same length, with and without a proof.
    let other = Seen {
        size: 4,
        root: seen(5).root,
    };
    check(&request(7, 4), other, &keys, 422);
    let other = Seen {
        size: 7,
        root: seen(5).root,
    };
    check(&request(7, 7), other, &keys, 422);
    let mut cut = request(300, 256);
    cut.proof.pop();
    check(&cut, seen(256), &keys, 422);
    let mut more = request(7, 0);
    more.proof.push(EMPTY_ROOT);
    check(&more, Seen::NOTHING, &keys, 422);
    // A size of 0 has one root.
    let empty = Checkpoint::new(ORIGIN, 0, seen(5).root).unwrap();
    let empty = AddCheckpoint {
        old: 0,
        proof: Vec::new(),
        checkpoint: empty.sign(&signer()).unwrap().to_string(),
    };
    check(&empty, Seen::NOTHING, &keys, 422);
}

#[test]
fn malformed_requests_are_refused_by_line() {
    let good = request(7, 4).to_string();
    let check = |text: &str, at: usize| match text.parse::<AddCheckpoint>() {
        Err(Refusal::Malformed { line, .. }) => assert_eq!(line, at, "{text}"),
        other => panic!("{other:?} for {text}"),
    };
    check("", 1);
    check(&good.replace("old 4", "old 04"), 1);
    check(&good.replace("old 4", "old -4"), 1);
    check(&good.replace("old 4", "new 4"), 1);
    check(&good.replacen("=\n", "\n", 1), 2);
    check(&good.replacen("\n\n", "\n", 2), 1);
    let hash = EMPTY_ROOT.to_base64();
    let many = format!("old 4\n{}\n\n", vec![hash; 64].join("\n"));
    check(&many, 65);
    check(&"x".repeat(MAX_REQUEST + 1), 1);
    let nameless: AddCheckpoint = "old 0\n\n\nrest".parse().unwrap();
    assert_eq!(nameless.origin().unwrap_err().status(), 400);
}

proptest! {
    #[test]
    fn no_bytes_panic_and_no_changed_request_is_taken(at in 0..400usize, put: char) {
        let good = request(7, 4);
        let text = good.to_string();
        let at = (0..=at.min(text.len() - 1)).rev().find(|n| text.is_char_boundary(*n)).unwrap_or(0);
        let end = at + text[at..].chars().next().map_or(0, char::len_utf8);
        let changed = format!("{}{put}{}", &text[..at], &text[end..]);
        if let Ok(asked) = changed.parse::<AddCheckpoint>()
            && asked != good
        {
            prop_assert!(asked.judge(seen(4), &Log::keys()).is_err(), "{changed}");
        }
    }
}
