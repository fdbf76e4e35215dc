//! The questions auditors ask live, asked of a small organisation in which something happened.

use crate::world::{World, promoted};

#[tokio::test]
async fn auditors_get_answers_while_they_wait() {
    let world = World::acme().await;
    let gate = "gate --model triage --env production --version 0.9 --agent ward/intake";
    world.say_as("platform", gate).await.is(3, "deny");
    world.approve("1.0").await;
    let developer = world.person("developer").await;
    developer.until("triage/1.0", promoted).await;
    let changes = world
        .say_as("risk", "ask changes")
        .await
        .is(0, "triage/1.0");
    for text in [
        "approved before  yes",
        "by others  yes",
        "same digest  yes",
        "0 with a check",
    ] {
        assert!(changes.out.contains(text), "{text}: {changes:?}");
    }
    world
        .check_as(&[
            (
                "risk",
                "ask refused",
                0,
                "asked for triage 0.9 in production",
            ),
            ("risk", "ask bypass", 0, "loosened by two people"),
            ("risk", "ask who", 0, "role administrator"),
            ("risk", "ledger export export", 0, "exported"),
            ("risk", "ask reads", 0, "export"),
            (
                "administrator",
                "hold set model/triage --reason 'a case'",
                0,
                "hold.set",
            ),
            ("risk", "ask erased", 0, "hold set"),
            (
                "risk",
                "ask why",
                1,
                "ask who, changes, refused, bypass, reads, erased, log-reviews, overdue or reviewers",
            ),
            (
                "risk",
                "ask changes --from 2001-01-01 --to 2001-12-31",
                0,
                "0 in all",
            ),
            (
                "risk",
                "ask changes --from yesterday",
                1,
                "`yesterday` is no day",
            ),
        ])
        .await;
    world
        .check_as(&[
            ("risk", "ask log-reviews", 0, "0 in all"),
            ("risk", "ask overdue", 0, "0 in all"),
            ("risk", "ask reviewers", 0, "within a minute"),
        ])
        .await;
    as_a_workpaper(&world).await;
}

/// Every row names an entry that an export holds.
async fn as_a_workpaper(world: &World) {
    let developer = world.person("developer").await;
    let json = world.say_as("risk", "ask changes --json").await.json();
    let rows = json["rows"].as_array().unwrap();
    assert!(rows.len() >= 2 && json["wrong"] == 0, "{json:#}");
    for row in rows {
        let entry = row[1].as_u64().unwrap();
        let entry = developer
            .get(&format!("/api/v1/ledger/entries/{entry}"))
            .await;
        let kind = entry["type"].as_str().unwrap();
        assert!(kind.ends_with("set.v1"), "{kind}");
    }
}
