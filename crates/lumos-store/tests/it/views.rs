//! The engine's views over a real store: what must be read to its end is.

use lumos_engine::{
    ports::{Statement, Store as _},
    views,
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
