//! The stream of events of a real server: killed under its readers, and left by none of them unable to end.

use lumos_http::Method;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::world::{PATIENCE, World};

#[tokio::test]
async fn a_stream_goes_on_over_servers_that_are_killed() {
    let mut world = World::acme().await;
    let issue = "token issue --purpose 'to follow' --right read";
    let token = world.say_as("platform", issue).await.out.trim().to_owned();
    let mut seen: Vec<(u64, String)> = Vec::new();
    for round in 0..4 {
        let reader = world.with(&token);
        let request = reader.peer.get("/api/v1/events");
        let request = match seen.last() {
            Some((last, _)) => request.header("last-event-id", &last.to_string()),
            None => request.query("from", "0"),
        };
        let mut lines = request.lines().await.unwrap();
        let administrator = world.person("administrator").await;
        // Somebody writes all the while; the server is killed in the middle of both.
        let writing = async {
            for n in 0.. {
                let login = format!("somebody-{round}-{n}");
                let body = json!({ "login": login, "name": "Somebody", "service": false });
                let path = "/api/v1/people";
                let request = administrator.peer.post(path).json_body(&body);
                if request.send().await.is_err() {
                    return;
                }
            }
        };
        let until = seen.len() + 25;
        let reading = async {
            let mut id = 0;
            while let Ok(Some(line)) = lines.next().await {
                if let Some(index) = line.strip_prefix("id: ") {
                    id = index.parse().unwrap();
                } else if let Some(data) = line.strip_prefix("data: ") {
                    seen.push((id, data.to_owned()));
                }
                if seen.len() >= until {
                    return;
                }
            }
        };
        tokio::select! {
            () = writing => panic!("the server ended"),
            read = timeout(PATIENCE, reading) => read.expect("entries come"),
        }
        world.kill().await;
        world.start(0).await;
    }
    let platform = world.person("platform").await;
    for (index, (id, data)) in (0..).zip(&seen) {
        assert_eq!(*id, index, "every entry once, in order");
        let path = format!("/api/v1/ledger/entries/{index}");
        let stored = platform.peer.get(&path).send().await.unwrap();
        assert_eq!(stored.body, data.as_bytes());
    }
    assert!(seen.len() >= 100);
}

#[tokio::test]
async fn a_reader_who_takes_nothing_does_not_keep_the_server() {
    let mut world = World::acme().await;
    let administrator = world.person("administrator").await;
    // More than the buffers of two sockets hold.
    for round in 0..120 {
        let name = |n| format!("{}-{round}-{n}", "a".repeat(110));
        let agents: Vec<String> = (0..480).map(name).collect();
        let body = json!({ "owner": "platform", "agents": agents, "outage": [] });
        let path = format!("/api/v1/systems/s{round}");
        let done = administrator.ask(Method::PUT, &path, &body).await.is(200);
        world.confirm(&done).await;
    }
    let address = world.address().strip_prefix("http://").unwrap().to_owned();
    let mut stuck = TcpStream::connect(&address).await.unwrap();
    let asked = format!(
        "GET /api/v1/events?from=0 HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\n\r\n",
        administrator.credential
    );
    stuck.write_all(asked.as_bytes()).await.unwrap();
    let mut first = [0; 12];
    stuck.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    // It goes on serving others, and ends in order.
    administrator.get("/api/v1/releases").await;
    assert!(world.stop().await.success());
    drop(stuck);
}
