//! What needs two people, over the command line: one proposes, another settles it.

use crate::world::World;

const BY: &str = "administrator";

/// Acme with two proposals of its administrator, oldest first: a puppet's seat, and somebody's password.
async fn two_waiting() -> (World, [String; 2]) {
    let world = World::acme().await;
    let (hire, seat) = (
        "user add pip --name Pip",
        "role grant pip compliance-officer",
    );
    world
        .check_as(&[
            (BY, "role grant administrator risk", 3, "own-role"),
            (BY, hire, 0, "first password"),
            (BY, seat, 0, "needs a second person"),
            (BY, seat, 0, "nothing to do"),
            (BY, "user invite compliance", 0, "needs a second person"),
            (BY, "check", 0, "proposals that wait: 2"),
        ])
        .await;
    let waiting = world.say_as("risk", "proposal list --json").await.json();
    let ids = waiting.as_array().unwrap().iter();
    let ids: Vec<_> = ids
        .map(|told| told["proposal"].as_str().unwrap().to_owned())
        .collect();
    (world, ids.try_into().unwrap())
}

#[tokio::test]
async fn whoever_proposes_cannot_confirm_and_whoever_confirms_sees_what() {
    let (world, [seat, enter]) = two_waiting().await;
    let confirm = format!("proposal confirm {seat}");
    let show = format!("proposal show {enter}");
    world
        .check_as(&[
            (BY, &confirm, 3, "needs-second-person"),
            ("developer", &confirm, 3, "not-allowed"),
            (
                "developer",
                "proposal list",
                0,
                "make Pip (pip) compliance-officer",
            ),
            ("risk", &show, 0, "can sign in as them"),
            ("risk", &confirm, 0, "lumos.role.granted.v1"),
            ("risk", &confirm, 1, "unknown-thing"),
        ])
        .await;
    world.ledger_verifies("risk").await;
}

#[tokio::test]
async fn what_was_declined_never_happens() {
    let (world, [_, enter]) = two_waiting().await;
    let decline = format!("proposal decline {enter} --reason 'call them first'");
    let before = world.person("compliance").await;
    world
        .check_as(&[
            ("developer", &decline, 3, "not-allowed"),
            ("risk", &decline, 0, "lumos.proposal.declined.v1"),
            (
                "risk",
                &format!("proposal confirm {enter}"),
                1,
                "unknown-thing",
            ),
        ])
        .await;
    // The password is what it was, and so is the session.
    world.person("compliance").await;
    before.get("/api/v1/me").await;
}

#[tokio::test]
async fn whose_password_two_people_set_is_signed_out_everywhere() {
    let (world, [_, enter]) = two_waiting().await;
    let before = world.person("compliance").await;
    let confirm = format!("proposal confirm {enter}");
    world.say_as("risk", &confirm).await.is(0, "credential.set");
    let asked = before.peer.get("/api/v1/me").send().await.unwrap();
    assert_eq!(asked.status, 401);
}
