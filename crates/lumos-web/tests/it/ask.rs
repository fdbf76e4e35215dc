//! What auditors ask, over a real store.

use lumos_domain::{
    actor::{Grant, Right, Scope},
    command::Command,
    id::PersonId,
    proposal::Governed,
};
use lumos_engine::ask::{Cell, Period, Question, ask};

use crate::events::{ROBOT, with_agent};

/// What is asked of several types of entries is answered in the order in which they happened, however many there are.
#[tokio::test]
async fn an_answer_follows_the_order_of_the_ledger() {
    let site = with_agent().await;
    for n in 0..121 {
        let (person, grant): (PersonId, _) = (
            ROBOT.parse().unwrap(),
            Grant {
                role: "checker".parse().unwrap(),
                scope: Scope::Model("letters".parse().unwrap()),
            },
        );
        let command = match n % 2 {
            0 => Governed::GrantRole { person, grant }.into(),
            _ => Command::RevokeRole { person, grant },
        };
        site.as_ada(&format!("again-{n}"), |_| command).await;
    }
    for n in 0..120 {
        let define = Governed::DefineRole {
            role: format!("role-{n}").parse().unwrap(),
            rights: [Right::Read].into(),
        };
        site.as_ada(&format!("role-{n}"), |_| define.into()).await;
    }
    let period = Period {
        from: jiff::Timestamp::MIN,
        to: jiff::Timestamp::MAX,
    };
    let store = &*site.door.ports().store;
    let who = ask(store, Question::Who, &period).await.unwrap();
    let last = Cell::Text("model letters".to_owned());
    let letters = who.rows.iter().filter(|row| row.contains(&last));
    let letters: Vec<_> = letters.collect();
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert!(letters[0].contains(&Cell::Text("read, add-evidence".to_owned())));
}
