//! Each write as *failed* and as *failed but happened*: asking by command id tells them apart.

use lumos_engine::ports::{AppendError, Statement, Store};
use lumos_store::fault::{Fault, FaultyStore};

use crate::world::{append, check_whole, id, open};

#[tokio::test]
async fn an_append_that_failed_can_be_told_from_one_that_happened() {
    let dir = tempfile::tempdir().unwrap();
    let store = FaultyStore::new(open(&dir));
    store.plan([
        Fault::Failed,
        Fault::Persisted,
        Fault::None,
        Fault::Persisted,
    ]);
    let first = append("c1", &[("org", 1)], &[("org", 0)]);

    let failed = store.append(first.clone()).await;
    assert!(matches!(failed, Err(AppendError::Store(_))));
    assert_eq!(store.appended(&id("c1")).await.unwrap(), None);

    let lost = store.append(first.clone()).await;
    assert!(matches!(lost, Err(AppendError::Store(_))));
    assert!(store.appended(&id("c1")).await.unwrap().is_some());

    assert!(
        store.append(first).await.unwrap().repeated,
        "it is not done again"
    );
    let stale = store.append(append("c2", &[("org", 1)], &[])).await;
    assert!(
        matches!(stale, Err(AppendError::Conflict { .. })),
        "a refusal is never lost"
    );
    assert_eq!(store.planned(), 0);
    assert_eq!(check_whole(&store).await, 1);
}

#[tokio::test]
async fn an_operational_change_fails_before_or_after() {
    let dir = tempfile::tempdir().unwrap();
    let store = FaultyStore::new(open(&dir));
    let insert = || Statement {
        sql: "INSERT INTO leases (name) VALUES ($1)",
        params: vec!["a".into()],
    };
    let leases = async || {
        store
            .query("SELECT name FROM leases", vec![])
            .await
            .unwrap()
            .len()
    };
    store.plan([Fault::Failed, Fault::Persisted]);
    store.execute(vec![insert()]).await.unwrap_err();
    assert_eq!(leases().await, 0);
    store.execute(vec![insert()]).await.unwrap_err();
    assert_eq!(leases().await, 1);
    assert_eq!(check_whole(store.inner()).await, 0);
}
