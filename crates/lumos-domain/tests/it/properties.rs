//! Whatever is asked, by whomever, in whatever order: what must never follow. Random command sequences over
//! a small organisation; every append is checked against the promises anew, by other code than the rules'.

use std::{collections::BTreeSet, sync::LazyLock};

use lumos_domain::{
    Command, Event, Stream,
    actor::{Caller, Grant, Scope},
    event::{EvidenceRecorded, ReleaseApproved},
    facts::{Cause, ReportFacts},
    id::{Digest, ReviewId, RoleName},
    refusal::Refusal,
    review::Sign,
    words::{Depth, Enforcement, Grade, ModelTier, Severity, Verdict},
    world::Decided,
};
use proptest::{prelude::*, sample::select, strategy::ValueTree as _, test_runner::TestRunner};

use crate::acme::{Acme, agents, caller, claim, gap, gate, manifest, name, release, sealed};

const ACTORS: [&str; 14] = [
    "ada",
    "ben",
    "cleo",
    "dora",
    "emil",
    "finn",
    "otto",
    "sara",
    "robot",
    "nobody",
    "scanner",
    "checker",
    "orchestrator",
    "clock",
];
const VERSIONS: [&str; 2] = ["2", "3"];
const ROLES: [&str; 4] = ["admin", "compliance", "risk", "senior"];

#[derive(Debug, Clone)]
enum Step {
    Submit {
        who: &'static str,
        version: &'static str,
        content: u8,
        claimed: bool,
        test: bool,
    },
    Claim {
        who: &'static str,
        version: &'static str,
    },
    Report {
        version: &'static str,
        finding: u8,
    },
    Open {
        who: &'static str,
        version: &'static str,
    },
    Sign {
        who: &'static str,
        version: &'static str,
        verdict: Verdict,
        again: bool,
        first: bool,
    },
    Evidence {
        who: &'static str,
        version: &'static str,
        number: u8,
    },
    Revoke {
        who: &'static str,
        version: &'static str,
    },
    Withdraw {
        who: &'static str,
        version: &'static str,
    },
    Use {
        version: &'static str,
    },
    Timer {
        who: &'static str,
        version: &'static str,
        key: &'static str,
    },
    Role {
        who: &'static str,
        person: &'static str,
        role: &'static str,
        grant: bool,
    },
    Suspend {
        who: &'static str,
        person: &'static str,
    },
    Tier {
        who: &'static str,
        high: bool,
    },
    Gate {
        who: &'static str,
        days: u32,
    },
    LeaveSandbox {
        who: &'static str,
    },
    Wait {
        hours: i64,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let who = || select(&ACTORS[..]);
    let version = || select(&VERSIONS[..]);
    let signers = || prop_oneof![3 => select(&["ben", "cleo", "emil"][..]), 2 => who()];
    let verdict = prop_oneof![
        8 => Just(Verdict::Approve),
        1 => Just(Verdict::Reject),
        1 => Just(Verdict::RequestChanges),
    ];
    let submitter = prop_oneof![Just("dora"), Just("ada"), Just("scanner"), who()];
    let step = prop_oneof![
        4 => (submitter, version(), 0..4u8, any::<bool>(), prop::bool::weighted(0.05)).prop_map(
            |(who, version, content, claimed, test)| Step::Submit { who, version, content, claimed, test },
        ),
        2 => (who(), version()).prop_map(|(who, version)| Step::Claim { who, version }),
        6 => (version(), 0..40u8).prop_map(|(version, finding)| Step::Report { version, finding }),
        4 => (prop_oneof![5 => Just("orchestrator"), 1 => who()], version())
            .prop_map(|(who, version)| Step::Open { who, version }),
        14 => (signers(), version(), verdict, any::<bool>(), prop::bool::weighted(0.1)).prop_map(
            |(who, version, verdict, again, first)| Step::Sign { who, version, verdict, again, first },
        ),
        1 => (who(), version(), any::<u8>())
            .prop_map(|(who, version, number)| Step::Evidence { who, version, number }),
        1 => (who(), version()).prop_map(|(who, version)| Step::Revoke { who, version }),
        1 => (who(), version()).prop_map(|(who, version)| Step::Withdraw { who, version }),
        2 => version().prop_map(|version| Step::Use { version }),
        1 => (who(), version(), select(&["overdue", "critical", "other"][..]))
            .prop_map(|(who, version, key)| Step::Timer { who, version, key }),
        1 => (who(), select(&ACTORS[..9]), select(&ROLES[..]), any::<bool>())
            .prop_map(|(who, person, role, grant)| Step::Role { who, person, role, grant }),
        1 => (who(), select(&ACTORS[1..9])).prop_map(|(who, person)| Step::Suspend { who, person }),
        1 => (who(), any::<bool>()).prop_map(|(who, high)| Step::Tier { who, high }),
        1 => (who(), prop_oneof![Just(0), Just(14), any::<u32>()])
            .prop_map(|(who, days)| Step::Gate { who, days }),
        1 => who().prop_map(|who| Step::LeaveSandbox { who }),
        1 => prop_oneof![0..48i64, Just(31 * 24)].prop_map(|hours| Step::Wait { hours }),
    ];
    prop::collection::vec(step, 1..80)
}

static ORGANISATION: LazyLock<Acme> = LazyLock::new(Acme::running);
static SANDBOX: LazyLock<Acme> = LazyLock::new(|| Acme::founded(true));

/// Approvals that were seen: by people, by rule.
#[derive(Default)]
struct Seen {
    by_people: usize,
    by_rule: usize,
}

fn run(sandbox: bool, steps: &[Step]) -> Seen {
    let mut acme = if sandbox {
        SANDBOX.clone()
    } else {
        ORGANISATION.clone()
    };
    let mut seen = Seen::default();
    for step in steps {
        if let Step::Wait { hours } = step {
            acme.wait(*hours);
            continue;
        }
        for (caller, command) in commands(&mut acme, step) {
            let Ok(decided) = acme
                .ledger
                .submit(&caller, std::slice::from_ref(&command), acme.now)
            else {
                continue;
            };
            for (stream, event) in &decided {
                let json = event.to_json().unwrap();
                assert_eq!(Event::decode(event.kind(), &json).unwrap(), *event);
                if let (Stream::Review(review), Event::ReleaseApproved(approved)) = (stream, event)
                {
                    holds(&acme, &caller, review, approved);
                    match approved.auto {
                        None => seen.by_people += 1,
                        Some(_) => seen.by_rule += 1,
                    }
                }
            }
            let again = acme.ledger.clone().submit(&caller, &[command], acme.now);
            assert!(!approves(&again), "the same again approved again: {step:?}");
        }
    }
    seen
}

fn approves(answer: &Result<Decided, Refusal>) -> bool {
    let mut events = answer.iter().flatten();
    events.any(|(_, event)| matches!(event, Event::ReleaseApproved(_)))
}

/// Everything the promises ask of an approval, looked up anew after it was given.
fn holds(acme: &Acme, caller: &Caller, id: &ReviewId, approved: &ReleaseApproved) {
    let tuple = &approved.tuple;
    let checked = acme.ledger.answer(|world| {
        let (org, model) = (world.org()?, world.model(&id.model)?);
        let (release, review) = (world.release(&id.release())?, world.review(id)?);
        let record = review.record.as_ref().unwrap();
        assert!(!release.withdrawn && !release.test && release.open_claims.is_empty());
        assert_eq!(release.digest, Some(tuple.digest));

        let report = &release.reports[&tuple.environment];
        assert_eq!(
            (report.report, &report.bundles),
            (tuple.report, &tuple.bundles)
        );
        assert_eq!(
            report.subject_version,
            world.version(&Stream::Subject(tuple.digest))?
        );
        assert!(
            report.blocking().is_empty(),
            "blocked by {:?}",
            report.blocking()
        );

        let Some(_) = &approved.auto else {
            assert!(caller.person().is_some(), "{:?} approved", caller.actor);
            let mut signers = BTreeSet::new();
            let mut filled: Vec<(&RoleName, Grade)> = Vec::new();
            for vote in review
                .votes
                .iter()
                .filter(|v| Some(v.record) == review.record_hash)
            {
                let signer = world.person(&vote.person)?;
                let own = release.submitter.as_ref() == Some(&vote.person)
                    || release.authors.contains(&vote.person)
                    || model.data_owner.as_ref() == Some(&vote.person);
                assert!(org.sandbox || !own, "{} approved their own", vote.person);
                assert!(signers.insert(&vote.person), "{} signed twice", vote.person);
                let role = vote.slot.as_ref().unwrap();
                if signer.is_active_human() && signer.holds(role, Some((&id.model, model))) {
                    filled.push((role, vote.grade));
                }
            }
            assert!(record.depth > Depth::Auto);
            let rule = &org.rules.as_ref().unwrap().depths[&record.depth];
            assert!(record.depth == Depth::Light || rule.slots.len() > 1 || org.sandbox);
            for slot in &record.slots {
                let fit = |(role, grade): &&(&RoleName, Grade)| {
                    **role == slot.role && *grade >= slot.grade
                };
                let count = filled.iter().filter(fit).count();
                assert!(
                    count >= slot.count as usize,
                    "{} has {count} signers",
                    slot.role
                );
            }
            return Ok(());
        };
        assert_eq!(record.depth, Depth::Auto);
        assert!(
            !release.authors.is_empty(),
            "nobody wrote it, yet a rule approved it"
        );
        Ok(())
    });
    checked.unwrap();
    let once = acme.ledger.events(&Stream::Review(id.clone())).iter();
    let once = once
        .filter(|event| matches!(event, Event::ReleaseApproved(_)))
        .count();
    assert_eq!(once, 1, "{id} was approved twice");
}

/// A report with a finding of some kind; most have none.
fn found(mut facts: ReportFacts, finding: u8) -> ReportFacts {
    let gap = |enforcement, severity| vec![gap("ACME-SCAN-001", enforcement, severity)];
    match finding {
        0 => facts.results = gap(Enforcement::Mandatory, Severity::High),
        1 => facts.results = gap(Enforcement::Waivable, Severity::Critical),
        2 => facts.results = gap(Enforcement::Advisory, Severity::Low),
        3 => {
            facts.results = gap(Enforcement::Advisory, Severity::Low);
            facts.results[0].routes_to = Some(name("clinical"));
        }
        4 => facts.below_threshold = true,
        5 => facts.omitted = 1,
        6 => facts.score = None,
        7 => facts.subject_version = facts.subject_version.saturating_sub(1),
        8 => facts.depth = Depth::Auto,
        9 => facts.bundles.clear(),
        _ => {}
    }
    facts.report = Digest::of(format!("{facts:?}").as_bytes());
    facts
}

/// What a step asks, and who asks it.
fn commands(acme: &mut Acme, step: &Step) -> Vec<(Caller, Command)> {
    let by = |who: &str, command: Command| vec![(caller(who), command)];
    let review = |version: &str| {
        let latest = acme.latest(version, "production");
        latest.map_or_else(
            || crate::acme::review(version, "production", 1),
            |(review, _)| review,
        )
    };
    match *step {
        Step::Submit {
            who,
            version,
            content,
            claimed,
            test,
        } => {
            let texts = ["w1", "w2"].map(|w| ["p1", "p2"].map(|p| manifest(w, p, "d1")));
            let content = texts[usize::from(content / 2)][usize::from(content % 2)].clone();
            acme.submit_as(who, version, content, |facts| {
                facts.test = test;
                facts.agents = if claimed {
                    agents(&["ward/intake"])
                } else {
                    BTreeSet::new()
                };
                facts.claims = claimed.then(|| claim("D. R.")).into_iter().collect();
            });
            Vec::new()
        }
        Step::Claim { who, version } => by(
            who,
            Command::ClaimAuthorship {
                release: release(version),
                claim: 1,
            },
        ),
        Step::Report { version, finding } => {
            let Some(facts) = acme.facts(version, "production") else {
                return Vec::new();
            };
            let (release, environment) = (release(version), name("production"));
            let report = found(facts, finding);
            let record = Command::RecordReport {
                release: release.clone(),
                report,
            };
            let open = Command::OpenReview {
                release,
                environment,
            };
            // Now and then somebody signs before the orchestrator has looked.
            let open = (finding % 8 != 0).then(|| (caller("orchestrator"), open));
            std::iter::once((caller("checker"), record))
                .chain(open)
                .collect()
        }
        Step::Open { who, version } => {
            let environment = name("production");
            by(
                who,
                Command::OpenReview {
                    release: release(version),
                    environment,
                },
            )
        }
        Step::Sign {
            who,
            version,
            verdict,
            again,
            first,
        } => {
            let Some((review, record)) = acme.latest(version, "production") else {
                return Vec::new();
            };
            let record = if first {
                Digest::of(b"another record")
            } else {
                record
            };
            let sign = Sign {
                review,
                verdict,
                slot: None,
                reason: sealed("because"),
                record,
            };
            vec![(
                Caller {
                    reauthenticated: again,
                    ..caller(who)
                },
                Command::Sign(sign),
            )]
        }
        Step::Evidence {
            who,
            version,
            number,
        } => {
            let evidence = EvidenceRecorded {
                kind: if number % 2 == 0 {
                    "fairness"
                } else {
                    "artifact_scan"
                }
                .to_owned(),
                producer: "acme".to_owned(),
                digest: Digest::of(&[number]),
            };
            by(
                who,
                Command::RecordEvidence {
                    release: release(version),
                    evidence,
                },
            )
        }
        Step::Revoke { who, version } => {
            let (cause, reason) = (Cause::Person, Some(sealed("it drifts")));
            by(
                who,
                Command::RevokeApproval {
                    review: review(version),
                    cause,
                    reason,
                },
            )
        }
        Step::Withdraw { who, version } => by(
            who,
            Command::WithdrawRelease {
                release: release(version),
                reason: sealed("no"),
            },
        ),
        Step::Use { version } => {
            let (approval, assignment) = (review(version), name("ward/intake/production"));
            let promote = Command::IntendPromotion {
                approval: approval.clone(),
            };
            let assign = Command::Assign {
                assignment,
                approval,
            };
            vec![
                (caller("orchestrator"), assign),
                (caller("orchestrator"), promote),
            ]
        }
        Step::Timer { who, version, key } => {
            let stream = Stream::Review(review(version));
            by(
                who,
                Command::TimerDue {
                    stream,
                    key: key.to_owned(),
                },
            )
        }
        Step::Role {
            who,
            person,
            role,
            grant,
        } => {
            let (person, held) = (
                name(person),
                Grant {
                    role: name(role),
                    scope: Scope::Organisation,
                },
            );
            by(
                who,
                if grant {
                    Command::GrantRole {
                        person,
                        grant: held,
                    }
                } else {
                    Command::RevokeRole {
                        person,
                        grant: held,
                    }
                },
            )
        }
        Step::Suspend { who, person } => by(
            who,
            Command::SuspendPerson {
                person: name(person),
                reason: sealed("left"),
            },
        ),
        Step::Tier { who, high } => {
            let tier = if high {
                ModelTier::High
            } else {
                ModelTier::Medium
            };
            let rationale = sealed("looked at again");
            by(
                who,
                Command::SetModelTier {
                    model: name("triage"),
                    tier,
                    rationale,
                },
            )
        }
        Step::Gate { who, days } => {
            let mut gate = gate("production", None);
            gate.report_max_age_days = days;
            by(who, Command::DefineGate(gate))
        }
        Step::LeaveSandbox { who } => by(
            who,
            Command::LeaveSandbox {
                founder: name("ben"),
            },
        ),
        Step::Wait { .. } => Vec::new(),
    }
}

proptest! {
    #[test]
    fn no_order_of_commands_breaks_a_promise(sandbox in prop::bool::weighted(0.2), steps in steps()) {
        run(sandbox, &steps);
    }
}

/// The property above says nothing if nothing is ever approved.
#[test]
fn random_orders_do_lead_to_approvals() {
    let mut runner = TestRunner::deterministic();
    let mut total = Seen::default();
    for _ in 0..100 {
        let steps = steps().new_tree(&mut runner).unwrap().current();
        let seen = run(false, &steps);
        total.by_people += seen.by_people;
        total.by_rule += seen.by_rule;
    }
    assert!(
        total.by_people > 5 && total.by_rule > 5,
        "{} and {}",
        total.by_people,
        total.by_rule
    );
}
