//! Who may not sign, whatever their roles.

use lumos_domain::{
    Command,
    actor::{Caller, Grant, Scope},
    event::EvidenceRecorded,
    id::Digest,
    proposal::Governed,
    refusal::Refusal,
    release::{IdentifyRelease, OWN_KINDS},
    review::Sign,
    words::Verdict::{Approve, Reject},
};

use super::told;
use crate::acme::{Acme, caller, claim, manifest, name, release, sealed};

fn claims(who: &str, version: &str) -> (String, Command) {
    let command = Command::ClaimAuthorship {
        release: release(version),
        claim: 1,
    };
    (format!("claims {version} for {who}"), command)
}

#[test]
fn nobody_approves_their_own_release_administrators_included() {
    let mut acme = Acme::running();
    // Emil reviews, and now and then he writes a release himself.
    let develops = Governed::GrantRole {
        person: name("emil"),
        grant: Grant {
            role: name("developer"),
            scope: Scope::Organisation,
        },
    };
    acme.quietly(|acme| acme.govern("ada", "lets emil develop", develops));
    acme.submit_as("ada", "2", manifest("w2", "p1", "d1"), |facts| {
        facts.claims = vec![claim("E. M.")];
    });
    acme.report("2", |_| {});
    acme.act("emil", "claims 2", claims("emil", "2").1);
    acme.act("emil", "claims 2", claims("emil", "2").1);
    acme.sign("ada", "2", Approve);
    acme.sign("emil", "2", Approve);
    acme.sign("otto", "2", Approve);
    acme.sign("dora", "2", Approve);
    acme.sign("ben", "2", Approve);
    acme.sign("cleo", "2", Approve);
    told(
        &acme,
        r"
        ada submits 2
          release/triage/2 candidate.detected
        scanner identifies 2
          release/triage/2 release.identified
          subject/sha256:… evidence.recorded
        checker reports on 2
          release/triage/2 report.recorded
        orchestrator opens 2 for production
          release/triage/2 release.review_started
          review/triage/2/production/1 review.opened: full for major change [1 × compliance recorded, 1 × risk recorded]
        emil claims 2
          release/triage/2 author.claimed: emil
        emil claims 2
          no, unknown-thing: there is no open author claim `1`
        ada signs 2: approve
          no, separation-of-duties: you cannot approve this release because you are its submitter; someone else must sign
        emil signs 2: approve
          no, separation-of-duties: you cannot approve this release because you are its author; someone else must sign
        otto signs 2: approve
          no, separation-of-duties: you cannot approve this release because you are the owner of its data; someone else must sign
        dora signs 2: approve
          no, no-slot: no free slot is yours; this review still waits for: compliance, risk
        ben signs 2: approve
          review/triage/2/production/1 review.signed: ben approve as compliance, recorded
        cleo signs 2: approve
          review/triage/2/production/1 review.signed: cleo approve as risk, recorded
          review/triage/2/production/1 release.approved: by people until 2026-04-01T09:00:00Z
          model/triage model.current_set
        ",
    );
}

#[test]
fn an_author_may_reject_their_own() {
    let mut acme = Acme::running();
    acme.quietly(|acme| {
        acme.submit("ada", "2", manifest("w2", "p1", "d1"));
        acme.report("2", |_| {});
    });
    acme.sign("ada", "2", Reject);
    told(
        &acme,
        r"
        ada signs 2: reject
          review/triage/2/production/1 review.signed: ada reject, recorded
          review/triage/2/production/1 review.closed: rejected by a reviewer
        ",
    );
}

#[test]
fn an_unclaimed_author_blocks_until_somebody_claims() {
    let mut acme = Acme::running();
    acme.submit_as("scanner", "2", manifest("w2", "p1", "d1"), |facts| {
        facts.claims = vec![claim("D. R.")];
    });
    acme.report("2", |_| {});
    acme.sign("ben", "2", Approve);
    acme.act("robot", "claims 2", claims("robot", "2").1);
    acme.act("dora", "claims 2", claims("dora", "2").1);
    acme.open("2", "production");
    acme.sign("ben", "2", Approve);
    acme.sign("cleo", "2", Approve);
    told(
        &acme,
        r"
        scanner submits 2
          release/triage/2 candidate.detected
        scanner identifies 2
          release/triage/2 release.identified
          subject/sha256:… evidence.recorded
        checker reports on 2
          release/triage/2 report.recorded
        orchestrator opens 2 for production
          release/triage/2 release.review_started
          review/triage/2/production/1 review.opened: full for major change [1 × compliance recorded, 1 × risk recorded]
        ben signs 2: approve
          no, unclaimed-author: 1 author claim(s) of this release are unresolved; a signed-in person must say `lumos release claim` first
        robot claims 2
          no, not-a-person: only a signed-in person can do this; agents and services never sign
        dora claims 2
          release/triage/2 author.claimed: dora
        orchestrator opens 2 for production
          nothing to do
        ben signs 2: approve
          review/triage/2/production/1 review.signed: ben approve as compliance, recorded
        cleo signs 2: approve
          review/triage/2/production/1 review.signed: cleo approve as risk, recorded
          review/triage/2/production/1 release.approved: by people until 2026-04-01T09:00:00Z
          model/triage model.current_set
        ",
    );
}

#[test]
fn a_release_without_a_known_author_is_never_approved_by_rule() {
    let mut acme = Acme::running();
    acme.submit_as("scanner", "2", manifest("w1", "p2", "d1"), |facts| {
        facts.claims = vec![claim("D. R.")];
    });
    acme.report("2", |_| {});
    acme.act("dora", "claims 2", claims("dora", "2").1);
    acme.open("2", "production");
    acme.submit_as("scanner", "3", manifest("w1", "p3", "d1"), |_| {});
    told(
        &acme,
        r"
        scanner submits 2
          release/triage/2 candidate.detected
        scanner identifies 2
          release/triage/2 release.identified
          subject/sha256:… evidence.recorded
        checker reports on 2
          release/triage/2 report.recorded
        orchestrator opens 2 for production
          release/triage/2 release.review_started
          review/triage/2/production/1 review.opened: light for minor change [1 × compliance recorded] raised: its author is not known
        dora claims 2
          release/triage/2 author.claimed: dora
        orchestrator opens 2 for production
          review/triage/2/production/1 review.record_changed: auto for minor change []
          review/triage/2/production/1 release.approved: by rule until 2026-04-01T09:00:00Z
          model/triage model.current_set
        scanner submits 3
          no, wrong-source: this submission cannot be taken: nobody is named as its author, not even as unknown
        ",
    );
}

#[test]
fn a_vote_of_a_role_that_was_taken_back_does_not_count() {
    let mut acme = Acme::running();
    acme.quietly(|acme| {
        acme.submit("dora", "2", manifest("w2", "p1", "d1"));
        acme.report("2", |_| {});
    });
    acme.sign("ben", "2", Approve);
    let grant = Grant {
        role: name("compliance"),
        scope: Scope::Organisation,
    };
    let revoke = Command::RevokeRole {
        person: name("ben"),
        grant,
    };
    acme.act("ada", "takes ben's role", revoke);
    acme.sign("cleo", "2", Approve);
    acme.sign("emil", "2", Approve);
    told(
        &acme,
        r"
        ben signs 2: approve
          review/triage/2/production/1 review.signed: ben approve as compliance, recorded
        ada takes ben's role
          person/ben role.revoked
        cleo signs 2: approve
          review/triage/2/production/1 review.signed: cleo approve as risk, recorded
        emil signs 2: approve
          review/triage/2/production/1 review.signed: emil approve as compliance, recorded
          review/triage/2/production/1 release.approved: by people until 2026-04-01T09:00:00Z
          model/triage model.current_set
        ",
    );
}

#[test]
fn a_vote_of_who_was_suspended_does_not_count() {
    let mut acme = Acme::running();
    acme.quietly(|acme| {
        acme.submit("dora", "2", manifest("w2", "p1", "d1"));
        acme.report("2", |_| {});
    });
    acme.sign("ben", "2", Approve);
    let suspend = Command::SuspendPerson {
        person: name("ben"),
        reason: sealed("left"),
    };
    acme.act("ada", "suspends ben", suspend);
    acme.sign("ben", "2", Approve);
    acme.sign("cleo", "2", Approve);
    acme.sign("ada", "2", Approve);
    told(
        &acme,
        r"
        ben signs 2: approve
          review/triage/2/production/1 review.signed: ben approve as compliance, recorded
        ada suspends ben
          person/ben person.suspended
        ben signs 2: approve
          no, suspended: this account is suspended or unknown
        cleo signs 2: approve
          review/triage/2/production/1 review.signed: cleo approve as risk, recorded
        ada signs 2: approve
          review/triage/2/production/1 review.signed: ada approve as compliance, recorded
          review/triage/2/production/1 release.approved: by people until 2026-04-01T09:00:00Z
          model/triage model.current_set
        ",
    );
}

#[test]
fn agents_and_services_never_sign() {
    let mut acme = Acme::running();
    acme.quietly(|acme| {
        acme.submit("dora", "2", manifest("w2", "p1", "d1"));
        acme.report("2", |_| {});
    });
    let (review, record) = acme.latest("2", "production").unwrap();
    for who in [
        "genesis",
        "clock",
        "robot",
        "scanner",
        "checker",
        "orchestrator",
        "monitor",
    ] {
        let reason = sealed("because");
        let sign = Sign {
            review: review.clone(),
            verdict: Approve,
            slot: None,
            reason,
            record,
        };
        let caller = Caller {
            reauthenticated: true,
            ..caller(who)
        };
        let answer = acme
            .ledger
            .submit(&caller, &[Command::Sign(sign)], acme.now);
        assert_eq!(answer, Err(Refusal::NotAPerson), "{who}");
    }
    // A service that says it is a person is found out by its account.
    let sign = Sign {
        review,
        verdict: Approve,
        slot: None,
        reason: sealed("because"),
        record,
    };
    let disguised = Caller::new("person/robot".parse().unwrap());
    let answer = acme
        .ledger
        .submit(&disguised, &[Command::Sign(sign)], acme.now);
    assert_eq!(answer, Err(Refusal::Suspended));
}

#[test]
fn what_lumos_sees_itself_is_never_taken_from_outside() {
    let mut acme = Acme::running();
    let digest = acme.ledger.keep(manifest("w2", "p1", "d1"));
    acme.quietly(|acme| acme.submit("dora", "2", manifest("w2", "p1", "d1")));
    for kind in OWN_KINDS {
        let evidence = |blob: &str| EvidenceRecorded {
            kind: kind.to_owned(),
            producer: "somebody".to_owned(),
            digest: Digest::of(blob.as_bytes()),
            sandbox: false,
        };
        let refused = Err(Refusal::OwnEvidence {
            kind: kind.to_owned(),
        });
        let record = |blob: &str| Command::RecordEvidence {
            release: release("2"),
            evidence: evidence(blob),
        };
        let identify = |blob: &str| {
            let evidence = vec![evidence(blob)];
            Command::IdentifyRelease(IdentifyRelease {
                release: release("2"),
                digest,
                evidence,
            })
        };
        for who in ["dora", "ada", "robot"] {
            let answer = acme.ledger.submit(&caller(who), &[record(who)], acme.now);
            assert_eq!(answer, refused, "{who}");
        }
        // `ada` and `robot` hold the scanner's right; the scan is still not theirs to claim.
        for who in ["ada", "robot"] {
            let answer = acme.ledger.submit(&caller(who), &[identify(who)], acme.now);
            assert_eq!(answer, refused, "{who}");
        }
        for command in [record("a"), identify("b")] {
            let answer = acme.ledger.submit(&caller("scanner"), &[command], acme.now);
            assert_eq!(answer.unwrap().len(), 1);
        }
    }
}
