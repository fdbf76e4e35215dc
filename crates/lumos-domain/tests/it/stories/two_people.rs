//! What one person alone cannot do: hand out roles, loosen rules, sign in as somebody else.

use lumos_domain::{
    Command,
    actor::{Caller, Grant, Right, Scope},
    facts::ModeScope,
    model::RegisterModel,
    org::SetMode,
    person::AddPerson,
    proposal::Governed,
    words::{Mode, ModelTier},
};

use super::told;
use crate::acme::{Acme, bundle, caller, confirm, gate, name, rules, sealed, triage, ward};

fn grant(person: &str, role: &str) -> Governed {
    let scope = Scope::Organisation;
    let (person, role) = (name(person), name(role));
    Governed::GrantRole {
        person,
        grant: Grant { role, scope },
    }
}

fn tier(tier: ModelTier) -> Governed {
    Governed::SetModelTier {
        model: name("triage"),
        tier,
        rationale: sealed("looked at again"),
    }
}

fn decline(change: &Governed) -> Command {
    Command::DeclineProposal {
        proposal: change.proposal().unwrap(),
        reason: sealed("not now"),
    }
}

#[test]
fn an_administrator_seats_no_puppet() {
    let mut acme = Acme::new();
    let puppet = AddPerson {
        person: name("pip"),
        name: sealed("Pip"),
        login: sealed("pip@acme.example"),
        service: false,
    };
    let seat = grant("pip", "compliance");
    let rule = grant("pip", "admin");
    let hash = sealed("a hash that ada knows");
    let enter = Governed::SetCredential {
        person: name("ben"),
        hash,
    };
    acme.act("ada", "adds pip", Command::AddPerson(puppet));
    acme.act("ada", "seats pip", seat.clone().into());
    acme.act("ada", "seats pip", seat.clone().into());
    acme.act("ada", "confirms", confirm(&seat));
    acme.act("pip", "confirms", confirm(&seat));
    acme.act("robot", "makes pip an administrator", rule.clone().into());
    acme.act("ada", "makes pip an administrator", rule.clone().into());
    acme.act("pip", "confirms", confirm(&rule));
    acme.act("cleo", "confirms", confirm(&rule));
    acme.act("ada", "sets the password of ben", enter.clone().into());
    acme.act("dora", "confirms", confirm(&enter));
    acme.act("sara", "says no", decline(&enter));
    acme.act("sara", "confirms", confirm(&enter));
    acme.act("sara", "confirms", confirm(&seat));
    acme.act("sara", "confirms", confirm(&seat));
    told(
        &acme,
        r"
        ada adds pip
          person/pip person.added
        ada seats pip
          proposal proposal.made: by ada, until 2026-03-16T09:00:00Z
        ada seats pip
          nothing to do
        ada confirms
          no, needs-second-person: this needs a second person; you asked for it yourself
        pip confirms
          no, not-allowed: this needs the right `govern`, which the caller does not hold here; ask someone with `manage-people` to grant a role that carries it
        robot makes pip an administrator
          no, not-a-person: only a signed-in person can do this; agents and services never sign
        ada makes pip an administrator
          proposal proposal.made: by ada, until 2026-03-16T09:00:00Z
        pip confirms
          no, not-allowed: this needs the right `govern`, which the caller does not hold here; ask someone with `manage-people` to grant a role that carries it
        cleo confirms
          no, not-allowed: this needs the right `govern`, which the caller does not hold here; ask someone with `manage-people` to grant a role that carries it
        ada sets the password of ben
          proposal proposal.made: by ada, until 2026-03-16T09:00:00Z
        dora confirms
          no, not-allowed: this needs the right `govern`, which the caller does not hold here; ask someone with `manage-people` to grant a role that carries it
        sara says no
          proposal proposal.declined
        sara confirms
          no, unknown-thing: there is no waiting proposal `5c7962a5e0a89d2fcbf1cd26bdcc54ce34f878b8`
        sara confirms
          person/pip role.granted
          proposal proposal.confirmed: first ada
        sara confirms
          no, unknown-thing: there is no waiting proposal `ba68f0f983466ed1e76e8c4cc5a82683e6697183`
        ",
    );
}

#[test]
fn what_tightens_needs_nobody_else() {
    let mut acme = Acme::new();
    let less = Governed::DefineRole {
        role: name("risk"),
        rights: [Right::Read].into(),
    };
    let more = Governed::DefineRole {
        role: name("risk"),
        rights: [Right::Read, Right::Govern].into(),
    };
    let mode = |mode| {
        Governed::SetMode(SetMode {
            scope: ModeScope::Every,
            environment: name("production"),
            mode,
            until: (mode == Mode::Observe).then_some("2026-03-08T09:00:00Z".parse().unwrap()),
            reason: sealed("a look"),
        })
    };
    acme.act("ada", "raises the tier", tier(ModelTier::High).into());
    acme.act("ada", "lowers the tier", tier(ModelTier::Low).into());
    acme.act("ada", "takes rights from risk", less.into());
    acme.act("ada", "gives risk rights", more.into());
    acme.act("ada", "enforces", mode(Mode::Enforce).into());
    acme.act("ada", "observes", mode(Mode::Observe).into());
    let mut model = triage();
    model.tier = ModelTier::High;
    model.facts.frameworks.insert("gdpr".to_owned());
    acme.act(
        "ada",
        "binds triage by more",
        Governed::RegisterModel(model.clone()).into(),
    );
    model.facts.frameworks.clear();
    acme.act(
        "ada",
        "binds triage by less",
        Governed::RegisterModel(model).into(),
    );
    let mut owner = triage();
    owner.tier = ModelTier::High;
    owner.facts.frameworks.insert("gdpr".to_owned());
    owner.facts.data_owner = None;
    acme.act(
        "ada",
        "lets otto sign",
        Governed::RegisterModel(owner).into(),
    );
    let mut system = ward();
    acme.act(
        "ada",
        "defines ward as it is",
        Governed::DefineSystem(system.clone()).into(),
    );
    system.facts.outage[0].choice = lumos_domain::facts::OutageChoice::ContinueHours(4);
    acme.act(
        "ada",
        "lets ward go on alone",
        Governed::DefineSystem(system).into(),
    );
    told(
        &acme,
        r"
        ada raises the tier
          model/triage model.tier_set
        ada lowers the tier
          proposal proposal.made: by ada, until 2026-03-16T09:00:00Z
        ada takes rights from risk
          org role.defined
        ada gives risk rights
          proposal proposal.made: by ada, until 2026-03-16T09:00:00Z
        ada enforces
          org mode.set: enforce
        ada observes
          proposal proposal.made: by ada, until 2026-03-16T09:00:00Z
        ada binds triage by more
          model/triage model.registered
          model/triage model.tier_set
        ada binds triage by less
          proposal proposal.made: by ada, until 2026-03-16T09:00:00Z
        ada lets otto sign
          proposal proposal.made: by ada, until 2026-03-16T09:00:00Z
        ada defines ward as it is
          system/ward system.defined
        ada lets ward go on alone
          proposal proposal.made: by ada, until 2026-03-16T09:00:00Z
        ",
    );
}

#[test]
fn a_proposal_holds_only_while_both_may_and_in_time() {
    let mut acme = Acme::new();
    let lower = tier(ModelTier::Low);
    let open = Governed::DefineGate(gate("sandbox", None));
    let ease = Governed::SetReviewRules(rules());
    acme.act("ada", "lowers the tier", lower.clone().into());
    acme.wait(14 * 24);
    acme.act("sara", "confirms", confirm(&lower));
    acme.act("ada", "lowers the tier", lower.clone().into());
    acme.act("sara", "confirms", confirm(&lower));
    acme.act("ada", "opens a gate", open.clone().into());
    acme.act("ada", "takes it back", decline(&open));
    acme.act("sara", "confirms", confirm(&open));
    acme.act("ada", "eases the rules", ease.clone().into());
    let gone = Command::RevokeRole {
        person: name("ada"),
        grant: Grant {
            role: name("admin"),
            scope: Scope::Organisation,
        },
    };
    let robot = Caller {
        limited_to: None,
        ..caller("robot")
    };
    drop(acme.act_as(&robot, "robot takes ada's role", gone));
    acme.act("sara", "confirms", confirm(&ease));
    told(
        &acme,
        r"
        ada lowers the tier
          proposal proposal.made: by ada, until 2026-03-16T09:00:00Z
        - 336 hours later
        sara confirms
          no, proposal-expired: nobody confirmed this within 14 days; propose it again
        ada lowers the tier
          proposal proposal.made: by ada, until 2026-03-30T09:00:00Z
        sara confirms
          model/triage model.tier_set
          proposal proposal.confirmed: first ada
        ada opens a gate
          proposal proposal.made: by ada, until 2026-03-30T09:00:00Z
        ada takes it back
          proposal proposal.declined
        sara confirms
          no, unknown-thing: there is no waiting proposal `364bcab0a45632c6bef56e9b390315c8e439b130`
        ada eases the rules
          proposal proposal.made: by ada, until 2026-03-30T09:00:00Z
        robot takes ada's role
          person/ada role.revoked
        sara confirms
          no, proposer-gone: whoever proposed this may no longer ask for it; propose it yourself
        ",
    );
}

#[test]
fn the_same_wish_of_two_people_is_their_agreement() {
    let mut acme = Acme::new();
    let open = Governed::DefineGate(gate("sandbox", None));
    acme.act("sara", "opens a gate", open.clone().into());
    acme.act("ada", "opens the same", open.into());
    let mut alone = Acme::founded(true);
    alone.act(
        "ada",
        "publishes alone in a sandbox",
        Governed::PublishBundle(lumos_domain::facts::BundleRef {
            version: "2".to_owned(),
            ..bundle()
        })
        .into(),
    );
    acme.log.push_str(&alone.log);
    told(
        &acme,
        r"
        sara opens a gate
          proposal proposal.made: by sara, until 2026-03-16T09:00:00Z
        ada opens the same
          org gate.defined
          proposal proposal.confirmed: first sara
        ada publishes alone in a sandbox
          bundle/starter bundle.published
        ",
    );
}

#[test]
fn a_proposal_does_not_undo_what_changed_meanwhile() {
    let mut acme = Acme::new();
    let soften = Governed::RegisterModel(RegisterModel {
        tier: ModelTier::Low,
        ..triage()
    });
    let mut more = triage();
    more.facts.frameworks.insert("gdpr".to_owned());
    acme.act("ada", "softens triage", soften.clone().into());
    acme.act(
        "ada",
        "binds triage by more",
        Governed::RegisterModel(more).into(),
    );
    acme.act("sara", "confirms", confirm(&soften));
    acme.act("ada", "softens triage after all", soften.clone().into());
    acme.act("sara", "confirms", confirm(&soften));
    told(
        &acme,
        r"
        ada softens triage
          proposal proposal.made: by ada, until 2026-03-16T09:00:00Z
        ada binds triage by more
          model/triage model.registered
          model/triage model.tier_set
        sara confirms
          no, proposal-outdated: what this would replace has changed since it was proposed; look at it again and propose it anew
        ada softens triage after all
          proposal proposal.made: by ada, until 2026-03-16T09:00:00Z
        sara confirms
          model/triage model.registered
          model/triage model.tier_set
          proposal proposal.confirmed: first ada
        ",
    );
}

#[test]
fn an_agreement_is_not_made_by_a_token_without_the_right_to_sign() {
    let mut acme = Acme::new();
    let open = Governed::DefineGate(gate("sandbox", None));
    let limited = |rights: &[Right]| Caller {
        limited_to: Some(rights.iter().copied().collect()),
        ..caller("ada")
    };
    acme.act("sara", "opens a gate", open.clone().into());
    let to_govern = limited(&[Right::Govern]);
    drop(acme.act_as(
        &to_govern,
        "ada, by a token to govern, opens the same",
        open.clone().into(),
    ));
    drop(acme.act_as(
        &to_govern,
        "ada, by a token to govern, confirms",
        confirm(&open),
    ));
    let to_sign = limited(&[Right::Govern, Right::Sign]);
    drop(acme.act_as(
        &to_sign,
        "ada, by a token to sign, confirms",
        confirm(&open),
    ));
    told(
        &acme,
        r"
        sara opens a gate
          proposal proposal.made: by sara, until 2026-03-16T09:00:00Z
        ada, by a token to govern, opens the same
          no, not-allowed: this needs the right `sign`, which the caller does not hold here; ask someone with `manage-people` to grant a role that carries it
        ada, by a token to govern, confirms
          no, not-allowed: this needs the right `sign`, which the caller does not hold here; ask someone with `manage-people` to grant a role that carries it
        ada, by a token to sign, confirms
          org gate.defined
          proposal proposal.confirmed: first sara
        ",
    );
}
