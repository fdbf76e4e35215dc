//! The settings of the house: modes, tokens, stopping, and what no setting may say.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use lumos_domain::{
    Command,
    actor::{Caller, Right},
    facts::ModeScope,
    org::SetMode,
    person::IssueToken,
    proposal::Governed,
    rules::Gate,
    words::{Depth, Mode},
};

use super::told;
use crate::acme::{Acme, bundle, caller, gate, name, rules, sealed};

#[test]
fn observing_needs_an_end_within_ninety_days() {
    let mut acme = Acme::new();
    let start = acme.now;
    let mut set = |hours: Option<i64>| {
        let mode = SetMode {
            scope: ModeScope::Every,
            environment: name("production"),
            mode: Mode::Observe,
            until: hours.map(|hours| start + SignedDuration::from_hours(hours)),
            reason: sealed("a first look"),
        };
        acme.govern(
            "ada",
            &format!("observes for {hours:?} hours"),
            Governed::SetMode(mode),
        );
    };
    set(None);
    set(Some(0));
    set(Some(90 * 24 + 1));
    set(Some(90 * 24));
    let mode = |at| {
        let at = start + SignedDuration::from_hours(at);
        acme.ledger
            .answer(|world| Ok(world.org()?.mode(&name("ward"), &name("production"), at)))
    };
    assert_eq!(mode(90 * 24 - 1), Ok(Mode::Observe));
    assert_eq!(mode(90 * 24), Ok(Mode::Enforce));
    told(
        &acme,
        r"
        ada observes for None hours
          no, observe-too-long: `observe` needs an end within 90 days, after which the mode is `enforce`
        ada observes for Some(0) hours
          no, observe-too-long: `observe` needs an end within 90 days, after which the mode is `enforce`
        ada observes for Some(2161) hours
          no, observe-too-long: `observe` needs an end within 90 days, after which the mode is `enforce`
        ada observes for Some(2160) hours
          proposal proposal.made: by ada, until 2026-03-16T09:00:00Z
        sara confirms
          org mode.set: observe until 2026-05-31T09:00:00Z
          proposal proposal.confirmed: first ada
        ",
    );
}

#[test]
fn a_token_reaches_no_further_than_it_says() {
    let mut acme = Acme::new();
    let start = acme.now;
    let token = |whose: &str, id: &str, rights: &[Right], days: i64| -> Command {
        Governed::IssueToken(IssueToken {
            person: name(whose),
            token: name(id),
            hash: sealed("secret"),
            rights: rights.iter().copied().collect(),
            purpose: sealed("ci"),
            expires: start + SignedDuration::from_hours(days * 24),
        })
        .into()
    };
    acme.act(
        "dora",
        "asks for ada's",
        token("ada", "t1", &[Right::Read], 1),
    );
    acme.act(
        "ada",
        "asks for dora's",
        token("dora", "t1", &[Right::Read], 1),
    );
    acme.act(
        "dora",
        "asks for robot's",
        token("robot", "t1", &[Right::Read], 1),
    );
    acme.act(
        "dora",
        "asks for orchestrate",
        token("dora", "t1", &[Right::Orchestrate], 1),
    );
    acme.act(
        "dora",
        "asks for none",
        token("dora", "t1", &[Right::Read], 0),
    );
    acme.act(
        "dora",
        "asks for 367 days",
        token("dora", "t1", &[Right::Read], 367),
    );
    acme.act(
        "dora",
        "asks for 366 days",
        token("dora", "t1", &[Right::Read], 366),
    );
    acme.act(
        "dora",
        "asks for the same",
        token("dora", "t1", &[Right::Read], 366),
    );
    acme.act(
        "ada",
        "asks for robot's",
        token("robot", "t2", &[Right::Submit], 1),
    );
    let limited = Caller {
        limited_to: Some(BTreeSet::from([Right::Read])),
        ..caller("ada")
    };
    let publish = Governed::PublishBundle(bundle()).into();
    drop(acme.act_as(&limited, "ada, by a token to read, publishes", publish));
    let more = token("ada", "t3", &[Right::Govern], 1);
    drop(acme.act_as(&limited, "ada, by a token to read, asks for more", more));
    told(
        &acme,
        r"
        dora asks for ada's
          no, bad-token: this token cannot be issued: only the person it acts as can ask for it, signed in
        ada asks for dora's
          no, bad-token: this token cannot be issued: only the person it acts as can ask for it, signed in
        dora asks for robot's
          no, not-allowed: this needs the right `manage-people`, which the caller does not hold here; ask someone with `manage-people` to grant a role that carries it
        dora asks for orchestrate
          no, bad-token: this token cannot be issued: the right `orchestrate` never leaves the process
        dora asks for none
          no, bad-token: this token cannot be issued: it must end within 366 days from now
        dora asks for 367 days
          no, bad-token: this token cannot be issued: it must end within 366 days from now
        dora asks for 366 days
          person/dora token.issued
        dora asks for the same
          no, already-exists: there is already a token `t1`
        ada asks for robot's
          person/robot token.issued
        ada, by a token to read, publishes
          no, not-allowed: this needs the right `publish-policy`, which the caller does not hold here; ask someone with `manage-people` to grant a role that carries it
        ada, by a token to read, asks for more
          no, bad-token: this token cannot be issued: only the person it acts as can ask for it, signed in
        ",
    );
}

#[test]
fn one_person_stops_a_system_and_two_resume_it() {
    let mut acme = Acme::new();
    let resume = || Command::ResumeSystem {
        system: name("ward"),
        reason: sealed("mended"),
    };
    let stop = || Command::StopSystem {
        system: name("ward"),
        reason: sealed("it insults people"),
    };
    acme.act("dora", "stops ward", stop());
    acme.act("cleo", "stops ward", stop());
    acme.act("cleo", "stops ward", stop());
    acme.act("cleo", "resumes ward", resume());
    acme.act("cleo", "resumes ward", resume());
    acme.act("robot", "resumes ward", resume());
    acme.act("sara", "resumes ward", resume());
    told(
        &acme,
        r"
        dora stops ward
          no, not-allowed: this needs the right `operate`, which the caller does not hold here; ask someone with `manage-people` to grant a role that carries it
        cleo stops ward
          system/ward system.stopped
        cleo stops ward
          nothing to do
        cleo resumes ward
          system/ward system.resume_requested
        cleo resumes ward
          no, needs-second-person: this needs a second person; you asked for it yourself
        robot resumes ward
          no, not-a-person: only a signed-in person can do this; agents and services never sign
        sara resumes ward
          system/ward system.resumed
        ",
    );
}

#[test]
fn settings_that_no_calendar_holds_are_refused() {
    let mut acme = Acme::new();
    let mut long = rules();
    long.depths.get_mut(&Depth::Light).unwrap().approval_days = u32::MAX;
    acme.act(
        "ada",
        "approves for ever",
        Governed::SetReviewRules(long).into(),
    );
    let mut late = rules();
    late.depths.get_mut(&Depth::Light).unwrap().overdue_hours = u32::MAX;
    acme.act(
        "ada",
        "never is overdue",
        Governed::SetReviewRules(late).into(),
    );
    let mut never = rules();
    never.escalate_critical_after_hours = u32::MAX;
    acme.act(
        "ada",
        "never escalates",
        Governed::SetReviewRules(never).into(),
    );
    let mut crowd = rules();
    crowd.depths.get_mut(&Depth::Full).unwrap().slots[0].count = u32::MAX;
    acme.act(
        "ada",
        "asks for a crowd",
        Governed::SetReviewRules(crowd).into(),
    );
    let old = Gate {
        report_max_age_days: u32::MAX,
        ..gate("staging", None)
    };
    acme.act("ada", "takes any report", Governed::DefineGate(old).into());
    told(
        &acme,
        r"
        ada approves for ever
          no, bad-rules: these rules cannot work: depth `light` waits more than 3660 days
        ada never is overdue
          no, bad-rules: these rules cannot work: depth `light` waits more than 3660 days
        ada never escalates
          no, bad-rules: these rules cannot work: a critical gap waits more than 3660 days
        ada asks for a crowd
          no, bad-rules: these rules cannot work: depth `full` seats more than 100 people
        ada takes any report
          no, bad-rules: these rules cannot work: a report may be at most 3660 days old
        ",
    );
}
