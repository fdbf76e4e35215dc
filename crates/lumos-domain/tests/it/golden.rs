//! One entry of every event type, kept for ever byte for byte: what was written once is read for ever.
//! A file is never changed or removed; a new shape is a new type with a file of its own. A type with several
//! shapes has a file for each: `TYPE@SHAPE.json`.

use std::{collections::BTreeSet, fs, path::PathBuf};

use lumos_domain::{
    Event,
    actor::{Grant, Right, Scope},
    event::ProposalMade,
    facts::ModeScope,
    id::Digest,
    keys::{LogKey, RotateKey},
    log_review::{Schedule, SetLogReview},
    org::SetMode,
    outside::DefineOutsideAgent,
    person::IssueToken,
    proposal::Governed,
    retention::SetRetention,
    words::{Grade, Mode, ModelTier, RecordClass},
};

use crate::acme::{binding, bundle, gate, name, rules, sealed, triage, ward};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/events")
}

#[test]
fn every_event_ever_written_is_read_and_written_the_same() {
    let mut kinds = BTreeSet::new();
    for file in fs::read_dir(folder()).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let kind = name.split('@').next().unwrap().to_owned();
        let text = fs::read_to_string(&path).unwrap();
        let event = Event::decode(&kind, &text).unwrap_or_else(|e| panic!("{kind}: {e:?}"));
        assert_eq!(event.kind(), kind);
        assert_eq!(event.to_json().unwrap(), text, "{kind}");
        kinds.insert(kind);
    }
    let known: BTreeSet<String> = Event::KINDS.iter().map(|&kind| kind.to_owned()).collect();
    assert_eq!(
        kinds, known,
        "left: tests/golden/events; right: Event::KINDS"
    );
}

fn second_key() -> LogKey {
    let key = "ledger.acme.example+a1b2c3d4+AaIZEi9R57Y5PEhTm/RYdXh8KLbvbZyKFNAkTNG6KKww";
    key.parse().unwrap()
}

/// Every change that can be proposed, each in the bytes of its golden file.
#[test]
fn every_change_that_needs_two_has_its_file() {
    let grant = Grant {
        role: name("compliance"),
        scope: Scope::Unit("care".to_owned()),
    };
    let changes = [
        (
            "define_gate",
            Governed::DefineGate(gate("production", Some("staging"))),
        ),
        ("set_review_rules", Governed::SetReviewRules(rules())),
        (
            "define_role",
            Governed::DefineRole {
                role: name("compliance"),
                rights: [Right::Read, Right::Revoke].into(),
            },
        ),
        (
            "set_mode",
            Governed::SetMode(SetMode {
                scope: ModeScope::Every,
                environment: name("production"),
                mode: Mode::Observe,
                until: Some("2026-03-31T09:00:00Z".parse().unwrap()),
                reason: sealed("a first look"),
            }),
        ),
        (
            "grant_role",
            Governed::GrantRole {
                person: name("p-1"),
                grant,
            },
        ),
        (
            "set_credential",
            Governed::SetCredential {
                person: name("p-1"),
                hash: sealed("a hash"),
            },
        ),
        (
            "issue_token",
            Governed::IssueToken(IssueToken {
                person: name("p-1"),
                token: name("t1"),
                hash: sealed("the first half"),
                rights: [Right::AddEvidence].into(),
                purpose: sealed("checks"),
                expires: "2026-04-01T09:00:00Z".parse().unwrap(),
            }),
        ),
        ("register_model", Governed::RegisterModel(triage())),
        (
            "set_model_tier",
            Governed::SetModelTier {
                model: name("triage"),
                tier: ModelTier::Low,
                rationale: sealed("nobody uses it"),
            },
        ),
        (
            "bind_model",
            Governed::BindModel {
                model: name("triage"),
                binding: binding(),
            },
        ),
        ("publish_bundle", Governed::PublishBundle(bundle())),
        ("define_system", Governed::DefineSystem(ward())),
        (
            "define_outside_agent",
            Governed::DefineOutsideAgent(DefineOutsideAgent {
                agent: name("card-checker"),
                account: name("p-1"),
                evidence: ["card_review".to_owned()].into(),
            }),
        ),
        (
            "set_retention",
            Governed::SetRetention(SetRetention {
                class: RecordClass::TechnicalFile,
                days: 365,
                reason: sealed("no law asks for more"),
            }),
        ),
        (
            "lift_hold",
            Governed::LiftHold {
                hold: name("h-1"),
                reason: sealed("the case is closed"),
            },
        ),
        (
            "rotate_key",
            Governed::RotateKey(RotateKey {
                key: second_key(),
                overlap_days: 30,
                reason: sealed("a year is over"),
            }),
        ),
        (
            "set_log_review",
            Governed::SetLogReview(SetLogReview {
                schedule: Some(Schedule {
                    role: name("auditor"),
                    every_days: 30,
                    within_days: 7,
                    grade: Grade::Part11,
                }),
                reason: sealed("the house is small"),
            }),
        ),
        (
            "end_log_review",
            Governed::SetLogReview(SetLogReview {
                schedule: None,
                reason: sealed("the house is small"),
            }),
        ),
        (
            "erase_person",
            Governed::ErasePerson {
                person: name("p-1"),
                reason: sealed("a letter of 3 May"),
            },
        ),
    ];
    for (shape, change) in changes {
        let made = Event::from(ProposalMade {
            person: name("p-ada"),
            change,
            until: "2026-03-15T09:00:00Z".parse().unwrap(),
            replaces: Digest::of(b"what it would replace"),
        });
        let file = folder().join(format!("lumos.proposal.made.v1@{shape}.json"));
        let text = fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(made.to_json().unwrap(), text, "{shape}");
    }
}

#[test]
fn an_unknown_version_or_field_is_refused() {
    for (kind, text) in [
        ("lumos.candidate.detected.v2", "{}"),
        ("lumos.sandbox.left.v1", "{}"),
        ("lumos.sandbox.left.v1", r#"{"founder":"ada","more":1}"#),
        ("lumos.sandbox.left.v1", r#"{"founder":"a b"}"#),
        (
            "lumos.sandbox.left.v1",
            r#"{"founder":"ada","founder":"ben"}"#,
        ),
        ("lumos.sandbox.left.v1", "[]"),
    ] {
        assert!(Event::decode(kind, text).is_err(), "{kind} {text}");
    }
}
