//! Agents of others: they look and record what they checked. Whatever roles their account holds, they never decide.

use lumos_domain::{
    Command, Event,
    actor::{Caller, Grant, Right, Scope},
    event::EvidenceRecorded,
    facts::Cause,
    id::Digest,
    outside::DefineOutsideAgent,
    person::authorise,
    proposal::Governed,
    release::IdentifyRelease,
    retention::{HoldScope, SetHold},
    review::Sign,
    words::{ModelTier, Verdict},
};

use super::told;
use crate::acme::{
    Acme, bundle, caller, confirm, gate, manifest, name, release, rules, sealed, token, triage,
    ward,
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
        sandbox: false,
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
        let drawn = token("t-robot", &[Right::AddEvidence], acme.now);
        acme.govern("ada", "draws its token", drawn);
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
fn nobody_draws_its_token_alone() {
    let mut acme = defined();
    let record_with = |acme: &mut Acme, id: &str| {
        let with = Caller {
            token: Some(name(id)),
            ..caller("robot")
        };
        let what = format!("robot, by {id}, reviews the card");
        drop(acme.act_as(&with, &what, record("1", "card_review")));
    };
    let drawn = token("t1", &[Right::AddEvidence], acme.now);
    acme.act("ada", "draws a token", drawn.clone().into());
    record_with(&mut acme, "t1");
    acme.act("ada", "draws it again", drawn.clone().into());
    acme.act("ada", "confirms it", confirm(&drawn));
    acme.act(
        "sara",
        "confirms without a half",
        Command::ConfirmProposal {
            proposal: drawn.proposal().unwrap(),
            half: None,
        },
    );
    acme.act("sara", "confirms", confirm(&drawn));
    record_with(&mut acme, "t1");
    told(
        &acme,
        r"
        ada draws a token
          proposal proposal.made: by ada, until 2026-03-16T09:00:00Z
        robot, by t1, reviews the card
          no, reserved-evidence: evidence of kind `card_review` is recorded with a token that two people drew, and this one has been drawn by one; who governs can say which agent records what, with a second person
        ada draws it again
          nothing to do
        ada confirms it
          no, needs-second-person: this needs a second person; you asked for it yourself
        sara confirms without a half
          no, bad-token: this token cannot be issued: whoever confirms it adds a half of the secret
        sara confirms
          person/robot token.issued
          proposal proposal.confirmed: first ada
        robot, by t1, reviews the card
          subject/sha256:… evidence.recorded
        ",
    );
}

/// Whoever drew a token before the account became an agent, or in a sandbox, holds it alone.
#[test]
fn a_token_that_was_there_before_records_nothing_of_the_agents_own() {
    let mut acme = Acme::new();
    acme.quietly(|acme| acme.submit("dora", "1", manifest("w1", "p1", "d1")));
    let drawn = token("t-robot", &[Right::AddEvidence], acme.now);
    acme.act("ada", "draws a token", drawn.into());
    acme.act("robot", "reviews the card", record("1", "card_review"));
    let define = |evidence: &[&str]| Governed::DefineOutsideAgent(checker("robot", evidence));
    acme.govern("ada", "makes it an agent of nothing", define(&[]));
    acme.govern("ada", "gives it a kind", define(&["card_review"]));
    acme.act("robot", "reviews it again", record("1", "card_review"));
    // What it would record has changed since: whoever confirms would not see what they agree to.
    let drawn = token("t1", &[Right::AddEvidence], acme.now);
    acme.act("ada", "draws a token", drawn.clone().into());
    acme.govern("ada", "gives it more", define(&["card_review", "tone"]));
    acme.act("sara", "confirms", confirm(&drawn));
    told(
        &acme,
        r"
        ada draws a token
          person/robot token.issued
        robot reviews the card
          subject/sha256:… evidence.recorded
        ada makes it an agent of nothing
          proposal proposal.made: by ada, until 2026-03-16T09:00:00Z
        sara confirms
          org outside_agent.defined: card-checker as robot
          proposal proposal.confirmed: first ada
        ada gives it a kind
          proposal proposal.made: by ada, until 2026-03-16T09:00:00Z
        sara confirms
          org outside_agent.defined: card-checker as robot
          proposal proposal.confirmed: first ada
        robot reviews it again
          no, reserved-evidence: evidence of kind `card_review` is recorded with a token that two people drew, and this one has been drawn by one; who governs can say which agent records what, with a second person
        ada draws a token
          proposal proposal.made: by ada, until 2026-03-16T09:00:00Z
        ada gives it more
          proposal proposal.made: by ada, until 2026-03-16T09:00:00Z
        sara confirms
          org outside_agent.defined: card-checker as robot
          proposal proposal.confirmed: first ada
        sara confirms
          no, proposal-outdated: what this would replace has changed since it was proposed; look at it again and propose it anew
        ",
    );
}

#[test]
fn what_was_drawn_alone_in_a_sandbox_is_no_agents_token_outside() {
    let mut acme = Acme::founded(true);
    acme.quietly(|acme| acme.submit("dora", "1", manifest("w1", "p1", "d1")));
    let define = Governed::DefineOutsideAgent(checker("robot", &["card_review", "tone"]));
    acme.act("ada", "makes it an agent", define.into());
    let drawn = token("t-robot", &[Right::AddEvidence], acme.now);
    acme.act("ada", "draws a token", drawn.into());
    acme.act("robot", "reviews the card", record("1", "card_review"));
    let founder = name("sara");
    acme.act(
        "ada",
        "leaves the sandbox",
        Command::LeaveSandbox { founder },
    );
    acme.act("robot", "reviews the tone", record("1", "tone"));
    told(
        &acme,
        r"
        ada makes it an agent
          org outside_agent.defined: card-checker as robot
        ada draws a token
          person/robot token.issued
        robot reviews the card
          subject/sha256:… evidence.recorded
        ada leaves the sandbox
          org sandbox.left
        robot reviews the tone
          no, reserved-evidence: evidence of kind `tone` is recorded with a token that two people drew, and this one has been drawn by one; who governs can say which agent records what, with a second person
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
        token("t9", &[Right::Read], acme.now).into(),
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
