//! Agents of others: they look and record what they checked. Whatever roles their account holds, they never decide.

use lumos_domain::{
    Command, Event,
    actor::{Caller, Grant, Right, Scope},
    event::EvidenceRecorded,
    facts::Cause,
    id::Digest,
    outside::DefineOutsideAgent,
    person::{IssueToken, authorise},
    proposal::Governed,
    release::IdentifyRelease,
    retention::{HoldScope, SetHold},
    review::Sign,
    words::{ModelTier, Verdict},
};

use super::told;
use crate::acme::{
    Acme, bundle, caller, gate, manifest, name, release, rules, sealed, triage, ward,
};

fn checker(account: &str, evidence: &[&str]) -> DefineOutsideAgent {
    DefineOutsideAgent {
        agent: name("card-checker"),
        account: name(account),
        evidence: evidence.iter().map(|&kind| kind.to_owned()).collect(),
    }
}

fn review_of(content: &str, kind: &str) -> EvidenceRecorded {
    EvidenceRecorded {
        kind: kind.to_owned(),
        // What is sent says nothing: the rules write the name of who asks.
        producer: "release-scanner".to_owned(),
        digest: Digest::of(content.as_bytes()),
    }
}

fn record(version: &str, kind: &str) -> Command {
    Command::RecordEvidence {
        release: release(version),
        evidence: review_of(&format!("{kind} of {version}"), kind),
    }
}

/// Acme with version 1 submitted, and `robot`, whose role has every right there is, defined as an agent.
fn defined() -> Acme {
    let mut acme = Acme::new();
    acme.quietly(|acme| {
        acme.submit("dora", "1", manifest("w1", "p1", "d1"));
        let define = Governed::DefineOutsideAgent(checker("robot", &["card_review"]));
        acme.govern("ada", "defines the agent", define);
    });
    acme
}

#[test]
fn an_agent_is_what_two_people_say() {
    let mut acme = Acme::new();
    let mut define = |what: &str, define: DefineOutsideAgent| {
        acme.govern("ada", what, Governed::DefineOutsideAgent(define));
    };
    define("makes dora an agent", checker("dora", &["card_review"]));
    define("makes nobody an agent", checker("nobody", &["card_review"]));
    define("lets it scan", checker("robot", &["artifact_scan"]));
    let mut posing = checker("robot", &["card_review"]);
    posing.agent = name("release-scanner");
    define("calls it as LUMOS's own", posing);
    define("lets it review cards", checker("robot", &["card_review"]));
    let mut second = checker("robot", &["tone"]);
    second.agent = name("tone-checker");
    define("makes robot a second agent", second);
    let alone = Governed::DefineOutsideAgent(checker("robot", &["evaluation"]));
    acme.act("robot", "gives itself another kind", alone.into());
    told(
        &acme,
        r"
        ada makes dora an agent
          no, bad-rules: these rules cannot work: an outside agent acts as a service, never as a person
        ada makes nobody an agent
          no, unknown-thing: there is no person `nobody`
        ada lets it scan
          no, bad-rules: these rules cannot work: `artifact_scan` is no kind of evidence that others record
        ada calls it as LUMOS's own
          no, bad-rules: these rules cannot work: `release-scanner` names another producer of evidence
        ada lets it review cards
          proposal proposal.made: by ada, until 2026-03-16T09:00:00Z
        sara confirms
          org outside_agent.defined: card-checker as robot
          proposal proposal.confirmed: first ada
        ada makes robot a second agent
          no, bad-rules: these rules cannot work: this service is the agent `card-checker` already
        robot gives itself another kind
          no, not-allowed: this needs the right `govern`, which the caller does not hold here; ask someone with `manage-people` to grant a role that carries it
        ",
    );
}

#[test]
fn evidence_of_its_kind_is_its_own() {
    let mut acme = defined();
    acme.act("dora", "reviews the card", record("1", "card_review"));
    acme.act("robot", "evaluates", record("1", "evaluation"));
    acme.act("robot", "scans", record("1", "artifact_scan"));
    acme.act("robot", "reviews the card", record("1", "card_review"));
    acme.act("robot", "reviews it again", record("1", "card_review"));
    acme.act("dora", "evaluates", record("1", "evaluation"));
    told(
        &acme,
        r"
        dora reviews the card
          no, reserved-evidence: evidence of kind `card_review` is recorded by the agent `card-checker` alone; who governs can say which agent records what, with a second person
        robot evaluates
          no, reserved-evidence: the agent `card-checker` does not record evidence of kind `evaluation`; who governs can say which agent records what, with a second person
        robot scans
          no, own-evidence: evidence of kind `artifact_scan` is made by LUMOS's own scanner only; the artifacts speak for themselves
        robot reviews the card
          subject/sha256:… evidence.recorded
        robot reviews it again
          nothing to do
        dora evaluates
          subject/sha256:… evidence.recorded
        ",
    );
}

#[test]
fn what_a_registry_says_of_it_is_left_out() {
    let mut acme = defined();
    let again = IdentifyRelease {
        release: release("1"),
        digest: acme.ledger.keep(manifest("w1", "p1", "d1")),
        evidence: vec![
            review_of("from a registry", "card_review"),
            review_of("from a registry", "evaluation"),
        ],
    };
    acme.act("scanner", "identifies 1", Command::IdentifyRelease(again));
    told(
        &acme,
        r"
        scanner identifies 1
          subject/sha256:… evidence.recorded
        ",
    );
}

#[test]
fn no_role_lets_an_agent_decide() {
    let mut acme = defined();
    acme.quietly(|acme| acme.report("1", |_| {}));
    let (review, hash) = acme.latest("1", "production").unwrap();
    let grant = Grant {
        role: name("admin"),
        scope: Scope::Organisation,
    };
    let hours = jiff::SignedDuration::from_hours(1);
    let expires = acme.now + hours;
    let forbidden: Vec<Command> = vec![
        Governed::DefineGate(gate("production", None)).into(),
        Governed::SetReviewRules(rules()).into(),
        Governed::RegisterModel(triage()).into(),
        Governed::PublishBundle(bundle()).into(),
        Governed::DefineSystem(ward()).into(),
        Governed::DefineRole {
            role: name("admin"),
            rights: [Right::Read].into(),
        }
        .into(),
        Governed::GrantRole {
            person: name("robot"),
            grant: grant.clone(),
        }
        .into(),
        Governed::SetModelTier {
            model: name("triage"),
            tier: ModelTier::High,
            rationale: sealed("because"),
        }
        .into(),
        Command::RevokeRole {
            person: name("ben"),
            grant,
        },
        Command::SuspendPerson {
            person: name("ben"),
            reason: sealed("because"),
        },
        Command::IssueToken(IssueToken {
            person: name("robot"),
            token: name("t9"),
            hash: sealed("a secret"),
            rights: [Right::Read].into(),
            purpose: sealed("for itself"),
            expires,
        }),
        Command::SetHold(SetHold {
            hold: name("h-1"),
            scope: HoldScope::Model(name("triage")),
            reason: sealed("because"),
        }),
        Command::Sign(Sign {
            review: review.clone(),
            verdict: Verdict::Approve,
            slot: None,
            reason: sealed("because"),
            record: hash,
        }),
        Command::RevokeApproval {
            review: review.clone(),
            cause: Cause::Person,
            reason: None,
        },
        Command::ClaimAuthorship {
            release: release("1"),
            claim: 1,
        },
        Command::StopSystem {
            system: name("ward"),
            reason: sealed("because"),
        },
        Command::ResumeSystem {
            system: name("ward"),
            reason: sealed("because"),
        },
        Command::Assign {
            assignment: name("ward/intake/production"),
            approval: review.clone(),
        },
        Command::OpenReview {
            release: release("1"),
            environment: name("production"),
        },
        Command::IntendPromotion { approval: review },
    ];
    for command in forbidden {
        let tried = format!("{command:?}");
        let answer = acme.act_as(&caller("robot"), "robot tries", command);
        let refused = answer.map(|events| events.iter().map(|(_, e)| e.kind()).collect::<Vec<_>>());
        assert!(refused.is_err(), "{tried}: {refused:?}");
    }
}

#[test]
fn an_agent_has_the_rights_to_look_and_record_and_no_other() {
    let acme = defined();
    for &right in Right::ALL {
        let token = Caller {
            limited_to: Some(Right::ALL.iter().copied().collect()),
            ..caller("robot")
        };
        let allowed = acme
            .ledger
            .answer(|world| authorise(world, &token, right, None))
            .is_ok();
        let expected = matches!(
            right,
            Right::Read | Right::Submit | Right::AddEvidence | Right::AskDecisions | Right::Observe
        );
        assert_eq!(allowed, expected, "{right}");
    }
}

#[test]
fn evidence_needs_a_right_on_the_model() {
    let mut acme = defined();
    acme.quietly(|acme| {
        acme.govern(
            "ada",
            "lets admins only look",
            Governed::DefineRole {
                role: name("admin"),
                rights: [Right::Read, Right::Govern, Right::ManagePeople].into(),
            },
        );
    });
    acme.act("robot", "reviews the card", record("1", "card_review"));
    acme.quietly(|acme| {
        for (role, scope) in [
            ("adder", Scope::Model(name("letters"))),
            ("adder", Scope::Model(name("triage"))),
        ] {
            acme.govern(
                "ada",
                "defines a role",
                Governed::DefineRole {
                    role: name(role),
                    rights: [Right::AddEvidence].into(),
                },
            );
            let role = name(role);
            let grant = Governed::GrantRole {
                person: name("robot"),
                grant: Grant { role, scope },
            };
            acme.govern("ada", "grants it", grant);
            acme.log.push_str("granted\n");
        }
    });
    let answer = acme.act_as(
        &caller("robot"),
        "robot reviews",
        record("1", "card_review"),
    );
    let events: Vec<Event> = answer.unwrap().into_iter().map(|(_, e)| e).collect();
    let [Event::EvidenceRecorded(recorded)] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(recorded.producer, "card-checker");
}
