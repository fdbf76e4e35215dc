//! Clocks that are set ahead, and back again: they put no review of the log off.

use super::*;

const AHEAD: i64 = 50 * 365 * DAY;

/// The clock is put right again, and that is seen.
fn set_back(acme: &mut Acme, hours: i64) {
    let expected = acme.now;
    acme.wait(-hours);
    let found = acme.now;
    acme.act(
        "clock",
        "steps",
        Command::RecordClockStep { expected, found },
    );
}

/// One person asks for more reviews while the clock is ahead: none is put off, though nobody else was asked.
#[test]
fn asking_for_more_while_the_clock_is_ahead_puts_nothing_off() {
    let mut acme = reviewed();
    let before = state(&acme).next.unwrap();
    acme.wait(AHEAD);
    acme.quietly(|acme| {
        let asked = asked("risk", 29, 7, Grade::Recorded);
        assert!(acme.act("ada", "asks for more", asked.into()));
    });
    // It was due in 29 or in 30 days, as the clock stood when it was asked for.
    assert!(state(&acme).next.unwrap() <= before);
    acme.wait(-AHEAD + 30 * DAY);
    look(&mut acme);
    assert!(state(&acme).open.is_some());
}

/// Who signs while the clock is ahead, or lets a review become due then, has put off nothing once it is put right.
#[test]
fn what_was_signed_while_the_clock_was_ahead_is_due_at_once() {
    let month = SignedDuration::from_hours(30 * DAY);
    let mut acme = reviewed();
    acme.wait(AHEAD);
    acme.quietly(|acme| acme.submit("dora", "2", manifest("w2", "p1", "d1")));
    let signed = signature(sign_all(&mut acme, "cleo"));
    assert_eq!(signed.next, acme.now + month);
    set_back(&mut acme, AHEAD);
    let open = state(&acme).open.unwrap();
    assert_eq!(open.since, acme.now);
    acme.wait(7 * DAY);
    look(&mut acme);
    assert_eq!(state(&acme).open.unwrap().missed, 1);
    assert_eq!(
        signature(sign_all(&mut acme, "cleo")).next,
        acme.now + month
    );

    // Told as missed hundreds of times: told again in time, and how often it is true.
    acme.wait(AHEAD);
    look(&mut acme);
    look(&mut acme);
    assert!(state(&acme).open.unwrap().missed > 600);
    set_back(&mut acme, AHEAD - 31 * DAY);
    let open = state(&acme).open.unwrap();
    assert!(open.since <= acme.now);
    acme.wait(7 * DAY);
    look(&mut acme);
    assert_eq!(state(&acme).open.unwrap().missed, 1);
}

/// A step back that put off nothing asks for nothing.
#[test]
fn a_small_step_of_the_clock_is_no_review() {
    let mut acme = reviewed();
    let before = state(&acme);
    acme.wait(DAY);
    set_back(&mut acme, 1);
    assert_eq!(state(&acme), before);
    signature(sign_all(&mut acme, "cleo"));
    let signed = state(&acme);
    set_back(&mut acme, 1);
    assert_eq!(state(&acme), signed);
    acme.wait(30 * DAY);
    look(&mut acme);
    let due = state(&acme);
    set_back(&mut acme, 20);
    assert_eq!(state(&acme), due);
}

/// A clock that was set ahead for one entry would put the next review off for a lifetime.
#[test]
fn a_clock_set_ahead_puts_nothing_off() {
    let mut acme = reviewed();
    acme.wait(50 * 365 * DAY);
    acme.quietly(|acme| acme.submit("dora", "2", manifest("w2", "p1", "d1")));
    acme.wait(-50 * 365 * DAY);
    let signed = signature(sign_all(&mut acme, "cleo"));
    assert!(signed.until > acme.now);
    let month = SignedDuration::from_hours(30 * DAY);
    assert_eq!(signed.next, acme.now + month);
    acme.govern("ada", "ends it", ended());
    acme.quietly(|acme| {
        let asked = asked("risk", 30, 7, Grade::Recorded);
        assert!(acme.act("ada", "asks again", asked.into()));
    });
    assert_eq!(state(&acme).next, Some(acme.now + month));
}
