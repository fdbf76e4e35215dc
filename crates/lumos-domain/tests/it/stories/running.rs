//! After the approval: its end, assignments, promotion, and the settings of the house.

use lumos_domain::{
    Command,
    event::PromotionObserved,
    facts::Cause,
    proposal::Governed,
    system::PromotionOutcome,
    words::{Depth, Verdict::Approve},
};

use super::told;
use crate::acme::{Acme, agents, binding, manifest, name, release, review, rules, sealed};

fn revoke(version: &str, reason: Option<&str>) -> Command {
    Command::RevokeApproval {
        review: review(version, "production", 1),
        cause: Cause::Person,
        reason: reason.map(sealed),
    }
}

#[test]
fn what_was_approved_in_a_sandbox_ends_with_it() {
    let mut acme = Acme::founded(true);
    let mut alone = rules();
    let one = alone.depths[&Depth::Light].clone();
    alone.depths.insert(Depth::Full, one);
    acme.act(
        "ada",
        "eases the rules",
        Governed::SetReviewRules(alone).into(),
    );
    acme.submit_as("ada", "1", manifest("w1", "p1", "d1"), |facts| {
        facts.agents = agents(&["ward/intake"]);
    });
    acme.report("1", |_| {});
    acme.sign("ada", "1", Approve);
    acme.assign("1", "ward/intake");
    acme.act(
        "ada",
        "leaves alone",
        Command::LeaveSandbox {
            founder: name("ada"),
        },
    );
    acme.act(
        "ada",
        "leaves with ben",
        Command::LeaveSandbox {
            founder: name("ben"),
        },
    );
    acme.act(
        "ada",
        "leaves with sara",
        Command::LeaveSandbox {
            founder: name("sara"),
        },
    );
    acme.act(
        "ada",
        "leaves again",
        Command::LeaveSandbox {
            founder: name("cleo"),
        },
    );
    let promote = Command::IntendPromotion {
        approval: review("1", "production", 1),
    };
    acme.act("orchestrator", "promotes 1", promote);
    let ended = Command::RevokeApproval {
        review: review("1", "production", 1),
        cause: Cause::SandboxLeft,
        reason: None,
    };
    acme.act("orchestrator", "revokes 1", ended);
    told(
        &acme,
        r"
        ada eases the rules
          org review_rules.set
        ada submits 1
          release/triage/1 candidate.detected
        scanner identifies 1
          release/triage/1 release.identified
          subject/sha256:… evidence.recorded
        checker reports on 1
          release/triage/1 report.recorded
        orchestrator opens 1 for production
          release/triage/1 release.review_started
          review/triage/1/production/1 review.opened: full for major change [1 × compliance recorded]
        ada signs 1: approve
          review/triage/1/production/1 review.signed: ada approve as compliance, recorded
          review/triage/1/production/1 release.approved: by people until 2026-04-01T09:00:00Z
          model/triage model.current_set
        orchestrator assigns 1 to ward/intake
          assignment/ward/intake/production assignment.set: 1
        ada leaves alone
          no, bad-founders: an organisation is founded by two different people, a sandbox by one
        ada leaves with ben
          no, founder-cannot-govern: the second founder needs a role with `govern` and a password of their own first; otherwise nobody could confirm what needs two people
        ada leaves with sara
          org sandbox.left
        ada leaves again
          no, not-a-sandbox: this is no sandbox
        orchestrator promotes 1
          no, no-approval: there is no approval to rest on: it was given in a sandbox that was left
        orchestrator revokes 1
          review/triage/1/production/1 approval.revoked: the sandbox was left
        ",
    );
}

#[test]
fn a_review_opened_in_a_sandbox_is_signed_anew_outside() {
    let mut acme = Acme::founded(true);
    acme.quietly(|acme| {
        acme.submit("dora", "2", manifest("w2", "p1", "d1"));
        acme.report("2", |_| {});
    });
    acme.sign("otto", "2", Approve);
    let leave = Command::LeaveSandbox {
        founder: name("sara"),
    };
    acme.act("ada", "leaves with ben", leave);
    acme.sign("ben", "2", Approve);
    acme.open("2", "production");
    acme.report("2", |_| {});
    acme.sign("ben", "2", Approve);
    acme.sign("cleo", "2", Approve);
    told(
        &acme,
        r"
        otto signs 2: approve
          review/triage/2/production/1 review.signed: otto approve as compliance, recorded
        ada leaves with ben
          org sandbox.left
        ben signs 2: approve
          no, report-from-sandbox: the report was made in a sandbox that was left; the compliance checker makes a new one
        orchestrator opens 2 for production
          no, report-from-sandbox: the report was made in a sandbox that was left; the compliance checker makes a new one
        checker reports on 2
          release/triage/2 report.recorded
        orchestrator opens 2 for production
          review/triage/2/production/1 review.record_changed: full for major change [1 × compliance recorded, 1 × risk recorded]
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
fn an_approval_is_revoked_by_a_person_with_a_reason() {
    let mut acme = Acme::running();
    acme.act("dora", "revokes 1", revoke("1", Some("no right")));
    acme.act("orchestrator", "revokes 1", revoke("1", Some("no person")));
    acme.act("ben", "revokes 1", revoke("1", None));
    acme.act("ben", "revokes 1", revoke("1", Some("it drifts")));
    acme.act("ben", "revokes 1", revoke("1", Some("again")));
    told(
        &acme,
        r"
        dora revokes 1
          no, not-allowed: this needs the right `revoke`, which the caller does not hold here; ask someone with `manage-people` to grant a role that carries it
        orchestrator revokes 1
          no, not-a-person: only a signed-in person can do this; agents and services never sign
        ben revokes 1
          no, empty-text: the reason is empty
        ben revokes 1
          review/triage/1/production/1 approval.revoked: revoked by a person
        ben revokes 1
          nothing to do
        ",
    );
}

#[test]
fn what_a_person_revoked_is_not_approved_again_by_rule() {
    let mut acme = Acme::running();
    acme.quietly(|acme| {
        acme.submit_as("dora", "2", manifest("w2", "p1", "d1"), |facts| {
            facts.agents = agents(&["ward/intake"]);
        });
        acme.report("2", |_| {});
        acme.sign("ben", "2", Approve);
        acme.sign("cleo", "2", Approve);
        acme.assign("2", "ward/intake");
    });
    acme.submit_as("dora", "3", manifest("w2", "p3", "d1"), |facts| {
        facts.agents = agents(&["ward/intake"]);
    });
    acme.report("3", |_| {});
    acme.act("ben", "revokes 3", revoke("3", Some("it insults people")));
    acme.wait(1);
    acme.report("3", |_| {});
    acme.act(
        "ben",
        "revokes 2",
        revoke("2", Some("so does the backbone")),
    );
    acme.submit_as("dora", "4", manifest("w2", "p4", "d1"), |facts| {
        facts.agents = agents(&["ward/intake"]);
    });
    acme.report("4", |_| {});
    told(
        &acme,
        r"
        dora submits 3
          release/triage/3 candidate.detected
        scanner identifies 3
          release/triage/3 release.identified
          subject/sha256:… evidence.recorded
        checker reports on 3
          release/triage/3 report.recorded
        orchestrator opens 3 for production
          release/triage/3 release.review_started
          review/triage/3/production/1 review.opened: auto for minor change []
          review/triage/3/production/1 release.approved: by rule until 2026-04-01T09:00:00Z
          model/triage model.current_set
        ben revokes 3
          review/triage/3/production/1 approval.revoked: revoked by a person
        - 1 hours later
        checker reports on 3
          release/triage/3 report.recorded
        orchestrator opens 3 for production
          release/triage/3 release.review_started
          review/triage/3/production/2 review.opened: light for minor change [1 × compliance recorded] raised: a person sent it back
        ben revokes 2
          review/triage/2/production/1 approval.revoked: revoked by a person
        dora submits 4
          release/triage/4 candidate.detected
        scanner identifies 4
          release/triage/4 release.identified
          subject/sha256:… evidence.recorded
        checker reports on 4
          release/triage/4 report.recorded
        orchestrator opens 4 for production
          release/triage/4 release.review_started
          review/triage/4/production/1 review.opened: full for major change [1 × compliance recorded, 1 × risk recorded]
        ",
    );
}

#[test]
fn an_agent_uses_only_what_was_approved_for_it() {
    let mut acme = Acme::running();
    acme.quietly(|acme| {
        for version in ["2", "3"] {
            let content = manifest(&format!("w{version}"), "p1", "d1");
            acme.submit_as("dora", version, content, |facts| {
                facts.agents = agents(&["ward/intake"]);
            });
            acme.report(version, |_| {});
            acme.sign("ben", version, Approve);
            if version == "2" {
                acme.sign("cleo", version, Approve);
            }
        }
    });
    let mut staging = |assignment: &str, version: &str| {
        let approval = review(version, "production", 1);
        let assign = Command::Assign {
            assignment: name(assignment),
            approval,
        };
        acme.act(
            "orchestrator",
            &format!("assigns {version} to {assignment}"),
            assign,
        );
    };
    staging("ward/summary/production", "2");
    staging("ward/intake/staging", "2");
    staging("ward/nobody/production", "2");
    staging("ward/intake/production", "3");
    staging("ward/intake/production", "2");
    staging("ward/intake/production", "2");
    // What it is compared with changed: it is read and signed again.
    acme.sign("cleo", "3", Approve);
    acme.quietly(|acme| {
        acme.report("3", |_| {});
        acme.sign("ben", "3", Approve);
    });
    acme.sign("cleo", "3", Approve);
    acme.wait(2);
    acme.assign("3", "ward/intake");
    acme.wait(30 * 24);
    acme.assign("2", "ward/intake");
    told(
        &acme,
        r"
        orchestrator assigns 2 to ward/summary/production
          no, no-approval: there is no approval to rest on: the approval is not for agent `ward/summary` in `production`
        orchestrator assigns 2 to ward/intake/staging
          no, no-approval: there is no approval to rest on: the approval is not for agent `ward/intake` in `staging`
        orchestrator assigns 2 to ward/nobody/production
          no, unknown-thing: there is no agent `ward/nobody`
        orchestrator assigns 3 to ward/intake/production
          no, no-approval: there is no approval to rest on: the review has not ended in one
        orchestrator assigns 2 to ward/intake/production
          assignment/ward/intake/production assignment.set: 2
        orchestrator assigns 2 to ward/intake/production
          nothing to do
        cleo signs 3: approve
          no, stale-record: the record changed since you saw it (sha256:… is now sha256:…); read it again, then sign
        cleo signs 3: approve
          review/triage/3/production/1 review.signed: cleo approve as risk, recorded
          review/triage/3/production/1 release.approved: by people until 2026-04-01T09:00:00Z
          model/triage model.current_set
        - 2 hours later
        orchestrator assigns 3 to ward/intake
          assignment/ward/intake/production assignment.set: 3, 2 until 2026-03-02T12:00:00Z
        - 720 hours later
        orchestrator assigns 2 to ward/intake
          no, no-approval: there is no approval to rest on: it expired at 2026-04-01T09:00:00Z
        ",
    );
}

#[test]
fn a_promotion_is_ordered_once_after_its_assignment() {
    let mut acme = Acme::running();
    let bind = Governed::BindModel {
        model: name("triage"),
        binding: binding(),
    };
    acme.govern("ada", "binds triage", bind.clone());
    acme.act("ada", "binds triage", bind.into());
    acme.quietly(|acme| {
        acme.submit_as("dora", "2", manifest("w2", "p1", "d1"), |facts| {
            facts.agents = agents(&["ward/intake"]);
            facts.source.registry = name("mlflow");
        });
        acme.report("2", |_| {});
        acme.sign("ben", "2", Approve);
    });
    let approval = review("2", "production", 1);
    let promote = Command::IntendPromotion {
        approval: approval.clone(),
    };
    acme.act("orchestrator", "promotes 2", promote.clone());
    acme.sign("cleo", "2", Approve);
    acme.act("orchestrator", "promotes 2", promote.clone());
    acme.assign("2", "ward/intake");
    acme.act("orchestrator", "promotes 2", promote.clone());
    acme.act("orchestrator", "promotes 2", promote);
    let settle = |marker: String| Command::SettlePromotion {
        release: release("2"),
        outcome: PromotionOutcome::Observed(PromotionObserved {
            marker,
            read_back: "2".to_owned(),
        }),
    };
    acme.act(
        "orchestrator",
        "reads back another",
        settle("lumos:other".to_owned()),
    );
    acme.act(
        "orchestrator",
        "reads 2 back",
        settle(format!("lumos:{approval}")),
    );
    acme.act(
        "orchestrator",
        "reads 2 back",
        settle(format!("lumos:{approval}")),
    );
    told(
        &acme,
        r"
        ada binds triage
          proposal proposal.made: by ada, until 2026-03-16T09:00:00Z
        sara confirms
          model/triage model.bound
          proposal proposal.confirmed: first ada
        ada binds triage
          nothing to do
        orchestrator promotes 2
          no, no-approval: there is no approval to rest on: the review has not ended in one
        cleo signs 2: approve
          review/triage/2/production/1 review.signed: cleo approve as risk, recorded
          review/triage/2/production/1 release.approved: by people until 2026-04-01T09:00:00Z
          model/triage model.current_set
        orchestrator promotes 2
          no, no-approval: there is no approval to rest on: it is not assigned to `ward/intake` yet
        orchestrator assigns 2 to ward/intake
          assignment/ward/intake/production assignment.set: 2
        orchestrator promotes 2
          release/triage/2 promotion.intended: champion to 2
        orchestrator promotes 2
          nothing to do
        orchestrator reads back another
          no, unknown-thing: there is no promotion `lumos:other`
        orchestrator reads 2 back
          release/triage/2 promotion.observed
        orchestrator reads 2 back
          nothing to do
        ",
    );
}

#[test]
fn a_withdrawn_release_is_over_and_an_approved_one_is_not_withdrawn() {
    let mut acme = Acme::running();
    acme.quietly(|acme| {
        acme.submit("dora", "2", manifest("w2", "p1", "d1"));
        acme.report("2", |_| {});
    });
    let withdraw = |version: &str| Command::WithdrawRelease {
        release: release(version),
        reason: sealed("wrong files"),
    };
    acme.act("dora", "withdraws 2", withdraw("2"));
    acme.act("dora", "withdraws 2", withdraw("2"));
    acme.sign("ben", "2", Approve);
    acme.open("2", "production");
    acme.act("dora", "withdraws 1", withdraw("1"));
    told(
        &acme,
        r"
        dora withdraws 2
          release/triage/2 release.withdrawn
          review/triage/2/production/1 review.closed: withdrawn
        dora withdraws 2
          no, withdrawn: this release was withdrawn
        ben signs 2: approve
          no, withdrawn: this release was withdrawn
        orchestrator opens 2 for production
          no, withdrawn: this release was withdrawn
        dora withdraws 1
          no, already-approved: this release is approved; revoke the approval instead of withdrawing
        ",
    );
}

#[test]
fn an_agent_that_comes_late_to_an_approval_does_not_put_it_over_a_later_one() {
    let mut acme = Acme::running();
    acme.quietly(|acme| {
        for version in ["2", "3"] {
            let weights = format!("w{version}");
            let content = manifest(&weights, "p1", "d1");
            acme.submit_as("dora", version, content, |facts| {
                facts.agents = agents(&["ward/intake"]);
            });
            acme.report(version, |_| {});
            acme.sign("ben", version, Approve);
            acme.sign("cleo", version, Approve);
        }
    });
    acme.assign("2", "ward/intake");
    acme.assign("3", "ward/intake");
    acme.assign("2", "ward/intake");
    let back = Command::Assign {
        assignment: name("ward/intake/production"),
        approval: review("2", "production", 1),
    };
    acme.act("ada", "goes back to 2", back);
    told(
        &acme,
        r"
        orchestrator assigns 2 to ward/intake
          assignment/ward/intake/production assignment.set: 2
        orchestrator assigns 3 to ward/intake
          assignment/ward/intake/production assignment.set: 3, 2 until 2026-03-02T10:00:00Z
        orchestrator assigns 2 to ward/intake
          no, no-approval: there is no approval to rest on: `ward/intake` runs what was approved later
        ada goes back to 2
          assignment/ward/intake/production assignment.set: 2, 3 until 2026-03-02T10:00:00Z
        ",
    );
}
