//! What is signed is what was seen: records, reports and digests that change underway.

use lumos_domain::{
    Command,
    event::EvidenceRecorded,
    facts::BundleRef,
    id::Digest,
    proposal::Governed,
    words::{
        Enforcement, Severity,
        Verdict::{Approve, Reject},
    },
};

use super::told;
use crate::acme::{Acme, gap, gate, manifest, name, release};

/// Version 2, a new backbone, in review.
fn in_review() -> Acme {
    let mut acme = Acme::running();
    acme.quietly(|acme| {
        acme.submit("dora", "2", manifest("w2", "p1", "d1"));
        acme.report("2", |_| {});
    });
    acme
}

fn evidence(kind: &str) -> EvidenceRecorded {
    EvidenceRecorded {
        kind: kind.to_owned(),
        producer: "acme-eval 1.2".to_owned(),
        digest: Digest::of(kind.as_bytes()),
        sandbox: false,
    }
}

#[test]
fn a_record_that_changed_is_read_and_signed_again() {
    let mut acme = in_review();
    let (_, seen) = acme.latest("2", "production").unwrap();
    acme.sign("ben", "2", Approve);
    acme.wait(1);
    acme.report("2", |_| {});
    acme.sign_record("cleo", "2", Approve, seen, false);
    acme.sign("cleo", "2", Approve);
    acme.sign("ben", "2", Approve);
    told(
        &acme,
        r"
        ben signs 2: approve
          review/triage/2/production/1 review.signed: ben approve as compliance, recorded
        - 1 hours later
        checker reports on 2
          release/triage/2 report.recorded
        orchestrator opens 2 for production
          review/triage/2/production/1 review.record_changed: full for major change [1 × compliance recorded, 1 × risk recorded]
        cleo signs 2: approve
          no, stale-record: the record changed since you saw it (sha256:… is now sha256:…); read it again, then sign
        cleo signs 2: approve
          review/triage/2/production/1 review.signed: cleo approve as risk, recorded
        ben signs 2: approve
          review/triage/2/production/1 review.signed: ben approve as compliance, recorded
          review/triage/2/production/1 release.approved: by people until 2026-04-01T10:00:00Z
          model/triage model.current_set
        ",
    );
}

#[test]
fn nobody_signs_on_while_a_newer_report_waits() {
    let mut acme = in_review();
    acme.sign("ben", "2", Approve);
    acme.wait(1);
    let mut facts = acme.facts("2", "production").unwrap();
    facts.results = vec![gap("ACME-SCAN-001", Enforcement::Mandatory, Severity::High)];
    let record = Command::RecordReport {
        release: release("2"),
        report: facts,
    };
    acme.act("checker", "reports on 2", record);
    acme.sign("cleo", "2", Approve);
    acme.open("2", "production");
    acme.sign("cleo", "2", Approve);
    told(
        &acme,
        r"
        ben signs 2: approve
          review/triage/2/production/1 review.signed: ben approve as compliance, recorded
        - 1 hours later
        checker reports on 2
          release/triage/2 report.recorded
        cleo signs 2: approve
          no, stale-record: the record changed since you saw it (sha256:… is now sha256:…); read it again, then sign
        orchestrator opens 2 for production
          review/triage/2/production/1 review.record_changed: full for major change [1 × compliance recorded, 1 × risk recorded] blocked by ACME-SCAN-001
        cleo signs 2: approve
          no, blocked: nobody can approve this release while these rules fail: ACME-SCAN-001; mend them, then a new report is made
        ",
    );
}

#[test]
fn nobody_signs_over_evidence_that_no_report_covers() {
    let mut acme = in_review();
    let record = Command::RecordEvidence {
        release: release("2"),
        evidence: evidence("fairness"),
    };
    acme.act("dora", "adds evidence", record);
    acme.sign("ben", "2", Approve);
    acme.open("2", "production");
    acme.report("2", |_| {});
    acme.sign("ben", "2", Approve);
    told(
        &acme,
        r"
        dora adds evidence
          subject/sha256:… evidence.recorded
        ben signs 2: approve
          no, report-outdated: the report covers evidence up to 1, but there is evidence up to 2; the compliance checker makes a new one
        orchestrator opens 2 for production
          no, report-outdated: the report covers evidence up to 1, but there is evidence up to 2; the compliance checker makes a new one
        checker reports on 2
          release/triage/2 report.recorded
        orchestrator opens 2 for production
          review/triage/2/production/1 review.record_changed: full for major change [1 × compliance recorded, 1 × risk recorded]
        ben signs 2: approve
          review/triage/2/production/1 review.signed: ben approve as compliance, recorded
        ",
    );
}

#[test]
fn one_record_is_signed_once_and_a_closed_review_not_at_all() {
    let mut acme = in_review();
    acme.sign("ben", "2", Approve);
    acme.sign("ben", "2", Approve);
    acme.sign("ben", "2", Reject);
    acme.sign("cleo", "2", Approve);
    acme.sign("emil", "2", Approve);
    acme.sign("emil", "2", Reject);
    told(
        &acme,
        r"
        ben signs 2: approve
          review/triage/2/production/1 review.signed: ben approve as compliance, recorded
        ben signs 2: approve
          no, already-signed: you have signed this record already
        ben signs 2: reject
          no, already-signed: you have signed this record already
        cleo signs 2: approve
          review/triage/2/production/1 review.signed: cleo approve as risk, recorded
          review/triage/2/production/1 release.approved: by people until 2026-04-01T09:00:00Z
          model/triage model.current_set
        emil signs 2: approve
          no, review-not-open: this review is closed or was never opened
        emil signs 2: reject
          no, review-not-open: this review is closed or was never opened
        ",
    );
}

#[test]
fn a_report_grows_too_old_for_the_gate() {
    let mut acme = in_review();
    acme.sign("ben", "2", Approve);
    acme.wait(14 * 24 + 1);
    acme.sign("cleo", "2", Approve);
    told(
        &acme,
        r"
        ben signs 2: approve
          review/triage/2/production/1 review.signed: ben approve as compliance, recorded
        - 337 hours later
        cleo signs 2: approve
          no, report-too-old: the report is older than the 14 days this gate allows
        ",
    );
}

#[test]
fn other_bytes_under_a_version_are_a_finding() {
    let mut acme = in_review();
    acme.identify("2", manifest("w2 swapped", "p1", "d1"));
    acme.identify("2", manifest("w2", "p1", "d1"));
    acme.sign("ben", "2", Approve);
    acme.sign("cleo", "2", Approve);
    told(
        &acme,
        r"
        scanner identifies 2
          release/triage/2 release.digest_conflict_found
        scanner identifies 2
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
fn a_gate_may_ask_for_the_one_before_it() {
    let mut acme = Acme::running();
    acme.govern(
        "ada",
        "puts staging first",
        Governed::DefineGate(gate("production", Some("staging"))),
    );
    acme.submit("dora", "2", manifest("w1", "p2", "d1"));
    acme.report("2", |_| {});
    let request = Command::RequestGate {
        release: release("2"),
        environment: name("staging"),
        agents: [].into(),
    };
    acme.act("dora", "asks for staging", request);
    acme.report_for("2", "staging", |_| {});
    let staged = acme.latest("2", "staging").unwrap();
    for who in ["ben", "cleo"] {
        let sign = lumos_domain::review::Sign {
            review: staged.0.clone(),
            verdict: Approve,
            slot: None,
            reason: crate::acme::sealed("because"),
            record: staged.1,
        };
        acme.act(who, "signs 2 for staging", Command::Sign(sign));
    }
    acme.open("2", "production");
    told(
        &acme,
        r"
        ada puts staging first
          proposal proposal.made: by ada, until 2026-03-16T09:00:00Z
        sara confirms
          org gate.defined
          proposal proposal.confirmed: first ada
        dora submits 2
          release/triage/2 candidate.detected
        scanner identifies 2
          release/triage/2 release.identified
          subject/sha256:… evidence.recorded
        checker reports on 2
          release/triage/2 report.recorded
        orchestrator opens 2 for production
          no, gate-closed: the gate to `production` is closed: the same release must hold a live approval for `staging` first
        dora asks for staging
          release/triage/2 gate.requested
        checker reports on 2
          release/triage/2 report.recorded
        orchestrator opens 2 for staging
          release/triage/2 release.review_started
          review/triage/2/staging/1 review.opened: full for major change [1 × compliance recorded, 1 × risk recorded]
        ben signs 2 for staging
          review/triage/2/staging/1 review.signed: ben approve as compliance, recorded
        cleo signs 2 for staging
          review/triage/2/staging/1 review.signed: cleo approve as risk, recorded
          review/triage/2/staging/1 release.approved: by people until 2026-04-01T09:00:00Z
          model/triage model.current_set
        orchestrator opens 2 for production
          release/triage/2 release.review_started
          review/triage/2/production/1 review.opened: auto for minor change []
          review/triage/2/production/1 release.approved: by rule until 2026-04-01T09:00:00Z
          model/triage model.current_set
        ",
    );
}

#[test]
fn a_report_must_be_of_the_policy_in_force() {
    let mut acme = Acme::running();
    acme.quietly(|acme| acme.submit("dora", "2", manifest("w1", "p2", "d1")));
    let stricter = BundleRef {
        name: name("starter"),
        version: "2".to_owned(),
        digest: Digest::of(b"starter 2"),
    };
    acme.govern(
        "ada",
        "publishes starter 2",
        Governed::PublishBundle(stricter.clone()),
    );
    let other = BundleRef {
        digest: Digest::of(b"other"),
        ..stricter.clone()
    };
    acme.govern(
        "ada",
        "publishes starter 2 anew",
        Governed::PublishBundle(other),
    );
    acme.report("2", |_| {});
    acme.report("2", |facts| facts.bundles = [stricter].into());
    told(
        &acme,
        r"
        ada publishes starter 2
          proposal proposal.made: by ada, until 2026-03-16T09:00:00Z
        sara confirms
          bundle/starter bundle.published
          proposal proposal.confirmed: first ada
        ada publishes starter 2 anew
          no, already-exists: there is already a policy bundle version `starter 2`
        checker reports on 2
          release/triage/2 report.recorded
        orchestrator opens 2 for production
          no, report-lacks-bundle: the report does not hold the release against `starter`, which binds this model
        checker reports on 2
          release/triage/2 report.recorded
        orchestrator opens 2 for production
          release/triage/2 release.review_started
          review/triage/2/production/1 review.opened: auto for minor change []
          review/triage/2/production/1 release.approved: by rule until 2026-04-01T09:00:00Z
          model/triage model.current_set
        ",
    );
}

#[test]
fn what_was_recorded_in_a_sandbox_is_recorded_again_outside() {
    let mut acme = Acme::founded(true);
    acme.quietly(|acme| {
        acme.submit("dora", "2", manifest("w2", "p1", "d1"));
        acme.report("2", |_| {});
    });
    let bring = Command::RecordEvidence {
        release: release("2"),
        evidence: evidence("evaluation"),
    };
    acme.act("dora", "brings it", bring.clone());
    acme.act("dora", "brings it", bring.clone());
    let leave = Command::LeaveSandbox {
        founder: name("sara"),
    };
    acme.act("ada", "leaves with sara", leave);
    acme.act("dora", "brings it", bring.clone());
    acme.act("dora", "brings it", bring);
    told(
        &acme,
        r"
        dora brings it
          subject/sha256:… evidence.recorded
        dora brings it
          nothing to do
        ada leaves with sara
          org sandbox.left
        dora brings it
          subject/sha256:… evidence.recorded
        dora brings it
          nothing to do
        ",
    );
}

#[test]
fn what_was_revoked_is_asked_for_again() {
    let mut acme = Acme::running();
    let ask = Command::RequestGate {
        release: release("1"),
        environment: name("production"),
        agents: [].into(),
    };
    acme.act("dora", "asks for production", ask.clone());
    let approval = acme.latest("1", "production").unwrap().0;
    let revoke = Command::RevokeApproval {
        review: approval,
        cause: lumos_domain::facts::Cause::Person,
        reason: Some(crate::acme::sealed("it drifts")),
    };
    acme.act("ben", "revokes 1", revoke);
    acme.act("dora", "asks for production", ask);
    told(
        &acme,
        r"
        dora asks for production
          nothing to do
        ben revokes 1
          review/triage/1/production/1 approval.revoked: revoked by a person
        dora asks for production
          release/triage/1 gate.requested
        ",
    );
}
