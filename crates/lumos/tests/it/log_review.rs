//! The review of the log over the command line: asked for, shown, signed by the right person, and told to auditors.

use serde_json::Value;

use crate::{
    cluster::Cluster,
    world::{Said, World},
};

const SET: &str = "log-review set --within-days 7 --reason 'our rule'";

/// The range as somebody is shown it.
async fn shown(world: &World, login: &str) -> Value {
    let said = world.say_as(login, "log-review show --json").await.json();
    said["range"].clone()
}

/// Signs for what was shown.
async fn sign(world: &World, login: &str, range: &Value, finding: &str) -> Said {
    let (from, size) = (&range["from"], &range["size"]);
    let record = range["record"].as_str().unwrap();
    let line = format!(
        "log-review sign --from {from} --size {size} --record {record} --finding {finding} --reason 'read it'"
    );
    world.say_as(login, &line).await
}

#[tokio::test]
async fn somebody_else_than_the_administrator_signs_for_the_log() {
    let world = World::acme().await;
    let everybody = format!("{SET} --role compliance-officer --every-days 30");
    let less = format!("{SET} --role compliance-officer --every-days 60");
    let theirs = format!("{SET} --role gatekeeper --every-days 30");
    world
        .check_as(&[
            ("compliance", "log-review show", 0, "not asked for"),
            (
                "risk",
                "evidence-pack --from 2020-01-01 --out before",
                0,
                "in `before`",
            ),
            ("compliance", &everybody, 3, "not-allowed"),
            ("administrator", &theirs, 1, "may not `read`"),
            ("administrator", &everybody, 0, "log_review.set"),
            ("administrator", &everybody, 0, "nothing to do"),
            ("administrator", &less, 0, "needs a second person"),
            (
                "administrator",
                "log-review end --reason 'who reads logs'",
                0,
                "needs a second person",
            ),
            ("risk", "proposal list", 0, "have nobody review the log"),
            ("compliance", "log-review show", 0, "to sign for it"),
            ("developer", "log-review show", 0, "not yours to sign"),
            (
                "compliance",
                "log-review entries people",
                0,
                "lumos.person.added.v1",
            ),
            ("compliance", "log-review entries gossip", 1, "unknown-word"),
            ("administrator", "check", 0, "log review: not due"),
        ])
        .await;
    signed_once(&world).await;
    told_to_auditors(&world).await;
    made_again(&world).await;
    world.ledger_verifies("risk").await;
}

async fn signed_once(world: &World) {
    let range = shown(world, "compliance").await;
    sign(world, "developer", &range, "nothing-found")
        .await
        .is(3, "no-slot");
    sign(world, "compliance", &range, "all-good")
        .await
        .is(1, "unknown-word");
    sign(world, "compliance", &range, "found")
        .await
        .is(0, "log_review.signed");
    sign(world, "compliance", &range, "found")
        .await
        .is(3, "log-range");
}

async fn told_to_auditors(world: &World) {
    world
        .check_as(&[
            ("risk", "log-review list", 0, "read it"),
            (
                "risk",
                "ask log-reviews",
                0,
                "signed as compliance officer: found",
            ),
            ("risk", "ask reviewers", 0, "log reviews  1"),
            (
                "risk",
                "evidence-pack --from 2020-01-01 --out pack",
                0,
                "in `pack`",
            ),
        ])
        .await;
    let table = std::fs::read_to_string(world.path("pack/workpapers/log-reviews.csv")).unwrap();
    assert!(
        table.contains("signed as compliance officer: found"),
        "{table}"
    );
    // What nobody was asked for at first is no gap any more.
    for (pack, gaps) in [("before", true), ("pack", false)] {
        let unseen = world.path(&format!("{pack}/workpapers/unseen.csv"));
        let unseen = std::fs::read_to_string(unseen).unwrap();
        assert_eq!(unseen.contains("log not examined"), gaps, "{unseen}");
    }
    let vkey = world.vkey().to_owned();
    world
        .say_as("risk", &format!("ledger verify pack --vkey {vkey}"))
        .await
        .is(0, "");
}

/// Anybody who has the entries makes the record again that was signed for.
async fn made_again(world: &World) {
    world
        .say_as("risk", "ledger export export")
        .await
        .is(0, "exported");
    let vkey = world.vkey().to_owned();
    for verify in ["ledger verify export", "ledger verify"] {
        let verify = format!("{verify} --vkey {vkey}");
        world.say_as("risk", &verify).await.is(
            0,
            "1 signatures on reviews of the log, each record made again",
        );
    }
}

/// What the organisation file asks for holds from the founding on.
#[tokio::test]
async fn an_organisation_is_founded_with_reviews_of_its_log() {
    let mut world = World::prepared(|settings| settings);
    let organisation = std::fs::read_to_string(world.path("organisation.yaml")).unwrap();
    for (asked, starts) in [
        ("{role: nobody, every_days: 30, within_days: 7}", false),
        (
            "{role: compliance-officer, every_days: 30, within_days: 7}",
            true,
        ),
    ] {
        let with = format!("{organisation}\nlog_review: {asked}\n");
        world.write("organisation.yaml", with);
        if starts {
            world.start(2).await;
        } else {
            world.say("serve").await.is(1, "may not `read`");
        }
    }
    world
        .check_as(&[(
            "administrator",
            "log-review show",
            0,
            "role: compliance-officer",
        )])
        .await;
}

/// Whoever holds the role and changed people in the range is refused, even as the only one; then somebody else comes.
#[tokio::test]
async fn an_administrator_does_not_examine_their_own_deeds() {
    let world = World::acme().await;
    let role = "log-review set --role administrator --every-days 30 --within-days 7 --reason 'us'";
    world
        .check_as(&[
            ("administrator", role, 0, "log_review.set"),
            ("administrator", "user add pip --name Pip", 0, "password"),
        ])
        .await;
    let range = shown(&world, "administrator").await;
    let not_yours = range["not_yours"].as_str().unwrap();
    assert!(not_yours.contains("people"), "{not_yours}");
    sign(&world, "administrator", &range, "nothing-found")
        .await
        .is(3, "own-acts");
}

#[tokio::test]
async fn real_the_log_is_reviewed_on_postgresql() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let url = cluster.url("lumos", &cluster.database());
    let database = format!("postgres: {{url: '{url}', replicas: 1}}\n");
    let world = World::acme_with(|settings| settings + &database).await;
    let asked = format!("{SET} --role compliance-officer --every-days 30");
    world
        .say_as("administrator", &asked)
        .await
        .is(0, "log_review.set");
    let range = shown(&world, "compliance").await;
    sign(&world, "compliance", &range, "nothing-found")
        .await
        .is(0, "log_review.signed");
    world
        .check_as(&[
            ("risk", "ask log-reviews", 0, "nothing found"),
            ("risk", "ask overdue", 0, "0 in all"),
            ("risk", "ask who", 0, "role administrator"),
        ])
        .await;
    world.ledger_verifies("risk").await;
}
