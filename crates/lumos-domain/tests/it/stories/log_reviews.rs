//! Whether somebody reads the log: when it is due, who signs for which entries, and what nobody gets away with.

use jiff::SignedDuration;
use lumos_domain::{
    Command, Event, Stream,
    actor::{Caller, Right},
    event::LogReviewed,
    id::Digest,
    log_review::{LOG_REVIEW, LogReview, Schedule, SetLogReview, SignLogReview, Span},
    proposal::Governed,
    refusal::Refusal,
    words::{Finding, Grade},
    world::Decided,
};

use super::told;
use crate::acme::{Acme, caller, manifest, name, sealed};

mod clock;

const DAY: i64 = 24;

fn asked(role: &str, every_days: u32, within_days: u32, grade: Grade) -> Governed {
    let schedule = Schedule {
        role: name(role),
        every_days,
        within_days,
        grade,
    };
    Governed::SetLogReview(SetLogReview {
        schedule: Some(schedule),
        reason: sealed("a rule of the house"),
    })
}

fn ended() -> Governed {
    Governed::SetLogReview(SetLogReview {
        schedule: None,
        reason: sealed("who reads logs"),
    })
}

/// Acme, where risk examines the log every 30 days; `ada` asked for it.
fn reviewed() -> Acme {
    let mut acme = Acme::new();
    acme.quietly(|acme| {
        let asked = asked("risk", 30, 7, Grade::Recorded);
        assert!(acme.act("ada", "asks for reviews of the log", asked.into()));
    });
    acme
}

fn look(acme: &mut Acme) {
    let (stream, key) = (Stream::LogReview, LOG_REVIEW.to_owned());
    acme.act("clock", "looks", Command::TimerDue { stream, key });
}

fn state(acme: &Acme) -> LogReview {
    let state = acme.ledger.answer(|world| Ok(world.log_review()?.clone()));
    state.unwrap()
}

/// What somebody signs who was shown everything from where the last range ended.
fn shown(acme: &Acme) -> SignLogReview {
    up_to(acme, acme.ledger.size())
}

fn up_to(acme: &Acme, size: u64) -> SignLogReview {
    let from = state(acme).examined;
    SignLogReview {
        from,
        size,
        root: acme.ledger.examined(Span { from, size }).root(),
        record: acme.ledger.examined(Span { from, size }).record(),
        finding: Finding::Nothing,
        reason: sealed("I looked at every change of people and rules"),
    }
}

fn sign(acme: &mut Acme, who: &str, sign: SignLogReview) -> Result<Decided, Refusal> {
    let what = format!("{who} signs for the log");
    acme.act_as(&caller(who), &what, Command::SignLogReview(sign))
}

/// Signs for everything there is.
fn sign_all(acme: &mut Acme, who: &str) -> Result<Decided, Refusal> {
    let all = shown(acme);
    sign(acme, who, all)
}

fn sign_to(acme: &mut Acme, who: &str, size: u64) -> Result<Decided, Refusal> {
    let range = up_to(acme, size);
    sign(acme, who, range)
}

fn code(answer: Result<Decided, Refusal>) -> &'static str {
    answer.expect_err("it is refused").code()
}

fn signature(answer: Result<Decided, Refusal>) -> LogReviewed {
    match answer.unwrap().pop() {
        Some((Stream::LogReview, Event::LogReviewed(signed))) => signed,
        other => panic!("{other:?}"),
    }
}

#[test]
fn it_becomes_due_overdue_and_is_signed() {
    let mut acme = reviewed();
    look(&mut acme);
    acme.wait(30 * DAY);
    look(&mut acme);
    look(&mut acme);
    acme.wait(7 * DAY);
    look(&mut acme);
    acme.wait(30 * DAY);
    look(&mut acme);
    drop(sign_all(&mut acme, "cleo"));
    told(
        &acme,
        r"
        clock looks
          nothing to do
        - 720 hours later
        clock looks
          log-review log_review.due: since 2026-04-01T09:00:00Z, overdue 2026-04-08T09:00:00Z
        clock looks
          nothing to do
        - 168 hours later
        clock looks
          log-review log_review.overdue: 1 missed, again 2026-05-08T09:00:00Z
        - 720 hours later
        clock looks
          log-review log_review.overdue: 2 missed, again 2026-06-07T09:00:00Z
        cleo signs for the log
          log-review log_review.signed: cleo 0 to 38, nothing-found, recorded, next 2026-06-07T09:00:00Z
        ",
    );
    assert_eq!(state(&acme).open, None);
}

/// A server that was down for half a year says once what was missed.
#[test]
fn a_long_silence_is_one_entry() {
    let mut acme = reviewed();
    acme.wait(200 * DAY);
    look(&mut acme);
    look(&mut acme);
    look(&mut acme);
    look(&mut acme);
    told(
        &acme,
        r"
        - 4800 hours later
        clock looks
          log-review log_review.due: since 2026-04-01T09:00:00Z, overdue 2026-04-08T09:00:00Z
        clock looks
          log-review log_review.overdue: 6 missed, again 2026-10-05T09:00:00Z
        clock looks
          nothing to do
        clock looks
          nothing to do
        ",
    );
}

#[test]
fn no_entry_is_left_out_and_none_is_signed_for_twice() {
    let mut acme = reviewed();
    acme.wait(30 * DAY);
    look(&mut acme);
    let first = signature(sign_all(&mut acme, "cleo"));
    assert_eq!((first.from, first.size), (0, acme.ledger.size() - 1));
    // The same again, whoever sends it: the range begins elsewhere now.
    let again = SignLogReview {
        from: 0,
        ..shown(&acme)
    };
    assert_eq!(code(sign(&mut acme, "emil", again)), "log-range");
    acme.quietly(|acme| acme.submit("dora", "2", manifest("w2", "p1", "d1")));
    let good = shown(&acme);
    assert_eq!(good.from, first.size);
    for (from, size) in [
        (good.from + 1, good.size),
        (good.from - 1, good.size),
        (good.from, good.from),
        (good.from, 0),
    ] {
        let skips = SignLogReview {
            from,
            size,
            ..good.clone()
        };
        assert_eq!(code(sign(&mut acme, "cleo", skips)), "log-range", "{from}");
    }
    // A record that was not shown, or of another end.
    let unseen = SignLogReview {
        record: Digest::of(b"never shown"),
        ..good.clone()
    };
    assert_eq!(code(sign(&mut acme, "cleo", unseen)), "stale-record");
    let other_end = SignLogReview {
        size: good.size - 1,
        ..good.clone()
    };
    assert_eq!(code(sign(&mut acme, "cleo", other_end)), "stale-record");
    // Entries that make that record, and are not those that were signed.
    let other_tree = SignLogReview {
        root: Digest::of(b"the root that was signed"),
        ..good.clone()
    };
    let refused = sign(&mut acme, "cleo", other_tree).unwrap_err();
    assert!(
        refused.to_string().contains("changed the database"),
        "{refused}"
    );
    let second = signature(sign(&mut acme, "cleo", good));
    assert_eq!(second.from, first.size);
}

/// Whoever signs a crumb each month has put nothing off: what counts is when the last examined entry was written.
#[test]
fn a_crumb_of_the_log_puts_nothing_off() {
    let mut acme = reviewed();
    acme.wait(29 * DAY);
    acme.quietly(|acme| acme.submit("dora", "2", manifest("w2", "p1", "d1")));
    let before = state(&acme).next;
    let crumb = signature(sign_to(&mut acme, "cleo", 1));
    assert_eq!(Some(crumb.next), before);
    acme.wait(DAY);
    look(&mut acme);
    assert!(state(&acme).open.is_some());
    // Once it is due, the range reaches at least to where it became due.
    let due_at = acme.ledger.size();
    let short = up_to(&acme, due_at - 1);
    assert_eq!(code(sign(&mut acme, "cleo", short)), "log-range");
    let whole = signature(sign_to(&mut acme, "cleo", due_at));
    assert_eq!(whole.next, acme.now + SignedDuration::from_hours(30 * DAY));
}

#[test]
fn nobody_examines_what_they_did_to_the_house() {
    let mut acme = Acme::new();
    acme.quietly(|acme| {
        let asked = asked("compliance", 30, 7, Grade::Recorded);
        // Asking for the first reviews takes one person, who cannot sign for having asked.
        assert!(acme.act("sara", "asks", asked.into()));
    });
    // `ben` only did his work and changed his own password; `emil` confirmed nothing.
    acme.quietly(|acme| {
        acme.submit("dora", "1", manifest("w1", "p1", "d1"));
        acme.report("1", |_| {});
        acme.sign("ben", "1", lumos_domain::words::Verdict::Approve);
        let hash = sealed("a new hash");
        let (person, hash) = (name("ben"), hash);
        acme.act(
            "ben",
            "changes his password",
            Governed::SetCredential { person, hash }.into(),
        );
        // `ada` suspends somebody: she holds the role too.
        let reason = sealed("left");
        let person = name("finn");
        assert!(acme.act("ada", "suspends", Command::SuspendPerson { person, reason }));
    });
    let shown = shown(&acme);
    let refused = sign(&mut acme, "ada", shown.clone()).unwrap_err();
    assert_eq!(refused.code(), "own-acts");
    assert_eq!(signature(sign(&mut acme, "ben", shown)).person, name("ben"));
    // In the next range she did nothing.
    acme.quietly(|acme| acme.submit("dora", "3", manifest("w3", "p1", "d1")));
    let next = self::shown(&acme);
    assert_eq!(signature(sign(&mut acme, "ada", next)).person, name("ada"));
}

/// Both who made a change that needs two did it, however it was done.
#[test]
fn whoever_proposed_did_it_too() {
    let mut acme = reviewed();
    acme.quietly(|acme| {
        acme.govern(
            "ada",
            "asks for fewer reviews",
            asked("admin", 60, 7, Grade::Recorded),
        );
    });
    let shown = shown(&acme);
    let examined = acme.ledger.examined(Span {
        from: 0,
        size: shown.size,
    });
    assert!(examined.act_of(&name("ada")).is_some());
    assert!(examined.act_of(&name("sara")).is_some());
    assert!(examined.act_of(&name("ben")).is_none());
    assert_eq!(code(sign(&mut acme, "ada", shown)), "own-acts");
}

#[test]
fn only_people_of_the_role_sign_as_themselves() {
    let mut acme = reviewed();
    let shown = shown(&acme);
    for (who, code_of) in [
        ("dora", "no-slot"),
        ("sara", "no-slot"),
        ("robot", "not-a-person"),
        ("scanner", "not-a-person"),
        ("clock", "not-a-person"),
    ] {
        assert_eq!(code(sign(&mut acme, who, shown.clone())), code_of, "{who}");
    }
    let with_token = |rights: &[Right]| Caller {
        limited_to: Some(rights.iter().copied().collect()),
        ..caller("cleo")
    };
    let command = Command::SignLogReview(shown);
    let reads = acme.act_as(&with_token(&[Right::Read]), "with a token", command.clone());
    assert_eq!(code(reads), "not-allowed");
    signature(acme.act_as(&with_token(&[Right::Sign]), "with a token", command));
}

#[test]
fn a_better_signature_is_asked_for_where_the_house_says_so() {
    let mut acme = Acme::new();
    acme.quietly(|acme| {
        let asked = asked("risk", 30, 7, Grade::Part11);
        assert!(acme.act("ada", "asks", asked.into()));
    });
    let shown = shown(&acme);
    assert_eq!(
        code(sign(&mut acme, "cleo", shown.clone())),
        "grade-too-low"
    );
    let again = Caller {
        reauthenticated: true,
        ..caller("cleo")
    };
    let signed = acme.act_as(&again, "signs again", Command::SignLogReview(shown));
    assert_eq!(signature(signed).grade, Grade::Part11);
}

#[test]
fn less_of_it_needs_two_and_more_needs_one() {
    let proposed = |acme: &mut Acme, change: Governed| {
        let decided = acme.act_as(&caller("ada"), "asks", change.into()).unwrap();
        matches!(decided[..], [(Stream::Proposal(_), _)])
    };
    for (change, two) in [
        (asked("risk", 14, 7, Grade::Recorded), false),
        (asked("risk", 30, 3, Grade::Recorded), false),
        (asked("risk", 30, 7, Grade::Part11), false),
        (asked("risk", 31, 7, Grade::Recorded), true),
        (asked("risk", 30, 8, Grade::Recorded), true),
        (asked("compliance", 14, 7, Grade::Part11), true),
        (ended(), true),
    ] {
        let mut acme = reviewed();
        assert_eq!(proposed(&mut acme, change.clone()), two, "{change:?}");
    }
    for (who, change, refused) in [
        ("ada", asked("risk", 0, 7, Grade::Recorded), "bad-rules"),
        ("ada", asked("risk", 367, 7, Grade::Recorded), "bad-rules"),
        ("ada", asked("risk", 30, 31, Grade::Recorded), "bad-rules"),
        ("ada", asked("risk", 30, 0, Grade::Recorded), "bad-rules"),
        ("ada", asked("nobody", 30, 7, Grade::Recorded), "bad-rules"),
        ("ben", asked("risk", 14, 7, Grade::Recorded), "not-allowed"),
        (
            "robot",
            asked("risk", 60, 7, Grade::Recorded),
            "not-a-person",
        ),
    ] {
        let mut acme = reviewed();
        assert_eq!(
            code(acme.act_as(&caller(who), "asks", change.into())),
            refused
        );
    }
}

/// Ending it and asking again leaves nothing unexamined, and does not begin a new month of grace.
#[test]
fn an_interruption_leaves_no_gap() {
    let mut acme = reviewed();
    acme.wait(30 * DAY);
    look(&mut acme);
    let first = signature(sign_all(&mut acme, "cleo"));
    acme.govern("ada", "ends it", ended());
    let last = shown(&acme);
    assert_eq!(code(sign(&mut acme, "cleo", last)), "no-log-review");
    acme.wait(90 * DAY);
    look(&mut acme);
    assert_eq!(state(&acme).open, None);
    acme.quietly(|acme| {
        let asked = asked("risk", 30, 7, Grade::Recorded);
        assert!(acme.act("ada", "asks again", asked.into()));
    });
    assert_eq!(state(&acme).next, Some(acme.now));
    look(&mut acme);
    let second = signature(sign_all(&mut acme, "cleo"));
    assert_eq!(second.from, first.size);
}

/// A change while a review is due neither settles it nor hides that it was missed.
#[test]
fn asking_for_more_does_not_settle_what_is_due() {
    let mut acme = reviewed();
    acme.wait(38 * DAY);
    look(&mut acme);
    look(&mut acme);
    let missed = state(&acme).open.unwrap();
    assert_eq!(missed.missed, 1);
    acme.quietly(|acme| {
        let asked = asked("risk", 14, 3, Grade::Recorded);
        assert!(acme.act("ada", "asks for more", asked.into()));
    });
    let open = state(&acme).open.unwrap();
    assert_eq!((open.since, open.missed), (missed.since, 1));
    acme.wait(14 * DAY);
    look(&mut acme);
    assert_eq!(state(&acme).open.unwrap().missed, 2);
}

/// A sandbox has one person.
#[test]
fn alone_in_a_sandbox_one_signs_for_oneself() {
    let mut acme = Acme::founded(true);
    acme.quietly(|acme| {
        let asked = asked("admin", 30, 7, Grade::Recorded);
        assert!(acme.act("ada", "asks", asked.into()));
    });
    let shown = shown(&acme);
    signature(sign(&mut acme, "ada", shown));
}

/// Whoever signed can be erased: their words go, what they signed for stays.
#[test]
fn a_signer_who_was_erased_has_signed() {
    use lumos_domain::{actor::Actor, erasure::names};
    let mut acme = reviewed();
    let signed = signature(sign_all(&mut acme, "cleo"));
    let records = acme.ledger.records(&name("cleo"));
    assert!(records.values().contains(&signed.reason));
    let stream = records
        .of_streams()
        .iter()
        .find(|r| r.stream == Stream::LogReview);
    assert_eq!(stream.unwrap().ended, Some(acme.now));
    let named = names(&Actor::Clock, &Event::from(signed));
    assert_eq!(named, [name("cleo")].into());
    // Whoever asked for reviews that are still asked for has set a rule in force.
    let asker = acme.ledger.records(&name("ada"));
    let stream = asker
        .of_streams()
        .iter()
        .find(|r| r.stream == Stream::LogReview);
    assert_eq!(stream.unwrap().ended, None);
}
