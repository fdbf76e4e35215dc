//! The whole server on a disk that fails under it: it says what is wrong, goes on as soon as the disk does, and loses
//! nothing that it acknowledged, even where it is killed meanwhile.

use lumos_http::Method;
use serde_json::{Value, json};

use crate::{
    laid_under::BrokenDisk,
    replicas::until_ready,
    world::{Person, World, until},
};

/// How it fails.
const HOWS: [&str; 4] = ["write ENOSPC", "write EIO", "sync EIO", "any EROFS"];

/// Defines a role; its name, or the status and code of the refusal.
async fn define(administrator: &Person, role: String) -> Result<String, (u16, Value)> {
    let path = format!("/api/v1/roles/{role}");
    let body = json!({ "rights": [] });
    let answer = administrator.ask(Method::PUT, &path, &body).await;
    match answer.body["entry"] {
        Value::Number(_) => Ok(role),
        _ => Err((answer.status, answer.body["code"].clone())),
    }
}

fn refused(said: Result<String, (u16, Value)>) -> bool {
    said == Err((503, json!("store-failed")))
}

async fn is_unsigned(world: &World) -> bool {
    let ready = world.with("").peer.get("/readyz").send().await.unwrap();
    let said: Value = serde_json::from_slice(&ready.body).unwrap_or_default();
    (ready.status, &said["code"]) == (503, &json!("head-unsigned"))
}

#[tokio::test]
async fn a_server_whose_disk_fails_says_so_and_loses_nothing() {
    let Some(disk) = BrokenDisk::new() else {
        return;
    };
    let mut world = World::prepared(|settings| settings);
    world.lay_under(disk.env());
    world.start_logged(2).await;
    world.give_passwords().await;
    let administrator = world.person("administrator").await;
    let mut acknowledged = Vec::new();
    for (how, number) in HOWS.into_iter().zip(0..) {
        let person = world.known(&administrator);
        let mut names = (0..).map(|n| format!("role-{number}-{n}"));
        let mut role = || names.next().unwrap();

        // What is not in the ledger is not acknowledged, and what is there is still read.
        disk.breaks(&format!("{how} */lumos-data/lumos.db*"));
        for _ in 0..4 {
            assert!(refused(define(&person, role()).await), "{how}");
        }
        person.get("/api/v1/roles").await;
        disk.mends();
        acknowledged.push(define(&person, role()).await.unwrap());

        // What is in the ledger and cannot be anchored is acknowledged, and shown to nobody as signed.
        disk.breaks(&format!("{how} */lumos-data.anchor/*"));
        for _ in 0..4 {
            acknowledged.push(define(&person, role()).await.unwrap());
        }
        until(async || is_unsigned(&world).await).await;
        disk.mends();
        until_ready(&world).await;

        // And then it is killed while nothing works.
        disk.breaks(&format!("{how} */lumos-data*"));
        assert!(refused(define(&person, role()).await), "{how}");
        let log = std::fs::read_to_string(world.path("serve.log")).unwrap();
        assert!(!log.contains("panicked"), "{how}: {log}");
        world.kill().await;
        if how.starts_with("any") {
            world.say("serve").await.is(1, "code data-dir-unusable");
        }
        disk.mends();
        world.start_logged(0).await;
    }
    world.kill().await;
    world.lay_under([("LD_PRELOAD", "")]);
    world.start(0).await;
    let person = world.known(&administrator);
    let kept = person.get("/api/v1/roles").await;
    let kept: Vec<_> = kept.as_array().unwrap().iter().collect();
    for role in acknowledged {
        let there = kept.iter().any(|kept| kept["role"] == *role);
        assert!(there, "{role} was lost");
    }
    world.ledger_verifies("developer").await;
}
