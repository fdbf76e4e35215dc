//! Accounts that somebody else controls: what they can never do.

use lumos_domain::{
    Command,
    actor::{Grant, Right, Scope},
    person::{AddPerson, IssueToken},
    proposal::Governed,
    words::ModelTier,
};

use super::told;
use crate::acme::{Acme, claim, confirm, manifest, name, release, sealed};

fn puppet() -> Command {
    Command::AddPerson(AddPerson {
        person: name("pip"),
        name: sealed("Pip"),
        login: sealed("pip@acme.example"),
        service: false,
    })
}

#[test]
fn whoever_knows_the_first_password_can_do_nothing_with_it() {
    let mut acme = Acme::new();
    let first = |hash: &str| Governed::SetCredential {
        person: name("pip"),
        hash: sealed(hash),
    };
    let token = |id: &str| -> Command {
        Governed::IssueToken(IssueToken {
            person: name("pip"),
            token: name(id),
            hash: sealed(id),
            rights: [Right::Sign, Right::Govern].into(),
            purpose: sealed("to act as pip"),
            expires: "2026-06-01T09:00:00Z".parse().unwrap(),
        })
        .into()
    };
    let lower = Governed::SetModelTier {
        model: name("triage"),
        tier: ModelTier::Low,
        rationale: sealed("looked at again"),
    };
    let confirm = || confirm(&lower);
    let administrator = Governed::GrantRole {
        person: name("pip"),
        grant: Grant {
            role: name("admin"),
            scope: Scope::Organisation,
        },
    };
    acme.act("ada", "adds pip", puppet());
    acme.act(
        "ada",
        "sets the password of pip",
        first("known to ada").into(),
    );
    acme.act("pip", "asks for a token", token("t1"));
    acme.act("pip", "changes the password", first("pip's own").into());
    acme.act("pip", "asks for a token", token("t1"));
    acme.act(
        "ada",
        "sets the password of pip again",
        first("known again").into(),
    );
    acme.act("pip", "asks for a token", token("t2"));
    acme.act(
        "pip",
        "revokes t1",
        Command::RevokeToken {
            person: name("pip"),
            token: name("t1"),
        },
    );
    acme.govern("ada", "makes pip an administrator", administrator);
    acme.act("ada", "lowers the tier", lower.clone().into());
    acme.act("pip", "confirms", confirm());
    acme.act(
        "pip",
        "changes the password",
        first("pip's own again").into(),
    );
    acme.act("pip", "confirms", confirm());
    told(
        &acme,
        r"
        ada adds pip
          person/pip person.added
        ada sets the password of pip
          person/pip credential.set
        pip asks for a token
          no, password-known: your password was set by somebody else; change it first: until then it may be somebody else who asks
        pip changes the password
          person/pip credential.set
        pip asks for a token
          person/pip token.issued
        ada sets the password of pip again
          person/pip credential.set
        pip asks for a token
          no, password-known: your password was set by somebody else; change it first: until then it may be somebody else who asks
        pip revokes t1
          nothing to do
        ada makes pip an administrator
          proposal proposal.made: by ada, until 2026-03-16T09:00:00Z
        sara confirms
          person/pip role.granted
          proposal proposal.confirmed: first ada
        ada lowers the tier
          proposal proposal.made: by ada, until 2026-03-16T09:00:00Z
        pip confirms
          no, password-known: your password was set by somebody else; change it first: until then it may be somebody else who asks
        pip changes the password
          person/pip credential.set
        pip confirms
          model/triage model.tier_set
          proposal proposal.confirmed: first ada
        ",
    );
}

#[test]
fn a_puppet_takes_no_authorship_upon_itself() {
    let mut acme = Acme::new();
    acme.quietly(|acme| {
        acme.submit_as("scanner", "2", manifest("w1", "p2", "d1"), |facts| {
            facts.claims = vec![claim("A. D.")];
        });
    });
    let take = || Command::ClaimAuthorship {
        release: release("2"),
        claim: 1,
    };
    acme.act("ada", "adds pip", puppet());
    acme.act("pip", "says that they wrote it", take());
    acme.act("finn", "says that they wrote it", take());
    acme.act("dora", "says that they wrote it", take());
    told(
        &acme,
        r"
        ada adds pip
          person/pip person.added
        pip says that they wrote it
          no, not-allowed: this needs the right `submit`, which the caller does not hold here; ask someone with `manage-people` to grant a role that carries it
        finn says that they wrote it
          no, not-allowed: this needs the right `submit`, which the caller does not hold here; ask someone with `manage-people` to grant a role that carries it
        dora says that they wrote it
          release/triage/2 author.claimed: dora
        ",
    );
}
