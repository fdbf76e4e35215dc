//! The engine's views over a real store: what must be read to its end is, and a release is where its entries say.

use std::sync::Arc;

use jiff::Timestamp;
use lumos_domain::{actor::Actor, event::Event, stream::Stream};
use lumos_engine::{
    key::ServerKey,
    ports::{Statement, Store as _},
    views::{self, Facts},
};
use lumos_store::SqliteStore;

/// More than any page.
const MANY: i64 = 10_500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_open_review_of_a_model_is_found_behind_those_of_others() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path(), &lumos_engine::schema()).unwrap();
    let review = |n: i64, model: &str, state: &str| {
        Statement {
        sql: "INSERT INTO reviews (review, model, version, environment, state, depth, blocking, opened_us, entry)
              VALUES ($1, $2, $3, 'production', $4, 'full', 0, 0, $5)",
        params: vec![
            format!("{model}/{n}/production/1").into(),
            model.into(),
            n.to_string().into(),
            state.into(),
            n.into(),
        ],
    }
    };
    let mut rows: Vec<_> = (0..MANY).map(|n| review(n, "triage", "open")).collect();
    rows.push(review(MANY, "summary", "open"));
    rows.push(review(MANY + 1, "summary", "approved"));
    store.execute(rows).await.unwrap();

    let entries = async |model: Option<&str>| {
        let model = model.map(|model| model.parse().unwrap());
        let all = views::reviews::all_open(&store, model.as_ref()).await;
        all.unwrap()
            .iter()
            .map(|row| row.entry.cast_signed())
            .collect::<Vec<_>>()
    };
    assert_eq!(entries(Some("summary")).await, [MANY]);
    assert_eq!(entries(Some("triage")).await, (0..MANY).collect::<Vec<_>>());
    assert_eq!(entries(None).await, (0..=MANY).collect::<Vec<_>>());
    assert_eq!(entries(Some("other")).await, [] as [i64; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_release_in_a_state_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path(), &lumos_engine::schema()).unwrap();
    let release = |n: i64| Statement {
        sql: "INSERT INTO releases (model, version, state, test, detected_us, entry)
              VALUES ('triage', $1, $2, 0, 0, $3)",
        params: vec![
            n.to_string().into(),
            if n == 7 { "detected" } else { "checked" }.into(),
            n.into(),
        ],
    };
    store
        .execute((0..MANY).map(release).collect())
        .await
        .unwrap();
    let found = views::releases::in_state(&store, "checked").await.unwrap();
    let found: Vec<_> = found.iter().map(|id| id.version.to_string()).collect();
    let expected: Vec<_> = (0..MANY)
        .filter(|n| *n != 7)
        .map(|n| n.to_string())
        .collect();
    assert_eq!(found, expected);
}

/// New evidence has a release checked again while people look at it: it must not be taken for one that nobody has looked at.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_that_is_checked_again_stays_in_review() {
    macro_rules! event {
        ($kind:literal) => {
            (
                $kind,
                include_str!(concat!(
                    "../../../lumos-domain/tests/golden/events/",
                    $kind,
                    ".json"
                )),
            )
        };
    }
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path(), &lumos_engine::schema()).unwrap();
    let detected = Statement {
        sql: "INSERT INTO releases (model, version, state, test, detected_us, entry)
              VALUES ('triage', '1', 'identified', 0, 0, 0)",
        params: Vec::new(),
    };
    store.execute(vec![detected]).await.unwrap();
    let facts = Facts::none(&Arc::new(ServerKey::new([7; 32])));
    let (release, review) = ("release/triage/1", "review/triage/1/production/1");
    for (stream, (kind, data), state) in [
        (release, event!("lumos.report.recorded.v1"), "checked"),
        (review, event!("lumos.review.opened.v1"), "in review"),
        (release, event!("lumos.report.recorded.v1"), "in review"),
        (
            review,
            event!("lumos.review.record_changed.v1"),
            "in review",
        ),
        (review, event!("lumos.review.paused.v1"), "paused"),
        (release, event!("lumos.report.recorded.v1"), "paused"),
        (
            review,
            event!("lumos.review.record_changed.v1"),
            "in review",
        ),
        (review, event!("lumos.release.approved.v1"), "approved"),
    ] {
        let (stream, event) = (stream.parse::<Stream>(), Event::decode(kind, data));
        let (stream, event) = (stream.unwrap(), event.unwrap());
        let actor = Actor::Clock;
        let means = views::project(&stream, &actor, &event, Timestamp::UNIX_EPOCH, &facts);
        let means = means
            .into_iter()
            .filter(|means| means.sql.contains("releases"));
        store.execute(means.collect()).await.unwrap();
        let found = views::releases::in_state(&store, state).await.unwrap();
        assert_eq!(found.len(), 1, "not {state} after {kind}");
    }
}
