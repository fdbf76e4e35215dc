//! TLS with a real PostgreSQL: nothing goes to a server that cannot prove who it is, nor in the clear to one that
//! should.

use std::path::PathBuf;

use lumos_engine::ports::Store as _;
use lumos_store::{PostgresSettings, PostgresStore};
use rcgen::{CertifiedKey, KeyPair};
use tempfile::TempDir;

use crate::{
    cluster::Cluster,
    world::{SCHEMA, append, check_whole},
};

fn certificate(name: &str) -> CertifiedKey<KeyPair> {
    rcgen::generate_simple_self_signed([name.to_owned()]).unwrap()
}

/// Has the server show this certificate from now on.
fn shows(cluster: &Cluster, shown: &CertifiedKey<KeyPair>) {
    let files = [
        ("server.key", shown.signing_key.serialize_pem()),
        ("server.crt", shown.cert.pem()),
    ];
    for (file, pem) in files {
        // Written by the server itself, in its own folder, for nobody else to read.
        let copy = format!(
            r"COPY (SELECT unnest(string_to_array('{}', E'\n'))) TO PROGRAM 'umask 077; cat > {file}'",
            pem.trim_end()
        );
        cluster.sql("postgres", &copy);
    }
    cluster.sql("postgres", "ALTER SYSTEM SET ssl = on");
    cluster.restart();
}

/// What becomes of opening a store that demands TLS and trusts `trusted`: the error and all that it says.
async fn opening(
    cluster: &Cluster,
    database: &str,
    trusted: &CertifiedKey<KeyPair>,
) -> Result<PostgresStore, String> {
    let dir = TempDir::new().unwrap();
    let roots: PathBuf = dir.path().join("roots.pem");
    std::fs::write(&roots, trusted.cert.pem()).unwrap();
    let url = cluster.url("lumos", database);
    let settings = PostgresSettings {
        url: format!("{url}?sslmode=require&sslrootcert={}", roots.display()),
        owner_url: None,
        accept_loss: false,
    };
    PostgresStore::open(&settings, SCHEMA)
        .await
        .map_err(|error| format!("{}: {error:?}", error.code()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_a_server_proves_who_it_is_before_anything_is_sent() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let database = cluster.database();
    let (own, stranger) = (certificate("127.0.0.1"), certificate("127.0.0.1"));
    // One without TLS is not talked to in the clear instead.
    let refused = opening(&cluster, &database, &own).await.err().unwrap();
    assert!(refused.starts_with("database-failed"), "{refused}");

    shows(&cluster, &own);
    let store = opening(&cluster, &database, &own).await.unwrap();
    for version in 1..=3 {
        let next = append(&format!("c{version}"), &[("org", version)], &[]);
        store.append(next).await.unwrap();
    }
    assert_eq!(check_whole(&store).await, 3);
    let clear =
        "SELECT count(*) FILTER (WHERE ssl), count(*) FILTER (WHERE NOT ssl) FROM pg_stat_ssl
        JOIN pg_stat_activity USING (pid) WHERE application_name = 'lumos'";
    let said = cluster.sql("postgres", clear);
    let (secure, clear) = said.split_once('|').unwrap();
    assert!(secure.parse::<u32>().unwrap() > 1, "{said}");
    assert_eq!(clear, "0", "every connection of it");

    let refused = opening(&cluster, &database, &stranger).await.err().unwrap();
    assert!(refused.contains("certificate"), "{refused}");
    let elsewhere = certificate("db.acme.example");
    shows(&cluster, &elsewhere);
    let refused = opening(&cluster, &database, &elsewhere)
        .await
        .err()
        .unwrap();
    assert!(refused.contains("not valid for name"), "{refused}");
    // Nor by a store that was open before.
    let next = append("c4", &[("org", 4)], &[]);
    store.append(next).await.unwrap_err();
}
