//! How heavy a review is, who sits in it, and what ends it.

use lumos_domain::{
    Command, Stream,
    proposal::Governed,
    words::{
        Enforcement, ModelTier, RuleResult, Severity,
        Verdict::{Approve, Reject, RequestChanges},
    },
};

use super::told;
use crate::acme::{Acme, gap, manifest, name, release, review, sealed};

#[test]
fn a_prompt_tweak_is_approved_by_rule() {
    let mut acme = Acme::running();
    acme.submit("dora", "2", manifest("w1", "p2", "d1"));
    acme.report("2", |_| {});
    acme.open("2", "production");
    told(
        &acme,
        r"
        dora submits 2
          release/triage/2 candidate.detected
        scanner identifies 2
          release/triage/2 release.identified
          subject/sha256:… evidence.recorded
        checker reports on 2
          release/triage/2 report.recorded
        orchestrator opens 2 for production
          release/triage/2 release.review_started
          review/triage/2/production/1 review.opened: auto for minor change []
          review/triage/2/production/1 release.approved: by rule until 2026-04-01T09:00:00Z
          model/triage model.current_set
        orchestrator opens 2 for production
          nothing to do
        ",
    );
}

#[test]
fn a_new_backbone_is_signed_by_two_roles() {
    let mut acme = Acme::running();
    acme.submit("dora", "2", manifest("w2", "p1", "d1"));
    acme.report("2", |_| {});
    acme.sign("finn", "2", Approve);
    acme.sign("ben", "2", Approve);
    acme.sign("ada", "2", Approve);
    acme.sign("cleo", "2", Approve);
    told(
        &acme,
        r"
        dora submits 2
          release/triage/2 candidate.detected
        scanner identifies 2
          release/triage/2 release.identified
          subject/sha256:… evidence.recorded
        checker reports on 2
          release/triage/2 report.recorded
        orchestrator opens 2 for production
          release/triage/2 release.review_started
          review/triage/2/production/1 review.opened: full for major change [1 × compliance recorded, 1 × risk recorded]
        finn signs 2: approve
          no, no-slot: no free slot is yours; this review still waits for: compliance, risk
        ben signs 2: approve
          review/triage/2/production/1 review.signed: ben approve as compliance, recorded
        ada signs 2: approve
          no, no-slot: no free slot is yours; this review still waits for: risk
        cleo signs 2: approve
          review/triage/2/production/1 review.signed: cleo approve as risk, recorded
          review/triage/2/production/1 release.approved: by people until 2026-04-01T09:00:00Z
          model/triage model.current_set
        ",
    );
}

#[test]
fn one_person_with_two_roles_fills_one_slot() {
    let mut acme = Acme::running();
    acme.quietly(|acme| {
        acme.submit("dora", "2", manifest("w2", "p1", "d1"));
        acme.report("2", |_| {});
    });
    acme.sign("emil", "2", Approve);
    acme.sign("emil", "2", Approve);
    acme.sign("ben", "2", Approve);
    acme.sign("cleo", "2", Approve);
    told(
        &acme,
        r"
        emil signs 2: approve
          review/triage/2/production/1 review.signed: emil approve as compliance, recorded
        emil signs 2: approve
          no, already-signed: you have signed this record already
        ben signs 2: approve
          no, no-slot: no free slot is yours; this review still waits for: risk
        cleo signs 2: approve
          review/triage/2/production/1 review.signed: cleo approve as risk, recorded
          review/triage/2/production/1 release.approved: by people until 2026-04-01T09:00:00Z
          model/triage model.current_set
        ",
    );
}

#[test]
fn a_slot_of_grade_part11_refuses_a_recorded_signature() {
    let mut acme = Acme::running();
    let tier = Governed::SetModelTier {
        model: name("triage"),
        tier: ModelTier::High,
        rationale: sealed("it decides about health now"),
    }
    .into();
    acme.act("ada", "raises the tier", tier);
    acme.submit("dora", "2", manifest("w1", "p2", "d1"));
    acme.report("2", |_| {});
    acme.sign("cleo", "2", Approve);
    acme.sign_again("cleo", "2", Approve);
    acme.sign("ben", "2", Approve);
    acme.sign_again("sara", "2", Approve);
    told(
        &acme,
        r"
        ada raises the tier
          model/triage model.tier_set
        dora submits 2
          release/triage/2 candidate.detected
        scanner identifies 2
          release/triage/2 release.identified
          subject/sha256:… evidence.recorded
        checker reports on 2
          release/triage/2 report.recorded
        orchestrator opens 2 for production
          release/triage/2 release.review_started
          review/triage/2/production/1 review.opened: panel for minor change [1 × compliance recorded, 1 × risk part11, 1 × senior part11]
        cleo signs 2: approve
          no, grade-too-low: this slot needs a signature of grade `part11`: sign again with your password
        cleo signs 2: approve
          review/triage/2/production/1 review.signed: cleo approve as risk, part11
        ben signs 2: approve
          review/triage/2/production/1 review.signed: ben approve as compliance, recorded
        sara signs 2: approve
          review/triage/2/production/1 review.signed: sara approve as senior, part11
          review/triage/2/production/1 release.approved: by people until 2026-04-01T09:00:00Z
          model/triage model.current_set
        ",
    );
}

#[test]
fn a_score_below_the_threshold_raises_the_depth() {
    let mut acme = Acme::running();
    acme.submit("dora", "2", manifest("w1", "p1", "d2"));
    acme.report("2", |facts| facts.below_threshold = true);
    told(
        &acme,
        r"
        dora submits 2
          release/triage/2 candidate.detected
        scanner identifies 2
          release/triage/2 release.identified
          subject/sha256:… evidence.recorded
        checker reports on 2
          release/triage/2 report.recorded
        orchestrator opens 2 for production
          release/triage/2 release.review_started
          review/triage/2/production/1 review.opened: full for moderate change [1 × compliance recorded, 1 × risk recorded] raised: the score is below the threshold
        ",
    );
}

#[test]
fn a_rule_that_routes_adds_a_slot_and_ends_auto() {
    let mut acme = Acme::running();
    acme.submit("dora", "2", manifest("w1", "p2", "d1"));
    acme.report("2", |facts| {
        let mut finding = gap("ACME-CARD-001", Enforcement::Advisory, Severity::Low);
        finding.routes_to = Some(name("clinical"));
        facts.results = vec![finding];
    });
    acme.sign("ben", "2", Approve);
    acme.sign("finn", "2", Approve);
    told(
        &acme,
        r"
        dora submits 2
          release/triage/2 candidate.detected
        scanner identifies 2
          release/triage/2 release.identified
          subject/sha256:… evidence.recorded
        checker reports on 2
          release/triage/2 report.recorded
        orchestrator opens 2 for production
          release/triage/2 release.review_started
          review/triage/2/production/1 review.opened: light for minor change [1 × compliance recorded, 1 × clinical recorded] raised: a rule routes to a reviewer
        ben signs 2: approve
          review/triage/2/production/1 review.signed: ben approve as compliance, recorded
        finn signs 2: approve
          review/triage/2/production/1 review.signed: finn approve as clinical, recorded
          review/triage/2/production/1 release.approved: by people until 2026-04-01T09:00:00Z
          model/triage model.current_set
        ",
    );
}

#[test]
fn a_failed_rule_blocks_whatever_the_votes() {
    for (enforcement, result) in [
        (Enforcement::Mandatory, RuleResult::Fail),
        (Enforcement::Mandatory, RuleResult::Waived),
        (Enforcement::Waivable, RuleResult::MissingEvidence),
        (Enforcement::Waivable, RuleResult::Error),
    ]
    .into_iter()
    {
        let mut acme = Acme::running();
        acme.submit("dora", "2", manifest("w1", "p2", "d1"));
        acme.report("2", |facts| {
            let mut failed = gap("ACME-SCAN-001", enforcement, Severity::High);
            failed.result = result;
            facts.results = vec![failed];
        });
        acme.sign("ben", "2", Approve);
        acme.sign("cleo", "2", Approve);
        told(
            &acme,
            r"
        dora submits 2
          release/triage/2 candidate.detected
        scanner identifies 2
          release/triage/2 release.identified
          subject/sha256:… evidence.recorded
        checker reports on 2
          release/triage/2 report.recorded
        orchestrator opens 2 for production
          release/triage/2 release.review_started
          review/triage/2/production/1 review.opened: light for minor change [1 × compliance recorded] blocked by ACME-SCAN-001 raised: a blocking gap ends auto
        ben signs 2: approve
          no, blocked: nobody can approve this release while these rules fail: ACME-SCAN-001; mend them, then a new report is made
        cleo signs 2: approve
          no, blocked: nobody can approve this release while these rules fail: ACME-SCAN-001; mend them, then a new report is made
        ",
        );
    }
}

#[test]
fn what_a_report_leaves_out_or_cannot_score_blocks() {
    let mut acme = Acme::running();
    acme.submit("dora", "2", manifest("w1", "p2", "d1"));
    acme.report("2", |facts| {
        facts.omitted = 1;
        facts.score = None;
    });
    acme.sign("ben", "2", Approve);
    told(
        &acme,
        r"
        dora submits 2
          release/triage/2 candidate.detected
        scanner identifies 2
          release/triage/2 release.identified
          subject/sha256:… evidence.recorded
        checker reports on 2
          release/triage/2 report.recorded
        orchestrator opens 2 for production
          release/triage/2 release.review_started
          review/triage/2/production/1 review.opened: light for minor change [1 × compliance recorded] blocked by (omitted results) and (no rule applied) raised: a blocking gap ends auto
        ben signs 2: approve
          no, blocked: nobody can approve this release while these rules fail: (omitted results), (no rule applied); mend them, then a new report is made
        ",
    );
}

#[test]
fn a_critical_gap_pauses_and_escalates_and_no_timer_approves() {
    let mut acme = Acme::running();
    acme.submit("dora", "2", manifest("w1", "p2", "d1"));
    acme.report("2", |facts| {
        facts.results = vec![gap(
            "ACME-SCAN-001",
            Enforcement::Waivable,
            Severity::Critical,
        )];
    });
    let due = |key: &str| Command::TimerDue {
        stream: Stream::Review(review("2", "production", 1)),
        key: key.to_owned(),
    };
    acme.wait(4);
    acme.act("clock", "rings `critical`", due("critical"));
    acme.act("clock", "rings `critical`", due("critical"));
    acme.wait(68);
    acme.act("clock", "rings `overdue`", due("overdue"));
    acme.act("clock", "rings `approve`", due("approve"));
    acme.sign("sara", "2", Approve);
    told(
        &acme,
        r"
        dora submits 2
          release/triage/2 candidate.detected
        scanner identifies 2
          release/triage/2 release.identified
          subject/sha256:… evidence.recorded
        checker reports on 2
          release/triage/2 report.recorded
        orchestrator opens 2 for production
          release/triage/2 release.review_started
          review/triage/2/production/1 review.opened: light for minor change [1 × compliance recorded] blocked by ACME-SCAN-001 raised: a blocking gap ends auto
          review/triage/2/production/1 review.paused: ACME-SCAN-001, escalates 2026-03-02T13:00:00Z
        - 4 hours later
        clock rings `critical`
          review/triage/2/production/1 review.escalated: to senior, a critical gap stayed open
        clock rings `critical`
          nothing to do
        - 68 hours later
        clock rings `overdue`
          nothing to do
        clock rings `approve`
          nothing to do
        sara signs 2: approve
          no, blocked: nobody can approve this release while these rules fail: ACME-SCAN-001; mend them, then a new report is made
        ",
    );
}

#[test]
fn an_overdue_review_escalates_once() {
    let mut acme = Acme::running();
    acme.quietly(|acme| {
        acme.submit("dora", "2", manifest("w2", "p1", "d1"));
        acme.report("2", |_| {});
    });
    acme.sign("ben", "2", Approve);
    acme.wait(72);
    let stream = Stream::Review(review("2", "production", 1));
    let due = |key: &str| Command::TimerDue {
        stream: stream.clone(),
        key: key.to_owned(),
    };
    acme.act("clock", "rings `critical`", due("critical"));
    acme.act("clock", "rings `overdue`", due("overdue"));
    acme.act("ada", "rings `overdue`", due("overdue"));
    acme.sign("cleo", "2", Approve);
    acme.sign("sara", "2", Approve);
    acme.act("clock", "rings `overdue`", due("overdue"));
    told(
        &acme,
        r"
        ben signs 2: approve
          review/triage/2/production/1 review.signed: ben approve as compliance, recorded
        - 72 hours later
        clock rings `critical`
          nothing to do
        clock rings `overdue`
          review/triage/2/production/1 review.escalated: to senior, nobody decided in time
        ada rings `overdue`
          no, not-allowed: this needs the right `govern`, which the caller does not hold here; ask someone with `manage-people` to grant a role that carries it
        cleo signs 2: approve
          review/triage/2/production/1 review.signed: cleo approve as risk, recorded
        sara signs 2: approve
          review/triage/2/production/1 review.signed: sara approve as senior, recorded
          review/triage/2/production/1 release.approved: by people until 2026-04-04T09:00:00Z
          model/triage model.current_set
        clock rings `overdue`
          nothing to do
        ",
    );
}

#[test]
fn changes_lead_to_a_new_round_and_a_rejection_to_none() {
    let mut acme = Acme::running();
    acme.quietly(|acme| {
        acme.submit("dora", "2", manifest("w2", "p1", "d1"));
        acme.report("2", |_| {});
    });
    acme.sign("finn", "2", RequestChanges);
    acme.sign("ben", "2", RequestChanges);
    acme.sign("cleo", "2", Approve);
    acme.open("2", "production");
    acme.wait(1);
    acme.report("2", |_| {});
    acme.sign("cleo", "2", Reject);
    acme.wait(1);
    acme.report("2", |_| {});
    told(
        &acme,
        r"
        finn signs 2: request_changes
          no, no-slot: no free slot is yours; this review still waits for: compliance, risk
        ben signs 2: request_changes
          review/triage/2/production/1 review.signed: ben request_changes, recorded
          review/triage/2/production/1 review.closed: changes requested by a reviewer
        cleo signs 2: approve
          no, review-not-open: this review is closed or was never opened
        orchestrator opens 2 for production
          nothing to do
        - 1 hours later
        checker reports on 2
          release/triage/2 report.recorded
        orchestrator opens 2 for production
          release/triage/2 release.review_started
          review/triage/2/production/2 review.opened: full for major change [1 × compliance recorded, 1 × risk recorded]
        cleo signs 2: reject
          review/triage/2/production/2 review.signed: cleo reject, recorded
          review/triage/2/production/2 review.closed: rejected by a reviewer
        - 1 hours later
        checker reports on 2
          release/triage/2 report.recorded
        orchestrator opens 2 for production
          no, review-not-open: this review is closed or was never opened
        ",
    );
}

#[test]
fn a_test_release_is_never_approved() {
    let mut acme = Acme::running();
    acme.submit_as("dora", "2-light", manifest("w1", "p2", "d1"), |facts| {
        facts.test = true;
    });
    acme.report("2-light", |_| {});
    acme.open("2-light", "production");
    acme.submit_as("dora", "2-full", manifest("w2", "p1", "d1"), |facts| {
        facts.test = true;
    });
    acme.report("2-full", |_| {});
    acme.sign("ben", "2-full", Approve);
    let withdraw = Command::WithdrawRelease {
        release: release("2-full"),
        reason: sealed("tried"),
    };
    acme.act("dora", "withdraws 2-full", withdraw);
    acme.sign("ben", "2-full", Approve);
    told(
        &acme,
        r"
        dora submits 2-light
          release/triage/2-light candidate.detected
        scanner identifies 2-light
          release/triage/2-light release.identified
          subject/sha256:… evidence.recorded
        checker reports on 2-light
          release/triage/2-light report.recorded
        orchestrator opens 2-light for production
          release/triage/2-light release.review_started
          review/triage/2-light/production/1 review.opened: auto for minor change []
          review/triage/2-light/production/1 review.closed: withdrawn
        orchestrator opens 2-light for production
          nothing to do
        dora submits 2-full
          release/triage/2-full candidate.detected
        scanner identifies 2-full
          release/triage/2-full release.identified
          subject/sha256:… evidence.recorded
        checker reports on 2-full
          release/triage/2-full report.recorded
        orchestrator opens 2-full for production
          release/triage/2-full release.review_started
          review/triage/2-full/production/1 review.opened: full for major change [1 × compliance recorded, 1 × risk recorded]
        ben signs 2-full: approve
          no, test-release: this is a test release; it can be reviewed, never approved
        dora withdraws 2-full
          release/triage/2-full release.withdrawn
          review/triage/2-full/production/1 review.closed: withdrawn
        ben signs 2-full: approve
          no, withdrawn: this release was withdrawn
        ",
    );
}
