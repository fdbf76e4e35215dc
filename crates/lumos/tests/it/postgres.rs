//! The whole server on PostgreSQL: a release goes its way there as on SQLite, and what was acknowledged outlives the
//! server and the database.

use crate::{
    cluster::Cluster,
    world::{World, promoted},
};

#[tokio::test]
async fn real_a_release_goes_its_way_on_postgresql() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let url = cluster.url("lumos", &cluster.database());
    let database = |replicas: u16| format!("postgres: {{url: '{url}', replicas: {replicas}}}\n");
    let mut world = World::acme_with(|settings| settings + &database(1)).await;
    world.approve("1.0").await;
    let developer = world.person("developer").await;
    developer.until("triage/1.0", promoted).await;
    world.ledger_verifies("developer").await;
    let history = world.history("triage/1.0").await;
    assert!(
        !world.path("lumos-data/lumos.db").exists() && !world.path("lumos-data/blobs").exists()
    );

    // A second server on the same files is refused; one that says there are several is, wherever it runs.
    world.say("serve").await.is(1, "in use");
    let settings = std::fs::read_to_string(world.path("lumos.yaml")).unwrap();
    world.kill().await;
    world.write("lumos.yaml", settings.replace("replicas: 1", "replicas: 2"));
    world.say("serve").await.is(1, "anchor-not-shared");
    world.write("lumos.yaml", &settings);

    cluster.kill();
    world.say("serve").await.is(1, "database-failed");
    cluster.up();
    world.start(0).await;
    assert_eq!(world.history("triage/1.0").await, history);
    world.reviewed("1.1").await;

    // It goes away under a running server, and comes back.
    cluster.kill();
    cluster.up();
    world.reviewed("1.2").await;
    world.ledger_verifies("developer").await;
}
