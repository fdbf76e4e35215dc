//! Each way to be denied, the one way to be allowed, modes, outages, and hostile questions.

use std::collections::{BTreeMap, BTreeSet};

use lumos_domain::facts::{ApprovalTuple, Assigned, ModeScope};

use super::*;
use crate::snapshot::{AssignmentEntry, ModeEntry, SystemEntry};

const NOW: &str = "2026-11-21T12:00:00Z";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

fn agent(name: &str) -> AgentRef {
    format!("ward/{name}").parse().unwrap()
}

fn approval(version: &str) -> ApprovalEntry {
    ApprovalEntry {
        review: format!("triage/{version}/production/1").parse().unwrap(),
        tuple: ApprovalTuple {
            release: format!("triage/{version}").parse().unwrap(),
            digest: digest(version),
            bundles: BTreeSet::new(),
            report: digest("report"),
            environment: "production".parse().unwrap(),
            agents: BTreeSet::from([agent("intake")]),
            expires: at("2026-12-01T00:00:00Z"),
            sandbox: false,
        },
        revoked: None,
        files: BTreeSet::from([digest("weights")]),
    }
}

fn snapshot() -> Snapshot {
    let entry = approval("2");
    Snapshot {
        origin: "acme.example/lumos".into(),
        size: 40,
        root: String::new(),
        issued_at: at("2026-11-21T11:59:30Z"),
        valid_until: at("2026-11-21T12:00:30Z"),
        sandbox: false,
        environments: ["staging", "production"].map(|e| e.parse().unwrap()).into(),
        modes: Vec::new(),
        systems: BTreeMap::from([(
            "ward".parse().unwrap(),
            SystemEntry {
                agents: ["intake", "discharge"].map(|a| a.parse().unwrap()).into(),
                owner: "p1".into(),
                stopped: false,
                outage: vec![(
                    "production".parse().unwrap(),
                    OutageChoice::ContinueHours(4),
                )],
            },
        )]),
        owners: BTreeMap::from([("triage".parse().unwrap(), "p1".into())]),
        assignments: vec![AssignmentEntry {
            assignment: "ward/intake/production".parse().unwrap(),
            releases: vec![Assigned {
                release: entry.tuple.release.clone(),
                digest: entry.tuple.digest,
                approval: entry.review.clone(),
                share: 100,
                until: None,
            }],
        }],
        approvals: vec![entry],
    }
}

fn question() -> Question {
    Question {
        model: "triage".parse().unwrap(),
        version: Some("2".parse().unwrap()),
        digest: None,
        environment: "production".parse().unwrap(),
        agent: Some(agent("intake")),
    }
}

fn check(change: impl Fn(&mut Snapshot, &mut Question), expected: &str) {
    let (mut snapshot, mut question) = (snapshot(), question());
    change(&mut snapshot, &mut question);
    let decision = decide(&snapshot, &question, at(NOW));
    assert_eq!(decision.code, expected, "{decision:?}");
    let allowed = expected == "allowed";
    assert_eq!(decision.verdict == Verdict::Allow, allowed);
    assert_eq!(
        decision.effect == Verdict::Allow,
        allowed,
        "no mode is set, so it is enforced"
    );
    assert_eq!(
        decision.next_step.is_empty(),
        allowed,
        "every denial says the next step"
    );
}

#[test]
fn only_the_approved_and_assigned_release_is_allowed() {
    check(|_, _| {}, "allowed");
    check(|_, q| q.agent = None, "allowed");
    check(
        |_, q| (q.version, q.digest) = (None, Some(digest("2"))),
        "allowed",
    );
    check(
        |_, q| (q.version, q.digest) = (None, Some(digest("weights"))),
        "allowed",
    );
    check(|_, q| q.digest = Some(digest("weights")), "allowed");
    check(
        |_, q| q.digest = Some(digest("other bytes")),
        "not-approved",
    );
    check(
        |_, q| q.version = Some("3".parse().unwrap()),
        "not-approved",
    );
    check(|_, q| q.model = "other".parse().unwrap(), "not-approved");
    check(
        |_, q| (q.version, q.digest) = (None, None),
        "no-release-named",
    );
    check(
        |_, q| q.environment = "staging".parse().unwrap(),
        "other-environment",
    );
    check(
        |_, q| q.environment = "moon".parse().unwrap(),
        "unknown-environment",
    );
    check(|_, q| q.agent = Some(agent("discharge")), "other-agent");
    check(|_, q| q.agent = Some(agent("stranger")), "unknown-agent");
    check(
        |s, _| s.approvals[0].revoked = Some("revoked by a person".into()),
        "revoked",
    );
    check(|s, _| s.approvals[0].tuple.expires = at(NOW), "expired");
    check(|s, _| s.approvals[0].tuple.sandbox = true, "sandbox-left");
    check(
        |s, _| {
            for system in s.systems.values_mut() {
                system.stopped = true;
            }
        },
        "system-stopped",
    );
    check(|s, _| s.assignments.clear(), "not-assigned");
    check(
        |s, _| s.assignments[0].releases[0].digest = digest("x"),
        "not-assigned",
    );
    check(
        |s, _| s.assignments[0].releases[0].until = Some(at(NOW)),
        "not-assigned",
    );
    check(
        |s, _| s.assignments[0].releases[0].until = Some(at("2026-11-21T12:00:01Z")),
        "allowed",
    );
}

#[test]
fn a_live_approval_counts_beside_a_revoked_one() {
    check(
        |s, _| {
            let mut old = approval("2");
            old.review.round = 7;
            old.revoked = Some("revoked by a person".into());
            s.approvals.push(old.clone());
            s.approvals.insert(0, old);
        },
        "allowed",
    );
}

#[test]
fn observe_applies_nothing_but_says_what_it_would_have_denied_until_it_ends() {
    let mut snapshot = snapshot();
    let mode = |scope, until| ModeEntry {
        scope,
        environment: "production".parse().unwrap(),
        mode: Mode::Observe,
        until: Some(at(until)),
    };
    snapshot.modes = vec![mode(ModeScope::Every, "2026-12-01T00:00:00Z")];
    let denied = Question {
        version: Some("9".parse().unwrap()),
        ..question()
    };
    let decision = decide(&snapshot, &denied, at(NOW));
    assert_eq!(
        (decision.verdict, decision.effect),
        (Verdict::Deny, Verdict::Allow)
    );
    assert_eq!(decision.mode, Mode::Observe);
    snapshot.modes = vec![mode(ModeScope::Every, NOW)];
    assert_eq!(decide(&snapshot, &denied, at(NOW)).effect, Verdict::Deny);
    let own = ModeScope::System("ward".parse().unwrap());
    let enforce = ModeEntry {
        mode: Mode::Enforce,
        until: None,
        ..mode(own, NOW)
    };
    snapshot.modes = vec![mode(ModeScope::Every, "2026-12-01T00:00:00Z"), enforce];
    assert_eq!(
        decide(&snapshot, &denied, at(NOW)).effect,
        Verdict::Deny,
        "its own mode comes first"
    );
}

#[test]
fn an_old_snapshot_answers_by_the_systems_own_choice() {
    let check = |choice: Option<OutageChoice>, now: &str, agent: bool, expected: &str| {
        let mut snapshot = snapshot();
        for system in snapshot.systems.values_mut() {
            system.outage = choice
                .map(|c| ("production".parse().unwrap(), c))
                .into_iter()
                .collect();
        }
        let question = Question {
            agent: question().agent.filter(|_| agent),
            ..question()
        };
        let decision = decide(&snapshot, &question, at(now));
        assert_eq!(
            (decision.code.as_str(), decision.stale),
            (expected, true),
            "{now}"
        );
    };
    let hours = Some(OutageChoice::ContinueHours(4));
    check(hours, "2026-11-21T12:00:30Z", true, "allowed");
    check(hours, "2026-11-21T15:59:29Z", true, "allowed");
    check(hours, "2026-11-21T15:59:30Z", true, "snapshot-stale");
    check(hours, "2026-11-21T12:01:00Z", false, "snapshot-stale");
    check(
        Some(OutageChoice::Stop),
        "2026-11-21T12:01:00Z",
        true,
        "snapshot-stale",
    );
    check(
        Some(OutageChoice::DegradeToHuman),
        "2026-11-21T12:01:00Z",
        true,
        "degrade-to-human",
    );
    check(None, "2026-11-21T12:01:00Z", true, "snapshot-stale");
}

#[test]
fn a_snapshot_survives_signing() {
    let signer = crate::dsse::StatementSigner::from_bytes(&[7; 32]).unwrap();
    let envelope = snapshot().sign(&signer).unwrap();
    let trusted = [signer.public().parse().unwrap()];
    assert_eq!(Snapshot::open(&envelope, &trusted).unwrap(), snapshot());
    assert!(Snapshot::open(&envelope, &[]).is_err());
}

#[test]
fn the_decision_id_names_snapshot_and_question() {
    let id = |s: &Snapshot, q: &Question| decide(s, q, at(NOW)).decision_id;
    let base = id(&snapshot(), &question());
    assert_eq!(base, id(&snapshot(), &question()));
    assert_ne!(
        base,
        id(
            &Snapshot {
                size: 41,
                ..snapshot()
            },
            &question()
        )
    );
    assert_ne!(
        base,
        id(
            &snapshot(),
            &Question {
                agent: None,
                ..question()
            }
        )
    );
}
