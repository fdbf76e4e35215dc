//! Random steps: who asks for what, most of it sensible, some of it not.

use std::collections::BTreeSet;

use lumos_domain::{
    Command, Stream,
    actor::{Caller, Grant, Scope},
    event::EvidenceRecorded,
    facts::{Cause, ReportFacts},
    id::Digest,
    proposal::Governed,
    review::Sign,
    words::{Depth, Enforcement, ModelTier, Severity, Verdict},
};
use proptest::{prelude::*, sample::select};

use crate::acme::{
    Acme, agents, caller, claim, confirm, gap, gate, manifest, name, release, sealed,
};

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
pub(super) enum Step {
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
        second: &'static str,
    },
    Suspend {
        who: &'static str,
        person: &'static str,
    },
    Tier {
        who: &'static str,
        high: bool,
        second: &'static str,
    },
    Gate {
        who: &'static str,
        days: u32,
        second: &'static str,
    },
    LeaveSandbox {
        who: &'static str,
    },
    Wait {
        hours: i64,
    },
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let who = || select(&ACTORS[..]);
    let version = || select(&VERSIONS[..]);
    let signers = || prop_oneof![3 => select(&["ben", "cleo", "emil"][..]), 2 => who()];
    let verdict = prop_oneof![
        8 => Just(Verdict::Approve),
        1 => Just(Verdict::Reject),
        1 => Just(Verdict::RequestChanges),
    ];
    let seconds = || prop_oneof![2 => Just("sara"), 2 => Just("ada"), 3 => who()];
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
        1 => (who(), select(&ACTORS[..9]), select(&ROLES[..]), any::<bool>(), seconds())
            .prop_map(|(who, person, role, grant, second)| Step::Role { who, person, role, grant, second }),
        1 => (who(), select(&ACTORS[1..9])).prop_map(|(who, person)| Step::Suspend { who, person }),
        1 => (who(), any::<bool>(), seconds())
            .prop_map(|(who, high, second)| Step::Tier { who, high, second }),
        1 => (who(), prop_oneof![Just(0), Just(14), any::<u32>()], seconds())
            .prop_map(|(who, days, second)| Step::Gate { who, days, second }),
        1 => who().prop_map(|who| Step::LeaveSandbox { who }),
        1 => prop_oneof![0..48i64, Just(31 * 24)].prop_map(|hours| Step::Wait { hours }),
    ];
    prop::collection::vec(step, 1..80)
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

/// One asks for a change, and somebody, perhaps the same, confirms it.
fn both(first: &str, second: &str, change: Governed) -> Vec<(Caller, Command)> {
    let confirm = confirm(&change);
    vec![(caller(first), change.into()), (caller(second), confirm)]
}

/// What a step asks, and who asks it.
pub(super) fn commands(acme: &mut Acme, step: &Step) -> Vec<(Caller, Command)> {
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
                sandbox: false,
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
            second,
        } => {
            let (person, held) = (
                name(person),
                Grant {
                    role: name(role),
                    scope: Scope::Organisation,
                },
            );
            if grant {
                let grant = held;
                return both(who, second, Governed::GrantRole { person, grant });
            }
            let grant = held;
            by(who, Command::RevokeRole { person, grant })
        }
        Step::Suspend { who, person } => by(
            who,
            Command::SuspendPerson {
                person: name(person),
                reason: sealed("left"),
            },
        ),
        Step::Tier { who, high, second } => {
            let tier = if high {
                ModelTier::High
            } else {
                ModelTier::Medium
            };
            let rationale = sealed("looked at again");
            let model = name("triage");
            let set = Governed::SetModelTier {
                model,
                tier,
                rationale,
            };
            both(who, second, set)
        }
        Step::Gate { who, days, second } => {
            let mut gate = gate("production", None);
            gate.report_max_age_days = days;
            both(who, second, Governed::DefineGate(gate))
        }
        Step::LeaveSandbox { who } => by(
            who,
            Command::LeaveSandbox {
                founder: name("sara"),
            },
        ),
        Step::Wait { .. } => Vec::new(),
    }
}
