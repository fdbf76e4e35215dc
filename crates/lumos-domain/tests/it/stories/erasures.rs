//! Erasing somebody who left: what keeps their name, for how long, who decides, and what goes when it goes.

use std::collections::BTreeSet;

use lumos_domain::{
    Command, Event, Stream,
    actor::Actor,
    erasure::{ERASURE, kept, names},
    id::PersonId,
    proposal::Governed,
    retention::{HoldScope, SetHold, SetRetention},
    words::{RecordClass, Verdict},
};

use super::told;
use crate::acme::{Acme, claim, manifest, name, release, review, sealed};

fn erase(who: &str) -> Governed {
    Governed::ErasePerson {
        person: name(who),
        reason: sealed("a letter"),
    }
}

fn keep(class: RecordClass, days: u32) -> Governed {
    Governed::SetRetention(SetRetention {
        class,
        days,
        reason: sealed("by counsel"),
    })
}

fn hold(id: &str, scope: &str) -> Command {
    Command::SetHold(SetHold {
        hold: name(id),
        scope: HoldScope::try_from(scope.to_owned()).unwrap(),
        reason: sealed("a lawsuit"),
    })
}

fn lift(id: &str) -> Governed {
    Governed::LiftHold {
        hold: name(id),
        reason: sealed("settled"),
    }
}

fn due(who: &str) -> Command {
    let stream = Stream::Person(name(who));
    let key = ERASURE.to_owned();
    Command::TimerDue { stream, key }
}

fn suspend(acme: &mut Acme, who: &str) {
    let suspend = Command::SuspendPerson {
        person: name(who),
        reason: sealed("left"),
    };
    acme.quietly(|acme| assert!(acme.act("ada", "suspends", suspend)));
}

/// `ada` proposes, `emil` has the right to confirm nothing, `sara` governs.
#[test]
fn it_takes_two_and_never_the_one_it_is_about() {
    let mut acme = Acme::new();
    acme.act("ada", "erases finn", erase("finn").into());
    suspend(&mut acme, "finn");
    acme.act("dora", "erases finn", erase("finn").into());
    acme.act("ada", "erases herself", erase("ada").into());
    acme.act("robot", "erases finn", erase("finn").into());
    acme.act("clock", "looks", due("finn"));
    acme.govern("ada", "erases finn", erase("finn"));
    acme.act("clock", "looks", due("finn"));
    told(
        &acme,
        r"
        ada erases finn
          no, still-active: this account can still act; suspend it first, then ask that it be erased
        dora erases finn
          no, not-allowed: this needs the right `manage-people`, which the caller does not hold here; ask someone with `manage-people` to grant a role that carries it
        ada erases herself
          no, own-erasure: nobody asks for their own erasure here; somebody else who holds `manage-people` does, and a second person confirms
        robot erases finn
          no, not-a-person: only a signed-in person can do this; agents and services never sign
        clock looks
          nothing to do
        ada erases finn
          proposal proposal.made: by ada, until 2026-03-16T09:00:00Z
        sara confirms
          person/finn erasure.requested: looked at 2033-03-02T09:00:00Z, person/finn is kept until 2033-03-02T09:00:00Z
          proposal proposal.confirmed: first ada
        clock looks
          nothing to do
        ",
    );
}

#[test]
fn it_waits_for_the_last_period_and_for_every_hold() {
    let mut acme = Acme::running();
    suspend(&mut acme, "ben");
    acme.act("dora", "holds triage", hold("h1", "model/triage"));
    acme.act("sara", "holds a misspelt model", hold("h1", "model/triaje"));
    acme.act("sara", "holds triage", hold("h1", "model/triage"));
    acme.act("sara", "lifts it", lift("h1").into());
    acme.govern("ada", "erases ben", erase("ben"));
    acme.wait(30 * 24);
    acme.act("clock", "looks", due("ben"));
    acme.govern("ada", "lifts it", lift("h1"));
    acme.wait(30 * 24);
    acme.act("clock", "looks", due("ben"));
    // One may lengthen a period, two shorten it.
    acme.act(
        "sara",
        "keeps decisions longer",
        keep(RecordClass::Decision, 4_000).into(),
    );
    acme.act(
        "sara",
        "keeps decisions",
        keep(RecordClass::Decision, 30).into(),
    );
    acme.wait(2_557 * 24);
    acme.act("clock", "looks", due("ben"));
    acme.wait(1_443 * 24);
    acme.act("clock", "looks", due("ben"));
    acme.act("clock", "looks", due("ben"));
    acme.act("ada", "erases ben", erase("ben").into());
    told(
        &acme,
        r"
        dora holds triage
          no, not-allowed: this needs the right `govern`, which the caller does not hold here; ask someone with `manage-people` to grant a role that carries it
        sara holds a misspelt model
          no, unknown-thing: there is no thing to hold `model/triaje`
        sara holds triage
          org hold.set: model/triage
        sara lifts it
          proposal proposal.made: by sara, until 2026-03-16T09:00:00Z
        ada erases ben
          proposal proposal.made: by ada, until 2026-03-16T09:00:00Z
        sara confirms
          person/ben erasure.requested: looked at 2026-04-01T09:00:00Z, review/triage/1/production/1 is held by h1
          proposal proposal.confirmed: first ada
        - 720 hours later
        clock looks
          person/ben erasure.postponed: looked at 2026-05-01T09:00:00Z, review/triage/1/production/1 is held by h1
        ada lifts it
          proposal proposal.made: by ada, until 2026-04-15T09:00:00Z
        sara confirms
          org hold.lifted
          proposal proposal.confirmed: first ada
        - 720 hours later
        clock looks
          person/ben erasure.postponed: looked at 2033-04-01T09:00:00Z, review/triage/1/production/1 is kept until 2033-04-01T09:00:00Z
        sara keeps decisions longer
          org retention.set: decision 4000 days, was 2557
        sara keeps decisions
          proposal proposal.made: by sara, until 2026-05-15T09:00:00Z
        - 61368 hours later
        clock looks
          person/ben erasure.postponed: looked at 2037-03-14T09:00:00Z, review/triage/1/production/1 is kept until 2037-03-14T09:00:00Z
        - 34632 hours later
        clock looks
          person/ben erasure.carried_out: 5 values
        clock looks
          nothing to do
        ada erases ben
          no, erased-person: this person was erased; nothing can be changed about the account any more
        ",
    );
}

#[test]
fn what_is_in_effect_keeps_the_name_of_whoever_set_it() {
    let mut acme = Acme::new();
    let ask = |acme: &Acme, who: &str| {
        let id: PersonId = name(who);
        let all = acme.ledger.answer(|world| kept(world, &id, acme.now));
        let all = all.unwrap().into_iter();
        let lines =
            all.map(|kept| format!("{} {} {:?}", kept.record, kept.class, kept.until.is_some()));
        lines.collect::<Vec<_>>()
    };
    // `otto` owns the data of triage; `ada` owns it and the ward, and is a founder.
    let of_otto = ask(&acme, "otto");
    assert!(
        of_otto.contains(&"model/triage technical-file false".to_owned()),
        "{of_otto:?}"
    );
    let of_ada = ask(&acme, "ada");
    assert!(
        of_ada.contains(&"system/ward governance false".to_owned()),
        "{of_ada:?}"
    );
    assert!(
        of_ada.contains(&"org governance true".to_owned()),
        "{of_ada:?}"
    );
    // An open review keeps whoever signed in it, a closed one only for its period.
    acme.quietly(|acme| {
        acme.submit("dora", "1", manifest("w1", "p1", "d1"));
        acme.report("1", |_| {});
        acme.sign("ben", "1", Verdict::Approve);
    });
    let of_ben = ask(&acme, "ben");
    assert!(
        of_ben.contains(&"review/triage/1/production/1 decision false".to_owned()),
        "{of_ben:?}"
    );
    acme.quietly(|acme| acme.sign("emil", "1", Verdict::Reject));
    let of_ben = ask(&acme, "ben");
    assert!(
        of_ben.contains(&"review/triage/1/production/1 decision true".to_owned()),
        "{of_ben:?}"
    );
    assert!(ask(&acme, "dora").contains(&"release/triage/1 technical-file true".to_owned()));
}

/// Of every event ever written: whoever it names is found, or is named by an erasure or a hold, which are no records
/// of whom they are about.
#[test]
fn nobody_is_overlooked() {
    const PEOPLE: [&str; 8] = ["ada", "ben", "cleo", "dora", "emil", "otto", "p-1", "p-ada"];
    fn people(value: &serde_json::Value, into: &mut BTreeSet<String>) {
        match value {
            serde_json::Value::String(text) if PEOPLE.contains(&text.as_str()) => {
                into.insert(text.clone());
            }
            serde_json::Value::Array(items) => items.iter().for_each(|item| people(item, into)),
            serde_json::Value::Object(fields) => {
                for item in fields.values() {
                    people(item, into);
                }
            }
            _ => {}
        }
    }
    let mut named = 0;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/events");
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let event = Event::decode(stem.split('@').next().unwrap(), &text).unwrap();
        let mut told = BTreeSet::new();
        people(&serde_json::from_str(&text).unwrap(), &mut told);
        if stem.ends_with("@erase_person") {
            told.remove("p-1");
        }
        let found = names(&Actor::Clock, &event).into_iter().map(String::from);
        let found: BTreeSet<String> = found.collect();
        assert!(told.is_subset(&found), "{stem}: {told:?}, found {found:?}");
        named += found.len();
    }
    assert!(named > 12, "{named}");
}

/// What goes: the account, the name in a registry's claim, their own words. What stays: what others said, and what
/// they said about a thing that goes on.
#[test]
fn a_person_goes_with_their_words_and_claims_and_nothing_else() {
    let mut acme = Acme::new();
    acme.quietly(|acme| {
        acme.submit_as("scanner", "1", manifest("w1", "p1", "d1"), |facts| {
            facts.claims = vec![claim("Ben B. of the data team")];
        });
        let take = |release| Command::ClaimAuthorship { release, claim: 1 };
        assert!(acme.act("dora", "claims", take(release("1"))));
        acme.report("1", |_| {});
        for who in ["ben", "dora"] {
            let remark = Command::Remark {
                review: review("1", "production", 1),
                text: sealed(&format!("{who} was here")),
            };
            assert!(acme.act(who, "remarks", remark));
        }
        let hides = Command::WithdrawRelease {
            release: release("1"),
            reason: sealed("not his to withdraw"),
        };
        assert!(!acme.act("ben", "hides", hides));
    });
    let of = |who: &str| acme.ledger.records(&name(who)).values().clone();
    let (ben, dora) = (of("ben"), of("dora"));
    for (text, is_bens, is_doras) in [
        ("ben", true, false),
        ("ben@acme.example", true, false),
        ("ben was here", true, false),
        ("dora", false, true),
        ("dora was here", false, true),
        ("Ben B. of the data team", false, true),
        ("sorts incoming letters", false, false),
        ("little harm", false, false),
        ("starter", false, false),
    ] {
        let sealed = sealed(text);
        assert_eq!(
            (ben.contains(&sealed), dora.contains(&sealed)),
            (is_bens, is_doras),
            "{text}"
        );
    }
    assert!(acme.ledger.records(&name("nobody")).values().is_empty());
}

#[test]
fn it_can_be_taken_back_and_asked_for_again_but_not_hurried() {
    let mut acme = Acme::new();
    suspend(&mut acme, "finn");
    acme.quietly(|acme| acme.govern("ada", "erases finn", erase("finn")));
    let withdraw = || Command::WithdrawErasure {
        person: name("finn"),
        reason: sealed("a mistake"),
    };
    acme.act("dora", "takes it back", withdraw());
    acme.act("ada", "takes it back", withdraw());
    acme.act("ada", "takes it back", withdraw());
    acme.wait(3_000 * 24);
    acme.act("clock", "looks", due("finn"));
    acme.act("ada", "looks", due("finn"));
    told(
        &acme,
        r"
        dora takes it back
          no, not-allowed: this needs the right `manage-people`, which the caller does not hold here; ask someone with `manage-people` to grant a role that carries it
        ada takes it back
          person/finn erasure.withdrawn
        ada takes it back
          no, unknown-thing: there is no waiting erasure of person `finn`
        - 72000 hours later
        clock looks
          nothing to do
        ada looks
          no, not-allowed: this needs the right `govern`, which the caller does not hold here; ask someone with `manage-people` to grant a role that carries it
        ",
    );
}
